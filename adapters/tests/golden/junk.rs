//! What clients send that makes no sense: it is refused by name, and nothing panics.

use adapters::{Call, Operation, client};
use bytes::Bytes;
use serde_json::{Value, json};

use super::harness;

/// Every value of a question, by its path.
fn paths(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(name, inner)| paths(inner, &format!("{at}/{name}"), out)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, inner)| paths(inner, &format!("{at}/{n}"), out));
        }
        _ => {}
    }
}

#[test]
fn any_value_in_any_place_is_understood_or_refused() {
    let clients = [
        ("completions", Operation::Completions),
        ("envelope", Operation::Envelope),
        ("openai", Operation::Chat),
        ("responses", Operation::Responses),
    ];
    let junk = [Value::Null, json!(-1.5), json!("x"), json!([]), json!([null]), json!({}), json!(true)];
    for (folder, operation) in clients {
        for case in harness::files(folder, ".ask.json") {
            let body: Value = serde_json::from_slice(&harness::read(&case)).unwrap();
            let mut places = Vec::new();
            paths(&body, "", &mut places);
            for place in places {
                for value in &junk {
                    let mut body = body.clone();
                    if let Some(there) = body.pointer_mut(&place) {
                        *there = value.clone();
                    }
                    let call = Call::parse(operation, Bytes::from(body.to_string()));
                    let ask = call.and_then(|call| client::of(operation).unwrap().ask(&call));
                    if let Err(adapters::Error::Field { param, .. }) = ask {
                        assert!(!param.is_empty(), "{body}");
                    }
                }
            }
        }
    }
}
