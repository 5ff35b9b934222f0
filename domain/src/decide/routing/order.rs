//! How the policy of a step orders what the step leads to.

use super::plan::{Ask, Planned};
use super::race::{arrival, hash, mix};
use super::why::{Part, Time, Why};
use super::{Load, Target};
use crate::decide::ewma;
use crate::route::Policy;

/// A replica that has more calls under way than this part of the mean, in percent…
const BUSY_PERCENT: u64 = 150;
/// …and these beside it is too busy to be asked for what it has read.
const BUSY_MARGIN: u64 = 2;

/// What is ordered: one target, or several that stay together in their order.
pub(super) struct Unit {
    /// The name in the step.
    pub(super) name: String,
    pub(super) weight: u32,
    /// Whether it is what another route leads to.
    pub(super) leads: bool,
    /// Of the first target, which stands for all.
    pub(super) load: Load,
    /// What the call is expected to cost there.
    pub(super) cost: Option<u64>,
    /// One at least.
    pub(super) targets: Vec<Planned>,
}

impl Unit {
    fn is_late(&self) -> bool {
        self.targets[0].late.is_some()
    }

    fn time(&self) -> Time {
        Time { latency_us: self.load.latency_us, in_flight: self.load.in_flight }
    }

    fn time_cost(&self) -> u64 {
        ewma::cost(self.load.latency_us, self.load.in_flight)
    }

    /// What tells it from other replicas, whatever node it is on: what it has read is lost with its engine, but no other
    /// replica's calls have to move for that.
    fn replica(&self) -> Option<[u8; 12]> {
        match (&self.targets[0].target, self.leads) {
            (Target::Replica { id, ordinal, .. }, false) => {
                let mut bytes = [0; 12];
                bytes[..8].copy_from_slice(&id.0.to_le_bytes());
                bytes[8..].copy_from_slice(&ordinal.to_le_bytes());
                Some(bytes)
            }
            _ => None,
        }
    }
}

/// In what an order is made.
pub(super) struct Setting<'a> {
    /// The route's name.
    pub(super) alias: &'a str,
    pub(super) ask: &'a Ask<'a>,
    /// Chance, of this step alone.
    pub(super) draw: u64,
}

/// The targets of a step, in order. Its first reason is the policy's; targets that stay together have their own.
pub(super) fn ordered(units: Vec<Unit>, policy: Policy, setting: &Setting<'_>) -> Vec<Planned> {
    let units = match policy {
        Policy::Weighted => by_weight(units, setting.draw, Why::Drawn),
        Policy::StickyByUser => {
            let who = match (setting.ask.user, setting.ask.key) {
                (Some(user), _) => hash(&[b"user", user.as_bytes(), setting.alias.as_bytes()]),
                (None, Some(key)) => hash(&[b"key", &key.0.to_le_bytes(), setting.alias.as_bytes()]),
                (None, None) => setting.draw,
            };
            by_weight(units, who, Why::Sticky)
        }
        Policy::LeastLatency => by_latency(units, setting.draw),
        Policy::Cheapest => by_price(units),
        Policy::PrefixAware => by_prefix(units, setting.ask.prefixes),
    };
    let mut targets = Vec::new();
    for (unit, why) in units {
        let mut rest = unit.targets.into_iter();
        targets.extend(rest.next().map(|first| Planned { why, ..first }));
        targets.extend(rest);
    }
    targets
}

fn by_weight(mut units: Vec<Unit>, seed: u64, first: fn(Part) -> Why) -> Vec<(Unit, Why)> {
    let of = units.iter().map(|unit| u64::from(unit.weight)).sum();
    units.sort_by_key(|unit| arrival(seed, &unit.name, unit.weight));
    let why = |(place, unit): (usize, Unit)| {
        let part = Part { weight: unit.weight, of };
        (unit, if place == 0 { first(part) } else { Why::Follows(part) })
    };
    units.into_iter().enumerate().map(why).collect()
}

/// Of two drawn ones the better comes first: always taking the best would send every node's calls to the same one.
fn by_latency(mut units: Vec<Unit>, draw: u64) -> Vec<(Unit, Why)> {
    units.sort_by_key(|unit| (unit.is_late(), unit.time_cost()));
    let well = units.iter().filter(|unit| !unit.is_late()).count();
    if well > 2 {
        let first = (mix(draw) % well as u64) as usize;
        let step = 1 + (mix(draw ^ u64::MAX) % (well as u64 - 1)) as usize;
        // They are in order: of two places the lower is the better.
        let better = first.min((first + step) % well);
        units[..=better].rotate_right(1);
    }
    let why = |(place, unit): (usize, Unit)| {
        let time = unit.time();
        (unit, if place == 0 { Why::Faster(time) } else { Why::Slower(time) })
    };
    units.into_iter().enumerate().map(why).collect()
}

fn by_price(mut units: Vec<Unit>) -> Vec<(Unit, Why)> {
    units.sort_by_key(|unit| (unit.cost.is_none(), unit.cost, unit.time_cost()));
    let why = |unit: Unit| {
        let price = Why::Price(unit.cost);
        (unit, price)
    };
    units.into_iter().map(why).collect()
}

/// The replica that most likely has read what the prompt begins with comes first, unless it is much busier than the others:
/// then the one for a longer beginning, and then the least busy. Each beginning has one of them, by a race that all replicas
/// run alike, so that a lost replica's beginnings are spread and no others move.
fn by_prefix(mut units: Vec<Unit>, prefixes: &[u64]) -> Vec<(Unit, Why)> {
    let busy =
        |unit: &Unit| (unit.is_late(), unit.replica().is_none(), unit.load.in_flight, unit.time_cost());
    units.sort_by_key(busy);
    let (mut sum, mut count) = (0, 0);
    for unit in units.iter().filter(|unit| unit.replica().is_some() && !unit.is_late()) {
        sum += u64::from(unit.load.in_flight);
        count += 1;
    }
    let limit = sum * BUSY_PERCENT / (100 * count.max(1)) + BUSY_MARGIN;
    let mut first = None;
    for (which, prefix) in prefixes.iter().enumerate() {
        let Some(place) = home(&units, *prefix) else { break };
        let in_flight = units[place].load.in_flight;
        if u64::from(in_flight) <= limit {
            first = Some((place, Why::Prefix { which }));
            break;
        }
        first = first.or(Some((0, Why::Spilled { in_flight, limit })));
    }
    let mut why = None;
    if let Some((place, told)) = first {
        units[..=place].rotate_right(1);
        why = Some(told);
    }
    let offers = |unit: Unit| {
        let own = unit.replica().is_some();
        let offers = Why::Offers { own, in_flight: unit.load.in_flight };
        (unit, why.take().unwrap_or(offers))
    };
    units.into_iter().map(offers).collect()
}

/// The place of the replica that a beginning belongs to, among those that are well.
fn home(units: &[Unit], prefix: u64) -> Option<usize> {
    let well = units.iter().enumerate().filter(|(_, unit)| !unit.is_late());
    let run =
        well.filter_map(|(place, unit)| Some((hash(&[&prefix.to_le_bytes(), &unit.replica()?]), place)));
    run.max().map(|(_, place)| place)
}
