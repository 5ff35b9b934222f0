//! Whether a replica fits a node, and which node is best. One list of tests serves placement, pre-emption and explanation,
//! so that what is told is what was decided by.

use std::collections::BTreeMap;

use super::board::{Board, Room};
use crate::ids::{Millis, NodeId};
use crate::tables::deployment::{AntiAffinity, Deployment, Refusal, Resources};
use crate::tables::node::Standing;

/// How long a first refusal of a node is respected, in milliseconds; doubles with each further one.
pub const REFUSAL_FIRST_MS: Millis = 30_000;
/// How long a refusal is respected at most, in milliseconds.
pub const REFUSAL_MAX_MS: Millis = 600_000;

/// The first test that a node fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// It is lost, leaving or stopped.
    Away(Standing),
    /// It is cordoned.
    Cordoned,
    /// The deployment's policy leaves it out.
    Pinned,
    /// It does not offer the engine.
    Engine,
    /// It could not run it lately.
    Refused {
        /// What it said.
        reason: String,
        /// When.
        at: Millis,
    },
    /// It has a replica of the deployment, which wants one a node.
    Taken,
    /// It has too few CPUs or too little memory free.
    Room {
        /// Free CPUs.
        cpus: i64,
        /// Free memory in MiB.
        memory_mib: i64,
    },
    /// It has too few GPUs free that are large enough.
    Gpus {
        /// How many of those it has.
        free: usize,
    },
}

impl std::fmt::Display for Unmet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unmet::Away(Standing::Lost) => write!(f, "it is lost"),
            Unmet::Away(Standing::Leaving) => write!(f, "it is leaving"),
            Unmet::Away(_) => write!(f, "it was stopped"),
            Unmet::Cordoned => write!(f, "it is cordoned"),
            Unmet::Pinned => write!(f, "it is not among the nodes and zones of the deployment's policy"),
            Unmet::Engine => write!(f, "it does not offer the engine"),
            Unmet::Refused { reason, .. } => write!(f, "it could not run it: {reason}"),
            Unmet::Taken => write!(f, "it has a replica of the deployment, which wants one a node"),
            Unmet::Room { cpus, memory_mib } => {
                write!(f, "it has {cpus} CPUs and {memory_mib} MiB of memory free")
            }
            Unmet::Gpus { free } => write!(f, "it has {free} free GPUs with the memory it needs"),
        }
    }
}

/// How many nodes cannot take a replica, by the first test they failed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unfit {
    /// Lost, leaving or stopped.
    pub away: usize,
    /// Cordoned.
    pub cordoned: usize,
    /// Not among the policy's nodes and zones.
    pub pinned: usize,
    /// Without the engine.
    pub engine: usize,
    /// With a replica of a deployment that wants one a node.
    pub taken: usize,
    /// Without enough free GPUs of enough memory.
    pub gpus: usize,
    /// Without enough free CPUs or memory.
    pub room: usize,
    /// Refused it lately; with the latest reason.
    pub refused: usize,
    /// What the latest refusal said.
    pub said: Option<String>,
    said_at: Millis,
}

impl Unfit {
    fn count(&mut self, unmet: Unmet) {
        let counter = match unmet {
            Unmet::Away(_) => &mut self.away,
            Unmet::Cordoned => &mut self.cordoned,
            Unmet::Pinned => &mut self.pinned,
            Unmet::Engine => &mut self.engine,
            Unmet::Taken => &mut self.taken,
            Unmet::Gpus { .. } => &mut self.gpus,
            Unmet::Room { .. } => &mut self.room,
            Unmet::Refused { reason, at } => {
                if at >= self.said_at {
                    (self.said, self.said_at) = (Some(reason), at);
                }
                &mut self.refused
            }
        };
        *counter += 1;
    }
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            (self.away, "are lost, leaving or stopped"),
            (self.cordoned, "are cordoned"),
            (self.pinned, "are not among its nodes and zones"),
            (self.engine, "do not offer its engine"),
            (self.taken, "have one of its replicas already"),
            (self.gpus, "lack free GPUs with the memory it needs"),
            (self.room, "lack free CPUs or memory"),
            (self.refused, "could not run it"),
        ];
        let told: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        write!(
            f,
            "{}",
            if told.is_empty() { "there are no other nodes".to_owned() } else { told.join(", ") }
        )?;
        match &self.said {
            Some(said) => write!(f, " (the latest said: {said})"),
            None => Ok(()),
        }
    }
}

/// How good a node is for a replica: the less of each, in this order, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// Other replicas of the deployment in the zone.
    pub zone: usize,
    /// Other replicas of the deployment on the node.
    pub here: usize,
    /// Free GPUs that it would keep from work that needs them.
    pub wasted: usize,
    /// Replicas on the node, of any deployment.
    pub replicas: usize,
}

impl Board<'_> {
    /// The tests that no room can mend.
    pub(super) fn eligible(
        &self,
        deployment: &Deployment,
        ordinal: u32,
        room: &Room<'_>,
    ) -> Result<(), Unmet> {
        self.look(1);
        let (node, spec) = (room.node, &deployment.spec);
        if node.standing != Standing::Active {
            return Err(Unmet::Away(node.standing));
        }
        if node.cordon.is_some() {
            return Err(Unmet::Cordoned);
        }
        if !spec.policy.admits(node.id, &node.name, &node.zone) {
            return Err(Unmet::Pinned);
        }
        if !node.capacity.engines.contains(&spec.engine) {
            return Err(Unmet::Engine);
        }
        let refusal = deployment.refusals.get(&node.id).filter(|r| holds(r, self.problem.now));
        if let Some(Refusal { reason, at, .. }) = refusal {
            return Err(Unmet::Refused { reason: reason.clone(), at: *at });
        }
        let taken =
            |at: NodeId| self.others(deployment.id, ordinal).any(|spot| spot.at == at || spot.to == at);
        if spec.policy.anti_affinity == AntiAffinity::Required && taken(node.id) {
            return Err(Unmet::Taken);
        }
        Ok(())
    }

    /// All tests; the GPUs it would get where it passes.
    pub(super) fn fits(
        &self,
        deployment: &Deployment,
        ordinal: u32,
        room: &Room<'_>,
    ) -> Result<Vec<u32>, Unmet> {
        self.eligible(deployment, ordinal, room)?;
        has_room(room, &deployment.spec.resources)
    }

    /// How many other replicas of a deployment are, or go, where: by zone and by node.
    pub(super) fn spread(
        &self,
        deployment: &Deployment,
        ordinal: u32,
    ) -> (BTreeMap<&str, usize>, BTreeMap<NodeId, usize>) {
        let (mut zones, mut nodes) = (BTreeMap::new(), BTreeMap::new());
        for spot in self.others(deployment.id, ordinal).filter(|spot| spot.stays) {
            if let Some(room) = self.rooms.get(&spot.to) {
                *zones.entry(room.node.zone.as_str()).or_insert(0) += 1;
                *nodes.entry(spot.to).or_insert(0) += 1;
            }
        }
        (zones, nodes)
    }

    /// The best node for a replica, and the GPUs it gets there; not the one that it is to leave.
    pub(super) fn best(
        &self,
        deployment: &Deployment,
        ordinal: u32,
        leaves: Option<NodeId>,
    ) -> Result<(NodeId, Vec<u32>), Unfit> {
        let (zones, nodes) = self.spread(deployment, ordinal);
        let mut unfit = Unfit::default();
        let mut best: Option<(Score, NodeId, Vec<u32>)> = None;
        for room in self.rooms.values().filter(|room| Some(room.node.id) != leaves) {
            match self.fits(deployment, ordinal, room) {
                Ok(gpus) => {
                    let option = (score(deployment, room, &zones, &nodes), room.node.id, gpus);
                    if best.as_ref().is_none_or(|best| option < *best) {
                        best = Some(option);
                    }
                }
                Err(unmet) => unfit.count(unmet),
            }
        }
        best.map(|(_, node, gpus)| (node, gpus)).ok_or(unfit)
    }
}

pub(super) fn score(
    deployment: &Deployment,
    room: &Room<'_>,
    zones: &BTreeMap<&str, usize>,
    nodes: &BTreeMap<NodeId, usize>,
) -> Score {
    Score {
        zone: zones.get(room.node.zone.as_str()).copied().unwrap_or(0),
        here: nodes.get(&room.node.id).copied().unwrap_or(0),
        // Nodes with GPUs are kept for work that needs them.
        wasted: if deployment.spec.resources.gpus == 0 { room.gpus.len() } else { 0 },
        replicas: room.replicas,
    }
}

/// Whether what a replica needs is free on a node; the GPUs it would get.
pub(super) fn has_room(room: &Room<'_>, needs: &Resources) -> Result<Vec<u32>, Unmet> {
    // What asks for nothing of its own fits also where there is less than nothing left.
    let lacks_cpus = needs.cpus > 0 && room.cpus < i64::from(needs.cpus);
    let lacks_memory = needs.memory_mib > 0 && u64::try_from(room.memory_mib).unwrap_or(0) < needs.memory_mib;
    if lacks_cpus || lacks_memory {
        return Err(Unmet::Room { cpus: room.cpus, memory_mib: room.memory_mib });
    }
    room.pick_gpus(needs).ok_or_else(|| Unmet::Gpus {
        free: room.gpus.values().filter(|memory| **memory >= needs.gpu_memory_mib).count(),
    })
}

fn holds(refusal: &Refusal, now: Millis) -> bool {
    let doubled = REFUSAL_FIRST_MS.saturating_mul(1 << refusal.count.saturating_sub(1).min(16));
    now < refusal.at.saturating_add(doubled.min(REFUSAL_MAX_MS))
}
