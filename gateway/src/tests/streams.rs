//! Streams: bytes pass as they are, every stream ends in `[DONE]` or an error, and a client that goes away ends the call.

use std::time::Duration;

use domain::Health;
use http_body_util::BodyExt;
use serde_json::Value;

use super::bed::*;

const ONE: &str = "data: {\"n\":1}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn outcome(name: &str) -> String {
    format!("llmhub_gateway_requests_total{{operation=\"chat\",outcome=\"{name}\"}}")
}

/// Splits off the error event that a stream ends with.
#[track_caller]
fn lost(text: &str) -> (&str, Value) {
    let (before, last) = text.rsplit_once("data: ").expect("an event");
    let error: Value = serde_json::from_str(last.trim_end()).expect("whole JSON");
    assert_eq!(error["error"]["code"], "upstream_lost");
    assert!(last.ends_with("\n\n"));
    (before, error)
}

#[tokio::test(start_paused = true)]
async fn a_stream_passes_unchanged_however_it_is_cut() {
    let bed = Bed::new();
    let pieces = [
        "da",
        "ta: {\"n\":1}\n",
        "\ndata: {\"n\":2}\n\ndata: {",
        "\"usage\":{\"prompt_tokens\":5}}\n\n",
        "data: [DONE]",
        "\n\n",
    ];
    let whole: String = pieces.concat();
    bed.targets.then(events(pieces.into_iter().map(Piece::Bytes).collect()));
    let response = bed.stream("api").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(rest(response).await, whole);
    assert_eq!(bed.metric(&outcome("ok")).await, "1");
    assert_eq!(bed.metric(r#"llmhub_gateway_tokens_total{kind="prompt"}"#).await, "5");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_ends_in_an_error_at_the_boundary_of_an_event() {
    let bed = Bed::new();
    bed.targets.then(events(vec![Piece::Bytes(ONE), Piece::Bytes("data: {\"n\""), Piece::Break]));
    let text = rest(bed.stream("api").await).await;
    let (before, error) = lost(&text);
    assert_eq!(before, ONE);
    assert!(error["error"]["message"].as_str().unwrap().contains("send the request again"));
    assert_eq!(bed.metric(&outcome("broken")).await, "1");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_just_ends_ends_in_an_error_too() {
    let bed = Bed::new();
    bed.targets.then(events(vec![Piece::Bytes(ONE)]));
    let text = rest(bed.stream("api").await).await;
    assert_eq!(lost(&text).0, ONE);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_the_target_tells_is_not_told_twice() {
    let bed = Bed::new();
    let told = "data: {\"error\":{\"message\":\"no memory\",\"code\":500}}\n\n";
    bed.targets.then(events(vec![Piece::Bytes(ONE), Piece::Bytes(told)]));
    assert_eq!(rest(bed.stream("api").await).await, [ONE, told].concat());
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_done_changes_nothing() {
    let bed = Bed::new();
    for end in [Piece::Break, Piece::Hang] {
        bed.targets.then(events(vec![Piece::Bytes(ONE), Piece::Bytes(DONE), end]));
        assert_eq!(rest(bed.stream("api").await).await, [ONE, DONE].concat());
    }
    bed.targets.then(events(vec![Piece::Bytes(ONE), Piece::Bytes("data: [DONE]")]));
    assert_eq!(rest(bed.stream("api").await).await, [ONE, DONE].concat());
    assert_eq!(bed.metric(&outcome("ok")).await, "3");
}

#[tokio::test(start_paused = true)]
async fn usage_is_counted_however_a_complete_stream_ends() {
    const USED: &str = "data: {\"usage\":{\"prompt_tokens\":5}}\n\n";
    let bed = Bed::new();
    let ends = [
        vec![Piece::Bytes("data: [DONE]")],
        vec![Piece::Bytes("data: [DONE]\n"), Piece::Break],
        vec![Piece::Bytes(DONE), Piece::Break],
        vec![Piece::Bytes(DONE), Piece::Hang],
    ];
    for end in ends {
        bed.targets.then(events([Piece::Bytes(USED)].into_iter().chain(end).collect()));
        rest(bed.stream("api").await).await;
    }
    assert_eq!(bed.metric(r#"llmhub_gateway_tokens_total{kind="prompt"}"#).await, "20");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_gives_its_target_back() {
    let bed = Bed::new();
    let dropped = Dropped::default();
    bed.targets.then(Next::Watched(vec![Piece::Bytes(ONE), Piece::Bytes(ONE), Piece::Hang], dropped.clone()));
    let mut response = bed.stream("api").await;
    let frame = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), ONE);
    tokio::time::sleep(Duration::from_secs(119)).await;
    assert!(!dropped.is_true());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(dropped.is_true());
    assert_eq!(bed.metric("llmhub_gateway_in_flight").await, "0");
    assert_eq!(bed.metric(&outcome("cancelled")).await, "1");
    let text = rest(response).await;
    let (before, error) = lost(&text);
    assert_eq!(before, "");
    assert!(error["error"]["message"].as_str().unwrap().contains("nothing of it was read"));
}

#[tokio::test(start_paused = true)]
async fn a_complete_stream_is_counted_whether_its_end_is_read_or_not() {
    const LAST: &str = "data: {\"usage\":{\"prompt_tokens\":5}}\n\ndata: [DONE]\n\n";
    let bed = Bed::new();
    for left_for in [0, 125] {
        let dropped = Dropped::default();
        bed.targets.then(Next::Watched(vec![Piece::Bytes(LAST), Piece::Hang], dropped.clone()));
        let mut response = bed.stream("api").await;
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), LAST);
        tokio::time::sleep(Duration::from_secs(left_for)).await;
        assert_eq!(dropped.is_true(), left_for > 0);
        if left_for > 0 {
            assert_eq!(rest(response).await, "", "nothing comes after the end");
        }
    }
    assert_eq!(bed.metric(&outcome("ok")).await, "2");
    assert_eq!(bed.metric(r#"llmhub_gateway_tokens_total{kind="prompt"}"#).await, "10");
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_target_takes_its_time_is_not_taken_for_one_that_nobody_reads() {
    let bed = Bed::new();
    let wait = || Piece::Wait(Duration::from_secs(100));
    let pieces = vec![Piece::Bytes(ONE), wait(), Piece::Bytes(ONE), wait(), Piece::Bytes(DONE)];
    bed.targets.then(events(pieces));
    assert_eq!(rest(bed.stream("api").await).await, [ONE, ONE, DONE].concat());
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_when_its_replica_is_given_to_another_node() {
    let bed = Bed::new();
    let id = bed.deployment("far", &[OTHER]);
    let epoch = bed.view.load().state.deployments.get(&id).unwrap().replicas[0].epoch;
    let wait = Piece::Wait(Duration::from_secs(10));
    bed.targets.then(events(vec![Piece::Bytes(ONE), wait, Piece::Bytes(DONE)]));
    let response = bed.stream("far").await;
    bed.assign(id, 0, Some(epoch), ME);
    assert_eq!(rest(response).await, [ONE, DONE].concat());
}

#[tokio::test(start_paused = true)]
async fn a_silent_target_is_given_up_after_a_while() {
    let bed = Bed::new();
    bed.targets.then(events(vec![Piece::Bytes(ONE), Piece::Hang]));
    let started = tokio::time::Instant::now();
    let text = rest(bed.stream("api").await).await;
    assert_eq!(lost(&text).0, ONE);
    assert!(started.elapsed() < Duration::from_secs(123), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_slow_stream_is_not_given_up() {
    let bed = Bed::new();
    let minute = || Piece::Wait(Duration::from_secs(60));
    let pieces = vec![Piece::Bytes(ONE), minute(), Piece::Bytes(ONE), minute(), minute(), minute()];
    bed.targets.then(events(pieces.into_iter().chain([Piece::Bytes(DONE)]).collect()));
    let text = rest(bed.stream("api").await).await;
    // Three minutes of silence are too many, one is not.
    assert_eq!(lost(&text).0, [ONE, ONE].concat());
}

#[tokio::test(start_paused = true)]
async fn a_stream_from_a_node_that_is_given_up_ends_soon() {
    let bed = Bed::new();
    bed.deployment("far", &[OTHER]);
    bed.targets.then(events(vec![Piece::Bytes(ONE), Piece::Hang]));
    let response = bed.stream("far").await;
    bed.health(OTHER, Health::Down);
    let started = tokio::time::Instant::now();
    let text = rest(response).await;
    assert_eq!(lost(&text).0, ONE);
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_ends_the_call_and_gives_its_slot_back() {
    let bed = Bed::new();
    let dropped = Dropped::default();
    bed.targets.then(Next::Watched(vec![Piece::Bytes(ONE), Piece::Hang], dropped.clone()));
    let mut response = bed.stream("api").await;
    let frame = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), ONE);
    assert!(!dropped.is_true());
    assert_eq!(bed.metric("llmhub_gateway_in_flight").await, "1");
    drop(response);
    assert!(dropped.is_true());
    assert_eq!(bed.metric("llmhub_gateway_in_flight").await, "0");
    assert_eq!(bed.metric(&outcome("cancelled")).await, "1");
}

#[tokio::test(start_paused = true)]
async fn a_plain_answer_to_a_streamed_question_passes_as_it_is() {
    let bed = Bed::new();
    bed.targets.then(json("{\"choices\":[]}"));
    let response = bed.stream("api").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(rest(response).await, "{\"choices\":[]}");
}
