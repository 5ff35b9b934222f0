//! etcd as the store to compare with: three members on loopback with their defaults, data below the run's folder.

use super::client::{Ask, Client, Store};
use crate::child::{Child, POLL_PAUSE, READY_DEADLINE, find_program, free_ports};
use anyhow::{Context, bail};
use bytes::Bytes;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// What to do where it is missing.
pub const MISSING: &str =
    "etcd is missing: install it (Debian: apt-get install etcd-server), or name it with --etcd PATH";
const MEMBERS: usize = 3;

/// A running cluster.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Child>,
    /// Where clients reach each member.
    pub addresses: Vec<SocketAddr>,
}

impl Etcd {
    /// Starts three members and waits until each takes a write.
    pub async fn start(program: &Path, folder: &Path) -> anyhow::Result<Etcd> {
        let ports = free_ports::<{ 2 * MEMBERS }>()?;
        let (clients, peers) = ports.split_at(MEMBERS);
        let name = |n: usize| format!("etcd-{n}");
        let all: Vec<String> =
            peers.iter().enumerate().map(|(n, peer)| format!("{}=http://{peer}", name(n))).collect();
        let mut members = Vec::new();
        for (n, (client, peer)) in clients.iter().zip(peers).enumerate() {
            let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
            let mut command = Command::new(program);
            command.arg("--name").arg(name(n)).arg("--data-dir").arg(folder.join(name(n)));
            command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.args(["--initial-cluster", &all.join(","), "--log-level", "error"]);
            members.push(Child::start(&name(n), &mut command, &folder.join(format!("{}.out", name(n))))?);
        }
        let mut etcd = Etcd { members, addresses: clients.to_vec() };
        etcd.wait().await?;
        Ok(etcd)
    }

    /// Its processes.
    pub fn pids(&self) -> Vec<u32> {
        self.members.iter().map(Child::pid).collect()
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_DEADLINE;
        for (member, address) in self.members.iter_mut().zip(&self.addresses) {
            loop {
                member.ensure_alive()?;
                let write = async {
                    let mut client = Client::open(&Store::Etcd, *address).await?;
                    client.ask(Ask::Put, "ready", &Bytes::from_static(b"yes")).await
                };
                match write.await {
                    Ok(()) => break,
                    Err(error) if Instant::now() > deadline => {
                        bail!("etcd at {address} takes no write: {error:#}\n{}", member.last_words())
                    }
                    Err(_) => tokio::time::sleep(POLL_PAUSE).await,
                }
            }
        }
        Ok(())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.members.iter().for_each(Child::ask_to_end);
    }
}

/// Finds the program: as given, or on PATH.
pub fn program(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    find_program(given.unwrap_or(Path::new("etcd"))).context(MISSING)
}
