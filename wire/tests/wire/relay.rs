//! Inference streams between nodes.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use actors::ports::{Body, BoxError, CallError, Response};
use async_trait::async_trait;
use bytes::Bytes;
use domain::NodeId;
use futures::StreamExt;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wire::relay::{LANES, REQUEST_BYTES_MAX, RelayClient, RelayService, serve};
use wire::{Protocol, dispatch};

use crate::world::{World, addr, eventually};

const SECOND: Duration = Duration::from_secs(1);
const PIECE: usize = 16 << 10;

/// Counts the pieces it makes and the bodies that live.
#[derive(Default)]
struct Tokens {
    made: AtomicUsize,
    living: Arc<AtomicUsize>,
    seen: Mutex<Vec<String>>,
}

struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Tokens {
    fn alive(&self) -> Alive {
        self.living.fetch_add(1, Ordering::SeqCst);
        Alive(self.living.clone())
    }
}

struct Service(Arc<Tokens>);

#[async_trait]
impl RelayService for Service {
    async fn handle(&self, from: NodeId, request: Request<Bytes>) -> http::Response<Body> {
        let alive = self.0.alive();
        let (path, len) = (request.uri().path().to_owned(), request.body().len());
        self.0.seen.lock().unwrap().push(format!("{from} {path} {len}"));
        let body: Body = match path.as_str() {
            "/hang" => std::future::pending().await,
            "/endless" => {
                let made = self.0.clone();
                let pieces = futures::stream::repeat_with(move || {
                    let _ = &alive;
                    made.made.fetch_add(1, Ordering::SeqCst);
                    Ok(Frame::data(Bytes::from(vec![1; PIECE])))
                });
                StreamBody::new(pieces).boxed_unsync()
            }
            "/slow" => Slow { _alive: alive, sent: false }.boxed_unsync(),
            _ => Full::new(request.into_body()).map_err(|never| match never {}).boxed_unsync(),
        };
        http::Response::builder().header("x-from", from.to_string()).body(body).unwrap()
    }
}

/// One piece, then silence.
struct Slow {
    _alive: Alive,
    sent: bool,
}

impl http_body::Body for Slow {
    type Data = Bytes;
    type Error = BoxError;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if std::mem::replace(&mut self.sent, true) {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"first")))))
    }
}

/// Serves node 1; tells how many connections came.
fn start(world: &Arc<World>) -> (Arc<Tokens>, Arc<AtomicUsize>) {
    let tokens = Arc::new(Tokens::default());
    let (mut arrivals, _) = dispatch::start(world.streams(1), CancellationToken::new());
    let (service, connections) = (tokens.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Some(stream) = arrivals.relay.recv().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream.io, stream.peer, Arc::new(Service(service.clone()))));
        }
    });
    (tokens, connections)
}

async fn send(client: &RelayClient, path: &str, body: impl Into<Bytes>) -> Result<Response, CallError> {
    let request = Request::post(path).header("connection", "close").body(body.into()).unwrap();
    client.send(NodeId(1), &addr(1), request, SECOND).await
}

#[tokio::test(start_paused = true)]
async fn a_request_and_its_answer_pass_unchanged() {
    let world = World::new();
    let (tokens, _) = start(&world);
    let client = RelayClient::new(world.streams(2));
    let answer = send(&client, "/v1/echo?x=1", vec![5; 3 << 20]).await.unwrap();
    assert_eq!(answer.headers()["x-from"], NodeId(2).to_string());
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), vec![5; 3 << 20]);
    assert_eq!(*tokens.seen.lock().unwrap(), [format!("{} /v1/echo {}", NodeId(2), 3 << 20)]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_back_its_own_stream_and_no_other() {
    let world = World::new();
    let (tokens, connections) = start(&world);
    let client = RelayClient::new(world.streams(2));
    let mut unread = Vec::new();
    for _ in 0..40 {
        unread.push(send(&client, "/endless", "").await.unwrap());
    }
    tokio::time::sleep(5 * SECOND).await;
    let made = tokens.made.load(Ordering::SeqCst);
    assert!(made <= 40 * 12, "{made} pieces were made for readers that read nothing");
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(tokens.made.load(Ordering::SeqCst), made, "more were made though nobody read");
    let quick = send(&client, "/echo", vec![1; 1 << 20]).await.unwrap();
    assert_eq!(quick.into_body().collect().await.unwrap().to_bytes().len(), 1 << 20);
    assert_eq!(connections.load(Ordering::SeqCst), LANES);
    let mut read = 0;
    while read < 1 << 20 {
        read += unread[7].body_mut().frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_ends_the_work_for_it() {
    let world = World::new();
    let (tokens, _) = start(&world);
    let client = Arc::new(RelayClient::new(world.streams(2)));
    let mut answer = send(&client, "/slow", "").await.unwrap();
    assert_eq!(answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    assert_eq!(tokens.living.load(Ordering::SeqCst), 1);
    drop(answer);
    eventually("the body was dropped", || tokens.living.load(Ordering::SeqCst) == 0).await;

    let asking = client.clone();
    let waiting = tokio::spawn(async move { send(&asking, "/hang", "").await.map(drop) });
    eventually("it hangs", || tokens.living.load(Ordering::SeqCst) == 1).await;
    waiting.abort();
    eventually("the handler was dropped", || tokens.living.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn failures_tell_whether_the_call_may_have_happened() {
    let world = World::new();
    let client = Arc::new(RelayClient::new(world.streams(2)));
    let nobody = send(&client, "/echo", "").await.err();
    assert!(matches!(nobody, Some(CallError::Connect { .. })), "{nobody:?}");
    let (tokens, _) = start(&world);
    let late = send(&client, "/hang", "").await.err();
    assert!(matches!(late, Some(CallError::Timeout { .. })), "{late:?}");
    world.hold(1, 2);
    let unheard = send(&RelayClient::new(client_streams(&world)), "/echo", "").await.err();
    assert!(matches!(unheard, Some(CallError::Connect { .. })), "{unheard:?}");
    world.release(1, 2);

    let mut answer = send(&client, "/slow", "").await.unwrap();
    answer.body_mut().frame().await.unwrap().unwrap();
    let asking = client.clone();
    let waiting = tokio::spawn(async move { send(&asking, "/hang", "").await.err() });
    eventually("both are under way", || tokens.living.load(Ordering::SeqCst) == 2).await;
    world.crash(1);
    let broken = waiting.await.unwrap();
    assert!(matches!(broken, Some(CallError::Broken { .. })), "{broken:?}");
    assert!(answer.body_mut().frame().await.unwrap().is_err());
    let gone = send(&client, "/echo", "").await.err();
    assert!(matches!(gone, Some(CallError::Connect { .. })), "{gone:?}");
    start(&world);
    assert!(send(&client, "/echo", "").await.is_ok());
}

fn client_streams(world: &Arc<World>) -> Arc<wire::Streams> {
    world.streams(2)
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_breaks_its_streams_after_some_seconds_and_a_short_pause_does_not() {
    let world = World::new();
    start(&world);
    let client = RelayClient::new(world.streams(2));
    let mut answer = send(&client, "/slow", "").await.unwrap();
    answer.body_mut().frame().await.unwrap().unwrap();
    world.hold(1, 2);
    assert!(tokio::time::timeout(3 * SECOND, answer.body_mut().frame()).await.is_err());
    world.release(1, 2);
    assert!(
        tokio::time::timeout(6 * SECOND, answer.body_mut().frame()).await.is_err(),
        "a pause of 3 s is survived"
    );
    world.hold(1, 2);
    let ended = tokio::time::timeout(6 * SECOND, answer.body_mut().frame()).await;
    assert!(ended.unwrap().unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_is_told_so() {
    let world = World::new();
    start(&world);
    let client = RelayClient::new(world.streams(2));
    let answer = send(&client, "/echo", vec![0; REQUEST_BYTES_MAX + 1]).await.unwrap();
    assert_eq!(answer.status(), http::StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn callers_share_the_fate_of_one_dial() {
    let world = World::new();
    world.hold(1, 2);
    let client = Arc::new(RelayClient::new(world.streams(2)));
    let (sender, mut results) = mpsc::unbounded_channel();
    for _ in 0..100 {
        let (client, sender) = (client.clone(), sender.clone());
        tokio::spawn(async move {
            let request = Request::get("/").body(Bytes::new()).unwrap();
            let _ = sender.send(client.send(NodeId(1), &addr(1), request, 60 * SECOND).await.err());
        });
    }
    drop(sender);
    let before = tokio::time::Instant::now();
    while let Some(result) = results.recv().await {
        assert!(matches!(result, Some(CallError::Connect { .. })), "{result:?}");
    }
    assert!(before.elapsed() < 4 * SECOND, "took {:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn streams_are_read_in_the_order_they_were_written() {
    let world = World::new();
    let streams = world.streams(2);
    let (mut arrivals, _) = dispatch::start(world.streams(1), CancellationToken::new());
    let dialled = streams.dial(&addr(1), NodeId(1), Protocol::Relay).await.unwrap();
    drop(dialled);
    assert!(arrivals.relay.recv().await.is_some());
    struct Counting;
    #[async_trait]
    impl RelayService for Counting {
        async fn handle(&self, _: NodeId, _: Request<Bytes>) -> http::Response<Body> {
            let numbers = futures::stream::iter(0..5000u32)
                .map(|number| Ok::<_, BoxError>(Frame::data(Bytes::copy_from_slice(&number.to_be_bytes()))));
            http::Response::new(StreamBody::new(numbers).boxed_unsync())
        }
    }
    tokio::spawn(async move {
        let stream = arrivals.relay.recv().await.unwrap();
        serve(stream.io, stream.peer, Arc::new(Counting)).await;
    });
    let client = RelayClient::new(streams);
    let body = send(&client, "/", "").await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let expected: Vec<u8> = (0..5000u32).flat_map(u32::to_be_bytes).collect();
    assert_eq!(body, expected);
}
