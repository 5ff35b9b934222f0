//! A node's identity in gossip. Small, because every packet carries several.

use domain::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};

/// The id that stands for whoever listens at an address: seeds are known by address only.
const ANYONE: NodeId = NodeId(u64::MAX);

/// A life of a node, at an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    /// The node.
    pub(super) node: NodeId,
    /// Which start of it.
    pub(super) life: Incarnation,
    /// How often it came back within that life after it was given up.
    pub(super) renewal: u32,
    /// Where it listens, `host:port`.
    pub(super) addr: String,
}

impl Member {
    /// Whoever listens there; only ever a destination.
    pub(super) fn anyone_at(addr: String) -> Self {
        Self { node: ANYONE, life: Incarnation(0), renewal: 0, addr }
    }
}

impl foca::Identity for Member {
    type Addr = Whose;

    fn renew(&self) -> Option<Self> {
        Some(Self { renewal: self.renewal.wrapping_add(1), ..self.clone() })
    }
    fn addr(&self) -> Whose {
        Whose(self.node)
    }
    fn win_addr_conflict(&self, other: &Self) -> bool {
        (self.life, self.renewal, &self.addr) > (other.life, other.renewal, &other.addr)
    }
}

/// What lives of one node have in common. Nodes are told apart by id; a call to [`ANYONE`] is accepted by any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose(NodeId);

impl PartialEq for Whose {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.0 == ANYONE || other.0 == ANYONE
    }
}

#[cfg(test)]
mod tests {
    use foca::Identity;

    use super::*;

    fn member(life: u64, renewal: u32) -> Member {
        Member { node: NodeId(7), life: Incarnation(life), renewal, addr: "a:1".into() }
    }

    #[test]
    fn a_later_life_wins_over_any_renewal_of_an_earlier_one() {
        assert!(member(2, 0).win_addr_conflict(&member(1, 9)));
        assert!(!member(1, 9).win_addr_conflict(&member(2, 0)));
        assert!(member(1, 1).win_addr_conflict(&member(1, 0)));
    }

    #[test]
    fn a_call_to_an_address_is_accepted_by_whoever_listens_there() {
        assert!(member(1, 0).addr() == Member::anyone_at("b:2".into()).addr());
        assert!(member(1, 0).addr() != Member { node: NodeId(8), ..member(1, 0) }.addr());
    }
}
