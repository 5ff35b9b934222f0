//! Limits of keys: who is let through, what the headers and the refusals say, and what calls count as, however they end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use actors::ports::{ProposeError, Proposer};
use domain::key::{self, Scope};
use domain::limit::Limit;
use domain::price::{self, Rates};
use domain::{Command, KeyId, Money};
use http::Method;
use http_body_util::BodyExt;
use serde_json::json;

use super::bed::*;

const CHAT: &str = "/v1/chat/completions";
const USED: &str = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
const ONE: &str = "data: {\"n\":1}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// A bed whose key for calls has these limits, and that does what the limiter's actor does.
fn limited(limits: &[&str]) -> Bed {
    let bed = Bed::new();
    limit(&bed, limits);
    let (limiter, log) = (bed.limiter.clone(), bed.log.clone());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if let Some(round) = limiter.round(false) {
                let outcome = log.propose(round.command.clone()).await;
                limiter.over(round, outcome.map(drop).map_err(|e| e.to_string()));
            }
        }
    });
    bed
}

fn caller(bed: &Bed) -> KeyId {
    let view = bed.view.load();
    view.state.keys.rows().find(|key| key.scopes == [Scope::Inference]).unwrap().id
}

fn limit(bed: &Bed, limits: &[&str]) {
    let limits: Vec<Limit> = limits.iter().map(|text| text.parse().unwrap()).collect();
    bed.apply(Command::Key(key::Command::SetLimits { id: caller(bed), limits }));
}

/// What the key's limits count, as an administrator is shown it after the nodes have told.
async fn used(bed: &Bed) -> Vec<u64> {
    tokio::time::sleep(Duration::from_secs(4)).await;
    let path = format!("/api/keys/{}", caller(bed));
    let shown = bed.ask(Method::GET, &path, Scope::Admin, "").await.json();
    shown["limits"].as_array().unwrap().iter().map(|limit| limit["used"].as_u64().unwrap()).collect()
}

/// The next window begins.
async fn next_window(bed: &Bed, ms: u64) {
    bed.log.now.fetch_add(ms, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_lets_through_what_it_says_and_tells_when_to_come_again() {
    let bed = limited(&["3req/1h"]);
    for left in ["2", "1", "0"] {
        bed.targets.then(json(USED));
        let got = bed.chat("api").await;
        assert_eq!(got.status, 200, "{}", got.text());
        assert_eq!(got.headers["x-ratelimit-limit-requests"], "3");
        assert_eq!(got.headers["x-ratelimit-remaining-requests"], left);
        assert!(!got.headers.contains_key("x-ratelimit-limit-tokens"));
    }
    let got = bed.chat("api").await;
    got.is_error(429, "rate_limit_exceeded", "3 requests per 1h is reached: 0 left, 1 asked for");
    assert_eq!(got.json()["error"]["type"], "requests");
    // 2023-11-14 22:13:20: the hour has 46 minutes and 40 seconds left, of which next to none have passed.
    assert_eq!(got.headers["x-ratelimit-reset-requests"], "46m40s");
    assert_eq!(got.headers["retry-after"], "2800");
    assert_eq!(got.headers["x-ratelimit-remaining-requests"], "0");
    assert_eq!(bed.metric("llmhub_limits_admitted_total").await, "3");
    let line = r#"llmhub_limits_refused_total{unit="requests",reason="exhausted"}"#;
    assert_eq!(bed.metric(line).await, "1");
    next_window(&bed, 2_800_000).await;
    bed.targets.then(json(USED));
    assert_eq!(bed.chat("api").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_key_without_limits_is_neither_counted_nor_told() {
    let bed = limited(&[]);
    bed.targets.then(json(USED));
    let got = bed.chat("api").await;
    assert!(got.headers.keys().all(|name| !name.as_str().starts_with("x-ratelimit")));
    assert_eq!(bed.metric("llmhub_limits_keys").await, "0");
}

#[tokio::test(start_paused = true)]
async fn the_tightest_of_several_limits_decides_and_is_told() {
    let bed = limited(&["2req/1m", "100req/1h", "100000tok/1h"]);
    for _ in 0..2 {
        bed.targets.then(json(USED));
        let got = bed.chat("api").await;
        assert_eq!(got.headers["x-ratelimit-limit-requests"], "2");
        assert_eq!(got.headers["x-ratelimit-limit-tokens"], "100000");
    }
    bed.chat("api").await.is_error(429, "rate_limit_exceeded", "2 requests per 1m");
    assert_eq!(used(&bed).await, [2, 2, 14], "a call that is refused takes from none of them");
}

#[tokio::test(start_paused = true)]
async fn a_call_counts_as_the_tokens_that_its_answer_tells() {
    let bed = limited(&["5000tok/1h"]);
    bed.targets.then(json(USED));
    bed.chat("api").await;
    assert_eq!(used(&bed).await, [7]);
    let told = "data: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6}}\n\n";
    bed.targets.then(events(vec![Piece::Bytes(ONE), Piece::Bytes(told), Piece::Bytes(DONE)]));
    rest(bed.stream("api").await).await;
    assert_eq!(used(&bed).await, [18]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_tell_counts_as_what_passed() {
    let bed = limited(&["5000tok/1h"]);
    bed.targets.then(events(vec![Piece::Bytes(ONE), Piece::Bytes(ONE), Piece::Bytes(DONE)]));
    rest(bed.stream("api").await).await;
    // One token for the question `[]`, one for each event.
    assert_eq!(used(&bed).await, [3]);
    bed.targets.then(events(vec![Piece::Bytes(ONE), Piece::Break]));
    rest(bed.stream("api").await).await;
    assert_eq!(used(&bed).await, [5]);
    bed.targets.then(events(vec![Piece::Bytes(ONE), Piece::Bytes(ONE), Piece::Hang]));
    let mut response = bed.stream("api").await;
    response.body_mut().frame().await.unwrap().unwrap();
    drop(response);
    assert_eq!(used(&bed).await, [7], "a client that went away is counted what it was sent");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_tells_nothing_counts_as_what_was_reserved() {
    let bed = limited(&["5000tok/1h"]);
    bed.targets.then(json("{\"choices\":[]}"));
    let body = r#"{"model":"api","messages":[],"max_tokens":40}"#;
    bed.ask(Method::POST, CHAT, Scope::Inference, body).await;
    assert_eq!(used(&bed).await, [41]);
}

fn set_price(bed: &Bed, input: &str, output: &str) {
    let [input, output] = [input, output].map(|text| text.parse::<Money>().unwrap().0);
    let set = price::Command::Set { model: "api".into(), rates: Rates { input, output } };
    bed.apply(Command::Price(set));
}

#[tokio::test(start_paused = true)]
async fn a_limit_in_money_counts_what_tokens_cost_as_the_call_began() {
    let bed = limited(&["0.05money/1h"]);
    bed.chat("api").await.is_error(403, "model_not_priced", "model `api` has no price");
    set_price(&bed, "1000", "2000");
    let body = r#"{"model":"api","messages":[],"max_tokens":10}"#;
    bed.targets.then(json(USED));
    let got = bed.ask(Method::POST, CHAT, Scope::Inference, body).await;
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(got.headers["x-ratelimit-limit-money"], "0.05");
    // Reserved were one token read and ten written.
    assert_eq!(got.headers["x-ratelimit-remaining-money"], "0.029");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let path = format!("/api/keys/{}", caller(&bed));
    let shown = bed.ask(Method::GET, &path, Scope::Admin, "").await.json();
    let limit = &shown["limits"][0];
    assert_eq!([&limit["money"], &limit["used"], &limit["left"]], [0.05, 0.011, 0.039]);
    let line = r#"llmhub_limits_leased{unit="money"}"#;
    assert_eq!(bed.metric(line).await, "0");
    let got = bed.ask(Method::POST, CHAT, Scope::Inference, &body.replace("10", "20")).await;
    got.is_error(429, "rate_limit_exceeded", "0.05 money per 1h is reached: 0.039 left, 0.041 asked for");
    assert_eq!(got.json()["error"]["type"], "money");
    let got = bed.ask(Method::POST, CHAT, Scope::Inference, &body.replace("10", "25")).await;
    got.is_error(
        429,
        "rate_limit_exceeded",
        "may take 0.051 money, more than this API key's whole limit of 0.05",
    );
}

#[tokio::test(start_paused = true)]
async fn a_price_holds_for_calls_that_begin_after_it_was_set() {
    let bed = limited(&["5money/1h"]);
    set_price(&bed, "1000", "2000");
    let left = async || {
        tokio::time::sleep(Duration::from_secs(4)).await;
        let path = format!("/api/keys/{}", caller(&bed));
        bed.ask(Method::GET, &path, Scope::Admin, "").await.json()["limits"][0]["left"].clone()
    };
    bed.targets.then(events(vec![Piece::Bytes(ONE), Piece::Bytes(ONE), Piece::Bytes(DONE)]));
    let answer = bed.stream("api").await;
    bed.apply(Command::Price(price::Command::Remove("api".into())));
    rest(answer).await;
    // One token read, two events written.
    assert_eq!(left().await, 4.995);
    bed.chat("api").await.is_error(403, "model_not_priced", "has no price");
    bed.chat("unknown").await.is_error(404, "model_not_found", "does not exist");
    set_price(&bed, "1000", "2000");
    bed.targets.then(json(USED));
    assert_eq!(bed.chat("a/api").await.status, 200, "by the name of the model there");
    assert_eq!(left().await, 4.984);
    bed.targets.then(json("{\"choices\":[]}"));
    let body = r#"{"model":"api","messages":[],"max_tokens":10}"#;
    bed.ask(Method::POST, CHAT, Scope::Inference, body).await;
    assert_eq!(left().await, 4.963, "what does not tell costs what was reserved");
}

#[tokio::test(start_paused = true)]
async fn prices_are_set_listed_and_taken_away() {
    let bed = Bed::new();
    let ask = async |method, path: &str, body: &str| bed.ask(method, path, Scope::Admin, body).await;
    let set = ask(Method::PUT, "/api/prices/org/m", r#"{"input":0.15,"output":0.6}"#).await.json();
    assert_eq!([&set["model"], &set["input"], &set["output"]], [&json!("org/m"), &json!(0.15), &json!(0.6)]);
    assert_eq!(bed.get("/api/prices").await.json()["prices"][0], set);
    for (body, param, says) in [
        (r#"{"input":-1,"output":1}"#, json!("input"), "write an amount"),
        (r#"{"input":1,"output":0.0000001}"#, json!("output"), "six decimals"),
        (r#"{"input":1,"output":2000000}"#, json!("output"), "cost 1000000 at most"),
        (r#"{"input":1}"#, json!("output"), "missing field"),
    ] {
        let got = ask(Method::PUT, "/api/prices/m", body).await;
        got.is_error(400, "invalid_value", says);
        assert_eq!(got.json()["error"]["param"], param, "{body}");
    }
    let gone = ask(Method::DELETE, "/api/prices/org/m", "").await.json();
    assert_eq!(gone["deleted"], "org/m");
    ask(Method::DELETE, "/api/prices/org/m", "").await.is_error(404, "not_found", "has no price");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_answered_gives_its_tokens_back() {
    let bed = limited(&["10req/1h", "5000tok/1h"]);
    bed.targets.then(Next::Answer(400, "application/json", vec![Piece::Bytes("{}")]));
    assert_eq!(bed.chat("api").await.status, 400);
    assert_eq!(used(&bed).await, [1, 0], "the target was asked: the request counts");
    bed.targets.then(unreachable()).then(unreachable());
    assert_eq!(bed.chat("api").await.status, 503);
    assert_eq!(used(&bed).await, [2, 0]);
    assert_eq!(bed.chat("unknown").await.status, 404);
    assert_eq!(used(&bed).await, [2, 0], "nobody was asked");
    bed.ask(Method::POST, CHAT, Scope::Inference, "{").await.is_error(400, "invalid_json", "");
    assert_eq!(used(&bed).await, [2, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_take_more_than_a_whole_window_is_told_so() {
    let bed = limited(&["100tok/1h"]);
    let body = r#"{"model":"api","messages":[],"max_tokens":200}"#;
    let got = bed.ask(Method::POST, CHAT, Scope::Inference, body).await;
    got.is_error(
        429,
        "rate_limit_exceeded",
        "may take 201 tokens, more than this API key's whole limit of 100",
    );
    assert_eq!(got.json()["error"]["type"], "tokens");
    assert_eq!(got.headers["x-should-retry"], "false");
    assert!(!got.headers.contains_key("retry-after"));
    // One that does not say how long its answer may be takes what there is.
    bed.targets.then(json(USED));
    assert_eq!(bed.chat("api").await.status, 200);
    assert_eq!(used(&bed).await, [7]);
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_a_node_lets_through_what_it_has_and_then_says_why_not() {
    let bed = limited(&["1000req/1h"]);
    bed.targets.then(json(USED));
    assert_eq!(bed.chat("api").await.status, 200);
    let failure =
        || ProposeError::Unavailable { reason: "no quorum".to_owned(), retry_after: Duration::from_secs(1) };
    let fail = || bed.log.failures.lock().unwrap().extend((0..2_000).map(|_| failure()));
    fail();
    let mut through = 0;
    let refused = loop {
        bed.targets.then(json(USED));
        let got = bed.chat("api").await;
        if got.status != 200 {
            break got;
        }
        through += 1;
    };
    assert!((1..=1000 / 8).contains(&through), "{through}: what it had in hand");
    refused.is_error(
        429,
        "rate_limit_unavailable",
        "the cluster grants no more (the cluster cannot take changes",
    );
    assert_eq!(refused.headers["retry-after"], "1");
    let line = r#"llmhub_limits_refused_total{unit="requests",reason="not_granted"}"#;
    assert_eq!(bed.metric(line).await, "1");
    let asked = tokio::time::Instant::now();
    assert_eq!(bed.chat("api").await.status, 429);
    assert!(asked.elapsed() < Duration::from_millis(100), "not waited for again and again");
    bed.log.failures.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(bed.chat("api").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_log_is_not_written_for_each_call() {
    let bed = limited(&["100000req/1h"]);
    let before = bed.log.index.load(Ordering::SeqCst);
    for _ in 0..500 {
        bed.targets.then(json(USED));
        assert_eq!(bed.chat("api").await.status, 200);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let written = bed.log.index.load(Ordering::SeqCst) - before;
    assert!(written < 20, "{written} commands for 500 calls in a second");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_limit_is_told_by_its_field() {
    let bed = Bed::new();
    let make = async |limits: serde_json::Value| {
        let body = json!({ "name": "app", "limits": limits }).to_string();
        bed.ask(Method::POST, "/api/keys", Scope::Admin, &body).await
    };
    for (limits, param, says) in [
        (json!([{ "window": "1m" }]), "limits[0].requests", "one of `requests`, `tokens` and `money`"),
        (json!([{ "requests": 1, "tokens": 1, "window": "1m" }]), "limits[0].requests", "give one"),
        (
            json!([{ "requests": 1, "window": "1m" }, { "tokens": 0, "window": "1m" }]),
            "limits[1].tokens",
            "from 1",
        ),
        (json!([{ "money": 0.0000001, "window": "1m" }]), "limits[0].money", "six decimals at most"),
        (json!([{ "money": 0, "window": "1m" }]), "limits[0].money", "from 0.000001"),
        (json!([{ "requests": 1, "window": "32d" }]), "limits[0].window", "from 1s to 31d"),
        (json!([{ "requests": 1, "window": "soon" }]), "limits[0].window", "write 30s, 1m, 1h or 1d"),
        (
            json!([{ "requests": 1, "window": "1m" }, { "requests": 2, "window": "60s" }]),
            "limits",
            "limited twice",
        ),
        (json!([{ "requests": 1 }]), "window", "missing field"),
        (json!([{ "calls": 1, "window": "1m" }]), "calls", "unknown field"),
    ] {
        let got = make(limits).await;
        got.is_error(400, "invalid_value", says);
        assert_eq!(got.json()["error"]["param"], param);
    }
    let made =
        make(json!([{ "requests": 100, "window": "1m" }, { "tokens": 5, "window": "24h" }])).await.json();
    let shown = json!({ "requests": 100, "window": "1m", "used": 0, "leased": 0, "left": 100, "resets_at": "2023-11-14T22:14:00.000Z" });
    assert_eq!(made["limits"][0], shown);
    assert_eq!(made["limits"][1]["window"], "1d");
    let path = format!("/api/keys/{}", made["id"].as_str().unwrap());
    let none = bed.ask(Method::PUT, &format!("{path}/limits"), Scope::Admin, r#"{"limits":[]}"#).await;
    assert_eq!(none.json()["limits"], json!([]));
    let absent = bed.ask(Method::PUT, "/api/keys/key-1/limits", Scope::Admin, r#"{"limits":[]}"#).await;
    absent.is_error(404, "not_found", "there is no key");
    bed.ask(Method::GET, "/api/keys/key-1", Scope::Admin, "").await.is_error(404, "not_found", "no key");
    bed.ask(Method::GET, "/api/keys/x", Scope::Admin, "").await.is_error(400, "invalid_value", "is not a");
}
