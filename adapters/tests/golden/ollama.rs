//! Ollama's interface from both sides.

use adapters::chat::{Collector, Delta, Event, Finish};
use adapters::client::{self, Client};
use adapters::dialect::{Spoken, named};
use adapters::exchange::Exchange;
use adapters::openai::ErrorBody;
use adapters::{Call, Operation, Target, Usage, embed};
use bytes::{Bytes, BytesMut};

use super::harness;

fn target() -> Target<'static> {
    Target { model: Some("upstream-model"), ..Target::at("http://127.0.0.1:11434") }
}

fn call(operation: Operation, body: &'static str) -> Call {
    Call::parse(operation, Bytes::from_static(body.as_bytes())).unwrap_or_else(|e| panic!("{body}: {e}"))
}

#[test]
fn questions_become_requests() {
    harness::requests("ollama", &target());
}

#[test]
fn answers_and_streams_are_understood() {
    harness::answers("ollama");
    harness::streams("ollama");
    harness::errors("ollama");
}

#[test]
fn clients_are_understood_and_answered() {
    harness::client_asks("ollama_chat", Operation::OllamaChat);
    harness::client_asks("ollama_generate", Operation::OllamaGenerate);
    for dialect in ["compatible", "ollama", "gemini"] {
        let body = r#"{"model":"m","messages":[]}"#;
        harness::client_answers("ollama_chat", Operation::OllamaChat, dialect, body);
        let body = r#"{"model":"m","prompt":"hi"}"#;
        harness::client_answers("ollama_generate", Operation::OllamaGenerate, dialect, body);
    }
}

#[test]
fn bytes_of_its_clients_pass_with_the_models_name_replaced() {
    let dialect = named("ollama").unwrap();
    for (operation, body, path) in [
        (Operation::OllamaChat, r#"{"model":"m","messages":[],"x":1}"#, "/api/chat"),
        (Operation::OllamaGenerate, r#"{"model":"m","prompt":"a","raw":true}"#, "/api/generate"),
        (Operation::OllamaEmbed, r#"{"model":"m","input":"a"}"#, "/api/embed"),
    ] {
        let target = Target { secret: Some("k"), ..target() };
        let request = dialect.pass(&call(operation, body), &target).unwrap();
        assert_eq!(request.uri().path(), path);
        assert_eq!(request.body(), body.replace(r#""m""#, r#""upstream-model""#).as_bytes());
        assert_eq!(request.headers()["authorization"], "Bearer k");
        assert!(Exchange::new(&call(operation, body), &Spoken::Known(dialect)).unwrap().relays());
    }
    let body = br#"{"message":{"content":"a"},"done":true,"prompt_eval_count":3,"eval_count":4}"#;
    assert_eq!(dialect.usage(body), Some(Usage::of(3, 4)));
}

#[test]
fn an_address_may_end_in_api() {
    let dialect = named("ollama").unwrap();
    let probe = dialect.probe(&Target::at("https://ollama.com/api/")).unwrap();
    assert_eq!(probe.uri(), "https://ollama.com/api/tags");
    assert!(!probe.headers().contains_key("authorization"));
}

#[test]
fn what_loads_a_model_is_answered_without_a_target() {
    let dialect = named("compatible").unwrap();
    for (operation, body, reason) in [
        (Operation::OllamaChat, r#"{"model":"m","messages":[]}"#, "load"),
        (Operation::OllamaChat, r#"{"model":"m","messages":[],"keep_alive":0}"#, "unload"),
        (Operation::OllamaGenerate, r#"{"model":"m","keep_alive":"10m"}"#, "load"),
        (Operation::OllamaGenerate, r#"{"model":"m","prompt":"","keep_alive":"0s"}"#, "unload"),
    ] {
        let call = call(operation, body);
        let told =
            Exchange::new(&call, &Spoken::Known(dialect)).unwrap().local(&call, &harness::about()).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
        assert_eq!((&told["done"], &told["done_reason"]), (&true.into(), &reason.into()), "{body}");
        assert_eq!(told["created_at"], "2023-11-14T22:13:20Z");
    }
    let asked = call(Operation::OllamaGenerate, r#"{"model":"m","prompt":"hi"}"#);
    assert_eq!(
        Exchange::new(&asked, &Spoken::Known(dialect)).unwrap().local(&asked, &harness::about()),
        None
    );
}

#[test]
fn errors_are_told_in_its_shape() {
    let error = ErrorBody { message: "no \"m\"".to_owned(), kind: None, param: None, code: None };
    for operation in [Operation::OllamaChat, Operation::OllamaGenerate, Operation::OllamaEmbed] {
        assert_eq!(client::error(operation, 404, &error), r#"{"error":"no \"m\""}"#);
    }
    assert_eq!(adapters::ollama::Chat.error_event(&error), "{\"error\":\"no \\\"m\\\"\"}\n");
}

#[test]
fn texts_become_vectors() {
    let embedder = client::embedder(Operation::OllamaEmbed).unwrap();
    let asked =
        call(Operation::OllamaEmbed, r#"{"model":"m","input":["a","b"],"truncate":true,"dimensions":2}"#);
    let ask = embedder.ask(&asked).unwrap();
    assert_eq!((ask.inputs.len(), ask.dimensions), (2, Some(2)));
    let one = embedder.ask(&call(Operation::OllamaEmbed, r#"{"model":"m","input":"a"}"#)).unwrap();
    assert_eq!(one.inputs, ["a"]);
    for wrong in [r#"{"model":"m","input":[]}"#, r#"{"model":"m","input":[1]}"#] {
        assert!(
            embedder.ask(&call(Operation::OllamaEmbed, wrong)).unwrap_err().to_string().contains("`input`")
        );
    }

    let dialect = named("ollama").unwrap();
    let request = dialect.embed(&ask, &target()).unwrap();
    assert_eq!(request.uri().path(), "/api/embed");
    let body = r#"{"model":"upstream-model","input":["a","b"],"truncate":false,"dimensions":2}"#;
    assert_eq!(request.body(), body);
    let body = br#"{"model":"all-minilm","embeddings":[[0.1,-0.5],[1,0]],"total_duration":14143917,"prompt_eval_count":8}"#;
    let answer = dialect.embedded(body).unwrap();
    let vectors = vec![vec![0.1, -0.5], vec![1.0, 0.0]];
    let usage = Some(Usage::of(8, 0));
    assert_eq!(answer, embed::Answer { model: "all-minilm".to_owned(), vectors, usage });
    let told = r#"{"model":"all-minilm","embeddings":[[0.1,-0.5],[1.0,0.0]],"total_duration":0,"load_duration":0,"prompt_eval_count":8}"#;
    assert_eq!(embedder.answer(&ask, &answer, &harness::about()), told);
    for wrong in ["[]", r#"{"embeddings":[1]}"#, r#"{"embeddings":[["1"]]}"#, r#"{"error":"no"}"#, "x"] {
        assert!(dialect.embedded(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn a_call_that_cannot_be_made_is_told_as_text() {
    let ask = harness::ask(Operation::OllamaChat, br#"{"model":"m","messages":[]}"#);
    let mut encoder = adapters::ollama::Chat.encoder(&ask, &harness::about());
    let (mut out, mut whole) = (BytesMut::new(), Collector::default());
    let call = Delta::ToolCall { index: 0, id: "c".to_owned(), name: "weather".to_owned() };
    let arguments = Delta::Arguments { index: 0, text: "{\"city\":".to_owned() };
    let events = [call, arguments].map(|delta| Event::Delta { choice: 0, delta });
    for event in events.into_iter().chain([Event::Finish { choice: 0, reason: Finish::Length }, Event::Done])
    {
        encoder.push(&event, &mut out);
        whole.push(event);
    }
    let lines: Vec<serde_json::Value> =
        out[..].split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(lines.len(), 2);
    let answer = whole.finish().unwrap().unwrap();
    let told = adapters::ollama::Chat.answer(&ask, &answer, &harness::about());
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    for message in [&lines[0]["message"], &told["message"]] {
        assert_eq!(message["content"], "{\"city\":");
        assert_eq!(message.get("tool_calls"), None);
    }
    assert_eq!(lines[1]["done_reason"], "length");
}
