//! Backups: which rows belong into one, page by page, and how they come back into another cluster. What belongs to nodes
//! (themselves, their wraps of the data key, where replicas are) and what only makes retries harmless stays behind.
//! Rows come back by commands of bounded size that check each row as the tables' own commands would.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::adapter::Adapter;
use super::config::Value;
use super::deployment::Deployment;
use super::key::Key;
use super::limit::{Counter, Lease};
use super::model::Model;
use super::price::Price;
use super::provider::{Kind, Provider};
use super::route::Route;
use super::secret::Secret;
use super::setting::Setting;
use super::{
    Context, adapter, config, deployment, key, limit, model, price, provider, rotation, route, secret,
    setting,
};
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::ids::{KeyId, Millis};
use crate::limits::{RESTORED_KEYS_MAX, RESTORES_MAX};
use crate::table::{LoadError, Row, Table, encode, open};

/// The feature level from which clusters can be restored.
const LEVEL: u16 = 2;

/// A row as it is stored: what backups are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawRow {
    /// Table number and encoded key.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
    /// The encoded row.
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
}

impl RawRow {
    /// How many bytes key and value have together.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }

    /// The feature level from which there are such rows.
    pub fn level(&self) -> u16 {
        match self.key.split_first() {
            Some((&Price::TABLE, _)) => price::LEVEL,
            Some((&Adapter::TABLE, _)) => adapter::LEVEL,
            Some((&Route::TABLE, _)) => route::LEVEL,
            Some((&Provider::TABLE, key)) => {
                open::<Provider>(key, &self.value).map_or(LEVEL, |(_, provider)| LEVEL.max(provider.level()))
            }
            Some((&Key::TABLE, key)) => open::<Key>(key, &self.value)
                .map_or(LEVEL, |(_, key)| LEVEL.max(limit::level_of(&key.limits))),
            _ => LEVEL,
        }
    }
}

/// A restore that was begun here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The backup's id.
    pub backup: String,
    /// Everything that is numbered by the log has a number above this one from here on: rows of the backup have lower ones.
    pub base: u64,
    /// When it began.
    pub begun_at: Millis,
    /// When its last row was in; `None` while it is under way.
    pub ended_at: Option<Millis>,
}

impl Row for Restore {
    const TABLE: u8 = 17;
    type Key = String;
}

/// What becomes of a table in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its rows are in it, under this name.
    Kept(&'static str),
    /// They are the old cluster's alone.
    Left,
}

/// What becomes of a table, by its number; `None` of a table this version does not know.
pub fn fate(table: u8) -> Option<Fate> {
    match table {
        Model::TABLE => Some(Fate::Kept("models")),
        Deployment::TABLE => Some(Fate::Kept("deployments")),
        Provider::TABLE => Some(Fate::Kept("providers")),
        Key::TABLE => Some(Fate::Kept("keys")),
        Secret::TABLE => Some(Fate::Kept("secrets")),
        Value::TABLE => Some(Fate::Kept("config")),
        Setting::TABLE => Some(Fate::Kept("settings")),
        Price::TABLE => Some(Fate::Kept("prices")),
        Adapter::TABLE => Some(Fate::Kept("adapters")),
        Route::TABLE => Some(Fate::Kept("routes")),
        // What limits' windows have given out is the old cluster's.
        Counter::TABLE | Lease::TABLE => Some(Fate::Left),
        // Nodes, join tokens (they pin the old authority), wraps, remembered requests, the clock, removed nodes, events, restores.
        1 | 6 | 8 | 9 | 10 | 11 | 14 | Restore::TABLE => Some(Fate::Left),
        // Which keys are in use and who has them.
        rotation::Rotation::TABLE | rotation::Holding::TABLE => Some(Fate::Left),
        _ => None,
    }
}

/// The next rows of a backup after this key (empty at first), in the order of their keys: as many as reach `bytes`, and none
/// at the end. The rows of one state never change, so pages of one state fit together.
pub fn page(state: &State, after: &[u8], bytes: usize) -> Vec<RawRow> {
    let mut page = Page { after, limit: bytes, bytes: 0, rows: Vec::new() };
    page.take(&state.models, |row| Some(row.clone()));
    page.take(&state.deployments, |row| Some(row.unplaced()));
    page.take(&state.providers, |row| Some(row.clone()));
    page.take(&state.keys, |row| Some(row.clone()));
    page.take(&state.secrets, |row| (!secret::is_own(&row.name)).then(|| row.clone()));
    page.take(&state.config, |row| Some(row.clone()));
    page.take(&state.settings, |row| setting::is_kept(row).then(|| row.clone()));
    page.take(&state.prices, |row| Some(row.clone()));
    page.take(&state.adapters, |row| Some(row.clone()));
    page.take(&state.routes, |row| Some(row.clone()));
    page.rows
}

struct Page<'a> {
    after: &'a [u8],
    limit: usize,
    bytes: usize,
    rows: Vec<RawRow>,
}

impl Page<'_> {
    fn take<R: Row>(&mut self, table: &Table<R>, shown: impl Fn(&Arc<R>) -> Option<Arc<R>>) {
        let after = match self.after.split_first() {
            Some((number, _)) if *number > R::TABLE => return,
            Some((number, key)) if *number == R::TABLE => Some(key),
            _ => None,
        };
        for (key, row) in table.after(after) {
            if self.bytes >= self.limit {
                return;
            }
            let Some(row) = shown(row) else { continue };
            let row = RawRow { key: crate::table::row_key::<R>(key).to_vec(), value: encode(&*row).to_vec() };
            self.bytes += row.bytes();
            self.rows.push(row);
        }
    }
}

/// The highest number the log gave to anything in this state; `applied` is the last entry in it.
pub fn numbers(state: &State, applied: u64) -> u64 {
    applied.saturating_add(state.base)
}

/// The restore that is under way, if one is.
pub fn under_way(state: &State) -> Option<&Restore> {
    state.restores.rows().find(|restore| restore.ended_at.is_none()).map(|restore| &**restore)
}

/// What users have in the cluster already, in words; `None` when a backup can be restored into it without harm. The one key
/// of a new cluster, and the mock provider it may begin with, are nothing.
pub fn occupied(state: &State) -> Option<String> {
    let providers = state.providers.rows().filter(|p| p.kind != Kind::Mock).count();
    let secrets = state.secrets.rows().filter(|s| !secret::is_own(&s.name)).count();
    let kinds = [
        (state.models.len(), "models"),
        (state.deployments.len(), "deployments"),
        (providers, "providers"),
        (state.keys.len().saturating_sub(1), "keys beside the one used here"),
        (secrets, "secrets"),
        (state.config.len(), "configuration values"),
        (state.settings.len(), "settings"),
        (state.prices.len(), "prices"),
        (state.adapters.len(), "adapters"),
        (state.routes.len(), "routes"),
    ];
    let found: Vec<String> =
        kinds.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    (!found.is_empty()).then(|| found.join(", "))
}

/// Steps of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// It begins; once more for the same backup, it goes on.
    Begin {
        /// The backup's id.
        backup: String,
        /// The highest number in the backup, as [`numbers`] told it.
        base: u64,
        /// The key that is used for it, which stays.
        keep: KeyId,
        /// The old cluster's data keys, sealed under this cluster's.
        data_keys: Vec<Secret>,
        /// Whether what users have here is thrown away first.
        replace: bool,
    },
    /// Some rows, in the backup's order; those that are here already are passed over.
    Rows {
        /// The backup's id.
        backup: String,
        /// The rows.
        rows: Vec<RawRow>,
    },
    /// All rows are in.
    End {
        /// The backup's id.
        backup: String,
    },
}

impl Command {
    /// The feature level it takes: that of the rows it brings.
    pub(crate) fn level(&self) -> u16 {
        match self {
            Command::Rows { rows, .. } => rows.iter().map(RawRow::level).fold(LEVEL, u16::max),
            Command::Begin { .. } | Command::End { .. } => LEVEL,
        }
    }
}

/// Why a restore's command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// There is something already.
    #[error(
        "this cluster is not empty ({0}): restore into a new cluster, or throw away what is here with `llmhub restore --replace`"
    )]
    NotEmpty(String),
    /// Another restore was begun and not ended.
    #[error(
        "backup {0} is being restored: end that first by restoring it again, or start over with `llmhub restore --replace`"
    )]
    Other(String),
    /// None was begun.
    #[error("backup {0} is not being restored here: begin with `llmhub restore`")]
    NotBegun(String),
    /// It makes no sense.
    #[error("{field} of the restore is wrong: {hint}")]
    Bad {
        /// Which part.
        field: String,
        /// What to do.
        hint: String,
    },
    /// A row cannot come in.
    #[error("row {row} of table {table} cannot be restored: {reason}")]
    Row {
        /// The table, by its name or number.
        table: String,
        /// The row's key in words.
        row: String,
        /// Why not, and what to do.
        reason: String,
    },
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        match self {
            Reject::NotEmpty(_) | Reject::Other(_) | Reject::NotBegun(_) => RejectClass::Conflict,
            Reject::Bad { .. } | Reject::Row { .. } => RejectClass::Invalid,
        }
    }
}

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    // On a copy, which costs nothing: a command that is refused half way must change nothing.
    let (mut next, before) = (state.clone(), ctx.out.len());
    let done = match command {
        Command::Begin { backup, base, keep, data_keys, replace } => {
            begin(&mut next, Beginning { backup, base: *base, keep: *keep, data_keys }, *replace, ctx)
        }
        Command::Rows { backup, rows } => put_all(&mut next, backup, rows, ctx),
        Command::End { backup } => end(&mut next, backup, ctx),
    };
    match done {
        Ok(()) => {
            *state = next;
            Ok(Reply::Done)
        }
        Err(reject) => {
            ctx.out.truncate(before);
            Err(reject.into())
        }
    }
}

struct Beginning<'a> {
    backup: &'a String,
    base: u64,
    keep: KeyId,
    data_keys: &'a [Secret],
}

fn begin(state: &mut State, ask: Beginning<'_>, replace: bool, ctx: &mut Context<'_>) -> Result<(), Reject> {
    if under_way(state).is_some_and(|restore| restore.backup == *ask.backup) && !replace {
        return put_data_keys(state, ask.data_keys, ctx);
    }
    if !replace {
        if let Some(other) = under_way(state) {
            return Err(Reject::Other(other.backup.clone()));
        }
        if let Some(what) = occupied(state) {
            return Err(Reject::NotEmpty(what));
        }
    }
    let bad = |field: &str, hint: &str| Reject::Bad { field: field.to_owned(), hint: hint.to_owned() };
    if ask.backup.is_empty() || ask.backup.len() > BACKUP_ID_LEN_MAX {
        return Err(bad("the backup's id", "take the one its manifest has"));
    }
    if ask.base > u64::MAX / 2 {
        return Err(bad("the backup's highest number", "take the one its manifest has"));
    }
    let Some(kept) = state.keys.get(&ask.keep).cloned() else {
        return Err(bad("the key that stays", "use one that this cluster has"));
    };
    clear(state, ctx);
    while state.restores.len() >= RESTORES_MAX {
        let Some((oldest, _)) = state.restores.iter().min_by_key(|(_, r)| r.begun_at) else { break };
        let oldest = oldest.clone();
        state.restores.remove(ctx.out, &oldest);
    }
    // Numbers of the log are spent above all that the backup and this cluster have used.
    let entry = ctx.index - state.base;
    let base = ask.base.max(state.base);
    let restore = Restore { backup: ask.backup.clone(), base, begun_at: ctx.now, ended_at: None };
    state.restores.put(ctx.out, ask.backup.clone(), restore);
    let id = KeyId(base + entry);
    state.keys.put(ctx.out, id, Key { id, ..(*kept).clone() });
    state.reindex();
    put_data_keys(state, ask.data_keys, ctx)
}

/// The longest id a backup may have, in bytes.
const BACKUP_ID_LEN_MAX: usize = 128;

/// Throws away what users have, and what is left of a restore that was not ended.
fn clear(state: &mut State, ctx: &mut Context<'_>) {
    state.models.clear(ctx.out);
    state.deployments.clear(ctx.out);
    state.providers.clear(ctx.out);
    state.keys.clear(ctx.out);
    state.config.clear(ctx.out);
    state.settings.clear(ctx.out);
    state.prices.clear(ctx.out);
    state.adapters.clear(ctx.out);
    state.routes.clear(ctx.out);
    state.limit_counters.clear(ctx.out);
    state.limit_leases.clear(ctx.out);
    state.config_bytes = 0;
    let theirs = state.secrets.iter().filter(|(name, _)| !secret::is_own(name)).map(|(name, _)| name.clone());
    for name in theirs.collect::<Vec<_>>() {
        state.secrets.remove(ctx.out, &name);
    }
    // What was not ended stays as a number that was used, and is under way no more.
    let open = state.restores.rows().filter(|r| r.ended_at.is_none()).cloned().collect::<Vec<_>>();
    for restore in open {
        let row = Restore { ended_at: Some(ctx.now), ..(*restore).clone() };
        state.restores.put(ctx.out, row.backup.clone(), row);
    }
}

fn put_data_keys(state: &mut State, keys: &[Secret], ctx: &mut Context<'_>) -> Result<(), Reject> {
    for key in keys {
        if !secret::is_data_key(&key.name) {
            let hint = format!("`{}` is not the name of a data key", key.name);
            return Err(Reject::Bad { field: "a data key".to_owned(), hint });
        }
        rotation::check_sealed(state, &key.sealed)
            .map_err(|e| Reject::Bad { field: "a data key".to_owned(), hint: e.to_string() })?;
        if !state.secrets.contains(&key.name) {
            state.secrets.put(ctx.out, key.name.clone(), key.clone());
        }
    }
    if state.secrets.rows().filter(|s| secret::is_data_key(&s.name)).count() > RESTORED_KEYS_MAX {
        let hint = format!("{RESTORED_KEYS_MAX} old ones are kept at most: restore into a new cluster");
        return Err(Reject::Bad { field: "the number of data keys".to_owned(), hint });
    }
    Ok(())
}

fn end(state: &mut State, backup: &String, ctx: &mut Context<'_>) -> Result<(), Reject> {
    match state.restores.get(backup).cloned() {
        Some(restore) if restore.ended_at.is_none() => {
            let row = Restore { ended_at: Some(ctx.now), ..(*restore).clone() };
            state.restores.put(ctx.out, backup.clone(), row);
            rotation::restored(state, ctx);
            Ok(())
        }
        // Asked for twice.
        Some(_) => Ok(()),
        None => Err(Reject::NotBegun(backup.clone())),
    }
}

fn put_all(state: &mut State, backup: &str, rows: &[RawRow], ctx: &mut Context<'_>) -> Result<(), Reject> {
    let restore = under_way(state).filter(|restore| restore.backup == backup);
    let base = restore.ok_or_else(|| Reject::NotBegun(backup.to_owned()))?.base;
    rows.iter().try_for_each(|row| {
        put(state, row, base, ctx).map_err(|reason| {
            let (number, key) = row.key.split_first().unwrap_or((&0, &[]));
            let table = match fate(*number) {
                Some(Fate::Kept(name)) => name.to_owned(),
                _ => number.to_string(),
            };
            Reject::Row { table, row: words(key), reason }
        })
    })
}

fn put(state: &mut State, row: &RawRow, base: u64, ctx: &mut Context<'_>) -> Result<(), String> {
    let Some((table, key)) = row.key.split_first() else { return Err("it has no key".to_owned()) };
    let unreadable = |e: LoadError| e.to_string();
    // Programs that know no such rows neither stamp commands with them as new, nor take them. Before prices no level was
    // looked at, and what old logs say has to come to the same.
    if row.level() > state.level().max(price::LEVEL - 1) {
        return Err(format!("it takes feature level {}: upgrade every node first", row.level()));
    }
    match *table {
        Model::TABLE => model::restore(state, open(key, &row.value).map_err(unreadable)?, ctx),
        Deployment::TABLE => {
            deployment::restore(state, open(key, &row.value).map_err(unreadable)?, base, ctx)
        }
        Provider::TABLE => provider::restore(state, open(key, &row.value).map_err(unreadable)?, base, ctx),
        Key::TABLE => key::restore(state, open(key, &row.value).map_err(unreadable)?, base, ctx),
        Secret::TABLE => secret::restore(state, open(key, &row.value).map_err(unreadable)?, ctx),
        Setting::TABLE => setting::restore(state, open(key, &row.value).map_err(unreadable)?, ctx),
        Price::TABLE => price::restore(state, open(key, &row.value).map_err(unreadable)?, ctx),
        Adapter::TABLE => adapter::restore(state, open(key, &row.value).map_err(unreadable)?, ctx),
        Route::TABLE => route::restore(state, open(key, &row.value).map_err(unreadable)?, ctx),
        Value::TABLE => config::restore(state, open(key, &row.value).map_err(unreadable)?, base, ctx),
        _ => Err("this version restores no such table: start the version that made the backup".to_owned()),
    }
}

/// A row's key for people: as text if it is one, else its digits.
fn words(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()) => text.to_owned(),
        _ => key.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
