//! A peer: registration, keepalive, calls, retransmission, hole punching. Knows frames and time; knows no socket.
//!
//! Give [`Client`] what came in and what time it is, then take all that [`Client::poll_transmit`] and
//! [`Client::poll_event`] have: **drain the output before the next input**. Call [`Client::handle_timeout`] when the
//! moment that [`Client::poll_timeout`] names has come.

mod ack;
mod call;
mod callee;
mod caller;
mod calls;
mod candidates;
mod checks;
mod constants;
mod counters;
mod dispatch;
mod event;
mod finished;
mod flight;
mod hosts;
mod incoming;
mod link;
mod outgoing;
mod output;
mod paths;
mod ping;
mod progress;
mod punch;
mod refusal;
mod registration;
mod request;
mod rtt;
mod sealing;
mod sending;
mod witness;

use std::net::SocketAddr;

pub use constants::*;
pub use counters::{Counters, DropReason};
pub use event::{CallError, Event, FailReason, OfferError, PathKind, RefusalCode};
pub use hosts::HOSTS_MARK;
pub use output::Transmit;
pub use progress::{Arriving, Progress, Transfer};
pub use witness::Mapping;

use self::call::{Call, Context};
use self::calls::Calls;
use self::output::Output;
use self::paths::Paths;
use self::ping::Pinging;
use self::registration::{Change, Registration};
use self::sealing::Sealing;
use self::sending::To;
use self::witness::Witness;
use crate::identity::Identity;
use crate::keyed::Generator;
use crate::wire::{self, Address, OfferId, PeerId};
use crate::{Instant, Seed};

/// Separates the client's draws from whatever else is drawn from the same seed.
const CLIENT_PURPOSE: u8 = 0xC1;
/// Separates what becomes keys from the client's draws, which others see.
const SEAL_PURPOSE: u8 = 0xC2;

/// Whom to ask, and who to be.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server's address; only frames from there are the server's.
    pub server: SocketAddr,
    /// What the server itself is called, where that is not `server`: behind a NAT64 of the network's own prefix, or a
    /// local forwarder. A signed REGISTER names it. SPEC 5
    pub known_as: SocketAddr,
    /// Who this client is: a plain identifier, or a key.
    pub identity: Identity,
    /// Another address of the server, or another server of this protocol, that is asked what it sees when a path is looked
    /// for, so that a failure can say whose NAT is in the way. `None`: nobody is.
    pub witness: Option<SocketAddr>,
    /// Seconds since 1970-01-01T00:00:00Z at the moment that [`Client::new`] is given. What is sealed is dated; see
    /// [`Client::set_unix_time`]. SPEC 13
    pub unix_time: u64,
}

impl Config {
    /// Names the server, who to be, and the time in Unix seconds at the moment that [`Client::new`] is given.
    #[must_use]
    pub fn new(server: SocketAddr, identity: impl Into<Identity>, unix_time: u64) -> Self {
        Self { server, known_as: server, identity: identity.into(), witness: None, unix_time }
    }
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It was taken.
    Ours,
    /// It is none of this protocol's: media, perhaps, on a shared socket.
    NotOurs,
    /// It is one of this protocol's, and was ignored.
    Dropped(DropReason),
}

/// A peer without a socket.
#[derive(Debug)]
pub struct Client {
    now: Instant,
    server: SocketAddr,
    registration: Registration,
    calls: Calls,
    paths: Paths,
    pinging: Pinging,
    witness: Witness,
    /// Where this host can be reached directly.
    hosts: Vec<SocketAddr>,
    sealing: Sealing,
    random: Generator,
    out: Output,
}

impl Client {
    /// Makes a client that does nothing until it is told to [`register`](Self::register).
    #[must_use]
    pub fn new(now: Instant, config: Config, seed: Seed) -> Self {
        let entropy = Generator::new(seed.key(SEAL_PURPOSE));
        Self {
            now,
            server: config.server,
            calls: Calls::new(config.identity.identifier()),
            sealing: Sealing::new(now, &config.identity, config.unix_time, entropy),
            registration: Registration::new(now, config.identity, Address::from(config.known_as)),
            paths: Paths::default(),
            pinging: Pinging::default(),
            witness: Witness::new(config.witness, config.server),
            hosts: Vec::new(),
            random: Generator::new(seed.key(CLIENT_PURPOSE)),
            out: Output::new(config.server),
        }
    }

    /// Takes a datagram that came from `from`.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Handled {
        if !wire::is_ours(datagram) {
            return Handled::NotOurs;
        }
        self.advance(now);
        self.out.counters.count_in(datagram.len());
        let taken = self.take(from, datagram);
        self.settle();
        match taken {
            Ok(()) => Handled::Ours,
            Err(reason) => {
                self.out.counters.count_drop(reason);
                Handled::Dropped(reason)
            }
        }
    }

    /// Does what is due. Afterwards [`poll_timeout`](Self::poll_timeout) lies in the future.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        self.settle();
    }

    /// Returns the next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let transmit = self.out.poll_reply();
        let transmit = transmit.or_else(|| self.poll_request()).or_else(|| self.poll_call());
        let transmit = transmit.or_else(|| self.poll_path()).or_else(|| self.poll_witness())?;
        self.out.counters.count_out(transmit.contents.len());
        Some(transmit)
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.poll_event()
    }

    /// Returns how far the offer or answer of a call has come, where that is not what was last returned for it: the latest
    /// alone, however much has happened since. Who never asks misses nothing else, and nothing is kept for him.
    ///
    /// Blobs of one fragment make no progress. Of an offer that comes in, see [`poll_arriving`](Self::poll_arriving).
    pub fn poll_progress(&mut self) -> Option<(OfferId, Progress)> {
        self.calls.poll_progress()
    }

    /// Returns all offers of more than one fragment of which a part has arrived, where these are not what was last
    /// returned: at most [`REASSEMBLIES_MAX`], in the order of their ids. One that is not there any more has arrived, and there
    /// was an event; or it has come to nothing without one.
    pub fn poll_arriving(&mut self) -> Option<&[Arriving]> {
        self.calls.poll_arriving()
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout), once the output has been drained.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        // What is due already is output, or waits for the server and not for time.
        let calls = self.calls.next(self.now, self.registration.link());
        let own = [self.registration.next(), self.pinging.next(), self.paths.next(), self.witness.next()];
        let own = own.into_iter().flatten();
        calls.chain(own).filter(|&at| at > self.now).min()
    }

    /// Registers, and stays registered until told otherwise.
    pub fn register(&mut self, now: Instant) {
        self.advance(now);
        self.registration.register(self.now, &mut self.random);
        self.settle();
    }

    /// Ends all calls, paths and the registration. Ends in [`Event::Unregistered`].
    pub fn unregister(&mut self, now: Instant) {
        self.advance(now);
        self.fail_calls();
        self.paths.close_all();
        self.registration.unregister(self.now, &mut self.random, &mut self.out);
        self.settle();
    }

    /// Proves the new address at once: the socket or the network has changed.
    pub fn rebind(&mut self, now: Instant) {
        self.advance(now);
        self.registration.rebind(self.now, &mut self.random);
        self.calls.rebound();
        self.settle();
    }

    /// Asks the server for the observed address. Ends in [`Event::Pong`] or [`Event::ServerSilent`].
    pub fn ping(&mut self, now: Instant) {
        self.advance(now);
        self.pinging.start(self.now);
        self.settle();
    }

    /// Calls `target`. Between keyed peers the blob is sealed, and so is all else that belongs to the call. SPEC 13
    ///
    /// # Errors
    /// [`OfferError`] if the offer cannot be sent; then nothing has happened.
    pub fn offer(&mut self, now: Instant, target: PeerId, blob: Vec<u8>) -> Result<OfferId, OfferError> {
        self.advance(now);
        if !self.registration.is_wanted() {
            return Err(OfferError::NotRegistered);
        }
        if blob.is_empty() {
            return Err(OfferError::Empty);
        }
        let (calls, mut cx) = self.split();
        let offer = calls.offer(target, blob, &mut cx);
        self.settle();
        offer
    }

    /// Answers a call.
    ///
    /// # Errors
    /// [`CallError`] if there is no such call that waits for an answer, or the blob is empty or too long.
    pub fn answer(&mut self, now: Instant, offer: OfferId, blob: Vec<u8>) -> Result<(), CallError> {
        if blob.is_empty() {
            return Err(CallError::Empty);
        }
        self.command(now, offer, |call, cx| call.answer(blob, cx))
    }

    /// Declines a call.
    ///
    /// # Errors
    /// [`CallError`] if there is no such call that waits for an answer.
    pub fn decline(&mut self, now: Instant, offer: OfferId) -> Result<(), CallError> {
        self.command(now, offer, |call, cx| call.answer(Vec::new(), cx))
    }

    /// Sends the other peer a candidate, as soon as the own offer or answer has been delivered.
    ///
    /// # Errors
    /// [`CallError`] if there is no such call, or the message is empty, too long or one too many.
    pub fn candidate(&mut self, now: Instant, offer: OfferId, message: Vec<u8>) -> Result<(), CallError> {
        self.command(now, offer, |call, cx| call.speak(message, cx))
    }

    /// Opens a direct path: both peers start at the same moment. Ends in [`Event::Path`] or [`Event::PunchFailed`].
    ///
    /// # Errors
    /// [`CallError`] if there is no such call.
    pub fn punch(&mut self, now: Instant, offer: OfferId) -> Result<(), CallError> {
        self.command(now, offer, |call, cx| {
            call.punch.ask(cx.now);
            cx.witness.ask(cx.now);
            call.tell_hosts(cx);
            Ok(())
        })
    }

    /// Says whether paths that are taken from now on are kept, by a PROBE every [`CONSENT_INTERVAL`] that the other peer
    /// answers: so they are unless this says otherwise. Those that are not kept are still answered on. SPEC 8
    pub fn keep_paths(&mut self, keep: bool) {
        self.paths.keeps = keep;
    }

    /// Lets go of a path that is not used any more: the other peer will find it lost. Without one, nothing happens.
    pub fn close_path(&mut self, now: Instant, offer: OfferId) {
        self.advance(now);
        self.paths.close(&offer);
        self.settle();
    }

    /// Tells whether any path is in use: another socket would break it.
    #[must_use]
    pub fn has_paths(&self) -> bool {
        !self.paths.is_empty()
    }

    /// Names the addresses at which the socket can be reached on this host's own interfaces: told to the other peer once
    /// a call is punched, at most [`HOSTS_MAX`] of them. Without any, only the address that the server sees is tried. SPEC 8
    pub fn set_hosts(&mut self, mut hosts: Vec<SocketAddr>) {
        hosts.truncate(HOSTS_MAX);
        if self.hosts != hosts {
            self.hosts = hosts;
            self.calls.hosts_changed();
        }
    }

    /// Sets the date anew, in Unix seconds. It runs with the engine's time, which may stand still while the host sleeps,
    /// and the user may set the host's: a driver tells it whenever it wakes. What is sealed is dated. SPEC 13
    pub fn set_unix_time(&mut self, now: Instant, unix_time: u64) {
        self.advance(now);
        self.sealing.set_date(self.now, unix_time);
    }

    /// Returns what was counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.out.counters
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn command(
        &mut self,
        now: Instant,
        offer: OfferId,
        act: impl FnOnce(&mut Call, &mut Context<'_>) -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        self.advance(now);
        let (calls, mut cx) = self.split();
        let done = calls.find(offer).ok_or(CallError::Unknown).and_then(|call| act(call, &mut cx));
        self.settle();
        done
    }

    /// Does what time demands, so that every moment still to come lies in the future.
    fn settle(&mut self) {
        let change = self.registration.expire(self.now, &mut self.random, &mut self.out);
        self.follow(change);
        self.pinging.expire(self.now, &mut self.out);
        self.paths.expire(self.now, &mut self.out);
        let (calls, mut cx) = self.split();
        calls.expire(&mut cx);
    }

    fn follow(&mut self, change: Change) {
        match change {
            Change::None => {}
            Change::Registered => self.calls.resume(self.now, self.registration.observed()),
            Change::Ended => self.fail_calls(),
        }
    }

    fn fail_calls(&mut self) {
        let (calls, mut cx) = self.split();
        calls.fail_all(FailReason::Unregistered, &mut cx);
    }

    fn split(&mut self) -> (&mut Calls, Context<'_>) {
        let context = Context {
            now: self.now,
            own: self.registration.identifier(),
            link: self.registration.link(),
            patience: self.registration.terms().timeout + OFFER_MARGIN,
            blob_max: self.registration.terms().maxblob,
            server_rtt: self.registration.rtt,
            observed: self.registration.observed(),
            hosts: &self.hosts,
            paths: &mut self.paths,
            witness: &mut self.witness,
            sealing: &mut self.sealing,
            out: &mut self.out,
            random: &mut self.random,
        };
        (&mut self.calls, context)
    }

    fn poll_request(&mut self) -> Option<Transmit> {
        let Self { now, registration, pinging, random, .. } = self;
        let (frame, turn) =
            registration.poll(*now, random).or_else(|| pinging.poll(*now, &registration.rtt, random))?;
        self.out.counters.count_turn(turn);
        Some(Transmit { to: self.server, contents: frame.to_vec(), hops: None })
    }

    fn poll_path(&mut self) -> Option<Transmit> {
        let (to, frame) = self.paths.poll(self.now, &mut self.random)?;
        Some(Transmit { to, contents: frame.to_vec(), hops: None })
    }

    fn poll_witness(&mut self) -> Option<Transmit> {
        let (to, frame) = self.witness.poll(self.now, &mut self.random)?;
        Some(Transmit { to, contents: frame.to_vec(), hops: None })
    }

    fn poll_call(&mut self) -> Option<Transmit> {
        let (calls, mut cx) = self.split();
        let (to, contents, turn) = calls.poll(&mut cx)?;
        self.out.counters.count_turn(turn);
        let (to, hops) = match to {
            To::Server => (self.server, None),
            To::Peer(peer, hops) => (peer, hops),
        };
        Some(Transmit { to, contents, hops })
    }
}
