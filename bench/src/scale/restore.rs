//! A backup of the large cluster and its restore into a new one of another size: how long they take, and that every row
//! comes back byte by byte.

use super::ask::Client;
use super::{Restored, progress};
use crate::llmhub::Cluster;
use anyhow::{Context, ensure};
use http::Method;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// Nodes of the new cluster.
const NODES: usize = 2;
/// Whom the backup's data keys are wrapped for where only its rows are looked at: the base point of the curve.
const NOBODY: &str = "0900000000000000000000000000000000000000000000000000000000000000";

/// Backs a cluster up and restores that into a new one below `folder`.
pub(super) async fn restore(llmhub: &Path, folder: &Path, large: &Cluster) -> anyhow::Result<Restored> {
    let (backups, key_file) = (folder.join("backups"), folder.join("backup.key"));
    let (backups, key_file) = (text(&backups)?, text(&key_file)?);
    large.command(&["backup", "new-key", key_file])?;
    let with_key = |words: &[&'static str]| [words, &[backups, "--key-file", key_file]].concat();
    progress("backing the large cluster up, twice, and verifying that");
    let backup = timed(large, &with_key(&["backup", "create"]))?;
    let again = timed(large, &with_key(&["backup", "create"]))?;
    let verify = timed(large, &with_key(&["backup", "verify"]))?;
    progress(&format!("restoring into a new cluster of {NODES}"));
    std::fs::create_dir_all(folder.join("restored"))?;
    let mut new = Cluster::start(llmhub, &folder.join("restored")).await?;
    while new.nodes().len() < NODES {
        new.grow().await?;
    }
    let restore = timed(&new, &with_key(&["restore"]))?;
    let (before, after) = (rows(large).await?, rows(&new).await?);
    let (missing, added) = (before.difference(&after).count(), after.difference(&before).count());
    // The key of the new cluster that was used for it stays.
    ensure!(
        (missing, added) == (0, 1),
        "{missing} rows are missing or changed, and {added} are new where only the key that was used may be"
    );
    Ok(Restored { nodes: NODES, rows: before.len(), backup, again, verify, restore })
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not text", path.display()))
}

fn timed(cluster: &Cluster, args: &[&str]) -> anyhow::Result<Duration> {
    let start = Instant::now();
    cluster.command(args)?;
    Ok(start.elapsed())
}

/// Every row that a backup keeps, as it is stored.
async fn rows(cluster: &Cluster) -> anyhow::Result<BTreeSet<String>> {
    let mut client = Client::open(cluster.nodes()[0].http, cluster.key()).await?;
    let answer = client.ask(Method::GET, &format!("/api/backup?recipient={NOBODY}"), None).await?;
    let mut rows = BTreeSet::new();
    for line in answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut line: Value = serde_json::from_slice(line).context("a line of the backup")?;
        if let Some(page) = line["rows"].as_array_mut() {
            rows.extend(page.drain(..).map(|row| row.to_string()));
        }
    }
    Ok(rows)
}
