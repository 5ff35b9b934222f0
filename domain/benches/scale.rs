//! What the tables and the decisions cost when the cluster is large: one hundred nodes, and as many keys and deployments as
//! asked for. Prints a Markdown table; `cargo bench -p domain --bench scale -- --deployments 10000 --keys 100000`.
//!
//! One thread, processor time of that thread, nothing of a disk or a network: what is left is what the code itself takes.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // it reads the real clock

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use domain::decide::placement::{Problem, explain, solve};
use domain::decide::routing;
use domain::deployment::{Phase, Resources, Spec};
use domain::key::Scope;
use domain::node::{Capacity, Node, Standing};
use domain::{
    Changes, Command, DeploymentId, Envelope, Health, Incarnation, Liveness, ModelId, NodeId, Outcome, Reply,
    RequestId, State, View, deployment, key, model, node,
};

/// Replicas of each deployment; each asks for one CPU.
const REPLICAS: u32 = 2;
/// Commands that are applied together before the tables are published.
const BATCH: usize = 64;
/// Time between two commands in milliseconds: ten a second, so that few request ids are remembered.
const STEP_MS: u64 = 100;
/// How long a measurement is repeated.
const LEAST: Duration = Duration::from_millis(100);
/// How full the tables are when they are looked at, in permille of what is asked for.
const FILLED: [u64; 3] = [10, 100, 1_000];

struct Plan {
    nodes: u64,
    deployments: u64,
    keys: u64,
}

/// The tables, filled by commands alone, and published after each batch as a node does it.
struct World {
    state: State,
    published: Arc<View>,
    liveness: Arc<Liveness>,
    index: u64,
    now: u64,
    pending: usize,
    ids: Vec<DeploymentId>,
}

impl World {
    fn new(plan: &Plan, cpus: u32) -> Self {
        let alive = (1..=plan.nodes).map(|id| (NodeId(id), (Health::Alive, Incarnation(1)))).collect();
        let mut world = Self {
            state: State::default(),
            published: Arc::default(),
            liveness: Arc::new(Liveness { nodes: alive }),
            index: 0,
            now: 1_000,
            pending: 0,
            ids: Vec::new(),
        };
        for id in 1..=plan.nodes {
            world.must(Command::Node(node::Command::Join(a_node(id, cpus))));
        }
        world.must(Command::Level(domain::level::Command::Raise(2)));
        world
    }

    fn apply(&mut self, command: Command) -> Outcome {
        self.index += 1;
        self.now += STEP_MS;
        let mut changes = Changes::new();
        let envelope = Envelope { at: self.now, ..Envelope::new(RequestId(self.index.into()), command) };
        let outcome = self.state.apply(self.index, &envelope, &mut changes);
        black_box(changes);
        self.pending += 1;
        if self.pending == BATCH {
            self.pending = 0;
            self.publish();
        }
        outcome
    }

    fn must(&mut self, command: Command) -> Reply {
        self.apply(command).unwrap_or_else(|refused| panic!("{refused}"))
    }

    /// What `runtime` does after every batch.
    fn publish(&mut self) {
        self.published = Arc::new(View {
            me: NodeId(1),
            state: self.state.clone(),
            applied: self.index,
            liveness: self.liveness.clone(),
            leader: Some(NodeId(1)),
            ..View::default()
        });
    }

    fn add_key(&mut self, n: u64) {
        let mut hash = vec![0; 32];
        hash[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        hash[8..16].copy_from_slice(&n.to_le_bytes());
        let (name, prefix) = (format!("key-{n:06}"), format!("sk-{n:06x}"));
        let scopes = vec![Scope::Inference];
        self.must(Command::Key(key::Command::Create { name, hash, prefix, scopes }));
    }

    /// A deployment of its own model, its replicas placed on the nodes in turn, and ready.
    fn add_deployment(&mut self, n: u64, nodes: u64) {
        let id = ModelId(format!("model-{n:05}"));
        let path = Some(format!("/models/model-{n:05}.gguf"));
        let row = model::Model {
            id: id.clone(),
            name: id.0.clone(),
            description: String::new(),
            path,
            created_at: 0,
        };
        self.must(Command::Model(model::Command::Put(row)));
        let spec = a_spec(n, id);
        let Reply::Deployment(id) = self.must(Command::Deployment(deployment::Command::create(spec))) else {
            panic!("a deployment has an id");
        };
        self.ids.push(id);
        for ordinal in 0..REPLICAS {
            let node = NodeId(1 + (n * u64::from(REPLICAS) + u64::from(ordinal)) % nodes);
            let epoch = self.index + 1;
            let assign = deployment::Command::Assign { id, ordinal, was: None, node, gpus: Vec::new() };
            self.must(Command::Deployment(assign));
            let phase = Phase::Ready;
            self.must(Command::Deployment(deployment::Command::Report { id, ordinal, epoch, phase }));
        }
    }

    fn lose(&mut self, id: u64) {
        let incarnation = Incarnation(1);
        self.must(Command::Node(node::Command::Lose { id: NodeId(id), incarnation }));
        self.publish();
    }
}

fn a_node(id: u64, cpus: u32) -> Node {
    Node {
        id: NodeId(id),
        name: format!("node-{id:04}"),
        zone: ["a", "b", "c"][id as usize % 3].into(),
        cluster_addr: format!("node-{id:04}:7602"),
        http_addr: format!("node-{id:04}:6602"),
        seal_public: vec![0; 32],
        cert_fingerprint: vec![0; 32],
        incarnation: Incarnation(1),
        capacity: Capacity { cpus, memory_mib: 1 << 20, gpus: Vec::new(), engines: vec!["mock".into()] },
        standing: Standing::Active,
        since: 0,
        version: domain::level::stamp("0", domain::command::VERSION),
        joined_at: 0,
        cordon: None,
    }
}

fn a_spec(n: u64, model: ModelId) -> Spec {
    Spec {
        name: format!("deployment-{n:05}"),
        model,
        engine: "mock".into(),
        replicas: REPLICAS,
        resources: Resources { cpus: 1, ..Resources::default() },
        env: BTreeMap::from([("CONTEXT".to_owned(), "8192".to_owned())]),
        args: vec!["--threads".into(), "1".into()],
        policy: Default::default(),
    }
}

/// Processor time of this thread.
fn cpu_now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes only to the local that it is given.
    let read = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(read, 0, "this thread's processor time cannot be read");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Resident memory in bytes.
fn resident() -> f64 {
    let read = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = read.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() * 1024.0
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = cpu_now();
    work();
    cpu_now() - start
}

/// How long it takes, again and again, on average.
fn each(mut work: impl FnMut()) -> Duration {
    let (start, mut count) = (cpu_now(), 0);
    loop {
        work();
        count += 1;
        let took = cpu_now() - start;
        if took >= LEAST {
            return took / count;
        }
    }
}

/// What publishing takes after so many commands, and what each of these took: the first to touch a part of a table that was
/// published has to copy that part.
fn publication(world: &mut World, batch: usize) -> (Duration, Duration) {
    let rounds = (2_000 / batch).max(20);
    let (mut applying, mut publishing) = (Duration::ZERO, Duration::ZERO);
    for round in 0..rounds {
        applying += timed(|| {
            for n in 0..batch {
                let place = (round * batch + n).wrapping_mul(7_919) % world.ids.len();
                let id = world.ids[place];
                let policy = domain::deployment::Policy::default();
                // Touches one row, anywhere in its table.
                world.pending = 0;
                world.must(Command::Deployment(deployment::Command::SetPolicy { id, policy }));
            }
        });
        publishing += timed(|| world.publish());
    }
    (applying / (rounds * batch) as u32, publishing / rounds as u32)
}

fn us(duration: Duration) -> String {
    let us = duration.as_secs_f64() * 1e6;
    if us < 10.0 {
        format!("{us:.2} µs")
    } else if us < 1e4 {
        format!("{us:.0} µs")
    } else {
        format!("{:.0} ms", us / 1e3)
    }
}

/// What of placement is looked at: nothing to do, a node lost, a node lost and no room for what it had.
fn placements(plan: &Plan) -> [Duration; 3] {
    let full = u32::try_from(plan.deployments * u64::from(REPLICAS) / plan.nodes).unwrap().max(1);
    let look = |world: &World| each(|| drop(black_box(solve(&Problem::of(&world.published, world.now)))));
    let mut times = [Duration::ZERO; 3];
    for (which, cpus) in [(1, full * 2), (2, full)] {
        let mut world = World::new(plan, cpus);
        (0..plan.deployments).for_each(|n| world.add_deployment(n, plan.nodes));
        world.publish();
        assert!(solve(&Problem::of(&world.published, world.now)).is_empty(), "all is in order");
        times[0] = look(&world);
        world.lose(1);
        times[which] = look(&world);
        let unplaced = explain(&Problem::of(&world.published, world.now)).len();
        assert_eq!(unplaced > 0, which == 2, "{unplaced} replicas without a place");
    }
    times
}

fn row(plan: &Plan, permille: u64) -> String {
    let plan = Plan {
        nodes: plan.nodes,
        deployments: (plan.deployments * permille / 1_000).max(plan.nodes),
        keys: plan.keys * permille / 1_000,
    };
    let mut world = World::new(&plan, 1_000);
    let before = resident();
    let for_keys = timed(|| (0..plan.keys).for_each(|n| world.add_key(n)));
    let with_keys = resident();
    let commands = world.index;
    let for_deployments = timed(|| (0..plan.deployments).for_each(|n| world.add_deployment(n, plan.nodes)));
    let commands = world.index - commands;
    let with_all = resident();
    let per = |count: u64, took: Duration| count as f64 / took.as_secs_f64();
    let (one, publish_one) = publication(&mut world, 1);
    let (hundred, publish_hundred) = publication(&mut world, 100);
    let view = world.published.clone();
    let name = format!("deployment-{:05}", plan.deployments / 2);
    let routed = each(|| drop(black_box(routing::targets(&view, &name).unwrap())));
    let hash = view.state.keys.rows().nth(plan.keys as usize / 2).unwrap().hash.clone();
    let found = each(|| assert!(black_box(view.state.key_by_hash(&hash)).is_some()));
    drop((view, world));
    let [idle, lost, full] = placements(&plan);
    format!(
        "| {} | {} | {:.0} | {:.0} | {:.0} B | {:.0} B | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        plan.deployments,
        plan.keys,
        per(plan.keys, for_keys),
        per(commands, for_deployments),
        (with_keys - before) / plan.keys as f64,
        (with_all - with_keys) / plan.deployments as f64,
        us(one),
        us(hundred),
        us(publish_one),
        us(publish_hundred),
        us(found),
        us(routed),
        us(idle),
        us(lost),
        us(full),
    )
}

fn argument(name: &str, default: u64) -> u64 {
    let mut given = std::env::args().skip_while(|argument| argument != name);
    given.nth(1).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
}

fn main() {
    let plan = Plan {
        nodes: argument("--nodes", 100),
        deployments: argument("--deployments", 10_000),
        keys: argument("--keys", 100_000),
    };
    // Sizes run in processes of their own, so that memory that one gave back does not hide what the next one takes.
    let only = argument("--permille", 0);
    if only > 0 {
        print!("{}", row(&plan, only));
        return;
    }
    print!(
        "| deployments | keys | keys made/s | deployment commands/s | memory per key | per deployment | one command alone | \
         one of 100 | publish after 1 | after 100 | find a key | route a call | placement: all in order | one node of {} \
         lost | lost, and no room |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        plan.nodes
    );
    for permille in FILLED {
        let own = std::env::current_exe().unwrap();
        let arguments = [
            ("--nodes", plan.nodes),
            ("--deployments", plan.deployments),
            ("--keys", plan.keys),
            ("--permille", permille),
        ];
        let mut command = std::process::Command::new(own);
        for (name, value) in arguments {
            command.args([name, &value.to_string()]);
        }
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        print!("{}", String::from_utf8(done.stdout).unwrap());
    }
}
