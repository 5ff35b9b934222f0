//! openraft's own storage test suite, run over any [`Disk`]. For the tests of this crate and of `consensus-rocks` only.

use std::sync::Arc;

use openraft::StorageError;
use openraft::errors::ErrorSource;
use openraft::impls::BoxedErrorSource;
use openraft::testing::log::{StoreBuilder, Suite};

use crate::board::Board;
use crate::disk::{self, Disk};
use crate::raft::{Runtime, Types};
use crate::store::{LogStore, Machine, Stage};
use crate::time::Time;

/// A way to make empty disks; the guard is dropped when the disk is no longer used.
pub trait Maker: Send + Sync {
    /// What keeps the disk's folder alive.
    type Guard: Send + Sync;
    /// A new, empty disk.
    fn make(&self) -> Result<(Self::Guard, Arc<dyn Disk>), disk::Error>;
}

struct Builder<M>(M);

impl<M: Maker> StoreBuilder<Types, LogStore, Machine, M::Guard> for Builder<M> {
    async fn build(&self) -> Result<(M::Guard, LogStore, Machine), StorageError<Types>> {
        let fail = |e: disk::Error| StorageError::read(BoxedErrorSource::from_error(&e));
        let (guard, disk) = self.0.make().map_err(fail)?;
        let board = Arc::new(Board::new(Arc::new(|_| {}), Arc::new(Time::new(Arc::new(|| 0)))));
        let stage = Arc::new(Stage::new(Arc::clone(&disk)));
        let machine =
            Machine::open(Arc::clone(&disk), stage, board, domain::command::VERSION).await.map_err(fail)?;
        Ok((guard, LogStore::new(disk), machine))
    }
}

/// Runs the suite. Panics where a test of the suite fails, and answers what storage reported.
pub async fn run<M: Maker>(maker: M) -> Result<(), String> {
    let test = Suite::<Types, LogStore, Machine, Builder<M>, M::Guard>::test_all(Builder(maker));
    Runtime::scope(0, Box::pin(test)).await.map_err(|e| e.to_string())
}
