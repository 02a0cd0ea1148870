//! Which source addresses can be nobody's. Looked at before a stranger gets anything. SPEC 12

use std::net::{IpAddr, SocketAddr};

use super::names::may_be_translated;

/// Tells whether an answer to `source` could reach nobody, or somebody who did not ask: port 0, an address that is none
/// or many, one of a range that is not routed to where the datagram came to, which is `local` where that is known.
pub(super) fn is_impossible(source: SocketAddr, local: Option<SocketAddr>) -> bool {
    let ip = source.ip().to_canonical();
    if source.port() == 0 || !is_unicast(ip) {
        return true;
    }
    let Some(local) = local.map(|local| local.ip()) else { return false };
    // A host speaks to itself from the address that it is asked at, or from loopback.
    (ip.is_loopback() && !local.is_loopback())
        || (may_be_translated(ip) && !may_be_translated(local) && !local.is_loopback())
}

/// Tells whether a client at `source` knows the host of this local address by another one, which the host cannot tell.
pub(super) const fn is_hidden(source: SocketAddr, local: SocketAddr) -> bool {
    let source = source.ip().to_canonical();
    may_be_translated(local.ip()) && !may_be_translated(source) && !source.is_loopback()
}

/// Tells whether an address can be that of one host.
const fn is_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            // 0.0.0.0/8 is "this network" (RFC 1122), 240.0.0.0/4 is reserved and ends with broadcast (RFC 1112).
            let [first, ..] = v4.octets();
            first != 0 && first < 240 && !v4.is_multicast()
        }
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn impossible(source: &str, local: &str) -> bool {
        is_impossible(source.parse().unwrap(), local.parse().ok())
    }

    #[test]
    fn addresses_of_nobody_are_impossible_wherever_they_come_to() {
        for source in [
            "192.0.2.1:0",
            "[2001:db8::1]:0",
            "0.0.0.0:9",
            "0.1.2.3:9",
            "224.0.0.1:9",
            "239.255.255.250:1900",
            "240.0.0.1:9",
            "255.255.255.255:9",
            "[::]:9",
            "[ff02::1]:9",
            "[::ffff:224.0.0.1]:9",
        ] {
            for local in ["", "127.0.0.1:1", "203.0.113.1:1", "10.0.0.1:1"] {
                assert!(impossible(source, local), "{source} at {local}");
            }
        }
    }

    #[test]
    fn private_address_is_hidden_from_who_has_none() {
        for (source, local, expected) in [
            ("203.0.113.9:9", "10.0.0.1:1", true),
            ("203.0.113.9:9", "203.0.113.1:1", false),
            ("10.1.2.3:9", "10.0.0.1:1", false),
            ("[::ffff:10.1.2.3]:9", "10.0.0.1:1", false),
            ("127.0.0.1:9", "127.0.0.1:1", false),
            ("[2001:db8::9]:9", "[fd00::1]:1", true),
        ] {
            assert_eq!(
                is_hidden(source.parse().unwrap(), local.parse().unwrap()),
                expected,
                "{source} at {local}"
            );
        }
    }

    #[test]
    fn ranges_that_are_not_routed_are_taken_only_where_the_server_is_in_one() {
        for (source, local, expected) in [
            ("127.0.0.1:9", "127.0.0.1:1", false),
            ("127.0.0.1:9", "127.0.0.9:1", false),
            ("[::1]:9", "[::1]:1", false),
            ("127.0.0.1:9", "203.0.113.1:1", true),
            ("[::1]:9", "[2001:db8::1]:1", true),
            ("[::ffff:127.0.0.1]:9", "10.0.0.1:1", true),
            ("10.1.2.3:9", "203.0.113.1:1", true),
            ("100.64.0.1:9", "203.0.113.1:1", true),
            ("169.254.7.7:9", "203.0.113.1:1", true),
            ("[fd00::1]:9", "[2001:db8::1]:1", true),
            ("[fe80::1]:9", "[2001:db8::1]:1", true),
            ("10.1.2.3:9", "192.168.0.1:1", false),
            ("100.64.0.1:9", "10.0.0.1:1", false),
            ("10.1.2.3:9", "127.0.0.1:1", false),
            ("203.0.113.9:9", "10.0.0.1:1", false),
            ("203.0.113.9:9", "203.0.113.1:1", false),
            // Where the driver does not know, it is not judged.
            ("127.0.0.1:9", "", false),
            ("10.1.2.3:9", "", false),
        ] {
            assert_eq!(impossible(source, local), expected, "{source} at {local}");
        }
    }
}
