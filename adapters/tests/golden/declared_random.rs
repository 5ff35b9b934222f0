//! Declarations that are changed at random are refused or work: no question and no bytes make one panic.

use adapters::Operation;
use adapters::Target;
use adapters::declared::{Declared, shipped};
use adapters::dialect::{Dialect, check};
use adapters::embed;
use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::harness;

/// Every place of a declaration.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(name, inner)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            places(inner, &format!("{at}/{name}"), out);
        }),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, inner)| places(inner, &format!("{at}/{n}"), out));
        }
        _ => {}
    }
}

fn values() -> impl Strategy<Value = Value> {
    let fixed = vec![
        json!(null),
        json!(true),
        json!(-1.5),
        json!(""),
        json!([]),
        json!({}),
        json!("${model}"),
        json!("a${max_tokens}b$${"),
        json!("${messages}"),
        json!("$.index"),
        json!("output.choices[].message"),
        json!("choices[0].text"),
        json!("[]"),
        json!("openai"),
        json!("close"),
        json!("text"),
        json!("/x/${model}?a=b"),
        json!({ "$each": "messages", "do": { "$each": "messages", "as": "b", "do": "${b}" } }),
        json!({ "$each": "messages", "do": { "$each": "item.parts", "as": "b", "do": "${b.text}" } }),
        json!({ "$case": "stream", "of": { "true": 1 } }),
        json!({ "$if": "tools", "then": "${tools}" }),
        json!({ "$clamp": "temperature", "min": 0, "max": 1 }),
        json!({ "$within": "stop", "max": 1 }),
        json!({ "$parse": "system" }),
        json!({ "$text": "${messages}" }),
        json!({ "$concat": ["${messages}", "${tools}", 1] }),
        json!({ "$refuse": "x" }),
        json!({ "openai": { "rules": [{ "drop": "a.b" }, { "move": { "from": "messages", "to": "a.b.c" } }, { "set": { "at": "model.x", "value": 1 } }] } }),
        json!({ "data": "[DONE]" }),
        json!({ "field": { "at": "a[]", "is": null } }),
    ];
    prop_oneof![
        4 => proptest::sample::select(fixed),
        1 => "[\\PC]{0,12}".prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
    ]
}

fn asks() -> Vec<adapters::chat::Ask> {
    let mut out = Vec::new();
    for folder in ["dashscope", "cohere"] {
        for case in harness::files(folder, ".ask.json") {
            out.push(harness::ask(Operation::Chat, &harness::read(&case)));
        }
    }
    out
}

fn recorded() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for folder in ["dashscope", "cohere", "ollama"] {
        for ending in [".stream", ".answer.json"] {
            out.extend(harness::files(folder, ending).iter().map(|path| harness::read(path)));
        }
    }
    out
}

fn exercise(dialect: &dyn Dialect, asks: &[adapters::chat::Ask], answers: &[Vec<u8>]) {
    let options = [("input_type".to_owned(), "\u{7}ü".to_owned())].into();
    let target = Target { secret: Some("a:b"), options: &options, ..Target::at("https://example.com/") };
    for ask in asks {
        let _ = check(ask, dialect).and_then(|()| dialect.encode(ask, &target));
        let _ = dialect.encode(ask, &Target::at("nonsense"));
    }
    let texts = embed::Ask { model: "m".to_owned(), inputs: vec!["a".to_owned()], ..embed::Ask::default() };
    let _ = dialect.embed(&texts, &target);
    let _ = (dialect.probe(&target), dialect.models(), dialect.home());
    for bytes in answers {
        let (left, right) = bytes.split_at(bytes.len() / 2);
        let whole = harness::decode(dialect, [bytes.as_slice()]);
        assert_eq!(whole, harness::decode(dialect, [left, right]));
        let _ = (dialect.decode(bytes), dialect.embedded(bytes), dialect.usage(bytes));
        let _ = dialect.classify(418, &HeaderMap::new(), bytes);
    }
}

#[test]
fn a_changed_declaration_is_refused_or_works() {
    let declarations: Vec<Value> =
        shipped().iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect();
    let (asks, answers) = (asks(), recorded());
    let changes = prop::collection::vec((any::<prop::sample::Index>(), values(), any::<bool>()), 1..4);
    let config = proptest::test_runner::Config {
        cases: 400,
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let worked = std::cell::Cell::new(0);
    let strategy =
        (proptest::sample::select(declarations), changes, prop::collection::vec(any::<u8>(), 0..64));
    let told = runner.run(&strategy, |(mut declaration, changes, noise)| {
        for (at, value, adds) in changes {
            let mut all = Vec::new();
            places(&declaration, "", &mut all);
            let Some(there) = declaration.pointer_mut(&all[at.index(all.len())]) else { continue };
            match there {
                Value::Object(map) if adds => drop(map.insert("x".to_owned(), value)),
                Value::Array(list) if adds => list.push(value),
                there => *there = value,
            }
        }
        if let Ok(dialect) = Declared::parse(&declaration.to_string()) {
            worked.set(worked.get() + 1);
            exercise(&dialect, &asks, &answers);
            exercise(&dialect, &[], &[noise]);
        }
        Ok(())
    });
    if let Err(error) = told {
        panic!("{error}");
    }
    assert!(worked.get() > 20, "only {} of them worked", worked.get());
}

proptest! {
    #[test]
    fn texts_that_are_no_declaration_are_refused(text in "\\PC{0,200}") {
        prop_assert!(Declared::parse(&text).is_err());
    }
}
