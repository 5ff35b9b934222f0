//! Calls of models, whole and streamed.

use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};

use super::exchange::Opened;
use super::{Ask, Clients, PATIENCE, Reply};
use crate::history::{Ended, What};

/// How many pieces a mock's stream has, and the pause between two.
const PIECES: u32 = 30;
const PIECE_MS: u32 = 100;
/// How many tokens a real engine makes at most, of a plain answer and of a stream, which is to be long enough to be cut.
const TOKENS: u32 = 24;
const STREAM_TOKENS: u32 = 2_000;
const PATH: &str = "/v1/chat/completions";
/// What is read of a stream at most, in bytes.
const STREAM_BYTES_MAX: usize = 4 << 20;

fn body(model: &str, stream: bool) -> Value {
    // `mock` tells a mock how to behave; real engines pass over it.
    json!({
        "model": model,
        "stream": stream,
        "max_tokens": if stream { STREAM_TOKENS } else { TOKENS },
        "messages": [{ "role": "user", "content": "tell me something about clusters" }],
        "mock": { "chunks": PIECES, "chunk_delay_ms": PIECE_MS },
    })
}

/// One plain chat.
pub(super) async fn chat(clients: Clients, model: String) {
    let (node, start) = (clients.any_node(), clients.outside.now());
    let ended = match clients.ask(node, &Ask::post(PATH, body(&model, false))).await {
        Reply::Answer(200, body) if body["choices"][0]["message"]["role"].is_string() => Ended::Well,
        Reply::Answer(200, _) => Ended::Truncated,
        Reply::Answer(503, body) if has_no_target(&body) => Ended::NoTarget,
        Reply::Answer(status, body) => {
            tracing::info!(node, status, why = %body["error"]["message"], "chat failed");
            Ended::Status(status)
        }
        Reply::Refused => Ended::Refused,
        Reply::Broken => Ended::Broken,
        Reply::Hung => Ended::Hung,
    };
    clients.record(node, start, What::Chat { model, ended });
}

/// One stream; says whether it ended well.
pub(super) async fn stream(clients: Clients, model: String) -> bool {
    let (node, start) = (clients.any_node(), clients.outside.now());
    let (ended, pieces) = match clients.open(node, &Ask::post(PATH, body(&model, true))).await {
        Opened::Body(status, body) if status == 200 => follow(body).await,
        Opened::Body(status, body) => (refused(status.as_u16(), body).await, 0),
        Opened::Refused => (Ended::Refused, 0),
        Opened::Broken => (Ended::Broken, 0),
        Opened::Hung => (Ended::Hung, 0),
    };
    let well = ended == Ended::Well;
    clients.record(node, start, What::Stream { model, ended, pieces });
    well
}

/// Whether an error says that there is nobody to answer, rather than that somebody did not.
fn has_no_target(body: &Value) -> bool {
    body["error"]["code"] == "model_not_ready"
}

/// How a stream ended that was answered with an error.
async fn refused(status: u16, body: hyper::body::Incoming) -> Ended {
    let whole = tokio::time::timeout(PATIENCE, Limited::new(body, STREAM_BYTES_MAX).collect()).await;
    match whole {
        Err(_) => Ended::Hung,
        Ok(whole) => {
            let bytes = whole.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let error: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            if has_no_target(&error) { Ended::NoTarget } else { Ended::Status(status) }
        }
    }
}

async fn follow(mut body: hyper::body::Incoming) -> (Ended, u32) {
    let mut events = Events::default();
    loop {
        let data = match tokio::time::timeout(PATIENCE, body.frame()).await {
            Err(_) => return (Ended::Hung, events.pieces),
            Ok(Some(Err(_))) => return (Ended::Broken, events.pieces),
            Ok(None) => return (events.ended(), events.pieces),
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        };
        events.push(&data);
        if events.bytes > STREAM_BYTES_MAX {
            return (Ended::Truncated, events.pieces);
        }
    }
}

/// Server-sent events, as far as a client must understand them.
#[derive(Default)]
struct Events {
    line: Vec<u8>,
    bytes: usize,
    pieces: u32,
    done: bool,
    error: bool,
}

impl Events {
    fn push(&mut self, data: &[u8]) {
        self.bytes += data.len();
        for byte in data {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.line_ended(line.strip_suffix(b"\r").unwrap_or(&line));
            } else {
                self.line.push(*byte);
            }
        }
    }

    fn line_ended(&mut self, line: &[u8]) {
        let Some(data) = line.strip_prefix(b"data:") else { return };
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            self.done = true;
            return;
        }
        let event: Value = serde_json::from_slice(data).unwrap_or(Value::Null);
        self.error |= event.get("error").is_some();
        self.pieces += u32::from(event["choices"][0]["delta"]["content"].is_string());
    }

    /// How a stream ended whose body ended.
    fn ended(&self) -> Ended {
        match (self.done, self.error) {
            (_, true) => Ended::ErrorEvent,
            (true, false) => Ended::Well,
            (false, false) => Ended::Truncated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_well_only_when_it_says_that_it_is_done() {
        let piece = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\n\r\n";
        let mut events = Events::default();
        piece.chunks(3).for_each(|cut| events.push(cut));
        assert_eq!((events.ended(), events.pieces), (Ended::Truncated, 1));
        events.push(b"data: [DONE]\n\n");
        assert_eq!(events.ended(), Ended::Well);
        events.push(b"data: {\"error\":{\"message\":\"m\"}}\n\n");
        assert_eq!(events.ended(), Ended::ErrorEvent);
    }
}
