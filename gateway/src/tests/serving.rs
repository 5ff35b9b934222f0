//! Connections: served over any byte stream, drained without cutting answers. And calls that come from other nodes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use domain::key::Scope;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::bed::*;

fn connect(bed: &Bed) -> (DuplexStream, JoinHandle<()>) {
    let (client, server) = duplex(64 * 1024);
    let gateway = bed.gateway.clone();
    let remote: SocketAddr = ([127, 0, 0, 1], 1).into();
    (client, tokio::spawn(async move { gateway.serve(server, remote).await }))
}

fn chat(stream: bool) -> String {
    let body = format!(r#"{{"model":"api","messages":[],"stream":{stream}}}"#);
    let key = key_text(Scope::Inference);
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Reads until the text is there.
async fn until(client: &mut DuplexStream, text: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let byte =
            client.read_u8().await.unwrap_or_else(|e| panic!("{e} after {}", String::from_utf8_lossy(&read)));
        read.push(byte);
    }
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test(start_paused = true)]
async fn one_connection_carries_many_requests() {
    let bed = Bed::new();
    let (mut client, _) = connect(&bed);
    for n in ["one", "two"] {
        bed.targets.then(Next::Answer(
            200,
            "application/json",
            vec![Piece::Bytes(if n == "one" {
                "{\"choices\":[\"one\"]}"
            } else {
                "{\"choices\":[\"two\"]}"
            })],
        ));
        client.write_all(chat(false).as_bytes()).await.unwrap();
        let answer = until(&mut client, &format!("\"{n}\"]}}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("content-length: 19\r\n") && !answer.contains("date:"), "{answer}");
    }
    assert_eq!(bed.metric("llmhub_gateway_connections").await, "1");
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_streams_end_and_closes_what_is_idle() {
    let bed = Bed::new();
    let (mut busy, _) = connect(&bed);
    let (mut idle, _) = connect(&bed);
    let wait = Piece::Wait(Duration::from_secs(5));
    bed.targets.then(events(vec![Piece::Bytes("data: {}\n\n"), wait, Piece::Bytes("data: [DONE]\n\n")]));
    busy.write_all(chat(true).as_bytes()).await.unwrap();
    until(&mut busy, "data: {}").await;
    bed.gateway.drain();
    assert!(!bed.gateway.drained(Duration::from_secs(1)).await);
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap(), 0);
    until(&mut busy, "data: [DONE]").await;
    assert!(bed.gateway.drained(Duration::from_secs(1)).await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_its_connection_cancels_the_call() {
    let bed = Bed::new();
    let dropped = Dropped::default();
    bed.targets.then(Next::Watched(vec![Piece::Bytes("data: {}\n\n"), Piece::Hang], dropped.clone()));
    let (mut client, serving) = connect(&bed);
    client.write_all(chat(true).as_bytes()).await.unwrap();
    until(&mut client, "data: {}").await;
    drop(client);
    serving.await.unwrap();
    assert!(dropped.is_true());
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_slows_its_target_down() {
    let bed = Bed::new();
    const LARGE: &str =
        concat!("data: ", "0123456789012345678901234567890123456789012345678901234567890123", "\n\n");
    let mut pieces: Vec<Piece> = (0..20_000).map(|_| Piece::Bytes(LARGE)).collect();
    pieces.push(Piece::Bytes("data: [DONE]\n\n"));
    let dropped = Dropped::default();
    bed.targets.then(Next::Watched(pieces, dropped.clone()));
    let (mut client, _serving) = connect(&bed);
    client.write_all(chat(true).as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    // One and a half megabytes would be through by now if anybody took them.
    assert!(!dropped.is_true());
    let mut buffer = vec![0; 1 << 16];
    while !dropped.is_true() {
        assert!(client.read(&mut buffer).await.unwrap() > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_hung_up_on() {
    for greeting in ["", "P", "PRI * HTTP/2.0\r\n", "GET /health HTTP/1.1\r\n"] {
        let bed = Bed::new();
        let (mut client, serving) = connect(&bed);
        client.write_all(greeting.as_bytes()).await.unwrap();
        let started = tokio::time::Instant::now();
        serving.await.unwrap();
        assert!(started.elapsed() <= Duration::from_secs(76), "{greeting:?} {:?}", started.elapsed());
        assert_eq!(bed.metric("llmhub_gateway_connections").await, "0");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_hung_up_on() {
    const LARGE: &str = concat!("data: ", "0123456789012345678901234567890123456789", "\n\n");
    let bed = Bed::new();
    let dropped = Dropped::default();
    let pieces = (0..20_000).map(|_| Piece::Bytes(LARGE)).collect();
    bed.targets.then(Next::Watched(pieces, dropped.clone()));
    let (mut client, serving) = connect(&bed);
    client.write_all(chat(true).as_bytes()).await.unwrap();
    let started = tokio::time::Instant::now();
    serving.await.unwrap();
    assert!(dropped.is_true());
    assert!((119..123).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_http2_that_nobody_reads_gives_its_target_back_and_the_others_go_on() {
    let bed = Bed::new();
    let (client, _serving) = connect(&bed);
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(0).timer(TokioTimer::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let dropped = Dropped::default();
    let pieces = vec![Piece::Bytes("data: {}\n\n"), Piece::Hang];
    bed.targets.then(Next::Watched(pieces, dropped.clone()));
    let body = r#"{"model":"api","messages":[],"stream":true}"#;
    let request = Request::post("http://x/v1/chat/completions")
        .header("authorization", format!("Bearer {}", key_text(Scope::Inference)))
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap();
    let unread = sender.send_request(request).await.unwrap();
    assert_eq!(unread.status(), 200);
    tokio::time::sleep(Duration::from_secs(118)).await;
    assert!(!dropped.is_true());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(dropped.is_true());
    assert_eq!(bed.metric("llmhub_gateway_in_flight").await, "0");
    let ready = Request::get("http://x/ready").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(sender.send_request(ready).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_relayed_call_reaches_the_engine_and_a_stale_one_does_not() {
    let bed = Bed::new();
    bed.targets.then(json("\"hi\""));
    let request = |epoch: &str| {
        Request::post("/v1/embeddings")
            .header("x-llmhub-deployment", "7")
            .header("x-llmhub-ordinal", "0")
            .header("x-llmhub-epoch", epoch)
            .body(Bytes::from_static(b"{\"model\":\"m\"}"))
            .unwrap()
    };
    let response = bed.gateway.relayed(OTHER, request("3")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "\"hi\"");
    let (_, sent) = &bed.targets.seen()[0];
    assert_eq!(sent.uri(), "http://127.0.0.1:10/v1/embeddings");
    assert_eq!(sent.headers()["authorization"], "Bearer key-of-0");
    assert_eq!(bed.gateway.relayed(OTHER, request("x")).await.status(), 400);
    bed.doors.closed.lock().unwrap().insert("0".to_owned(), "it moved".to_owned());
    assert_eq!(bed.gateway.relayed(OTHER, request("4")).await.status(), 503);
    bed.doors.closed.lock().unwrap().clear();
    bed.targets.then(unreachable());
    assert_eq!(bed.gateway.relayed(OTHER, request("3")).await.status(), 502);
}
