//! The scenarios that have a name: what a user fears most. Both drivers run them, so they use only what real processes
//! can do too.

use domain::rotation::Kind;

use super::{Check, Fault, Scenario, Who, chats, links, ms, reads, s, streams, writes};

/// The model of every named scenario.
pub(super) const TINY: &str = "tiny";

/// All names.
pub const NAMES: &[&str] = &[
    "leader_killed",
    "replica_host_killed_mid_stream",
    "zone_lost",
    "node_wiped",
    "rolling_restart",
    "rolling_upgrade",
    "node_paused",
    "keys_rotated",
    "zone_lost_100",
    "leader_isolated",
    "quorum_lost",
    "zone_cut",
    "one_way",
    "partial_partition",
    "flapping_link",
    "slow_link",
    "lossy_links",
    "disk_full",
    "clock_jump",
];

/// What every change of the program is held to on real processes; the others take longer or need more of the machine.
pub const CORE: &[&str] = &[
    "leader_killed",
    "replica_host_killed_mid_stream",
    "zone_lost",
    "node_wiped",
    "rolling_restart",
    "node_paused",
    "keys_rotated",
    "leader_isolated",
    "quorum_lost",
];

/// The scenario of that name.
pub(super) fn named(name: &str) -> Option<Scenario> {
    let scenario = match name {
        "leader_killed" => leader_killed(),
        "replica_host_killed_mid_stream" => replica_host_killed_mid_stream(),
        "zone_lost" => zone_lost(),
        "node_wiped" => node_wiped(),
        "rolling_restart" => rolling_restart(),
        "rolling_upgrade" => rolling_upgrade(),
        "node_paused" => node_paused(),
        "keys_rotated" => keys_rotated(),
        "zone_lost_100" => zone_lost_100(),
        "disk_full" => disk_full(),
        "clock_jump" => clock_jump(),
        _ => links::named(name)?,
    };
    Some(scenario.called(name))
}

/// The leader dies under fifty writes a second, comes back, and the next leader dies.
fn leader_killed() -> Scenario {
    Scenario::nodes(3)
        .load(writes(50))
        .load(reads(20))
        .at(s(5), Fault::Kill(Who::Leader))
        .at(s(12), Fault::Restart(Who::Victim))
        .at(s(18), Fault::Kill(Who::Leader))
        .at(s(22), Fault::Restart(Who::Victim))
        .for_at_least(s(26))
}

/// A node that runs one of two replicas dies under streams and chats. What had not begun to answer is answered elsewhere.
fn replica_host_killed_mid_stream() -> Scenario {
    Scenario::nodes(3)
        .deploy(TINY, 2)
        .load(chats(TINY, 20))
        .load(streams(TINY, 6))
        .at(s(5), Fault::Kill(Who::HostOf(TINY.to_owned())))
        .at(s(22), Fault::Restart(Who::Victim))
        .for_at_least(s(26))
        .always(&[Check::NoChatFails])
}

/// A whole zone goes at once: two of five nodes.
fn zone_lost() -> Scenario {
    Scenario::nodes(5)
        .deploy(TINY, 3)
        .load(writes(10))
        .load(reads(10))
        .load(chats(TINY, 10))
        .load(streams(TINY, 3))
        .at(s(5), Fault::Kill(Who::Zone(1)))
        .at(s(20), Fault::Restart(Who::Victim))
        .for_at_least(s(26))
}

/// A node loses its disk and comes back as a new one under its old name.
fn node_wiped() -> Scenario {
    Scenario::nodes(3)
        .deploy(TINY, 2)
        .load(writes(10))
        .load(reads(10))
        .load(chats(TINY, 10))
        .at(s(5), Fault::Wipe(Who::Node(1)))
        .for_at_least(s(26))
}

/// Every node is stopped gracefully and started again, one after the other. Nobody who asks the others notices.
fn rolling_restart() -> Scenario {
    Scenario::nodes(3)
        .deploy(TINY, 2)
        .load(writes(10))
        .load(reads(10))
        .load(chats(TINY, 10))
        .load(streams(TINY, 3))
        .at(ms(3_000), Fault::RollingRestart)
        .for_at_least(s(26))
        .converges_within(s(60))
        .always(&[Check::NoChatFails])
}

/// One node gets the newer program and loses it again, then all get it, one after the other. Nobody who asks the others
/// notices.
fn rolling_upgrade() -> Scenario {
    Scenario::nodes(3)
        .deploy(TINY, 2)
        .load(writes(10))
        .load(reads(10))
        .load(chats(TINY, 10))
        .load(streams(TINY, 3))
        .at(s(3), Fault::Upgrade(Who::Node(2)))
        .at(s(14), Fault::RollBack(Who::Node(2)))
        .at(s(25), Fault::RollingUpgrade)
        .for_at_least(s(45))
        .converges_within(s(60))
        .always(&[Check::NoChatFails])
}

/// A node is frozen for three seconds, half of its lease, and later the leader is. Routers leave it alone for a while, and
/// nothing moves.
fn node_paused() -> Scenario {
    Scenario::nodes(3)
        .deploy(TINY, 3)
        .load(writes(10))
        .load(reads(10))
        .load(chats(TINY, 20))
        .load(streams(TINY, 3))
        .at(s(5), Fault::Pause(Who::HostOf(TINY.to_owned()), s(3)))
        .at(s(13), Fault::Pause(Who::Leader, s(3)))
        .for_at_least(s(20))
        .always(&[Check::HealthyStay])
}

/// Every key of the cluster is replaced under load, one after the other, and each time the leader dies before that is over.
/// Nobody who asks the others notices.
fn keys_rotated() -> Scenario {
    let kinds = [(s(4), Kind::Data), (s(11), Kind::Gossip), (s(18), Kind::Authority)];
    let scenario = Scenario::nodes(3)
        .deploy(TINY, 2)
        .load(writes(10))
        .load(reads(10))
        .load(chats(TINY, 10))
        .load(streams(TINY, 2))
        .for_at_least(s(28))
        .always(&[Check::NoChatFails]);
    kinds.into_iter().fold(scenario, |scenario, (when, kind)| {
        scenario
            .at(when, Fault::Rotate(kind))
            .at(when + ms(700), Fault::Kill(Who::Leader))
            .at(when + s(4), Fault::Restart(Who::Victim))
    })
}

/// A third of a hundred replicas goes with its zone: routed around, placed again on the rest, and nothing else moves.
fn zone_lost_100() -> Scenario {
    Scenario::nodes(6)
        .deploy(TINY, 100)
        .load(writes(5))
        .load(chats(TINY, 40))
        .at(s(5), Fault::Kill(Who::Zone(1)))
        .at(s(32), Fault::Restart(Who::Victim))
        .for_at_least(s(36))
        .converges_within(s(60))
        .always(&[Check::HealthyStay])
}

/// A node's disk is full, and later the leader's. It says so and ends; the others go on, and with space it comes back.
fn disk_full() -> Scenario {
    Scenario::nodes(3)
        .deploy(TINY, 2)
        .load(writes(20))
        .load(reads(10))
        .load(chats(TINY, 10))
        .at(s(5), Fault::FillDisk(Who::Node(1)))
        .at(s(13), Fault::Heal)
        .at(s(19), Fault::FillDisk(Who::Leader))
        .at(s(27), Fault::Heal)
        .for_at_least(s(36))
}

/// The leader's wall clock jumps five minutes ahead, and ten back. Leases and elections do not care.
fn clock_jump() -> Scenario {
    Scenario::nodes(3)
        .deploy(TINY, 2)
        .load(writes(20))
        .load(reads(10))
        .load(chats(TINY, 10))
        .at(s(5), Fault::ClockJump(Who::Leader, 300_000))
        .at(s(12), Fault::ClockJump(Who::Victim, -600_000))
        .for_at_least(s(20))
        .always(&[Check::HealthyStay, Check::NoChatFails])
}
