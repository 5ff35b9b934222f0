//! Where the scenarios' clients stand when nodes are real: real time, and connections over loopback.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sim::Dice;
use sim::workload::{BoxIo, Outside};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// The real outside.
pub(crate) struct RealOutside {
    began: Instant,
    dice: Mutex<Dice>,
    nodes: Vec<SocketAddr>,
}

impl RealOutside {
    /// Clients of nodes at these addresses; what they leave to chance follows from `seed`.
    pub(crate) fn new(nodes: Vec<SocketAddr>, seed: u64) -> Self {
        Self { began: Instant::now(), dice: Mutex::new(Dice::of(seed, "clients")), nodes }
    }
}

#[async_trait]
impl Outside for RealOutside {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }
    fn draw(&self) -> u64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).draw()
    }
    fn nodes(&self) -> usize {
        self.nodes.len()
    }
    async fn dial(&self, node: usize) -> io::Result<BoxIo> {
        let addr = self.nodes.get(node).ok_or(io::ErrorKind::NotFound)?;
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}
