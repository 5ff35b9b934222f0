//! How a new node comes in: one question and one answer over the only streams that need no client certificate. The token
//! proves that somebody of the cluster wants the newcomer, and pins the cluster's CA for it. Any node answers; one that
//! cannot sign names those that can.

use std::sync::Arc;
use std::time::Duration;

use actors::ports::{Clock, ProposeError, Proposer, ViewCell};
use domain::node::Standing;
use domain::{Command, Health, NodeId, Reject, TokenId, node, rotation, token};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use wire::net::{BoxIo, Network};

use crate::authority::{Authority, QUANTUM_MS, Term, fingerprint};
use crate::error::Error;
use crate::escrow;
use crate::identity::Certificates;
use crate::token::{JoinToken, token_hash};
use crate::vault::Safe;

/// The largest question or answer, in bytes.
const MESSAGE_BYTES_MAX: u32 = 256 * 1024;
/// How long one exchange may take.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(20);
/// Exchanges answered at a time; more are turned away, so that strangers cannot fill a node.
const EXCHANGES_MAX: usize = 4;
/// How long is waited after each exchange, so that tokens cannot be guessed quickly.
const BREATH: Duration = Duration::from_millis(100);
/// How long a newcomer goes on trying.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between its attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// What a newcomer says.
#[derive(Serialize, Deserialize)]
struct Question {
    token: TokenId,
    /// Its secret part. The stream is one to the token's own cluster, which alone knows what the secret's hash should be;
    /// the hash itself, which every node and backup holds, opens nothing.
    #[serde(with = "serde_bytes")]
    secret: Vec<u8>,
    #[serde(with = "serde_bytes")]
    certificate_request: Vec<u8>,
    node: node::Node,
}

/// What it is told.
#[derive(Serialize, Deserialize)]
enum Answer {
    /// Come in.
    Welcome {
        #[serde(with = "serde_bytes")]
        certificate: Vec<u8>,
        #[serde(with = "serde_bytes")]
        ca: Vec<u8>,
        /// Other authorities that are trusted while one follows another.
        #[serde(default)]
        others: Vec<serde_bytes::ByteBuf>,
        #[serde(with = "serde_bytes")]
        gossip_keys: Vec<u8>,
        peers: Vec<(NodeId, String)>,
    },
    /// Ask one of these: they can sign.
    Elsewhere(Vec<String>),
    /// Not now.
    Later(String),
    /// No.
    No(String),
}

/// What a newcomer got.
pub(crate) struct Welcome {
    /// Its certificate and the CA's.
    pub certificates: Certificates,
    /// The gossip keys, encoded.
    pub gossip_keys: zeroize::Zeroizing<Vec<u8>>,
    /// Members and their cluster ports.
    pub peers: Vec<(NodeId, String)>,
}

/// Asks the nodes at `addrs`, in turn and again, to be let in.
pub(crate) async fn ask(
    network: &dyn Network,
    addrs: &[String],
    token: &JoinToken,
    node: &node::Node,
    certificate_request: Vec<u8>,
) -> Result<Welcome, Error> {
    let question =
        Question { token: token.id, secret: token.secret.to_vec(), certificate_request, node: node.clone() };
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut last = "no address was given".to_owned();
    let mut queue: Vec<String> = addrs.to_vec();
    loop {
        let mut elsewhere = Vec::new();
        let mut foreign = 0;
        for addr in &queue {
            match exchange(network, addr, token, &question).await {
                Ok(Answer::Welcome { certificate, ca, others, gossip_keys, peers }) => {
                    let others = others.into_iter().map(serde_bytes::ByteBuf::into_vec);
                    let authorities: Vec<Vec<u8>> = std::iter::once(ca).chain(others).collect();
                    if !authorities.iter().any(|ca| fingerprint(ca) == token.ca_sha256) {
                        return Err(Error::JoinFailed(format!(
                            "{addr} belongs to another cluster than the token"
                        )));
                    }
                    let certificates = Certificates::first(certificate, authorities);
                    return Ok(Welcome { certificates, gossip_keys: gossip_keys.into(), peers });
                }
                Ok(Answer::No(why)) => return Err(Error::Refused(why)),
                Ok(Answer::Later(why)) => last = format!("{addr}: {why}"),
                Ok(Answer::Elsewhere(others)) => elsewhere.extend(others),
                // Whoever does not prove to belong to the token's cluster will not a second later either.
                Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                    foreign += 1;
                    last = format!(
                        "{addr} does not belong to the cluster that made the token, or that has a new authority \
                         since: make another token ({e})"
                    );
                }
                Err(e) => last = format!("{addr}: {e}"),
            }
        }
        if foreign == queue.len() && foreign > 0 {
            return Err(Error::JoinFailed(last));
        }
        if tokio::time::Instant::now() >= until {
            return Err(Error::JoinFailed(format!(
                "{last}; check --join and that the token is this cluster's"
            )));
        }
        tracing::info!(reason = %last, "not let in yet, trying again");
        queue = addrs.iter().cloned().chain(elsewhere).collect();
        queue.dedup();
        tokio::time::sleep(PAUSE).await;
    }
}

async fn exchange(
    network: &dyn Network,
    addr: &str,
    token: &JoinToken,
    question: &Question,
) -> std::io::Result<Answer> {
    let talk = async {
        let mut io = network.dial_join(addr, token.ca_sha256).await?;
        send(&mut io, question).await?;
        receive(&mut io).await
    };
    tokio::time::timeout(EXCHANGE_TIMEOUT, talk)
        .await
        .unwrap_or_else(|_| Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time")))
}

/// Answers newcomers.
pub(crate) struct Doorman {
    me: NodeId,
    view: ViewCell,
    proposer: Arc<dyn Proposer>,
    safe: Arc<Safe>,
    clock: Arc<dyn Clock>,
    places: Semaphore,
}

impl Doorman {
    /// A doorman of this node.
    pub(crate) fn new(
        me: NodeId,
        view: ViewCell,
        proposer: Arc<dyn Proposer>,
        safe: Arc<Safe>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Arc::new(Self { me, view, proposer, safe, clock, places: Semaphore::new(EXCHANGES_MAX) })
    }

    /// Answers one newcomer's stream. Turns it away when too many are there.
    pub(crate) async fn answer(&self, mut io: BoxIo) {
        let Ok(_place) = self.places.try_acquire() else { return };
        let talk = async {
            let question: Question = receive(&mut io).await?;
            let answer = self.decide(question).await;
            send(&mut io, &answer).await
        };
        if !matches!(tokio::time::timeout(EXCHANGE_TIMEOUT, talk).await, Ok(Ok(()))) {
            tracing::debug!("an exchange with a newcomer broke");
        }
        tokio::time::sleep(BREATH).await;
    }

    async fn decide(&self, question: Question) -> Answer {
        let authority = match self.safe.authority() {
            Some(Ok(authority)) => authority,
            Some(Err(e)) => return Answer::Later(e.to_string()),
            None => return Answer::Elsewhere(self.signers()),
        };
        let Question { token, secret, certificate_request, node } = question;
        let id = node.id;
        let hash = token_hash(&secret);
        if let Some(refusal) = self.not_invited(token, &hash).await {
            return refusal;
        }
        if let Some(refusal) = self.name_in_use(&node) {
            return refusal;
        }
        // The same request is always signed the same way, so that the certificate tells a newcomer that asks again from
        // one that pretends to be it.
        let certificate = match self.sign(&authority, id, &certificate_request) {
            Ok(certificate) => certificate,
            Err(e) => return Answer::No(e.to_string()),
        };
        let node = node::Node { cert_fingerprint: fingerprint(&certificate).to_vec(), ..node };
        if let Err(e) = self.proposer.propose(Command::Node(node::Command::Admit { node, token, hash })).await
        {
            return refuse(e);
        }
        let Some(Ok(gossip_keys)) = self.safe.gossip_keys() else {
            return Answer::Later("the gossip keys cannot be opened here".to_owned());
        };
        tracing::info!(node = %id, "let a node in");
        let view = self.view.load();
        let peers = view.state.nodes.rows().filter(|n| n.id != id);
        // As they are now that its row is there: whoever takes the next step waits for it.
        let trusted = rotation::authorities(&view.state);
        let trusted = trusted.iter().filter_map(|public| escrow::certificate(public).ok());
        let others = trusted.filter(|ca| ca != authority.certificate()).map(serde_bytes::ByteBuf::from);
        Answer::Welcome {
            others: others.collect(),
            certificate,
            ca: authority.certificate().to_vec(),
            gossip_keys: gossip_keys.to_vec(),
            peers: peers.map(|n| (n.id, n.cluster_addr.clone())).collect(),
        }
    }

    fn sign(&self, authority: &Authority, node: NodeId, request: &[u8]) -> Result<Vec<u8>, Error> {
        let now = self.clock.now();
        let known = self.view.peek().state.nodes.get(&node).map(|row| row.cert_fingerprint.clone());
        if let Some(known) = known {
            // It was let in just before certificates began to be good for longer.
            let before = authority.sign(node, request, &Term::first(now.saturating_sub(QUANTUM_MS)))?;
            if fingerprint(&before)[..] == known {
                return Ok(before);
            }
        }
        authority.sign(node, request, &Term::first(now))
    }

    /// Turns away who does not hold the secret of a token, before anything is written to the log for them.
    async fn not_invited(&self, token: TokenId, hash: &[u8]) -> Option<Answer> {
        let invited = || self.view.peek().state.tokens.get(&token).is_some_and(|row| row.hash == hash);
        if invited() {
            return None;
        }
        // It may have been made a moment ago, on another node.
        match self.proposer.barrier().await {
            Ok(()) if invited() => None,
            Ok(()) => Some(Answer::No(Reject::from(token::Reject::Unknown(token)).to_string())),
            Err(e) => Some(refuse(e)),
        }
    }

    /// A namesake that does not answer, or that has the newcomer's own address, may be this very machine before its disk
    /// was lost: it is waited for until its lease has run out.
    fn name_in_use(&self, node: &node::Node) -> Option<Answer> {
        let view = self.view.load();
        let namesake = view.state.node_named(&node.name).filter(|n| n.id != node.id)?;
        if namesake.standing == Standing::Lost {
            return None;
        }
        let why = node::Reject::NameTaken { name: node.name.clone(), id: namesake.id }.to_string();
        let answers =
            view.liveness.of(namesake.id) == Health::Alive && namesake.cluster_addr != node.cluster_addr;
        Some(if answers { Answer::No(why) } else { Answer::Later(why) })
    }

    fn signers(&self) -> Vec<String> {
        let view = self.view.load();
        let holders = view.state.wraps.iter().map(|(id, _)| *id).filter(|id| *id != self.me);
        holders.filter_map(|id| view.state.nodes.get(&id).map(|n| n.cluster_addr.clone())).collect()
    }
}

fn refuse(error: ProposeError) -> Answer {
    match error {
        ProposeError::Rejected(reject) => Answer::No(reject.to_string()),
        other => Answer::Later(other.to_string()),
    }
}

async fn send<T: Serialize>(io: &mut BoxIo, message: &T) -> std::io::Result<()> {
    let bytes = rmp_serde::to_vec_named(message).map_err(std::io::Error::other)?;
    io.write_u32(u32::try_from(bytes.len()).map_err(std::io::Error::other)?).await?;
    io.write_all(&bytes).await?;
    io.flush().await
}

async fn receive<T: serde::de::DeserializeOwned>(io: &mut BoxIo) -> std::io::Result<T> {
    let len = io.read_u32().await?;
    if len > MESSAGE_BYTES_MAX {
        return Err(std::io::Error::other("the message is too long"));
    }
    let mut bytes = vec![0; len as usize];
    io.read_exact(&mut bytes).await?;
    rmp_serde::from_slice(&bytes).map_err(std::io::Error::other)
}
