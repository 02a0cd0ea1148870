//! A server with a scripted world around it.
//!
//! Each step also checks what must hold always: the byte budget of SPEC 11 for every address and in all, the counters'
//! sum, and the engine's own invariants.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use roundtable_proto::server::{Config, Event, Limits, Outcome, Path, Server, Via};
use roundtable_proto::wire::{self, Challenge, Cookie, Frame, Kind, PeerId, Registered, Session};
use roundtable_proto::{Instant, Seed};

pub(crate) use crate::frames::*;

pub(crate) const ALICE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), 40_123);
pub(crate) const BOB: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)), 5_004);
pub(crate) const CAROL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 33)), 1_024);
/// Where a peer goes that moves.
pub(crate) const CAFE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200)), 61_000);

/// Peers, and offers, up to which every step looks at the whole engine.
const SMALL: u32 = 64;

/// A datagram that the server sent.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) to: SocketAddr,
    pub(crate) via: Via,
    pub(crate) datagram: Vec<u8>,
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "to {} by {}: ", self.to, self.via.0)?;
        match wire::decode(&self.datagram) {
            Ok(frame) => write!(f, "{frame:?}"),
            Err(error) => write!(f, "{error} {:02x?}", self.datagram),
        }
    }
}

pub(crate) fn to(address: SocketAddr, frame: &Frame<'_>) -> Sent {
    Sent { to: address, via: Via::default(), datagram: frame.to_vec() }
}

pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) now: Instant,
    /// What became of the last datagram.
    pub(crate) outcome: Outcome,
    /// By address: bytes received from it, less the bytes sent to it on its account.
    balance: BTreeMap<SocketAddr, i64>,
    total: i64,
    /// Fifths of a request that STUN's answer may have, by family: those of who has proved nothing. SPEC 11
    pub(crate) stun_fifths: [i64; 2],
}

impl Rig {
    /// A server with the default limits, past its RESTART_GRACE.
    pub(crate) fn new() -> Self {
        let mut rig = Self::with(small());
        assert_eq!(rig.pass(Duration::from_secs(100)), []);
        rig
    }

    /// A server that has just started.
    pub(crate) fn with(config: Config) -> Self {
        Self::seeded(config, 7)
    }

    pub(crate) fn seeded(config: Config, seed: u64) -> Self {
        let now = Instant::from_micros(1_234_567_890);
        Self {
            server: Server::new(now, config, Seed::from_number(seed)),
            now,
            outcome: Outcome::Challenged,
            balance: BTreeMap::new(),
            total: 0,
            stun_fifths: [8, 11],
        }
    }

    /// Hands bytes in and returns all that comes out.
    pub(crate) fn bytes(&mut self, from: impl Into<Path>, datagram: &[u8]) -> Vec<Sent> {
        let path = from.into();
        self.outcome = self.server.handle_datagram(self.now, path, datagram);
        let sent = self.drain();
        let source = canonical(path.remote);
        let back: usize =
            sent.iter().filter(|sent| canonical(sent.to) == source).map(|s| s.datagram.len()).sum();
        if self.outcome == Outcome::Stun {
            // The one exception: on no account, but bounded. SPEC 11
            let fifths = self.stun_fifths[usize::from(source.is_ipv6())];
            assert!(5 * bytes_in(&sent) <= fifths * datagram.len() as i64);
        } else {
            self.total += datagram.len() as i64 - bytes_in(&sent);
            *self.balance.entry(source).or_default() += datagram.len() as i64 - back as i64;
        }
        assert_eq!(sent.is_empty(), matches!(self.outcome, Outcome::Dropped(_)), "{:?}", self.outcome);
        self.check();
        sent
    }

    pub(crate) fn frame(&mut self, from: impl Into<Path>, frame: &Frame<'_>) -> Vec<Sent> {
        self.bytes(from, &frame.to_vec())
    }

    /// Lets time pass, waking the server just when it asks, and returns all that comes out.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Sent> {
        let end = self.now + time;
        let mut all = Vec::new();
        while let Some(due) = self.server.poll_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.server.handle_timeout(self.now);
            let sent = self.drain();
            self.total -= bytes_in(&sent);
            for sent in &sent {
                *self.balance.entry(canonical(sent.to)).or_default() -= sent.datagram.len() as i64;
            }
            self.check();
            all.extend(sent);
        }
        self.now = end;
        all
    }

    /// Asks for a cookie at an address.
    pub(crate) fn cookie(&mut self, from: impl Into<Path>) -> Cookie {
        let sent = self.frame(from, &register(Session::NONE, id(99), Cookie::NONE));
        let [Sent { datagram, .. }] = &sent[..] else { panic!("{sent:?}") };
        let Ok(Frame::Challenge(Challenge { cookie, .. })) = wire::decode(datagram) else {
            panic!("{sent:?}")
        };
        cookie
    }

    /// Registers, and returns the session.
    pub(crate) fn join(&mut self, from: impl Into<Path>, identifier: PeerId) -> Session {
        self.register(from, Session::NONE, identifier)
    }

    /// Registers with a session in hand and a fresh cookie.
    pub(crate) fn register(&mut self, from: impl Into<Path>, held: Session, identifier: PeerId) -> Session {
        let path = from.into();
        let cookie = self.cookie(path);
        let sent = self.frame(path, &register(held, identifier, cookie));
        session_in(&sent).unwrap_or_else(|| panic!("{sent:?}"))
    }

    /// Tells whether the session is live at the address, by a KEEPALIVE.
    pub(crate) fn is_live(&mut self, from: SocketAddr, session: Session) -> bool {
        self.frame(from, &keepalive(session));
        match self.outcome {
            Outcome::Answered(Kind::KeepaliveReply) => true,
            Outcome::Challenged => false,
            other => panic!("{other:?}"),
        }
    }

    /// Alice, id 1, and Bob, id 2.
    pub(crate) fn couple(&mut self) -> (Session, Session) {
        (self.join(ALICE, id(1)), self.join(BOB, id(2)))
    }

    /// Alice and Bob with a pending offer of Alice's.
    pub(crate) fn ringing(&mut self) -> (Session, Session) {
        let (alice, bob) = self.couple();
        assert_eq!(self.frame(ALICE, &offer(alice, call(1), id(2))).len(), 1);
        assert_eq!(self.outcome, Outcome::Relayed(Kind::Offer));
        (alice, bob)
    }

    /// Alice and Bob with an answered offer of Alice's.
    pub(crate) fn answered(&mut self) -> (Session, Session) {
        let (alice, bob) = self.ringing();
        assert_eq!(self.frame(BOB, &answer(bob, call(1), id(1))).len(), 1);
        assert_eq!(self.outcome, Outcome::Relayed(Kind::Answer));
        (alice, bob)
    }

    /// Keeps sessions alive while time passes; returns what came out besides KEEPALIVE_REPLYs.
    pub(crate) fn pass_alive(&mut self, time: Duration, peers: &[(SocketAddr, Session)]) -> Vec<Sent> {
        let mut all = Vec::new();
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(10));
            all.extend(self.pass(step));
            left -= step;
            for (address, session) in peers {
                assert!(self.is_live(*address, *session), "{address}");
            }
        }
        all
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.server.poll_event()).collect()
    }

    /// Takes all that waits, without any accounting.
    pub(crate) fn drain(&mut self) -> Vec<Sent> {
        let mut all = Vec::new();
        while let Some(transmit) = self.server.poll_transmit() {
            for datagram in transmit.datagrams() {
                let datagram = datagram.to_vec();
                all.push(Sent { to: transmit.path.remote, via: transmit.path.via, datagram });
            }
        }
        all
    }

    fn check(&self) {
        assert!(self.total >= 0, "more bytes were sent than received: {}", self.total);
        let overdrawn = self.balance.iter().find(|(_, balance)| **balance < 0);
        assert_eq!(overdrawn, None, "an address got more than came from it");
        let counters = self.server.counters();
        assert_eq!(counters.outcomes(), counters.datagrams_in);
        if self.server.peers().max(self.server.offers()) <= SMALL {
            assert_eq!(self.server.check_invariants(), Ok(()));
        }
    }
}

/// Tables that a test can afford to make, and no rates: these have tests of their own.
pub(crate) fn small() -> Config {
    Config { max_peers: 1000, max_offers: 1000, limits: Limits::NONE, ..Config::default() }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn bytes_in(sent: &[Sent]) -> i64 {
    sent.iter().map(|sent| sent.datagram.len() as i64).sum()
}

/// The session in a single REGISTERED.
pub(crate) fn session_in(sent: &[Sent]) -> Option<Session> {
    let [Sent { datagram, .. }] = sent else { return None };
    let Ok(Frame::Registered(Registered { session, .. })) = wire::decode(datagram) else { return None };
    Some(session)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
