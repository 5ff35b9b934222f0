//! Scenarios that only the simulator can run: one fault each, or what belongs together, so that what it takes to bear it
//! can be looked at alone. Planted bugs are looked for here where the swarm would need many seeds.

use domain::rotation::Kind;

use super::{Ailment, Fault, REMOTE_MODEL, Scenario, Who, chats, limited, ms, reads, s, streams, writes};

/// All names.
pub const SIMULATED: &[&str] = &[
    "node_leaves",
    "removed_while_down",
    "removed_while_up",
    "node_replaced",
    "old_copy",
    "crash_at_writes",
    "two_elections",
    "far_behind",
    "bit_rot",
    "engines_broken",
    "engine_leaks",
    "gpus_lost",
    "provider_fails",
    "provider_silent",
    "limit_reached",
    "keys_rotated_apart",
];

const TINY: &str = "tiny";
const LARGE: &str = "large";

/// The scenario of that name.
pub(super) fn simulated(name: &str) -> Option<Scenario> {
    let scenario = match name {
        "node_leaves" => node_leaves(),
        "removed_while_down" => removed_while_down(),
        "removed_while_up" => removed_while_up(),
        "node_replaced" => node_replaced(),
        "old_copy" => old_copy(),
        "crash_at_writes" => crash_at_writes(),
        "two_elections" => two_elections(),
        "far_behind" => far_behind(),
        "bit_rot" => bit_rot(),
        "engines_broken" => engines_broken(),
        "engine_leaks" => engine_leaks(),
        "gpus_lost" => gpus_lost(),
        "provider_fails" => provider_fails(),
        "provider_silent" => provider_silent(),
        "limit_reached" => limit_reached(),
        "keys_rotated_apart" => keys_rotated_apart(),
        _ => return None,
    };
    Some(scenario.called(name))
}

fn busy(nodes: usize) -> Scenario {
    Scenario::nodes(nodes)
        .deploy(TINY, 2)
        .load(writes(10))
        .load(reads(10))
        .load(chats(TINY, 8))
        .load(streams(TINY, 2))
        .for_at_least(s(26))
}

/// A key calls more often than it may, while nodes that hold leases on its limit die, come back and are cut off.
fn limit_reached() -> Scenario {
    Scenario::nodes(3)
        .load(writes(5))
        .load(limited("mock", 50))
        .at(s(4), Fault::Kill(Who::Node(1)))
        .at(s(5), Fault::Restart(Who::Node(1)))
        .at(s(9), Fault::Isolate(Who::Leader))
        .at(s(13), Fault::Heal)
        .at(s(15), Fault::Kill(Who::Leader))
        .at(s(18), Fault::Restart(Who::Victim))
        .for_at_least(s(24))
}

/// Keys are replaced while a node is away and another one comes. Later one leaves that knows a new key already, while the
/// others wait for one that died before it could take it in.
fn keys_rotated_apart() -> Scenario {
    busy(4)
        .spares(1)
        .load(chats(REMOTE_MODEL, 4))
        .at(s(3), Fault::Kill(Who::Node(2)))
        .at(s(4), Fault::Rotate(Kind::Authority))
        .at(ms(4_500), Fault::Rotate(Kind::Data))
        .at(s(5), Fault::Join(Who::Node(4)))
        .at(s(16), Fault::Restart(Who::Node(2)))
        .at(s(22), Fault::Kill(Who::Node(2)))
        .at(ms(22_500), Fault::Rotate(Kind::Gossip))
        .at(s(24), Fault::Leave(Who::Node(3)))
        .at(s(30), Fault::Restart(Who::Node(2)))
        .for_at_least(s(36))
}

/// The leader leaves, and what it did is done by others; then it is started again by mistake.
fn node_leaves() -> Scenario {
    busy(4).at(s(4), Fault::Leave(Who::Leader)).at(s(20), Fault::Restart(Who::Victim))
}

/// A node is taken out while it is down. Started again, it is turned away.
fn removed_while_down() -> Scenario {
    busy(4)
        .at(s(3), Fault::Kill(Who::Node(2)))
        .at(s(4), Fault::Remove(Who::Node(2)))
        .at(s(18), Fault::Restart(Who::Node(2)))
}

/// A node that does not vote is taken out in the middle of its work: of two in the first zone, the later one.
fn removed_while_up() -> Scenario {
    busy(4).deploy("small", 4).load(chats("small", 20)).at(s(4), Fault::Remove(Who::Node(3)))
}

/// One node leaves while another comes; later the first machine gets a new node.
fn node_replaced() -> Scenario {
    busy(3)
        .spares(1)
        .at(s(3), Fault::Join(Who::Node(3)))
        .at(s(4), Fault::Leave(Who::Node(1)))
        .at(s(18), Fault::Join(Who::Node(1)))
        .for_at_least(s(30))
}

/// A node is put back to an older copy of its data directory, which it must notice.
fn old_copy() -> Scenario {
    busy(3)
        .at(s(2), Fault::Copy(Who::Node(1)))
        .at(s(4), Fault::Kill(Who::Node(1)))
        .at(s(5), Fault::Restart(Who::Node(1)))
        .at(s(14), Fault::OldCopy(Who::Node(1)))
        .for_at_least(s(30))
}

/// Nodes die in the middle of writing, again and again.
fn crash_at_writes() -> Scenario {
    let steps = (0..8u32).map(|n| (s(2 + 3 * u64::from(n)), 7 + 13 * n % 60));
    let scenario = Scenario::nodes(3).load(writes(50)).load(reads(20)).for_at_least(s(30));
    steps.fold(scenario, |scenario, (when, count)| {
        let who = if count % 2 == 0 { Who::Leader } else { Who::Node(count as usize % 3) };
        scenario.at(when, Fault::CrashAtWrite(who, count))
    })
}

/// One node misses an election that two others held; then these die, and only one of them comes back to vote with it.
fn two_elections() -> Scenario {
    Scenario::nodes(3)
        .load(writes(20))
        .at(s(3), Fault::Isolate(Who::Node(2)))
        .at(s(5), Fault::Kill(Who::Leader))
        .at(s(6), Fault::Restart(Who::Victim))
        .at(s(11), Fault::Kill(Who::Node(0)))
        .at(s(11), Fault::Kill(Who::Node(1)))
        .at(s(11), Fault::Heal)
        .at(s(12), Fault::Restart(Who::Node(0)))
        .at(s(18), Fault::Restart(Who::Node(1)))
}

/// A node is away until the log no longer goes back to what it has; then it is started once more.
fn far_behind() -> Scenario {
    Scenario::nodes(3)
        .snapshot_every(40)
        .load(writes(30))
        .load(reads(10))
        .at(s(3), Fault::Kill(Who::Node(1)))
        .at(s(10), Fault::Restart(Who::Node(1)))
        .at(s(15), Fault::Kill(Who::Node(1)))
        .at(s(16), Fault::Restart(Who::Node(1)))
}

/// Bits of a disk flip; its node notices, and gets an empty disk.
fn bit_rot() -> Scenario {
    busy(3).snapshot_every(50).at(s(6), Fault::BitRot(Who::Node(1))).for_at_least(s(30))
}

/// Engines die as they start, and start again once they are mended.
fn engines_broken() -> Scenario {
    busy(3)
        .at(s(4), Fault::BreakEngines(TINY.to_owned()))
        .at(s(16), Fault::Heal)
        .for_at_least(s(30))
        .converges_within(s(90))
}

/// Engines leak, one and then another: each is started anew before it takes its neighbours' memory.
fn engine_leaks() -> Scenario {
    let leak = || Fault::LeakEngine(TINY.to_owned());
    busy(3).at(s(4), leak()).at(s(10), leak()).for_at_least(s(15))
}

/// GPUs fall off a node's bus: what ran on them goes to the GPUs of another.
fn gpus_lost() -> Scenario {
    Scenario::nodes(3)
        .gpus(&[2, 2, 0])
        .deploy_on_gpus(LARGE, 2)
        .load(chats(LARGE, 5))
        .at(s(4), Fault::LoseGpus(Who::HostOf(LARGE.to_owned())))
        .at(s(20), Fault::Heal)
        .for_at_least(s(26))
        .converges_within(s(60))
}

/// The provider outside is slow, then breaks off, then turns callers away, then is down.
fn provider_fails() -> Scenario {
    let ails = [Ailment::Slow, Ailment::Cut, Ailment::Limited, Ailment::Down];
    let scenario = Scenario::nodes(3).load(chats(REMOTE_MODEL, 24)).load(streams(REMOTE_MODEL, 6));
    let scenario = ails.into_iter().zip(0u64..).fold(scenario, |scenario, (ailment, n)| {
        let (from, to) = (s(3 + 8 * n), s(9 + 8 * n));
        scenario.at(from, Fault::Provider(ailment)).at(to - ms(500), Fault::Heal)
    });
    scenario.for_at_least(s(38))
}

/// The provider's answers stop in the middle for longer than any client waits.
fn provider_silent() -> Scenario {
    Scenario::nodes(3)
        .load(streams(REMOTE_MODEL, 4))
        .at(s(3), Fault::Provider(Ailment::Silent))
        .at(s(40), Fault::Heal)
        .for_at_least(s(42))
}
