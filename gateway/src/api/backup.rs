//! What a backup keeps, streamed: a head, rows by and by, and an end that says how many there were. All of one moment, since
//! it reads one view; what it holds in memory is one page. Rows are as they are stored, secrets in them sealed; the data
//! keys that open those are wrapped for the backup's own key.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::View;
use domain::command::VERSION;
use domain::restore::{self, RawRow};
use domain::secret::Wrap;
use futures::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Uri};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::auth;
use crate::extract::{App, MayAdmin, query};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// How many bytes of rows come in one line, unless a single row is larger.
const PAGE_BYTES: usize = 256 * 1024;
/// How often the data keys are asked for until they fit what is to be backed up, and the pause between.
const KEYS_TRIES_MAX: u32 = 10;
const KEYS_PAUSE: std::time::Duration = std::time::Duration::from_millis(300);
/// Bytes of a public key.
const PUBLIC_LEN: usize = 32;

pub(crate) async fn stream(
    State(app): State<App>,
    _: MayAdmin,
    headers: HeaderMap,
    uri: Uri,
) -> Result<axum::response::Response, Problem> {
    let recipient = recipient(&uri)?;
    let proof = auth::text(&headers).ok_or_else(Problem::no_key)?;
    // Everything acknowledged before the request is in it.
    app.deps.proposer.barrier().await?;
    let (view, data_keys) = with_keys(&app, &recipient, proof).await?;
    let head = line(&json!({ "head": head(&app, &view, &data_keys) }));
    let lines = stream::unfold(Reading { view, after: Vec::new(), rows: 0, ended: false }, Reading::next);
    let body = Body::from_stream(futures::StreamExt::chain(stream::iter([head]), lines));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// A view, and all data keys that something in it may be sealed under: the data key may be replaced between the two.
async fn with_keys(
    app: &App,
    recipient: &[u8; PUBLIC_LEN],
    proof: &str,
) -> Result<(Arc<View>, Vec<Wrap>), Problem> {
    for _ in 0..KEYS_TRIES_MAX {
        let data_keys = app.deps.vault.export_data_keys(recipient, proof).await?;
        let view = app.deps.view.load();
        if domain::rotation::covered_by(&view.state, &data_keys) {
            return Ok((view, data_keys));
        }
        tokio::time::sleep(KEYS_PAUSE).await;
    }
    let message = "the data key was being replaced: make the backup again in a moment";
    Err(Problem::unavailable("vault_unavailable", message))
}

fn recipient(uri: &Uri) -> Result<[u8; PUBLIC_LEN], Problem> {
    let wrong = || {
        Problem::bad_param("recipient", "`recipient` must be 64 hexadecimal digits: the backup's public key")
    };
    let mut key = [0; PUBLIC_LEN];
    let text = query(uri.query(), "recipient").ok_or_else(wrong)?;
    hex::decode_to_slice(text, &mut key).map_err(|_| wrong())?;
    Ok(key)
}

fn head(app: &App, view: &View, data_keys: &[Wrap]) -> Value {
    let at = rfc3339(app.deps.clock.now());
    let id = format!("{}-{}", at.replace(['-', ':'], ""), view.applied);
    json!({
        "id": id,
        "cluster": app.deps.cluster,
        "authority": authority(view),
        "index": view.applied,
        "base": restore::numbers(&view.state, view.applied),
        "level": VERSION,
        "version": app.deps.version,
        "at": at,
        "data_keys": data_keys.iter().map(wrapped).collect::<Vec<_>>(),
    })
}

/// What tells one cluster from another: SHA-256 of its authority's certificate, as its public text has it.
fn authority(view: &View) -> Option<String> {
    let row = view.state.secrets.get(&"ca".to_owned())?;
    Some(hex::encode(Sha256::digest(row.public.as_bytes())))
}

fn wrapped(wrap: &Wrap) -> Value {
    json!({
        "ephemeral": hex::encode(&wrap.ephemeral),
        "nonce": hex::encode(&wrap.sealed.nonce),
        "sealed": hex::encode(&wrap.sealed.bytes),
    })
}

fn line(value: &Value) -> Result<Bytes, std::io::Error> {
    Ok(format!("{value}\n").into())
}

/// How far the rows of a view were told.
struct Reading {
    view: Arc<View>,
    after: Vec<u8>,
    rows: u64,
    ended: bool,
}

impl Reading {
    async fn next(mut self) -> Option<(Result<Bytes, std::io::Error>, Self)> {
        if self.ended {
            return None;
        }
        let page = restore::page(&self.view.state, &self.after, PAGE_BYTES);
        let told = match page.last() {
            Some(last) => {
                self.after.clone_from(&last.key);
                self.rows += page.len() as u64;
                json!({ "rows": page.iter().map(encoded).collect::<Vec<_>>() })
            }
            None => {
                self.ended = true;
                json!({ "end": { "rows": self.rows } })
            }
        };
        // Others shall have their turn between two pages.
        tokio::task::yield_now().await;
        Some((line(&told), self))
    }
}

fn encoded(row: &RawRow) -> [String; 2] {
    [STANDARD.encode(&row.key), STANDARD.encode(&row.value)]
}
