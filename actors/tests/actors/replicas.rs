//! Replicas: what the tables give to this node runs here, and nothing else does.

use std::time::Duration;

use actors::deployment::State;
use actors::{Finish, Refused, Settings, ask};
use domain::deployment::{self, Desired, Phase};
use domain::{Command, NodeId};
use tokio::time::Instant;

use crate::cluster::ME;
use crate::engines::{GRACE, Manners};
use crate::world::{FILE, World, until};

#[tokio::test(start_paused = true)]
async fn a_replica_given_to_this_node_becomes_ready_and_takes_calls() {
    let world = World::start().await;
    world.machine.behave(Manners { loads_for: Duration::from_secs(3), ..Manners::default() });
    let id = world.deploy("llama", FILE);
    world.assign(id, ME);
    until("the engine is started", || world.phase(id) == Some(Phase::Starting)).await;
    let handle = world.directory().replica(id, 0).unwrap();
    assert!(matches!(handle.acquire(), Err(Refused::Closed(_))));
    world.until_ready(id).await;
    let slot = handle.acquire().unwrap();
    assert_eq!(slot.endpoint().base_url, "http://127.0.0.1:40001/v1");
    assert_eq!(slot.endpoint().secret.as_ref().unwrap().expose().len(), 48);
    assert_eq!(handle.observe().in_flight, 1);
    slot.finish(Finish::Answered { first_byte: Duration::from_millis(3) });
    assert_eq!((handle.observe().in_flight, handle.load().latency_us), (0, 3_000));
}

#[tokio::test(start_paused = true)]
async fn a_model_file_that_is_not_here_or_is_no_gguf_fails_at_once() {
    let world = World::start().await;
    let id = world.deploy("llama", "/models/absent.gguf");
    world.assign(id, ME);
    let reason = world.until_failed(id).await;
    assert!(reason.contains("this node has no file /models/absent.gguf"), "{reason}");
    assert!(world.row(id).refusals.contains_key(&ME));

    let world = World::start().await;
    world.machine.put_file("/models/notes.txt", b"hello");
    let id = world.deploy("llama", "/models/notes.txt");
    world.assign(id, ME);
    let reason = world.until_failed(id).await;
    assert!(reason.contains("is no GGUF file"), "{reason}");
    assert_eq!(world.machine.when("spawn"), []);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_missing_and_a_variable_that_is_not_allowed_fail_at_once() {
    let world = World::start().await;
    world.machine.behave(Manners { missing: true, ..Manners::default() });
    let id = world.deploy("llama", FILE);
    world.assign(id, ME);
    assert!(world.until_failed(id).await.contains("program `llama-server` cannot be started"));

    let world = World::start().await;
    let id = world.deploy("llama", FILE);
    let mut spec = world.row(id).spec.clone();
    spec.name = "preloaded".to_owned();
    spec.env.insert("LD_PRELOAD".to_owned(), "x.so".to_owned());
    let id = world.create(spec);
    world.assign(id, ME);
    assert!(world.until_failed(id).await.contains("environment variable LD_PRELOAD is not allowed"));
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_keeps_dying_is_started_with_growing_pauses_and_then_given_up() {
    let world = World::start().await;
    world.machine.behave(Manners { dies_after: Some(Duration::from_millis(50)), ..Manners::default() });
    let id = world.deploy("llama", FILE);
    world.assign(id, ME);
    let reason = world.until_failed(id).await;
    assert!(reason.contains("exit code 1") && reason.contains("listening on"), "{reason}");
    assert!(reason.contains("my key is [key]"), "{reason}");
    let starts = world.machine.when("spawn");
    assert_eq!(starts.len(), 5);
    let pauses: Vec<Duration> = starts.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(pauses[3] > pauses[0] * 2, "{pauses:?}");
    assert!(world.machine.log().iter().all(|line| line.contains("[key]")));
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_hangs_is_killed_and_started_anew() {
    let world = World::start().await;
    world.machine.behave(Manners { deaf: true, ..Manners::default() });
    let id = world.deploy("mock", FILE);
    world.assign(id, ME);
    world.until_ready(id).await;
    world.machine.hang();
    until("it restarts", || matches!(world.phase(id), Some(Phase::Restarting { attempt: 1, .. }))).await;
    assert_eq!(world.machine.when("kill").len(), 1);
    world.until_ready(id).await;
    assert_eq!(world.machine.running(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_busy_engine_keeps_its_streams_as_long_as_they_make_progress() {
    let world = World::start().await;
    let id = world.deploy("mock", FILE);
    world.assign(id, ME);
    world.until_ready(id).await;
    let slot = world.directory().replica(id, 0).unwrap().acquire().unwrap();
    world.machine.hang();
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        slot.progressed();
    }
    assert_eq!(world.phase(id), Some(Phase::Ready));
    assert_eq!(world.machine.when("term"), []);
    let silent = Instant::now();
    until("it restarts", || matches!(world.phase(id), Some(Phase::Restarting { attempt: 1, .. }))).await;
    assert!(silent.elapsed() < Duration::from_secs(15), "{:?}", silent.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_calls_finish_then_asks_and_then_kills() {
    let world = World::start().await;
    world.machine.behave(Manners { deaf: true, ..Manners::default() });
    let id = world.deploy("llama", FILE);
    world.assign(id, ME);
    world.until_ready(id).await;
    let handle = world.directory().replica(id, 0).unwrap();
    let slot = handle.acquire().unwrap();
    world.apply(deployment::Command::Stop(id));
    until("it takes no more calls", || handle.acquire().is_err()).await;
    assert_eq!(handle.observe().state, State::Draining);
    assert_eq!(world.machine.when("term"), []);
    let freed = Instant::now();
    drop(slot);
    until("it is gone", || world.directory().replica(id, 0).is_none()).await;
    let (term, kill) = (world.machine.when("term")[0], world.machine.when("kill")[0]);
    assert!(term - freed < Duration::from_millis(100));
    assert_eq!(kill - term, GRACE);
    assert_eq!(world.machine.running(), 0);
    assert_eq!(world.row(id).desired, Desired::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ends_does_not_keep_a_replica_for_ever() {
    let settings = Settings { drain_ms: 2_000, ..Settings::default() };
    let world = World::start_with(settings).await;
    let id = world.deploy("llama", FILE);
    world.assign(id, ME);
    world.until_ready(id).await;
    let _slot = world.directory().replica(id, 0).unwrap().acquire().unwrap();
    let asked = Instant::now();
    world.apply(deployment::Command::Stop(id));
    until("it is gone", || world.directory().replica(id, 0).is_none()).await;
    let took = asked.elapsed();
    assert!((2_000..2_500).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_replica_given_to_another_node_is_stopped_here() {
    let world = World::start().await;
    crate::world::join(&world.cluster, NodeId(2));
    let id = world.deploy("llama", FILE);
    world.assign(id, ME);
    world.until_ready(id).await;
    world.assign(id, NodeId(2));
    until("it is gone", || world.machine.running() == 0 && world.directory().replicas().is_empty()).await;
    assert_eq!(world.phase(id), Some(Phase::Assigned), "nobody speaks for another's epoch");
}

#[tokio::test(start_paused = true)]
async fn a_new_epoch_on_this_node_replaces_the_engine() {
    let world = World::start().await;
    let id = world.deploy("llama", FILE);
    world.assign(id, ME);
    world.until_ready(id).await;
    let epoch = world.assign(id, ME);
    world.until_ready(id).await;
    let handle = world.directory().replica(id, 0).unwrap();
    assert_eq!(handle.identity().epoch, epoch);
    assert_eq!((world.machine.when("spawn").len(), world.machine.running()), (2, 1));
    let term = world.machine.when("term")[0];
    assert!(world.machine.when("spawn")[1] >= term, "the old engine ends before the new one starts");
}

#[tokio::test(start_paused = true)]
async fn a_restart_asked_for_replaces_the_engine_under_the_same_epoch() {
    let world = World::start().await;
    let id = world.deploy("llama", FILE);
    let epoch = world.assign(id, ME);
    world.until_ready(id).await;
    world.apply(deployment::Command::Restart(id));
    until("a second engine is started", || world.machine.when("spawn").len() == 2).await;
    world.until_ready(id).await;
    until("it takes calls", || world.directory().replica(id, 0).is_some_and(|r| r.acquire().is_ok())).await;
    assert_eq!(world.row(id).replica(0).unwrap().epoch, epoch);
    assert_eq!(world.machine.running(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_stale_stops_the_engine_even_where_the_view_lags() {
    let world = World::start().await;
    world.machine.behave(Manners { loads_for: Duration::from_secs(5), ..Manners::default() });
    crate::world::join(&world.cluster, NodeId(2));
    let id = world.deploy("llama", FILE);
    world.assign(id, ME);
    until("its start is told", || world.phase(id) == Some(Phase::Starting)).await;
    world.cluster.inner.lock().unwrap().frozen = true;
    world.assign(id, NodeId(2));
    until("the engine is stopped", || world.machine.when("spawn").len() == 1 && world.machine.running() == 0)
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.machine.when("spawn").len(), 1, "it is not started again under the old epoch");
    let truth = world.cluster.truth();
    assert_eq!(truth.state.deployments.get(&id).unwrap().replica(0).unwrap().phase, Phase::Assigned);
}

#[tokio::test(start_paused = true)]
async fn a_ready_replica_says_so_as_soon_as_there_is_a_leader() {
    let world = World::start().await;
    let id = world.deploy("llama", FILE);
    world.assign(id, ME);
    world.cluster.inner.lock().unwrap().headless = true;
    until("it takes calls", || world.directory().replica(id, 0).is_some_and(|r| r.acquire().is_ok())).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.phase(id), Some(Phase::Assigned));
    assert!(world.cluster.proposed(|_| true) < 60, "it does not flood the cluster");
    world.cluster.inner.lock().unwrap().headless = false;
    world.until_ready(id).await;
}

#[tokio::test(start_paused = true)]
async fn a_phase_forgotten_when_the_node_registered_is_told_again() {
    let world = World::start().await;
    let id = world.deploy("llama", FILE);
    world.assign(id, ME);
    world.until_ready(id).await;
    let row = world.cluster.view.load().state.nodes.get(&ME).cloned().unwrap();
    let register = domain::node::Command::Register {
        id: ME,
        incarnation: domain::Incarnation(78),
        zone: row.zone.clone(),
        cluster_addr: row.cluster_addr.clone(),
        http_addr: row.http_addr.clone(),
        capacity: row.capacity.clone(),
        version: row.version.clone(),
    };
    world.cluster.apply(Command::Node(register)).unwrap();
    assert_eq!(world.phase(id), Some(Phase::Assigned));
    world.until_ready(id).await;
    assert_eq!(world.machine.when("spawn").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn any_node_can_be_asked_for_its_logs_and_its_state() {
    let world = World::start().await;
    let id = world.deploy("llama", FILE);
    world.assign(id, ME);
    world.until_ready(id).await;
    let lines = ask::logs(&*world.cluster, ME, &ask::Logs { id, ordinal: 0, tail: 10 }).await.unwrap();
    assert_eq!(lines, ["listening on 40001, my key is [key]"]);
    let absent = ask::logs(&*world.cluster, ME, &ask::Logs { id, ordinal: 1, tail: 10 }).await;
    assert!(absent.unwrap_err().to_string().contains("does not run here"));
    let observed = ask::observe(&*world.cluster, ME).await.unwrap();
    assert_eq!(observed.replicas.len(), 1);
    assert_eq!(observed.replicas[0].state, State::Ready);
    assert_eq!(observed.root.parts.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_leaves_no_engine_behind() {
    let world = World::start().await;
    let id = world.deploy("llama", FILE);
    world.assign(id, ME);
    world.until_ready(id).await;
    let directory = world.directory();
    let asked = Instant::now();
    world.tree.shutdown().await;
    assert!(asked.elapsed() < Duration::from_secs(1));
    assert_eq!(world.machine.running(), 0);
    assert_eq!(world.machine.when("kill"), [], "it was asked politely");
    assert!(directory.replicas().is_empty());
}
