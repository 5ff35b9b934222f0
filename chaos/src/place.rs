//! Where each node of a run is: its name, zone, ports and files.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::bail;
use sim::scenario::Scenario;

use crate::net;

/// Ports are taken from here: below those that the system gives to outgoing connections, which could take the port of a
/// node while it is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// From one try for a free port to the next.
const PORT_STEP: u16 = 2;
/// The ports of a node that has a network of its own.
const HTTP_PORT: u16 = 6602;
const CLUSTER_PORT: u16 = 7602;

/// One node's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its number, from 0.
    pub(crate) number: usize,
    /// Its name.
    pub(crate) name: String,
    /// Its zone.
    pub(crate) zone: String,
    /// Its data directory.
    pub(crate) data: PathBuf,
    /// Where its standard error goes, across restarts.
    pub(crate) log: PathBuf,
    /// Where clients reach it.
    pub(crate) http: SocketAddr,
    /// Where other nodes reach it.
    pub(crate) cluster: SocketAddr,
}

/// Where nodes can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// On loopback, each on ports of its own; the number spreads concurrent runs over the ports.
    Ports(u32),
    /// On the same ports, each in a network namespace of its own.
    Namespaces,
}

/// The places of a scenario's nodes below a folder.
///
/// # Errors
/// When there are not enough free ports.
pub(crate) fn places(scenario: &Scenario, folder: &Path, spread: Spread) -> anyhow::Result<Vec<Place>> {
    let mut ports = free_ports(if let Spread::Ports(start) = spread { start } else { 0 });
    let mut places = Vec::new();
    for number in 0..scenario.nodes {
        let (http, cluster) = match spread {
            Spread::Namespaces => {
                let at = |port| SocketAddr::from((net::addr(number), port));
                (at(HTTP_PORT), at(CLUSTER_PORT))
            }
            Spread::Ports(_) => match (ports.next(), ports.next()) {
                (Some(http), Some(cluster)) => (http, cluster),
                _ => bail!("there are not enough free ports in {PORTS:?}"),
            },
        };
        let name = format!("n{}", number + 1);
        places.push(Place {
            number,
            zone: format!("az{}", scenario.zone_of(number) + 1),
            data: folder.join(&name),
            log: folder.join(format!("{name}.log")),
            name,
            http,
            cluster,
        });
    }
    Ok(places)
}

/// Ports that nobody listens on, for TCP and UDP.
fn free_ports(start: u32) -> impl Iterator<Item = SocketAddr> {
    let count = u32::from((PORTS.end - PORTS.start) / PORT_STEP);
    let port = move |step: u32| {
        let step = (start.wrapping_mul(31) % count + step) % count;
        PORTS.start + PORT_STEP * u16::try_from(step).unwrap_or_default()
    };
    let is_free = |addr: &SocketAddr| TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok();
    (0..count).map(move |step| SocketAddr::from((Ipv4Addr::LOCALHOST, port(step)))).filter(is_free)
}

impl Place {
    /// The arguments of `llmhub` that run it.
    pub(crate) fn args(&self, model_root: Option<&Path>) -> Vec<String> {
        let mut args: Vec<String> = ["node", "--name", &self.name, "--zone", &self.zone, "--data"]
            .into_iter()
            .map(str::to_owned)
            .collect();
        args.push(self.data.display().to_string());
        args.extend(["--http".to_owned(), self.http.to_string()]);
        args.extend(["--cluster".to_owned(), self.cluster.to_string()]);
        if !self.http.ip().is_loopback() {
            // Nobody but the run is in its namespaces.
            args.push("--allow-plain-http".to_owned());
        }
        if let Some(root) = model_root {
            args.extend(["--model-root".to_owned(), root.display().to_string()]);
        }
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_ports_of_their_own_and_the_scenarios_zones() {
        let scenario = Scenario::nodes(5);
        let places = places(&scenario, Path::new("/d"), Spread::Ports(std::process::id())).unwrap();
        let mut ports: Vec<_> = places.iter().flat_map(|place| [place.http, place.cluster]).collect();
        ports.sort();
        ports.dedup();
        assert_eq!(ports.len(), 10);
        assert_eq!((places[4].name.as_str(), places[4].zone.as_str()), ("n5", "az2"));
        let args = places[0].args(Some(Path::new("/m"))).join(" ");
        assert!(args.starts_with("node --name n1 --zone az1 --data /d/n1 --http 127.0.0.1:"), "{args}");
        assert!(args.ends_with("--model-root /m"), "{args}");
    }

    #[test]
    fn nodes_in_namespaces_differ_by_address_and_say_that_theirs_is_private() {
        let places = places(&Scenario::nodes(2), Path::new("/d"), Spread::Namespaces).unwrap();
        assert_eq!(places[0].http.port(), places[1].http.port());
        assert_ne!(places[0].http.ip(), places[1].http.ip());
        assert!(places[0].args(None).contains(&"--allow-plain-http".to_owned()));
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let first = free_ports(7).next().unwrap();
        let _taken = TcpListener::bind(first).unwrap();
        assert_ne!(free_ports(7).next().unwrap(), first);
    }
}
