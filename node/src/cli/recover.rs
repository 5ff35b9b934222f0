//! `llmhub recover`: one stopped node's data made a cluster of one again, when the majority is lost for good. Loud, since it
//! may lose what was acknowledged.

use std::sync::Arc;

use consensus_rocks::RocksDisk;
use runtime::Recovered;
use serde_json::json;

use super::args::RecoverArgs;
use super::failure::Failure;
use crate::data_dir::{DB, DataDir};
use crate::os::clock::OsClock;
use crate::os::entropy::OsEntropy;
use crate::os::files::OsFiles;

/// `llmhub recover`.
///
/// # Errors
/// What to do; the data is then as it was.
pub(crate) async fn run(args: RecoverArgs) -> Result<(), Failure> {
    if !args.accepted {
        return Err(Failure::Usage(WARNING.to_owned()));
    }
    let failed = |e: &dyn std::fmt::Display| Failure::Failed(e.to_string());
    let data = DataDir::open_existing(&args.data).map_err(|e| failed(&e))?;
    let db = data.path().join(DB);
    if !db.exists() {
        return Err(Failure::Failed(format!("{} is missing: take another node's directory", db.display())));
    }
    let disk = RocksDisk::open(&db).map_err(|e| failed(&e))?;
    let files = OsFiles::new(data.path());
    let done = runtime::recover(&files, Arc::new(disk), &OsClock, &OsEntropy::default()).await;
    let done = done.map_err(|e| failed(&e))?;
    super::print_one(&shape(&done), args.json, &report(&done))
}

const WARNING: &str = "this makes one node's copy of the metadata the cluster's, for good: writes that only the other nodes \
                       had are lost, and those nodes can never come back under their ids. Stop every node that still \
                       runs, choose the one with the latest data, and say --i-accept-that-newer-writes-may-be-lost";

fn shape(done: &Recovered) -> serde_json::Value {
    let ids =
        |ids: &mut dyn Iterator<Item = &domain::NodeId>| ids.map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "node": done.node.to_string(), "last_entry": done.last, "agreed_up_to": done.committed, "term": done.term,
        "voters_before": ids(&mut done.voters.iter()), "buried": ids(&mut done.buried.iter()),
        "deployments": done.state.deployments.len(), "providers": done.state.providers.len(),
        "keys": done.state.keys.len(),
    })
}

/// What was done and what to do next.
fn report(done: &Recovered) -> String {
    let Recovered { node, last, committed, voters, buried, state, .. } = done;
    let buried: Vec<String> = buried.iter().map(ToString::to_string).collect();
    let open = last.saturating_sub(*committed);
    let doubt = match open {
        0 => String::new(),
        n => format!(
            "\n  the last {n} entries were not known to be agreed on: they are taken as agreed now, which may bring writes\n  \
             back whose callers were told that their outcome is unknown"
        ),
    };
    format!(
        "node {node} is the only voter of its cluster now ({} voted before).\n  its log ends with entry {last}: whatever \
         was written after that on other nodes is lost{doubt}\n  it has {} deployments, {} providers, {} keys\n  gone for \
         good: {}\n\nnext:\n  1. on the machines of those nodes, delete their data directories before anything is started \
         there:\n     two of them together would take themselves for the old cluster\n  2. start this node as before; it \
         leads alone, and its replicas are placed anew\n  3. `llmhub token create`, and let new nodes join until `llmhub \
         status` shows enough voters",
        voters.len(),
        state.deployments.len(),
        state.providers.len(),
        state.keys.len(),
        if buried.is_empty() { "none".to_owned() } else { buried.join(", ") },
    )
}
