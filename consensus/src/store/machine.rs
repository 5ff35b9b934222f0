//! The state machine: applies entries to [`domain::State`] in memory and writes what changed, together with how far it got, in
//! one batch. The log is the truth, so these writes need not be durable one by one. What is in memory is rebuilt from the
//! rows at start.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::State;
use futures::{Stream, TryStreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};

use super::keys::{self, APPLIED_KEY, Applied, row_key, row_of, rows};
use super::snapshot::SnapshotData;
use super::stage::{Stage, Staged};
use crate::board::Board;
use crate::codec::{seal, unseal};
use crate::disk::{Batch, Disk, Error, Family, Range, View};
use crate::raft::{Answer, Entry, LogId, Snapshot, SnapshotMeta, StoredMembership, Types};
use crate::record::Unreadable;

/// At most so many entries go into one write, and then answers go out.
const APPLY_ENTRIES_MAX: usize = 256;
/// At most about so many bytes.
const APPLY_BYTES_MAX: usize = 1024 * 1024;
/// How much is read at once when the tables are loaded.
const LOAD_ROWS: usize = 1024;
const LOAD_BYTES: usize = 1024 * 1024;
/// How long to wait for a chunk of a snapshot that openraft hands over unstaged; ours come staged.
const CHUNK_WAIT: Duration = Duration::from_secs(10);

pub(crate) struct Machine {
    disk: Arc<dyn Disk>,
    stage: Arc<Stage>,
    board: Arc<Board>,
    state: State,
    applied: Applied,
    level: u16,
}

impl Machine {
    /// Loads the tables and posts them.
    pub(crate) async fn open(
        disk: Arc<dyn Disk>,
        stage: Arc<Stage>,
        board: Arc<Board>,
        level: u16,
    ) -> Result<Self, Error> {
        let applied = keys::get::<Applied>(&*disk, APPLIED_KEY).await?.unwrap_or_default();
        // What an interrupted snapshot left.
        let mut clear = Batch::default();
        keys::drop_other_generations(&mut clear, applied.generation);
        disk.write(clear, false).await?;
        let state = load(&*disk.view(), applied.generation).await?;
        let machine = Self { disk, stage, board, state, applied, level };
        machine.post(true);
        Ok(machine)
    }

    fn post(&self, membership: bool) {
        let index = self.applied.last.map_or(0, |id| id.index());
        self.board.applied(&self.state, index, membership.then_some(&self.applied.membership));
    }

    /// Applies one entry in memory and collects what to write. An entry that cannot be applied changes nothing: skipping it
    /// would make this node's tables differ from the others' for good.
    fn step(&mut self, entry: Entry, group: &mut Group) -> Result<Answer, Unreadable> {
        let index = entry.log_id.index();
        let answer = match entry.payload {
            EntryPayload::Blank => Answer(None),
            EntryPayload::Membership(membership) => {
                self.applied.membership = StoredMembership::new(Some(entry.log_id), membership);
                group.membership = true;
                Answer(None)
            }
            EntryPayload::Normal(record) => {
                let envelope = record.open(index, self.level)?;
                let mut changes = domain::Changes::new();
                let outcome = self.state.apply(index, &envelope, &mut changes);
                for change in changes {
                    group.bytes += change.key.len() + change.value.as_ref().map_or(0, |value| value.len());
                    group.rows.insert(change.key, change.value);
                }
                Answer(Some(outcome))
            }
        };
        self.applied.last = Some(entry.log_id);
        Ok(answer)
    }

    /// Writes a group, publishes the tables, and only then answers.
    async fn finish(&mut self, group: Group) -> Result<(), io::Error> {
        let Group { rows, membership, answers, .. } = group;
        let mut batch = Batch::default();
        for (row, value) in rows {
            let key = row_key(self.applied.generation, &row);
            match value {
                Some(value) => batch.put(Family::Tables, key, seal(&row, &value)),
                None => batch.delete(Family::Tables, key),
            }
        }
        keys::put(&mut batch, APPLIED_KEY, &self.applied)?;
        self.disk.write(batch, false).await?;
        self.post(membership);
        for (responder, answer) in answers {
            if let Some(responder) = responder {
                responder.send(answer);
            }
        }
        Ok(())
    }

    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.applied.last, last_membership: self.applied.membership.clone() }
    }
}

/// Entries that are written together.
#[derive(Default)]
struct Group {
    /// What becomes of each row: what several entries change is written once.
    rows: BTreeMap<Bytes, Option<Bytes>>,
    bytes: usize,
    membership: bool,
    answers: Vec<(Option<ApplyResponder<Types>>, Answer)>,
}

impl Group {
    fn full(&self) -> bool {
        self.answers.len() >= APPLY_ENTRIES_MAX || self.bytes >= APPLY_BYTES_MAX
    }
}

pub(super) async fn load(view: &dyn View, generation: u64) -> Result<State, Error> {
    let mut state = State::default();
    let mut range: Range = rows(generation).limit(LOAD_ROWS, LOAD_BYTES);
    loop {
        let found = view.range(Family::Tables, range.clone()).await?;
        let Some((last, _)) = found.last() else { break };
        range.from = Bound::Excluded(last.clone());
        for (key, stored) in &found {
            let row = row_of(key)?;
            state.load(&row, unseal(&row, stored)?).map_err(|e| Error::Corrupt(e.to_string()))?;
        }
    }
    state.reindex();
    Ok(state)
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied.last, self.applied.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut group = Group::default();
        while let Some((entry, responder)) = entries.try_next().await? {
            match self.step(entry, &mut group) {
                Ok(answer) => group.answers.push((responder, answer)),
                Err(unreadable) => {
                    // What came before it is good and stays.
                    self.finish(group).await?;
                    return Err(io::Error::other(unreadable));
                }
            }
            if group.full() {
                self.finish(std::mem::take(&mut group)).await?;
            }
        }
        if group.answers.is_empty() { Ok(()) } else { self.finish(group).await }
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            disk: Arc::clone(&self.disk),
            view: Some(self.disk.view()),
            generation: self.applied.generation,
            meta: self.meta(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let staged: Staged = match snapshot {
            SnapshotData::Staged(staged) => *staged,
            SnapshotData::Live(chunks) => {
                self.stage.receive(chunks, CHUNK_WAIT).await.map_err(io::Error::other)?
            }
        };
        let applied = Applied {
            generation: staged.generation,
            last: meta.last_log_id,
            membership: meta.last_membership.clone(),
        };
        let mut batch = Batch::default();
        keys::put(&mut batch, APPLIED_KEY, &applied)?;
        keys::drop_other_generations(&mut batch, applied.generation);
        self.disk.write(batch, true).await?;
        self.state = staged.state.clone();
        self.applied = applied;
        self.post(true);
        tracing::info!(index = self.applied.last.map_or(0, |id| id.index()), "snapshot installed");
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        if self.applied.last.is_none() {
            return Ok(None);
        }
        let snapshot = SnapshotData::of(self.disk.view(), self.applied.generation);
        Ok(Some(Snapshot { meta: self.meta(), snapshot }))
    }
}

/// Makes a snapshot of the tables as they were when it was created.
pub(crate) struct Builder {
    disk: Arc<dyn Disk>,
    view: Option<Box<dyn View>>,
    generation: u64,
    meta: SnapshotMeta,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let view = self.view.take().ok_or_else(|| io::Error::other("a snapshot is built once"))?;
        // The log before a snapshot may be thrown away, so from here on the tables must not be lost.
        self.disk.write(Batch::default(), true).await?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot: SnapshotData::of(view, self.generation) })
    }
}
