//! The addresses under which clients call the server, where these are not its own.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// An address under which clients call the server: its own only where nothing translates addresses between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicAddress {
    /// The IP address.
    pub ip: IpAddr,
    /// The port; unset: the one that the server is bound to.
    pub port: Option<u16>,
}

impl PublicAddress {
    /// Returns the address, with `bound` where no port is set.
    #[must_use]
    pub fn or_port(self, bound: u16) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.unwrap_or(bound))
    }

    /// Reads a list: addresses with or without a port, separated by commas. `None` if one is no address.
    pub(super) fn list(text: &str) -> Option<Vec<Self>> {
        text.split(',').map(|one| Self::parse(one.trim())).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        if let Ok(ip) = text.parse() {
            return Some(Self { ip, port: None });
        }
        let address: SocketAddr = text.parse().ok()?;
        (address.port() != 0).then_some(Self { ip: address.ip(), port: Some(address.port()) })
    }
}

impl fmt::Display for PublicAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(out),
            None => self.ip.fmt(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_holds_addresses_of_both_families_with_or_without_a_port() {
        let list = PublicAddress::list("203.0.113.5,[2001:db8::5]:4000 , 2001:db8::6").unwrap();
        let expected = ["203.0.113.5:1066", "[2001:db8::5]:4000", "[2001:db8::6]:1066"];
        assert_eq!(list.iter().map(|one| one.or_port(1066).to_string()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_no_address_spoils_the_list() {
        for text in ["", ",", "example.org", "203.0.113.5,", "203.0.113.5:0", "203.0.113.5:70000", "[::1]"] {
            assert_eq!(PublicAddress::list(text), None, "{text:?}");
        }
    }
}
