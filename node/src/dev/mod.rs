//! `llmhub dev`: a cluster of real nodes on this machine, each a process of its own, so that killing one shows what a
//! cluster is for. It restarts nothing by itself: a node that ended is told with the line that starts it again.

mod layout;
mod node;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::cli::api::Api;
use crate::cli::args::DevArgs;
use crate::cli::failure::Failure;
use crate::os::files::write_durably;
use crate::run::Signals;
use layout::Place;
use node::Running;

/// How long the nodes may take until they are ready.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
/// How often they are asked.
const READY_PAUSE: Duration = Duration::from_millis(100);
/// How long they may take to end after SIGTERM: their own drain, and a little.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);
/// How often ended nodes are looked for.
const WATCH_PAUSE: Duration = Duration::from_millis(200);
/// How long the token is good with which further nodes join, in seconds.
const TOKEN_TTL_S: u64 = 600;
const KEY_FILE: &str = "admin.key";

/// Runs the cluster until it is told to stop.
///
/// # Errors
/// What to do.
pub(crate) async fn run(args: DevArgs) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let data = make_folder(&args.data)?;
    let places = layout::places(&args, &data);
    layout::check_ports(&places).await?;
    let mut cluster = Cluster { key_file: data.join(KEY_FILE), running: Vec::new() };
    let outcome = tokio::select! {
        outcome = cluster.live(&places) => outcome,
        () = signals.next() => Ok(()),
    };
    cluster.stop(&mut signals).await;
    outcome
}

fn make_folder(path: &Path) -> Result<PathBuf, Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path).and_then(|()| path.canonicalize());
    made.map_err(|e| {
        Failure::Failed(format!("{} cannot be used ({e}): choose another --data", path.display()))
    })
}

/// The nodes, and where their cluster's key is.
struct Cluster {
    key_file: PathBuf,
    running: Vec<Running>,
}

impl Cluster {
    /// Starts the nodes, says how to use them, and watches them until the last has ended.
    async fn live(&mut self, places: &[Place]) -> Result<(), Failure> {
        self.start(places).await?;
        self.tell(places);
        loop {
            sleep(WATCH_PAUSE).await;
            for node in &mut self.running {
                if let Some(how) = node.ended_now() {
                    eprintln!(
                        "{} ended ({how}); start it again with:\n  {}",
                        node.place().name,
                        node.place().line()
                    );
                }
            }
            if self.running.iter().all(Running::has_ended) {
                return Err(Failure::Failed("all nodes have ended".to_owned()));
            }
        }
    }

    /// Nodes that belong to the cluster start from their data; the first of none makes it, and the others join.
    async fn start(&mut self, places: &[Place]) -> Result<(), Failure> {
        eprintln!("starting {} nodes", places.len());
        let (mut old, mut new): (Vec<&Place>, Vec<&Place>) =
            places.iter().partition(|place| place.has_joined());
        if old.is_empty() && !new.is_empty() {
            let first = new.remove(0);
            let mut node = Running::start(first, None)?;
            let key = node.admin_key();
            self.running.push(node);
            let key = self.until_ready_with(key).await?;
            write_durably(&self.key_file, format!("{key}\n").as_bytes())?;
            old.push(first);
        } else {
            for place in &old {
                self.running.push(Running::start(place, None)?);
            }
        }
        self.until_ready().await?;
        if !new.is_empty() {
            let token = self.token(old[0], new.len()).await?;
            let seeds: Vec<String> = old.iter().map(|place| place.cluster()).collect();
            for place in new {
                self.running.push(Running::start(place, Some((&seeds, &token)))?);
            }
            self.until_ready().await?;
        }
        Ok(())
    }

    /// Waits for something that a node tells while it starts.
    async fn until_ready_with(
        &mut self,
        told: impl Future<Output = io::Result<String>>,
    ) -> Result<String, Failure> {
        tokio::select! {
            told = tokio::time::timeout(READY_TIMEOUT, told) => match told {
                Ok(told) => told.map_err(|_| self.early_end()),
                Err(_) => Err(late(&self.running[0])),
            },
        }
    }

    /// Waits until every node takes requests.
    async fn until_ready(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + READY_TIMEOUT;
        for index in 0..self.running.len() {
            let api = Api::open(&self.running[index].place().url(), None)?;
            while api.call(Method::GET, "/ready", None).await.is_err() {
                if self.running.iter_mut().any(|node| node.ended_now().is_some()) {
                    return Err(self.early_end());
                }
                if Instant::now() > deadline {
                    return Err(late(&self.running[index]));
                }
                sleep(READY_PAUSE).await;
            }
        }
        Ok(())
    }

    /// The node that ended while the cluster was to start, with its last words.
    fn early_end(&mut self) -> Failure {
        let node = self.running.iter_mut().find_map(|node| {
            let _ = node.ended_now();
            node.has_ended().then_some(&*node)
        });
        let Some(node) = node else { return Failure::Failed("a node closed its output".to_owned()) };
        let place = node.place();
        Failure::Failed(format!(
            "{} ended while it started; its log ({}) ends with:\n{}",
            place.name,
            place.log().display(),
            place.last_words()
        ))
    }

    /// A token for the nodes that are to join.
    async fn token(&self, first: &Place, uses: usize) -> Result<String, Failure> {
        let key = std::fs::read_to_string(&self.key_file).map_err(|e| {
            let file = self.key_file.display();
            Failure::Failed(format!(
                "{file} cannot be read ({e}), and further nodes need it to join: put an admin key there (`llmhub admin \
                 reset-key --data {}` makes one while that node is stopped), or start with fewer --nodes",
                first.data.display()
            ))
        })?;
        let api = Api::open(&first.url(), Some(key.trim().to_owned()))?;
        let body = json!({ "ttl_s": TOKEN_TTL_S, "uses": uses });
        let answer = api.call(Method::POST, "/api/tokens", Some(&body)).await?;
        let token = answer["token"].as_str().map(str::to_owned);
        token.ok_or_else(|| Failure::Failed("the first node answered no token".to_owned()))
    }

    fn tell(&self, places: &[Place]) {
        let key = std::fs::read_to_string(&self.key_file).unwrap_or_default();
        println!("{}", layout::welcome(places, &self.key_file, key.trim()));
    }

    /// Ends every node: asks, waits for their drain or a second signal, and kills what is left.
    async fn stop(&mut self, signals: &mut Signals) {
        self.running.iter_mut().for_each(Running::terminate);
        if self.running.iter().all(Running::has_ended) {
            return;
        }
        eprintln!("stopping the nodes; Ctrl-C again stops them at once");
        let all = async {
            for node in &mut self.running {
                node.ended().await;
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(STOP_TIMEOUT, all) => {}
            () = signals.next() => {}
        }
        for node in &mut self.running {
            node.kill().await;
        }
    }
}

fn late(node: &Running) -> Failure {
    let place = node.place();
    let (log, words) = (place.log(), place.last_words());
    let waited = READY_TIMEOUT.as_secs();
    Failure::Unavailable(format!(
        "{} is not ready after {waited} s; its log ({}) ends with:\n{words}",
        place.name,
        log.display()
    ))
}
