//! HTTP towards engines and providers.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actors::ports::{CallError, Http, Response};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server as handshake;
use wire::http_client::HttpClient;

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// An engine that says back what it got; returns how many connections it took.
fn engine(world: &Arc<World>, host_and_port: &str) -> Arc<AtomicUsize> {
    let mut streams = world.outside(host_and_port);
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Some(stream) = streams.recv().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = service_fn(|request: Request<Incoming>| async move {
                let head = format!("{} {} ", request.uri(), request.headers()["host"].to_str().unwrap());
                let body = request.into_body().collect().await.unwrap().to_bytes();
                Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(
                    [head.as_bytes(), &body].concat(),
                ))))
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
        }
    });
    connections
}

async fn post(client: &HttpClient, uri: &str, body: &'static str) -> Result<Response, CallError> {
    client.send(Request::post(uri).body(Bytes::from_static(body.as_bytes())).unwrap(), SECOND).await
}

#[tokio::test(start_paused = true)]
async fn one_connection_serves_one_call_after_another() {
    let world = World::new();
    let connections = engine(&world, "engine:80");
    let client = HttpClient::new(world.node(1));
    for _ in 0..5 {
        let answer = post(&client, "http://engine/v1/x?y", "body").await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "/v1/x?y engine body");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    engine(&world, "::1:8080");
    let answer = post(&client, "http://[::1]:8080/", "").await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "/ [::1]:8080 ");
}

/// Common servers close theirs after 5 s: a call that meets that is broken.
#[tokio::test(start_paused = true)]
async fn a_connection_that_was_idle_for_some_seconds_is_not_used_again() {
    let world = World::new();
    let connections = engine(&world, "engine:80");
    let client = HttpClient::new(world.node(1));
    for (pause, expected) in [(0, 1), (3, 1), (5, 2)] {
        tokio::time::sleep(pause * SECOND).await;
        let answer = post(&client, "http://engine/", "").await.unwrap();
        answer.into_body().collect().await.unwrap();
        assert_eq!(connections.load(Ordering::SeqCst), expected, "after {pause} s");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_tell_whether_the_call_may_have_happened() {
    let world = World::new();
    let client = HttpClient::new(world.node(1));
    let nobody = post(&client, "http://nobody:1/", "").await.err();
    assert!(matches!(nobody, Some(CallError::Connect { .. })), "{nobody:?}");

    let mut broken = world.outside("broken:80");
    tokio::spawn(async move {
        while let Some(mut stream) = broken.recv().await {
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    let broken = post(&client, "http://user:secret@broken/", "x").await.err();
    assert!(matches!(&broken, Some(CallError::Broken { target, .. }) if target == "broken"), "{broken:?}");

    let mut nonsense = world.outside("nonsense:80");
    tokio::spawn(async move {
        let mut stream = nonsense.recv().await.unwrap();
        stream.write_all(b"220 mail.example.org\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let nonsense = post(&client, "http://nonsense/", "x").await.err();
    assert!(matches!(nonsense, Some(CallError::Broken { .. })), "{nonsense:?}");

    let mut silent = world.outside("silent:80");
    let silent_call = post(&client, "http://silent/", "").await.err();
    assert!(matches!(silent_call, Some(CallError::Timeout { .. })), "{silent_call:?}");
    assert!(silent.recv().await.is_some());
    let request = Request::get("http://blackhole/").body(Bytes::new()).unwrap();
    let unreached = client.send(request, 60 * SECOND).await.err();
    assert!(matches!(unreached, Some(CallError::Connect { .. })), "{unreached:?}");
    let odd = post(&client, "ftp://engine/", "").await.err();
    assert!(matches!(odd, Some(CallError::Connect { .. })), "{odd:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pooled_connection_that_closed_meanwhile_costs_no_call() {
    let world = World::new();
    let mut streams = world.outside("closing:80");
    tokio::spawn(async move {
        while let Some(mut stream) = streams.recv().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    });
    let client = HttpClient::new(world.node(1));
    for _ in 0..10 {
        let answer = post(&client, "http://closing/", "").await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_services_are_refused_by_address_and_after_resolution() {
    let client = HttpClient::new(World::new().node(1));
    for uri in [
        "http://169.254.169.254/latest",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://metadata.internal/",
    ] {
        let refused = post(&client, uri, "").await.err();
        assert!(matches!(refused, Some(CallError::Forbidden { .. })), "{uri}: {refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_an_answer_closes_its_connection() {
    let world = World::new();
    let mut streams = world.outside("endless:80");
    let client = HttpClient::new(world.node(1));
    let server = tokio::spawn(async move {
        let mut stream = streams.recv().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        while stream.write_all(b"5\r\nhello\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut answer = post(&client, "http://endless/", "").await.unwrap();
    assert_eq!(answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    drop(answer);
    assert!(tokio::time::timeout(SECOND, server).await.is_ok(), "the server was not told");
}

/// A server of one exchange: takes a text, says two, and closes.
fn talker(world: &Arc<World>, host_and_port: &str) {
    let mut streams = world.outside(host_and_port);
    tokio::spawn(async move {
        while let Some(stream) = streams.recv().await {
            #[expect(clippy::result_large_err, reason = "the library wants the refusal as it is")]
            let refuse = |request: &handshake::Request, answer: handshake::Response| {
                if request.uri().query() == Some("key=good") {
                    return Ok(answer);
                }
                let refusal = http::Response::builder().status(401).body(Some("wrong key".to_owned()));
                Err(refusal.unwrap())
            };
            let Ok(mut socket) = accept_hdr_async(stream, refuse).await else { continue };
            let Some(Ok(Message::Text(asked))) = socket.next().await else { panic!("a text is asked") };
            socket.send(Message::Ping(Bytes::new())).await.unwrap();
            socket.send(Message::text(format!("you said {asked}"))).await.unwrap();
            socket.send(Message::text("that is all")).await.unwrap();
            let _ = socket.close(None).await;
        }
    });
}

#[tokio::test(start_paused = true)]
async fn an_exchange_over_a_websocket_is_a_body_of_lines() {
    let world = World::new();
    talker(&world, "talker:80");
    let client = HttpClient::new(world.node(1));
    let ask = |uri: &'static str| Request::get(uri).body(Bytes::from_static(b"hi")).unwrap();
    let answer = client.send(ask("ws://talker/chat?key=good"), SECOND).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "you said hi\nthat is all\n");
    let refusal = client.send(ask("ws://talker/chat?key=bad"), SECOND).await.unwrap();
    assert_eq!(refusal.status(), 401);
    let nobody = client.send(ask("ws://nobody/chat"), SECOND).await;
    assert!(matches!(nobody, Err(CallError::Connect { .. })));
    let forbidden = client.send(ask("ws://169.254.169.254/"), SECOND).await;
    assert!(matches!(forbidden, Err(CallError::Forbidden { .. })));
}
