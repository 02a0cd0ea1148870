//! The rendezvous: takes datagrams and time, gives datagrams. Never sees a socket or a clock.
//!
//! A datagram's way: decode, gate (is the source who it says?), registry and offers (who is where, what is open),
//! outbox. An answer is never longer than what caused it (SPEC 11), and nothing is stored for an address that has not
//! proved itself.
//!
//! Who asks too much is stopped at three places. A stranger has to pass `admit_stranger` before anything is sent
//! to him; a REGISTER with a good cookie is counted before the registry is asked; a peer pays for each frame from an
//! account in its own slot, and its offers from one in the callee's. The limits and their reasons are in `limits.rs`.
//!
//! ```
//! use roundtable_proto::server::{Config, Path, Server};
//! use roundtable_proto::{Instant, Seed};
//!
//! let mut now = Instant::ORIGIN;
//! let mut server = Server::new(now, Config::default(), Seed::from_number(7));
//! # let received: Vec<(std::net::SocketAddr, Vec<u8>)> = vec![];
//! // The loop of a driver: input, then drain the output.
//! for (source, datagram) in received {
//!     server.handle_datagram(now, Path::from(source), &datagram);
//!     while let Some(transmit) = server.poll_transmit() {
//!         // send transmit.datagrams() to transmit.path
//!     }
//! }
//! if server.poll_timeout().is_some_and(|at| at <= now) {
//!     server.handle_timeout(now);
//! }
//! ```

mod budget;
mod config;
mod cookie;
mod crowd;
mod discovery;
mod ending;
mod foresight;
mod index;
mod limits;
mod mark;
mod names;
mod offenders;
mod offers;
mod outcome;
mod path;
mod pressure;
mod rate;
mod refusing;
mod register;
mod registry;
mod relay;
mod sketch;
mod slab;
mod sources;
mod stun;
mod tick;
mod ticket;
mod wheel;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

pub use config::{ANSWERED_FACTOR, Config, Stun};
pub use cookie::COOKIE_LIFETIME;
pub use discovery::{Alternates, PROVED_FOR};
pub use limits::Limits;
pub use mark::{LAST_SHIFT, MARK, Marker, WORD_SHIFT};
pub use names::may_be_translated;
pub use offenders::Offender;
pub use outcome::{Counters, DropReason, Event, Outcome};
pub use path::{Path, Via};
pub use pressure::Pressure;
pub use registry::{PEER_TTL, PEER_TTL_SLACK};
pub use ticket::{LastingSecret, TICKET_LIFETIME};

use crate::Instant;
use crate::keyed::{Generator, Prf, Seed};
use crate::outbox::Outbox;
pub use crate::outbox::Transmit;
use crate::stun::is_stun;
use crate::wire::{self, Address, ErrorCode, Frame, Keepalive, Kind, Pong, Session};
use budget::Budget;
use cookie::Cookies;
use crowd::Crowd;
use discovery::Discovery;
use foresight::Foresight;
use names::Names;
use offenders::Offenders;
use offers::Offers;
use path::Endpoint;
use pressure::{Gauge, News};
use registry::{PeerSlot, Registry, Standing};
use ticket::Tickets;

/// For how long after its start a server asks to retry what it does not know. SPEC 10
pub const RESTART_GRACE: Duration = Duration::from_millis(30_000);
/// The `retry_after` that it then gives. SPEC 10
pub const RESTART_RETRY: Duration = Duration::from_millis(500);
/// Peers, and as many offers, that one [`Server::handle_timeout`] looks at, at most, so that no sweep holds datagrams
/// up.
pub const SWEEP_MAX: usize = 256;
/// Events that wait for `poll_event`, at most; the oldest go first.
pub const EVENTS_MAX: usize = 4096;

/// The server engine. Two with the same seed and the same inputs give the same outputs.
pub struct Server {
    config: Config,
    started: Instant,
    cookies: Cookies,
    registry: Registry,
    offers: Offers,
    tickets: Tickets,
    names: Names,
    discovery: Discovery,
    /// Signatures that may be checked.
    checks: Budget,
    /// Sources that have proved nothing, and what they may cause.
    strangers: Crowd,
    /// Sources that hold a cookie, and how often they may register.
    registering: Crowd,
    /// Registrations in all, where they are limited.
    registrations: Option<Budget>,
    gauge: Gauge,
    offenders: Offenders,
    jitter: Generator,
    tokens: Prf,
    foresight: Foresight,
    outbox: Outbox,
    events: VecDeque<Event>,
    counters: Counters,
}

/// A refusal on its way to the wire.
#[derive(Clone, Copy)]
struct Refused {
    code: ErrorCode,
    detail: u8,
    retry_after: Duration,
}

impl From<ErrorCode> for Refused {
    /// Final: a repeat will not succeed.
    fn from(code: ErrorCode) -> Self {
        Self { code, detail: 0, retry_after: Duration::ZERO }
    }
}

/// A frame's sender, whose session and address fit.
#[derive(Clone, Copy)]
struct Sender {
    path: Path,
    slot: PeerSlot,
    session: Session,
}

impl Server {
    /// Makes a server that knows nobody. `seed` must be unpredictable.
    #[must_use]
    pub fn new(now: Instant, config: Config, seed: Seed) -> Self {
        Self {
            started: now,
            cookies: Cookies::new(now, &seed, config.secret),
            registry: Registry::new(now, config.max_peers, &config.limits, &seed),
            offers: Offers::new(now, config.max_offers, &seed),
            tickets: Tickets::new(now, &seed, config.secret),
            names: Names::new(&config.public_addresses),
            discovery: Discovery::new(seed.key(b'd')),
            checks: Budget::new(config.signature_checks),
            strangers: Crowd::new(config.limits.strangers(), seed.key(b'u')),
            registering: Crowd::new(config.limits.registering(), seed.key(b'r')),
            registrations: Some(config.limits.registrations_in_all).filter(|rate| *rate > 0).map(Budget::new),
            gauge: Gauge::new(config.limits.strangers_under_pressure()),
            offenders: Offenders::new(),
            jitter: Generator::new(seed.key(b'j')),
            tokens: seed.key(b't'),
            foresight: Foresight::new(),
            outbox: Outbox::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            config,
        }
    }

    /// Takes the local address and port that `via` stands for: the driver tells each before the first datagram that
    /// comes that way. A signed REGISTER must name it. SPEC 5
    pub fn learn_local_address(&mut self, via: Via, address: SocketAddr) {
        self.names.learn(via, address);
    }

    /// Opens a way through a proxy, before the first datagram that comes by it: `asked` is the proxy's address that clients
    /// send to, which a signed REGISTER must name. From then on the peers that are reached by this way are counted. The
    /// number may have stood for another way before that nobody holds. Memory follows the highest number. SPEC 18
    pub fn open_way(&mut self, via: Via, asked: SocketAddr) {
        self.names.learn_proxy(via, asked);
        self.registry.count_holders(via);
    }

    /// Tells whether a registered peer is reached by a way that was opened with [`Server::open_way`]: as long as one is,
    /// the number must stand for that way and no other.
    #[must_use]
    pub fn is_held(&self, via: Via) -> bool {
        self.registry.holders(via) > 0
    }

    /// Takes one datagram. Drain [`Server::poll_transmit`] before the next, or after a few: what one received train
    /// causes fits.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Outcome {
        let outcome = if !self.outbox.has_room() {
            Outcome::Dropped(DropReason::OutboxFull)
        } else if is_stun(datagram) {
            self.handle_stun(now, path, datagram)
        } else {
            match wire::decode(datagram) {
                Ok(frame) => self.handle_frame(now, path, &frame, datagram.len()),
                Err(error) => self.handle_undecodable(now, path, datagram, error),
            }
        };
        self.counters.count_in(datagram.len(), outcome);
        outcome
    }

    /// Takes the driver's judgement whether it keeps up: for as long as it does not, and a second more, strangers get only
    /// so many answers in all. To be called at least once a second while anything comes. SPEC 12
    pub fn set_pressure(&mut self, now: Instant, pressure: Pressure) {
        let shed = self.counters.dropped(DropReason::Overload);
        let event = match self.gauge.set(now, pressure, self.counters.datagrams_in, shed) {
            Some(News::Flood { per_second, prefixes }) => Event::Flooded { per_second, prefixes },
            Some(News::Over { lasted, shed }) => Event::Relieved { lasted, shed },
            None => return,
        };
        self.keep_event(event);
    }

    /// Returns the hash behind the marks in sessions, for a filter in front of the engine. SPEC 12
    #[must_use]
    pub const fn marker(&self) -> Marker {
        self.registry.marker()
    }

    /// Gives the registered peers that have sent at least `least` frames beyond their limits since the last time, for a filter
    /// in front of the engine. One that floods is always among them, of those that do not hardly one.
    pub fn take_offenders(&mut self, least: u32) -> impl Iterator<Item = Offender> {
        self.offenders.take(least)
    }

    /// Does what is due: offers time out, silent peers are forgotten. Looks at no more than [`SWEEP_MAX`] of each; if
    /// more is due, [`Server::poll_timeout`] says so at once.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..SWEEP_MAX {
            if !self.outbox.has_room() {
                return;
            }
            match self.offers.sweep(now) {
                Some(Some((slot, offer))) => self.handle_offer_over(slot, &offer),
                Some(None) => {}
                None => break,
            }
        }
        let mut left = SWEEP_MAX;
        while left > 0 {
            left -= 1;
            match self.registry.sweep(now) {
                Some(Some((identifier, peer))) => {
                    left = left.saturating_sub(self.close_calls(&peer));
                    self.counters.forgotten += 1;
                    self.event(Event::Forgotten { peer: identifier });
                }
                Some(None) => {}
                None => break,
            }
        }
    }

    /// Gives what is to be sent next.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.outbox.pop()
    }

    /// Gives all that is to be sent, for a driver that can send it in one go.
    pub fn poll_transmits(&mut self) -> impl Iterator<Item = Transmit<'_>> {
        self.outbox.pop_all()
    }

    /// Tells whether so much is to be sent that it should be before the next received train is handled.
    #[must_use]
    pub const fn wants_draining(&self) -> bool {
        self.outbox.is_half_full()
    }

    /// Gives the next change of state, if the configuration asks for them.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Says when [`Server::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.offers.next_sweep(), self.registry.next_sweep()].into_iter().flatten().min()
    }

    /// Returns what has been counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Counts the registered peers.
    #[must_use]
    pub const fn peers(&self) -> u32 {
        self.registry.len()
    }

    /// Counts the open offers.
    #[must_use]
    pub const fn offers(&self) -> u32 {
        self.offers.len()
    }

    /// Checks what must hold between the parts, by looking at everything: for tests.
    ///
    /// # Errors
    /// What does not hold.
    #[doc(hidden)]
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        self.registry.check_invariants()?;
        for offer in self.offers.iter() {
            if self.offers.find(&offer.id).is_none() {
                return Err("an offer's id does not lead to it");
            }
            if self.registry.by_session(offer.caller).is_none() {
                return Err("an offer is open though its caller's session has ended");
            }
        }
        let mut listed = 0;
        for (caller, calls) in self.registry.calls() {
            if self.offers.count(caller, calls) != Some((calls.open.into(), calls.waiting.into())) {
                return Err("a caller's list of open offers is wrong");
            }
            listed += u32::from(calls.open);
        }
        if listed != self.offers.len() {
            return Err("an open offer is on no caller's list");
        }
        if self.registry.len() > self.config.max_peers || self.offers.len() > self.config.max_offers {
            return Err("a table is larger than the configuration allows");
        }
        if self.counters.outcomes() != self.counters.datagrams_in {
            return Err("the outcomes do not add up to the datagrams");
        }
        Ok(())
    }

    fn handle_frame(&mut self, now: Instant, path: Path, frame: &Frame<'_>, bytes: usize) -> Outcome {
        let kind = frame.kind();
        self.counters.count_kind_in(kind);
        let (session, reference) = match frame {
            Frame::Ping(ping) => {
                if let Err(reason) = self.admit_stranger(now, path) {
                    return Outcome::Dropped(reason);
                }
                let observed = Address::from(path.remote);
                self.send(path, &Frame::Pong(Pong { transaction: ping.transaction, observed }));
                return Outcome::Answered(Kind::Pong);
            }
            Frame::Register(register) => return self.handle_register(now, path, register),
            Frame::Keepalive(keepalive) => (keepalive.session, keepalive.transaction),
            Frame::Unregister(unregister) => (unregister.session, unregister.transaction),
            Frame::Offer(fragment) | Frame::Answer(fragment) | Frame::Candidate(fragment) => {
                (fragment.head().session, fragment.head().offer.reference())
            }
            Frame::Ack(ack) => (ack.session, ack.offer.reference()),
            Frame::Punch(punch) => (punch.session, punch.offer.reference()),
            Frame::Probe(_)
            | Frame::ProbeReply(_)
            | Frame::Pong(_)
            | Frame::Registered(_)
            | Frame::Challenge(_)
            | Frame::KeepaliveReply(_)
            | Frame::Unregistered(_)
            | Frame::RelayedOffer(_)
            | Frame::RelayedAnswer(_)
            | Frame::RelayedCandidate(_)
            | Frame::RelayedAck(_)
            | Frame::PunchNow(_)
            | Frame::Error(_) => return Outcome::Dropped(DropReason::NotForServer),
        };
        let Standing::Here(slot) = self.registry.standing(session, &Endpoint::from(path.remote)) else {
            return self.challenge(now, path, reference);
        };
        self.registry.renew(now, slot, path.via);
        // Whoever leaves can be no burden.
        if kind != Kind::Unregister
            && let Err(wait) = self.registry.spend(now, slot, bytes as u64 + limits::FRAME)
        {
            return self.limited_peer(now, Sender { path, slot, session }, kind.number(), reference, wait);
        }
        match self.handle_authentic(now, Sender { path, slot, session }, frame) {
            Ok(outcome) => outcome,
            Err(Refused { code: ErrorCode::RateLimited, .. }) if self.gauge.is_high(now) => {
                self.offenders.note(slot);
                Outcome::Dropped(DropReason::Overload)
            }
            Err(refused) => self.refuse(path, kind.number(), reference, refused),
        }
    }

    /// Handles a frame whose session is live and at its source address.
    fn handle_authentic(
        &mut self,
        now: Instant,
        sender: Sender,
        frame: &Frame<'_>,
    ) -> Result<Outcome, Refused> {
        match frame {
            Frame::Keepalive(keepalive) => {
                let observed = Address::from(sender.path.remote);
                self.send(sender.path, &Frame::KeepaliveReply(Keepalive { observed, ..*keepalive }));
                Ok(Outcome::Answered(Kind::KeepaliveReply))
            }
            Frame::Unregister(unregister) => Ok(self.handle_unregister(sender, unregister)),
            Frame::Offer(fragment) => self.relay_offer(now, sender, fragment),
            Frame::Answer(fragment) => self.relay_answer(now, sender, fragment),
            Frame::Candidate(fragment) => self.relay_candidate(now, sender, fragment),
            Frame::Ack(ack) => self.relay_ack(now, sender, ack),
            Frame::Punch(punch) => self.punch(now, sender, punch),
            Frame::Ping(_)
            | Frame::Register(_)
            | Frame::Probe(_)
            | Frame::ProbeReply(_)
            | Frame::Pong(_)
            | Frame::Registered(_)
            | Frame::Challenge(_)
            | Frame::KeepaliveReply(_)
            | Frame::Unregistered(_)
            | Frame::RelayedOffer(_)
            | Frame::RelayedAnswer(_)
            | Frame::RelayedCandidate(_)
            | Frame::RelayedAck(_)
            | Frame::PunchNow(_)
            | Frame::Error(_) => Ok(Outcome::Dropped(DropReason::NotForServer)),
        }
    }

    fn send(&mut self, path: Path, frame: &Frame<'_>) {
        let bytes = self.outbox.push(path, frame);
        self.counters.count_out(frame.kind(), bytes);
    }

    fn event(&mut self, event: Event) {
        if self.config.events {
            self.keep_event(event);
        }
    }

    fn keep_event(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}
