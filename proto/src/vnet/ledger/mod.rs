//! What the server may and must do, checked from outside after every input.
//!
//! The ledger sees what a capture sees, and the outcome and the sizes that the server states; from these it keeps its
//! own books, and any entry that does not fit is a [`Breach`]. It shares no code with the server's own decisions.

mod breach;
mod bytes;
mod calls;
mod holders;
mod words;

use std::net::SocketAddr;
use std::time::Duration;

pub use breach::Breach;

use crate::Instant;
use crate::server::{Config, Outcome, Server, Stun};
use crate::wire::{self, Frame};
use bytes::Bytes;
use calls::Calls;
use holders::Holders;

/// A datagram that the server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// From which of its places.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// The payload.
    pub contents: Vec<u8>,
}

/// The sizes of the server's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Registered peers.
    pub peers: u32,
    /// Open offers.
    pub offers: u32,
}

impl Sizes {
    /// Reads them.
    #[must_use]
    pub const fn of(server: &Server) -> Self {
        Self { peers: server.peers(), offers: server.offers() }
    }
}

/// A datagram that the server took, and all that it caused.
#[derive(Clone, Copy, Debug)]
pub struct Handled<'a> {
    /// When.
    pub now: Instant,
    /// The address that it claims to come from.
    pub from: SocketAddr,
    /// The payload.
    pub contents: &'a [u8],
    /// What the server says became of it.
    pub outcome: Outcome,
    /// What the server sent before its next input.
    pub sent: &'a [Sent],
    /// The tables before.
    pub before: Sizes,
}

/// Books on one life of a server, from its start to its end.
pub struct Ledger {
    limits: Sizes,
    bytes: Bytes,
    holders: Holders,
    calls: Calls,
    outcomes: u64,
    is_stun_strict: bool,
}

impl Ledger {
    /// Opens the books of a server that was just started with `config`.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            limits: Sizes { peers: config.max_peers, offers: config.max_offers },
            bytes: Bytes::default(),
            holders: Holders::new(config.limits.stranger_answers),
            calls: Calls::new(config.offer_timeout, config.max_peer_offers),
            outcomes: 0,
            is_stun_strict: config.stun == Stun::Strict,
        }
    }

    /// Enters one datagram.
    ///
    /// # Errors
    /// The first [`Breach`] that it is.
    pub fn handled(&mut self, handled: &Handled<'_>, server: &Server) -> Result<(), Breach> {
        if handled.outcome == Outcome::Stun {
            return self.reflected(handled, server);
        }
        let frame = words::canonical(handled.contents)?;
        let frames = words::all_canonical(handled.sent)?;
        self.bytes.handled(handled)?;
        words::fit_outcome(handled, &frames)?;
        self.holders.stored_only_for_the_proved(handled, frame.as_ref(), Sizes::of(server))?;
        self.holders.fit_standing(handled, frame.as_ref())?;
        self.holders.reach_their_receivers(handled, &frames)?;
        let opened = server.offers() > handled.before.offers;
        self.calls.relayed(handled, frame.as_ref(), &frames, &self.holders, opened)?;
        self.bytes.prepaid(handled, frame.as_ref());
        self.holders.enter(handled, frame.as_ref(), &frames)?;
        self.counted(server, true)
    }

    /// Enters a STUN request that was answered: to its sender alone, and nothing was stored.
    fn reflected(&mut self, handled: &Handled<'_>, server: &Server) -> Result<(), Breach> {
        let (address, before, after) = (handled.from, handled.before, Sizes::of(server));
        if !matches!(handled.sent, [sent] if sent.to == address) {
            return Err(Breach::OutcomeUnfit { outcome: handled.outcome });
        }
        if before != after {
            return Err(Breach::StoredForUnproved { address, before, after });
        }
        self.bytes.reflected(handled, self.is_stun_strict)?;
        self.holders.answered_stranger(address);
        self.counted(server, true)
    }

    /// Enters what the server did because time has passed.
    ///
    /// # Errors
    /// The first [`Breach`] that it is.
    pub fn timed(
        &mut self,
        now: Instant,
        sent: &[Sent],
        before: Sizes,
        server: &Server,
    ) -> Result<(), Breach> {
        for (sent, frame) in sent.iter().zip(words::all_canonical(sent)?) {
            self.bytes.noticed(sent, &frame)?;
            self.holders.is_somebodys(sent.to)?;
        }
        let after = Sizes::of(server);
        if after.peers > before.peers || after.offers > before.offers {
            return Err(Breach::GrewByItself { before, after });
        }
        if server.poll_timeout().is_none_or(|at| at > now) {
            self.holders.forget_silent(now);
            self.calls.forget_over(now);
        }
        self.holders.fit_count(now, after.peers)?;
        self.counted(server, false)
    }

    /// Returns the UDP payload bytes that the server took and sent in this life.
    #[must_use]
    pub const fn bytes(&self) -> (u64, u64) {
        self.bytes.in_all()
    }

    fn counted(&mut self, server: &Server, one_more: bool) -> Result<(), Breach> {
        self.outcomes += u64::from(one_more);
        let counters = server.counters();
        let (taken, sent) = self.bytes.in_all();
        if (counters.outcomes(), counters.datagrams_in) != (self.outcomes, self.outcomes)
            || (counters.bytes_in, counters.bytes_out) != (taken, sent)
        {
            return Err(Breach::Miscounted);
        }
        let sizes = Sizes::of(server);
        if sizes.peers > self.limits.peers || sizes.offers > self.limits.offers {
            return Err(Breach::BeyondLimit { limits: self.limits, sizes });
        }
        self.calls.fit_count(sizes.offers, &self.holders)?;
        server.check_invariants().map_err(|what| Breach::Parts { what })
    }
}

/// Returns the session that a frame towards the server speaks for, PING and REGISTER aside.
fn session(frame: &Frame<'_>) -> Option<wire::Session> {
    match frame {
        Frame::Keepalive(body) => Some(body.session),
        Frame::Unregister(body) => Some(body.session),
        Frame::Offer(fragment) | Frame::Answer(fragment) | Frame::Candidate(fragment) => {
            Some(fragment.head().session)
        }
        Frame::Ack(body) => Some(body.session),
        Frame::Punch(body) => Some(body.session),
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
        | Frame::Error(_) => None,
    }
}

/// Returns the session whose holder a relayed frame is meant for.
fn receiver(frame: &Frame<'_>) -> Option<wire::Session> {
    match frame {
        Frame::RelayedOffer(relayed) | Frame::RelayedAnswer(relayed) | Frame::RelayedCandidate(relayed) => {
            Some(relayed.head().session)
        }
        Frame::RelayedAck(body) => Some(body.session),
        Frame::PunchNow(body) => Some(body.session),
        Frame::Ping(_)
        | Frame::Register(_)
        | Frame::Keepalive(_)
        | Frame::Unregister(_)
        | Frame::Offer(_)
        | Frame::Answer(_)
        | Frame::Candidate(_)
        | Frame::Ack(_)
        | Frame::Punch(_)
        | Frame::Probe(_)
        | Frame::ProbeReply(_)
        | Frame::Pong(_)
        | Frame::Registered(_)
        | Frame::Challenge(_)
        | Frame::KeepaliveReply(_)
        | Frame::Unregistered(_)
        | Frame::Error(_) => None,
    }
}

/// How late a deadline may be met. SPEC 5: a silent peer is forgotten at most 2 s late.
const SLACK: Duration = Duration::from_secs(2);
