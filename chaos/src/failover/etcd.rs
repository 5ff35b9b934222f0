//! etcd as a store: three members on loopback as its own documents start them, all settings left at their defaults, and
//! written through its HTTP gateway.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use serde_json::{Value, json};
use sim::history::History;
use sim::scenario::Scenario;
use sim::workload::{Ask, Clients};
use tokio::process::{Child, Command};

use super::{MEMBERS, Store, Write, agreed};
use crate::outside::RealOutside;
use crate::place::{self, Place, Spread};
use crate::process::die_with_parent;

/// Far from where the other store begins to look for ports.
const PORTS_APART: u32 = 1_000;

pub(super) struct Etcd {
    program: PathBuf,
    places: Vec<Place>,
    members: Vec<Option<Child>>,
    clients: Clients,
}

impl Etcd {
    /// A fresh cluster below a folder; it may take a while until it is well.
    ///
    /// # Errors
    /// When the system cannot start it.
    pub(super) fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("etcd");
        std::fs::create_dir(&folder)?;
        let spread = Spread::Ports(std::process::id().wrapping_add(PORTS_APART));
        let places = place::places(&Scenario::nodes(MEMBERS), &folder, spread)?;
        let addrs: Vec<SocketAddr> = places.iter().map(|place| place.http).collect();
        let clients = Clients::new(Arc::new(RealOutside::new(addrs, 1)), "", Arc::new(History::default()));
        let members = (0..MEMBERS).map(|_| None).collect();
        let mut etcd = Self { program: program.to_owned(), places, members, clients };
        for member in 0..MEMBERS {
            etcd.restart(member)?;
        }
        Ok(etcd)
    }

    async fn status(&self, member: usize) -> Option<Value> {
        let reply = self.clients.ask(member, &Ask::post("/v3/maintenance/status", json!({}))).await;
        reply.ok().cloned()
    }
}

#[async_trait]
impl Store for Etcd {
    fn name(&self) -> &'static str {
        "etcd"
    }

    fn clients(&self) -> &Clients {
        &self.clients
    }

    fn write(&self) -> Write {
        // Both are base64, as the gateway wants it.
        |key, value| {
            let body = json!({ "key": format!("key{key:05}"), "value": format!("value/{value:018}") });
            Ask::post("/v3/kv/put", body)
        }
    }

    async fn is_well(&mut self) -> anyhow::Result<bool> {
        Ok(self.leader().await.is_some())
    }

    async fn leader(&self) -> Option<usize> {
        let mut ids = Vec::new();
        let mut leaders = Vec::new();
        for member in 0..MEMBERS {
            let status = self.status(member).await?;
            ids.push(status["header"]["member_id"].clone());
            leaders.push(Some(status["leader"].clone()));
        }
        let leader = agreed(leaders)?;
        ids.iter().position(|id| *id == leader)
    }

    async fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.members[member].take() {
            // An error here means that it had ended already.
            let _ = child.kill().await;
        }
    }

    fn restart(&mut self, member: usize) -> anyhow::Result<()> {
        let place = &self.places[member];
        let url = |addr: &SocketAddr| format!("http://{addr}");
        let all: Vec<String> =
            self.places.iter().map(|p| format!("{}={}", p.name, url(&p.cluster))).collect();
        let log = File::options().append(true).create(true).open(&place.log)?;
        let mut command = Command::new(&self.program);
        command.args(["--name", &place.name, "--data-dir"]).arg(&place.data);
        command.args([
            "--listen-client-urls",
            &url(&place.http),
            "--advertise-client-urls",
            &url(&place.http),
        ]);
        command.args(["--listen-peer-urls", &url(&place.cluster)]);
        command.args(["--initial-advertise-peer-urls", &url(&place.cluster)]);
        command.args(["--initial-cluster", &all.join(","), "--initial-cluster-state", "new"]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.process_group(0).kill_on_drop(true);
        let driver = std::process::id();
        // SAFETY: the closure calls only functions that are safe between fork and exec, and allocates nothing.
        unsafe { command.pre_exec(move || die_with_parent(driver)) };
        let child = command.spawn().with_context(|| format!("start {}", self.program.display()))?;
        self.members[member] = Some(child);
        Ok(())
    }
}
