//! How RocksDB is set up: for small values, little memory, and for never passing damage off as data.

use consensus::disk::Family;
use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, Options};

const MIB: usize = 1024 * 1024;
/// RocksDB's own diary: so many files of such a size are kept.
const DIARY_FILES: usize = 4;
const DIARY_BYTES: usize = MIB;
/// What is written is held in memory up to this before it goes into a sorted file, per family.
const MEMTABLE_BYTES: usize = 8 * MIB;
/// Blocks read are remembered up to this, per family.
const CACHE_BYTES: usize = 8 * MIB;
const WAL_BYTES_MAX: u64 = 64 * MIB as u64;
const OPEN_FILES_MAX: i32 = 256;

pub(crate) fn database() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // Writes stay in the log's buffer until the sync thread flushes it: no IO on the caller's thread, one sync a group.
    options.set_manual_wal_flush(true);
    // A write torn off at the end was never acknowledged. Damage before the end is an error: after it may come writes that
    // were, and a node that forgets what it acknowledged endangers the cluster. A log that was cut, or bent where RocksDB
    // takes it for its end, reads like one that was torn: `floor` tells them apart.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // Families are flushed together, so that none gets ahead of another on disk.
    options.set_atomic_flush(true);
    options.set_paranoid_checks(true);
    // A log that was closed must be there, and whole.
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_max_background_jobs(2);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_keep_log_file_num(DIARY_FILES);
    options.set_max_log_file_size(DIARY_BYTES);
    options.set_stats_dump_period_sec(0);
    options
}

pub(crate) fn family(family: Family) -> ColumnFamilyDescriptor {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
    if family == Family::Tables {
        blocks.set_bloom_filter(10.0, false);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_compression_type(DBCompressionType::Lz4);
    ColumnFamilyDescriptor::new(family.name(), options)
}
