//! OpenAI's responses for clients.

use adapters::chat::{Delta, Event, Finish};
use adapters::client::{self, Client};
use adapters::openai::ErrorBody;
use adapters::responses::Responses;
use adapters::{Operation, Target, dialect};
use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::harness;

/// The events of a stream, each with its name.
fn events(bytes: &[u8]) -> Vec<(String, Value)> {
    let mut sse = adapters::frames::Sse::default();
    let mut events = Vec::new();
    sse.push(bytes, |name, data| {
        let Ok(data) = serde_json::from_slice::<Value>(data) else { panic!("no JSON in {name}") };
        assert_eq!(data["type"], name);
        events.push((name.to_owned(), data));
    });
    for (n, (_, event)) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], n, "{event}");
    }
    events
}

fn encode(body: &str, told: &[Event]) -> Vec<(String, Value)> {
    let ask = harness::ask(Operation::Responses, body.as_bytes());
    let (mut encoder, mut out) = (Responses.encoder(&ask, &harness::about()), BytesMut::new());
    told.iter().for_each(|event| encoder.push(event, &mut out));
    events(&out)
}

fn delta(delta: Delta) -> Event {
    Event::Delta { choice: 0, delta }
}

const ASK: &str = r#"{"model":"m","input":"hi","stream":true}"#;

#[test]
fn clients_are_understood() {
    harness::client_asks("responses", Operation::Responses);
}

#[test]
fn clients_are_answered() {
    let body = r#"{"model":"m","input":"hi","stream":true,"include":["message.output_text.logprobs"],"metadata":{"a":"b"}}"#;
    harness::client_answers("responses", Operation::Responses, "compatible", body);
}

#[test]
fn a_stream_ends_as_the_same_response_that_comes_whole() {
    let ask = harness::ask(Operation::Responses, ASK.as_bytes());
    let from = dialect::named("compatible").unwrap();
    for case in harness::files("compatible", ".stream") {
        let (mut decoder, mut told) = (from.decoder(), Vec::new());
        decoder.push(&harness::read(&case), &mut told);
        let (mut encoder, mut out) = (Responses.encoder(&ask, &harness::about()), BytesMut::new());
        let mut whole = adapters::chat::Collector::default();
        for event in told {
            encoder.push(&event, &mut out);
            whole.push(event);
        }
        let Some(Ok(answer)) = whole.finish() else { continue };
        let whole = Responses.answer(&ask, &answer, &harness::about());
        let whole: Value = serde_json::from_slice(&whole).unwrap();
        let events = events(&out);
        assert_eq!(events.last().unwrap().1["response"], whole, "{}", case.display());
        // Each item that ended is the one that the whole response has.
        for (name, event) in events {
            if name == "response.output_item.done" {
                let at = event["output_index"].as_u64().unwrap() as usize;
                assert_eq!(event["item"], whole["output"][at], "{}", case.display());
            }
        }
    }
}

#[test]
fn signed_thoughts_are_told_and_understood_when_they_come_back() {
    for (body, kind) in [
        (ASK, "content"),
        (r#"{"model":"m","input":"hi","stream":true,"reasoning":{"summary":"auto"}}"#, "summary"),
    ] {
        let told = [
            Event::Begin { id: "msg_01".to_owned(), model: "claude".to_owned() },
            delta(Delta::Thinking("Hm".to_owned())),
            delta(Delta::Thinking("m.".to_owned())),
            delta(Delta::Signature("abc".to_owned())),
            delta(Delta::Signature("def".to_owned())),
            delta(Delta::Thinking("More.".to_owned())),
            delta(Delta::Text("Hi".to_owned())),
            Event::Finish { choice: 0, reason: Finish::Stop },
            Event::Done,
        ];
        let events = encode(body, &told);
        let output = &events.last().unwrap().1["response"]["output"];
        assert_eq!(output[0][kind][0]["text"], "Hmm.");
        assert_eq!(output[0]["encrypted_content"], "abcdef");
        assert_eq!(output[1][kind][0]["text"], "More.");
        let back = serde_json::json!({ "model": "m", "input": output }).to_string();
        let ask = harness::ask(Operation::Responses, back.as_bytes());
        let text = format!("{:?}", ask.messages);
        assert!(text.contains(r#"Thinking { text: "Hmm.", signature: Some("abcdef") }"#), "{text}");
        assert_eq!(ask.messages.len(), 1, "{text}");
        assert_eq!((ask.rest, ask.hints), (vec![], vec![]));
    }
}

#[test]
fn calls_that_grow_side_by_side_keep_what_is_theirs() {
    let call = |index: u32| delta(Delta::ToolCall { index, id: format!("c{index}"), name: "f".to_owned() });
    let more = |index: u32, text: &str| delta(Delta::Arguments { index, text: text.to_owned() });
    let told = [
        call(0),
        more(0, "{\"a\":"),
        call(1),
        more(1, "{}"),
        more(0, "1}"),
        delta(Delta::Text("done".to_owned())),
        Event::Done,
    ];
    let events = encode(ASK, &told);
    let output = &events.last().unwrap().1["response"]["output"];
    assert_eq!(output[0]["arguments"], "{\"a\":1}");
    assert_eq!(output[1]["arguments"], "{}");
    assert_eq!(output[2]["content"][0]["text"], "done");
}

#[test]
fn a_failed_stream_tells_the_error_and_the_failed_response() {
    let error = ErrorBody {
        message: "slow down".to_owned(),
        kind: Some("requests".to_owned()),
        param: None,
        code: Some("rate_limit_exceeded".to_owned()),
    };
    let events = encode(ASK, &[delta(Delta::Text("a".to_owned())), Event::Error(error.clone())]);
    let [.., (name, told), (last, failed)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((name.as_str(), last.as_str()), ("error", "response.failed"));
    assert_eq!((&told["message"], &told["error"]["message"]), (&"slow down".into(), &"slow down".into()));
    assert_eq!(failed["response"]["error"]["code"], "rate_limit_exceeded");
    assert_eq!(failed["response"]["status"], "failed");
    // Before it began there is no response that could have failed.
    assert_eq!(encode(ASK, &[Event::Error(error.clone())]).len(), 1);
    assert_eq!(self::events(&Responses.error_event(&error)).len(), 1);
}

#[test]
fn what_a_response_asks_reaches_servers_that_know_chats_only() {
    let target = Target::at("https://api.example.com/v1");
    let compatible = dialect::named("compatible").unwrap();
    let mut said = String::new();
    for case in harness::files("responses", ".ask.json") {
        let call = adapters::Call::parse(Operation::Responses, Bytes::from(harness::read(&case)));
        let ask = call.and_then(|call| client::of(Operation::Responses).unwrap().ask(&call));
        let Ok(ask) = ask else { continue };
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let request = dialect::check(&ask, compatible).and_then(|()| compatible.encode(&ask, &target));
        said += &match request {
            Ok(request) => format!("{name}\n{}", harness::request_text(&request)),
            Err(error) => format!("{name}\nrefused: {error}\n"),
        };
    }
    harness::expect(&harness::folder("responses").join("compatible.requests"), "requests", &said);
}
