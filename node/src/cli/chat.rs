//! `llmhub chat`: one question, or a conversation, with answers as they come.

use std::io::{BufRead, IsTerminal};

use serde_json::{Value, json};

use super::api::{Api, broken};
use super::args::ChatArgs;
use super::failure::Failure;

/// Messages of a conversation that are sent along at most; the oldest are forgotten.
const MESSAGES_MAX: usize = 200;
const CHAT: &str = "/v1/chat/completions";
/// A line of a streamed answer has this many bytes at most.
const LINE_BYTES_MAX: usize = 4 << 20;

/// Chats.
///
/// # Errors
/// What the node said.
pub(crate) async fn run(args: ChatArgs) -> Result<(), Failure> {
    check(&args, |name| std::env::var(name).ok())?;
    let api = Api::new(&args.target)?;
    let mut messages: Vec<Value> = args.system.iter().map(|text| message("system", text)).collect();
    let Some(text) = &args.text else {
        return converse(&api, &args, messages).await;
    };
    messages.push(message("user", text));
    if args.target.access.json {
        let body = json!({ "model": args.model, "messages": messages });
        return super::print_json(&api.infer(CHAT, &body).await?.json().await?);
    }
    answer(&api, &args.model, &messages).await.map(|_| ())
}

/// Refuses what a conversation has no room for.
fn check(args: &ChatArgs, environment: impl Fn(&str) -> Option<String>) -> Result<(), Failure> {
    let reason = match &args.text {
        Some(_) => return Ok(()),
        None if args.target.access.json => {
            "--json prints one answer: say what to ask behind the options, or leave --json out to converse"
        }
        None if args.target.access.key(environment).as_deref() == Some("-") => {
            "standard input holds the conversation: give the key as --key @FILE or in LLMHUB_KEY"
        }
        None => return Ok(()),
    };
    Err(Failure::Usage(reason.to_owned()))
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
    let mut coming = api.infer(CHAT, &body).await?;
    let (mut events, mut text) = (Events::default(), String::new());
    while let Some(bytes) = coming.next().await? {
        for piece in events.push(&bytes)? {
            super::print(&piece)?;
            text.push_str(&piece);
        }
    }
    super::print("\n")?;
    if events.done { Ok(text) } else { Err(broken("it ended in the middle")) }
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
    use clap::Parser;

    use super::super::args::{Cli, Command};
    use super::*;

    fn checked(line: &str) -> Result<(), Failure> {
        let Command::Chat(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!() };
        check(&args, |_| None)
    }

    #[test]
    fn a_conversation_is_neither_json_nor_shares_its_input_with_the_key() {
        assert!(checked("llmhub chat --model m --json").unwrap_err().to_string().contains("--json"));
        assert!(checked("llmhub chat --model m --key -").unwrap_err().to_string().contains("--key @FILE"));
        for line in ["chat -m m hello --json --key -", "chat -m m", "chat -m m --key @file"] {
            assert!(checked(&format!("llmhub {line}")).is_ok(), "{line}");
        }
    }

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
