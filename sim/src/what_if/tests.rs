//! What would happen to small clusters.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::deployment::{Resources, Spec};
use domain::model::{self, Model};
use domain::node::{self, Capacity, Gpu, Node, Standing};
use domain::{Command, Envelope, Incarnation, Liveness, ModelId, RequestId, deployment};

use super::*;

/// A cluster of nodes in these zones, the first of which leads; each with as many GPUs.
fn cluster(zones: &[&str], gpus: u32) -> View {
    let mut view = View { me: NodeId(1), leader: Some(NodeId(1)), ..View::default() };
    let mut nodes = BTreeMap::new();
    for (at, zone) in zones.iter().enumerate() {
        let id = NodeId(at as u64 + 1);
        let gpu = |index| Gpu { index, name: "gpu".to_owned(), memory_mib: 40_000 };
        let capacity = Capacity {
            cpus: 8,
            memory_mib: 8_192,
            gpus: (0..gpus).map(gpu).collect(),
            engines: vec!["mock".to_owned()],
        };
        let row = Node {
            id,
            name: format!("n{}", id.0),
            zone: (*zone).to_owned(),
            cluster_addr: String::new(),
            http_addr: String::new(),
            seal_public: vec![1],
            cert_fingerprint: vec![2],
            incarnation: Incarnation(9),
            capacity,
            standing: Standing::Active,
            since: 0,
            version: String::new(),
            joined_at: 0,
            cordon: None,
        };
        apply(&mut view, Command::Node(node::Command::Join(row)));
        nodes.insert(id, (Health::Alive, Incarnation(9)));
    }
    let voters = voters::wanted(zones.len()) as u64;
    view.voters = Arc::new((1..=voters).map(NodeId).collect());
    view.liveness = Arc::new(Liveness { nodes });
    let model = Model {
        id: ModelId::from("m"),
        name: String::new(),
        description: String::new(),
        path: None,
        created_at: 0,
    };
    apply(&mut view, Command::Model(model::Command::Put(model)));
    view
}

fn apply(view: &mut View, command: Command) {
    view.applied += 1;
    let envelope = Envelope { at: 1_000, ..Envelope::new(RequestId(u128::from(view.applied)), command) };
    view.state.apply(view.applied, &envelope, &mut Vec::new()).unwrap();
}

/// Deploys, and has all of it placed and ready as the scheduler would.
fn deploy(view: &mut View, name: &str, replicas: u32, gpus: u32) {
    let spec = Spec {
        name: name.to_owned(),
        model: ModelId::from("m"),
        engine: "mock".to_owned(),
        replicas,
        resources: Resources { gpus, ..Resources::default() },
        env: BTreeMap::new(),
        args: Vec::new(),
        policy: deployment::Policy::default(),
    };
    apply(view, Command::Deployment(deployment::Command::Create(spec)));
    let mut course = Course::new(view, &BTreeSet::new(), 0);
    course.run(false);
    *view = course.view().clone();
    assert!(course.unplaced().is_empty());
}

fn lose(view: &View, faults: &[&str]) -> Answer {
    let faults: Vec<Fault> = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let text = serde_json::to_string(&Export::of(view, "test")).unwrap();
    ask(&serde_json::from_str(&text).unwrap(), &faults, 4_000).unwrap()
}

#[test]
fn a_lost_zone_s_replicas_move_once_after_its_leases_and_nothing_else_does() {
    let mut view = cluster(&["az1", "az2", "az3", "az1", "az2", "az3"], 0);
    deploy(&mut view, "a", 6, 0);
    let answer = lose(&view, &["zone=az2"]);
    assert_eq!((answer.lost.len(), answer.nodes_left, answer.zones_left), (2, 4, 2));
    assert_eq!(answer.moves.len(), 2);
    assert!(answer.moves.iter().all(|m| m.from.as_ref().unwrap().zone == "az2" && m.to.zone != "az2"));
    assert!(answer.moves.iter().all(|m| m.why.contains("lost its lease")), "{answer}");
    let taken = answer.taken_ms.unwrap();
    assert!((LEASE_MS..LEASE_MS + 1_000).contains(&taken), "{taken}");
    let settled = answer.settled_ms.unwrap();
    assert!((taken + 4_000..taken + 5_000).contains(&settled), "{settled}");
    assert_eq!(answer.deployments[0].at_once, 4);
    assert_eq!(answer.deployments[0].then, 6);
    assert!(answer.unplaced.is_empty() && answer.quorum.survives);
}

#[test]
fn a_lost_leader_costs_an_election_and_a_whole_lease() {
    let mut view = cluster(&["az1", "az2", "az3"], 0);
    deploy(&mut view, "a", 3, 0);
    let (leader, other) = (lose(&view, &["node=n1"]), lose(&view, &["node=n2"]));
    assert!(leader.quorum.leader_lost && !other.quorum.leader_lost);
    assert!(leader.taken_ms.unwrap() > other.taken_ms.unwrap(), "{leader}{other}");
}

#[test]
fn without_a_quorum_nothing_moves_and_the_answer_says_so() {
    let mut view = cluster(&["az1", "az2", "az3"], 0);
    deploy(&mut view, "a", 3, 0);
    let answer = lose(&view, &["node=n2", "zone=az3"]);
    assert_eq!((answer.quorum.left, answer.quorum.survives), (1, false));
    assert!(answer.moves.is_empty() && answer.taken_ms.is_none());
    assert_eq!((answer.deployments[0].at_once, answer.deployments[0].then), (1, 1));
    assert!(answer.to_string().contains("until a majority is back"), "{answer}");
}

#[test]
fn what_finds_no_gpu_is_told_with_the_reason() {
    let mut view = cluster(&["az1", "az2", "az3"], 1);
    deploy(&mut view, "g", 3, 1);
    let answer = lose(&view, &["node=n3"]);
    assert!(answer.moves.is_empty(), "{answer}");
    assert_eq!(answer.unplaced.len(), 1);
    assert!(answer.unplaced[0].why.contains("2 lack free GPUs"), "{answer}");
    assert_eq!(answer.deployments[0].then, 2);
}

#[test]
fn a_lost_voter_is_replaced_by_a_node_that_is_left() {
    let view = cluster(&["az1", "az2", "az3", "az3"], 0);
    let answer = lose(&view, &["node=n3"]);
    assert_eq!(answer.quorum.voters_then.unwrap(), ["n1", "n2", "n4"]);
}

#[test]
fn a_name_that_is_not_there_is_told_with_those_that_are() {
    let export = Export::of(&cluster(&["az1", "az2"], 0), "test");
    let error = ask(&export, &[Fault::Zone("az9".to_owned())], 0).unwrap_err().to_string();
    assert!(error.contains("az9") && error.contains("az1, az2"), "{error}");
    assert!("disk=1".parse::<Fault>().is_err());
    let foreign = Export { format: 9, ..export };
    assert!(ask(&foreign, &[], 0).unwrap_err().to_string().contains("form 9"));
}
