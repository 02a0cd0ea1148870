//! What those may do who hold no account of their own: by source address and port, and by prefix. SPEC 12
//!
//! The port comes first: behind a carrier's NAT thousands share an address, and one of them who knocks without end
//! uses up his own allowance, not that of the others. The prefix bounds him who has many ports, and what can be sent to
//! others in their name: an IPv4 address; in IPv6, where a house has 2^64 addresses and a site 2^80, /64, /56 and /48.

use std::time::Duration;

use super::path::Endpoint;
use super::rate::{Rate, Stamp};
use super::sketch::Sketch;
use crate::Instant;
use crate::keyed::Prf;

/// Accounts for addresses with their ports: two rows of 2^18, 2 MiB.
const ENDPOINT_BITS: u32 = 18;
/// Accounts for prefixes: two rows of 2^16, 512 KiB.
const PREFIX_BITS: u32 = 16;

/// What is allowed to whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// For an IPv4 address or an IPv6 /64, a second; twice as much for a /56, four times for a /48. Zero: no limit.
    pub(super) per_prefix: u32,
    /// Seconds of that which may come at once.
    pub(super) seconds_at_once: u32,
    /// For an address and port, a second.
    pub(super) per_endpoint: u32,
    /// Of these, at once.
    pub(super) endpoint_at_once: u32,
}

struct Limits {
    endpoint: Rate,
    /// For an IPv4 address or a /64, for a /56, for a /48.
    prefixes: [Rate; 3],
}

pub(super) struct Crowd {
    limits: Option<Limits>,
    endpoints: Sketch,
    prefixes: Sketch,
    positions: Prf,
}

/// The place of a source's prefix in every table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(pub(super) u64);

impl Crowd {
    pub(super) fn new(allowance: Allowance, positions: Prf) -> Self {
        let limits = limits(&allowance);
        let size = |bits| if limits.is_some() { bits } else { 0 };
        Self {
            endpoints: Sketch::new(size(ENDPOINT_BITS)),
            prefixes: Sketch::new(size(PREFIX_BITS)),
            limits,
            positions,
        }
    }

    /// Takes one piece for a source.
    ///
    /// # Errors
    /// How long it takes until there is room; nothing was taken then.
    pub(super) fn take(&mut self, now: Instant, source: &Endpoint) -> Result<(), Duration> {
        let Some(limits) = &self.limits else { return Ok(()) };
        let now = Stamp::at(now);
        let endpoint = self.positions.position(&source.octets());
        self.endpoints.admits(endpoint, now, &limits.endpoint)?;
        let places = prefixes(source).map(|prefix| prefix.map(|prefix| self.positions.position(&prefix)));
        let levels = || places.into_iter().zip(&limits.prefixes);
        for (place, rate) in levels() {
            if let Some(place) = place {
                self.prefixes.admits(place, now, rate)?;
            }
        }
        self.endpoints.spend(endpoint, now, &limits.endpoint);
        for (place, rate) in levels() {
            if let Some(place) = place {
                self.prefixes.spend(place, now, rate);
            }
        }
        Ok(())
    }

    /// Returns where the prefix of a source stands: its IPv4 address or /64.
    pub(super) fn place(&self, source: &Endpoint) -> Place {
        let [first, ..] = prefixes(source);
        Place(first.map_or(0, |prefix| self.positions.position(&prefix)))
    }
}

fn limits(allowance: &Allowance) -> Option<Limits> {
    let Allowance { per_prefix, seconds_at_once, per_endpoint, endpoint_at_once } = *allowance;
    let prefix = |times: u64| {
        let per_second = u64::from(per_prefix) * times;
        Rate::new(per_second, per_second * u64::from(seconds_at_once))
    };
    Some(Limits {
        prefixes: [prefix(1)?, prefix(2)?, prefix(4)?],
        endpoint: Rate::new(per_endpoint.into(), endpoint_at_once.into())?,
    })
}

/// Returns the prefixes of a source, narrowest first, each with its length in front.
fn prefixes(source: &Endpoint) -> [Option<[u8; 9]>; 3] {
    let ip = source.ip();
    let of = |length: u8, bytes: &[u8]| {
        let mut prefix = [0; 9];
        prefix[0] = length;
        prefix[1..=bytes.len()].copy_from_slice(bytes);
        Some(prefix)
    };
    if source.is_ipv4() {
        return [of(32, &ip[12..]), None, None];
    }
    [of(64, &ip[..8]), of(56, &ip[..7]), of(48, &ip[..6])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyed::Seed;

    fn crowd() -> Crowd {
        let allowance =
            Allowance { per_prefix: 100, seconds_at_once: 1, per_endpoint: 1, endpoint_at_once: 5 };
        Crowd::new(allowance, Seed::from_number(1).key(b'x'))
    }

    fn taken(crowd: &mut Crowd, sources: impl IntoIterator<Item = String>) -> usize {
        let now = Instant::from_micros(5_000_000);
        let endpoint = |text: String| Endpoint::from(text.parse::<std::net::SocketAddr>().unwrap());
        sources.into_iter().filter(|text| crowd.take(now, &endpoint(text.clone())).is_ok()).count()
    }

    #[test]
    fn who_knocks_without_end_uses_up_his_own_port_alone() {
        let mut crowd = crowd();
        assert_eq!(taken(&mut crowd, (0..1000).map(|_| "192.0.2.1:9".to_owned())), 5);
        assert_eq!(taken(&mut crowd, (1000..2000).map(|port| format!("192.0.2.1:{port}"))), 95);
        assert_eq!(taken(&mut crowd, (1000..2000).map(|port| format!("192.0.2.2:{port}"))), 100);
    }

    #[test]
    fn ipv6_counts_by_64_56_and_48() {
        let one = |n: u32| format!("[2001:db8:1:1::{n:x}]:9");
        assert_eq!(taken(&mut crowd(), (1..1000).map(one)), 100);
        let of_a_56 = |n: u32| format!("[2001:db8:1:1{:02x}::{n:x}]:9", n % 256);
        assert_eq!(taken(&mut crowd(), (1..1000).map(of_a_56)), 200);
        let of_a_48 = |n: u32| format!("[2001:db8:1:{n:x}::1]:9");
        assert_eq!(taken(&mut crowd(), (1..0x10000).step_by(17).map(of_a_48)), 400);
        let of_a_32 = |n: u32| format!("[2001:db8:{n:x}::1]:9");
        assert_eq!(taken(&mut crowd(), (1..1000).map(of_a_32)), 999);
    }

    #[test]
    fn mapped_ipv4_counts_as_ipv4() {
        let mapped = |n: u32| format!("[::ffff:192.0.2.1]:{n}");
        assert_eq!(taken(&mut crowd(), (1..1000).map(mapped)), 100);
    }

    #[test]
    fn no_limit_takes_all_and_no_memory() {
        let allowance = Allowance { per_prefix: 0, seconds_at_once: 1, per_endpoint: 1, endpoint_at_once: 5 };
        let mut crowd = Crowd::new(allowance, Seed::from_number(1).key(b'x'));
        assert_eq!(taken(&mut crowd, (0..1000).map(|_| "192.0.2.1:9".to_owned())), 1000);
    }
}
