//! The loop around foca: packets, timers and commands in; packets, timers and liveness out. One task owns it all.

use std::collections::BTreeSet;

use actors::ports::Entropy;
use domain::{Health, Liveness};
use foca::{AccumulatingRuntime, Foca, NoCustomBroadcast, PostcardCodec, State};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::member::Member;
use super::post::Post;
use super::timers::Timers;
use super::{GossipConfig, OnChange, SEED_PERIOD, SEEDS_AT_A_TIME, SUSPICION_MAX, settings};

/// Packets handled in a row while timers are due: after a pause the answers that waited come before the timers that would
/// suspect their senders, but a flood must not stop time.
const BURST_MAX: usize = 64;

/// What the handle asks.
pub(super) enum Command {
    /// Replace the seeds.
    Seeds(Vec<String>),
    /// Leave the cluster and tell when that was sent.
    Leave(oneshot::Sender<()>),
}

type Swim = Foca<Member, PostcardCodec, StdRng, NoCustomBroadcast>;

/// Owner of foca.
pub(super) struct Agent {
    me: Member,
    swim: Swim,
    effects: AccumulatingRuntime<Member>,
    timers: Timers,
    outbox: mpsc::Sender<Post>,
    seeds: Vec<String>,
    next_seed: usize,
    told: Liveness,
    on_change: OnChange,
    /// Who is suspected, in which of its incarnations, since when.
    suspected: Vec<(Member, u16, Instant)>,
}

impl Agent {
    pub(super) fn new(
        config: GossipConfig,
        entropy: &dyn Entropy,
        outbox: mpsc::Sender<Post>,
        on_change: OnChange,
    ) -> Self {
        let GossipConfig { node, incarnation, addr, seeds } = config;
        let me = Member { node, life: incarnation, renewal: 0, addr };
        let mut seed = [0; 32];
        entropy.fill(&mut seed);
        let swim = Foca::new(me.clone(), settings(), StdRng::from_seed(seed), PostcardCodec);
        Self {
            me,
            swim,
            effects: AccumulatingRuntime::new(),
            timers: Timers::default(),
            outbox,
            seeds,
            next_seed: 0,
            told: Liveness::default(),
            on_change,
            suspected: Vec::new(),
        }
    }

    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut packets: mpsc::Receiver<Vec<u8>>,
    ) {
        let mut seed_tick = tokio::time::interval(SEED_PERIOD);
        seed_tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut burst = 0;
        self.publish();
        loop {
            let due = self.timers.next();
            let timers_wait = due.is_none_or(|at| at > Instant::now());
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Seeds(seeds)) => self.seeds = seeds,
                    Some(Command::Leave(done)) => return self.leave(done),
                    None => return,
                },
                packet = packets.recv(), if burst < BURST_MAX || timers_wait => {
                    let Some(packet) = packet else { return };
                    burst += 1;
                    self.handle(&packet);
                }
                () = sleep_until(due) => {
                    burst = 0;
                    self.run_due();
                }
                _ = seed_tick.tick() => {
                    self.call_seeds();
                    self.end_old_suspicions();
                }
            }
            self.carry_out();
            self.publish();
        }
    }

    fn handle(&mut self, packet: &[u8]) {
        if let Err(error) = self.swim.handle_data(packet, &mut self.effects) {
            tracing::debug!(%error, "a gossip packet was not accepted");
        }
    }

    fn run_due(&mut self) {
        let now = Instant::now();
        while let Some(timer) = self.timers.take_due(now) {
            if let Err(error) = self.swim.handle_timer(timer, &mut self.effects) {
                tracing::debug!(%error, "a gossip timer came out of order");
            }
            self.carry_out();
        }
    }

    /// Calls a few of the seeds that are not known as alive, in turn: all islands of a cluster find each other that way.
    fn call_seeds(&mut self) {
        let alive: BTreeSet<&str> =
            self.swim.iter_members().map(|member| member.id().addr.as_str()).collect();
        let missing: Vec<String> = self
            .seeds
            .iter()
            .filter(|seed| **seed != self.me.addr && !alive.contains(seed.as_str()))
            .cloned()
            .collect();
        for offset in 0..missing.len().min(SEEDS_AT_A_TIME) {
            let addr = missing[(self.next_seed + offset) % missing.len()].clone();
            let _ = self.swim.announce(Member::anyone_at(addr), &mut self.effects);
        }
        self.next_seed = self.next_seed.wrapping_add(SEEDS_AT_A_TIME);
    }

    /// A suspicion ends by its own timer on the node that began it. When that node was given up itself or was alone meanwhile,
    /// foca forgets its timers, and nobody would ever take the suspicion back. Giving the suspect up makes it speak: it
    /// comes back under a new name.
    fn end_old_suspicions(&mut self) {
        let now = Instant::now();
        let suspects: Vec<_> = self
            .swim
            .iter_membership_state()
            .filter(|member| member.state() == State::Suspect)
            .cloned()
            .collect();
        self.suspected.retain(|(id, incarnation, _)| {
            suspects.iter().any(|member| member.id() == id && member.incarnation() == *incarnation)
        });
        for member in suspects {
            let known =
                self.suspected.iter().find(|(id, at, _)| id == member.id() && *at == member.incarnation());
            match known {
                Some((.., since)) if *since + SUSPICION_MAX <= now => {
                    let down = foca::Member::new(member.id().clone(), member.incarnation(), State::Down);
                    if let Err(error) = self.swim.apply_many(std::iter::once(down), true, &mut self.effects) {
                        tracing::debug!(%error, "an old suspicion could not be ended");
                    }
                }
                Some(_) => {}
                None => self.suspected.push((member.id().clone(), member.incarnation(), now)),
            }
        }
    }

    fn leave(mut self, done: oneshot::Sender<()>) {
        if let Err(error) = self.swim.leave_cluster(&mut self.effects) {
            tracing::debug!(%error, "the others could not be told of leaving");
        }
        self.carry_out();
        let _ = self.outbox.try_send(Post::Flush(done));
    }

    fn carry_out(&mut self) {
        while let Some((to, clear)) = self.effects.to_send() {
            // Full means that the network is stuck: probes will fail, which is then the truth.
            let _ = self.outbox.try_send(Post::Packet { addr: to.addr, clear });
        }
        while let Some((after, timer)) = self.effects.to_schedule() {
            self.timers.set(timer, after);
        }
        // Notifications do not tell of suspects; the whole state is looked at instead.
        while self.effects.to_notify().is_some() {}
    }

    fn publish(&mut self) {
        let others = self.swim.iter_membership_state().map(|member| {
            let health = match member.state() {
                State::Alive => Health::Alive,
                State::Suspect => Health::Suspect,
                State::Down => Health::Down,
            };
            (member.id().node, (health, member.id().life))
        });
        let mut liveness = Liveness { nodes: others.collect() };
        liveness.nodes.insert(self.me.node, (Health::Alive, self.me.life));
        if liveness != self.told {
            self.told = liveness;
            (self.on_change)(self.told.clone());
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
