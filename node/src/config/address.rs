//! Addresses as people write them: `host:port`, with brackets around an IPv6 host. `resolve` uses it.

use std::net::{IpAddr, SocketAddr};

/// Splits `host:port`; the host without brackets.
///
/// # Errors
/// How it should look.
pub(super) fn split(addr: &str) -> Result<(&str, u16), String> {
    let wrong = || format!("`{addr}` is no address: write host:port, such as 127.0.0.1:6602 or [::1]:6602");
    let (host, port) = addr.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    if host.is_empty() || (bare.is_none() && host.contains(':')) || host.contains(['/', ' ']) {
        return Err(wrong());
    }
    Ok((host, port))
}

/// Joins a host and a port.
pub(super) fn join(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

/// Whether it stands for all addresses of the machine, so that nobody can be told to call it.
pub(super) fn is_unspecified(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

/// Whether only this machine can reach it.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_and_joined() {
        for (text, host, port) in
            [("127.0.0.1:1", "127.0.0.1", 1), ("[::1]:2", "::1", 2), ("gpu-7.lan:3", "gpu-7.lan", 3)]
        {
            assert_eq!(split(text), Ok((host, port)));
            assert_eq!(join(host, port), text);
        }
        for bad in ["127.0.0.1", ":1", "::1:2", "a:x", "a:70000", "http://a:1", ""] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }
}
