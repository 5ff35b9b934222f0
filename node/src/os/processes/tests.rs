//! Engines as real processes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use actors::ports::Exit;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
/// Tells the child of the orphan test where to work.
const FOLDER: &str = "LLMHUB_TEST_FOLDER";

fn rules(folder: &Path) -> Rules {
    std::fs::create_dir_all(folder.join(crate::data_dir::LOGS)).unwrap();
    Rules { data: folder.to_owned(), model_roots: Vec::new(), stop_grace: Duration::from_secs(1) }
}

fn shell(script: &str) -> Spawn {
    Spawn {
        label: "dep-1/0".to_owned(),
        program: "sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: BTreeMap::from([("GIVEN".to_owned(), "given".to_owned())]),
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it hangs")
}

fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

async fn until_dead(pid: u32) {
    within(async {
        while alive(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_engine_tells_its_lines_and_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let processes = OsProcesses::start(rules(folder.path())).unwrap();
    let mut engine = processes.spawn(shell("echo $GIVEN; echo oops >&2; exit 3")).await.unwrap();
    let mut lines = engine.lines().unwrap();
    assert!(engine.lines().is_none());
    let mut told = vec![within(lines.recv()).await.unwrap(), within(lines.recv()).await.unwrap()];
    told.sort();
    assert_eq!(told, ["given", "oops"]);
    let exit = within(engine.wait()).await;
    assert_eq!(exit, Exit { status: "exit code 3".to_owned() });
    assert_eq!(engine.wait().await, exit);
    assert_eq!(std::fs::read_to_string(folder.path().join(RECORD_FILE)).unwrap(), "");
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let processes = OsProcesses::start(rules(folder.path())).unwrap();
    let missing = Spawn { program: "llmhub-has-no-such-program".to_owned(), ..shell("") };
    let error = processes.spawn(missing).await.err().unwrap();
    assert!(matches!(&error, SpawnError::Program { program, .. } if program == "llmhub-has-no-such-program"));
}

#[tokio::test]
async fn signals_reach_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let processes = OsProcesses::start(rules(folder.path())).unwrap();
    let mut engine = processes.spawn(shell("sleep 1000 & echo $!; wait")).await.unwrap();
    let grandchild: u32 = within(engine.lines().unwrap().recv()).await.unwrap().parse().unwrap();
    engine.terminate();
    assert_eq!(within(engine.wait()).await.status, "signal 15");
    until_dead(grandchild).await;
}

#[tokio::test]
async fn a_kill_reaches_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let processes = OsProcesses::start(rules(folder.path())).unwrap();
    let script =
        "trap '' TERM; sh -c \"trap '' TERM; echo \\$\\$; while :; do sleep 1; done\" & wait; sleep 1000";
    let mut engine = processes.spawn(shell(script)).await.unwrap();
    let grandchild: u32 = within(engine.lines().unwrap().recv()).await.unwrap().parse().unwrap();
    engine.kill();
    assert_eq!(within(engine.wait()).await.status, "signal 9");
    until_dead(grandchild).await;
}

#[tokio::test]
async fn what_an_engine_started_ends_with_it_wherever_it_went() {
    let folder = tempfile::tempdir().unwrap();
    let processes = OsProcesses::start(rules(folder.path())).unwrap();
    // One stays in the engine's group, the other leaves it; then the engine ends by itself.
    let script = "sleep 1000 & echo $!; setsid sleep 1000 & echo $!; \
        while [ $(cut -d' ' -f5 /proc/$!/stat) = $$ ]; do :; done; exit 0";
    let mut engine = processes.spawn(shell(script)).await.unwrap();
    let mut lines = engine.lines().unwrap();
    let mut left: Vec<u32> = Vec::new();
    for _ in 0..2 {
        left.push(within(lines.recv()).await.unwrap().parse().unwrap());
    }
    assert_eq!(within(engine.wait()).await.status, "exit code 0");
    for pid in left {
        until_dead(pid).await;
    }
}

#[tokio::test]
async fn a_dropped_engine_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let processes = OsProcesses::start(rules(folder.path())).unwrap();
    let engine = processes.spawn(shell("trap '' TERM; while :; do sleep 1; done")).await.unwrap();
    let pid = engine.pid();
    assert!(alive(pid));
    drop(engine);
    until_dead(pid).await;
}

#[tokio::test]
async fn ports_are_not_handed_out_twice_in_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let processes = OsProcesses::start(rules(folder.path())).unwrap();
    let mut ports = Vec::new();
    for _ in 0..PORTS_REMEMBERED {
        ports.push(processes.free_port().await.unwrap());
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), PORTS_REMEMBERED);
}

#[tokio::test]
async fn an_engines_lines_go_to_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let processes = OsProcesses::start(rules(folder.path())).unwrap();
    processes.log("dep-1/0", "one").await;
    processes.log("dep-1/0", "two").await;
    assert_eq!(std::fs::read_to_string(folder.path().join("logs/dep-1-0.log")).unwrap(), "one\ntwo\n");
}

/// Not a test: the node that is killed in the two below. It starts an engine with a worker, prints their ids and waits.
#[tokio::test]
#[ignore = "the tests below run it as a process of its own"]
async fn a_node_that_will_be_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let processes = OsProcesses::start(rules(Path::new(&folder))).unwrap();
    let mut engine = processes.spawn(shell("setsid sleep 1000 & echo $!; wait")).await.unwrap();
    let worker = engine.lines().unwrap().recv().await.unwrap();
    println!("\nengine {} {worker}", engine.pid());
    std::future::pending::<()>().await;
}

/// The node, its engine, and the engine's worker, which is in a group of its own.
fn start_node(folder: &Path) -> (std::process::Child, u32, u32) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["a_node_that_will_be_killed", "--ignored", "--nocapture"]).env(FOLDER, folder);
    let mut node = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(node.stdout.take().unwrap()).lines();
    let ids = lines.map_while(Result::ok).find_map(|line| {
        let (engine, worker) = line.strip_prefix("engine ")?.split_once(' ')?;
        Some((engine.parse().ok()?, worker.parse().ok()?))
    });
    let (engine, worker) = ids.expect("the node started no engine");
    (node, engine, worker)
}

#[tokio::test]
async fn no_engine_outlives_a_node_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut node, engine, worker) = start_node(folder.path());
    assert!(alive(engine) && alive(worker));
    node.kill().unwrap();
    node.wait().unwrap();
    until_dead(engine).await;
    // The kernel's signal goes to the engine only. Another node on the machine leaves the worker alone, the next life of
    // this one does not.
    let other = tempfile::tempdir().unwrap();
    let _other = OsProcesses::start(rules(other.path())).unwrap();
    assert!(alive(worker));
    let _next = OsProcesses::start(rules(folder.path())).unwrap();
    until_dead(worker).await;
}

#[tokio::test]
async fn an_engine_that_survived_all_the_same_is_swept_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let record = Record::open(&folder.path().join(RECORD_FILE)).unwrap();
    // A group of its own without the parent-death signal: what a setuid engine would be.
    let mut survivor = std::process::Command::new("sleep");
    let mut survivor =
        std::os::unix::process::CommandExt::process_group(survivor.arg("1000"), 0).spawn().unwrap();
    record.add(survivor.id()).unwrap();
    let _processes = OsProcesses::start(rules(folder.path())).unwrap();
    let status = tokio::task::spawn_blocking(move || survivor.wait()).await.unwrap().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
}
