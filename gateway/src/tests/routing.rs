//! Names with routes, targets that fail too often, and targets that speak otherwise than the client.

use domain::Command;
use domain::key::Scope;
use domain::route::{self, Policy, Route, Share, Step};
use http::Method;
use serde_json::{Value, json as value};

use super::bed::*;
use super::fakes::{Next, Piece, events, json};

const ANSWER: &str = r#"{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;

fn failing() -> Next {
    Next::Answer(500, "application/json", vec![Piece::Bytes("{\"error\":{\"message\":\"broken\"}}")])
}

/// A chain of one model after the other.
fn chain(bed: &Bed, name: &str, models: &[&str], fallback_answer: Option<&str>) {
    let step = |model: &&str| Step {
        targets: vec![Share { model: (*model).to_owned(), weight: 1 }],
        policy: Policy::Weighted,
    };
    let route = Route {
        name: name.to_owned(),
        chain: models.iter().map(step).collect(),
        fallback_answer: fallback_answer.map(str::to_owned),
        ..Route::default()
    };
    bed.apply(Command::Route(route::Command::Put(Box::new(route))));
}

/// Two providers with a model of their own each.
fn two(bed: &Bed) {
    bed.provider("x", &["first"]);
    bed.provider("y", &["second"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_leads_to_models_in_the_order_of_its_chain() {
    let bed = Bed::new();
    two(&bed);
    chain(&bed, "best", &["first", "second"], None);
    bed.targets.then(json(ANSWER)).then(failing()).then(json(ANSWER));
    let got = bed.chat("best").await;
    assert_eq!(got.status, 200);
    assert_eq!(got.headers["x-llmhub-target"], "x");
    assert!(got.headers["x-llmhub-route"].to_str().unwrap().starts_with("x"), "{:?}", got.headers);
    assert_eq!(bed.chat("best").await.headers["x-llmhub-target"], "y");
    let seen = bed.targets.seen();
    let models: Vec<Value> = seen
        .iter()
        .map(|(_, sent)| serde_json::from_slice::<Value>(sent.body()).unwrap()["model"].clone())
        .collect();
    assert_eq!(models, ["first", "first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_route_declares_is_answered_when_nothing_else_answers() {
    let bed = Bed::new();
    two(&bed);
    chain(&bed, "best", &["first", "second"], Some("please come back later"));
    bed.targets.then(failing()).then(failing());
    let got = bed.chat("best").await;
    assert_eq!(got.status, 200);
    assert_eq!(got.headers["x-llmhub-degraded"], "fallback-answer");
    assert_eq!(got.json()["choices"][0]["message"]["content"], "please come back later");
    bed.targets.then(failing()).then(failing());
    let got = rest(bed.stream("best").await).await;
    assert!(got.contains("please come back later") && got.ends_with("data: [DONE]\n\n"), "{got}");
    // A question that is wrong is told so.
    let wrong = bed.ask(Method::POST, "/v1/chat/completions", Scope::Inference, r#"{"model":"best"}"#).await;
    wrong.is_error(400, "invalid_value", "messages");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_every_second_call_is_left_alone_and_callers_see_nothing_of_it() {
    let bed = Bed::new();
    two(&bed);
    chain(&bed, "best", &["first", "second"], None);
    let mut asked_first = 0;
    for call in 0..60 {
        let before = bed.targets.seen().len();
        if call % 2 == 0 {
            bed.targets.then(failing()).then(json(ANSWER))
        } else {
            bed.targets.then(json(ANSWER))
        };
        assert_eq!(bed.chat("best").await.status, 200, "call {call}");
        if call % 2 == 0 {
            // Long enough for what just failed to be asked first again.
            tokio::time::advance(std::time::Duration::from_millis(1_100)).await;
        }
        let seen = bed.targets.seen();
        let hosts = |n: usize| seen[n].1.uri().host().unwrap().to_owned();
        if hosts(before) == "x.test" {
            asked_first += 1;
        } else {
            break;
        }
    }
    assert!((4..=20).contains(&asked_first), "{asked_first} calls until it was left alone");
}

#[tokio::test(start_paused = true)]
async fn a_client_of_anthropic_s_is_answered_by_a_server_of_openai_s() {
    let bed = Bed::new();
    bed.targets.then(json(ANSWER)).then(events(vec![
        Piece::Bytes("data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hel\"}}]}\n\n"),
        Piece::Bytes("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\n"),
        Piece::Bytes("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n"),
    ]));
    let ask = |stream: bool, more: &str| {
        let body = format!(
            r#"{{"model":"api","max_tokens":9,"system":"s","messages":[{{"role":"user","content":"q"}}],"stream":{stream}{more}}}"#
        );
        http::Request::post("/v1/messages")
            .header("x-api-key", key_text(Scope::Inference))
            .body(bytes::Bytes::from(body).into())
            .unwrap()
    };
    let got = bed.send(ask(false, "")).await;
    assert_eq!(got.json()["content"], value!([{ "type": "text", "text": "hi" }]), "{}", got.text());
    let sent: Value = serde_json::from_slice(bed.targets.seen()[0].1.body()).unwrap();
    assert_eq!(sent["messages"][0], value!({ "role": "system", "content": "s" }));
    let got = bed.send(ask(true, "")).await;
    assert_eq!(got.headers["content-type"], "text/event-stream");
    assert!(got.text().contains("event: message_stop") && got.text().contains("\"hel\""), "{}", got.text());
    let refused = bed.send(ask(false, r#","mcp_servers":[]"#)).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]["type"]),
        (400, &value!("invalid_request_error"))
    );
    assert_eq!(bed.targets.seen().len(), 2, "what cannot be said is not asked");
    let no_key = http::Request::post("/v1/messages").body(bytes::Bytes::new().into()).unwrap();
    let refused = bed.send(no_key).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]["type"]),
        (401, &value!("authentication_error"))
    );
}

#[tokio::test(start_paused = true)]
async fn garbage_is_never_passed_on_as_an_answer() {
    let bed = Bed::new();
    for garbage in ["<html>oops</html>", "{\"unexpected\": tru", "[]", "{}"] {
        bed.targets
            .then(Next::Answer(200, "application/json", vec![Piece::Bytes(garbage)]))
            .then(json(ANSWER));
        let got = bed.chat("api").await;
        assert_eq!((got.status.as_u16(), got.text().as_str()), (200, ANSWER), "{garbage}");
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
    }
    let both =
        || Next::Answer(200, "application/json", vec![Piece::Bytes("{\"error\":{\"message\":\"full\"}}")]);
    bed.targets.then(both()).then(both());
    bed.chat("api").await.is_error(502, "upstream_error", "full");
}
