//! The mock answers as a server would, and the same to the same.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::openai::{Decoder, Event, classify, read_error, usage_of};

fn chat(body: Value) -> Script {
    answer(Operation::Chat, body.to_string().as_bytes())
}

fn plain(body: Value) -> Value {
    let (bytes, complete) = chat(body).collect();
    assert!(complete);
    serde_json::from_slice(&bytes).unwrap()
}

fn events(script: Script) -> (Vec<Value>, bool) {
    let mut decoder = Decoder::new();
    let events = decoder.push(&script.collect().0);
    let data = |event: Event| match event {
        Event::Chunk { data, .. } => Some(serde_json::from_slice(&data).unwrap()),
        _ => None,
    };
    (events.into_iter().filter_map(data).collect(), decoder.finish().done)
}

fn said(events: &[Value]) -> String {
    events.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect()
}

#[test]
fn the_same_question_gets_the_same_bytes_and_another_one_others() {
    let ask =
        |text: &str| chat(json!({"model": "m", "messages": [{"role": "user", "content": text}]})).collect().0;
    assert_eq!(ask("hello"), ask("hello"));
    assert_ne!(ask("hello"), ask("hallo"));
}

#[test]
fn the_last_user_message_is_echoed_and_words_are_counted() {
    let answer = plain(json!({"model": "m", "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hello there"}]},
    ]}));
    assert_eq!(answer["choices"][0]["message"]["content"], "mock: hello there");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"], json!({"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}));
    assert_eq!(answer["model"], "m");
}

#[test]
fn a_stream_says_what_the_plain_answer_says() {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "one two three"}], "mock": {"chunks": 9}});
    let whole = plain(body.clone());
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let (events, done) = events(chat(body));
    assert!(done);
    assert_eq!(said(&events), whole["choices"][0]["message"]["content"]);
    // Role, nine pieces, finish, usage.
    assert_eq!(events.len(), 12);
    assert_eq!(events[11]["usage"]["completion_tokens"], 9);
    assert_eq!(events[11]["choices"], json!([]));
}

#[test]
fn text_is_gathered_into_fewer_pieces_and_stretched_into_more() {
    let ask = |chunks: u32| {
        let body = json!({"messages": [{"role": "user", "content": "a b c"}], "stream": true, "mock": {"chunks": chunks}});
        events(chat(body)).0
    };
    assert_eq!(said(&ask(2)), "mock: a b c");
    assert_eq!(ask(2).len(), 4);
    assert!(said(&ask(6)).starts_with("mock: a b c "));
    assert_eq!(ask(0).len(), 2);
}

#[test]
fn a_limit_of_tokens_cuts_the_answer() {
    let answer = plain(json!({"messages": [{"role": "user", "content": "a b c"}], "max_tokens": 2}));
    assert_eq!(answer["choices"][0]["message"]["content"], "mock: a ");
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
}

#[test]
fn a_required_tool_is_called_with_arguments_that_fit() {
    let mut body = json!({
        "messages": [{"role": "user", "content": "weather?"}],
        "tool_choice": "required",
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": {
            "type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}}}],
    });
    let answer = plain(body.clone());
    let call = &answer["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"], json!({"name": "weather", "arguments": "{\"city\":\"mock\"}"}));
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    body["stream"] = json!(true);
    let (events, done) = events(chat(body.clone()));
    assert!(done);
    assert_eq!(events[1]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"], "weather");
    body["tool_choice"] = json!("auto");
    body["stream"] = json!(false);
    assert_eq!(plain(body)["choices"][0]["finish_reason"], "stop");
}

#[test]
fn structured_output_fits_its_schema() {
    let schema = json!({"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}});
    let body = json!({
        "messages": [{"role": "user", "content": "x"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
    });
    assert_eq!(plain(body)["choices"][0]["message"]["content"], "{\"ok\":false}");
}

#[test]
fn errors_delays_and_breaks_come_as_ordered() {
    let refused = chat(json!({"mock": {"status": 429, "retry_after": 7, "delay_ms": 5}}));
    assert_eq!((refused.status, refused.retry_after), (429, Some(7)));
    assert_eq!(refused.delay, Duration::from_millis(5));
    let (body, _) = refused.collect();
    assert!(classify(429, &http::HeaderMap::new(), &body).retryable);
    assert!(read_error(&body).unwrap().message.contains("asked for"));

    let (bytes, complete) = chat(json!({"mock": {"cut_after_chunks": 1}})).collect();
    assert!(!complete && serde_json::from_slice::<Value>(&bytes).is_err());

    let cut = chat(
        json!({"stream": true, "messages": [{"role":"user","content":"a b c"}], "mock": {"cut_after_chunks": 2}}),
    );
    let (events, done) = events(cut);
    assert_eq!((said(&events).as_str(), done), ("mock: a ", false));

    let mut paced = chat(json!({"stream": true, "mock": {"chunks": 3, "chunk_delay_ms": 20}}));
    let mut waits = Vec::new();
    while let Step::Send { after, .. } = paced.step() {
        waits.push(after.as_millis());
    }
    assert_eq!(waits, [0, 0, 20, 20, 0, 0]);
    assert_eq!(paced.step(), Step::End);
}

#[test]
fn a_request_that_makes_no_sense_is_refused_with_the_reason() {
    for body in [&b"{"[..], b"[]", br#"{"mock":{"dealy_ms":1}}"#, br#"{"mock":{"chunks":9999999}}"#] {
        let script = answer(Operation::Chat, body);
        assert_eq!(script.status, 400, "{}", String::from_utf8_lossy(body));
        assert!(read_error(&script.collect().0).is_some());
    }
}

#[test]
fn embeddings_are_unit_vectors_of_their_text() {
    let ask = |body: Value| -> Value {
        serde_json::from_slice(&answer(Operation::Embeddings, body.to_string().as_bytes()).collect().0)
            .unwrap()
    };
    let answer = ask(json!({"model": "e", "input": ["a", "b", "a"], "dimensions": 4}));
    let vector = |n: usize| answer["data"][n]["embedding"].as_array().unwrap().clone();
    assert_eq!(vector(0), vector(2));
    assert_ne!(vector(0), vector(1));
    let length: f64 = vector(0).iter().map(|x| x.as_f64().unwrap().powi(2)).sum();
    assert!((length - 1.0).abs() < 1e-5, "{length}");
    assert_eq!(answer["usage"]["prompt_tokens"], 3);
    let encoded = ask(json!({"input": "a", "encoding_format": "base64", "dimensions": 4}));
    assert_eq!(encoded["data"][0]["embedding"].as_str().unwrap().len(), 24);
    assert_eq!(ask(json!({"input": [1, 2, 3]}))["data"].as_array().unwrap().len(), 1);
}

#[test]
fn embeddings_that_would_be_too_large_are_refused_with_the_limit() {
    let encoded = |texts: usize, dimensions: u32, encoding: &str| {
        let input = vec!["a"; texts];
        let body =
            json!({"model": "e", "input": input, "dimensions": dimensions, "encoding_format": encoding});
        let script = answer(Operation::Embeddings, body.to_string().as_bytes());
        (script.status, read_error(&script.collect().0).map(|error| error.message).unwrap_or_default())
    };
    let ask = |texts, dimensions| encoded(texts, dimensions, "float");
    assert_eq!(ask(64, 8192).0, 200);
    assert_eq!(encoded(2048, 1536, "base64").0, 200);
    let (status, message) = encoded(2048, 1537, "base64");
    assert!(status == 400 && message.contains("at most 3145728"), "{status} {message}");
    let (status, message) = ask(65, 8192);
    assert!(status == 400 && message.contains("at most 524288"), "{status} {message}");
    let (status, message) = ask(2049, 1);
    assert!(status == 400 && message.contains("at most 2048"), "{status} {message}");
}

#[test]
fn completions_and_models_have_their_shapes() {
    let script = answer(Operation::Completions, br#"{"model":"m","prompt":"hi","stream":true}"#);
    let (events, done) = events(script);
    assert!(done);
    assert_eq!(events[0]["object"], "text_completion");
    assert_eq!(events[0]["choices"][0]["text"], "mock: ");
    let (models, _) = answer(Operation::Models, b"").collect();
    assert_eq!(usage_of(&models), None);
    assert!(models.starts_with(b"{\"object\":\"list\""));
}
