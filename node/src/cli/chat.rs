//! `llmhub chat`: one question, or a conversation, with answers as they come.

use std::io::{BufRead, IsTerminal};

use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::api::Api;
use super::args::ChatArgs;
use super::failure::Failure;

/// Messages of a conversation that are sent along at most; the oldest are forgotten.
const MESSAGES_MAX: usize = 200;
/// A line of a streamed answer has this many bytes at most.
const LINE_BYTES_MAX: usize = 4 << 20;

/// Chats.
///
/// # Errors
/// What the node said.
pub(crate) async fn run(args: ChatArgs) -> Result<(), Failure> {
    let api = Api::new(&args.target)?;
    let mut messages: Vec<Value> = args.system.iter().map(|text| message("system", text)).collect();
    let Some(text) = &args.text else {
        return converse(&api, &args, messages).await;
    };
    messages.push(message("user", text));
    if args.target.access.json {
        let body = json!({ "model": args.model, "messages": messages });
        let answer = api.call(Method::POST, "/v1/chat/completions", Some(&body)).await?;
        return super::print_json(&answer);
    }
    answer(&api, &args.model, &messages).await.map(|_| ())
}

fn message(role: &str, text: &str) -> Value {
    json!({ "role": role, "content": text })
}

/// Reads what the user says line by line until the input ends.
async fn converse(api: &Api, args: &ChatArgs, mut messages: Vec<Value>) -> Result<(), Failure> {
    let fixed = messages.len();
    if std::io::stdin().is_terminal() {
        eprintln!("talking to {}; an empty line or Ctrl-D ends it", args.model);
    }
    loop {
        if std::io::stdin().is_terminal() {
            super::print("> ")?;
        }
        let mut line = String::new();
        let read =
            tokio::task::spawn_blocking(move || std::io::stdin().lock().read_line(&mut line).map(|_| line));
        let line = read.await.map_err(|e| Failure::Failed(e.to_string()))??;
        let said = line.trim();
        if said.is_empty() {
            return Ok(());
        }
        messages.push(message("user", said));
        if messages.len() > MESSAGES_MAX {
            // Question and answer go together.
            messages.drain(fixed..fixed + 2);
        }
        match answer(api, &args.model, &messages).await {
            Ok(text) => messages.push(message("assistant", &text)),
            Err(failure @ (Failure::Unavailable(_) | Failure::Unreachable(_))) => {
                eprintln!("{failure}; say it again");
                messages.pop();
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Prints an answer as it comes, and gives it whole.
async fn answer(api: &Api, model: &str, messages: &[Value]) -> Result<String, Failure> {
    let body = json!({ "model": model, "messages": messages, "stream": true });
    let mut body = api.send(Method::POST, "/v1/chat/completions", Some(&body)).await?.into_body();
    let (mut events, mut text) = (Events::default(), String::new());
    while let Some(bytes) = next(&mut body).await? {
        for piece in events.push(&bytes)? {
            super::print(&piece)?;
            text.push_str(&piece);
        }
    }
    super::print("\n")?;
    if events.done { Ok(text) } else { Err(broken("it ended in the middle")) }
}

async fn next(body: &mut Incoming) -> Result<Option<bytes::Bytes>, Failure> {
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.map_err(|e| broken(&e.to_string()))?.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

fn broken(reason: &str) -> Failure {
    Failure::Unavailable(format!("the answer broke off: {reason}"))
}

/// The text in a stream of server-sent events.
#[derive(Default)]
struct Events {
    line: Vec<u8>,
    done: bool,
}

impl Events {
    /// The pieces of text that end in these bytes.
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, Failure> {
        let mut pieces = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() > LINE_BYTES_MAX {
                return Err(broken("a line of it is too long"));
            }
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                pieces.extend(self.event(line.trim_ascii())?);
            }
        }
        Ok(pieces)
    }

    fn event(&mut self, line: &[u8]) -> Result<Option<String>, Failure> {
        let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else { return Ok(None) };
        if data == b"[DONE]" {
            self.done = true;
            return Ok(None);
        }
        let event: Value = serde_json::from_slice(data).map_err(|e| broken(&e.to_string()))?;
        if let Some(message) = event["error"]["message"].as_str() {
            return Err(broken(message));
        }
        Ok(event["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\r\n\r\n: ping\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"Grüß\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\" Gott\"}}]}\
        \n\ndata: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n";

    #[test]
    fn the_text_is_the_same_wherever_the_stream_is_cut() {
        for cut in 0..STREAM.len() {
            let (mut events, (one, two)) = (Events::default(), STREAM.as_bytes().split_at(cut));
            let pieces = [events.push(one).unwrap(), events.push(two).unwrap()].concat();
            assert_eq!((pieces.concat().as_str(), events.done), ("Grüß Gott", true), "cut at {cut}");
        }
    }

    #[test]
    fn an_error_in_the_stream_is_told() {
        let failure = Events::default().push(b"data: {\"error\":{\"message\":\"gone\"}}\n").unwrap_err();
        assert_eq!((failure.code(), failure.to_string().as_str()), (5, "the answer broke off: gone"));
    }
}
