//! `llmhub backup`: what a cluster needs to be made again, kept outside it. The rows come from a node as one stream; here
//! they are cut into pieces, sealed and written. Only verified answers make a backup: a stream that ends early makes none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::restore::RawRow;
use runtime::seal;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::api::{Answer, Api, broken};
use super::args::{BackupCommand, BackupKey};
use super::failure::Failure;
use super::target::Target;
use super::{print, print_json, print_one, secret};
use crate::backup::key::{self, Given};
use crate::backup::manifest::{FORMAT, Head, Manifest, Part};
use crate::backup::piece::Cutter;
use crate::backup::place::Place;
use crate::os::entropy::OsEntropy;

/// The longest line of the stream, in bytes: a page of rows, or one row as large as they get, in base64.
const LINE_BYTES_MAX: usize = 8 << 20;

impl From<crate::backup::Error> for Failure {
    fn from(error: crate::backup::Error) -> Self {
        use crate::backup::Error;
        match &error {
            Error::Key(_) | Error::Place(_) => Failure::Usage(error.to_string()),
            Error::System { .. } | Error::Damaged { .. } => Failure::Failed(error.to_string()),
        }
    }
}

/// `llmhub backup …`.
///
/// # Errors
/// What to do.
pub(crate) async fn run(command: BackupCommand) -> Result<(), Failure> {
    match command {
        BackupCommand::Create { dir, key, target } => create(&dir, &given(&key)?, &target).await,
        BackupCommand::List { dir, key, json } => list(&dir, &given(&key)?, json),
        BackupCommand::Verify { dir, key, json } => verify(&dir, &given(&key)?, json),
        BackupCommand::NewKey { file, json } => {
            key::write_new(&file, &OsEntropy::default())?;
            let line = format!(
                "{} is made: keep a copy away from the cluster and from its backups; they open with nothing else",
                file.display()
            );
            print_one(&json!({ "file": file }), json, &line)
        }
    }
}

/// What opens the backups, as it was given.
///
/// # Errors
/// What to do.
pub(crate) fn given(key: &BackupKey) -> Result<Given, Failure> {
    match (&key.passphrase, &key.key_file) {
        (None, Some(file)) => Ok(key::read(file)?),
        (Some(text), None) => {
            Ok(Given::Passphrase(Zeroizing::new(secret::read(text, "--passphrase").map_err(Failure::Usage)?)))
        }
        _ => Err(Failure::Usage(
            "backups are always sealed: give --passphrase, or --key-file with one from `llmhub backup new-key`".to_owned(),
        )),
    }
}

/// A line of the stream.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Head(Head),
    Rows(Vec<[String; 2]>),
    End { rows: u64 },
}

async fn create(dir: &Path, given: &Given, target: &Target) -> Result<(), Failure> {
    let entropy = OsEntropy::default();
    let place = Place::to_write(dir, given, &entropy)?;
    let recipient = hex::encode(place.keys().recipient().as_bytes());
    let answer = Api::new(target)?.download(&format!("/api/backup?recipient={recipient}")).await?;
    let mut lines = Lines { answer, rest: Vec::new() };
    let Some(Line::Head(head)) = lines.next().await? else {
        return Err(broken("it does not begin with a head: is it an LLMHub node of this version?"));
    };
    same_cluster(&place, &head)?;
    let mut writing =
        Writing { place: &place, entropy: &entropy, parts: Vec::new(), rows: 0, new: 0, bytes: 0 };
    let mut cutter = Cutter::default();
    loop {
        match lines.next().await? {
            Some(Line::Rows(rows)) => {
                for row in rows {
                    cutter.push(&decoded(&row)?).iter().try_for_each(|piece| writing.put(piece))?;
                }
            }
            Some(Line::End { rows }) => {
                cutter.finish().iter().try_for_each(|piece| writing.put(piece))?;
                if rows != writing.rows {
                    return Err(broken(&format!("{} rows came of {rows}", writing.rows)));
                }
                break;
            }
            Some(Line::Head(_)) => return Err(broken("it begins twice")),
            None => return Err(broken("it ended before its end was told: no backup was made, ask again")),
        }
    }
    let Writing { parts, new, bytes, .. } = writing;
    let manifest = Manifest { format: FORMAT, head, parts };
    place.put_manifest(&manifest, &entropy)?;
    let answer = json!({
        "id": manifest.head.id, "dir": dir, "index": manifest.head.index, "rows": manifest.rows(),
        "tables": tables(&manifest), "pieces": manifest.parts.len(), "written": new, "written_bytes": bytes,
    });
    let line = format!(
        "backup {} is made: {}; {new} of {} pieces were new ({bytes} bytes)",
        manifest.head.id,
        told(&manifest),
        manifest.parts.len(),
    );
    print_one(&answer, target.access.json, &line)
}

/// One directory, one cluster: pieces of two would hide each other's loss.
fn same_cluster(place: &Place, head: &Head) -> Result<(), Failure> {
    let Some(latest) = place.ids()?.into_iter().next_back() else { return Ok(()) };
    // One that is damaged says nothing, and is no reason not to make a good one.
    let Ok(latest) = place.manifest(&latest) else { return Ok(()) };
    if latest.head.authority == head.authority {
        return Ok(());
    }
    Err(Failure::Usage("this directory holds backups of another cluster: name another one".to_owned()))
}

struct Writing<'a> {
    place: &'a Place,
    entropy: &'a OsEntropy,
    parts: Vec<Part>,
    rows: u64,
    new: u64,
    bytes: u64,
}

impl Writing<'_> {
    fn put(&mut self, piece: &crate::backup::piece::Piece) -> Result<(), Failure> {
        let (part, new) = self.place.put_piece(piece, self.entropy)?;
        self.rows += part.rows;
        if new {
            self.new += 1;
            self.bytes += part.bytes;
        }
        self.parts.push(part);
        Ok(())
    }
}

fn decoded([key, value]: &[String; 2]) -> Result<RawRow, Failure> {
    let bytes =
        |text: &str| STANDARD.decode(text).map_err(|e| broken(&format!("a row is not in base64 ({e})")));
    Ok(RawRow { key: bytes(key)?, value: bytes(value)? })
}

struct Lines {
    answer: Answer,
    rest: Vec<u8>,
}

impl Lines {
    async fn next(&mut self) -> Result<Option<Line>, Failure> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.rest[seen..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=seen + at).collect();
                let read = serde_json::from_slice(&line);
                return read.map(Some).map_err(|e| broken(&format!("a line of it is not understood ({e})")));
            }
            seen = self.rest.len();
            if seen > LINE_BYTES_MAX {
                return Err(broken("a line of it is too long"));
            }
            match self.answer.next().await? {
                Some(bytes) => self.rest.extend_from_slice(&bytes),
                None if self.rest.is_empty() => return Ok(None),
                None => {
                    return Err(broken("it ended in the middle of a line: no backup was made, ask again"));
                }
            }
        }
    }
}

fn tables(manifest: &Manifest) -> Value {
    manifest
        .counts()
        .into_iter()
        .map(|(name, rows)| (name, json!(rows)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A backup's tables in words.
pub(crate) fn told(manifest: &Manifest) -> String {
    let counts: Vec<String> =
        manifest.counts().iter().map(|(table, rows)| format!("{rows} {table}")).collect();
    if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") }
}

fn shape(manifest: &Manifest) -> Value {
    let Head { id, cluster, index, level, version, at, .. } = &manifest.head;
    json!({
        "id": id, "at": at, "cluster": cluster, "index": index, "level": level, "version": version,
        "rows": manifest.rows(), "tables": tables(manifest),
    })
}

fn list(dir: &Path, given: &Given, json: bool) -> Result<(), Failure> {
    let place = Place::to_read(dir, given)?;
    let manifests: Result<Vec<Manifest>, _> = place.ids()?.iter().map(|id| place.manifest(id)).collect();
    let manifests = manifests?;
    if json {
        return print_json(&json!({ "backups": manifests.iter().map(shape).collect::<Vec<_>>() }));
    }
    let line = |m: &Manifest| format!("{}  log entry {}  {}\n", m.head.id, m.head.index, told(m));
    print(&manifests.iter().map(line).collect::<String>())
}

/// Reads every file of every backup.
fn verify(dir: &Path, given: &Given, json: bool) -> Result<(), Failure> {
    let place = Place::to_read(dir, given)?;
    let mut good = BTreeSet::new();
    let mut backups = Vec::new();
    for id in place.ids()? {
        let manifest = place.manifest(&id)?;
        check_data_keys(&place, &manifest, dir)?;
        let mut last: Option<Vec<u8>> = None;
        for part in &manifest.parts {
            if good.contains(&part.name) {
                last = None;
                continue;
            }
            for row in place.piece(part)? {
                if last.as_ref().is_some_and(|last| *last >= row.key) || row.key.first() != Some(&part.table)
                {
                    return Err(Failure::Failed(format!(
                        "backup {id}: piece {} holds rows out of order",
                        part.name
                    )));
                }
                last = Some(row.key);
            }
            good.insert(part.name.clone());
        }
        backups.push(manifest);
    }
    if backups.is_empty() {
        return Err(Failure::Failed(format!("there is no whole backup in {}: make one", dir.display())));
    }
    let strays = place.strays(&good)?;
    if json {
        let backups: Vec<Value> = backups.iter().map(shape).collect();
        return print_json(
            &json!({ "good": true, "backups": backups, "pieces": good.len(), "unused": strays }),
        );
    }
    let line = |m: &Manifest| format!("backup {} is good: {}\n", m.head.id, told(m));
    let mut text: String = backups.iter().map(line).collect();
    text.push_str(&format!("{} pieces were read and opened; {strays} are in no backup\n", good.len()));
    print(&text)
}

fn check_data_keys(place: &Place, manifest: &Manifest, dir: &Path) -> Result<(), Failure> {
    let opens = |key: &crate::backup::manifest::DataKey| {
        key.wrap().is_some_and(|wrap| seal::unwrap(&wrap, place.keys().secret()).is_ok())
    };
    if manifest.head.data_keys.iter().all(opens) && !manifest.head.data_keys.is_empty() {
        return Ok(());
    }
    let (id, dir): (_, PathBuf) = (&manifest.head.id, dir.to_owned());
    Err(Failure::Failed(format!(
        "backup {id} in {} holds no data key that opens: secrets in it are lost; make another backup",
        dir.display()
    )))
}
