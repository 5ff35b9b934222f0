//! A disk in memory, for the simulator and for tests: it completes by tokio's clock, keeps what is not yet durable apart,
//! and loses, tears, bends and fills up on order. The [`Platter`] outlives the node; each [`MemDisk`] is one opening of it.

mod platter;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use tokio::time::Instant;

use crate::disk::{Batch, Disk, Error, Family, Range, Rows, View, Written};
use platter::Families;
pub use platter::{Crash, Platter};

/// One opening of a [`Platter`]. A later opening, or a crash, closes it.
#[derive(Clone)]
pub struct MemDisk {
    platter: Platter,
    opening: u64,
}

#[async_trait]
impl Disk for MemDisk {
    fn write(&self, batch: Batch, durable: bool) -> Written {
        let written = self.platter.with(|inner| inner.write(self.opening, batch, durable, Instant::now()));
        let disk = self.clone();
        async move {
            let (number, ready) = written?;
            let Some(ready) = ready else { return Ok(()) };
            tokio::time::sleep_until(ready).await;
            disk.platter.with(|inner| inner.settle(disk.opening, number))
        }
        .boxed()
    }

    async fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.platter.with(|inner| Ok(inner.visible(self.opening)?.get(family, key)))
    }

    async fn range(&self, family: Family, range: Range) -> Result<Rows, Error> {
        self.platter.with(|inner| Ok(inner.visible(self.opening)?.range(family, &range)))
    }

    async fn last(&self, family: Family) -> Result<Option<(Bytes, Bytes)>, Error> {
        self.platter.with(|inner| Ok(inner.visible(self.opening)?.last(family)))
    }

    fn view(&self) -> Box<dyn View> {
        Box::new(MemView(self.platter.with(|inner| inner.visible(self.opening).cloned())))
    }
}

struct MemView(Result<Families, Error>);

#[async_trait]
impl View for MemView {
    async fn range(&self, family: Family, range: Range) -> Result<Rows, Error> {
        self.0.as_ref().map(|families| families.range(family, &range)).map_err(Clone::clone)
    }
}

/// How long a durable write takes when nothing else is said.
pub const LATENCY_DEFAULT: Duration = Duration::from_micros(500);
