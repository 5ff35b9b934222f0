//! The cluster's side of the world: one copy of the tables, applied to by every proposal, and a Raft membership that does
//! what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::Service;
use actors::ports::{
    Clock, Custodian, Electorate, Entropy, Member, Members, PeerError, PeerLink, ProposeError, Proposer,
    Vault, VaultError, ViewCell,
};
use async_trait::async_trait;
use bytes::Bytes;
use domain::decide::rotation::Step;
use domain::provider::Provider;
use domain::secret::{Sealed, Secret, Wrap};
use domain::{Command, Envelope, Millis, NodeId, Reply, RequestId, View, rotation};
use tokio::time::Instant;

pub(crate) const ME: NodeId = NodeId(1);

/// The tables, and how the cluster is.
pub(crate) struct Cluster {
    pub(crate) view: ViewCell,
    pub(crate) inner: Mutex<Inner>,
    since: Instant,
    truth: Mutex<View>,
}

#[derive(Default)]
pub(crate) struct Inner {
    /// Every command proposed, refused ones too.
    pub(crate) proposed: Vec<Command>,
    /// Whether there is no leader to propose to.
    pub(crate) headless: bool,
    /// Whether this node's view lags behind the tables, without end.
    pub(crate) frozen: bool,
    /// The term this node leads in.
    pub(crate) term: Option<u64>,
    pub(crate) members: Vec<Member>,
    /// How often a proposal still panics.
    pub(crate) broken_proposals: u32,
    /// How often a step of Raft's membership still panics.
    pub(crate) broken_steps: u32,
    /// Whether drawing a random number panics.
    pub(crate) no_chance: bool,
    /// Whether provider keys can be opened.
    pub(crate) sealed: bool,
    pub(crate) services: BTreeMap<&'static str, Service>,
    draws: u64,
}

impl Cluster {
    pub(crate) fn new() -> Arc<Self> {
        let truth = View { me: ME, ..View::default() };
        let view = ViewCell::new(truth.clone());
        Arc::new(Self { view, inner: Mutex::default(), since: Instant::now(), truth: Mutex::new(truth) })
    }

    /// This node leads from now on, or nobody does.
    pub(crate) fn lead(&self, term: Option<u64>) {
        self.inner.lock().unwrap().term = term;
        self.view.update(|view| View { leader: term.map(|_| ME), ..view.clone() });
    }

    /// Applies a command as if another node had proposed it.
    pub(crate) fn apply(&self, command: Command) -> Result<Reply, domain::Reject> {
        let mut truth = self.truth.lock().unwrap();
        truth.applied += 1;
        let envelope = Envelope::new(RequestId(u128::from(truth.applied)), command);
        let envelope = Envelope { at: self.now(), ..envelope };
        let index = truth.applied;
        let outcome = truth.state.apply(index, &envelope, &mut Vec::new());
        if !self.inner.lock().unwrap().frozen {
            self.view.update(|view| View { leader: view.leader, ..truth.clone() });
        }
        outcome
    }

    /// The tables as they are, whatever this node sees.
    pub(crate) fn truth(&self) -> View {
        self.truth.lock().unwrap().clone()
    }

    /// How many commands were proposed that are of this sort.
    pub(crate) fn proposed(&self, sort: impl Fn(&Command) -> bool) -> usize {
        self.inner.lock().unwrap().proposed.iter().filter(|c| sort(c)).count()
    }
}

#[async_trait]
impl Proposer for Cluster {
    async fn propose_as(&self, _: RequestId, command: Command) -> Result<Reply, ProposeError> {
        self.propose(command).await
    }
    async fn propose(&self, command: Command) -> Result<Reply, ProposeError> {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let (headless, broken) = {
            let mut inner = self.inner.lock().unwrap();
            inner.proposed.push(command.clone());
            (inner.headless, use_up(&mut inner.broken_proposals))
        };
        assert!(!broken, "proposing is broken");
        if headless {
            let retry_after = Duration::from_secs(1);
            return Err(ProposeError::Unavailable { reason: "no leader".to_owned(), retry_after });
        }
        Ok(self.apply(command)?)
    }
    async fn barrier(&self) -> Result<(), ProposeError> {
        Ok(())
    }
}

#[async_trait]
impl PeerLink for Cluster {
    async fn ask(
        &self,
        to: NodeId,
        topic: &'static str,
        body: Bytes,
        _: Duration,
    ) -> Result<Bytes, PeerError> {
        let service = self.inner.lock().unwrap().services.get(topic).cloned();
        let service = service.filter(|_| to == ME).ok_or(PeerError::Unreachable(to))?;
        service(ME, body).await.map_err(|reason| PeerError::Refused { node: to, reason })
    }
}

#[async_trait]
impl Electorate for Cluster {
    fn leading(&self) -> Option<u64> {
        self.inner.lock().unwrap().term
    }
    fn members(&self) -> Members {
        Members { nodes: self.inner.lock().unwrap().members.clone(), joint: false }
    }
    async fn add_learner(&self, node: NodeId, addr: &str) -> Result<(), ProposeError> {
        let broken = use_up(&mut self.inner.lock().unwrap().broken_steps);
        assert!(!broken, "raft's membership is broken");
        let members = &mut self.inner.lock().unwrap().members;
        members.retain(|m| m.node != node);
        members.push(Member { node, votes: false, addr: addr.to_owned(), caught_up: true });
        Ok(())
    }
    async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), ProposeError> {
        for member in &mut self.inner.lock().unwrap().members {
            member.votes = voters.contains(&member.node);
        }
        Ok(())
    }
    async fn remove_learner(&self, node: NodeId) -> Result<(), ProposeError> {
        self.inner.lock().unwrap().members.retain(|m| m.node != node);
        Ok(())
    }
}

/// Whether there was one left to take away.
fn use_up(left: &mut u32) -> bool {
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}

fn sealed() -> Sealed {
    Sealed { nonce: vec![0; 12], bytes: vec![1], key: None }
}

#[async_trait]
impl Vault for Cluster {
    async fn seal(&self, _: &str, _: &[u8]) -> Result<Sealed, VaultError> {
        Ok(sealed())
    }
    async fn open_provider_key(&self, _: &Provider) -> Result<Option<String>, VaultError> {
        if self.inner.lock().unwrap().sealed {
            return Err(VaultError::Unavailable("no voter answers".to_owned()));
        }
        Ok(Some("provider-key".to_owned()))
    }
    async fn export_data_keys(&self, _: &[u8], _: &str) -> Result<Vec<Wrap>, VaultError> {
        Err(VaultError::NotAllowed)
    }
    async fn import_data_keys(&self, _: &[Wrap]) -> Result<Vec<Secret>, VaultError> {
        Err(VaultError::NotAllowed)
    }
}

#[async_trait]
impl Custodian for Cluster {
    async fn wrap_for(&self, node: NodeId) -> Result<Wrap, VaultError> {
        Ok(Wrap { node, ephemeral: vec![0; 32], sealed: sealed(), key: None })
    }
    async fn prepare(&self, _: &Step) -> Result<rotation::Command, VaultError> {
        Err(VaultError::NotAllowed)
    }
}

impl Clock for Cluster {
    fn now(&self) -> Millis {
        1_800_000_000_000 + self.since.elapsed().as_millis() as Millis
    }
}

impl Entropy for Cluster {
    fn fill(&self, bytes: &mut [u8]) {
        let no_chance = self.inner.lock().unwrap().no_chance;
        assert!(!no_chance, "chance is broken");
        let mut inner = self.inner.lock().unwrap();
        for byte in bytes {
            inner.draws = inner.draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (inner.draws >> 56) as u8;
        }
    }
}
