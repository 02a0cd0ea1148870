//! Which header proxies put before datagrams, and which proxies are believed.

use roundtable_proto::proxy::{Network, Protocol};

/// Which header the proxies before the server speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// There are none.
    Off,
    /// The Simple Proxy Protocol: before every datagram, both ways.
    Spp,
    /// The PROXY protocol, version 2: before the first datagram of a flow.
    V2,
}

impl ProxyProtocol {
    /// Every choice, in the order of the message that names them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Spp, Self::V2];

    /// Finds a choice by its name, without regard to case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(name))
    }

    /// The name used in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Spp => "spp",
            Self::V2 => "v2",
        }
    }

    /// Returns the protocol, if there is one.
    #[must_use]
    pub const fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Off => None,
            Self::Spp => Some(Protocol::Spp),
            Self::V2 => Some(Protocol::V2),
        }
    }
}

/// Reads a list of networks, separated by commas. `None` if one is none.
pub(super) fn networks(text: &str) -> Option<Vec<Network>> {
    text.split(',').map(|one| one.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_holds_networks_of_both_families_and_single_addresses() {
        let list = networks("192.0.2.0/24,2001:db8::/32 , 198.51.100.7").unwrap();
        let texts: Vec<_> = list.iter().map(Network::to_string).collect();
        assert_eq!(texts, ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32"]);
        for text in ["", ",", "192.0.2.0/24,", "192.0.2.1/24", "0.0.0.0/0", "proxy.example"] {
            assert_eq!(networks(text), None, "{text:?}");
        }
    }
}
