//! Runs cases that are files. A case's name says what it is for; its expectation is a file of the same name and another
//! ending, in words that a reviewer can read.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapters::chat::{Ask, Collector, Event};
use adapters::client::{self, About};
use adapters::declared::{Declared, shipped};
use adapters::dialect::{Dialect, Spoken, named};
use adapters::{Call, HttpRequest, Operation, Target};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// A dialect that the program knows, or that was declared and comes with it.
pub(crate) fn dialect(name: &str) -> Spoken {
    if let Some(known) = named(name) {
        return Spoken::Known(known);
    }
    let (_, text) = shipped().iter().find(|(known, _)| *known == name).unwrap();
    Spoken::Declared(Arc::new(Declared::parse(text).unwrap_or_else(|e| panic!("{name}: {e}"))))
}

/// What ids and times are in expectations.
pub(crate) fn about() -> About {
    About { id: "0123456789abcdef0123456789abcdef".to_owned(), now_s: 1_700_000_000 }
}

/// Where a protocol's files are.
pub(crate) fn folder(name: &str) -> PathBuf {
    // where the package is now, not where it was compiled: several checkouts may share what is built
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("tests/data").join(name)
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files of a folder whose names end so, in order.
pub(crate) fn files(name: &str, ending: &str) -> Vec<PathBuf> {
    let folder = folder(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files.sort();
    assert!(!files.is_empty(), "no *{ending} in {}", folder.display());
    files
}

/// Holds what came out against the file beside the case, whose last ending is replaced.
pub(crate) fn expect(case: &Path, ending: &str, got: &str) {
    let path = case.with_extension(ending);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, got).unwrap();
        return;
    }
    let want = String::from_utf8(read(&path)).unwrap();
    assert!(want == got, "{} has changed:\n--- expected\n{want}\n--- got\n{got}", path.display());
}

/// A client's question out of a body.
pub(crate) fn ask(operation: Operation, body: &[u8]) -> Ask {
    let call = Call::parse(operation, Bytes::copy_from_slice(body)).unwrap();
    client::of(operation).unwrap().ask(&call).unwrap()
}

/// A request as text: its line, its headers in order, its body in lines.
pub(crate) fn request_text(request: &HttpRequest) -> String {
    let mut text = format!("{} {}\n", request.method(), request.uri());
    let mut headers: Vec<String> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    headers.iter().for_each(|line| writeln!(text, "{line}").unwrap());
    writeln!(text).unwrap();
    text + &pretty(request.body())
}

/// JSON in lines; anything else as it is.
pub(crate) fn pretty(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => serde_json::to_string_pretty(&value).unwrap() + "\n",
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    }
}

/// `*.ask.json` are bodies of OpenAI's clients: each must become the request in `*.request`.
pub(crate) fn requests(name: &str, target: &Target<'_>) {
    let dialect = &*dialect(name);
    for case in files(name, ".ask.json") {
        if case.to_string_lossy().contains("bad_") {
            continue;
        }
        let ask = ask(Operation::Chat, &read(&case));
        let request = adapters::dialect::check(&ask, dialect).and_then(|()| dialect.encode(&ask, target));
        let text = match request {
            Ok(request) => request_text(&request),
            Err(error) => format!("refused: {error}\n"),
        };
        expect(&case, "request", &text);
    }
}

/// `*.answer.json` are a provider's whole answers: each must become what `*.told` says.
pub(crate) fn answers(name: &str) {
    let dialect = &*dialect(name);
    for case in files(name, ".answer.json") {
        let text = format!("{:#?}\n", dialect.decode(&read(&case)));
        expect(&case, "told", &text);
    }
}

pub(crate) fn decode<'a>(dialect: &dyn Dialect, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let (mut decoder, mut events) = (dialect.decoder(), Vec::new());
    for piece in pieces {
        decoder.push(piece, &mut events);
    }
    decoder.finish(&mut events);
    events
}

/// `*.stream` are a provider's answers in pieces: each must give the events in `*.events`, the same however it is cut.
pub(crate) fn streams(name: &str) {
    let dialect = &*dialect(name);
    for case in files(name, ".stream") {
        let bytes = read(&case);
        let whole = decode(dialect, [bytes.as_slice()]);
        let text: String = whole.iter().map(|event| format!("{event:?}\n")).collect();
        expect(&case, "events", &text);
        for at in 0..=bytes.len() {
            let (left, right) = bytes.split_at(at);
            assert_eq!(decode(dialect, [left, right]), whole, "{} cut at {at}", case.display());
        }
        assert_eq!(decode(dialect, bytes.chunks(1)), whole, "{} byte by byte", case.display());
        // Cut off anywhere, it is not taken for complete, and nothing panics.
        for at in 0..bytes.len() {
            let told = decode(dialect, [&bytes[..at]]);
            assert!(
                whole.starts_with(&told) || told.len() <= whole.len() + 1,
                "{} off at {at}",
                case.display()
            );
        }
    }
}

/// `errors.json` are a provider's refusals, and what each means.
pub(crate) fn errors(name: &str) {
    let dialect = &*dialect(name);
    let path = folder(name).join("errors.json");
    let cases: Vec<Value> = serde_json::from_slice(&read(&path)).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let label = case["case"].as_str().unwrap();
        let mut headers = HeaderMap::new();
        for (key, value) in case["headers"].as_object().into_iter().flatten() {
            let key = HeaderName::try_from(key.as_str()).unwrap();
            headers.insert(key, HeaderValue::from_str(value.as_str().unwrap()).unwrap());
        }
        let body = match &case["body"] {
            Value::String(text) => text.clone(),
            json => json.to_string(),
        };
        let refusal = dialect.classify(case["status"].as_u64().unwrap() as u16, &headers, body.as_bytes());
        assert_eq!(refusal.failure.kind.as_str(), case["kind"], "{label}");
        let wait = refusal.failure.retry_after.map(|wait| wait.as_millis() as u64);
        assert_eq!(wait, case["retry_after_ms"].as_u64(), "{label}");
        if let Some(message) = case["message"].as_str() {
            assert_eq!(refusal.error.message, message, "{label}");
        }
    }
}

/// `*.ask.json` of a client's protocol: each must be understood as `*.ask` says.
pub(crate) fn client_asks(name: &str, operation: Operation) {
    for case in files(name, ".ask.json") {
        let call = Call::parse(operation, Bytes::from(read(&case)));
        let ask = call.and_then(|call| client::of(operation).unwrap().ask(&call));
        let text = match ask {
            Ok(ask) => format!("{ask:#?}\n"),
            Err(error) => format!("refused: {error}\n"),
        };
        expect(&case, "understood", &text);
    }
}

/// Streams of one provider as clients of an operation get them: `<name>/<case>.<operation>.sent`, and the same answers whole.
pub(crate) fn client_answers(name: &str, operation: Operation, dialect: &str, body: &str) {
    let from = &*self::dialect(dialect);
    let speaks = client::of(operation).unwrap();
    let ask = ask(operation, body.as_bytes());
    for case in files(dialect, ".stream") {
        let events = decode(from, [read(&case).as_slice()]);
        let (mut encoder, mut out, mut whole) =
            (speaks.encoder(&ask, &about()), BytesMut::new(), Collector::default());
        for event in events {
            encoder.push(&event, &mut out);
            whole.push(event);
        }
        let mut text = String::from_utf8(out.to_vec()).unwrap();
        text += match whole.finish() {
            None => "--- cut\n".to_owned(),
            Some(Err(error)) => format!("--- error: {}\n", error.message),
            Some(Ok(answer)) => format!("--- whole\n{}", pretty(&speaks.answer(&ask, &answer, &about()))),
        }
        .as_str();
        let file = format!("{}-{}.sent", dialect, case.file_stem().unwrap().to_string_lossy());
        expect(&folder(name).join(file), "sent", &text);
    }
}
