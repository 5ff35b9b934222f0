//! Datagrams as a bad network carries them: lost, doubled, late, each by the weather's chance. turmoil's own loss cuts
//! whole links, TCP included, so it is not used. The socket belongs to a task, so that it goes when its host dies,
//! whoever still holds a handle.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use turmoil::net::UdpSocket;

use super::{CLUSTER_PORT, lock};
use crate::Dice;
use crate::scenario::Weather;

/// The largest datagram read.
const BYTES_MAX: usize = 2048;
/// How long after its turn a late one leaves, at most, in milliseconds.
const LATE_MS_MAX: u64 = 200;
/// Datagrams that wait to leave or to be read; more are lost, as in a kernel.
const WAITING_MAX: usize = 1024;

/// A host, a port, and what goes there.
type Parcel = (String, u16, Bytes);

/// A host's datagram socket.
pub(super) struct Datagrams {
    outbox: mpsc::Sender<Parcel>,
    inbox: tokio::sync::Mutex<mpsc::Receiver<Bytes>>,
    weather: Weather,
    dice: Mutex<Dice>,
}

impl Datagrams {
    pub(super) async fn open(weather: Weather, dice: Dice) -> io::Result<Self> {
        let socket = UdpSocket::bind(("0.0.0.0", CLUSTER_PORT)).await?;
        let (outbox, to_send) = mpsc::channel(WAITING_MAX);
        let (arrived, inbox) = mpsc::channel(WAITING_MAX);
        tokio::spawn(work(socket, to_send, arrived));
        Ok(Self { outbox, inbox: tokio::sync::Mutex::new(inbox), weather, dice: Mutex::new(dice) })
    }

    pub(super) fn send(&self, host: &str, port: u16, bytes: &[u8]) {
        let (copies, late) = self.fate();
        let parcel = (host.to_owned(), port, Bytes::copy_from_slice(bytes));
        if let Some(late) = late {
            let outbox = self.outbox.clone();
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                let _ = outbox.try_send(parcel);
            });
            return;
        }
        for _ in 0..copies {
            let _ = self.outbox.try_send(parcel.clone());
        }
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
        let arrived = self.inbox.lock().await.recv().await;
        arrived.ok_or_else(|| io::Error::other("the socket is closed"))
    }
}

/// Sends and receives until nobody sends any more.
async fn work(socket: UdpSocket, mut to_send: mpsc::Receiver<Parcel>, arrived: mpsc::Sender<Bytes>) {
    let mut buffer = [0; BYTES_MAX];
    loop {
        tokio::select! {
            biased;
            parcel = to_send.recv() => {
                let Some((host, port, bytes)) = parcel else { return };
                // Datagrams to nowhere are lost.
                let _ = socket.send_to(&bytes, (host, port)).await;
            }
            received = socket.recv_from(&mut buffer) => {
                if let Ok((len, _)) = received {
                    let _ = arrived.try_send(Bytes::copy_from_slice(&buffer[..len]));
                }
            }
        }
    }
}
