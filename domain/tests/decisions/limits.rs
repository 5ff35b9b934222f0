//! Keys' limits: whatever happens to nodes, commands and answers, no window lets more through than it has; and what nodes
//! do not use comes back.

use std::collections::BTreeMap;

use domain::decide::limiter::{Answer, Hold, Need, Pool, Tokens, Used, room, tokens_used};
use domain::key::{self, Scope};
use domain::limit::{self, Ask, Counter, LeaseId, Limit, Unit};
use domain::limits::ASKS_MAX;
use domain::price::{self, Rates};
use domain::restore::{self, Fate, fate};
use domain::{Command, Incarnation, KeyId, NodeId, Reject, Reply};
use proptest::prelude::*;

use crate::world::World;

const NODES: u64 = 3;
const START: u64 = 1_000_000_000;

fn limit(text: &str) -> Limit {
    text.parse().unwrap()
}

fn create(limits: &[&str]) -> Command {
    let limits = limits.iter().map(|text| limit(text)).collect();
    Command::Key(key::Command::create("k".into(), vec![7; 32], "sk".into(), vec![Scope::Inference], limits))
}

/// A node's side of one limit.
struct Side {
    id: NodeId,
    life: u64,
    seq: u64,
    pool: Pool,
    /// How far its monotonic clock is ahead of others'.
    skew: u64,
    holds: Vec<(Hold, usize)>,
    /// Calls that wait, by what they need.
    waiting: Vec<u64>,
}

/// A command that was sent.
struct Sent {
    node: usize,
    life: u64,
    command: Command,
}

/// A cluster that counts one limit, and what calls were let through.
struct Cluster {
    world: World,
    key: KeyId,
    limit: Limit,
    sides: Vec<Side>,
    late: Vec<Sent>,
    /// Each call's window and what it counts as.
    calls: Vec<(u64, u64)>,
    /// What passed in truth, and how much of it the leader's clock lags behind.
    passed: u64,
    lag: u64,
}

impl Cluster {
    fn new(text: &str) -> Self {
        let mut world = World::with_nodes(&[("a", 0), ("b", 0), ("c", 0)]);
        world.now = START;
        let Ok(Reply::Key(key)) = world.apply(create(&[text])) else { panic!() };
        let limit = limit(text);
        let side = |id| Side {
            id: NodeId(id),
            life: 1,
            seq: 0,
            pool: Pool::new(limit, 0),
            skew: id * 7_000,
            holds: Vec::new(),
            waiting: Vec::new(),
        };
        let sides = (1..=NODES).map(side).collect();
        Self { world, key, limit, sides, late: Vec::new(), calls: Vec::new(), passed: 0, lag: 0 }
    }

    fn now(&self, node: usize) -> u64 {
        self.passed + self.sides[node].skew
    }

    fn pass(&mut self, ms: u64) {
        self.passed += ms;
        self.world.now = (START + self.passed).saturating_sub(self.lag);
    }

    /// A call of so many units; one that finds too little waits.
    fn call(&mut self, node: usize, units: u64) -> bool {
        let now = self.now(node);
        let side = &mut self.sides[node];
        match side.pool.take(units, now) {
            Some(hold) => {
                self.calls.push((hold.window(), units));
                side.holds.push((hold, self.calls.len() - 1));
                true
            }
            None => {
                side.pool.wait(units);
                side.waiting.push(units);
                false
            }
        }
    }

    /// The call that waits longest gives up.
    fn give_up(&mut self, node: usize) {
        let side = &mut self.sides[node];
        if !side.waiting.is_empty() {
            let units = side.waiting.remove(0);
            side.pool.unwait(units);
        }
    }

    /// Calls that wait try again.
    fn resume(&mut self, node: usize) {
        for units in std::mem::take(&mut self.sides[node].waiting) {
            self.sides[node].pool.unwait(units);
            self.call(node, units);
        }
    }

    /// The oldest call of a node is over.
    fn settle(&mut self, node: usize, used: u64) {
        let side = &mut self.sides[node];
        if side.holds.is_empty() {
            return;
        }
        let (hold, call) = side.holds.remove(0);
        side.pool.settle(hold, used);
        // What it used beyond what it took is told apart: that much more is the published bound.
        self.calls[call].1 = used.min(hold.units);
    }

    fn send(&mut self, node: usize) -> Option<Sent> {
        let (now, nodes) = (self.now(node), NODES);
        let counter = self.limit.counter(self.key);
        let left =
            room(self.world.state.limit_counters.get(&counter).map(|c| &**c), &self.limit, self.world.now);
        let side = &mut self.sides[node];
        let ask = side.pool.ask(self.key, side.seq + 1, left, now, nodes)?;
        side.seq += 1;
        let (life, seq, asks) = (side.life, side.seq, vec![ask]);
        let command = limit::Command::Refill { node: side.id, incarnation: Incarnation(life), seq, asks };
        Some(Sent { node, life, command: Command::Limit(command) })
    }

    fn apply(&mut self, sent: &Sent) -> bool {
        self.world.apply(sent.command.clone()).is_ok()
    }

    /// The node hears that its command was applied.
    fn answer(&mut self, sent: &Sent) {
        if self.sides[sent.node].life == sent.life {
            self.see(sent.node, true);
        }
    }

    fn see(&mut self, node: usize, applied: bool) {
        let side = &mut self.sides[node];
        let id = LeaseId { counter: self.limit.counter(self.key), node: side.id };
        let lease = self.world.state.limit_leases.get(&id);
        let lease = lease.filter(|lease| lease.incarnation == Incarnation(side.life));
        side.pool.seen(lease.map(|l| &**l), applied);
        self.resume(node);
    }

    /// A round whose answer arrives.
    fn round(&mut self, node: usize) {
        if let Some(sent) = self.send(node) {
            assert!(self.apply(&sent));
            self.answer(&sent);
        }
    }

    fn crash(&mut self, node: usize) {
        let now = self.now(node);
        let side = &mut self.sides[node];
        side.life += 1;
        (side.seq, side.pool) = (0, Pool::new(self.limit, now));
        side.holds.clear();
        side.waiting.clear();
        let (id, life) = (side.id, Incarnation(side.life));
        self.world.register(id, life);
    }

    fn counted(&self) -> BTreeMap<u64, u64> {
        let mut windows = BTreeMap::new();
        for (window, units) in &self.calls {
            *windows.entry(*window).or_default() += units;
        }
        windows
    }

    fn given(&self) -> u64 {
        self.world.state.limit_counters.get(&self.limit.counter(self.key)).map_or(0, |c| c.given)
    }
}

/// What happens next; numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Call {
        node: usize,
        units: u64,
    },
    GiveUp {
        node: usize,
    },
    /// The node looks what became of a command whose answer was lost.
    CatchUp {
        node: usize,
    },
    Settle {
        node: usize,
        used: u64,
    },
    Round {
        node: usize,
    },
    /// The command is applied, its answer is lost.
    Deaf {
        node: usize,
    },
    /// The command is lost, or comes late, or twice.
    Late {
        node: usize,
    },
    Arrive {
        which: usize,
        again: bool,
    },
    Crash {
        node: usize,
    },
    Pass {
        ms: u64,
    },
    /// Another leader, whose clock is that far behind.
    Lag {
        ms: u64,
    },
}

fn a_step() -> impl Strategy<Value = Step> {
    let node = 0..NODES as usize;
    prop_oneof![
        8 => (node.clone(), prop_oneof![1..6u64, 1..300u64]).prop_map(|(node, units)| Step::Call { node, units }),
        1 => node.clone().prop_map(|node| Step::GiveUp { node }),
        2 => node.clone().prop_map(|node| Step::CatchUp { node }),
        4 => (node.clone(), 0..400u64).prop_map(|(node, used)| Step::Settle { node, used }),
        6 => node.clone().prop_map(|node| Step::Round { node }),
        2 => node.clone().prop_map(|node| Step::Deaf { node }),
        2 => node.clone().prop_map(|node| Step::Late { node }),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, again)| Step::Arrive { which, again }),
        1 => node.prop_map(|node| Step::Crash { node }),
        3 => (1..3_000u64).prop_map(|ms| Step::Pass { ms }),
        1 => (0..5_000u64).prop_map(|ms| Step::Lag { ms }),
    ]
}

fn run(cluster: &mut Cluster, step: Step) {
    match step {
        Step::Call { node, units } => drop(cluster.call(node, units)),
        Step::GiveUp { node } => cluster.give_up(node),
        Step::CatchUp { node } => cluster.see(node, false),
        Step::Settle { node, used } => cluster.settle(node, used),
        Step::Round { node } => cluster.round(node),
        Step::Deaf { node } => {
            if let Some(sent) = cluster.send(node) {
                cluster.apply(&sent);
            }
        }
        Step::Late { node } => {
            let sent = cluster.send(node);
            cluster.late.extend(sent);
        }
        Step::Arrive { which, again } => {
            if !cluster.late.is_empty() {
                let sent = cluster.late.remove(which % cluster.late.len());
                cluster.apply(&sent);
                if again {
                    cluster.late.push(sent);
                }
            }
        }
        Step::Crash { node } => cluster.crash(node),
        Step::Pass { ms } => cluster.pass(ms),
        Step::Lag { ms } => {
            cluster.lag = ms;
            cluster.pass(0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, ..ProptestConfig::default() })]

    #[test]
    fn no_window_lets_more_through_than_it_has(
        amount in prop_oneof![1..40u64, 100..2_000u64],
        window in 1..8u64,
        steps in proptest::collection::vec(a_step(), 1..200),
    ) {
        let mut cluster = Cluster::new(&format!("{amount}tok/{window}s"));
        for step in steps {
            run(&mut cluster, step.clone());
            for (window, counted) in cluster.counted() {
                prop_assert!(counted <= amount, "{counted} of {amount} in {window} after {step:?}");
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_nodes_do_not_use_comes_back_when_they_rest(
        steps in proptest::collection::vec((0..NODES as usize, 1..20u64, 0..30u64), 1..60),
    ) {
        let mut cluster = Cluster::new("1000tok/31d");
        for (node, units, used) in steps {
            if !cluster.call(node, units) {
                cluster.round(node);
                prop_assert!(cluster.sides[node].waiting.is_empty());
            }
            cluster.settle(node, used.min(units));
            cluster.pass(50);
            cluster.round(node);
        }
        let used: u64 = cluster.calls.iter().map(|(_, units)| units).sum();
        cluster.pass(5_000);
        for node in 0..cluster.sides.len() {
            cluster.round(node);
        }
        prop_assert_eq!(cluster.given(), used);
        prop_assert!(cluster.world.state.limit_leases.is_empty());
    }

    #[test]
    fn a_node_alone_gets_all_of_a_window(amount in 1..500u64) {
        let mut cluster = Cluster::new(&format!("{amount}req/1h"));
        for _ in 0..amount * 2 {
            if !cluster.call(0, 1) {
                cluster.round(0);
            }
        }
        prop_assert_eq!(cluster.calls.len() as u64, amount);
    }
}

#[test]
fn a_node_that_died_is_counted_until_its_window_ends() {
    let mut cluster = Cluster::new("100req/10s");
    assert!(!cluster.call(0, 1));
    cluster.round(0);
    let given = cluster.given();
    assert!(given >= 1);
    cluster.crash(0);
    assert_eq!(cluster.given(), given);
    cluster.pass(10_000);
    cluster.call(1, 1);
    cluster.round(1);
    assert!(cluster.given() <= given, "the new window begins with nothing");
}

/// A node with ten of ten, of which it has used two and hands the rest back.
fn returning() -> (Cluster, Sent) {
    let mut cluster = Cluster::new("10tok/1h");
    cluster.call(0, 10);
    cluster.round(0);
    cluster.settle(0, 2);
    cluster.pass(5_000);
    let sent = cluster.send(0).unwrap();
    (cluster, sent)
}

#[test]
fn what_is_on_its_way_back_cannot_be_taken() {
    let (mut cluster, sent) = returning();
    assert!(!cluster.call(0, 1));
    assert!(cluster.apply(&sent));
    assert_eq!(cluster.given(), 2);
    cluster.call(1, 8);
    cluster.round(1);
    assert_eq!(cluster.counted()[&(START - START % 3_600_000)], 10);
}

#[test]
fn a_command_that_comes_after_its_successor_changes_nothing() {
    let (mut cluster, sent) = returning();
    cluster.call(0, 8);
    cluster.round(0);
    assert!(cluster.apply(&sent));
    assert_eq!(cluster.given(), 10);
    cluster.call(1, 1);
    cluster.round(1);
    assert_eq!(cluster.counted()[&(START - START % 3_600_000)], 10);
}

#[test]
fn what_an_answer_takes_beyond_its_reserve_is_paid_by_what_comes_next() {
    let mut cluster = Cluster::new("100tok/10s");
    cluster.call(0, 60);
    cluster.round(0);
    assert_eq!(cluster.calls, [(START, 60)]);
    cluster.settle(0, 250);
    cluster.round(0);
    assert_eq!(cluster.given(), 250);
    for (passed, left) in [(10_000, 0), (20_000, 50), (30_000, 100)] {
        cluster.pass(10_000);
        let counter = cluster.world.state.limit_counters.get(&cluster.limit.counter(cluster.key)).cloned();
        assert_eq!(room(counter.as_deref(), &cluster.limit, cluster.world.now), left, "after {passed} ms");
    }
}

#[test]
fn calls_that_wait_come_before_what_nodes_like_to_have() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0)]);
    let Ok(Reply::Key(key)) = world.apply(create(&["10req/1h"])) else { panic!() };
    let counter = limit("10req/1h").counter(key);
    let ask =
        |need, least, spare| Ask { counter, window: 0, used: 0, over: 0, need, least, spare, done: false };
    let mut refill = |node, seq, ask| {
        let (node, incarnation) = (NodeId(node), Incarnation(1));
        let command = limit::Command::Refill { node, incarnation, seq, asks: vec![ask] };
        world.apply(Command::Limit(command)).unwrap();
        world.state.limit_leases.get(&LeaseId { counter, node }).unwrap().granted
    };
    assert_eq!(refill(1, 1, ask(2, 1, 100)), 2 + 4, "half of what is left at most, for what is only liked");
    assert_eq!(refill(2, 1, ask(5, 5, 0)), 0, "what no call can go on with is not given");
    assert_eq!(refill(2, 2, ask(4, 1, 9)), 4);
}

#[test]
fn a_life_that_is_over_gets_nothing_and_changes_nothing() {
    let mut cluster = Cluster::new("100req/1h");
    cluster.call(0, 1);
    let sent = cluster.send(0).unwrap();
    cluster.crash(0);
    assert_eq!(cluster.world.apply(sent.command), Err(Reject::Limit(limit::Reject::Stale(NodeId(1)))));
    assert_eq!(cluster.given(), 0);
}

#[test]
fn limits_belong_to_the_key_and_go_with_it() {
    let mut world = World::with_nodes(&[("a", 0)]);
    let Ok(Reply::Key(id)) = world.apply(create(&["10req/1m", "100tok/1h"])) else { panic!() };
    let limits = world.state.keys.get(&id).unwrap().limits.clone();
    let asks = limits.iter().map(|limit| Ask {
        counter: limit.counter(id),
        window: 0,
        used: 0,
        over: 0,
        need: 1,
        least: 1,
        spare: 0,
        done: false,
    });
    let asks: Vec<Ask> = asks.collect();
    let refill =
        |seq, asks| limit::Command::Refill { node: NodeId(1), incarnation: Incarnation(1), seq, asks };
    let before = world.state.clone();
    world.apply_as(domain::RequestId(77), Command::Limit(refill(1, asks.clone()))).unwrap();
    assert_eq!(world.state.outcome(&domain::RequestId(77)), None, "clients' retries are not crowded out");
    assert_eq!(before.limit_counters.len() + 2, world.state.limit_counters.len());
    let set = |limits| Command::Key(key::Command::SetLimits { id, limits });
    world.apply(set(vec![limit("5req/1m")])).unwrap();
    let left: Vec<Counter> = world.state.limit_counters.rows().map(|c| **c).collect();
    assert_eq!(left.iter().map(|c| c.given).collect::<Vec<_>>(), [1], "another amount goes on counting");
    assert_eq!(world.state.limit_leases.len(), 1);
    world.apply(Command::Limit(refill(2, asks.clone()))).unwrap();
    assert_eq!(world.state.limit_counters.len(), 1, "a limit that is no more is not counted");
    world.apply(Command::Key(key::Command::Revoke(id))).unwrap();
    assert!(world.state.limit_counters.is_empty() && world.state.limit_leases.is_empty());
    assert!(world.rows.keys().all(|key| ![15, 16].contains(&key[0])));
    let many = vec![asks[0]; ASKS_MAX + 1];
    let refused = world.apply(Command::Limit(refill(3, many)));
    assert_eq!(refused, Err(Reject::Limit(limit::Reject::TooMany(ASKS_MAX + 1))));
}

#[test]
fn a_key_with_limits_takes_a_new_level_and_one_without_does_not() {
    assert_eq!(create(&[]).level(), 1);
    assert_eq!(create(&["1req/1s"]).level(), limit::LEVEL);
    assert_eq!(create(&["1req/1s", "1money/1s"]).level(), price::LEVEL);
    assert_eq!((fate(15), fate(16)), (Some(Fate::Left), Some(Fate::Left)));
    let mut world = World::with_nodes(&[("a", 0)]);
    let refused = world.apply(create(&["1req/1m", "2req/1m"])).unwrap_err().to_string();
    assert!(refused.contains("limited twice"), "{refused}");
    let none = Limit { unit: Unit::Tokens, amount: 0, window_ms: 1_000 };
    let set = key::Command::SetLimits { id: KeyId(1), limits: vec![none] };
    assert!(matches!(world.apply(Command::Key(set)), Err(Reject::Key(key::Reject::Unknown(_)))));
}

#[test]
fn tokens_are_what_was_told_or_what_passed_or_what_was_reserved() {
    let tokens = |prompt, completion| Tokens { prompt, completion };
    for (told, answer, used) in [
        (Some(tokens(4, 3)), Answer::Parts(3), Some(tokens(4, 3))),
        (None, Answer::None, Some(tokens(0, 0))),
        (None, Answer::Parts(3), Some(tokens(10, 3))),
        (None, Answer::Whole, None),
    ] {
        assert_eq!(tokens_used(told, answer, 10), used);
    }
}

#[test]
fn a_call_takes_of_a_limit_what_it_may_use_and_no_more_than_a_whole_window() {
    let rates = Rates { input: 1_000_000, output: 2_000_000 };
    let need = Need::new(10, Some(20), rates);
    for (text, reserved, too_large) in [
        ("5req/1h", 1, None),
        ("100tok/1h", 30, None),
        ("0.0001money/1h", 50, None),
        ("20tok/1h", 20, Some(30)),
        ("0.00004money/1h", 40, Some(50)),
    ] {
        let limit = limit(text);
        assert_eq!((need.reserve(&limit), need.too_large(&limit)), (reserved, too_large), "{text}");
    }
    // A client that does not say how long the answer may be takes what there is.
    let open = Need::new(10, None, rates);
    let (reserved, too_large) = (open.reserve(&limit("20tok/1h")), open.too_large(&limit("20tok/1h")));
    assert_eq!((reserved, too_large), (20, None));
    let used = Used::new(Tokens { prompt: 10, completion: 5 }, rates);
    assert_eq!(Unit::ALL.map(|unit| used.of(unit)), [1, 15, 20]);
}

#[test]
fn prices_are_kept_and_go_into_backups() {
    let mut world = World::with_nodes(&[("a", 0)]);
    let rates = Rates { input: 150_000, output: 600_000 };
    let set = |model: &str, rates| Command::Price(price::Command::Set { model: model.into(), rates });
    let remove = || Command::Price(price::Command::Remove("org/m".into()));
    world.apply(set("org/m", rates)).unwrap();
    assert_eq!(world.state.prices.get(&"org/m".to_owned()).unwrap().rates, rates);
    let row = restore::page(&world.state, &[], 1 << 20).pop().unwrap();
    assert_eq!(fate(row.key[0]), Some(Fate::Kept("prices")));
    let rows = restore::Command::Rows { backup: "b".into(), rows: vec![row] };
    assert_eq!(Command::Restore(rows).level(), price::LEVEL, "older nodes know no such row");
    let key = create(&["1money/1d"]);
    let plain = create(&[]);
    for (command, level) in [(&key, price::LEVEL), (&plain, 1), (&set("m", rates), price::LEVEL)] {
        assert_eq!(command.level(), level);
    }
    world.apply(plain).unwrap();
    let keys = restore::page(&world.state, &[], 1 << 20).into_iter().filter(|row| row.key[0] == 5);
    let rows = restore::Command::Rows { backup: "b".into(), rows: keys.collect() };
    assert_eq!(Command::Restore(rows).level(), 2, "keys without limits come back into any cluster");
    world.apply(remove()).unwrap();
    assert_eq!(world.apply(remove()), Err(Reject::Price(price::Reject::Unknown("org/m".into()))));
    for (model, rates, says) in [
        ("org m", rates, "cannot be a model's name"),
        ("m", Rates { output: u64::MAX, ..rates }, "a million tokens cost 1000000 at most"),
    ] {
        let refused = world.apply(set(model, rates)).unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
}
