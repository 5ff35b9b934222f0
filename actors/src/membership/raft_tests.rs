//! Which steps bring Raft's membership in line, and that they come to an end.

use domain::node::{self, Capacity, Node};
use domain::secret::{self, Sealed, Wrap};
use domain::{Command, Envelope, Incarnation, NodeId, RequestId, State, level};
use proptest::prelude::*;

use super::raft::{Step, next};
use crate::ports::{Member, Members};

/// A cluster: its tables and Raft's membership.
#[derive(Default)]
struct Cluster {
    state: State,
    index: u64,
    members: Members,
    leader: NodeId,
}

impl Cluster {
    fn apply(&mut self, command: Command) {
        self.index += 1;
        let envelope = Envelope::new(RequestId(u128::from(self.index)), command);
        self.state.apply(self.index, &envelope, &mut Vec::new()).unwrap();
    }

    fn join(&mut self, id: u64) {
        let row = Node {
            id: NodeId(id),
            name: format!("n{id}"),
            zone: format!("az{}", id % 3),
            cluster_addr: addr(id),
            http_addr: String::new(),
            seal_public: vec![0; 32],
            cert_fingerprint: Vec::new(),
            incarnation: Incarnation(1),
            capacity: Capacity::default(),
            standing: node::Standing::Active,
            since: 0,
            version: String::new(),
            joined_at: 0,
            cordon: None,
        };
        self.apply(Command::Node(node::Command::Join(row)));
    }

    fn lose(&mut self, id: u64) {
        let command = node::Command::Lose { id: NodeId(id), incarnation: Incarnation(1) };
        self.apply(Command::Node(command));
    }

    fn upgrade(&mut self, id: u64) {
        let node::Node { id, zone, cluster_addr, http_addr, capacity, .. } =
            (**self.state.nodes.get(&NodeId(id)).unwrap()).clone();
        let (incarnation, version) = (Incarnation(2), level::stamp("2", 2));
        let start =
            node::Command::Register { id, incarnation, zone, cluster_addr, http_addr, capacity, version };
        self.apply(Command::Node(start));
    }

    fn remove(&mut self, id: u64) {
        self.apply(Command::Node(node::Command::Remove { id: NodeId(id) }));
    }

    fn member(&mut self, id: u64) -> Option<&mut Member> {
        self.members.nodes.iter_mut().find(|m| m.node == NodeId(id))
    }

    fn grant(&mut self, node: NodeId) {
        let sealed = Sealed { nonce: vec![0; 12], bytes: Vec::new(), key: None };
        self.apply(Command::Secret(secret::Command::Grant(Wrap {
            node,
            ephemeral: vec![0; 32],
            sealed,
            key: None,
        })));
    }

    fn obey(&mut self, step: &Step) {
        match step {
            Step::Learn { node, addr } => match self.member(node.0) {
                Some(member) => member.addr.clone_from(addr),
                None => self.members.nodes.push(Member {
                    node: *node,
                    votes: false,
                    addr: addr.clone(),
                    caught_up: true,
                }),
            },
            Step::Grant(node) => self.grant(*node),
            Step::Vote(voters) => {
                assert!(!voters.is_empty());
                self.members.joint = false;
                for member in &mut self.members.nodes {
                    member.votes = voters.contains(&member.node);
                }
            }
            Step::Forget(node) => {
                let kept = |m: &Member| m.node != *node || !m.votes;
                assert!(self.members.nodes.iter().all(kept), "no voter is forgotten");
                self.members.nodes.retain(|m| m.node != *node);
            }
            Step::Withdraw(node) => self.apply(Command::Secret(secret::Command::Withdraw(*node))),
            // Who holds the data key prepares these; the levels here are below theirs.
            Step::Rotate(step) => panic!("{step}"),
            Step::Raise(to) => self.apply(Command::Level(level::Command::Raise(*to))),
        }
    }

    /// Takes steps until none is left.
    fn settle(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some(step) = next(self.leader, &self.state, &self.members) {
            self.obey(&step);
            steps.push(step);
            assert!(steps.len() < 100, "{steps:?}");
        }
        steps
    }

    fn voters(&self) -> Vec<u64> {
        let mut voters: Vec<u64> = self.members.nodes.iter().filter(|m| m.votes).map(|m| m.node.0).collect();
        voters.sort_unstable();
        voters
    }

    /// A first node that bootstrapped.
    fn of_one() -> Self {
        let mut cluster = Self { leader: NodeId(1), ..Self::default() };
        cluster.join(1);
        cluster.members.nodes.push(Member { node: NodeId(1), votes: true, addr: addr(1), caught_up: true });
        cluster.grant(NodeId(1));
        cluster
    }

    fn of(count: u64) -> Self {
        let mut cluster = Self::of_one();
        (2..=count).for_each(|id| cluster.join(id));
        cluster.settle();
        cluster
    }
}

fn addr(id: u64) -> String {
    format!("10.0.0.{id}:7602")
}

#[test]
fn a_cluster_in_order_needs_no_step() {
    assert_eq!(next(NodeId(1), &State::default(), &Members::default()), None);
    assert_eq!(Cluster::of_one().settle(), []);
}

#[test]
fn three_nodes_vote_once_each_can_open_the_secrets() {
    let mut cluster = Cluster::of_one();
    cluster.join(2);
    cluster.join(3);
    let steps = cluster.settle();
    assert_eq!(cluster.voters(), [1, 2, 3]);
    let place = |step: &Step| steps.iter().position(|s| s == step).unwrap();
    let vote = steps.iter().position(|s| matches!(s, Step::Vote(_))).unwrap();
    assert!(place(&Step::Grant(NodeId(2))) < vote && place(&Step::Grant(NodeId(3))) < vote);
}

#[test]
fn the_level_is_raised_once_every_node_was_upgraded() {
    let mut cluster = Cluster::of(3);
    assert_eq!(cluster.state.level(), level::FIRST);
    cluster.upgrade(1);
    cluster.upgrade(2);
    cluster.lose(3);
    assert!(!cluster.settle().contains(&Step::Raise(2)), "who is away may come back with its old program");
    cluster.upgrade(3);
    assert_eq!(cluster.settle().last(), Some(&Step::Raise(2)));
    assert_eq!((cluster.state.level(), cluster.settle()), (2, Vec::new()));
}

#[test]
fn a_second_node_only_learns() {
    let cluster = Cluster::of(2);
    assert_eq!(cluster.voters(), [1]);
    assert_eq!(cluster.state.wraps.len(), 1);
}

#[test]
fn a_node_that_moved_is_told_to_raft() {
    let mut cluster = Cluster::of(3);
    cluster.member(2).unwrap().addr = "old:1".to_owned();
    assert_eq!(cluster.settle(), [Step::Learn { node: NodeId(2), addr: addr(2) }]);
}

#[test]
fn a_wiped_node_is_succeeded_by_its_new_self_and_forgotten() {
    let mut cluster = Cluster::of(3);
    cluster.lose(3);
    assert_eq!(cluster.settle(), [], "a dead voter stays until there is a successor");
    cluster.remove(3);
    cluster.join(4);
    let first = next(cluster.leader, &cluster.state, &cluster.members).unwrap();
    cluster.obey(&first);
    cluster.member(4).unwrap().caught_up = false;
    assert_eq!(cluster.settle(), [], "it waits for the successor to catch up");
    cluster.member(4).unwrap().caught_up = true;
    cluster.settle();
    assert_eq!(cluster.voters(), [1, 2, 4]);
    assert!(cluster.member(3).is_none());
}

#[test]
fn a_dead_voter_is_replaced_by_a_learner_and_loses_the_data_key() {
    let mut cluster = Cluster::of(4);
    assert_eq!(cluster.voters().len(), 3);
    let dead = cluster.voters()[1];
    cluster.lose(dead);
    cluster.settle();
    assert!(!cluster.voters().contains(&dead));
    assert_eq!(cluster.voters().len(), 3);
    assert!(!cluster.state.wraps.contains(&NodeId(dead)));
}

#[test]
fn a_change_that_was_broken_off_half_way_is_brought_to_its_end() {
    let mut cluster = Cluster::of(3);
    cluster.members.joint = true;
    let all = [1, 2, 3].map(NodeId).into();
    assert_eq!(cluster.settle(), [Step::Vote(all)], "both sets together are who should vote");
    assert_eq!(cluster.settle(), []);
}

#[test]
fn a_replacement_that_was_broken_off_half_way_ends_without_the_dead_voter() {
    let mut cluster = Cluster::of(4);
    cluster.lose(2);
    // Half way from 1, 2, 3 to 1, 3, 4: all four have a vote, and the fourth got the data key before.
    cluster.grant(NodeId(4));
    cluster.member(4).unwrap().votes = true;
    cluster.members.joint = true;
    assert_eq!(cluster.settle()[0], Step::Vote([1, 3, 4].map(NodeId).into()));
    assert_eq!(cluster.voters(), [1, 3, 4]);
}

proptest! {
    #[test]
    fn whatever_happens_to_nodes_the_steps_end_and_voters_can_open_the_secrets(
        story in proptest::collection::vec((0u8..4, 1u64..12), 0..25)
    ) {
        // An id that was removed never comes back.
        let (mut cluster, mut newest) = (Cluster::of_one(), 1);
        for (what, id) in story {
            let there = cluster.state.nodes.contains(&NodeId(id));
            match what {
                0 => {
                    newest += 1;
                    cluster.join(newest);
                }
                1 if there => cluster.lose(id),
                // A node that voted is lost before it is removed, and the last that can open the secrets stays.
                2 if there => {
                    cluster.lose(id);
                    let last = cluster.state.wraps.len() == 1 && cluster.state.wraps.contains(&NodeId(id));
                    if !last {
                        cluster.remove(id);
                    }
                }
                3 => cluster.members.joint = true,
                _ => {}
            }
            cluster.settle();
            prop_assert!(!cluster.voters().is_empty());
            prop_assert!(!cluster.members.joint);
            for voter in cluster.voters() {
                let here = cluster.state.nodes.contains(&NodeId(voter));
                prop_assert!(!here || cluster.state.wraps.contains(&NodeId(voter)));
            }
        }
    }
}

#[test]
fn the_leader_keeps_the_data_key_also_while_it_does_not_vote() {
    let mut cluster = Cluster::of(3);
    cluster.leader = NodeId(4);
    cluster.join(4);
    cluster.grant(NodeId(4));
    assert_eq!(cluster.settle().iter().find(|step| matches!(step, Step::Withdraw(_))), None);
    cluster.leader = NodeId(1);
    assert_eq!(cluster.settle(), [Step::Withdraw(NodeId(4))]);
}
