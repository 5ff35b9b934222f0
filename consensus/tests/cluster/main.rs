//! Whole clusters in one process, over disks in memory.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod disk;
mod failover;
mod members;
mod recovery;
mod snapshots;
mod world;
mod writes;

use std::sync::Arc;

use consensus::Disk;
use consensus::mem::Platter;

struct InMemory;

impl consensus::suite::Maker for InMemory {
    type Guard = ();
    fn make(&self) -> Result<((), Arc<dyn Disk>), consensus::disk::Error> {
        Ok(((), Arc::new(Platter::new().open())))
    }
}

#[tokio::test(start_paused = true)]
async fn openrafts_storage_suite_passes_in_memory() {
    consensus::suite::run(InMemory).await.unwrap();
}
