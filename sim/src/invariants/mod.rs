//! What must hold, one file each. Some look into the nodes while they run (the simulator's only), some judge what clients
//! recorded (both drivers'). They only look: nothing here changes the world.

mod agreement;
pub mod bounded;
mod calls;
mod declared;
mod gone;
pub mod keys;
mod limits;
mod linearizable;
mod moves;
mod one_host;
mod one_leader;
mod placement;
mod restarts;
pub mod routable;
mod stay;
mod writes;

use std::time::Duration;

use domain::DeploymentId;

use crate::history::{Entry, Outages};
use crate::scenario::Check;
use crate::workload::operator::Held;
pub use agreement::Agreement;
pub use gone::GoneForGood;
pub use keys::Keys;
pub use moves::{Moved, Moves};
pub use one_host::OneHost;
pub use one_leader::OneLeader;
pub use placement::Placement;
pub use restarts::Restarts;
pub use stay::Stay;

/// Something that should not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What does not hold.
    pub check: Check,
    /// What was seen.
    pub what: String,
}

/// What clients left to be judged.
pub struct Evidence<'a> {
    /// What they did and saw.
    pub entries: &'a [Entry],
    /// When nodes were not there.
    pub outages: &'a Outages,
    /// What the cluster holds in the end; `None` when it could not be read.
    pub held: Option<&'a Held>,
}

/// How many violations of one kind are told.
const TOLD_MAX: usize = 5;

/// Judges what clients recorded.
pub fn judge(checks: &[Check], evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for check in checks {
        let found: Vec<String> = match check {
            Check::NoWriteLost => writes::lost(evidence),
            Check::NoDuplicate => writes::doubled(evidence),
            Check::Linearizable => linearizable::broken(evidence.entries),
            Check::EveryStreamEnds => calls::unended(evidence),
            Check::NoHang => calls::hung(evidence),
            Check::NoChatFails => calls::failed(evidence),
            Check::AsDeclared => declared::broken(evidence),
            Check::Limits => limits::exceeded(evidence),
            // These are looked for while it runs, some by one driver only.
            Check::OneLeader
            | Check::Agreement
            | Check::OneHostPerEpoch
            | Check::GoneForGood
            | Check::Routable
            | Check::NoNeedlessMove
            | Check::Placement
            | Check::RestartIntensity
            | Check::Bounded
            | Check::Keys
            | Check::Converges
            | Check::NoPanic
            | Check::HealthyStay => continue,
        };
        violations.extend(found.into_iter().take(TOLD_MAX).map(|what| Violation { check: *check, what }));
    }
    violations
}

/// A replica as reports show it, and as engines are labelled.
fn label(deployment: DeploymentId, ordinal: u32) -> String {
    format!("{deployment}/{ordinal}")
}

/// A time as reports show it.
fn shown(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
