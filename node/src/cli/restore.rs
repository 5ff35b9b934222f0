//! `llmhub restore`: a backup into a new cluster of any size, through the log of that cluster, in commands of bounded size.
//! What broke off goes on when it is asked for again.

use domain::NodeId;
use domain::restore::RawRow;
use http::Method;
use runtime::seal;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::api::Api;
use super::args::RestoreArgs;
use super::backup::{given, told};
use super::failure::Failure;
use crate::backup::manifest::{DataKey, Manifest, Part};
use crate::backup::place::Place;
use crate::os::entropy::OsEntropy;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of rows in one command, unless a single row is larger; far below what a command may have.
const STEP_BYTES: usize = 512 * 1024;

/// `llmhub restore`.
///
/// # Errors
/// What to do.
pub(crate) async fn run(args: RestoreArgs) -> Result<(), Failure> {
    let place = Place::to_read(&args.dir, &given(&args.backup_key)?)?;
    let id = place.find(args.backup.as_deref())?;
    let manifest = place.manifest(&id)?;
    // A backup that cannot be read to its end shall not leave half of it behind.
    let mut level = 0;
    for part in &manifest.parts {
        level = place.piece(part)?.iter().map(RawRow::level).fold(level, u16::max);
    }
    let api = Api::new(&args.target)?;
    let start = Instant::now();
    knows(&api, level).await?;
    let state = api.call(Method::GET, "/api/restore?consistent=true", None).await?;
    let goes_on = state["under_way"].as_str() == Some(id.as_str());
    if let (false, false, Some(what)) = (args.replace, goes_on, state["occupied"].as_str()) {
        return Err(Failure::Refused {
            status: 409,
            message: format!(
                "this cluster is not empty ({what}): restore into a new cluster, or throw away what is here with --replace"
            ),
        });
    }
    let keys = rewrapped(&place, &manifest, &state)?;
    let begin = json!({
        "backup": id, "base": manifest.head.base, "node": state["node"], "data_keys": keys, "replace": args.replace,
    });
    api.call(Method::POST, "/api/restore", Some(&begin)).await?;
    let steps = feed(&api, &place, &manifest).await?;
    api.call(Method::POST, "/api/restore/end", Some(&json!({ "backup": id }))).await?;
    let seconds = start.elapsed().as_secs_f64();
    let answer = json!({ "backup": id, "rows": manifest.rows(), "steps": steps, "seconds": seconds });
    let line = format!(
        "backup {id} is restored: {} in {steps} steps and {seconds:.1} s; replicas are placed anew",
        told(&manifest)
    );
    super::print_one(&answer, args.target.access.json, &line)
}

/// Whether the cluster knows all rows that the backup has: nothing is thrown away for what cannot come in.
async fn knows(api: &Api, level: u16) -> Result<(), Failure> {
    let status = api.call(Method::GET, "/api/status", None).await?;
    match status["level"].as_u64() {
        Some(known) if known < u64::from(level) => Err(Failure::Refused {
            status: 409,
            message: format!(
                "the backup takes feature level {level}, the cluster is at {known}: upgrade every node first"
            ),
        }),
        _ => Ok(()),
    }
}

/// The backup's data keys, wrapped for the node that is asked.
fn rewrapped(place: &Place, manifest: &Manifest, state: &Value) -> Result<Vec<DataKey>, Failure> {
    let odd = || {
        Failure::Failed(
            "the node does not say for which key to wrap the data keys: is it a newer version?".to_owned(),
        )
    };
    let node: NodeId = state["node"].as_str().and_then(|id| id.parse().ok()).ok_or_else(odd)?;
    let recipient = state["recipient"].as_str().and_then(|key| hex::decode(key).ok()).ok_or_else(odd)?;
    let entropy = OsEntropy::default();
    let wrapped = manifest.head.data_keys.iter().map(|key| {
        let key = key.wrap().and_then(|wrap| seal::unwrap(&wrap, place.keys().secret()).ok())?;
        let wrap = seal::wrap(&key, node, &recipient, &entropy).ok()?;
        Some(DataKey {
            ephemeral: hex::encode(wrap.ephemeral),
            nonce: hex::encode(wrap.sealed.nonce),
            sealed: hex::encode(wrap.sealed.bytes),
        })
    });
    wrapped.collect::<Option<_>>().ok_or_else(|| {
        Failure::Failed(
            "a data key of this backup does not open: take another copy or an earlier backup".to_owned(),
        )
    })
}

/// Sends all rows; says in how many steps.
async fn feed(api: &Api, place: &Place, manifest: &Manifest) -> Result<u64, Failure> {
    let (mut steps, mut step, mut bytes) = (0, Vec::new(), 0);
    for part in &manifest.parts {
        for row in place.piece(part)? {
            if bytes + row.bytes() > STEP_BYTES && !step.is_empty() {
                send(api, manifest, part, &std::mem::take(&mut step)).await?;
                (steps, bytes) = (steps + 1, 0);
            }
            bytes += row.bytes();
            step.push(row);
        }
    }
    if let (false, Some(part)) = (step.is_empty(), manifest.parts.last()) {
        send(api, manifest, part, &step).await?;
        steps += 1;
    }
    Ok(steps)
}

async fn send(api: &Api, manifest: &Manifest, part: &Part, rows: &[RawRow]) -> Result<(), Failure> {
    let encoded: Vec<[String; 2]> =
        rows.iter().map(|row| [STANDARD.encode(&row.key), STANDARD.encode(&row.value)]).collect();
    let body = json!({ "backup": manifest.head.id, "rows": encoded });
    let sent = api.call(Method::POST, "/api/restore/rows", Some(&body)).await;
    sent.map(drop).map_err(|failure| {
        let goes_on = "what is in stays: ask for the same restore again to go on";
        let table = crate::backup::manifest::table_name(part.table);
        match failure {
            Failure::Refused { status, message } => {
                Failure::Refused { status, message: format!("{message} (in the {table}); {goes_on}") }
            }
            other => Failure::Unavailable(format!("{other}; {goes_on}")),
        }
    })
}
