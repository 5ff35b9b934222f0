//! Keys that are replaced. At any time whoever may open the cluster's secrets opens all of them, and nobody who is gone has
//! a wrap of the data key. Once all is well there is one key of each kind, every node has it and no other, and nobody who is
//! gone ever had it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::decide::rotation as decide;
use domain::rotation::{Kind, Stage, authorities, pending};
use domain::secret::data_keys;
use domain::{NodeId, View};
use runtime::Held;

/// Remembers the keys that each node ever had.
#[derive(Debug, Default)]
pub struct Keys(BTreeMap<NodeId, BTreeSet<String>>);

impl Keys {
    /// Looks at a running node's tables and at its keys; tells what it cannot open, and who still has what nobody should.
    pub fn look(&mut self, view: &View, held: &Held) -> Option<String> {
        let (me, state) = (view.me, &view.state);
        self.0.entry(me).or_default().extend(held.data.iter().chain(&held.gossip).cloned());
        if let Some(what) = held.shut.first() {
            return Some(format!("{me} has the data key and cannot open {what}"));
        }
        let current = state.rotation(Kind::Data).and_then(|row| row.current.as_ref());
        if let (Some(used), Some(had)) = (current, &held.data)
            && used != had
        {
            return Some(format!("{me} has data key {had} while {used} is used"));
        }
        let wrap = state.wraps.rows().find(|wrap| state.gone.contains(&wrap.node))?;
        Some(format!("{me} has a wrap of the data key for {}, which was removed", wrap.node))
    }

    /// Once all is well: tells which key in use somebody knows who was removed.
    pub fn known_outside(&self, view: &View, held: &Held) -> Option<String> {
        let used: Vec<&String> = held.data.iter().chain(&held.gossip).collect();
        view.state.gone.rows().find_map(|gone| {
            let known = self.0.get(&gone.id)?;
            let key = used.iter().find(|key| known.contains(**key))?;
            Some(format!("{} was removed and knows key {key}, which is used still", gone.id))
        })
    }
}

/// What is not as it is when no key is being replaced, as these nodes of the cluster have it.
pub fn unsettled(nodes: &[(Arc<View>, Held)]) -> Vec<String> {
    let mut left: Vec<String> = nodes.iter().flat_map(|(view, held)| unsettled_at(view, held)).collect();
    let mut gossip: Vec<_> = nodes.iter().map(|(_, held)| &held.gossip).collect();
    let mut trusted: Vec<_> = nodes.iter().map(|(_, held)| &held.authorities).collect();
    for (what, keys) in [("gossip keys", &mut gossip), ("authorities", &mut trusted)] {
        keys.sort();
        keys.dedup();
        if keys.len() > 1 || keys.iter().any(|keys| keys.len() != 1) {
            left.push(format!("nodes use the {what} {keys:?}"));
        }
    }
    left
}

fn unsettled_at(view: &View, held: &Held) -> Vec<String> {
    let (me, state) = (view.me, &view.state);
    let mut left = Vec::new();
    for kind in Kind::ALL {
        let stage = state.rotation(kind).map(|row| row.stage).unwrap_or_default();
        if stage != Stage::Idle {
            let next = decide::of(state, kind);
            left.push(format!("{me} sees the {} being replaced: {stage:?}, next {next:?}", kind.noun()));
        }
    }
    let (sealed, kept) = (pending(state).count(), data_keys(state).count());
    if sealed + kept > 0 || authorities(state).len() > 1 {
        left.push(format!(
            "{me} sees {sealed} secrets under old keys, {kept} old data keys, or two authorities"
        ));
    }
    let locked_out = view.voters.iter().find(|voter| !state.wraps.contains(voter));
    left.extend(locked_out.map(|voter| format!("{me} sees voter {voter} without the data key")));
    if state.wraps.contains(&me) != held.data.is_some() {
        left.push(format!("{me} does not have the data key that is wrapped for it"));
    }
    left
}

#[cfg(test)]
mod tests {
    use domain::node;
    use domain::secret::{self, Sealed, Wrap};
    use domain::{Command, Envelope, RequestId};

    use super::*;

    fn held(data: Option<&str>, gossip: &[&str]) -> Held {
        let text = |text: &&str| (*text).to_owned();
        let authorities = vec!["ca".to_owned()];
        Held {
            data: data.map(str::to_owned),
            shut: Vec::new(),
            gossip: gossip.iter().map(text).collect(),
            authorities,
        }
    }

    fn view(me: u64, commands: Vec<Command>) -> View {
        let mut view = View { me: NodeId(me), ..View::default() };
        for (command, index) in commands.into_iter().zip(1..) {
            let envelope = Envelope::new(RequestId(u128::from(index)), command);
            view.state.apply(index, &envelope, &mut Vec::new()).unwrap();
        }
        view
    }

    fn join(id: u64) -> Command {
        Command::Node(node::Command::Join(node::Node {
            id: NodeId(id),
            name: format!("n{id}"),
            zone: String::new(),
            cluster_addr: String::new(),
            http_addr: String::new(),
            seal_public: Vec::new(),
            cert_fingerprint: Vec::new(),
            incarnation: domain::Incarnation(1),
            capacity: node::Capacity::default(),
            standing: node::Standing::Active,
            since: 0,
            version: String::new(),
            joined_at: 0,
            cordon: None,
        }))
    }

    #[test]
    fn what_does_not_open_and_what_a_removed_node_knows_is_told() {
        let sealed = Sealed { nonce: vec![0; 12], bytes: Vec::new(), key: None };
        let grant = Wrap { node: NodeId(1), ephemeral: Vec::new(), sealed, key: None };
        let with_key = vec![join(1), join(2), Command::Secret(secret::Command::Grant(grant))];
        let mut keys = Keys::default();
        let one = view(1, with_key.clone());
        assert_eq!(keys.look(&one, &held(Some("d1"), &["g1"])), None);
        assert_eq!(keys.look(&view(2, with_key.clone()), &held(None, &["g1", "g2"])), None);
        let shut = Held { shut: vec!["gossip".to_owned()], ..held(Some("d1"), &["g1"]) };
        assert!(keys.look(&one, &shut).unwrap().contains("cannot open gossip"));

        let incarnation = domain::Incarnation(1);
        let mut gone = with_key;
        gone.push(Command::Node(node::Command::Lose { id: NodeId(2), incarnation }));
        gone.push(Command::Node(node::Command::Remove { id: NodeId(2) }));
        let gone = view(1, gone);
        assert_eq!(keys.look(&gone, &held(Some("d1"), &["g3"])), None);
        assert_eq!(keys.known_outside(&gone, &held(Some("d1"), &["g3"])), None);
        assert!(keys.known_outside(&gone, &held(Some("d1"), &["g2"])).unwrap().contains("g2"));
    }

    #[test]
    fn all_nodes_have_one_key_of_each_kind_in_the_end() {
        let node = |held| (Arc::new(view(1, vec![join(1)])), held);
        assert!(unsettled(&[node(held(None, &["g1"])), node(held(None, &["g1"]))]).is_empty());
        assert_eq!(unsettled(&[node(held(None, &["g1"])), node(held(None, &["g2"]))]).len(), 1);
        assert_eq!(unsettled(&[node(held(None, &["g1", "g2"]))]).len(), 1);
        assert_eq!(unsettled(&[node(held(Some("d1"), &["g1"]))]).len(), 1);
    }
}
