//! A network of the run's own: each node lives in a network namespace that has no other way out than a tunnel device, and a
//! switch in this process carries the packets between these devices as [`Rules`] say. Nothing of the machine's network is
//! touched, and nothing has to be removed: namespaces and devices go with the last process that uses them, however it ends.
//! It needs Linux, root and `/dev/net/tun`, and neither `ip`, `tc` nor `nft`.

mod device;
mod rules;
mod switch;

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use device::leave_host;
pub(crate) use rules::Rules;
use switch::Switch;

/// All stations are in here; the last number tells which. The addresses exist only inside the run's namespaces.
const SUBNET: [u8; 3] = [10, 77, 0];
/// More nodes than this are not for one machine.
const NODES_MAX: usize = 100;

/// A network of so many nodes, and this process as the last station.
pub(crate) struct Net {
    namespaces: Vec<OwnedFd>,
    rules: Arc<Mutex<Rules>>,
    // Ends with the network.
    _switch: Switch,
}

impl Net {
    /// Makes it. The calling thread must be in a namespace of its own, see [`leave_host`].
    ///
    /// # Errors
    /// What the system refuses.
    pub(crate) fn new(nodes: usize, seed: u64) -> io::Result<Self> {
        if nodes > NODES_MAX {
            return Err(io::Error::other(format!("a network has {NODES_MAX} nodes at most")));
        }
        let mut namespaces = Vec::new();
        let mut devices = Vec::new();
        for node in 0..nodes {
            let (namespace, tunnel) = device::station(addr(node))?;
            namespaces.push(namespace);
            devices.push(tunnel);
        }
        devices.push(device::tunnel(addr(nodes))?);
        let rules = Arc::new(Mutex::new(Rules::new(nodes + 1)));
        let switch = Switch::start(devices, Arc::clone(&rules), seed)?;
        Ok(Self { namespaces, rules, _switch: switch })
    }

    /// The namespace of a node, for its processes to enter.
    pub(crate) fn namespace(&self, node: usize) -> Option<RawFd> {
        self.namespaces.get(node).map(AsRawFd::as_raw_fd)
    }

    /// What happens to packets from now on.
    pub(crate) fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A station's address.
pub(crate) fn addr(station: usize) -> Ipv4Addr {
    let [a, b, c] = SUBNET;
    // Stations are few, see `NODES_MAX`.
    Ipv4Addr::new(a, b, c, u8::try_from(station + 1).unwrap_or(u8::MAX))
}

/// The station that an IPv4 packet is for.
fn station_of(packet: &[u8]) -> Option<usize> {
    let to: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    let is_ours = packet[0] >> 4 == 4 && to[..3] == SUBNET;
    is_ours.then(|| usize::from(to[3]).checked_sub(1))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_goes_to_the_station_whose_address_it_bears() {
        let mut packet = [0u8; 40];
        packet[0] = 0x45;
        packet[16..20].copy_from_slice(&addr(6).octets());
        assert_eq!(station_of(&packet), Some(6));
        packet[16] = 11;
        assert_eq!(station_of(&packet), None, "somebody else's network");
        packet[0] = 0x60;
        assert_eq!(station_of(&packet), None, "IPv6");
        assert_eq!(station_of(&packet[..19]), None, "too short");
    }
}
