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
pub use platter::{Crash, Image, Platter};

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

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &'static str) -> Batch {
        let mut batch = Batch::default();
        batch.put(Family::Meta, key, "value");
        batch
    }

    #[tokio::test(start_paused = true)]
    async fn a_crash_that_was_ordered_for_a_write_takes_it_along_and_is_told_once() {
        let platter = Platter::new();
        let disk = platter.open();
        disk.write(put("first"), true).await.unwrap();
        platter.crash_at_write(2, Crash::LosesAll);
        disk.write(put("second"), true).await.unwrap();
        assert!(!platter.tripped());
        assert_eq!(disk.write(put("third"), true).await, Err(Error::Closed));
        assert_eq!(disk.write(put("fourth"), true).await, Err(Error::Closed));
        assert!(platter.tripped() && !platter.tripped());
        assert_eq!(platter.dump(Family::Meta).len(), 2, "what was durable before is there");
        platter.crash_at_write(1, Crash::KeepsAll);
        platter.crash(Crash::KeepsAll);
        platter.open().write(put("fifth"), true).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_that_is_put_back_holds_what_was_durable_when_it_was_made() {
        let platter = Platter::new();
        let disk = platter.open();
        disk.write(put("first"), true).await.unwrap();
        disk.write(put("second"), false).await.unwrap();
        let copy = platter.copy();
        disk.write(put("third"), true).await.unwrap();
        platter.put_back(&copy);
        assert_eq!(disk.write(put("fourth"), true).await, Err(Error::Closed));
        let keys: Vec<_> = platter.dump(Family::Meta).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["first"]);
    }
}
