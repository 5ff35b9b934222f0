//! OpenAI's chats from both sides.

use adapters::{Operation, Target};

use super::harness;

fn target() -> Target<'static> {
    Target {
        secret: Some("sk-test"),
        model: Some("upstream-model"),
        ..Target::at("https://api.example.com/v1/")
    }
}

#[test]
fn questions_become_requests() {
    harness::requests("openai", &target());
    harness::requests("compatible", &target());
}

#[test]
fn answers_and_streams_are_understood() {
    harness::answers("compatible");
    harness::streams("compatible");
}

#[test]
fn clients_are_understood_and_answered() {
    harness::client_asks("openai", Operation::Chat);
    let body = r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#;
    harness::client_answers("openai", Operation::Chat, "compatible", body);
}
