//! Room for a replica of higher priority where there is none: those of lower priority go, with the least damage. Never one
//! of equal priority, so that none can come back at the other's cost.

use std::cmp::Reverse;

use super::board::{Board, Room, Spot};
use super::fit::has_room;
use super::planned::Budget;
use super::{Move, Reason};
use crate::ids::{DeploymentId, Epoch, NodeId};
use crate::tables::deployment::{Command, Deployment, Phase, Replica};

/// A replica that could make room.
struct Victim<'a> {
    deployment: &'a Deployment,
    replica: &'a Replica,
}

impl Victim<'_> {
    /// The less, the better to lose: what does not run anyway, the lowest priority, then the youngest.
    fn damage(&self) -> (bool, i32, Reverse<Epoch>, DeploymentId, u32) {
        let Replica { epoch, ordinal, .. } = *self.replica;
        let priority = self.deployment.spec.policy.priority;
        (!self.has_failed(), priority, Reverse(epoch), self.deployment.id, ordinal)
    }

    fn has_failed(&self) -> bool {
        matches!(self.replica.phase, Phase::Failed { .. })
    }
}

/// Has others make room for a replica, if that is possible and may be now; tells on which node. The room is kept for it on
/// the board, but the replica is placed by a later round, when the tables show the room free.
pub(super) fn make_room<'a>(
    board: &mut Board<'a>,
    deployment: &Deployment,
    ordinal: u32,
    budget: &mut Budget,
    moves: &mut Vec<Move>,
) -> Option<NodeId> {
    // What makes room for another may make enough for this one too; nothing more may, where none is lower or enough do.
    let may_go = board.has_lower(deployment) && budget.is_open();
    if !board.problem.can_plan() || !(may_go || board.makes_any_way()) {
        return None;
    }
    let (node, victims) = cheapest(board, deployment, ordinal)?;
    if !victims.is_empty() && !budget.take_together(victims.len()) {
        return None;
    }
    let (by, by_ordinal) = (deployment.id, ordinal);
    for Victim { deployment, replica } in &victims {
        board.make_way(deployment, replica);
        let Replica { ordinal, epoch, .. } = **replica;
        let taken = Command::Preempt { id: deployment.id, ordinal, was: epoch, by, by_ordinal };
        moves.push((taken, Reason::MakesRoom { by, by_ordinal, node }));
    }
    let room = board.rooms.get(&node)?.later();
    let gpus = has_room(&room, &deployment.spec.resources).ok()?;
    board.take(node, deployment, &gpus);
    board.stand(deployment.id, ordinal, Spot { at: node, to: node, stays: true });
    Some(node)
}

/// The node on which room can be made with the least damage, and by whom.
fn cheapest<'a>(
    board: &Board<'a>,
    deployment: &Deployment,
    ordinal: u32,
) -> Option<(NodeId, Vec<Victim<'a>>)> {
    let eligible = board.rooms.values().filter(|room| board.eligible(deployment, ordinal, room).is_ok());
    let options = eligible.filter_map(|room| {
        let victims = fewest(&room.later(), deployment, lower(board, deployment, room.node.id))?;
        let worst = victims.iter().map(Victim::damage).max();
        Some(((victims.len(), worst, room.node.id), victims))
    });
    let best = options.min_by(|(a, _), (b, _)| a.cmp(b));
    best.map(|((_, _, node), victims)| (node, victims))
}

/// The replicas of lower priority that could go from a node, the best to lose first.
fn lower<'a>(board: &Board<'a>, deployment: &Deployment, node: NodeId) -> Vec<Victim<'a>> {
    let priority = deployment.spec.policy.priority;
    let hosted = board.hosted(node).iter().map(|(deployment, replica)| Victim { deployment, replica });
    let mut victims: Vec<Victim<'a>> = hosted
        .filter(|v| v.deployment.spec.policy.priority < priority)
        // One with a successor is about to go by itself.
        .filter(|v| v.replica.successor.is_none())
        .filter(|v| !board.makes_way(v.deployment.id, v.replica.ordinal))
        .filter(|v| v.has_failed() || board.stays(v.deployment.id, v.replica.ordinal))
        .collect();
    victims.sort_by_key(Victim::damage);
    victims
}

/// The fewest of some victims that make room: none if others make it already, one if one is enough, otherwise as many as it takes of the best to lose,
/// without those that turn out not to be needed.
fn fewest<'a>(
    room: &Room<'_>,
    deployment: &Deployment,
    mut victims: Vec<Victim<'a>>,
) -> Option<Vec<Victim<'a>>> {
    let without = |gone: &mut dyn Iterator<Item = &Victim<'_>>| {
        let mut room = room.clone();
        for victim in gone {
            room.give_back(&victim.deployment.spec.resources, &victim.replica.gpus);
        }
        has_room(&room, &deployment.spec.resources).is_ok()
    };
    if without(&mut std::iter::empty()) {
        return Some(Vec::new());
    }
    if let Some(one) = victims.iter().position(|victim| without(&mut std::iter::once(victim))) {
        return Some(vec![victims.swap_remove(one)]);
    }
    let enough = (2..=victims.len()).find(|count| without(&mut victims.iter().take(*count)))?;
    victims.truncate(enough);
    // The worst to lose is spared first.
    for spared in (0..victims.len()).rev() {
        let mut others = victims.iter().enumerate().filter(|(i, _)| *i != spared).map(|(_, victim)| victim);
        if without(&mut others) {
            victims.remove(spared);
        }
    }
    Some(victims)
}
