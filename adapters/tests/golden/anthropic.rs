//! Anthropic's Messages API from both sides. `data/anthropic` is what the provider gets and answers, `data/messages` what
//! its clients send and read. The shapes are those of its documentation.

use std::collections::BTreeMap;

use adapters::chat::Ask;
use adapters::dialect::{Spoken, named};
use adapters::exchange::Exchange;
use adapters::openai::ErrorBody;
use adapters::{Call, Operation, Target, Usage, client};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::harness;

fn target() -> Target<'static> {
    Target { secret: Some("sk-ant-test"), ..Target::at("https://api.anthropic.com") }
}

#[test]
fn questions_become_requests() {
    harness::requests("anthropic", &target());
}

#[test]
fn answers_streams_and_errors_are_understood() {
    harness::answers("anthropic");
    harness::streams("anthropic");
    harness::errors("anthropic");
}

#[test]
fn clients_are_understood_and_answered() {
    harness::client_asks("messages", Operation::Messages);
    let body = r#"{"model":"m","max_tokens":9,"messages":[],"stream":true}"#;
    harness::client_answers("messages", Operation::Messages, "compatible", body);
    harness::client_answers("messages", Operation::Messages, "anthropic", body);
}

#[test]
fn a_question_of_its_own_clients_comes_to_it_as_it_was_meant() {
    let dialect = named("anthropic").unwrap();
    let mut passed = 0;
    for case in harness::files("messages", ".ask.json") {
        if case.to_string_lossy().contains("bad_") {
            continue;
        }
        let plain = |body: &[u8]| Ask { hints: Vec::new(), ..harness::ask(Operation::Messages, body) };
        let before = plain(&harness::read(&case));
        if !before.rest.is_empty() {
            continue;
        }
        let request = dialect.encode(&before, &target()).unwrap();
        assert_eq!(plain(request.body()), before, "{}", case.display());
        passed += 1;
    }
    assert!(passed >= 8);
}

#[test]
fn a_stream_of_its_own_says_the_same_after_being_said_anew() {
    let (dialect, speaks) = (named("anthropic").unwrap(), client::of(Operation::Messages).unwrap());
    let ask = harness::ask(Operation::Messages, br#"{"model":"m","max_tokens":9,"messages":[]}"#);
    for case in harness::files("anthropic", ".stream") {
        let decode = |bytes: &[u8]| {
            let (mut decoder, mut events) = (dialect.decoder(), Vec::new());
            decoder.push(bytes, &mut events);
            decoder.finish(&mut events);
            events
        };
        let events = decode(&harness::read(&case));
        let (mut encoder, mut out) = (speaks.encoder(&ask, &harness::about()), BytesMut::new());
        events.iter().for_each(|event| encoder.push(event, &mut out));
        let collect = |events: Vec<_>| {
            let mut whole = adapters::chat::Collector::default();
            events.into_iter().for_each(|event| whole.push(event));
            whole.finish()
        };
        let again = collect(decode(&out));
        let mut first = collect(events);
        // Where the provider tells neither, its clients get an id and zeros all the same.
        if let (Some(Ok(first)), Some(Ok(again))) = (&mut first, &again) {
            first.id.clone_from(&again.id);
            first.model.clone_from(&again.model);
            first.usage = first.usage.or(again.usage);
        }
        if !case.ends_with("odd.stream") {
            assert_eq!(again, first, "{}", case.display());
        }
    }
}

fn call(operation: Operation) -> Call {
    let body = r#"{ "model":"mine", "max_tokens":5,"messages":[],"x":1}"#;
    Call::parse(operation, Bytes::from_static(body.as_bytes())).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn its_clients_bytes_pass_as_they_are_but_for_the_name() {
    let dialect = named("anthropic").unwrap();
    let options = BTreeMap::from([
        ("version".to_owned(), "2024-01-01".to_owned()),
        ("beta".to_owned(), "context-1m-2025-08-07".to_owned()),
    ]);
    let target = Target {
        secret: Some("k"),
        model: Some("claude-opus-5"),
        options: &options,
        ..Target::at("https://api.example.com/v1/")
    };
    let request = Exchange::new(&call(Operation::Messages), &Spoken::Known(dialect)).unwrap();
    let request = request.request(&call(Operation::Messages), &target).unwrap();
    assert_eq!(request.uri(), "https://api.example.com/v1/messages");
    assert_eq!(request.body(), r#"{ "model":"claude-opus-5", "max_tokens":5,"messages":[],"x":1}"#);
    let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-api-key"), "k");
    assert!(request.headers()["x-api-key"].is_sensitive());
    assert_eq!(header("anthropic-version"), "2024-01-01");
    assert_eq!(header("anthropic-beta"), "context-1m-2025-08-07");
    let counting = dialect.pass(&call(Operation::CountTokens), &target).unwrap();
    assert_eq!(counting.uri(), "https://api.example.com/v1/messages/count_tokens");
    let plain = Target::at("https://api.anthropic.com");
    assert_eq!(dialect.probe(&plain).unwrap().uri(), "https://api.anthropic.com/v1/models");
    assert_eq!(dialect.pass(&Call::models(), &plain).unwrap().method(), "GET");
    assert!(dialect.probe(&plain).unwrap().headers().get("x-api-key").is_none());
}

#[test]
fn an_answer_that_passes_tells_its_usage() {
    let dialect = named("anthropic").unwrap();
    let path = harness::folder("anthropic").join("plain.answer.json");
    let usage = Usage { cached_tokens: 2000, cache_write_tokens: 100, ..Usage::of(2112, 6) };
    assert_eq!(dialect.usage(&harness::read(&path)), Some(usage));
    assert_eq!(dialect.usage(br#"{"input_tokens":7}"#), None);
    assert_eq!(dialect.usage(b"<html>"), None);
}

#[test]
fn tokens_are_estimated_where_a_provider_does_not_count() {
    let count = call(Operation::CountTokens);
    let exchange = Exchange::new(&count, &Spoken::Known(named("compatible").unwrap())).unwrap();
    let answer: Value = serde_json::from_slice(&exchange.local(&count, &harness::about()).unwrap()).unwrap();
    assert!(answer["input_tokens"].is_u64());
}

#[test]
fn errors_have_the_kinds_that_its_clients_know() {
    let error = |kind: Option<&str>, code: Option<&str>| ErrorBody {
        message: "no".to_owned(),
        kind: kind.map(str::to_owned),
        param: None,
        code: code.map(str::to_owned),
    };
    let told = |operation, status| -> Value {
        serde_json::from_slice(&client::error(operation, status, &error(None, None))).unwrap()
    };
    for (status, kind) in [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ] {
        let body = told(Operation::Messages, status);
        assert_eq!((&body["type"], &body["error"]["type"]), (&"error".into(), &kind.into()), "{status}");
        assert_eq!(body["error"]["message"], "no");
    }
    assert_eq!(told(Operation::CountTokens, 404)["error"]["type"], "not_found_error");
    assert_eq!(told(Operation::Chat, 404)["error"]["type"], "server_error");
    let speaks = client::of(Operation::Messages).unwrap();
    for (kind, code, want) in [
        (Some("overloaded_error"), None, "overloaded_error"),
        (Some("server_error"), Some("503"), "overloaded_error"),
        (Some("insufficient_quota"), None, "billing_error"),
        (Some("requests"), None, "rate_limit_error"),
        (Some("server_error"), None, "api_error"),
    ] {
        let event = speaks.error_event(&error(kind, code));
        let event = std::str::from_utf8(&event).unwrap();
        assert!(event.starts_with("event: error\ndata: {") && event.ends_with("}\n\n"), "{event}");
        assert!(event.contains(want), "{event}");
    }
}

#[test]
fn a_question_that_counts_tokens_need_not_say_how_much_may_be_answered() {
    let body = Bytes::from_static(br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#);
    let ask = |operation| {
        let call = Call::parse(operation, body.clone()).unwrap();
        client::of(Operation::Messages).unwrap().ask(&call)
    };
    assert!(ask(Operation::Messages).is_err());
    assert_eq!(ask(Operation::CountTokens).unwrap().output_max, None);
}

/// A JSON value with one of its parts, wherever it is, replaced by something odd.
fn oddities(value: &Value) -> Vec<Value> {
    let mut out = vec![json!(null), json!(true), json!(7), json!(-1.5), json!("x"), json!([]), json!({})];
    out.extend([json!([null]), json!([[{}]]), json!({ "type": "text" })]);
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                out.extend(oddities(inner).into_iter().map(|odd| {
                    let mut whole = value.clone();
                    whole[key] = odd;
                    whole
                }));
                let mut without = map.clone();
                without.remove(key);
                out.push(without.into());
            }
        }
        Value::Array(list) => {
            for (n, inner) in list.iter().enumerate() {
                out.extend(oddities(inner).into_iter().map(|odd| {
                    let mut whole = value.clone();
                    whole[n] = odd;
                    whole
                }));
            }
        }
        _ => {}
    }
    out
}

#[test]
fn nothing_that_anyone_sends_makes_it_stumble() {
    let (dialect, speaks) = (named("anthropic").unwrap(), client::of(Operation::Messages).unwrap());
    for case in harness::files("messages", ".ask.json") {
        for body in oddities(&serde_json::from_slice(&harness::read(&case)).unwrap()) {
            let call = Call::parse(Operation::Messages, Bytes::from(body.to_string()));
            if let Ok(ask) = call.and_then(|call| speaks.ask(&call)) {
                drop(dialect.encode(&ask, &target()));
            }
        }
    }
    let ask = harness::ask(Operation::Messages, br#"{"model":"m","max_tokens":9,"messages":[]}"#);
    for case in harness::files("anthropic", ".answer.json") {
        let Ok(value) = serde_json::from_slice(&harness::read(&case)) else { continue };
        for body in oddities(&value) {
            if let Ok(answer) = dialect.decode(body.to_string().as_bytes()) {
                drop(speaks.answer(&ask, &answer, &harness::about()));
            }
        }
    }
    for case in harness::files("anthropic", ".stream") {
        let text = String::from_utf8_lossy(&harness::read(&case)).into_owned();
        let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        for (n, line) in lines.iter().enumerate() {
            let Ok(value) = serde_json::from_str(line) else { continue };
            for odd in oddities(&value) {
                let (mut decoder, mut events) = (dialect.decoder(), Vec::new());
                for (m, line) in lines.iter().enumerate() {
                    let line = if m == n { odd.to_string() } else { (*line).to_owned() };
                    decoder.push(format!("data: {line}\n\n").as_bytes(), &mut events);
                }
                let (mut encoder, mut out) = (speaks.encoder(&ask, &harness::about()), BytesMut::new());
                events.iter().for_each(|event| encoder.push(event, &mut out));
            }
        }
    }
}
