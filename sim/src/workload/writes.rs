//! Changes of metadata: keys are created under names used once and some revoked again, registers are written with values
//! used once. An attempt whose outcome is not known is repeated on another node under the same idempotency key, as a
//! careful client does; so a change that happens twice shows.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Ask, Clients, PAUSE, REGISTERS, Reply, register};
use crate::history::{What, Wrote};

/// How often a change is tried.
const ATTEMPTS: u32 = 6;
/// Keys remembered for revocation.
const BOOK_MAX: usize = 256;

/// Keys that may be revoked: name and id.
#[derive(Default)]
pub(super) struct Book(Mutex<VecDeque<(String, String)>>);

impl Book {
    fn add(&self, name: String, id: String) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() < BOOK_MAX {
            keys.push_back((name, id));
        }
    }
    fn take(&self) -> Option<(String, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// One change.
pub(super) async fn change(clients: Clients, book: Arc<Book>) {
    let number = clients.outside.draw();
    match number % 5 {
        0 | 1 => create(&clients, &book, number).await,
        2 => match book.take() {
            Some((name, id)) => revoke(&clients, name, &id).await,
            None => create(&clients, &book, number).await,
        },
        _ => put(&clients, number).await,
    }
}

async fn create(clients: &Clients, book: &Book, number: u64) {
    let (name, start) = (format!("key-{number:016x}"), clients.outside.now());
    let ask = Ask::post("/api/keys", json!({ "name": name, "scopes": ["inference"] })).once(&name);
    let (node, mut wrote, body) = insist(clients, &ask).await;
    // A repetition whose key was made by an attempt before is told so: the key's text cannot be shown again.
    if wrote == Wrote::Rejected(409) {
        wrote = Wrote::Acknowledged;
    }
    if wrote == Wrote::Acknowledged
        && let Some(id) = body["id"].as_str()
    {
        book.add(name.clone(), id.to_owned());
    }
    clients.record(node, start, What::Create { name, wrote });
}

async fn revoke(clients: &Clients, name: String, id: &str) {
    let start = clients.outside.now();
    let ask = Ask::delete(&format!("/api/keys/{id}")).once(&format!("revoke {name}"));
    let (node, wrote, _) = insist(clients, &ask).await;
    clients.record(node, start, What::Revoke { name, wrote });
}

async fn put(clients: &Clients, number: u64) {
    let (register, start) = (register(number / 5 % REGISTERS), clients.outside.now());
    let body = json!({ "name": register, "kind": "mock", "models": [format!("value-{number}")] });
    let ask = Ask::post("/api/providers", body).once(&format!("put {number}"));
    let (node, wrote, _) = insist(clients, &ask).await;
    clients.record(node, start, What::Put { register, value: number, wrote });
}

/// Tries a change on one node after the other. Answers the node asked last, the outcome, and the answer's body.
async fn insist(clients: &Clients, ask: &Ask) -> (usize, Wrote, Value) {
    let mut maybe_done = false;
    let mut node = clients.any_node();
    for attempt in 0..ATTEMPTS {
        let start = clients.outside.now();
        match clients.ask(node, ask).await {
            Reply::Answer(status, body) if (200..300).contains(&status) => {
                return (node, Wrote::Acknowledged, body);
            }
            // These say that nothing was changed and that trying again makes sense.
            Reply::Answer(429 | 503, _) | Reply::Refused => {}
            Reply::Answer(status, _) if status < 500 => return (node, Wrote::Rejected(status), Value::Null),
            Reply::Answer(..) | Reply::Broken => maybe_done = true,
            Reply::Hung => {
                maybe_done = true;
                clients.record(node, start, What::Hang { path: ask.path.clone() });
            }
        }
        tokio::time::sleep(PAUSE + PAUSE * attempt + jitter(clients)).await;
        node = clients.any_node();
    }
    (node, if maybe_done { Wrote::Unknown } else { Wrote::NotDone }, Value::Null)
}

fn jitter(clients: &Clients) -> Duration {
    PAUSE * (clients.outside.draw() % 100) as u32 / 100
}
