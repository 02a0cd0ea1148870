//! From where else a server answers, and for whom: what RFC 5780 adds to STUN. SPEC 17
//!
//! Whoever can ask for an answer from another address or port can have a NAT's filter tried that is not his. So only
//! sources are served that have proved their address: those whose cookie came back. They are remembered for a while, in a table
//! of fixed size, and only where the driver has told of another way.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Server;
use super::path::{Endpoint, Path, Via};
use crate::Instant;
use crate::keyed::Prf;
use crate::stun::{Behaviour, Change, Other, Request};

/// How long a source counts as proved after its REGISTER with a good cookie. SPEC 17
pub const PROVED_FOR: Duration = Duration::from_millis(60_000);
/// Sources that are remembered, at most; a newer one takes the place of an older one. At 20,000 registrations a second one is
/// forgotten within PROVED_FOR, and has to register again.
const PLACES: usize = 1 << 14;

/// The ways that differ from one in port, in address, or in both. None where the host has no such way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alternates {
    /// The same local address, another port.
    pub port: Option<Via>,
    /// Another local address, the same port.
    pub address: Option<Via>,
    /// Another local address and another port.
    pub both: Option<Via>,
}

impl Alternates {
    /// Returns the way that a request asks to be answered by.
    const fn by(&self, change: Change) -> Option<Via> {
        match (change.address, change.port) {
            (false, false) => None,
            (false, true) => self.port,
            (true, false) => self.address,
            (true, true) => self.both,
        }
    }
}

/// The other ways, and who may ask for them.
pub(super) struct Discovery {
    alternates: BTreeMap<u32, Alternates>,
    places: Prf,
    /// Each source at the place that its hash says, until when it counts.
    proved: Vec<Option<(Endpoint, Instant)>>,
}

impl Discovery {
    pub(super) fn new(places: Prf) -> Self {
        Self { alternates: BTreeMap::new(), places, proved: Vec::new() }
    }

    fn learn(&mut self, via: Via, alternates: Alternates) {
        self.alternates.insert(via.0, alternates);
        self.proved.resize(PLACES, None);
    }

    /// Remembers a source whose cookie came back.
    pub(super) fn enter(&mut self, now: Instant, source: &Endpoint) {
        // Empty where there is no other way.
        if !self.proved.is_empty() {
            let place = self.place(source);
            self.proved[place] = Some((*source, now + PROVED_FOR));
        }
    }

    /// Returns the other ways than `path`'s, if its source may ask for them.
    fn open_to(&self, now: Instant, path: Path) -> Option<Alternates> {
        if self.proved.is_empty() {
            return None;
        }
        let source = Endpoint::from(path.remote);
        let (known, until) = self.proved[self.place(&source)]?;
        let is_proved = known == source && now < until;
        self.alternates.get(&path.via.0).copied().filter(|_| is_proved)
    }

    fn place(&self, source: &Endpoint) -> usize {
        self.places.position(&source.octets()) as usize % PLACES
    }
}

impl Server {
    /// Takes the other ways by which `via` can be answered: the driver tells them before the first datagram that comes
    /// that way, and the local address of each by [`Server::learn_local_address`].
    pub fn learn_alternates(&mut self, via: Via, alternates: Alternates) {
        self.discovery.learn(via, alternates);
    }

    /// Returns the way by which a request is answered, and what its sender is told of others.
    pub(super) fn discover(
        &self,
        now: Instant,
        path: Path,
        request: &mut Request,
    ) -> (Via, Option<Behaviour>) {
        let Some(alternates) = self.discovery.open_to(now, path) else { return (path.via, None) };
        let change = alternates.by(request.change());
        if change.is_some() {
            request.grant_change();
        }
        // What else is not understood is said from where it was asked.
        let via = change.filter(|_| request.unknown().is_empty()).unwrap_or(path.via);
        let seen =
            |via: Via| self.names.asked(via).filter(|local| !super::sources::is_hidden(path.remote, *local));
        let other = match (alternates.both.and_then(seen), alternates.port) {
            (Some(address), _) => Some(Other::Address(address)),
            (None, Some(port)) => self.names.asked(port).map(|local| Other::Port(local.port())),
            (None, None) => None,
        };
        (via, Some(Behaviour { origin: seen(via), other }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    fn path(number: u32) -> Path {
        let [a, b, c, d] = number.to_be_bytes();
        Path::from(std::net::SocketAddr::from(([192, a, b, c], 1024 + u16::from(d))))
    }

    fn discovery() -> Discovery {
        let mut discovery = Discovery::new(Seed::from_number(1).key(b'd'));
        discovery.learn(Via(0), Alternates { port: Some(Via(7)), ..Alternates::default() });
        discovery
    }

    #[test]
    fn source_is_proved_for_its_time_and_no_other_is() {
        let (mut discovery, now) = (discovery(), Instant::from_micros(5));
        discovery.enter(now, &Endpoint::from(path(1).remote));
        assert!(discovery.open_to(now, path(1)).is_some());
        assert!(discovery.open_to(now + PROVED_FOR - Duration::from_micros(1), path(1)).is_some());
        assert_eq!(discovery.open_to(now + PROVED_FOR, path(1)), None);
        for other in 2..10_000 {
            assert_eq!(discovery.open_to(now, path(other)), None);
        }
        assert_eq!(discovery.open_to(now, Path { via: Via(3), ..path(1) }), None);
    }

    #[test]
    fn table_of_proved_sources_is_bounded() {
        let (mut discovery, now) = (discovery(), Instant::from_micros(5));
        let last = 3 * PLACES as u32;
        for number in 0..=last {
            discovery.enter(now, &Endpoint::from(path(number).remote));
        }
        assert_eq!(discovery.proved.len(), PLACES);
        assert!(discovery.open_to(now, path(last)).is_some());
    }

    #[test]
    fn nobody_is_remembered_where_there_is_no_other_way() {
        let mut discovery = Discovery::new(Seed::from_number(1).key(b'd'));
        discovery.enter(Instant::from_micros(5), &Endpoint::from(path(1).remote));
        assert_eq!((discovery.proved.len(), discovery.proved.capacity()), (0, 0));
        assert_eq!(discovery.open_to(Instant::from_micros(5), path(1)), None);
    }
}
