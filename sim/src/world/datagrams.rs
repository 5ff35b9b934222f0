//! Datagrams as a bad network carries them: lost, doubled, late, each by the weather's chance. turmoil's own loss cuts
//! whole links, TCP included, so it is not used.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use turmoil::net::UdpSocket;

use super::{CLUSTER_PORT, lock};
use crate::Dice;
use crate::scenario::Weather;

/// The largest datagram read.
const BYTES_MAX: usize = 2048;
/// How long after its turn a late one leaves, at most, in milliseconds.
const LATE_MS_MAX: u64 = 200;

/// A host's datagram socket.
pub(super) struct Datagrams {
    socket: Arc<UdpSocket>,
    weather: Weather,
    dice: Mutex<Dice>,
}

impl Datagrams {
    pub(super) async fn open(weather: Weather, dice: Dice) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind(("0.0.0.0", CLUSTER_PORT)).await?);
        Ok(Self { socket, weather, dice: Mutex::new(dice) })
    }

    pub(super) async fn send(&self, host: &str, port: u16, bytes: &[u8]) -> io::Result<()> {
        let (copies, late) = self.fate();
        let to = (host.to_owned(), port);
        if let Some(late) = late {
            let (socket, bytes) = (self.socket.clone(), Bytes::copy_from_slice(bytes));
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                let _ = socket.send_to(&bytes, to).await;
            });
            return Ok(());
        }
        for _ in 0..copies {
            self.socket.send_to(bytes, to.clone()).await?;
        }
        Ok(())
    }

    /// How many copies leave, and how late if late.
    fn fate(&self) -> (usize, Option<Duration>) {
        let mut dice = lock(&self.dice);
        if dice.permille(self.weather.lost_permille) {
            return (0, None);
        }
        if dice.permille(self.weather.late_permille) {
            return (1, Some(Duration::from_millis(dice.between(1, LATE_MS_MAX))));
        }
        (1 + usize::from(dice.permille(self.weather.doubled_permille)), None)
    }

    pub(super) async fn receive(&self) -> io::Result<Bytes> {
        let mut buffer = [0; BYTES_MAX];
        let (len, _) = self.socket.recv_from(&mut buffer).await?;
        Ok(Bytes::copy_from_slice(&buffer[..len]))
    }
}
