//! Whether this host's NAT gives each destination another port: what a second address sees is held against what the server
//! sees. Only asked for the sake of a reason, when a path is looked for. SPEC 8

use std::net::SocketAddr;

use super::constants::{WITNESS_INTERVAL, WITNESS_PINGS};
use super::counters::DropReason;
use super::hosts::OWN_MARK;
use crate::Instant;
use crate::keyed::Generator;
use crate::wire::{Address, Frame, Ping, Pong, TransactionId, Zeros};

/// What the message with a mapping begins with. SPEC 8
const MAPPING_MARK: u8 = 0x02;

/// How a NAT maps, as far as it matters for punching. RFC 4787, 4.1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// The same port for every destination.
    Independent,
    /// The same port for two ports of one address; whether for other addresses, too, was not asked.
    PortIndependent,
    /// Another for each: a "symmetric" NAT.
    Dependent,
}

/// The second address, and what it says.
#[derive(Debug, Default)]
pub(super) struct Witness {
    at: Option<SocketAddr>,
    /// It stands at the server's address: what it sees says nothing of other addresses.
    is_of_server: bool,
    sent: Vec<TransactionId>,
    next: Option<Instant>,
    /// What follows from its answer.
    mapping: Option<Mapping>,
}

impl Witness {
    pub(super) fn new(at: Option<SocketAddr>, server: SocketAddr) -> Self {
        let is_of_server = at.is_some_and(|at| at.ip().to_canonical() == server.ip().to_canonical());
        Self { at, is_of_server, ..Self::default() }
    }

    /// Asks anew, unless that is under way.
    pub(super) fn ask(&mut self, now: Instant) {
        if self.at.is_some() && self.next.is_none() {
            self.sent.clear();
            (self.mapping, self.next) = (None, Some(now));
        }
    }

    /// Tells whether it stands there.
    pub(super) fn is_at(&self, from: SocketAddr) -> bool {
        self.at.is_some_and(|at| Address::from(at) == Address::from(from))
    }

    /// Takes its answer, where the server sees this client at `observed`.
    pub(super) fn answered(&mut self, pong: &Pong, observed: Option<SocketAddr>) -> Result<(), DropReason> {
        if !self.sent.contains(&pong.transaction) {
            return Err(DropReason::Reference);
        }
        self.next = None;
        self.mapping = compare(pong.observed.socket_addr(), observed, self.is_of_server);
        Ok(())
    }

    /// Returns what was found.
    pub(super) fn mapping(&self) -> Option<Mapping> {
        self.mapping
    }

    /// Returns the PING to send now and whom to, and takes it as sent.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        random: &mut Generator,
    ) -> Option<(SocketAddr, Frame<'static>)> {
        let at = self.at?;
        self.next.filter(|&next| next <= now)?;
        let transaction = TransactionId(random.bytes());
        self.sent.push(transaction);
        self.next = (self.sent.len() < WITNESS_PINGS).then_some(now + WITNESS_INTERVAL);
        Some((at, Frame::Ping(Ping { transaction, zero: Zeros::ZERO })))
    }

    /// Returns when it is asked next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }
}

/// Says how a NAT maps that two places, or two ports of one address, see this client behind. RFC 5780, 4.3
fn compare(one: Option<SocketAddr>, other: Option<SocketAddr>, is_one_address: bool) -> Option<Mapping> {
    let (one, other) = (one?, other?);
    if one.is_ipv4() != other.is_ipv4() {
        return None;
    }
    Some(match (one == other, is_one_address) {
        (true, false) => Mapping::Independent,
        (true, true) => Mapping::PortIndependent,
        (false, _) => Mapping::Dependent,
    })
}

/// Writes the message that tells the other peer.
pub(super) fn write(mapping: Mapping) -> Vec<u8> {
    let number = match mapping {
        Mapping::Independent => 1,
        Mapping::Dependent => 2,
        Mapping::PortIndependent => 3,
    };
    [&OWN_MARK[..], &[MAPPING_MARK, number]].concat()
}

/// Reads the message; `None` if it is another.
pub(super) fn read(message: &[u8]) -> Option<Mapping> {
    match message.strip_prefix(&OWN_MARK)? {
        [MAPPING_MARK, 1] => Some(Mapping::Independent),
        [MAPPING_MARK, 2] => Some(Mapping::Dependent),
        [MAPPING_MARK, 3] => Some(Mapping::PortIndependent),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(by_witness: &str, by_server: &str) -> Option<Mapping> {
        compare(by_witness.parse().ok(), by_server.parse().ok(), false)
    }

    #[test]
    fn another_port_or_address_for_another_destination_is_a_dependent_mapping() {
        assert_eq!(seen("192.0.2.1:7", "192.0.2.1:7"), Some(Mapping::Independent));
        assert_eq!(seen("192.0.2.1:8", "192.0.2.1:7"), Some(Mapping::Dependent));
        assert_eq!(seen("192.0.2.2:7", "192.0.2.1:7"), Some(Mapping::Dependent));
        assert_eq!(seen("[2001:db8::1]:7", "192.0.2.1:7"), None);
        assert_eq!(seen("none", "192.0.2.1:7"), None);
    }

    #[test]
    fn port_that_two_ports_of_one_address_see_may_be_another_for_another_address() {
        let [one, other] = ["192.0.2.1:7", "192.0.2.1:8"].map(|address| address.parse().ok());
        assert_eq!(compare(one, one, true), Some(Mapping::PortIndependent));
        assert_eq!(compare(one, other, true), Some(Mapping::Dependent));
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for mapping in [Mapping::Independent, Mapping::Dependent, Mapping::PortIndependent] {
            assert_eq!(read(&write(mapping)), Some(mapping));
        }
        for other in [&b"\0RT\x02"[..], b"\0RT\x02\x04", b"\0RT\x02\x01\x01", b"\0RT\x01\x01", b"x"] {
            assert_eq!(read(other), None);
        }
    }
}
