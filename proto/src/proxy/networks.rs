//! Which addresses are those of proxies: networks, as an operator writes them, and a look-up among them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Bits in front of an IPv4 address that is written as IPv6.
const MAPPED: u8 = 96;
/// The first and the last of these.
const FIRST_MAPPED: u128 = 0xFFFF_0000_0000;
const LAST_MAPPED: u128 = 0xFFFF_FFFF_FFFF;

/// A network: an address and how many bits of it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// IPv4 as IPv4-mapped IPv6.
    first: u128,
    /// Of 128 bits.
    prefix: u8,
}

/// The text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkError;

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a network is ADDRESS or ADDRESS/BITS, with zeros after these bits, of which there is at least one")
    }
}

impl std::error::Error for NetworkError {}

impl FromStr for Network {
    type Err = NetworkError;

    /// Takes no network of all addresses: that would trust everybody.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let ip: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let (width, before) = if ip.is_ipv4() { (32, MAPPED) } else { (128, 0) };
        let bits = match bits {
            // No sign, no zeros in front.
            Some(text) if text.starts_with(['+', '0']) => return Err(NetworkError),
            Some(text) => text.parse().map_err(|_| NetworkError)?,
            None => width,
        };
        if bits > width {
            return Err(NetworkError);
        }
        let network = Self { first: wide(ip), prefix: before + bits };
        let is_whole = network.first & network.rest() == 0;
        // Who writes IPv6 means IPv6.
        let holds_ipv4 = ip.is_ipv6() && network.first <= LAST_MAPPED && network.last() >= FIRST_MAPPED;
        if is_whole && !holds_ipv4 { Ok(network) } else { Err(NetworkError) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Ipv6Addr::from_bits(self.first).to_canonical() {
            IpAddr::V4(ip) if self.prefix >= MAPPED => write!(f, "{ip}/{}", self.prefix - MAPPED),
            IpAddr::V4(_) | IpAddr::V6(_) => write!(f, "{}/{}", Ipv6Addr::from_bits(self.first), self.prefix),
        }
    }
}

impl Network {
    /// The bits that do not count.
    const fn rest(self) -> u128 {
        match u128::MAX.checked_shr(self.prefix as u32) {
            Some(rest) => rest,
            None => 0,
        }
    }

    const fn last(self) -> u128 {
        self.first | self.rest()
    }
}

/// Networks in order, none inside another, so that one comparison in a few finds the one of an address.
#[derive(Clone, Debug, Default)]
pub(super) struct Networks(Vec<Network>);

impl Networks {
    pub(super) fn new(networks: &[Network]) -> Self {
        let mut ordered = networks.to_vec();
        // Of two that begin alike, the wider one first.
        ordered.sort_unstable();
        let mut kept: Vec<Network> = Vec::with_capacity(ordered.len());
        for network in ordered {
            if kept.last().is_none_or(|last| network.first > last.last()) {
                kept.push(network);
            }
        }
        Self(kept)
    }

    pub(super) fn contain(&self, ip: IpAddr) -> bool {
        let ip = wide(ip);
        let after = self.0.partition_point(|network| network.first <= ip);
        after.checked_sub(1).is_some_and(|at| ip <= self.0[at].last())
    }
}

/// Returns the address as IPv6, IPv4 as IPv4-mapped.
const fn wide(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(text: &str) -> Networks {
        Networks::new(&text.split(' ').map(|one| one.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn addresses_are_found_from_the_first_to_the_last_of_a_network_and_no_further() {
        let networks =
            networks("198.51.100.0/24 192.0.2.7 2001:db8::/32 198.51.100.64/26 198.51.100.0/25 ::1");
        assert_eq!(networks.0.len(), 4, "those inside others are left out");
        for (ip, expected) in [
            ("192.0.2.6", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("198.51.99.255", false),
            ("198.51.100.0", true),
            ("198.51.100.200", true),
            ("198.51.100.255", true),
            ("198.51.101.0", false),
            ("::ffff:192.0.2.7", true),
            ("::192.0.2.7", false),
            ("::1", true),
            ("::2", false),
            ("2001:db7:ffff::", false),
            ("2001:db8::", true),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true),
            ("2001:db9::", false),
            ("255.255.255.255", false),
        ] {
            assert_eq!(networks.contain(ip.parse().unwrap()), expected, "{ip}");
        }
        assert!(!Networks::default().contain(Ipv6Addr::LOCALHOST.into()));
    }

    #[test]
    fn text_of_a_network_is_read_and_written() {
        for text in ["192.0.2.0/24", "192.0.2.7/32", "128.0.0.0/1", "2001:db8::/32", "::1/128"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        assert_eq!("192.0.2.7".parse::<Network>().unwrap().to_string(), "192.0.2.7/32");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "x/8",
            "192.0.2.0/33",
            "192.0.2.1/24",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2.0/024",
            "0.0.0.0/0",
            "::/0",
            "2001:db8::1/64",
            "::/129",
            "192.0.2/24",
            "192.0.2.0/24/24",
            "192.0.2.0 /24",
            "192.0.2.0/-1",
            "::ffff:192.0.2.0/120",
            "::ffff:0:0/96",
            "::/1",
            "::/80",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text:?}");
        }
    }
}
