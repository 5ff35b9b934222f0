//! Google's Gemini API.

use adapters::chat::{Ask, Message, Part, Role, ToolCall};
use adapters::dialect::{Dialect, named};
use adapters::gemini::GEMINI;
use adapters::{FailureKind, Target, Usage, embed};
use serde_json::{Value, json};

use super::harness;

fn target() -> Target<'static> {
    Target {
        secret: Some("AIza-test"),
        model: Some("gemini-2.5-flash"),
        ..Target::at("https://generativelanguage.googleapis.com")
    }
}

fn encoded(ask: &Ask, model: &str) -> Value {
    let target = Target { model: Some(model), ..target() };
    let request = GEMINI.encode(ask, &target).unwrap_or_else(|e| panic!("{e}"));
    serde_json::from_slice(request.body()).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn questions_become_requests() {
    harness::requests("gemini", &target());
}

#[test]
fn answers_and_streams_are_understood() {
    harness::answers("gemini");
    harness::streams("gemini");
    harness::errors("gemini");
}

#[test]
fn streams_reach_openais_clients() {
    let body = r#"{"model":"m","messages":[],"stream":true}"#;
    harness::client_answers("openai", adapters::Operation::Chat, "gemini", body);
}

#[test]
fn an_error_in_a_success_is_classified() {
    let body = harness::read(&harness::folder("gemini").join("error.answer.json"));
    let refusal = named("gemini").unwrap().decode(&body).unwrap_err();
    assert_eq!(refusal.failure.kind, FailureKind::Unavailable);
}

#[test]
fn signatures_go_back_to_where_they_came_from() {
    let dialect = named("gemini").unwrap();
    let body = harness::read(&harness::folder("gemini").join("tools.answer.json"));
    let parts = dialect.decode(&body).unwrap().choices.remove(0).parts;
    let ask = Ask {
        messages: vec![
            Message::text(Role::User, "weather?"),
            Message { role: Role::Assistant, name: None, parts },
        ],
        ..Ask::default()
    };
    let sent = encoded(&ask, "gemini-3-pro-preview");
    let parts = &sent["contents"][1]["parts"];
    assert_eq!(parts[0], json!({ "text": "two calls", "thought": true }));
    assert_eq!(parts[1]["thoughtSignature"], "c2lnbmVk");
    assert_eq!(parts[1]["functionCall"]["name"], "weather");
    assert_eq!(parts[2].get("thoughtSignature"), None);
}

#[test]
fn calls_of_others_pass_where_signatures_are_asked_for() {
    let call = |id: &str| ToolCall { id: id.to_owned(), name: "time".to_owned(), arguments: String::new() };
    let foreign = Part::Thinking { text: String::new(), signature: Some("of another provider".to_owned()) };
    let parts = vec![foreign, Part::ToolCall(call("a")), Part::ToolCall(call("b"))];
    let ask = Ask { messages: vec![Message { role: Role::Assistant, name: None, parts }], ..Ask::default() };
    let signatures = |model: &str| {
        let sent = encoded(&ask, model);
        let parts = sent["contents"][0]["parts"].as_array().unwrap().clone();
        parts.into_iter().map(|part| part["thoughtSignature"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(signatures("gemini-2.5-flash"), [Value::Null, Value::Null]);
    let lost = Value::from("skip_thought_signature_validator");
    assert_eq!(signatures("gemini-3.1-pro-preview"), [lost, Value::Null]);
}

#[test]
fn thoughts_are_asked_for_as_each_generation_understands() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"hi"}],"reasoning_effort":"medium"}"#;
    let ask = harness::ask(adapters::Operation::Chat, body);
    let thinking = |model: &str| encoded(&ask, model)["generationConfig"]["thinkingConfig"].clone();
    assert_eq!(thinking("gemini-2.5-pro"), json!({ "includeThoughts": true, "thinkingBudget": 8_192 }));
    assert_eq!(thinking("gemini-3-flash"), json!({ "includeThoughts": true, "thinkingLevel": "medium" }));
}

#[test]
fn texts_become_vectors() {
    let dialect = named("gemini").unwrap();
    let ask = embed::Ask {
        model: "m".to_owned(),
        inputs: vec!["a".to_owned(), "b".to_owned()],
        dimensions: Some(2),
        ..embed::Ask::default()
    };
    let target = Target { model: Some("gemini-embedding-001"), ..target() };
    let request = dialect.embed(&ask, &target).unwrap();
    assert_eq!(request.uri().path(), "/v1beta/models/gemini-embedding-001:batchEmbedContents");
    let one = |text: &str| {
        json!({
            "model": "models/gemini-embedding-001",
            "content": { "parts": [{ "text": text }] },
            "outputDimensionality": 2,
        })
    };
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(body, json!({ "requests": [one("a"), one("b")] }));
    let answer = dialect.embedded(br#"{"embeddings":[{"values":[0.5,-1]},{"values":[1,0]}]}"#).unwrap();
    assert_eq!(answer.vectors, [[0.5, -1.0], [1.0, 0.0]]);
    assert_eq!(answer.usage, None);
    let body = br#"{"embeddings":[],"usageMetadata":{"promptTokenCount":4}}"#;
    assert_eq!(dialect.embedded(body).unwrap().usage, Some(Usage::of(4, 0)));
    for wrong in ["{}", r#"{"embeddings":[{}]}"#, r#"{"embeddings":[{"values":["1"]}]}"#, "x"] {
        assert!(dialect.embedded(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn models_are_known_with_their_prices() {
    let table = named("gemini").unwrap().models();
    let price = |model: &str| adapters::models::find(&table, model).and_then(|known| known.price);
    assert_eq!(price("gemini-2.5-flash-lite").unwrap().completion, 400_000);
    assert_eq!(price("gemini-2.5-flash-preview-09-2025").unwrap().prompt, 300_000);
    assert_eq!(price("gemini-3.1-pro-preview").unwrap().completion, 12_000_000);
    assert_eq!(price("gemini-2.5-flash-image"), None);
}
