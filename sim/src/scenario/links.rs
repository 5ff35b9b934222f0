//! Named scenarios about the network between nodes. Clients reach every node all the time.

use super::named::TINY;
use super::{Fault, Scenario, Who, chats, ms, probes, reads, s, streams, writes};

/// The scenario of that name, without the name.
pub(super) fn named(name: &str) -> Option<Scenario> {
    match name {
        "leader_isolated" => Some(leader_isolated()),
        "quorum_lost" => Some(quorum_lost()),
        "zone_cut" => Some(zone_cut()),
        "one_way" => Some(one_way()),
        "partial_partition" => Some(partial_partition()),
        "flapping_link" => Some(flapping_link()),
        "slow_link" => Some(slow_link()),
        "lossy_links" => Some(lossy_links()),
        _ => None,
    }
}

/// Three nodes with a model on two, under load.
fn three() -> Scenario {
    Scenario::nodes(3)
        .deploy(TINY, 2)
        .load(writes(20))
        .load(reads(10))
        .load(chats(TINY, 10))
        .load(streams(TINY, 2))
        .for_at_least(s(26))
}

/// The leader is cut off for longer than its lease: another takes over, and the old one steps back when it returns.
fn leader_isolated() -> Scenario {
    three().at(s(5), Fault::Isolate(Who::Leader)).at(s(15), Fault::Heal)
}

/// No node reaches another: each goes on alone with its own replica, as it declares, until they meet again.
fn quorum_lost() -> Scenario {
    Scenario::nodes(3)
        .deploy(TINY, 3)
        .load(writes(10))
        .load(reads(5))
        .load(chats(TINY, 10))
        .load(probes(TINY, 5))
        .at(s(5), Fault::Isolate(Who::Node(0)))
        .at(s(5), Fault::Isolate(Who::Node(1)))
        .at(s(25), Fault::Heal)
        .for_at_least(s(32))
}

/// A zone of two among five nodes is cut off as a whole; the others go on.
fn zone_cut() -> Scenario {
    Scenario::nodes(5)
        .deploy(TINY, 3)
        .load(writes(10))
        .load(reads(10))
        .load(chats(TINY, 10))
        .at(s(5), Fault::Isolate(Who::Zone(1)))
        .at(s(17), Fault::Heal)
        .for_at_least(s(28))
}

/// What one node sends does not arrive, while it hears everything.
fn one_way() -> Scenario {
    three().at(s(5), Fault::OneWay(0, 1)).at(s(5), Fault::OneWay(0, 2)).at(s(15), Fault::Heal)
}

/// A and C do not see each other, while B sees both.
fn partial_partition() -> Scenario {
    three().at(s(5), Fault::OneWay(0, 2)).at(s(5), Fault::OneWay(2, 0)).at(s(15), Fault::Heal)
}

/// A node's link goes down and up again and again, each time just long enough to be noticed.
fn flapping_link() -> Scenario {
    (0..6u64).fold(three(), |scenario, flap| {
        let down = ms(5_000 + flap * 2_000);
        scenario.at(down, Fault::Isolate(Who::Node(0))).at(down + ms(1_000), Fault::Heal)
    })
}

/// A node is a fifth of a second away from the others, each way: slow, but not dead.
fn slow_link() -> Scenario {
    three().at(s(5), Fault::Delay(Who::Leader, ms(200))).at(s(15), Fault::Heal)
}

/// A tenth of all packets between a node and the others vanishes.
fn lossy_links() -> Scenario {
    three().at(s(5), Fault::Lose(Who::Leader, 100)).at(s(15), Fault::Heal)
}
