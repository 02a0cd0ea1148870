//! Where a datagram came from, and so where its answer goes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// How a datagram reached this host, as a tag of the driver's own: which local address, port or proxy.
///
/// The engine keeps the tag with the peer and hands it back with each datagram to it, so that answers leave by the way
/// that was asked. It never looks inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Via(pub u32);

/// A remote address and the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The other end. IPv4 and IPv4-mapped IPv6 are the same address to the engine, which always says IPv4.
    pub remote: SocketAddr,
    /// The way.
    pub via: Via,
}

impl From<SocketAddr> for Path {
    fn from(remote: SocketAddr) -> Self {
        Self { remote, via: Via::default() }
    }
}

/// A remote address in 22 bytes, IPv4 as IPv4-mapped IPv6: what the engine stores and compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    ip: [u8; 16],
    /// Big-endian; as bytes, so that nothing has to be aligned.
    scope: [u8; 4],
    port: u16,
}

/// The IPv4-mapped IPv6 address of 0.0.0.0.
const MAPPED: u128 = 0xFFFF << 32;

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        // As a number and not as octets, which would be moved and compared one by one.
        let (ip, scope) = match address {
            SocketAddr::V4(v4) => (MAPPED | u128::from(v4.ip().to_bits()), 0),
            SocketAddr::V6(v6) => (v6.ip().to_bits(), v6.scope_id()),
        };
        Self { ip: ip.to_be_bytes(), scope: u32::to_be_bytes(scope), port: address.port() }
    }
}

impl Endpoint {
    /// Returns the socket address, IPv4 as IPv4.
    pub(super) fn socket_addr(&self) -> SocketAddr {
        let ip = u128::from_be_bytes(self.ip);
        if self.is_ipv4() {
            return SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(ip as u32)), self.port);
        }
        let scope = u32::from_be_bytes(self.scope);
        SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from_bits(ip), self.port, 0, scope))
    }

    /// Returns the address, IPv4 as IPv4-mapped IPv6.
    pub(super) const fn ip(&self) -> &[u8; 16] {
        &self.ip
    }

    /// Tells whether it is IPv4.
    pub(super) fn is_ipv4(&self) -> bool {
        u128::from_be_bytes(self.ip) >> 32 == MAPPED >> 32
    }

    /// Returns the bytes that a cookie is bound to.
    pub(super) fn octets(&self) -> [u8; 22] {
        let mut octets = [0; 22];
        octets[..16].copy_from_slice(&self.ip);
        octets[16..20].copy_from_slice(&self.scope);
        octets[20..].copy_from_slice(&self.port.to_be_bytes());
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_ipv4_and_ipv4_are_the_same_endpoint() {
        let v4: SocketAddr = "192.0.2.1:5000".parse().unwrap();
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:5000".parse().unwrap();
        assert_eq!(Endpoint::from(v4), Endpoint::from(mapped));
        assert_eq!(Endpoint::from(mapped).socket_addr(), v4);
    }

    #[test]
    fn scope_of_a_link_local_address_is_kept() {
        let address = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 0, 3));
        assert_eq!(Endpoint::from(address).socket_addr(), address);
    }
}
