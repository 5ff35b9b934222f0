//! The envelope of `/api/v1/chat/completions` for clients.

use adapters::client::{self, Client};
use adapters::envelope::{Envelope, form_to_json};
use adapters::openai::ErrorBody;
use adapters::{Call, Operation};
use bytes::Bytes;
use serde_json::{Value, json};

use super::harness;

fn form(kind: &str, body: impl AsRef<[u8]>) -> Result<Value, String> {
    let body =
        form_to_json(kind, Bytes::copy_from_slice(body.as_ref())).map_err(|error| error.to_string())?;
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

const URLENCODED: &str = "application/x-www-form-urlencoded; charset=utf-8";
const MULTIPART: &str = "multipart/form-data; charset=utf-8; boundary=\"--x y\"";

#[test]
fn clients_are_understood() {
    harness::client_asks("envelope", Operation::Envelope);
}

#[test]
fn clients_are_answered() {
    let body = r#"{"model":"gpt-4o","parameters":{"prompt":"hi"},"request_id":"uuid-1","stream":true}"#;
    harness::client_answers("envelope", Operation::Envelope, "compatible", body);
}

#[test]
fn a_call_knows_what_is_deep_in_its_envelope() {
    let call = |body: &'static str| Call::parse(Operation::Envelope, Bytes::from_static(body.as_bytes()));
    let text = r#"{"model":"m","parameters":{"prompt":"12345678","max_tokens":7,"stream":true}}"#;
    let parsed = call(text).unwrap();
    assert_eq!((parsed.stream, parsed.output_max, parsed.prompt_estimate()), (true, Some(7), 3));
    assert!(call(r#"{"model":"m","stream":true,"parameters":{"prompt":"a"}}"#).unwrap().stream);
    for bad in [
        r#"{"model":"m","parameters":{"prompt":"a","prompt":"b"}}"#,
        r#"{"model":"m","parameters":"prompt"}"#,
        r#"{"model":"m","parameters":{}}"#,
        r#"{"parameters":{"prompt":"a"}}"#,
    ] {
        assert!(call(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_error_has_the_same_envelope() {
    let error = ErrorBody {
        message: "too many calls: wait a second".to_owned(),
        kind: Some("rate_limit_error".to_owned()),
        param: None,
        code: Some("rate_limited".to_owned()),
    };
    let body: Value = serde_json::from_slice(&client::error(Operation::Envelope, 429, &error)).unwrap();
    let inner = json!({ "type": "rate_limit_error", "param": null, "code": "rate_limited" });
    let want =
        json!({ "code": 429, "message": "too many calls: wait a second", "data": null, "error": inner });
    assert_eq!(body, want);
    assert!(Envelope.error_event(&error).starts_with(b"data: {"));
    // Others keep theirs.
    let body: Value = serde_json::from_slice(&client::error(Operation::Chat, 429, &error)).unwrap();
    assert_eq!(body["error"]["code"], "rate_limited");
}

#[test]
fn a_form_is_the_same_question_as_json() {
    let want = json!({
        "model": "gpt-4",
        "parameters": { "prompt": "你好 &=1", "temperature": 0.7, "max_tokens": 100 },
        "user_info": { "user_id": "123456", "user_role": "admin" },
        "request_id": "7",
    });
    let prompt = "%E4%BD%A0%E5%A5%BD+%26%3D1";
    let short = format!(
        "model=gpt-4&prompt={prompt}&temperature=0.7&max_tokens=100&user_id=123456&user_role=admin&request_id=7"
    );
    assert_eq!(form(URLENCODED, short).unwrap(), want);
    let long = format!(
        "model=gpt-4&parameters.prompt={prompt}&parameters%5Btemperature%5D=0.7&parameters[max_tokens]=100&user_info={{\"user_id\":\"123456\",\"user_role\":\"admin\"}}&request_id=7&"
    );
    assert_eq!(form(URLENCODED, long).unwrap(), want);
    let part = |name: &str, text: &str| {
        format!(
            "----x y\r\nContent-Type: text/plain\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"
        )
    };
    let parts = [
        part("model", "gpt-4"),
        part("prompt", "你好 &=1"),
        part("parameters", "{\"temperature\":0.7,\"max_tokens\":100}"),
        part("user_info[user_id]", "123456"),
        part("user_role", "admin"),
        part("request_id", "7"),
        "----x y--\r\n".to_owned(),
    ];
    assert_eq!(form(MULTIPART, parts.concat()).unwrap(), want);
    // Bytes of JSON stay, whatever they hold.
    for kind in ["application/json; charset=utf-8", "", URLENCODED] {
        assert_eq!(
            form_to_json(kind, Bytes::from_static(b" {\"a\" :1")).unwrap(),
            &b" {\"a\" :1"[..],
            "{kind}"
        );
    }
}

#[test]
fn a_form_that_makes_no_sense_is_told_by_its_field() {
    let wrong = |kind: &str, body: &[u8]| form(kind, body).unwrap_err();
    assert!(wrong("text/plain", b"").contains("`Content-Type`"));
    assert!(wrong(URLENCODED, b"prompt=a&prompt=b").contains("`prompt` was sent twice"));
    assert!(wrong(URLENCODED, b"prompt=%FF").contains("`prompt` must be text"));
    assert!(wrong(URLENCODED, b"parameters=3&prompt=a").contains("`parameters` must be an object"));
    assert!(wrong("multipart/form-data", b"").contains("boundary"));
    let file = b"--b\r\nContent-Disposition: form-data; name=\"prompt\"; filename=\"a\"\r\n\r\nx\r\n--b--";
    assert!(wrong("multipart/form-data; boundary=b", file).contains("`prompt` is a file"));
    let nameless = b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--";
    assert!(wrong("multipart/form-data; boundary=b", nameless).contains("without a name"));
    for at in 0..file.len() - 2 {
        assert!(form("multipart/form-data; boundary=b", &file[..at]).is_err(), "{at}");
    }
}

#[test]
fn a_version_is_told_where_the_model_that_answered_has_one() {
    let ask = harness::ask(Operation::Envelope, br#"{"model":"gpt-4","parameters":{"prompt":"hi"}}"#);
    for (model, version) in [
        ("gpt-4-0613", json!("0613")),
        ("gpt-4-turbo", Value::Null),
        ("gpt-4", Value::Null),
        ("", Value::Null),
    ] {
        let answer = adapters::chat::Answer { model: model.to_owned(), ..Default::default() };
        let body = Envelope.answer(&ask, &answer, &harness::about());
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["data"]["model_info"]["version"], version, "{model}");
    }
}
