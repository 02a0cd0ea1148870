//! Which addresses of the other peer are tried, how far each has come, and which is best. Knows nothing of frames. SPEC 8

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::constants::{CHECK_APART, CHECKS_MAX, HOST_INTERVAL, HOST_PROBES, PROBE_INTERVAL};
use super::event::PathKind;
use crate::Instant;
use crate::wire::Address;

/// One address of the other peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    pub(super) peer: SocketAddr,
    pub(super) kind: PathKind,
    /// When to send the next PROBE; `None`: not by itself.
    pub(super) next: Option<Instant>,
    /// PROBEs sent.
    times: u32,
    /// The round trip of its first answer.
    pub(super) proved: Option<Duration>,
}

/// How good an address is: the less the better. The same network comes before IPv6, and that before public IPv4. SPEC 8
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Local,
    Ipv6,
    Ipv4,
}

impl Rank {
    pub(super) fn of(peer: SocketAddr) -> Self {
        match peer.ip() {
            IpAddr::V4(ip) if ip.is_private() => Self::Local,
            IpAddr::V6(ip) if ip.is_unique_local() => Self::Local,
            IpAddr::V6(_) => Self::Ipv6,
            IpAddr::V4(_) => Self::Ipv4,
        }
    }
}

/// The addresses of the other peer, [`CHECKS_MAX`] at most.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<Check>);

impl Checks {
    /// Adds an address, unless it is there or there is no room. Those of one moment start a little apart.
    pub(super) fn add(&mut self, now: Instant, peer: SocketAddr, kind: PathKind) -> Option<&mut Check> {
        if let Some(at) = self.position(peer) {
            return self.0.get_mut(at);
        }
        if self.0.len() >= CHECKS_MAX {
            return None;
        }
        let busy = self.0.iter().filter(|check| check.next.is_some_and(|next| next >= now)).count();
        let next = match kind {
            PathKind::Host | PathKind::Observed => Some(now + CHECK_APART * u32::try_from(busy).unwrap_or(0)),
            // Only in answer to what comes from there: nobody is flooded.
            PathKind::Learned => None,
        };
        self.0.push(Check { peer, kind, next, times: 0, proved: None });
        self.0.last_mut()
    }

    /// Forgets the address that the server named before, unless it is proved.
    pub(super) fn replace_observed(&mut self) {
        self.0.retain(|check| check.kind != PathKind::Observed || check.proved.is_some());
    }

    pub(super) fn find(&self, peer: SocketAddr) -> Option<&Check> {
        self.position(peer).and_then(|at| self.0.get(at))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn position(&self, peer: SocketAddr) -> Option<usize> {
        self.0.iter().position(|check| Address::from(check.peer) == Address::from(peer))
    }

    /// Returns the best address that has answered.
    pub(super) fn best(&self) -> Option<Check> {
        let proved = self.0.iter().filter(|check| check.proved.is_some());
        proved.min_by_key(|check| Rank::of(check.peer)).copied()
    }

    /// Tells whether a better address than this may still answer. A private one is believed in only where both peers
    /// may be in one network.
    pub(super) fn may_be_better(&self, than: SocketAddr, same_network: bool) -> bool {
        self.0.iter().any(|check| {
            let rank = Rank::of(check.peer);
            let hope = rank != Rank::Local || same_network;
            rank < Rank::of(than) && check.proved.is_none() && check.next.is_some() && hope
        })
    }

    /// Returns the address whose PROBE is due, and takes it as sent.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Check> {
        let check = self.0.iter_mut().find(|check| check.next.is_some_and(|next| next <= now))?;
        check.times += 1;
        check.next = match check.kind {
            _ if check.proved.is_some() => None,
            PathKind::Observed => Some(now + PROBE_INTERVAL),
            PathKind::Host => (check.times < HOST_PROBES).then(|| now + HOST_INTERVAL),
            PathKind::Learned => None,
        };
        Some(*check)
    }

    /// Returns when the next PROBE is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().filter_map(|check| check.next).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_micros(1_000_000);

    fn peer(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn all() -> Checks {
        let mut checks = Checks::default();
        checks.add(NOW, peer("198.51.100.7:1"), PathKind::Observed).unwrap();
        checks.add(NOW, peer("[2001:db8::1]:1"), PathKind::Host).unwrap();
        checks.add(NOW, peer("192.168.1.2:1"), PathKind::Host).unwrap();
        checks
    }

    fn prove(checks: &mut Checks, text: &str) {
        let check = checks.add(NOW, peer(text), PathKind::Host).unwrap();
        check.proved = Some(Duration::from_millis(1));
        assert_eq!(checks.best().unwrap().peer, peer(text));
    }

    #[test]
    fn same_network_comes_before_ipv6_and_that_before_public_ipv4() {
        let mut checks = all();
        prove(&mut checks, "198.51.100.7:1");
        prove(&mut checks, "[2001:db8::1]:1");
        assert!(!checks.may_be_better(peer("[2001:db8::1]:1"), false));
        assert!(checks.may_be_better(peer("[2001:db8::1]:1"), true));
        prove(&mut checks, "192.168.1.2:1");
    }

    #[test]
    fn address_that_the_peer_names_gets_so_many_probes_and_no_more() {
        let mut checks = all();
        let mut probes = [0; 2];
        for ms in 0..20_000 {
            while let Some(check) = checks.poll(NOW + Duration::from_millis(ms)) {
                probes[usize::from(check.kind == PathKind::Observed)] += 1;
            }
        }
        assert_eq!(probes[0], 2 * HOST_PROBES);
        assert_eq!(probes[1], 400);
    }

    #[test]
    fn addresses_are_bounded() {
        let mut checks = Checks::default();
        for port in 1..100 {
            let added = checks.add(NOW, SocketAddr::new([203, 0, 113, 1].into(), port), PathKind::Learned);
            assert_eq!(added.is_some(), usize::from(port) <= CHECKS_MAX);
        }
        assert_eq!(checks.next(), None);
    }
}
