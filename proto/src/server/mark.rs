//! What a session says of the address that it was given to, so that a filter in front of the engine tells a peer from a
//! stranger by the datagram alone.
//!
//! Such a filter holds no table, and whoever floods can write any session into any frame. So the last four bytes of a session are a
//! hash of its peer's address and port under a secret of this server. It is a hash that a kernel's classic filter can
//! compute, and no MAC: who studies the marks of many addresses of his own may learn to make others. Nothing is
//! believed for a mark's sake. It decides who is dropped first while more comes than can be served, no more; the engine
//! compares all of a session, of which 64 bits are random, with the peer's. SPEC 12

use std::net::{IpAddr, SocketAddr};

use crate::keyed::Prf;

/// Bytes of the mark at the end of a session.
pub const MARK: usize = 4;

/// The secret hash of addresses behind the marks in sessions.
///
/// ```text
/// h = port * a + b                      for IPv6 b' in place of b
/// for each word w of the address:       one for IPv4, four for IPv6, in network order
///     h = (h ^ w) * c;  h = h ^ h >> 15
/// mark = (h * d) ^ (h * d) >> 13        all modulo 2^32
/// ```
#[derive(Clone, Copy)]
pub struct Marker {
    /// a, odd.
    pub port: u32,
    /// b for IPv4 and for IPv6.
    pub family: [u32; 2],
    /// c, odd.
    pub word: u32,
    /// d, odd.
    pub last: u32,
}

/// The shift after each word of an address.
pub const WORD_SHIFT: u32 = 15;
/// The shift at the end.
pub const LAST_SHIFT: u32 = 13;

impl Marker {
    pub(super) fn new(secret: &Prf) -> Self {
        let words = |domain| -> [u32; 4] {
            let tag = secret.tag(domain, b"mark");
            std::array::from_fn(|at| {
                u32::from_be_bytes([tag[4 * at], tag[4 * at + 1], tag[4 * at + 2], tag[4 * at + 3]])
            })
        };
        let ([port, word, last, _], [v4, v6, ..]) = (words(0), words(1));
        Self { port: port | 1, family: [v4, v6], word: word | 1, last: last | 1 }
    }

    /// Returns the mark of a source. A mapped IPv4 address is an IPv4 address.
    #[must_use]
    pub fn mark(&self, source: SocketAddr) -> u32 {
        let start = u32::from(source.port()).wrapping_mul(self.port);
        let step = |hash: u32, word: u32| {
            let hash = (hash ^ word).wrapping_mul(self.word);
            hash ^ hash >> WORD_SHIFT
        };
        let hash = match source.ip().to_canonical() {
            IpAddr::V4(v4) => step(start.wrapping_add(self.family[0]), v4.to_bits()),
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                let words = [96, 64, 32, 0].map(|shift| (bits >> shift) as u32);
                words.into_iter().fold(start.wrapping_add(self.family[1]), step)
            }
        };
        let hash = hash.wrapping_mul(self.last);
        hash ^ hash >> LAST_SHIFT
    }
}

impl std::fmt::Debug for Marker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Marker(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyed::Seed;

    fn marker(number: u64) -> Marker {
        Marker::new(&Seed::from_number(number).key(b'x'))
    }

    #[test]
    fn marks_differ_by_address_port_family_and_secret() {
        let sources =
            ["192.0.2.1:9", "192.0.2.1:10", "192.0.2.2:9", "[2001:db8::1]:9", "[2001:db8::1:0:1]:9"];
        let mut marks: Vec<_> = sources.iter().map(|text| marker(1).mark(text.parse().unwrap())).collect();
        marks.push(marker(2).mark(sources[0].parse().unwrap()));
        let count = marks.len();
        marks.sort_unstable();
        marks.dedup();
        assert_eq!(marks.len(), count);
    }

    #[test]
    fn mapped_ipv4_has_the_mark_of_ipv4() {
        let of = |text: &str| marker(1).mark(text.parse().unwrap());
        assert_eq!(of("[::ffff:192.0.2.1]:9"), of("192.0.2.1:9"));
    }

    #[test]
    fn marks_of_neighbours_spread_over_all_values() {
        let mut marks: Vec<u32> =
            (0..50_000u16).map(|port| marker(1).mark(SocketAddr::from(([192, 0, 2, 1], port)))).collect();
        marks.sort_unstable();
        marks.dedup();
        assert!(marks.len() > 49_900, "{}", marks.len());
        assert!(marks.iter().filter(|mark| **mark >> 31 == 1).count().abs_diff(25_000) < 1000);
    }
}
