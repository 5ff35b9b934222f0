//! The switch: one thread that takes packets from every station's device and gives each to the device of the station it is
//! for, now, later or never, as the rules say. A link is a queue: packets of one direction never overtake each other.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sim::Dice;

use super::{Rules, station_of};

/// Packets under way on slow links; more are lost, as in a router whose memory is full.
const UNDER_WAY_MAX: usize = 65_536;
/// How many packets are taken from one device before the others get their turn.
const TURN: usize = 64;
const PACKET_LEN_MAX: usize = 65_536;
/// How soon the switch notices that it is to end, when nothing happens.
const IDLE: Duration = Duration::from_millis(100);

/// A switch that runs until it is dropped.
pub(crate) struct Switch {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    /// Starts it over these devices, one a station.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(crate) fn start(devices: Vec<OwnedFd>, rules: Arc<Mutex<Rules>>, seed: u64) -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let (seen, dice) = (Arc::clone(&ended), Dice::of(seed, "packets"));
        let work = move || {
            go_first();
            let mut state = State { devices, rules, dice, under_way: BTreeMap::new(), number: 0 };
            while !seen.load(Ordering::Relaxed) {
                state.turn();
            }
        };
        let thread = std::thread::Builder::new().name("switch".to_owned()).spawn(work)?;
        Ok(Self { ended, thread: Some(thread) })
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the switch had panicked");
        }
    }
}

/// A network does not wait for a processor: the switch comes before what else the machine does, where that is allowed.
fn go_first() {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the structure lives through the call; 0 is the calling thread. Without it the network is slower, no more.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const priority) };
}

struct State {
    devices: Vec<OwnedFd>,
    rules: Arc<Mutex<Rules>>,
    dice: Dice,
    /// When each arrives, in order; the number tells those of one moment apart.
    under_way: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    number: u64,
}

impl State {
    /// Waits until there is something to do, and does it.
    fn turn(&mut self) {
        let mut ready: Vec<libc::pollfd> = self
            .devices
            .iter()
            .map(|device| libc::pollfd { fd: device.as_raw_fd(), events: libc::POLLIN, revents: 0 })
            .collect();
        let next = self.under_way.first_key_value().map(|((at, _), _)| *at);
        let wait = next.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()).min(IDLE));
        // Rounded up: a link never gets faster than it is said to be.
        let millis = wait.as_micros().div_ceil(1000) as libc::c_int;
        // SAFETY: the pointer and the count are those of a list that lives through the call.
        unsafe { libc::poll(ready.as_mut_ptr(), ready.len() as libc::nfds_t, millis) };
        for (station, device) in ready.iter().enumerate() {
            if device.revents & libc::POLLIN != 0 {
                self.take(station);
            }
        }
        let now = Instant::now();
        while let Some(first) = self.under_way.first_entry().filter(|first| first.key().0 <= now) {
            let (to, packet) = first.remove();
            self.deliver(to, &packet);
        }
    }

    /// Takes what a station sends.
    fn take(&mut self, from: usize) {
        let mut packet = [0; PACKET_LEN_MAX];
        for _ in 0..TURN {
            // SAFETY: the buffer is as long as is said, and lives through the call.
            let len = unsafe {
                libc::read(self.devices[from].as_raw_fd(), packet.as_mut_ptr().cast(), packet.len())
            };
            let Ok(len) = usize::try_from(len) else { return };
            self.forward(from, &packet[..len]);
        }
    }

    fn forward(&mut self, from: usize, packet: &[u8]) {
        let Some(to) = station_of(packet).filter(|to| *to < self.devices.len()) else { return };
        let link = self.rules.lock().unwrap_or_else(PoisonError::into_inner).link(from, to);
        if link.cut || self.dice.permille(link.lost_permille.into()) {
            return;
        }
        if link.delay.is_zero() {
            self.deliver(to, packet);
        } else if self.under_way.len() < UNDER_WAY_MAX {
            self.number += 1;
            self.under_way.insert((Instant::now() + link.delay, self.number), (to, packet.to_vec()));
        }
    }

    /// Gives a packet to a station; one that cannot take it loses it.
    fn deliver(&self, to: usize, packet: &[u8]) {
        // SAFETY: the buffer is as long as is said, and lives through the call.
        unsafe { libc::write(self.devices[to].as_raw_fd(), packet.as_ptr().cast(), packet.len()) };
    }
}
