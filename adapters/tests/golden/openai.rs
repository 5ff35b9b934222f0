//! Recorded answers of servers that speak OpenAI's dialect: each stream is replayed whole and cut at every byte, each
//! error is classified, each plain answer tells its usage.

use std::path::PathBuf;

use adapters::Usage;
use adapters::openai::{Decoder, Ending, Event, Tail, classify, complete_len, read_error, usage_of};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

fn golden(name: &str) -> Vec<u8> {
    // where the package is now, not where it was compiled: several checkouts may share what is built
    let package = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let path = PathBuf::from(package).join("tests/data/openai").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Ending) {
    let mut decoder = Decoder::new();
    let events = pieces.into_iter().flat_map(|piece| decoder.push(piece)).collect();
    (events, decoder.finish())
}

fn usage(prompt_tokens: u64, completion_tokens: u64) -> Option<Usage> {
    Some(Usage::of(prompt_tokens, completion_tokens))
}

/// Name, number of events, whether it is complete, its error, its usage.
type Recorded = (&'static str, usize, bool, Option<&'static str>, Option<Usage>);

fn streams() -> Vec<Recorded> {
    vec![
        ("chat_stream.sse", 5, true, None, usage(19, 10)),
        ("llama_stream.sse", 5, true, None, usage(31, 1)),
        ("crlf_comments_stream.sse", 3, true, None, usage(1, 1)),
        ("tools_stream.sse", 4, true, None, None),
        ("error_stream.sse", 2, false, Some("context size exceeded"), None),
        ("cut_stream.sse", 1, false, None, None),
    ]
}

#[test]
fn every_stream_says_what_was_recorded() {
    for (name, count, done, error, usage) in streams() {
        let bytes = golden(name);
        let (events, ending) = decode([bytes.as_slice()]);
        assert_eq!(events.len(), count, "{name}");
        assert_eq!(ending.done, done, "{name}");
        assert_eq!(ending.error.as_ref().map(|e| e.message.as_str()), error, "{name}");
        assert_eq!(ending.usage, usage, "{name}");
        for event in &events {
            if let Event::Chunk { data, .. } = event {
                serde_json::from_slice::<Value>(data).unwrap_or_else(|e| panic!("{name}: {e}"));
            }
        }
    }
}

#[test]
fn a_stream_cut_at_any_byte_gives_the_same_events() {
    for (name, ..) in streams() {
        let bytes = golden(name);
        let whole = decode([bytes.as_slice()]);
        for at in 0..=bytes.len() {
            let (left, right) = bytes.split_at(at);
            assert_eq!(decode([left, right]), whole, "{name} at {at}");
        }
        assert_eq!(decode(bytes.chunks(1)), whole, "{name} byte by byte");
    }
}

#[test]
fn the_tail_of_a_stream_tells_its_ending_however_it_arrives() {
    for (name, ..) in streams() {
        let bytes = golden(name);
        let (_, ending) = decode([bytes.as_slice()]);
        for size in [1, 7, 100, bytes.len()] {
            let mut tail = Tail::default();
            bytes.chunks(size).for_each(|piece| tail.push(piece));
            assert_eq!(tail.ending(), ending, "{name} in pieces of {size}");
            assert_eq!(tail.is_done(), ending.done, "{name}");
        }
    }
}

#[test]
fn whole_events_are_found_in_any_beginning_of_a_stream() {
    for (name, ..) in streams() {
        let bytes = golden(name);
        let mut most = 0;
        for at in 0..=bytes.len() {
            let whole = complete_len(&bytes[..at]);
            assert!(whole <= at && whole >= most, "{name} at {at}");
            let (events, _) = decode([&bytes[..at]]);
            let passed = decode([&bytes[..whole]]).0;
            assert!(events.starts_with(&passed), "{name} at {at}");
            // A lone CR ends a line for the decoder already; the relay waits for its LF.
            let waits = usize::from(bytes[whole..at].ends_with(b"\r\n\r"));
            assert!(events.len() <= passed.len() + waits, "{name} at {at}");
            most = whole;
        }
    }
}

#[test]
fn every_plain_answer_tells_its_usage() {
    assert_eq!(usage_of(&golden("chat_plain.json")), usage(19, 10));
    assert_eq!(usage_of(&golden("llama_plain.json")), usage(31, 2));
    assert_eq!(usage_of(&golden("embeddings_plain.json")), usage(8, 0));
}

#[test]
fn every_error_is_classified() {
    let cases: Vec<Value> = serde_json::from_slice(&golden("errors.json")).unwrap();
    for case in cases {
        let name = case["case"].as_str().unwrap();
        let mut headers = HeaderMap::new();
        for (key, value) in case["headers"].as_object().unwrap() {
            let key = HeaderName::try_from(key.as_str()).unwrap();
            headers.insert(key, HeaderValue::from_str(value.as_str().unwrap()).unwrap());
        }
        let body = match &case["body"] {
            Value::String(text) => text.clone(),
            json => json.to_string(),
        };
        let failure = classify(case["status"].as_u64().unwrap() as u16, &headers, body.as_bytes());
        assert_eq!(failure.kind.as_str(), case["kind"], "{name}");
        assert_eq!(failure.retryable, case["retryable"].as_bool().unwrap(), "{name}");
        assert_eq!(failure.counts_for_breaker, case["breaker"].as_bool().unwrap(), "{name}");
        let wait = failure.retry_after.map(|wait| wait.as_millis() as u64);
        assert_eq!(wait, case["retry_after_ms"].as_u64(), "{name}");
        if let Some(code) = case["code"].as_str() {
            assert_eq!(read_error(body.as_bytes()).unwrap().code.as_deref(), Some(code), "{name}");
        }
    }
}
