//! Calls with a key that has a limit: more of them than it allows.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::OnceCell;

use super::{Ask, Clients, Reply};
use crate::history::{Ended, What};

/// What the key allows in a window that no run reaches the end of.
pub const LIMIT: u64 = 600;
const WINDOW: &str = "31d";
const NAME: &str = "limited";

/// The key's text, once it was made.
pub(super) type Key = OnceCell<Arc<str>>;

/// One plain chat.
pub(super) async fn chat(clients: Clients, model: String, key: Arc<Key>) {
    let Ok(key) = key.get_or_try_init(|| make(&clients)).await else { return };
    let limited = Clients { key: key.clone(), ..clients.clone() };
    let (node, start) = (limited.any_node(), limited.outside.now());
    let body =
        json!({ "model": model, "max_tokens": 4, "messages": [{ "role": "user", "content": "may I?" }] });
    let ended = match limited.ask(node, &Ask::post("/v1/chat/completions", body)).await {
        Reply::Answer(200, _) => Ended::Well,
        Reply::Answer(status, _) => Ended::Status(status),
        Reply::Refused => Ended::Refused,
        Reply::Broken => Ended::Broken,
        Reply::Hung => Ended::Hung,
    };
    clients.record(node, start, What::Limited { ended });
}

/// Makes a key; one whose text was lost on the way is left alone.
async fn make(clients: &Clients) -> Result<Arc<str>, ()> {
    let body = json!({ "name": NAME, "limits": [{ "requests": LIMIT, "window": WINDOW }] });
    let reply = clients.ask(clients.any_node(), &Ask::post("/api/keys", body)).await;
    reply.ok().and_then(|made| made["key"].as_str()).map(Arc::from).ok_or(())
}
