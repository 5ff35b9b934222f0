//! What a node says of itself beside what it does: whether it declares itself degraded, and whether inference, reads and
//! changes then go as declared.

use serde_json::json;

use super::{Ask, Clients, Reply};
use crate::history::{Probe, What};

const VALUE: &str = "/api/config/probe";

/// One probe of one node: its health, one of each kind of request, its health again.
pub(super) async fn probe(clients: Clients, model: String) {
    let (node, start) = (clients.any_node(), clients.outside.now());
    let Some(before) = degraded_for(&clients, node).await else { return };
    let chat = json!({ "model": model, "max_tokens": 4, "messages": [{ "role": "user", "content": "are you there?" }] });
    let chat = Ask::post("/v1/chat/completions", chat);
    let (read, change) = (Ask::get("/api/nodes"), Ask::put(VALUE, json!({ "value": format!("{start:?}") })));
    // At once: one that waits in vain for a majority must not outlast the outage for the others.
    let (chat, read, change) =
        tokio::join!(clients.ask(node, &chat), clients.ask(node, &read), clients.ask(node, &change));
    let Some(after) = degraded_for(&clients, node).await else { return };
    let took = u64::try_from((clients.outside.now() - start).as_millis()).unwrap_or(u64::MAX);
    // A node that heard from a majority meanwhile has not been degraded for as long as this took.
    let degraded = before > 0 && after > took;
    let probe = Probe { degraded, chat: tell(&chat), read: tell(&read), change: tell(&change) };
    clients.record(node, start, What::Probe(probe));
}

/// For how many milliseconds the node has been degraded by its own word; 0 when it is not.
async fn degraded_for(clients: &Clients, node: usize) -> Option<u64> {
    let health = clients.ask(node, &Ask::get("/health")).await;
    let health = health.ok()?;
    match health["mode"].as_str()? {
        "degraded" => health["degraded"]["for_ms"].as_u64(),
        _ => Some(0),
    }
}

fn tell(reply: &Reply) -> String {
    match reply {
        Reply::Answer(status, body) => match body["error"]["code"].as_str() {
            Some(code) => format!("{status} {code}"),
            None => status.to_string(),
        },
        other => format!("{other:?}"),
    }
}
