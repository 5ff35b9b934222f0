//! Ports that do as a test says: targets answer what is laid in, commands are applied at once, doors are open.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::ports::*;
use actors::{Endpoint, Refused, Secret};
use adapters::dialect::Spoken;
use async_trait::async_trait;
use bytes::Bytes;
use domain::command::Envelope;
use domain::decide::routing::{Load, Target};
use domain::key::Scope;
use domain::secret::{self, Sealed, Wrap};
use domain::{
    Command, DeploymentId, Epoch, Millis, NodeId, ProviderName, Reply, RequestId, TokenId, provider,
};
use futures::StreamExt;
use http_body_util::{BodyExt, StreamBody};

use super::bed::{NOW, OTHER, key_text};
use crate::{Doors, Minted, Pass, TokenMint};

/// A piece of a target's body.
pub(super) enum Piece {
    Bytes(&'static str),
    Wait(Duration),
    Break,
    Hang,
}

/// Tells when the body it is in was dropped.
#[derive(Clone, Default)]
pub(super) struct Dropped(Arc<AtomicBool>);

impl Dropped {
    pub(super) fn is_true(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

struct Guard(Dropped);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::SeqCst);
    }
}

pub(super) fn body(pieces: Vec<Piece>, dropped: Dropped) -> Body {
    let guard = Guard(dropped);
    let stream = futures::stream::iter(pieces).then(move |piece| {
        let _ = &guard;
        async move {
            match piece {
                Piece::Bytes(text) => Some(Ok(http_body::Frame::data(Bytes::from_static(text.as_bytes())))),
                Piece::Wait(time) => {
                    tokio::time::sleep(time).await;
                    None
                }
                Piece::Break => Some(Err("connection reset".into())),
                Piece::Hang => std::future::pending().await,
            }
        }
    });
    StreamBody::new(stream.filter_map(|item| async { item })).boxed_unsync()
}

/// What a target does when it is called next.
pub(super) enum Next {
    Answer(u16, &'static str, Vec<Piece>),
    /// Too many calls; try again after so many seconds.
    Busy(&'static str),
    Fail(CallError),
    Hang,
    Watched(Vec<Piece>, Dropped),
}

pub(super) fn json(text: &'static str) -> Next {
    Next::Answer(200, "application/json", vec![Piece::Bytes(text)])
}

pub(super) fn events(pieces: Vec<Piece>) -> Next {
    Next::Answer(200, "text/event-stream", pieces)
}

pub(super) fn unreachable() -> Next {
    Next::Fail(CallError::Connect { target: "t".to_owned(), reason: "refused".to_owned() })
}

/// Calls in the order they came: the node, for relayed ones, and the request.
#[derive(Default)]
pub(super) struct Targets {
    next: Mutex<VecDeque<Next>>,
    seen: Mutex<Vec<(Option<NodeId>, Request)>>,
}

impl Targets {
    pub(super) fn then(&self, next: Next) -> &Self {
        self.next.lock().unwrap().push_back(next);
        self
    }
    pub(super) fn seen(&self) -> Vec<(Option<NodeId>, Request)> {
        self.seen.lock().unwrap().clone()
    }
    async fn answer(
        &self,
        node: Option<NodeId>,
        request: Request,
        timeout: Duration,
    ) -> Result<Response, CallError> {
        self.seen.lock().unwrap().push((node, request));
        let next = self.next.lock().unwrap().pop_front();
        let mut wait = None;
        let (status, kind, body) = match next.expect("the test lays in an answer for every call") {
            Next::Answer(status, kind, pieces) => (status, kind, body(pieces, Dropped::default())),
            Next::Watched(pieces, dropped) => (200, "text/event-stream", body(pieces, dropped)),
            Next::Busy(seconds) => {
                wait = Some(seconds);
                let told = "{\"error\":{\"message\":\"slow down\",\"code\":\"rate_limit_exceeded\"}}";
                (429, "application/json", body(vec![Piece::Bytes(told)], Dropped::default()))
            }
            Next::Fail(error) => return Err(error),
            Next::Hang => {
                tokio::time::sleep(timeout).await;
                return Err(CallError::Timeout { target: "t".to_owned(), waited: timeout });
            }
        };
        let mut response = http::Response::builder().status(status).header("content-type", kind);
        if let Some(wait) = wait {
            response = response.header("retry-after", wait);
        }
        Ok(response.header("server", "hidden").body(body).unwrap())
    }
}

#[async_trait]
impl Http for Targets {
    async fn send(&self, request: Request, timeout: Duration) -> Result<Response, CallError> {
        self.answer(None, request, timeout).await
    }
}

#[async_trait]
impl Relay for Targets {
    async fn send(&self, to: NodeId, request: Request, timeout: Duration) -> Result<Response, CallError> {
        self.answer(Some(to), request, timeout).await
    }
}

/// Applies commands at once; fails first as often as it was told.
pub(super) struct Log {
    pub(super) view: ViewCell,
    pub(super) index: AtomicU64,
    /// The leader's clock.
    pub(super) now: AtomicU64,
    pub(super) failures: Mutex<VecDeque<ProposeError>>,
    pub(super) barriers: AtomicU64,
}

impl Log {
    pub(super) fn apply(&self, id: RequestId, command: Command) -> Result<Reply, ProposeError> {
        let index = self.index.fetch_add(1, Ordering::SeqCst);
        let envelope = Envelope { at: self.now.load(Ordering::SeqCst), ..Envelope::new(id, command) };
        let mut outcome = None;
        self.view.update(|view| {
            let mut next = view.clone();
            outcome = Some(next.state.apply(index, &envelope, &mut Vec::new()));
            next.applied = index;
            next
        });
        Ok(outcome.unwrap()?)
    }
}

#[async_trait]
impl Proposer for Log {
    async fn propose_as(&self, id: RequestId, command: Command) -> Result<Reply, ProposeError> {
        let failure = self.failures.lock().unwrap().pop_front();
        failure.map_or_else(|| self.apply(id, command), Err)
    }
    async fn propose(&self, command: Command) -> Result<Reply, ProposeError> {
        let id = RequestId(u128::from(self.index.load(Ordering::SeqCst)));
        self.propose_as(id, command).await
    }
    async fn barrier(&self) -> Result<(), ProposeError> {
        self.barriers.fetch_add(1, Ordering::SeqCst);
        self.failures.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }
}

/// Everything else that the gateway needs, as simple as can be.
pub(super) struct Rest(pub(super) AtomicU64);

impl Clock for Rest {
    fn now(&self) -> Millis {
        NOW
    }
}

impl Entropy for Rest {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.fetch_add(1, Ordering::SeqCst) as u8);
    }
}

impl TokenMint for Rest {
    fn mint(&self) -> Minted {
        let n = self.0.fetch_add(1, Ordering::SeqCst);
        Minted { id: TokenId(n), text: format!("join-{n}"), hash: vec![n as u8; 32] }
    }
}

#[async_trait]
impl Vault for Rest {
    async fn seal(&self, context: &str, clear: &[u8]) -> Result<Sealed, VaultError> {
        let bytes = clear.iter().map(|b| b ^ 0x55).collect();
        Ok(Sealed { nonce: context.as_bytes().to_vec(), bytes, key: None })
    }
    async fn open_provider_key(&self, _: &provider::Provider) -> Result<Option<String>, VaultError> {
        Ok(None)
    }
    async fn export_data_keys(&self, public: &[u8], proof: &str) -> Result<Vec<Wrap>, VaultError> {
        if proof != key_text(Scope::Admin) {
            return Err(VaultError::NotAllowed);
        }
        let sealed = self.seal("data key", public).await?;
        Ok(vec![Wrap { node: NodeId(0), ephemeral: public.to_vec(), sealed, key: None }])
    }
    async fn import_data_keys(&self, wraps: &[Wrap]) -> Result<Vec<secret::Secret>, VaultError> {
        let name = secret::data_key_name("1");
        let secret = |wrap: &Wrap| secret::Secret {
            name: name.clone(),
            public: String::new(),
            sealed: wrap.sealed.clone(),
        };
        Ok(wraps.iter().map(secret).collect())
    }
}

#[async_trait]
impl PeerLink for Rest {
    async fn ask(&self, to: NodeId, topic: &'static str, _: Bytes, _: Duration) -> Result<Bytes, PeerError> {
        match (to, topic) {
            (OTHER, _) => Err(PeerError::Unreachable(to)),
            (_, "replica.logs") => Ok(rmp_serde::to_vec(&["one", "two"]).unwrap().into()),
            _ => Err(PeerError::Timeout(to)),
        }
    }
}

/// Targets on this node: all open, but for those that were closed.
#[derive(Default)]
pub(super) struct Open {
    pub(super) closed: Mutex<BTreeMap<String, String>>,
    /// Providers that their actors avoid.
    pub(super) avoided: Mutex<BTreeSet<String>>,
    /// What providers speak; OpenAI's dialect unless told otherwise.
    pub(super) dialects: Mutex<BTreeMap<String, &'static str>>,
}

impl Open {
    fn pass(&self, name: String, base_url: String) -> Result<Pass, Refused> {
        if let Some(why) = self.closed.lock().unwrap().get(&name) {
            return Err(Refused::Closed(why.clone()));
        }
        let mut endpoint = Endpoint::engine(base_url, Some(Secret::new(format!("key-of-{name}"))));
        if let Some(dialect) = self.dialects.lock().unwrap().get(&name) {
            endpoint.dialect = Spoken::Known(adapters::dialect::named(dialect).unwrap());
        }
        Ok(Pass::Open(endpoint))
    }
}

impl Doors for Open {
    fn provider(&self, name: &ProviderName) -> Result<Pass, Refused> {
        self.pass(name.to_string(), format!("http://{name}.test/v1"))
    }
    fn replica(&self, id: DeploymentId, ordinal: u32, epoch: Epoch) -> Result<Pass, Refused> {
        self.pass(format!("{ordinal}"), format!("http://127.0.0.1:{}/v1", id.0 + epoch))
    }
    fn load(&self, target: &Target) -> Option<Load> {
        let Target::Provider(name) = target else { return None };
        let avoid = self.avoided.lock().unwrap().contains(name.as_str());
        Some(Load { avoid, ..Load::default() })
    }
}
