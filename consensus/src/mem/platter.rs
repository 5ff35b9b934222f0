//! What a disk in memory consists of, and the faults it is told to have.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use imbl::OrdMap;
use tokio::time::Instant;

use super::{LATENCY_DEFAULT, MemDisk};
use crate::disk::{Batch, Error, Family, Op, Range, Rows};

/// What a crash leaves of the writes that were not yet durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Nothing.
    LosesAll,
    /// Some prefix of them, chosen by this draw, as when a power cut tears the last pages off.
    Tears(u64),
    /// All of them: the process died, the operating system lived on.
    KeepsAll,
}

/// The medium: cloning it gives another handle on the same one.
#[derive(Clone, Default)]
pub struct Platter(Arc<Mutex<Inner>>);

impl Platter {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens it. Whoever had it open before gets [`Error::Closed`] from now on; what they wrote stays visible.
    pub fn open(&self) -> MemDisk {
        let opening = self.with(|inner| {
            inner.opening += 1;
            inner.busy_until = None;
            inner.opening
        });
        MemDisk { platter: self.clone(), opening }
    }

    /// The power goes: whoever has it open loses it, and writes that were not durable survive as told.
    pub fn crash(&self, crash: Crash) {
        self.with(|inner| inner.lose_power(crash));
    }

    /// The power goes at the so-manieth write from now on: that one and whatever else is not durable survives as told, and
    /// whoever has it open loses it. [`Platter::tripped`] tells once that it happened; a crash before it calls it off.
    pub fn crash_at_write(&self, count: u32, crash: Crash) {
        self.with(|inner| inner.trip = Some((count, crash)));
    }

    /// The power does not go after all.
    pub fn call_crash_off(&self) {
        self.with(|inner| inner.trip = None);
    }

    /// Whether a crash that was ordered for a write has happened since the last look.
    pub fn tripped(&self) -> bool {
        self.with(|inner| std::mem::take(&mut inner.tripped))
    }

    /// What it holds durably just now.
    pub fn copy(&self) -> Image {
        Image(self.with(|inner| inner.durable.clone()))
    }

    /// It holds what it held when the copy was made; whoever has it open loses it.
    pub fn put_back(&self, image: &Image) {
        self.with(|inner| {
            inner.lose_power(Crash::LosesAll);
            inner.durable = image.0.clone();
            inner.visible = image.0.clone();
        });
    }

    /// Everything is gone: the disk was replaced.
    pub fn wipe(&self) {
        self.with(|inner| {
            inner.lose_power(Crash::LosesAll);
            inner.durable = Families::default();
            inner.visible = Families::default();
        });
    }

    /// How long durable writes take from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.with(|inner| inner.latency = latency);
    }

    /// Refuses writes with [`Error::Full`] once this many bytes are stored; `None` for no limit.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.with(|inner| inner.capacity = bytes);
    }

    /// Flips one bit of one stored value of a family, chosen by the draw. Answers the key, if there was anything to bend.
    pub fn corrupt(&self, family: Family, draw: u64) -> Option<Bytes> {
        self.with(|inner| {
            let count = inner.visible.of(family).len() as u64;
            let (key, value) = inner.visible.of(family).iter().nth(draw.checked_rem(count)? as usize)?;
            let (key, mut bent) = (key.clone(), value.to_vec());
            let bit = (draw / count).checked_rem(bent.len() as u64 * 8)?;
            bent[(bit / 8) as usize] ^= 1 << (bit % 8);
            let bent = Bytes::from(bent);
            for families in [&mut inner.visible, &mut inner.durable] {
                if families.of(family).contains_key(&key) {
                    families.of_mut(family).insert(key.clone(), bent.clone());
                }
            }
            Some(key)
        })
    }

    /// How many bytes are stored, as its users see it.
    pub fn bytes(&self) -> usize {
        self.with(|inner| inner.visible.bytes)
    }

    /// Every row a family has, as its users see it: for invariants that look at disks directly.
    pub fn dump(&self, family: Family) -> Rows {
        self.with(|inner| inner.visible.of(family).iter().map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a [`Platter`] held at a moment.
#[derive(Clone)]
pub struct Image(Families);

pub(super) struct Inner {
    opening: u64,
    number: u64,
    visible: Families,
    durable: Families,
    /// Visible and not yet durable, in order.
    pending: VecDeque<(u64, Batch)>,
    latency: Duration,
    capacity: Option<usize>,
    /// After so many writes the power goes.
    trip: Option<(u32, Crash)>,
    tripped: bool,
    /// Writes become durable one after the other.
    busy_until: Option<Instant>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            opening: 0,
            number: 0,
            visible: Families::default(),
            durable: Families::default(),
            pending: VecDeque::new(),
            latency: LATENCY_DEFAULT,
            capacity: None,
            trip: None,
            tripped: false,
            busy_until: None,
        }
    }
}

impl Inner {
    fn lose_power(&mut self, crash: Crash) {
        self.opening += 1;
        let survive = match crash {
            Crash::LosesAll => 0,
            Crash::KeepsAll => self.pending.len(),
            Crash::Tears(draw) => (draw % (self.pending.len() as u64 + 1)) as usize,
        };
        for (_, batch) in std::mem::take(&mut self.pending).into_iter().take(survive) {
            self.durable.apply(&batch);
        }
        self.visible = self.durable.clone();
        self.busy_until = None;
        (self.trip, self.tripped) = (None, false);
    }

    /// Counts a write; says whether the power goes with it.
    fn trips(&mut self) -> Option<Crash> {
        let (left, crash) = self.trip.as_mut()?;
        *left = left.saturating_sub(1);
        (*left == 0).then_some(*crash)
    }

    /// Makes a batch visible; answers its number and, if it is to be durable, when it will be.
    pub(super) fn write(
        &mut self,
        opening: u64,
        batch: Batch,
        durable: bool,
        now: Instant,
    ) -> Result<(u64, Option<Instant>), Error> {
        self.check(opening)?;
        if let Some(capacity) = self.capacity
            && self.visible.bytes + batch.bytes() > capacity
            && batch.ops.iter().any(|op| matches!(op, Op::Put(..)))
        {
            return Err(Error::Full(format!("{} of {capacity} bytes used", self.visible.bytes)));
        }
        self.visible.apply(&batch);
        self.number += 1;
        self.pending.push_back((self.number, batch));
        if let Some(crash) = self.trips() {
            self.lose_power(crash);
            self.tripped = true;
            return Err(Error::Closed);
        }
        let ready = durable.then(|| {
            // Group commit: a write that arrives while the disk is busy is done together with the next round.
            let start = self.busy_until.map_or(now, |until| until.max(now));
            let joins = self.busy_until.is_some_and(|until| until > now + self.latency);
            let ready = if joins { start } else { start + self.latency };
            self.busy_until = Some(ready);
            ready
        });
        Ok((self.number, ready))
    }

    /// Everything up to a write is durable now.
    pub(super) fn settle(&mut self, opening: u64, number: u64) -> Result<(), Error> {
        self.check(opening)?;
        while let Some((at, batch)) = self.pending.pop_front_if(|(at, _)| *at <= number) {
            debug_assert!(at <= number);
            self.durable.apply(&batch);
        }
        Ok(())
    }

    pub(super) fn visible(&self, opening: u64) -> Result<&Families, Error> {
        self.check(opening)?;
        Ok(&self.visible)
    }

    fn check(&self, opening: u64) -> Result<(), Error> {
        if opening == self.opening { Ok(()) } else { Err(Error::Closed) }
    }
}

/// The content. Cloning it costs nothing, so views and what is durable are plain copies.
#[derive(Clone, Default)]
pub(super) struct Families {
    maps: [OrdMap<Bytes, Bytes>; 3],
    bytes: usize,
}

impl Families {
    fn of(&self, family: Family) -> &OrdMap<Bytes, Bytes> {
        &self.maps[family as usize]
    }
    fn of_mut(&mut self, family: Family) -> &mut OrdMap<Bytes, Bytes> {
        &mut self.maps[family as usize]
    }

    pub(super) fn get(&self, family: Family, key: &[u8]) -> Option<Bytes> {
        self.of(family).get(key).cloned()
    }

    pub(super) fn last(&self, family: Family) -> Option<(Bytes, Bytes)> {
        self.of(family).get_max().cloned()
    }

    pub(super) fn range(&self, family: Family, range: &Range) -> Rows {
        let mut rows = Rows::new();
        let mut bytes = 0;
        if is_empty(range) {
            return rows;
        }
        for (key, value) in self.of(family).range((range.from.clone(), range.to.clone())) {
            if rows.len() >= range.rows || bytes >= range.bytes {
                break;
            }
            bytes += key.len() + value.len();
            rows.push((key.clone(), value.clone()));
        }
        rows
    }

    fn apply(&mut self, batch: &Batch) {
        for op in &batch.ops {
            match op {
                Op::Put(family, key, value) => {
                    self.bytes += key.len() + value.len();
                    let old = self.of_mut(*family).insert(key.clone(), value.clone());
                    self.forget(key, old.as_ref());
                }
                Op::Delete(family, key) => {
                    let old = self.of_mut(*family).remove(key);
                    self.forget(key, old.as_ref());
                }
                Op::DeleteRange(family, from, to) if from < to => {
                    let keys: Vec<Bytes> = self
                        .of(*family)
                        .range(from.clone()..to.clone())
                        .map(|(key, _)| key.clone())
                        .collect();
                    for key in keys {
                        let old = self.of_mut(*family).remove(&key);
                        self.forget(&key, old.as_ref());
                    }
                }
                Op::DeleteRange(..) => {}
            }
        }
    }

    fn forget(&mut self, key: &Bytes, old: Option<&Bytes>) {
        if let Some(old) = old {
            self.bytes = self.bytes.saturating_sub(key.len() + old.len());
        }
    }
}

/// Ordered maps panic on ranges that are the wrong way round.
fn is_empty(range: &Range) -> bool {
    use std::ops::Bound::{Excluded, Included};
    match (&range.from, &range.to) {
        (Included(from), Included(to)) => from > to,
        (Included(from) | Excluded(from), Excluded(to)) | (Excluded(from), Included(to)) => from >= to,
        _ => false,
    }
}
