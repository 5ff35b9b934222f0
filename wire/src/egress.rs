//! Which addresses may be called from here. Implementations of [`crate::Network::connect`] ask after name resolution, for
//! each address they would connect to, so that no name can point a call at the machine's own metadata service.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The error inside an `io::Error` for an address that may not be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Forbidden(pub &'static str);

impl From<Forbidden> for io::Error {
    fn from(forbidden: Forbidden) -> Self {
        io::Error::new(io::ErrorKind::PermissionDenied, forbidden)
    }
}

const LINK_LOCAL: &str = "it is a link-local address";
const METADATA: &str = "it is the address of a cloud's metadata service";
const NO_HOST: &str = "it is not the address of one host";

/// Metadata services outside the link-local range: Alibaba, Azure's wire server, Oracle's classic one.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
/// Metadata services over IPv6: AWS, Google.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Whether an address may be called; otherwise why not. Loopback and private networks may: engines and own servers are there.
pub fn allowed(ip: IpAddr) -> Result<(), &'static str> {
    match ip {
        IpAddr::V4(ip) => allowed_v4(ip),
        IpAddr::V6(ip) => allowed_v6(ip),
    }
}

fn allowed_v4(ip: Ipv4Addr) -> Result<(), &'static str> {
    if ip == Ipv4Addr::new(169, 254, 169, 254) || METADATA_V4.contains(&ip) {
        return Err(METADATA);
    }
    if ip.is_link_local() {
        return Err(LINK_LOCAL);
    }
    // All of 0.0.0.0/8 means "this network"; systems connect it to loopback.
    if ip.octets()[0] == 0 || ip.is_multicast() || ip.is_broadcast() {
        return Err(NO_HOST);
    }
    Ok(())
}

fn allowed_v6(ip: Ipv6Addr) -> Result<(), &'static str> {
    if METADATA_V6.contains(&ip) {
        return Err(METADATA);
    }
    if ip.is_unicast_link_local() {
        return Err(LINK_LOCAL);
    }
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(NO_HOST);
    }
    embedded_v4(ip).map_or(Ok(()), allowed_v4)
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, NAT64 or 6to4.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = ip.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        _ if ip.is_loopback() => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(v4(high, low)),
        [0, 0, 0, 0, 0xffff, 0, high, low] => Some(v4(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_services_and_link_local_addresses_may_not_be_called_in_any_spelling() {
        for bad in [
            "169.254.169.254",
            "169.254.1.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            let ip: IpAddr = bad.parse().expect(bad);
            assert!(allowed(ip).is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback_private_and_public_addresses_may_be_called() {
        for good in [
            "127.0.0.1",
            "10.0.0.7",
            "192.168.1.1",
            "172.16.0.1",
            "1.1.1.1",
            "::1",
            "fd12::1",
            "2606:4700::1111",
        ] {
            let ip: IpAddr = good.parse().expect(good);
            assert_eq!(allowed(ip), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_forbidden_address_is_told_through_an_io_error() {
        let error = io::Error::from(Forbidden(METADATA));
        let inner = error.get_ref().and_then(|e| e.downcast_ref::<Forbidden>());
        assert_eq!(inner, Some(&Forbidden(METADATA)));
    }
}
