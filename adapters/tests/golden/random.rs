//! No bytes, however wrong, stop a decoder or a client's codec, and none make them say more than an answer may.

use adapters::chat::Event;
use adapters::client;
use adapters::dialect::{Dialect, named};
use adapters::{Call, Operation};
use bytes::Bytes;
use http::HeaderMap;
use proptest::prelude::*;

/// Words of both protocols, so that random texts get past the first field.
const WORDS: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "null",
    "true",
    "1",
    "-1",
    "1e999",
    "\"x\"",
    "\n",
    "\r\n\r\n",
    "data: ",
    "\"message\":",
    "\"content\":",
    "\"done\":",
    "\"tool_calls\":",
    "\"function\":",
    "\"name\":",
    "\"arguments\":",
    "\"response\":",
    "\"error\":",
    "\"candidates\":[",
    "\"parts\":[",
    "\"finishReason\":\"STOP\"",
    "\"index\":",
    "\"functionCall\":{",
    "\"usageMetadata\":{",
    "\"promptFeedback\":",
    "\"messages\":[",
    "\"model\":\"m\"",
    "\"role\":\"tool\"",
    "\"images\":[\"",
    "\"options\":{",
    "\"prompt\":\"a\"",
    "\"logprobs\":[{",
    "\"created_at\":",
];

fn texts() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        9 => proptest::sample::select(WORDS.as_slice()).prop_map(|word| word.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(word, 0..64).prop_map(|words| words.concat())
}

fn read(dialect: &dyn Dialect, bytes: &[u8], size: usize) -> Vec<Event> {
    let (mut decoder, mut events) = (dialect.decoder(), Vec::new());
    bytes.chunks(size).for_each(|piece| decoder.push(piece, &mut events));
    decoder.finish(&mut events);
    events
}

proptest! {
    #[test]
    fn no_answer_stops_a_decoder(bytes in texts(), size in 1_usize..64) {
        for name in ["ollama", "gemini"] {
            let dialect = named(name).unwrap();
            let events = read(dialect, &bytes, size);
            prop_assert_eq!(&events, &read(dialect, &bytes, bytes.len().max(1)));
            let ends = events.iter().filter(|event| matches!(event, Event::Done | Event::Error(_)));
            prop_assert!(ends.count() <= 1);
            drop(dialect.decode(&bytes));
            drop(dialect.embedded(&bytes));
            dialect.usage(&bytes);
            for status in [200, 400, 429, 500, 999] {
                dialect.classify(status, &HeaderMap::new(), &bytes);
            }
        }
    }

    #[test]
    fn no_question_stops_a_client(bytes in texts()) {
        for operation in [Operation::OllamaChat, Operation::OllamaGenerate] {
            let mut body = br#"{"model":"m","messages":[{"role":"user","#.to_vec();
            body.extend_from_slice(&bytes);
            for body in [bytes.clone(), body] {
                if let Ok(call) = Call::parse(operation, Bytes::from(body)) {
                    drop(client::of(operation).unwrap().ask(&call));
                }
            }
        }
    }
}
