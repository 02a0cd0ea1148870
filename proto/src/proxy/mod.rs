//! What stands before datagrams that come through a proxy, and the way back through it. Pure: bytes and time in, bytes out.
//!
//! The driver asks a [`Gate`] about every datagram before the engine sees it, and hands it everything that the engine wants
//! sent. Behind the gate the proxy is gone: addresses are the clients' own, and a [`Via`] is the way through the proxy.
//! SPEC 18

mod networks;
pub mod spp;
pub mod v2;
mod ways;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub use networks::{Network, NetworkError};
pub use ways::{FLOW_TTL, WAYS_SPARE};

use crate::Instant;
use crate::keyed::Seed;
use crate::outbox::Outbox;
use crate::server::{Path, Transmit, Via};
use networks::Networks;
use spp::Asked;
use ways::{Heard, Keep, Key, Owner, Ways};

/// What proxies put before datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The Simple Proxy Protocol: 38 bytes before every datagram, both ways.
    Spp,
    /// The PROXY protocol, version 2: a header before the first datagram of a flow, and nothing before answers.
    V2,
}

/// Why the header of a datagram is none that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// There is none.
    Missing,
    /// It is longer than the datagram.
    Truncated,
    /// Another version than 2.
    Version,
    /// A command other than LOCAL and PROXY.
    Command,
    /// Something other than UDP over IPv4 or IPv6.
    Family,
    /// It is too short for the addresses of its family.
    Addresses,
}

/// Why a datagram does not pass the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// In: a header from a source that is no proxy of ours.
    Untrusted = 0,
    /// In: a proxy of ours sent no header; with version 2, nor is it a flow that began with one and was heard lately.
    Missing = 1,
    /// In: see [`HeaderError`]; so the four below.
    Truncated = 2,
    /// In.
    Version = 3,
    /// In.
    Command = 4,
    /// In.
    Family = 5,
    /// In.
    Addresses = 6,
    /// In: no more ways can be told apart.
    Full = 7,
    /// Out: the proxy uses the flow for somebody else now, or nobody knows for whom.
    Gone = 8,
    /// In: a header has named another client for a flow, or another address of the proxy; that may be the client's own doing.
    Disputed = 9,
}

impl Refusal {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 10] = [
        Self::Untrusted,
        Self::Missing,
        Self::Truncated,
        Self::Version,
        Self::Command,
        Self::Family,
        Self::Addresses,
        Self::Full,
        Self::Gone,
        Self::Disputed,
    ];

    /// Returns the name that logs and statistics use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Untrusted => "header_untrusted",
            Self::Missing => "header_missing",
            Self::Truncated => "header_truncated",
            Self::Version => "header_version",
            Self::Command => "header_command",
            Self::Family => "header_family",
            Self::Addresses => "header_addresses",
            Self::Full => "ways_full",
            Self::Gone => "way_gone",
            Self::Disputed => "way_disputed",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Missing => Self::Missing,
            HeaderError::Truncated => Self::Truncated,
            HeaderError::Version => Self::Version,
            HeaderError::Command => Self::Command,
            HeaderError::Family => Self::Family,
            HeaderError::Addresses => Self::Addresses,
        }
    }
}

/// How many datagrams did not pass, by reason. All counts only ever grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals([u64; Refusal::ALL.len()]);

impl Refusals {
    /// Counts those that were refused for `reason`.
    #[must_use]
    pub const fn of(&self, reason: Refusal) -> u64 {
        self.0[reason as usize]
    }

    /// Counts all of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// A datagram that may go to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted<'a> {
    /// Where it came from, truly, and by which way.
    pub path: Path,
    /// What the client sent.
    pub datagram: &'a [u8],
    /// The address at which the proxy was asked, where the engine may not know it yet: to be told with
    /// [`Server::open_way`](crate::server::Server::open_way) before it gets the datagram.
    pub opened: Option<SocketAddr>,
}

/// Between the socket and the engine of a server that trusts proxies.
pub struct Gate {
    protocol: Protocol,
    trusted: Networks,
    ways: Ways,
    /// Whether the last source is trusted: proxies are few, and send much.
    last: Option<(IpAddr, bool)>,
    refusals: Refusals,
    /// Datagrams as they have to leave the socket: what one emptying of the engine's outbox has given, so it is as bounded.
    outbox: Outbox,
}

impl Gate {
    /// Makes a gate for proxies from `trusted` networks, of a server of at most `peers` peers. The ways through proxies
    /// get numbers from `first` on; the driver's own are below.
    #[must_use]
    pub fn new(protocol: Protocol, trusted: &[Network], first: Via, peers: u32, seed: &Seed) -> Self {
        let keep = match protocol {
            Protocol::Spp => Keep::Nothing,
            Protocol::V2 => Keep::Flows,
        };
        Self {
            protocol,
            trusted: Networks::new(trusted),
            ways: Ways::new(keep, first, peers, seed.key(b'p')),
            last: None,
            refusals: Refusals::default(),
            outbox: Outbox::new(),
        }
    }

    /// Returns how many datagrams have been refused.
    #[must_use]
    pub const fn refusals(&self) -> Refusals {
        self.refusals
    }

    /// Takes a datagram as the socket has it, and gives it as its client sent it. Whoever is no proxy comes directly.
    ///
    /// # Errors
    /// Why it must not go to the engine; it has been counted.
    #[inline]
    pub fn admit<'a>(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &'a [u8],
    ) -> Result<Admitted<'a>, Refusal> {
        // As one lately, which it mostly is.
        if self.protocol == Protocol::Spp
            && let Some(slot) = self.ways.again(path, datagram)
            && let Ok((header, datagram)) = spp::split_raw(datagram)
        {
            let path = Path { remote: header.client(), via: self.ways.via(slot) };
            return Ok(Admitted { path, datagram, opened: None });
        }
        self.admit_otherwise(now, path, datagram)
    }

    fn admit_otherwise<'a>(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &'a [u8],
    ) -> Result<Admitted<'a>, Refusal> {
        let refusal = if !self.is_trusted(path.remote.ip()) {
            if !self.is_headed(datagram) {
                return Ok(Admitted { path, datagram, opened: None });
            }
            Refusal::Untrusted
        } else {
            let admitted = match self.protocol {
                Protocol::Spp => self.admit_simple(now, path, datagram),
                Protocol::V2 => self.admit_flow(now, path, datagram),
            };
            match admitted {
                Ok(admitted) => return Ok(admitted),
                Err(refusal) => refusal,
            }
        };
        self.refusals.0[refusal as usize] += 1;
        Err(refusal)
    }

    /// Returns what most likely is the client's datagram, for a look ahead; nothing is decided.
    #[must_use]
    pub fn peek<'a>(&self, datagram: &'a [u8]) -> &'a [u8] {
        let after = match self.protocol {
            Protocol::Spp => spp::split(datagram).map(|(_, after)| after),
            Protocol::V2 => v2::split(datagram).map(|(_, after)| after),
        };
        after.unwrap_or(datagram)
    }

    /// Takes what the engine wants sent: where the way leads through a proxy, it goes there, headed.
    pub fn push(&mut self, transmit: &Transmit<'_>) {
        let (path, header) = if self.ways.is_one(transmit.path.via) {
            let Some(way) = self.ways.get(transmit.path.via).filter(|way| way.is_current()) else {
                self.refusals.0[Refusal::Gone as usize] += transmit.datagrams().count() as u64;
                return;
            };
            let Key { path, asked } = way.key;
            match self.protocol {
                Protocol::Spp => (path, Some(asked.header_for(transmit.path.remote))),
                Protocol::V2 => (path, None),
            }
        } else {
            (transmit.path, None)
        };
        for datagram in transmit.datagrams() {
            self.outbox.push_with(path, |bytes| {
                bytes.extend_from_slice(header.as_ref().map_or(&[][..], |header| header));
                bytes.extend_from_slice(datagram);
            });
        }
    }

    /// Gives all that is to leave the socket.
    pub fn poll_transmits(&mut self) -> impl Iterator<Item = Transmit<'_>> {
        self.outbox.pop_all()
    }

    /// Returns the driver's own number of the local address by which a way leads.
    #[must_use]
    pub fn local(&self, via: Via) -> Via {
        self.ways.get(via).map_or(via, |way| way.key.path.via)
    }

    /// Lets go of ways that no peer needs. To be called when all that was admitted is handled and all answers are sent;
    /// `is_held` is [`Server::is_held`](crate::server::Server::is_held).
    pub fn settle(&mut self, now: Instant, is_held: impl Fn(Via) -> bool) {
        self.ways.settle(now, is_held);
    }

    fn is_trusted(&mut self, ip: IpAddr) -> bool {
        if let Some((last, is_trusted)) = self.last
            && last == ip
        {
            return is_trusted;
        }
        let is_trusted = self.trusted.contain(ip);
        self.last = Some((ip, is_trusted));
        is_trusted
    }

    fn is_headed(&self, datagram: &[u8]) -> bool {
        match self.protocol {
            Protocol::Spp => spp::is_headed(datagram),
            Protocol::V2 => v2::is_headed(datagram),
        }
    }

    #[inline]
    fn admit_simple<'a>(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &'a [u8],
    ) -> Result<Admitted<'a>, Refusal> {
        let (header, datagram) = spp::split_raw(datagram)?;
        let key = Key { path, asked: header.asked() };
        let (slot, opened) = match self.ways.find(&key) {
            Some(slot) => (slot, None),
            None => (self.ways.open(now, key, None).ok_or(Refusal::Full)?, Some(key.asked.address())),
        };
        let path = Path { remote: header.client(), via: self.ways.via(slot) };
        Ok(Admitted { path, datagram, opened })
    }

    fn admit_flow<'a>(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &'a [u8],
    ) -> Result<Admitted<'a>, Refusal> {
        let key = Key { path, asked: Asked::NONE };
        let found = self.ways.find(&key).and_then(|slot| Some((slot, self.ways.hear(now, slot)?)));
        let (header, datagram) = match v2::split(datagram) {
            Ok(headed) => headed,
            Err(HeaderError::Missing) => {
                let (slot, heard) = found.ok_or(Refusal::Missing)?;
                if heard.is_disputed {
                    return Err(Refusal::Disputed);
                }
                return Ok(Admitted { path: self.flow(path, slot, heard.owner), datagram, opened: None });
            }
            Err(error) => return Err(error.into()),
        };
        let owner = match header {
            v2::Header::Local => None,
            v2::Header::Proxied { client, proxy } => Some(Owner { client, asked: proxy }),
        };
        let (slot, opened) = match found {
            Some((slot, heard)) if heard.owner == owner && !heard.is_disputed => (slot, None),
            // The proxy passes on what a client sends, and that may look like a header.
            Some((slot, Heard { owner: Some(_), .. })) => {
                self.ways.dispute(slot);
                return Err(Refusal::Disputed);
            }
            Some(_) | None => {
                let slot = self.ways.open(now, key, owner).ok_or(Refusal::Full)?;
                (slot, owner.map(|owner| owner.asked))
            }
        };
        Ok(Admitted { path: self.flow(path, slot, owner), datagram, opened })
    }

    /// Returns the path of a flow: to its client, or to the proxy itself.
    fn flow(&self, path: Path, slot: u32, owner: Option<Owner>) -> Path {
        owner.map_or(path, |owner| Path { remote: owner.client, via: self.ways.via(slot) })
    }
}

#[cfg(test)]
mod tests;
