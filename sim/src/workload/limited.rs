//! Calls with keys that have limits, one in requests and one in money: more of them than those allow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::limit::Unit;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{Ask, Clients, Reply};
use crate::history::{Ended, What};

/// The requests that one key allows in a window that no run reaches the end of.
pub const LIMIT: u64 = 300;
/// The tokens written that the other key has the money for.
pub const PAID: u64 = 1_200;
/// Tokens that a call may write.
const TOKENS_MAX: u64 = 4;
const WINDOW: &str = "31d";

/// The keys' texts, once they were made, and whose turn it is.
#[derive(Default)]
pub(super) struct Keys {
    requests: OnceCell<Arc<str>>,
    money: OnceCell<Arc<str>>,
    turn: AtomicU64,
}

/// One plain chat.
pub(super) async fn chat(clients: Clients, model: String, keys: Arc<Keys>) {
    let (by, key) = match keys.turn.fetch_add(1, Ordering::Relaxed) % 2 {
        0 => (
            Unit::Requests,
            keys.requests.get_or_try_init(|| make(&clients, json!({ "requests": LIMIT }))).await,
        ),
        _ => (Unit::Money, keys.money.get_or_try_init(|| make_paid(&clients, &model)).await),
    };
    let Ok(key) = key else { return };
    let limited = Clients { key: key.clone(), ..clients.clone() };
    let (node, start) = (limited.any_node(), limited.outside.now());
    let body = json!({
        "model": model, "max_tokens": TOKENS_MAX, "messages": [{ "role": "user", "content": "may I?" }],
    });
    let mut tokens = 0;
    let ended = match limited.ask(node, &Ask::post("/v1/chat/completions", body)).await {
        Reply::Answer(200, answer) => {
            tokens = answer["usage"]["completion_tokens"].as_u64().unwrap_or(TOKENS_MAX);
            Ended::Well
        }
        Reply::Answer(status, _) => Ended::Status(status),
        Reply::Refused => Ended::Refused,
        Reply::Broken => Ended::Broken,
        Reply::Hung => Ended::Hung,
    };
    clients.record(node, start, What::Limited { by, tokens, ended });
}

/// Makes a key; one whose text was lost on the way is left alone.
async fn make(clients: &Clients, mut limit: Value) -> Result<Arc<str>, ()> {
    limit["window"] = json!(WINDOW);
    let body = json!({ "name": "limited", "limits": [limit] });
    let reply = clients.ask(clients.any_node(), &Ask::post("/api/keys", body)).await;
    reply.ok().and_then(|made| made["key"].as_str()).map(Arc::from).ok_or(())
}

/// The same of a key whose calls cost a millionth for each token written.
async fn make_paid(clients: &Clients, model: &str) -> Result<Arc<str>, ()> {
    let price = Ask::put(&format!("/api/prices/{model}"), json!({ "input": 0, "output": 1 }));
    clients.ask(clients.any_node(), &price).await.ok().ok_or(())?;
    make(clients, json!({ "money": PAID as f64 / 1e6 })).await
}
