//! Keeps what this node has of the cluster's keys up to date: the gossip keys, the authorities it trusts, its own
//! certificate. Takes in what the tables say and tells the cluster so; never decides when a step is taken. New streams use
//! the new certificate at once, and those under way go on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actors::ports::{Clock, Entropy, Proposer, ViewCell};
use domain::rotation::{self, Certificate, Holding, Kind, LEVEL};
use domain::{Command, Epoch, Millis, NodeId, View};
use wire::net::{Identity, Network};

use crate::authority::{self, fingerprint};
use crate::env::Files;
use crate::escrow;
use crate::follow::GossipCell;
use crate::gossip_keys;
use crate::identity::{self, Certificates, NodeKey};
use crate::ledger::Ledger;
use crate::vault::Safe;

/// How often it looks whether the certificate runs out, without any change.
const TICK: Duration = Duration::from_secs(60);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Changes are gathered for this long.
const GATHER: Duration = Duration::from_millis(50);

/// The certificates this node presents and trusts, as they are now.
#[derive(Clone)]
pub(crate) struct Badge(Arc<Mutex<Arc<Certificates>>>);

impl Badge {
    /// Of these.
    pub(crate) fn new(certificates: Certificates) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(certificates))))
    }

    /// As they are now.
    pub(crate) fn get(&self) -> Arc<Certificates> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, certificates: Certificates) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(certificates);
    }
}

/// The node as its peers are to see it.
pub(crate) fn identity(node: NodeId, certificates: &Certificates, key: &NodeKey) -> Identity {
    Identity {
        node,
        certificate: certificates.node.clone(),
        key: key.certificate_key().to_vec(),
        authorities: certificates.authorities.clone(),
    }
}

/// What a keeper works with.
pub(crate) struct Keeper {
    pub(crate) me: NodeId,
    pub(crate) key: NodeKey,
    pub(crate) badge: Badge,
    pub(crate) view: ViewCell,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) safe: Arc<Safe>,
    pub(crate) gossip: GossipCell,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) network: Arc<dyn Network>,
}

/// What was taken in since the start; `None` where nothing was looked at yet.
#[derive(Default)]
struct Taken {
    gossip: Option<Epoch>,
    authority: Option<Epoch>,
    renewed: Option<Epoch>,
    not_after: Millis,
}

impl Keeper {
    /// Keeps going until it is dropped.
    pub(crate) async fn run(self) {
        let mut changes = self.view.watch();
        let mut taken = Taken::default();
        loop {
            match tokio::time::timeout(TICK, changes.changed()).await {
                Ok(Err(_)) => return,
                Ok(Ok(())) => tokio::time::sleep(GATHER).await,
                Err(_) => {}
            }
            if let Err(reason) = self.look(&mut taken).await {
                tracing::info!(reason, "the cluster's keys cannot be brought up to date yet");
                tokio::time::sleep(PAUSE).await;
                changes.mark_changed();
            }
        }
    }

    async fn look(&self, taken: &mut Taken) -> Result<(), String> {
        let view = self.view.load();
        if view.state.level() < LEVEL || !view.state.nodes.contains(&self.me) {
            return Ok(());
        }
        // One that fails must not keep the other back; what was done is told in any case.
        let gossip = self.take_gossip_keys(&view, taken).await;
        let certificates = self.take_certificates(&view, taken).await;
        self.tell(&view, taken).await?;
        gossip.and(certificates)
    }

    async fn take_gossip_keys(&self, view: &View, taken: &mut Taken) -> Result<(), String> {
        let row = view.state.rotation(Kind::Gossip);
        let version = row.map_or(0, |row| row.version);
        if taken.gossip == Some(version) {
            return Ok(());
        }
        if let Some(row) = row {
            let bytes = self.safe.ring(version).await.map_err(|e| e.to_string())?;
            let ring = gossip_keys::ring(&bytes, row.current.as_deref()).map_err(|e| e.to_string())?;
            let sealed =
                gossip_keys::to_file(&bytes, &self.key, &*self.entropy).map_err(|e| e.to_string())?;
            identity::put_gossip_keys(&*self.files, &sealed).await.map_err(|e| e.to_string())?;
            if let Some(gossip) = &*self.gossip.lock().await {
                gossip.set_keys(ring);
            }
            tracing::info!(version, "gossip uses the keys of this version");
        }
        taken.gossip = Some(version);
        Ok(())
    }

    async fn take_certificates(&self, view: &View, taken: &mut Taken) -> Result<(), String> {
        let version = view.state.rotation(Kind::Authority).map_or(0, |row| row.version);
        let asked = view.state.holdings.get(&self.me).map_or((0, 0), |row| (row.renew, row.renewed));
        let renewed = *taken.renewed.get_or_insert(asked.1);
        let now = self.clock.now();
        let due = authority::is_due(taken.not_after, now);
        if taken.authority == Some(version) && asked.0 <= renewed && !due {
            return Ok(());
        }
        let authorities = rotation::authorities(&view.state);
        let authorities: Result<Vec<Vec<u8>>, _> =
            authorities.iter().map(|a| escrow::certificate(a)).collect();
        let authorities = authorities.map_err(|e| e.to_string())?;
        let have = self.badge.get();
        let not_after = authority::not_after(&have.node).map_err(|e| e.to_string())?;
        let signer = authorities.first().ok_or("there is no authority yet")?.clone();
        let fresh = have.authorities.first() == Some(&signer)
            && asked.0 <= renewed
            && !authority::is_due(not_after, now);
        let node = if fresh { have.node.clone() } else { self.certificate(&signer, version, now).await? };
        let next = have.followed_by(node, authorities);
        if next != *have {
            identity::put_certificates(&*self.files, &next).await.map_err(|e| e.to_string())?;
            self.network.assume(identity(self.me, &next, &self.key));
            tracing::info!(version, renewed = !fresh, "the node's certificates are those of this version");
            self.badge.put(next);
        }
        taken.not_after = authority::not_after(&self.badge.get().node).map_err(|e| e.to_string())?;
        (taken.authority, taken.renewed) = (Some(version), Some(asked.0.max(renewed)));
        Ok(())
    }

    async fn certificate(&self, signer: &[u8], version: Epoch, now: Millis) -> Result<Vec<u8>, String> {
        let request = authority::request(self.me, &self.key.certificate_key()).map_err(|e| e.to_string())?;
        let signed = self.safe.certificate(&request, authority::renewed_until(now), version).await;
        let signed = signed.map_err(|e| e.to_string())?;
        if signed.authority != signer {
            return Err("whoever signs has gone on to another authority, or not yet to this one".to_owned());
        }
        Ok(signed.certificate)
    }

    /// Tells the cluster what this node has, if it does not know.
    async fn tell(&self, view: &View, taken: &Taken) -> Result<(), String> {
        let row = view.state.holdings.get(&self.me);
        let mine = Holding {
            node: self.me,
            gossip: taken.gossip.unwrap_or(0),
            authority: taken.authority.unwrap_or(0),
            certificate: Some(Certificate {
                fingerprint: fingerprint(&self.badge.get().node).to_vec(),
                not_after: taken.not_after,
            }),
            renew: row.map_or(0, |row| row.renew),
            renewed: taken.renewed.unwrap_or(0),
        };
        if taken.not_after == 0 || row.is_some_and(|row| **row == mine) {
            return Ok(());
        }
        let told = self.ledger.propose(Command::Rotation(rotation::Command::Hold(mine))).await;
        told.map(drop).map_err(|e| e.to_string())
    }
}
