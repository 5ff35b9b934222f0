//! What the leader proposes and when.

use domain::command::VERSION;
use domain::deployment::{self, Resources, Spec};
use domain::limits::LEASE_MS;
use domain::model::{self, Model};
use domain::node::{self, Capacity, Node, Standing};
use domain::{Command, Envelope, Incarnation, ModelId, NodeId, RequestId, View, level};

use super::machine::{Machine, Proposal, SETTLE_MS};

const LIFE: Incarnation = Incarnation(9);

fn apply(view: &mut View, command: Command) {
    view.applied += 1;
    let envelope = Envelope::new(RequestId(u128::from(view.applied)), command);
    view.state.apply(view.applied, &envelope, &mut Vec::new()).unwrap();
}

/// A node in a zone of its own.
pub(crate) fn a_node(id: u64) -> Node {
    let capacity =
        Capacity { cpus: 8, memory_mib: 8_192, gpus: Vec::new(), engines: vec!["mock".to_owned()] };
    Node {
        id: NodeId(id),
        name: format!("n{id}"),
        zone: format!("az{id}"),
        cluster_addr: String::new(),
        http_addr: String::new(),
        seal_public: Vec::new(),
        cert_fingerprint: Vec::new(),
        incarnation: LIFE,
        capacity,
        standing: Standing::Active,
        since: 0,
        version: level::stamp("0", VERSION),
        joined_at: 0,
        cordon: None,
    }
}

fn view(nodes: u64) -> View {
    let mut view = View::default();
    for id in 1..=nodes {
        apply(&mut view, Command::Node(node::Command::Join(a_node(id))));
    }
    view
}

fn deploy(view: &mut View, replicas: u32) {
    let model = Model {
        id: ModelId::from("m"),
        name: String::new(),
        description: String::new(),
        path: None,
        created_at: 0,
    };
    apply(view, Command::Model(model::Command::Put(model)));
    let spec = Spec {
        name: "m".to_owned(),
        model: ModelId::from("m"),
        engine: "mock".to_owned(),
        replicas,
        resources: Resources::default(),
        env: Default::default(),
        args: Vec::new(),
        policy: Default::default(),
    };
    apply(view, Command::Deployment(deployment::Command::Create(spec)));
}

fn carry_out(view: &mut View, machine: &mut Machine, proposals: Vec<Proposal>) {
    for proposal in proposals {
        apply(view, proposal.command);
    }
    machine.done();
}

fn renew_all(machine: &mut Machine, ids: &[u64], now: u64) {
    for id in ids {
        assert_eq!(machine.renew(NodeId(*id), LIFE, now), Some(1));
    }
}

#[test]
fn only_a_leader_renews_and_proposes() {
    let mut machine = Machine::default();
    let mut view = view(1);
    deploy(&mut view, 1);
    assert_eq!(machine.renew(NodeId(1), LIFE, 0), None);
    assert_eq!(machine.look(&view, 0, 0), []);
    machine.lead(Some(1), 0);
    assert_eq!(machine.renew(NodeId(1), LIFE, 0), Some(1));
    assert_eq!(machine.look(&view, 0, 0).len(), 1);
    machine.lead(None, 10);
    assert_eq!(machine.renew(NodeId(1), LIFE, 20), None);
}

#[test]
fn a_lost_lease_is_told_once_and_its_replicas_move_then() {
    let (mut machine, mut view) = (Machine::default(), view(2));
    deploy(&mut view, 2);
    machine.lead(Some(1), 0);
    let placed = machine.look(&view, 0, 0);
    assert_eq!(placed.len(), 2);
    assert_eq!(machine.look(&view, 1, 0), [], "one round at a time");
    carry_out(&mut view, &mut machine, placed);
    renew_all(&mut machine, &[1], LEASE_MS - 1);
    assert_eq!(machine.look(&view, LEASE_MS - 1, 0), []);
    let lost = machine.look(&view, LEASE_MS, 0);
    assert!(matches!(
        &lost[..],
        [Proposal { command: Command::Node(node::Command::Lose { id: NodeId(2), .. }), .. }]
    ));
    machine.done();
    assert_eq!(machine.look(&view, LEASE_MS + 1, 0), [], "the tables may not show it yet");
    carry_out(&mut view, &mut machine, lost);
    let moved = machine.look(&view, LEASE_MS + 2, 0);
    assert!(matches!(&moved[..], [Proposal { command: Command::Deployment(_), .. }]), "{moved:?}");
    carry_out(&mut view, &mut machine, moved);
    assert_eq!(machine.look(&view, LEASE_MS + 3, 0), []);
}

#[test]
fn a_verdict_that_got_lost_is_proposed_again() {
    let (mut machine, view) = (Machine::default(), view(1));
    machine.lead(Some(1), 0);
    assert_eq!(machine.look(&view, LEASE_MS, 0).len(), 1);
    machine.done();
    assert_eq!(machine.look(&view, LEASE_MS + SETTLE_MS, 0).len(), 1);
}

#[test]
fn a_new_leader_waits_a_whole_lease() {
    let (mut machine, view) = (Machine::default(), view(3));
    machine.lead(Some(1), 0);
    machine.lead(Some(2), 5_000);
    assert_eq!(machine.look(&view, 5_000 + LEASE_MS - 1, 0), []);
    assert_eq!(machine.look(&view, 5_000 + LEASE_MS, 0).len(), 3);
}

#[test]
fn a_node_that_renews_again_returns() {
    let (mut machine, mut view) = (Machine::default(), view(1));
    machine.lead(Some(1), 0);
    let lost = machine.look(&view, LEASE_MS, 0);
    carry_out(&mut view, &mut machine, lost);
    renew_all(&mut machine, &[1], LEASE_MS + 10);
    let back = machine.look(&view, LEASE_MS + 20, 0);
    assert!(matches!(
        &back[..],
        [Proposal { command: Command::Node(node::Command::Return { id: NodeId(1) }), .. }]
    ));
}

#[test]
fn what_changes_during_a_round_is_looked_at_after_it() {
    let (mut machine, mut view) = (Machine::default(), view(1));
    deploy(&mut view, 1);
    machine.lead(Some(1), 0);
    machine.look(&view, 0, 0);
    assert!(!machine.done());
    machine.look(&view, 0, 0);
    machine.look(&view, 1, 0);
    assert!(machine.done());
}

#[test]
fn a_node_that_leaves_is_removed_when_it_has_nothing_left_to_do() {
    let (mut machine, mut view) = (Machine::default(), view(2));
    deploy(&mut view, 1);
    machine.lead(Some(1), 0);
    let placed = machine.look(&view, 0, 0);
    carry_out(&mut view, &mut machine, placed);
    let host = view.state.deployments.rows().next().unwrap().replicas[0].node;
    apply(&mut view, Command::Node(node::Command::Leave { id: host }));
    view.voters = std::sync::Arc::new([host].into());
    let moved = machine.look(&view, 1, 0);
    assert!(matches!(&moved[..], [Proposal { command: Command::Deployment(_), .. }]));
    carry_out(&mut view, &mut machine, moved);
    assert_eq!(machine.look(&view, 2, 0), [], "it still votes");
    view.voters = Default::default();
    let removed = machine.look(&view, 3, 0);
    let expected = Command::Node(node::Command::Remove { id: host });
    assert!(matches!(&removed[..], [Proposal { command, .. }] if *command == expected));
}

#[test]
fn a_refusal_ends_in_time_though_the_wall_clock_was_once_ahead() {
    use domain::decide::placement::REFUSAL_FIRST_MS;
    use domain::deployment::Phase;

    let (mut machine, mut view) = (Machine::default(), view(1));
    deploy(&mut view, 1);
    machine.lead(Some(1), 0);
    renew_all(&mut machine, &[1], 0);
    let placed = machine.look(&view, 0, 0);
    carry_out(&mut view, &mut machine, placed);
    let row = view.state.deployments.rows().next().unwrap();
    let (id, ordinal, epoch) = (row.id, row.replicas[0].ordinal, row.replicas[0].epoch);
    let phase = Phase::Failed { reason: "no luck".to_owned() };
    let report = deployment::Command::Report { id, ordinal, epoch, phase };
    // The leader's clock was a year ahead, and is right again.
    let (year, wall) = (31_536_000_000, 1_000);
    view.applied += 1;
    let envelope = Envelope::new(RequestId(u128::from(view.applied)), Command::Deployment(report));
    let envelope = Envelope { at: year, ..envelope };
    view.state.apply(view.applied, &envelope, &mut Vec::new()).unwrap();
    // Whatever the scheduler makes of the failed replica first, it has no other node for it.
    for now in [10, 20] {
        let moves = machine.look(&view, now, wall);
        assert!(
            moves
                .iter()
                .all(|p| !matches!(p.command, Command::Deployment(deployment::Command::Assign { .. }))),
            "{moves:?}"
        );
        carry_out(&mut view, &mut machine, moves);
    }
    for now in (0..REFUSAL_FIRST_MS + 1_000).step_by(1_000) {
        renew_all(&mut machine, &[1], now);
    }
    let again = machine.look(&view, REFUSAL_FIRST_MS + 1_000, wall + REFUSAL_FIRST_MS + 1_000);
    assert!(
        matches!(
            &again[..],
            [Proposal { command: Command::Deployment(deployment::Command::Assign { .. }), .. }]
        ),
        "{again:?}"
    );
}

#[test]
fn a_rebalance_is_ended_by_who_leads_once_nothing_is_left() {
    use domain::deployment::Phase;
    use domain::setting;

    let (mut machine, mut view) = (Machine::default(), view(1));
    deploy(&mut view, 2);
    machine.lead(Some(1), 0);
    let placed = machine.look(&view, 0, 0);
    carry_out(&mut view, &mut machine, placed);
    let row = view.state.deployments.rows().next().unwrap().clone();
    for replica in &row.replicas {
        let (ordinal, epoch) = (replica.ordinal, replica.epoch);
        let report = deployment::Command::Report { id: row.id, ordinal, epoch, phase: Phase::Ready };
        apply(&mut view, Command::Deployment(report));
    }
    apply(&mut view, Command::Setting(setting::Command::Rebalance));
    let since = view.applied;
    let ended = machine.look(&view, 1, 0);
    let expected = Command::Setting(setting::Command::EndRebalance { since: Some(since) });
    assert!(matches!(&ended[..], [Proposal { command, .. }] if *command == expected), "{ended:?}");
    carry_out(&mut view, &mut machine, ended);
    assert_eq!(machine.look(&view, 2, 0), []);
}
