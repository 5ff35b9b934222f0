//! OpenAI's completions for clients whose target offers chats only.

use adapters::Operation;

use super::harness;

#[test]
fn clients_are_understood() {
    harness::client_asks("completions", Operation::Completions);
}

#[test]
fn clients_are_answered() {
    let body = r#"{"model":"m","prompt":"hi","stream":true,"stream_options":{"include_usage":true}}"#;
    harness::client_answers("completions", Operation::Completions, "compatible", body);
}
