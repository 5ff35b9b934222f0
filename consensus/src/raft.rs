//! The types openraft is instantiated with, and nothing else. The runtime is tokio with seeded randomness: whoever starts a
//! [`Raft`] does so inside `Runtime::scope`, and what openraft spawns inherits the seed.

use domain::Outcome;
use openraft::BasicNode;
use openraft::alias::{EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf};
use openraft_rt::deterministic_rng::DeterministicRng;
use openraft_rt_tokio::TokioRuntime;
use serde::{Deserialize, Serialize};

use crate::record::Record;
use crate::store::{Machine, SnapshotData};

/// Tokio, with chance that a seed decides.
pub(crate) type Runtime = DeterministicRng<TokioRuntime>;

/// What applying an entry answers; nothing for entries that carry no command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer(pub(crate) Option<Outcome>);

openraft::declare_raft_types!(
    /// Our instance of openraft. One leader a term, as in the paper.
    pub(crate) Types:
        D = Record,
        R = Answer,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = Runtime,
);

pub(crate) type Raft = openraft::Raft<Types, Machine>;
pub(crate) type LogId = LogIdOf<Types>;
pub(crate) type Entry = EntryOf<Types>;
pub(crate) type Vote = VoteOf<Types>;
pub(crate) type StoredMembership = StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = SnapshotMetaOf<Types>;
pub(crate) type Snapshot = SnapshotOf<Types, SnapshotData>;
pub(crate) type Member = BasicNode;
