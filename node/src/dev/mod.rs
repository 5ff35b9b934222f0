//! `llmhub dev`: a cluster of real nodes on this machine, each a process of its own, so that killing one shows what a
//! cluster is for. It restarts nothing by itself: a node that ended is told with the line that starts it again.

mod layout;
mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::NodeId;
use http::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::cli::api::Api;
use crate::cli::args::DevArgs;
use crate::cli::failure::Failure;
use crate::data_dir;
use crate::os::files::write_durably;
use crate::run::Signals;
use layout::Place;
use node::Running;

/// How long the nodes may take until they are ready.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
/// A node that is not ready after so long may have been removed while it was away: the others are asked.
const DOUBT: Duration = Duration::from_secs(10);
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
    let places = present(layout::places(&args, &data))?;
    layout::check_ports(&places).await?;
    let mut cluster = Cluster { key_file: data.join(KEY_FILE), running: Vec::new() };
    let outcome = tokio::select! {
        outcome = Box::pin(cluster.live(&places)) => outcome,
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

/// The places without those of nodes that were removed from the cluster.
fn present(places: Vec<Place>) -> Result<Vec<Place>, Failure> {
    let (removed, present): (Vec<_>, Vec<_>) = places.into_iter().partition(Place::was_removed);
    removed.iter().for_each(|place| eprintln!("{}", place.farewell()));
    if present.is_empty() {
        return Err(Failure::Failed("all nodes were removed: delete their folders to begin anew".to_owned()));
    }
    Ok(present)
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
        self.tell();
        loop {
            sleep(WATCH_PAUSE).await;
            for node in &mut self.running {
                let Some(how) = node.ended_now() else { continue };
                let place = node.place();
                if place.was_removed() {
                    eprintln!("{}", place.farewell());
                } else {
                    let line = place.line(|name| std::env::var(name).ok());
                    eprintln!("{} ended ({how}); start it again with:\n  {line}", place.name);
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
        let (old, mut new): (Vec<&Place>, Vec<&Place>) = places.iter().partition(|place| place.has_joined());
        if old.is_empty() && !new.is_empty() {
            let first = new.remove(0);
            let mut node = Running::start(first, None)?;
            let key = node.admin_key();
            self.running.push(node);
            let key = self.until_ready_with(key).await?;
            write_durably(&self.key_file, format!("{key}\n").as_bytes())?;
        } else {
            for place in &old {
                self.running.push(Running::start(place, None)?);
            }
        }
        self.until_ready().await?;
        if !new.is_empty() {
            let members: Vec<&Place> = self.running.iter().map(Running::place).collect();
            let token = self.token(&members, new.len()).await?;
            let seeds: Vec<String> = members.iter().map(|place| place.cluster()).collect();
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

    /// Waits until every node takes requests; those that turn out to be removed are left out.
    async fn until_ready(&mut self) -> Result<(), Failure> {
        let (begun, mut ready) = (Instant::now(), BTreeSet::new());
        loop {
            self.leave_out(|node| node.place().was_removed()).await;
            if self.running.iter_mut().any(|node| node.ended_now().is_some()) {
                // It may have left the mark of one that was removed while it ended.
                self.leave_out(|node| node.place().was_removed()).await;
                if self.running.iter().any(Running::has_ended) {
                    return Err(self.early_end());
                }
            }
            for node in &self.running {
                let place = node.place();
                if !ready.contains(&place.name) && takes_requests(place).await {
                    ready.insert(place.name.clone());
                }
            }
            let Some(waited_for) = self.running.iter().find(|node| !ready.contains(&node.place().name))
            else {
                return if self.running.is_empty() { Err(self.early_end()) } else { Ok(()) };
            };
            if begun.elapsed() > READY_TIMEOUT {
                return Err(late(waited_for));
            }
            if begun.elapsed() > DOUBT {
                self.leave_out_strangers(&ready).await;
            }
            sleep(READY_PAUSE).await;
        }
    }

    /// Leaves out those that wait to be ready though they were removed from the cluster, if one that is ready can tell.
    async fn leave_out_strangers(&mut self, ready: &BTreeSet<String>) {
        let is_ready = |node: &&Running| ready.contains(&node.place().name);
        // Read before the members are asked for: one whose join ends meanwhile is not in their answer.
        let waiting = self.running.iter().filter(|node| !is_ready(node)).map(Running::place);
        let ids: BTreeMap<String, NodeId> =
            waiting.filter_map(|place| Some((place.name.clone(), data_dir::node_id(&place.data)?))).collect();
        if let Some(member) = self.running.iter().find(is_ready)
            && let Some(members) = self.members(member.place()).await
        {
            let id = |node: &Running| ids.get(&node.place().name);
            self.leave_out(|node| id(node).is_some_and(|id| !members.contains(id))).await;
        }
    }

    /// Ends nodes that were removed from the cluster, and remembers that they were.
    async fn leave_out(&mut self, removed: impl Fn(&Running) -> bool) {
        let (gone, stay) = std::mem::take(&mut self.running).into_iter().partition(removed);
        self.running = stay;
        let gone: Vec<Running> = gone;
        for mut node in gone {
            node.kill().await;
            let place = node.place();
            if let Err(error) = data_dir::mark_removed(&place.data) {
                eprintln!("{} cannot be marked as removed: {error}", place.data.display());
            }
            eprintln!("{}", place.farewell());
        }
    }

    /// Who belongs to the cluster, as this node and a majority know it.
    async fn members(&self, of: &Place) -> Option<BTreeSet<NodeId>> {
        let key = std::fs::read_to_string(&self.key_file).ok()?;
        let api = Api::open(&of.url(), Some(key.trim().to_owned())).ok()?;
        let answer = api.call(Method::GET, "/api/nodes?consistent=true", None).await.ok()?;
        let nodes = answer["nodes"].as_array()?;
        nodes.iter().map(|node| node["id"].as_str()?.parse().ok()).collect()
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
    async fn token(&self, members: &[&Place], uses: usize) -> Result<String, Failure> {
        let nobody = || Failure::Failed("no node is left that others could join".to_owned());
        let first = members.first().ok_or_else(nobody)?;
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

    fn tell(&self) {
        let places: Vec<Place> = self.running.iter().map(|node| node.place().clone()).collect();
        let key = std::fs::read_to_string(&self.key_file).unwrap_or_default();
        println!("{}", layout::welcome(&places, &self.key_file, key.trim()));
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

async fn takes_requests(place: &Place) -> bool {
    match Api::open(&place.url(), None) {
        Ok(api) => api.call(Method::GET, "/ready", None).await.is_ok(),
        Err(_) => false,
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
