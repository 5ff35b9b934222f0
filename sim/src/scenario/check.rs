//! What must hold, by name. What each looks at is in [`crate::invariants`].

use serde::{Deserialize, Serialize};

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Check {
    /// At most one leader a term. Looks inside, so: simulator only.
    OneLeader,
    /// Nodes that applied equally much have equal tables. Simulator only.
    Agreement,
    /// Every acknowledged write is there in the end.
    NoWriteLost,
    /// No write happened twice, none that was refused happened.
    NoDuplicate,
    /// Reads and writes of each register have an order that explains them.
    Linearizable,
    /// No epoch of a replica runs on two nodes. Simulator only.
    OneHostPerEpoch,
    /// Who was removed is out for ever: not routed to, not back in the tables, not running on. Simulator only.
    GoneForGood,
    /// Suspicion alone takes no more nodes out of routing than it may. Simulator only.
    Routable,
    /// No replica moves without a reason that the tables show, and none again and again. Simulator only.
    NoNeedlessMove,
    /// Replicas are placed where they may be: on nodes that stand, spread over zones, no GPU given twice. Simulator only.
    Placement,
    /// Engines and actors are not started more often in a while than their supervision allows. Simulator only.
    RestartIntensity,
    /// What a node shows of its queues and books stays within their bounds. Simulator only.
    Bounded,
    /// Every stream of a node that stays up ends in `[DONE]` or in an error.
    EveryStreamEnds,
    /// No request outlives its deadline.
    NoHang,
    /// A chat asked of a node that stays up succeeds, whoever else dies.
    NoChatFails,
    /// A node without a majority serves models and reads, and acknowledges no change.
    AsDeclared,
    /// A key's limit lets no more through, over all nodes, than it says.
    Limits,
    /// Whoever has the data key opens all that is sealed, and who was removed knows no key that is used. Simulator only.
    Keys,
    /// The cluster gets ready, and after the last fault it becomes well again in time.
    Converges,
    /// Nothing panics. Simulator only; real processes show it as a node that died.
    NoPanic,
    /// No replica moves or starts again but those of nodes that were taken away.
    HealthyStay,
}

impl Check {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Check::OneLeader => "one_leader",
            Check::Agreement => "agreement",
            Check::NoWriteLost => "no_write_lost",
            Check::NoDuplicate => "no_duplicate",
            Check::Linearizable => "linearizable",
            Check::OneHostPerEpoch => "one_host_per_epoch",
            Check::GoneForGood => "gone_for_good",
            Check::Routable => "routable",
            Check::NoNeedlessMove => "no_needless_move",
            Check::Placement => "placement",
            Check::RestartIntensity => "restart_intensity",
            Check::Bounded => "bounded",
            Check::EveryStreamEnds => "every_stream_ends",
            Check::NoHang => "no_hang",
            Check::NoChatFails => "no_chat_fails",
            Check::AsDeclared => "as_declared",
            Check::Limits => "limits",
            Check::Keys => "keys",
            Check::Converges => "converges",
            Check::NoPanic => "no_panic",
            Check::HealthyStay => "healthy_stay",
        }
    }
}

/// What must hold everywhere.
pub const SAFETY: &[Check] = &[
    Check::OneLeader,
    Check::Agreement,
    Check::NoWriteLost,
    Check::NoDuplicate,
    Check::Linearizable,
    Check::OneHostPerEpoch,
    Check::GoneForGood,
    Check::Routable,
    Check::NoNeedlessMove,
    Check::Placement,
    Check::RestartIntensity,
    Check::Bounded,
    Check::EveryStreamEnds,
    Check::NoHang,
    Check::AsDeclared,
    Check::Limits,
    Check::Keys,
    Check::Converges,
    Check::NoPanic,
];
