//! What happens during a soak. Faults follow from the seed. Only the last node is ever ended: what the others hold can be
//! watched from the beginning to the end.

use std::time::Duration;

use sim::Dice;
use sim::scenario::{Fault, Scenario, Who, chats, ms, reads, s, streams, writes};

const NODES: usize = 3;
const MODEL: &str = "tiny";
/// No fault comes before this, nor after that much before the end.
const CALM: Duration = s(20);
/// From one fault to the next: at least, and how much more by chance.
const GAP_MS: u64 = 15_000;
const GAP_MORE_MS: u64 = 15_000;
/// How long a fault lasts: at least, and how much more by chance.
const LASTS_MS: u64 = 1_000;
const LASTS_MORE_MS: u64 = 9_000;
/// The longest pause and the longest time at a distance.
const PAUSE_MS_MAX: u64 = 4_000;
const FAR: Duration = ms(100);

/// A soak of so many minutes.
pub(super) fn scenario(minutes: u32, seed: u64, network: bool) -> Scenario {
    let lasts = s(60) * minutes;
    let mut dice = Dice::of(seed, "soak");
    let mut scenario = Scenario::nodes(NODES)
        .called("soak")
        .deploy(MODEL, 2)
        .load(writes(20))
        .load(reads(20))
        .load(chats(MODEL, 10))
        .load(streams(MODEL, 4))
        .for_at_least(lasts)
        .converges_within(s(60));
    let mut at = CALM;
    while at + CALM + ms(LASTS_MS + LASTS_MORE_MS) < lasts {
        let until = at + ms(dice.between(LASTS_MS, LASTS_MS + LASTS_MORE_MS));
        for (when, fault) in draw(&mut dice, at, until, network) {
            scenario = scenario.at(when, fault);
        }
        at = until + ms(dice.between(GAP_MS, GAP_MS + GAP_MORE_MS));
    }
    scenario
}

/// One fault and its end.
fn draw(dice: &mut Dice, at: Duration, until: Duration, network: bool) -> Vec<(Duration, Fault)> {
    let any = Who::Node(dice.between(0, NODES as u64) as usize);
    let last = NODES - 1;
    let short = (until - at).min(ms(PAUSE_MS_MAX));
    let kinds = if network { 8 } else { 4 };
    match dice.between(0, kinds) {
        0 => vec![(at, Fault::Kill(Who::Node(last))), (until, Fault::Restart(Who::Node(last)))],
        1 => vec![(at, Fault::Pause(any, short))],
        2 => vec![(at, Fault::KillEngine(MODEL.to_owned()))],
        3 => vec![(at, Fault::Pause(Who::Leader, short))],
        4 => vec![(at, Fault::Isolate(any)), (until, Fault::Heal)],
        5 => vec![(at, Fault::Isolate(Who::Leader)), (until, Fault::Heal)],
        6 => vec![(at, Fault::Delay(any, FAR)), (until, Fault::Heal)],
        _ => vec![(at, Fault::Lose(any, 50)), (until, Fault::Heal)],
    }
}

/// The nodes that run from the beginning to the end.
pub(super) fn steady(nodes: usize) -> Vec<usize> {
    (0..nodes.saturating_sub(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_node_is_ended_and_all_ends_well_before_the_end() {
        for seed in 0..50 {
            let plan = scenario(20, seed, true);
            let ended = plan.steps.iter().filter_map(|(_, fault)| match fault {
                Fault::Kill(who) | Fault::Wipe(who) => Some(who.clone()),
                _ => None,
            });
            assert!(ended.into_iter().all(|who| who == Who::Node(NODES - 1)), "seed {seed}");
            assert!(
                plan.steps.len() > 40 && plan.steps.iter().all(|(when, _)| *when < s(20 * 60)),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn a_machine_without_a_network_of_its_own_gets_other_faults() {
        let needs = |fault: &Fault| matches!(fault, Fault::Isolate(_) | Fault::Delay(..) | Fault::Lose(..));
        assert!(!scenario(20, 1, false).steps.iter().any(|(_, fault)| needs(fault)));
        assert!(scenario(20, 1, true).steps.iter().any(|(_, fault)| needs(fault)));
    }
}
