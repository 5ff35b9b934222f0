//! Who is alive: foca's SWIM over sealed datagrams. The runtime starts one per node and publishes what it tells into the
//! [`domain::View`]. It suspects and gives up; what follows from that is decided elsewhere.

mod agent;
mod member;
mod post;
mod ring;
mod timers;

use std::num::{NonZeroU8, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actors::ports::Entropy;
use domain::{Incarnation, Liveness, NodeId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::net::Network;
use agent::{Agent, Command};
pub use ring::{KEY_LEN, KeyRing, KeyRingError};

/// How often each node probes another, and so how long the other has to answer, directly or through others. Measured over
/// 200 seeds until the last node suspected a killed one: 3 nodes 0.4 s (median), 0.7 s (p90), 1.0 s (longest); 9 nodes
/// 0.6, 0.9 and 1.7 s.
pub const PROBE_PERIOD: Duration = Duration::from_millis(250);
/// How long a direct answer may take before others are asked to probe.
pub const PROBE_RTT: Duration = Duration::from_millis(100);
/// How long a suspect may defend itself.
pub const SUSPECT_TO_DOWN: Duration = Duration::from_millis(1600);
/// How long a suspicion may last that was neither taken back nor led to anything.
const SUSPICION_MAX: Duration = Duration::from_secs(5);
/// How often news are spread beyond what rides on probes.
const GOSSIP_PERIOD: Duration = Duration::from_millis(100);
/// How often nodes given up are called again, so that both sides of a healed partition meet.
const DOWN_PERIOD: Duration = Duration::from_secs(2);
/// How often a member is asked for the whole list.
const LIST_PERIOD: Duration = Duration::from_secs(15);
/// How long a node given up is remembered.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// How often seeds that are not known as alive are called.
const SEED_PERIOD: Duration = Duration::from_secs(1);
/// Seeds called at a time.
const SEEDS_AT_A_TIME: usize = 4;
/// The largest packet before sealing, in bytes: fits any path's MTU.
const PACKET_BYTES_MAX: usize = 1200;
/// Packets waiting to be sent or handled.
const WAITING_MAX: usize = 256;
/// How long a graceful leave may take.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(500);

/// Who this node is in gossip.
#[derive(Debug, Clone)]
pub struct GossipConfig {
    /// Its id.
    pub node: NodeId,
    /// Its life; must grow with each start.
    pub incarnation: Incarnation,
    /// Where peers reach its cluster port, `host:port`.
    pub addr: String,
    /// Addresses of peers, as far as known.
    pub seeds: Vec<String>,
}

/// Told about every change of liveness, on gossip's task: it must not block.
pub type OnChange = Arc<dyn Fn(Liveness) + Send + Sync>;

/// Starts gossip.
pub struct Gossip;

impl Gossip {
    /// Starts gossiping on the current tokio runtime. `on_change` first tells of this node alone.
    pub fn start(
        config: GossipConfig,
        network: Arc<dyn Network>,
        entropy: Arc<dyn Entropy>,
        keys: KeyRing,
        on_change: OnChange,
    ) -> GossipHandle {
        let stop = CancellationToken::new();
        let dropped = Arc::new(AtomicU64::new(0));
        let (keys, ring) = watch::channel(keys);
        let (commands, inbox) = mpsc::channel(WAITING_MAX);
        let (outbox, to_send) = mpsc::channel(WAITING_MAX);
        let (arrived, packets) = mpsc::channel(WAITING_MAX);
        let sender = post::send(network.clone(), entropy.clone(), ring.clone(), to_send);
        tokio::spawn(stop.clone().run_until_cancelled_owned(sender));
        let receiver = post::receive(network, ring, arrived, dropped.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(receiver));
        let agent = Agent::new(config, &*entropy, outbox, on_change);
        tokio::spawn(stop.clone().run_until_cancelled_owned(agent.run(inbox, packets)));
        GossipHandle { commands, keys, dropped, stop: stop.drop_guard() }
    }
}

/// A running gossip; it ends when this is dropped.
pub struct GossipHandle {
    commands: mpsc::Sender<Command>,
    keys: watch::Sender<KeyRing>,
    dropped: Arc<AtomicU64>,
    stop: DropGuard,
}

impl GossipHandle {
    /// Tells the others that this node goes on purpose, then ends gossip. Takes half a second at most.
    pub async fn leave(self) {
        let (done, told) = oneshot::channel();
        let leave = async {
            if self.commands.send(Command::Leave(done)).await.is_ok() {
                let _ = told.await;
            }
        };
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, leave).await;
    }

    /// Replaces the addresses that are called when this node is alone or does not hear from them.
    pub async fn set_seeds(&self, seeds: Vec<String>) {
        let _ = self.commands.send(Command::Seeds(seeds)).await;
    }

    /// Replaces the keys.
    pub fn set_keys(&self, keys: KeyRing) {
        self.keys.send_replace(keys);
    }

    /// What tells the keys in use from others: the one that seals first.
    pub fn marks(&self) -> Vec<String> {
        self.keys.borrow().marks().to_vec()
    }

    /// Packets dropped so far: sealed under a key that is not on the ring, damaged, or more than could be handled.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Ends gossip at once, without a word to the others.
    pub fn shutdown(self) {
        drop(self.stop);
    }
}

/// foca's settings. Its own `new_lan` probes once a second, which is too slow for routing.
fn settings() -> foca::Config {
    let periodic = |frequency, num_members| Some(foca::PeriodicParams { frequency, num_members });
    foca::Config {
        probe_period: PROBE_PERIOD,
        probe_rtt: PROBE_RTT,
        num_indirect_probes: const { NonZeroUsize::new(3).unwrap() },
        max_transmissions: const { NonZeroU8::new(10).unwrap() },
        suspect_to_down_after: SUSPECT_TO_DOWN,
        remove_down_after: Some(FORGET_AFTER),
        max_packet_size: const { NonZeroUsize::new(PACKET_BYTES_MAX).unwrap() },
        notify_down_members: true,
        periodic_announce: periodic(LIST_PERIOD, const { NonZeroUsize::new(1).unwrap() }),
        periodic_announce_to_down_members: periodic(DOWN_PERIOD, const { NonZeroUsize::new(2).unwrap() }),
        periodic_gossip: periodic(GOSSIP_PERIOD, const { NonZeroUsize::new(3).unwrap() }),
    }
}
