//! The addresses of this host's interfaces: where another host of the same network, or any by IPv6, may reach it.

use std::net::{IpAddr, SocketAddr};

/// Returns at which addresses others may reach a socket that is bound to `local`, public and IPv6 ones included; without
/// those that no other host can use.
pub(super) fn of(local: SocketAddr) -> Vec<SocketAddr> {
    let ips = if local.ip().is_unspecified() { interfaces() } else { vec![local.ip()] };
    let reachable = ips.into_iter().filter(|ip| is_reachable(*ip) && (local.is_ipv6() || ip.is_ipv4()));
    let mut hosts: Vec<_> = reachable.map(|ip| SocketAddr::new(ip, local.port())).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

fn is_reachable(ip: IpAddr) -> bool {
    let special = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !ip.is_loopback() && !ip.is_unspecified() && !special
}

#[cfg(unix)]
fn interfaces() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let addresses = interfaces.filter_map(|interface| interface.address);
    let ips = addresses.filter_map(|address| {
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
    });
    ips.map(|ip| ip.to_canonical()).collect()
}

#[cfg(not(unix))]
fn interfaces() -> Vec<IpAddr> {
    // Without them the address that the server sees is tried alone.
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_of_one_address_has_that_one_unless_it_is_loopback() {
        let of = |text: &str| of(text.parse().unwrap());
        assert_eq!(of("127.0.0.1:5000"), []);
        assert_eq!(of("[::1]:5000"), []);
        assert_eq!(of("192.0.2.7:5000"), ["192.0.2.7:5000".parse().unwrap()]);
    }

    #[test]
    fn socket_of_all_addresses_has_none_that_others_cannot_use() {
        for host in of("0.0.0.0:5000".parse().unwrap()) {
            assert!(host.is_ipv4() && host.port() == 5000 && is_reachable(host.ip()), "{host}");
        }
    }
}
