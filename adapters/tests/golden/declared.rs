//! Dialects that were declared: those that come with the program, and what is wrong with others.

use adapters::declared::{Declaration, Declared, shipped};
use adapters::dialect::{Dialect, check};
use adapters::{Call, FailureKind, Operation, Target, Usage, embed};
use bytes::Bytes;
use serde_json::{Value, json};

use super::harness;
use super::noise;

fn target(base: &str) -> Target<'_> {
    Target { secret: Some("sk-test"), model: Some("upstream-model"), ..Target::at(base) }
}

#[test]
fn what_comes_with_the_program_makes_dialects() {
    for (name, text) in shipped() {
        let dialect = Declared::parse(text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(dialect.name(), *name);
        let again = serde_json::to_string(dialect.declaration()).unwrap();
        assert_eq!(&Declaration::parse(&again).unwrap(), dialect.declaration(), "{name}");
    }
}

#[test]
fn dashscope_is_asked_as_the_programmed_dialect_asks_it() {
    let dialect = harness::dialect("dashscope-text");
    let target = target("https://dashscope.example.com/");
    let mut same = 0;
    for case in harness::files("dashscope", ".ask.json") {
        let ask = harness::ask(Operation::Chat, &harness::read(&case));
        let request = check(&ask, &*dialect).and_then(|()| dialect.encode(&ask, &target));
        let text = match request {
            Ok(request) => harness::request_text(&request),
            Err(error) => format!("refused: {error}\n").replace("(dashscope-text)", "(dashscope)"),
        };
        let unsaid = ask.features().into_iter().any(|feature| !dialect.says().contains(&feature));
        if unsaid {
            assert!(text.starts_with("refused:"), "{}", case.display());
        } else {
            let want = harness::read(&case.with_extension("request"));
            assert_eq!(text, String::from_utf8(want).unwrap(), "{}", case.display());
            same += 1;
        }
    }
    assert!(same >= 8, "{same}");
}

#[test]
fn dashscope_is_understood_as_the_programmed_dialect_understands_it() {
    let (dialect, known) = (harness::dialect("dashscope-text"), harness::dialect("dashscope"));
    for case in harness::files("dashscope", ".answer.json") {
        let body = harness::read(&case);
        assert_eq!(dialect.decode(&body), known.decode(&body), "{}", case.display());
    }
    for case in harness::files("dashscope", ".stream") {
        let bytes = harness::read(&case);
        let want = harness::decode(&*known, [bytes.as_slice()]);
        for at in 0..=bytes.len() {
            let (left, right) = bytes.split_at(at);
            assert_eq!(harness::decode(&*dialect, [left, right]), want, "{} cut at {at}", case.display());
        }
        for at in 0..bytes.len() {
            let cut = [&bytes[..at]];
            assert_eq!(harness::decode(&*dialect, cut), harness::decode(&*known, cut), "off at {at}");
        }
    }
    let errors: Vec<Value> =
        serde_json::from_slice(&harness::read(&harness::folder("dashscope").join("errors.json"))).unwrap();
    for case in errors {
        let body = case["body"].as_str().map_or_else(|| case["body"].to_string(), str::to_owned);
        let status = case["status"].as_u64().unwrap() as u16;
        let told = |dialect: &dyn Dialect| dialect.classify(status, &http::HeaderMap::new(), body.as_bytes());
        assert_eq!(told(&*dialect), told(&*known), "{}", case["case"]);
    }
}

#[test]
fn dashscope_makes_vectors_and_is_probed_alike() {
    let (dialect, known) = (harness::dialect("dashscope-text"), harness::dialect("dashscope"));
    let ask = embed::Ask {
        model: "text-embedding-v4".to_owned(),
        inputs: vec!["a".to_owned(), "b".to_owned()],
        dimensions: Some(2),
        ..embed::Ask::default()
    };
    for base in ["https://dashscope.example.com", "https://dashscope.example.com/api/v1/"] {
        let text = |dialect: &dyn Dialect| {
            let request = dialect.embed(&ask, &target(base)).unwrap();
            harness::request_text(&request) + &dialect.probe(&target(base)).unwrap().uri().to_string()
        };
        assert_eq!(text(&*dialect), text(&*known));
    }
    let body = br#"{"output":{"embeddings":[{"text_index":1,"embedding":[0.5,1]},{"text_index":0,"embedding":[-1,2]}]},"usage":{"total_tokens":4},"request_id":"r"}"#;
    assert_eq!(dialect.embedded(body), known.embedded(body));
    let body = br#"{"code":"Throttling","message":"slow down","request_id":"r"}"#;
    assert_eq!(dialect.embedded(body), known.embedded(body));
}

#[test]
fn cohere_is_asked_and_understood() {
    harness::requests("cohere", &target("https://cohere.example.com/"));
    harness::answers("cohere");
    harness::streams("cohere");
    harness::errors("cohere");
    noise::survived(&*harness::dialect("cohere"), "cohere");
}

#[test]
fn cohere_makes_vectors_and_ranks() {
    let dialect = harness::dialect("cohere");
    let ask = embed::Ask {
        model: "embed-v4.0".to_owned(),
        inputs: vec!["a".to_owned(), "b".to_owned()],
        dimensions: Some(2),
        ..embed::Ask::default()
    };
    let body = |options: &[(&str, &str)]| {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let target = Target { options: &options, model: None, ..target("https://cohere.example.com") };
        let request = dialect.embed(&ask, &target).unwrap();
        serde_json::from_slice::<Value>(request.body()).unwrap()
    };
    let want = json!({
        "model": "embed-v4.0",
        "input_type": "search_document",
        "texts": ["a", "b"],
        "embedding_types": ["float"],
        "output_dimension": 2,
    });
    assert_eq!(body(&[]), want);
    assert_eq!(body(&[("input_type", "search_query")])["input_type"], "search_query");
    let answer = br#"{"id":"x","embeddings":{"float":[[0.5,1],[-1,2]]},"texts":["a","b"],"meta":{"billed_units":{"input_tokens":2}}}"#;
    let answer = dialect.embedded(answer).unwrap();
    assert_eq!(
        (answer.vectors, answer.usage),
        (vec![vec![0.5, 1.0], vec![-1.0, 2.0]], Some(Usage::of(2, 0)))
    );
    let sent = r#"{"model":"m","query":"q","documents":["a","b"],"top_n":1}"#;
    let call = Call::parse(Operation::Rerank, Bytes::from_static(sent.as_bytes())).unwrap();
    assert!(dialect.relays(Operation::Rerank) && !dialect.relays(Operation::Chat));
    let request = dialect.pass(&call, &target("https://cohere.example.com")).unwrap();
    assert_eq!(request.uri(), "https://cohere.example.com/v2/rerank");
    assert_eq!(request.body(), &sent.replace("\"m\"", "\"upstream-model\""));
    assert!(dialect.pass(&Call::models(), &target("https://cohere.example.com")).is_err());
}

#[test]
fn ollama_is_understood_as_the_programmed_dialect_understands_it() {
    let (dialect, known) = (harness::dialect("ollama-chat"), harness::dialect("ollama"));
    let target = target("http://127.0.0.1:11434");
    let body = |dialect: &dyn Dialect, text: &[u8]| {
        let ask = harness::ask(Operation::Chat, text);
        let request = check(&ask, dialect).and_then(|()| dialect.encode(&ask, &target)).ok()?;
        Some((request.uri().clone(), serde_json::from_slice::<Value>(request.body()).unwrap()))
    };
    let mut same = 0;
    for folder in ["ollama", "dashscope", "cohere"] {
        for case in harness::files(folder, ".ask.json") {
            // A declaration cannot put a schema's description into the schema.
            let special = ["bad_", "form.ask"].iter().any(|part| case.to_string_lossy().contains(part));
            if special {
                continue;
            }
            let text = harness::read(&case);
            if let Some(asked) = body(&*dialect, &text) {
                assert_eq!(Some(asked), body(&*known, &text), "{}", case.display());
                same += 1;
            }
        }
    }
    assert!(same >= 5, "{same}");
    let stream = concat!(
        r#"{"model":"m","message":{"role":"assistant","content":"","thinking":"the"},"done":false}"#,
        "\n",
        r#"{"model":"m","message":{"role":"assistant","content":"let me"},"done":false}"#,
        "\n",
        r#"{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"t","arguments":{"a":1}}}]},"done":false}"#,
        "\n",
        r#"{"model":"m","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"prompt_eval_count":160,"eval_count":24}"#,
        "\n",
    );
    let read = |dialect: &dyn Dialect| harness::decode(dialect, [stream.as_bytes()]);
    assert_eq!(read(&*dialect), read(&*known));
    let refusal = dialect.classify(404, &http::HeaderMap::new(), br#"{"error":"model not found"}"#);
    assert_eq!(refusal.failure.kind, FailureKind::NotFound);
    assert_eq!(refusal.error.message, "model not found");
}

/// A small provider that is made up, as `docs/adapters.md` tells it.
fn example() -> Value {
    let docs = harness::folder("../../../docs/adapters.md");
    let docs = String::from_utf8(harness::read(&docs)).unwrap();
    let text = docs.split("```json example\n").nth(1).unwrap().split("```").next().unwrap();
    serde_json::from_str(text).unwrap()
}

fn changed(place: &str, value: Value) -> Value {
    let mut declaration = example();
    let (parent, name) = place.rsplit_once('/').unwrap();
    let parent = declaration.pointer_mut(parent).unwrap_or_else(|| panic!("{place}"));
    match parent {
        Value::Array(list) => list[name.parse::<usize>().unwrap()] = value,
        parent => parent[name] = value,
    }
    declaration
}

#[test]
fn what_is_wrong_with_a_declaration_is_told_by_its_path() {
    assert!(Declared::parse(&example().to_string()).is_ok());
    let body = "/chat/request/template";
    for (place, value, field, hint) in [
        ("/name", json!("openai"), "name", "knows"),
        ("/name", json!("A B"), "name", "a-z"),
        ("/base", json!("ftp://x"), "base", "https"),
        ("/auth/0/value", json!("${key}"), "auth[0].value", "${secret}"),
        ("/auth/0/header", json!("content-length"), "auth[0].header", "connection"),
        ("/probe/path", json!("models"), "probe.path", "/"),
        ("/probe/path", json!("/${option.none}"), "probe.path", "declare it in options"),
        ("/probe/method", json!("PUT"), "probe.method", "GET or POST"),
        ("/says/0", json!("flying"), "says[0]", "tools"),
        ("/says/0", json!("logit_bias"), "says[0]", "told nowhere"),
        (&format!("{body}/x"), json!("${temprature}"), "chat.request.template.x", "temperature"),
        (&format!("{body}/x"), json!("${a"), "chat.request.template.x", "}"),
        (&format!("{body}/x"), json!({ "$each": "seed", "do": 1 }), "chat.request.template.x.$each", "list"),
        (&format!("{body}/x"), json!({ "$loop": 1 }), "chat.request.template.x", "$each"),
        (&format!("{body}/x"), json!({ "$if": "seed" }), "chat.request.template.x.then", "missing"),
        (
            &format!("{body}/x"),
            json!({ "$clamp": "seed", "min": 2, "max": 1 }),
            "chat.request.template.x.min",
            "larger",
        ),
        ("/chat/answer/paths/text", json!("a..b"), "chat.answer.paths.text", "no path"),
        ("/chat/answer/paths/finish/words/x", json!("over"), "chat.answer.paths.finish.words.x", "length"),
        ("/chat/stream/paths/reads", json!([]), "chat.stream.paths.reads", "text"),
        ("/errors/codes/x", json!("bad"), "errors.codes.x", "bad_request"),
        ("/errors/statuses/x", json!("server"), "errors.statuses.x", "status"),
        ("/passes", json!({ "chat": { "path": "/x" } }), "passes.chat", "rerank"),
    ] {
        let told = Declared::parse(&changed(place, value).to_string()).unwrap_err();
        assert_eq!(told.field, field, "{place}: {told}");
        assert!(told.hint.contains(hint), "{place}: {told}");
    }
    let told = Declared::parse(&changed("/spelled_wrong", json!(1)).to_string()).unwrap_err();
    assert!(told.hint.contains("spelled_wrong") && told.hint.contains("line"), "{told}");
}

#[test]
fn the_example_of_the_documents_is_asked_and_understood() {
    let dialect = Declared::parse(&example().to_string()).unwrap();
    let ask = harness::ask(
        Operation::Chat,
        br#"{"model":"m","stream":true,"max_tokens":9,"temperature":1.5,"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hi"}]}"#,
    );
    let options = [("region".to_owned(), "eu".to_owned())].into();
    let target = Target { options: &options, secret: Some("app:key"), ..Target::at("https://example.com") };
    let request = dialect.encode(&ask, &target).unwrap();
    assert_eq!(request.uri(), "https://example.com/eu/talk/m?app=app");
    assert_eq!(request.headers()["x-key"], "key");
    assert!(request.headers()["x-key"].is_sensitive());
    let want = json!({
        "instructions": "be brief",
        "turns": [{ "who": "human", "says": "hi" }],
        "limits": { "words": 9, "heat": 1.0 },
        "live": true,
    });
    assert_eq!(serde_json::from_slice::<Value>(request.body()).unwrap(), want);
    let refused = |options, secret| {
        let target = Target { options, secret, ..target };
        dialect.encode(&ask, &target).unwrap_err().to_string()
    };
    let none = std::collections::BTreeMap::new();
    assert!(refused(&none, Some("a:b")).contains("region"));
    assert!(refused(&options, Some("one")).contains("2 parts"));
    assert!(refused(&options, None).contains("API key"));
    let stream = b"{\"say\":\"Hel\"}\n{\"say\":\"Hello\"}\n{\"say\":\"Hello\",\"over\":\"full\",\"spent\":{\"in\":3,\"out\":2}}\n";
    let events = harness::decode(&dialect, [stream.as_slice()]);
    let told: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
    assert!(told[1].contains("\"Hel\"") && told[2].contains("\"lo\""), "{told:?}");
    assert!(told.iter().any(|event| event.contains("Length")) && told.last().unwrap() == "Done", "{told:?}");
    let cut = harness::decode(&dialect, [&stream[..30]]);
    assert!(!format!("{cut:?}").contains("Done"));
}

#[test]
fn a_provider_that_is_nearly_like_openai_is_declared_by_what_differs() {
    let declaration = json!({
        "name": "nearly",
        "base": "https://nearly.example.com/v1",
        "auth": [{ "header": "api-key", "value": "${secret}", "optional": true }],
        "chat": {
            "at": { "path": "/chat", "query": { "v": "2" } },
            "request": { "openai": { "output_max": "max_len", "rules": [
                { "move": { "from": "max_len", "to": "limits.max" } },
                { "clamp": { "at": "temperature", "min": 0.1, "max": 1 } },
                { "drop": "stream_options" },
                { "set": { "at": "limits.safe", "value": true } },
            ] } },
            "answer": "openai",
            "stream": "openai",
        },
        "probe": { "path": "/models" },
        "says": ["temperature", "tools"],
    });
    let dialect = Declared::parse(&declaration.to_string()).unwrap();
    let ask = harness::ask(
        Operation::Chat,
        br#"{"model":"m","stream":true,"max_tokens":9,"temperature":2,"messages":[{"role":"user","content":"hi"}]}"#,
    );
    let request = dialect.encode(&ask, &Target::at("https://x/v1")).unwrap();
    assert_eq!(request.uri(), "https://x/v1/chat?v=2");
    assert!(!request.headers().contains_key("api-key"));
    let want = json!({
        "model": "m",
        "messages": [{ "role": "user", "content": "hi" }],
        "temperature": 1.0,
        "stream": true,
        "limits": { "max": 9, "safe": true },
    });
    assert_eq!(serde_json::from_slice::<Value>(request.body()).unwrap(), want);
    let known = harness::dialect("compatible");
    for case in harness::files("compatible", ".answer.json") {
        let body = harness::read(&case);
        assert_eq!(dialect.decode(&body), known.decode(&body), "{}", case.display());
    }
    for case in harness::files("compatible", ".stream") {
        let bytes = harness::read(&case);
        let read = |dialect: &dyn Dialect| harness::decode(dialect, [bytes.as_slice()]);
        assert_eq!(read(&dialect), read(&*known), "{}", case.display());
    }
    let mut dropped = declaration;
    dropped["chat"]["request"]["openai"]["rules"][2] = json!({ "drop": "tools" });
    assert_eq!(Declared::parse(&dropped.to_string()).unwrap_err().field, "says[1]");
}
