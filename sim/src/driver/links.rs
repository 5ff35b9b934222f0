//! Links that are never quite down and never quite well: they flap, have heavy tails, or end in a node that is slow. Each is
//! looked at with every glance until all heal; what is down just now is brought up again then.

use std::time::Duration;

use super::Driver;
use crate::Dice;
use crate::scenario::ms;

/// How often a heavy tail is drawn anew.
const REDRAW: Duration = ms(100);
/// Of a thousand draws, how many are late, and how many are very late.
const LATE_PERMILLE: u64 = 120;
const VERY_LATE_PERMILLE: u64 = 15;
/// How late those are, in milliseconds.
const LATE_MS: std::ops::Range<u64> = 40..400;
const VERY_LATE_MS: std::ops::Range<u64> = 400..2_500;
/// For how long a slow node runs between two times of being frozen.
const RUNS: Duration = ms(60);

enum Unrest {
    /// Two hosts, and how long the link between them is up and down.
    Flap(usize, usize, Duration),
    /// Of a host's links.
    Tail(usize),
    /// A host that is frozen for so long at a time.
    Slow(usize, Duration),
}

struct Restless {
    what: Unrest,
    /// Whether it is down, or frozen, just now.
    down: bool,
    /// When that changes.
    next: Duration,
}

/// The links of a run that are restless just now.
#[derive(Default)]
pub(super) struct Links(Vec<Restless>);

impl Links {
    pub(super) fn flap(&mut self, one: usize, other: usize, period: Duration) {
        self.add(Unrest::Flap(one, other, period));
    }

    pub(super) fn heavy_tail(&mut self, host: usize) {
        self.add(Unrest::Tail(host));
    }

    pub(super) fn slow(&mut self, host: usize, frozen: Duration) {
        self.add(Unrest::Slow(host, frozen));
    }

    fn add(&mut self, what: Unrest) {
        self.0.push(Restless { what, down: false, next: Duration::ZERO });
    }

    /// None is restless any more; answers the hosts that were slow. Links are repaired by whoever heals them all.
    pub(super) fn heal(&mut self) -> Vec<usize> {
        let slow = |restless: Restless| match restless.what {
            Unrest::Slow(host, _) => Some(host),
            _ => None,
        };
        std::mem::take(&mut self.0).into_iter().filter_map(slow).collect()
    }

    /// Takes out those whose state changes now, each turned over; to be done by the driver and put back.
    fn due(&mut self, now: Duration) -> Vec<Restless> {
        let mut due: Vec<Restless> = Vec::new();
        let mut rest = Vec::new();
        for mut restless in std::mem::take(&mut self.0) {
            if restless.next > now {
                rest.push(restless);
                continue;
            }
            restless.down = !restless.down;
            restless.next = now
                + match restless.what {
                    Unrest::Flap(.., period) => period,
                    Unrest::Tail(_) => REDRAW,
                    Unrest::Slow(_, frozen) if restless.down => frozen,
                    Unrest::Slow(..) => RUNS,
                };
            due.push(restless);
        }
        self.0 = rest;
        due
    }
}

impl Driver<'_> {
    /// Does what restless links do now.
    pub(super) fn disturb(&mut self, now: Duration) {
        for restless in self.links.due(now) {
            match &restless.what {
                Unrest::Flap(one, other, _) => {
                    let (one, other) = (self.name(*one), self.name(*other));
                    match restless.down {
                        true => self.sim.partition(one, other),
                        false => self.sim.repair(one, other),
                    }
                }
                Unrest::Tail(host) => {
                    let name = self.name(*host);
                    for other in self.others(*host) {
                        let most = latency(&mut self.dice, self.scenario.weather.latency_ms_max);
                        self.sim.set_link_max_message_latency(name.as_str(), other, most);
                    }
                }
                Unrest::Slow(host, _) => {
                    let name = self.name(*host);
                    for other in self.everybody_but(*host) {
                        match restless.down {
                            true => self.sim.hold(name.as_str(), other),
                            false => self.sim.release(name.as_str(), other),
                        }
                    }
                }
            }
            self.links.0.push(restless);
        }
    }
}

/// The longest a message takes until the next draw.
fn latency(dice: &mut Dice, usual: u64) -> Duration {
    let drawn = dice.between(0, 1_000);
    ms(match drawn {
        _ if drawn < VERY_LATE_PERMILLE => dice.between(VERY_LATE_MS.start, VERY_LATE_MS.end),
        _ if drawn < VERY_LATE_PERMILLE + LATE_PERMILLE => dice.between(LATE_MS.start, LATE_MS.end),
        _ => usual,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flapping_link_goes_and_comes_until_it_heals() {
        let mut links = Links::default();
        links.flap(0, 1, ms(500));
        links.slow(2, ms(300));
        let first: Vec<bool> = links.due(ms(1)).iter().map(|r| r.down).collect();
        assert_eq!(first, [true, true]);
        links.flap(0, 1, ms(500));
        let (down, up) = (links.due(ms(2)), links.due(ms(3)));
        assert!(down[0].down && up.is_empty(), "what was taken out is for the driver to put back");
        links.slow(2, ms(300));
        assert_eq!(links.heal(), [2]);
        assert!(links.due(ms(9_000)).is_empty());
    }
}
