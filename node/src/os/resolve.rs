//! Names of peers to addresses, remembered for a while, since gossip sends several datagrams a second to the same few
//! names. Only `network` uses it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long an answer is good.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Names remembered at most.
const NAMES_MAX: usize = 1024;

/// Resolved names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: Mutex<BTreeMap<String, (SocketAddr, Instant)>>,
}

impl Names {
    /// An address of `host:port` that a socket bound to `like` can reach.
    ///
    /// # Errors
    /// What the resolver says, with the name.
    pub(crate) async fn find(&self, addr: &str, like: SocketAddr) -> io::Result<SocketAddr> {
        if let Ok(literal) = addr.parse() {
            return Ok(literal);
        }
        if let Some(known) = self.known(addr) {
            return Ok(known);
        }
        let found = tokio::net::lookup_host(addr).await.map_err(|e| unknown(addr, &e))?;
        let found: Vec<SocketAddr> = found.collect();
        let fitting = found.iter().find(|a| a.is_ipv4() == like.is_ipv4()).or(found.first());
        let fitting = *fitting.ok_or_else(|| unknown(addr, &"it has no address"))?;
        self.remember(addr, fitting);
        Ok(fitting)
    }

    fn known(&self, addr: &str) -> Option<SocketAddr> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(addr).filter(|(_, since)| since.elapsed() < REMEMBERED).map(|(found, _)| *found)
    }

    fn remember(&self, addr: &str, found: SocketAddr) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= NAMES_MAX {
            known.retain(|_, (_, since)| since.elapsed() < REMEMBERED);
        }
        if known.len() < NAMES_MAX || known.contains_key(addr) {
            known.insert(addr.to_owned(), (found, Instant::now()));
        }
    }
}

fn unknown(addr: &str, reason: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("{addr} cannot be resolved: {reason}; write it as host:port"),
    )
}
