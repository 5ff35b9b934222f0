//! The way out when a majority is lost for good: the disk of one stopped node is made that of a cluster of one. Its log stays
//! as it is, and two entries are put behind it: a membership in which this node votes alone, and the command that buries
//! all others. The next start elects this node by itself and commits what its log holds, acknowledged or not. Writes that
//! only the lost nodes had are lost; that is why a person has to ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use domain::command::VERSION;
use domain::{Command, Envelope, Millis, NodeId, RequestId, State, node};
use openraft::EntryPayload;
use openraft::storage::{RaftLogReader, RaftLogStorage};

use super::keys::{self, APPLIED_KEY, Applied, PURGED_KEY, VOTE_KEY, log_key};
use super::log::LogStore;
use super::machine;
use crate::codec::store;
use crate::disk::{Batch, Disk, Family, Range};
use crate::error::Error;
use crate::raft::{Entry, LogId, Member, StoredMembership, Vote};
use crate::record::{Record, pack};

/// Entries looked at in one step, and their bytes.
const READ_ENTRIES: usize = 1024;
const READ_BYTES: usize = 1024 * 1024;

/// What was found and done.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The node that goes on.
    pub node: NodeId,
    /// The last entry of its log, which it keeps.
    pub last: u64,
    /// Up to here the log was known to be agreed on; what follows it is taken as agreed now.
    pub committed: u64,
    /// The term it begins in.
    pub term: u64,
    /// Who voted before.
    pub voters: BTreeSet<NodeId>,
    /// Who is gone for good.
    pub buried: Vec<NodeId>,
    /// The tables as they will be.
    pub state: State,
}

/// What is on a stopped node's disk.
struct Found {
    applied: Applied,
    /// The end of the log, which the tables are ahead of where a snapshot came last.
    log_last: Option<LogId>,
    last: Option<LogId>,
    committed: Option<LogId>,
    vote: Option<Vote>,
    membership: StoredMembership,
    state: State,
}

/// Makes a node's disk that of the only voter of its cluster. The node must be stopped; `at` is the time, `id` a fresh
/// request id. Everything is written in one durable batch, so that it happens or does not.
///
/// # Errors
/// When the disk is not that of a member that can open the cluster's secrets, or cannot be understood; then nothing is changed.
pub async fn recover(disk: Arc<dyn Disk>, me: NodeId, at: Millis, id: RequestId) -> Result<Recovered, Error> {
    keys::check_format(&*disk).await?;
    let found = look(&disk).await?;
    let members = found.membership.membership().nodes().map(|(id, _)| NodeId(*id));
    let others: BTreeSet<NodeId> = members.filter(|id| *id != me).collect();
    let voters: BTreeSet<NodeId> = found.membership.membership().voter_ids().map(NodeId).collect();
    let row = check(&found, me, &voters, &others)?;
    let addr = row.cluster_addr.clone();

    let term = found.vote.as_ref().map_or(0, |vote| vote.leader_id().term);
    let term = term.max(found.last.map_or(0, |last| last.committed_leader_id().term)) + 1;
    let last = found.last.map_or(0, |last| last.index());
    let alone =
        openraft::Membership::new(vec![BTreeSet::from([me.0])], BTreeMap::from([(me.0, Member::new(addr))]))
            .map_err(|e| Error::bug(format!("a membership of one is refused, {e}")))?;
    let survive = node::Command::Survive { id: me, others: others.iter().copied().collect() };
    let envelope = Envelope { at, ..Envelope::new(id, Command::Node(survive)) };
    let record = Record::take(pack(&envelope)?, at, VERSION)?.0;
    let entry = |index, payload| Entry { log_id: LogId::new_term_index(term, index), payload };
    let entries =
        [entry(last + 1, EntryPayload::Membership(alone)), entry(last + 2, EntryPayload::Normal(record))];

    let mut state = found.state;
    let before: BTreeSet<NodeId> = state.gone.iter().map(|(id, _)| *id).collect();
    let outcome = state.apply(last + 2, &envelope, &mut Vec::new());
    outcome.map_err(|reject| Error::refused(format!("the other nodes cannot be buried, {reject}")))?;
    let buried = state.gone.iter().map(|(id, _)| *id).filter(|id| !before.contains(id)).collect();

    let mut batch = Batch::default();
    if found.applied.last > found.log_last {
        // The tables are ahead of the log: a snapshot came and the log before it was not yet thrown away.
        batch.delete_range(Family::Log, log_key(0), log_key(u64::MAX));
        keys::put(&mut batch, PURGED_KEY, &found.applied.last)?;
    }
    for entry in &entries {
        let key = log_key(entry.log_id.index());
        let value = store(&key, entry)?;
        batch.put(Family::Log, key, value);
    }
    keys::put(&mut batch, VOTE_KEY, &Vote::new(term, me.0))?;
    disk.write(batch, true).await?;
    let committed = found.committed.max(found.applied.last).map_or(0, |id| id.index());
    Ok(Recovered { node: me, last, committed, term, voters, buried, state })
}

/// Whether this disk can carry the cluster on: then the node's row in it.
fn check(
    found: &Found,
    me: NodeId,
    voters: &BTreeSet<NodeId>,
    others: &BTreeSet<NodeId>,
) -> Result<node::Node, Error> {
    if voters.is_empty() {
        return Err(Error::refused(format!(
            "node {me} belongs to no cluster yet: there is nothing to recover"
        )));
    }
    if others.is_empty() && voters.contains(&me) && found.state.nodes.len() <= 1 {
        return Err(Error::refused(format!(
            "node {me} is its cluster's only node already: there is nothing to recover, start it"
        )));
    }
    let Some(row) = found.state.nodes.get(&me) else {
        return Err(Error::refused(format!(
            "node {me} is not in the cluster any more, by its own data: take another node, or a backup"
        )));
    };
    if !found.state.wraps.contains(&me) {
        return Err(Error::refused(format!(
            "node {me} did not vote, so it cannot open the cluster's secrets and no node could ever join it: take a node \
             that voted, or restore a backup into a new cluster"
        )));
    }
    Ok((**row).clone())
}

/// Reads everything, and applies in memory what the tables do not hold yet.
async fn look(disk: &Arc<dyn Disk>) -> Result<Found, Error> {
    let mut log = LogStore::new(Arc::clone(disk));
    let applied = keys::get::<Applied>(&**disk, APPLIED_KEY).await?.unwrap_or_default();
    let io = |e: std::io::Error| Error::Storage { why: e.to_string() };
    let logs = log.get_log_state().await.map_err(io)?;
    let last = logs.last_log_id.max(applied.last);
    let mut found = Found {
        state: machine::load(&*disk.view(), applied.generation).await?,
        log_last: logs.last_log_id,
        last,
        committed: log.read_committed().await.map_err(io)?,
        vote: log.read_vote().await.map_err(io)?,
        membership: applied.membership.clone(),
        applied,
    };
    let mut next = found.applied.last.map_or(0, |id| id.index() + 1);
    loop {
        let range = Range::all(Bound::Included(log_key(next)), Bound::Unbounded);
        let entries = log.read(range.limit(READ_ENTRIES, READ_BYTES)).await?;
        let Some(end) = entries.last().map(|entry| entry.log_id.index()) else { break };
        if entries.first().is_some_and(|first| first.log_id.index() != next) {
            return Err(Error::Storage {
                why: format!("the log has a hole at entry {next}: take another node's disk"),
            });
        }
        for entry in entries {
            found.step(entry)?;
        }
        next = end + 1;
    }
    Ok(found)
}

impl Found {
    fn step(&mut self, entry: Entry) -> Result<(), Error> {
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
            }
            EntryPayload::Normal(record) => {
                let index = entry.log_id.index();
                let envelope = record.open(index, VERSION).map_err(|e| Error::refused(e.to_string()))?;
                // Its outcome was the proposer's to hear.
                let _ = self.state.apply(index, &envelope, &mut Vec::new());
            }
        }
        Ok(())
    }
}
