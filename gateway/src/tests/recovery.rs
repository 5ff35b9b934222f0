//! Calls whose targets fail before the client got a byte are made again elsewhere.

use std::time::Duration;

use actors::ports::CallError;
use domain::Health;
use domain::provider::Kind;
use http::Method;

use super::bed::*;

const ANSWER: &str = r#"{"id":"1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;

#[tokio::test(start_paused = true)]
async fn a_plain_answer_passes_with_its_bytes_and_little_of_its_head() {
    let bed = Bed::new();
    bed.targets.then(json(ANSWER));
    let got = bed.chat("api").await;
    assert_eq!((got.status.as_u16(), got.text().as_str()), (200, ANSWER));
    assert!(got.headers.contains_key("x-request-id"));
    assert!(!got.headers.contains_key("server"));
    let (_, sent) = &bed.targets.seen()[0];
    let target = got.headers["x-llmhub-target"].to_str().unwrap();
    assert_eq!(sent.uri().to_string(), format!("http://{target}.test/v1/chat/completions"));
    assert_eq!(sent.headers()["authorization"], format!("Bearer key-of-{target}"));
    assert_eq!(sent.body(), r#"{"model":"api","messages":[]}"#);
    assert_eq!(bed.metric(r#"llmhub_gateway_requests_total{operation="chat",outcome="ok"}"#).await, "1");
    assert_eq!(bed.metric(r#"llmhub_gateway_tokens_total{kind="completion"}"#).await, "4");
    assert_eq!(bed.metric("llmhub_gateway_in_flight").await, "0");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_be_reached_is_replaced_and_avoided() {
    let bed = Bed::new();
    bed.targets.then(unreachable()).then(json(ANSWER)).then(json(ANSWER)).then(json(ANSWER));
    let got = bed.chat("api").await;
    assert_eq!(got.status, 200);
    let good = got.headers["x-llmhub-target"].clone();
    for _ in 0..2 {
        assert_eq!(bed.chat("api").await.headers["x-llmhub-target"], good);
    }
    assert_eq!(bed.metric("llmhub_gateway_retries_total").await, "1");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_three_targets_are_tried_and_each_only_once() {
    let bed = Bed::new();
    bed.provider("c", &["api"]);
    bed.provider("d", &["api"]);
    bed.targets.then(unreachable()).then(unreachable()).then(unreachable());
    bed.chat("api").await.is_error(503, "target_unreachable", "cannot connect");
    let mut hosts: Vec<_> =
        bed.targets.seen().iter().map(|(_, r)| r.uri().host().unwrap().to_owned()).collect();
    hosts.sort();
    hosts.dedup();
    assert_eq!(hosts.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_before_the_client_has_a_byte_is_asked_for_anew() {
    let bed = Bed::new();
    let half = || vec![Piece::Bytes("{\"id\":"), Piece::Break];
    bed.targets.then(Next::Answer(200, "application/json", half())).then(json(ANSWER));
    assert_eq!(bed.chat("api").await.text(), ANSWER);

    let whole = "data: {}\n\ndata: [DONE]\n\n";
    for early in [vec![Piece::Break], vec![]] {
        bed.targets.then(events(early)).then(events(vec![Piece::Bytes(whole)]));
        assert_eq!(rest(bed.stream("api").await).await, whole);
    }
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_target_is_replaced_and_the_last_one_s_words_are_passed_on() {
    let bed = Bed::new();
    let busy = || {
        let body = r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#;
        Next::Answer(503, "application/json", vec![Piece::Bytes(body)])
    };
    bed.targets.then(busy()).then(json(ANSWER));
    assert_eq!(bed.chat("api").await.status, 200);
    bed.targets.then(busy()).then(busy());
    let got = bed.chat("api").await;
    assert_eq!(got.status, 503);
    assert_eq!(got.json()["error"]["message"], "Loading model");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_target_refuses_is_not_tried_elsewhere() {
    let bed = Bed::new();
    let body =
        r#"{"error":{"message":"too long","type":"invalid_request_error","param":null,"code":"context"}}"#;
    bed.targets.then(Next::Answer(400, "application/json", vec![Piece::Bytes(body)]));
    let got = bed.chat("api").await;
    assert_eq!((got.status.as_u16(), got.text().as_str()), (400, body));
    assert_eq!(bed.targets.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_proxy_becomes_an_error_that_clients_understand() {
    let bed = Bed::new();
    let page = || Next::Answer(502, "text/html", vec![Piece::Bytes("<html>")]);
    bed.targets.then(page()).then(page());
    let got = bed.chat("api").await;
    got.is_error(502, "upstream_error", "502");
    assert_eq!(got.headers["content-type"], "application/json");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_provider_refuses_is_not_the_client_s_fault() {
    let bed = Bed::new();
    let refused =
        || Next::Answer(401, "application/json", vec![Piece::Bytes(r#"{"error":{"message":"bad sk-1"}}"#)]);
    bed.targets.then(refused()).then(refused());
    let got = bed.chat("api").await;
    got.is_error(502, "upstream_auth", "does not accept the cluster's key");
    assert!(!got.text().contains("sk-1"));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_has_too_many_calls_is_left_alone_as_long_as_it_asks() {
    let bed = Bed::new();
    bed.targets.then(Next::Busy("30")).then(json(ANSWER));
    let good = bed.chat("api").await.headers["x-llmhub-target"].to_str().unwrap().to_owned();
    let busy = if good == "a" { "b" } else { "a" };
    for _ in 0..20 {
        tokio::time::advance(Duration::from_secs(1)).await;
        bed.targets.then(json(ANSWER));
        assert_eq!(bed.chat("api").await.headers["x-llmhub-target"], good);
    }
    for (metric, value) in [("latency_seconds{", "0"), ("in_flight{", "0")] {
        let line = format!("llmhub_target_{metric}target=\"{busy}\"}}");
        assert_eq!(bed.metric(&line).await, value, "{line}");
    }
    for outcome in ["answered", "failed"] {
        let line = format!("llmhub_target_calls_total{{target=\"{busy}\",outcome=\"{outcome}\"}}");
        assert_eq!(bed.metric(&line).await, "0", "{line}");
    }
    tokio::time::advance(Duration::from_secs(10)).await;
    bed.targets.then(json(ANSWER));
    assert_eq!(bed.chat("api").await.headers["x-llmhub-target"], busy, "it was never slow");
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_targets_all_have_too_many_calls_is_told_when_to_come_back() {
    let bed = Bed::new();
    bed.targets.then(Next::Busy("7")).then(Next::Busy("7"));
    let got = bed.chat("api").await;
    got.is_error(429, "rate_limit_exceeded", "slow down");
    assert_eq!(got.headers["retry-after"], "7");
    assert_eq!(bed.targets.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_its_actor_avoids_is_tried_last() {
    let bed = Bed::new();
    for (avoided, other) in [("a", "b"), ("b", "a")] {
        *bed.doors.avoided.lock().unwrap() = [avoided.to_owned()].into();
        for _ in 0..8 {
            bed.targets.then(json(ANSWER));
            assert_eq!(bed.chat("api").await.headers["x-llmhub-target"], other);
        }
    }
    bed.doors.avoided.lock().unwrap().insert("b".to_owned());
    bed.targets.then(json(ANSWER));
    assert_eq!(bed.chat("api").await.status, 200, "better than none");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_a_provider_does_not_know_is_not_held_against_it() {
    let bed = Bed::new();
    let body = r#"{"error":{"message":"no such model"}}"#;
    bed.targets.then(Next::Answer(404, "application/json", vec![Piece::Bytes(body)])).then(json(ANSWER));
    let good = bed.chat("api").await.headers["x-llmhub-target"].clone();
    bed.targets.then(json(ANSWER));
    assert_ne!(bed.chat("api").await.headers["x-llmhub-target"], good, "it was never slow");
}

#[tokio::test(start_paused = true)]
async fn an_engine_s_refusal_is_told_as_the_engine_s() {
    let bed = Bed::new();
    bed.deployment("own", &[ME]);
    bed.targets.then(Next::Answer(401, "application/json", vec![]));
    bed.chat("own").await.is_error(502, "upstream_auth", "the model's engine does not accept the key");
    bed.targets.then(Next::Answer(302, "text/html", vec![]));
    bed.chat("own").await.is_error(502, "upstream_redirect", "correct the engine's `base_path`");
}

#[tokio::test(start_paused = true)]
async fn an_error_that_the_mock_was_asked_for_is_not_held_against_it() {
    let bed = Bed::new();
    bed.provider_of("m", Kind::Mock, &["mock"]);
    let body = r#"{"model":"mock","messages":[],"mock":{"status":503}}"#;
    let got = bed.ask(Method::POST, "/v1/chat/completions", domain::key::Scope::Inference, body).await;
    assert_eq!(got.status, 503);
    assert_eq!(bed.metric(r#"llmhub_target_calls_total{target="m",outcome="failed"}"#).await, "0");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_sends_elsewhere_is_told_to_be_corrected() {
    let bed = Bed::new();
    let moved = || Next::Answer(301, "text/html", vec![Piece::Bytes("<html>")]);
    bed.targets.then(moved()).then(moved());
    bed.chat("api").await.is_error(502, "upstream_redirect", "correct the provider's URL");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_ends_with_504_and_is_not_made_twice() {
    let bed = Bed::new();
    let (stream, plain) = (Duration::from_secs(120), Duration::from_secs(600));
    let started = tokio::time::Instant::now();
    bed.targets.then(Next::Hang);
    bed.chat("api").await.is_error(504, "upstream_timeout", "did not answer");
    assert_eq!(started.elapsed().as_secs(), plain.as_secs());
    bed.targets.then(Next::Answer(200, "application/json", vec![Piece::Hang]));
    bed.chat("api").await.is_error(504, "upstream_timeout", "in time");
    let started = tokio::time::Instant::now();
    bed.targets.then(events(vec![Piece::Wait(Duration::from_secs(3600)), Piece::Bytes("x")]));
    assert_eq!(bed.stream("api").await.status(), 504);
    assert_eq!(started.elapsed().as_secs(), stream.as_secs());
    assert_eq!(bed.targets.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn own_replicas_come_before_providers_and_a_closed_one_is_passed_by() {
    let bed = Bed::new();
    bed.deployment("api", &[ME]);
    bed.targets.then(json(ANSWER)).then(json(ANSWER));
    let got = bed.chat("api").await;
    assert!(got.headers["x-llmhub-target"].to_str().unwrap().ends_with("@n-0000000000000001"));
    bed.doors.closed.lock().unwrap().insert("0".to_owned(), "it is stopping".to_owned());
    let got = bed.chat("api").await;
    assert_eq!(got.headers["x-llmhub-target"].len(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_node_s_replica_is_called_by_relay_under_its_epoch() {
    let bed = Bed::new();
    let id = bed.deployment("far", &[OTHER]);
    bed.targets.then(json(ANSWER));
    assert_eq!(bed.chat("far").await.text(), ANSWER);
    let (node, sent) = &bed.targets.seen()[0];
    assert_eq!(*node, Some(OTHER));
    assert_eq!(sent.uri(), "/v1/chat/completions");
    assert_eq!(sent.headers()["x-llmhub-deployment"], id.0.to_string());
    assert!(!sent.headers().contains_key("authorization"));
}

#[tokio::test(start_paused = true)]
async fn a_call_on_a_node_that_is_given_up_is_made_again_elsewhere() {
    let bed = Bed::new();
    bed.deployment("two", &[OTHER]);
    bed.provider("a", &["two"]);
    bed.targets.then(Next::Hang).then(json(ANSWER));
    let started = tokio::time::Instant::now();
    let (got, ()) = tokio::join!(bed.chat("two"), async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        bed.health(OTHER, Health::Down);
    });
    assert_eq!(got.text(), ANSWER);
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_address_is_told() {
    let bed = Bed::new();
    bed.provider("a", &["x"]);
    let error = CallError::Forbidden { target: "a".to_owned(), reason: "link-local".to_owned() };
    bed.targets.then(Next::Fail(error));
    bed.chat("x").await.is_error(502, "target_forbidden", "link-local");
}

#[tokio::test(start_paused = true)]
async fn a_model_named_with_its_provider_goes_there_under_its_own_name() {
    let bed = Bed::new();
    bed.targets.then(json(ANSWER));
    assert_eq!(bed.chat("b/api").await.headers["x-llmhub-target"], "b");
    assert_eq!(bed.targets.seen()[0].1.body(), r#"{"model":"api","messages":[]}"#);
}

#[tokio::test(start_paused = true)]
async fn the_mock_provider_answers_without_any_target() {
    let bed = Bed::new();
    bed.provider_of("m", Kind::Mock, &["mock"]);
    let got = bed.chat("mock").await;
    assert_eq!(got.json()["object"], "chat.completion");
    let stream = rest(bed.stream("mock").await).await;
    assert!(stream.starts_with("data: {") && stream.ends_with("data: [DONE]\n\n"), "{stream}");
    let body = r#"{"model":"mock","messages":[],"mock":{"status":429,"retry_after":7,"delay_ms":100}}"#;
    let scope = domain::key::Scope::Inference;
    let got = bed.ask(Method::POST, "/v1/chat/completions", scope, body).await;
    got.is_error(429, "rate_limit_exceeded", "asked for");
    assert_eq!(got.headers["retry-after"], "7");
    let body = r#"{"model":"mock","messages":[],"stream":true,"mock":{"delay_ms":600000}}"#;
    let got = bed.ask(Method::POST, "/v1/chat/completions", scope, body).await;
    got.is_error(504, "upstream_timeout", "the mock did not answer");
    let body = r#"{"model":"mock","messages":[],"mock":{"cut_after_chunks":1}}"#;
    let got = bed.ask(Method::POST, "/v1/chat/completions", scope, body).await;
    got.is_error(502, "upstream_lost", "broke off");
    assert!(bed.targets.seen().is_empty());
}
