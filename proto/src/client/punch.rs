//! Opening a direct path: PUNCH to the server, PROBE and PROBE_REPLY with the peer. Knows nothing of blobs. SPEC 8

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::constants::{PROBE_INTERVAL, PROBE_TIME, PROBES_MAX};
use super::counters::DropReason;
use super::flight::Turn;
use super::output::Output;
use super::rtt::Rtt;
use crate::Instant;
use crate::keyed::Generator;
use crate::wire::{Address, Frame, OfferId, Probe, ProbeReply, PunchNow, Token, TransactionId, Zeros};

/// The life of one call's direct path.
#[derive(Debug)]
pub(super) enum Punch {
    /// Nobody has asked.
    Idle,
    /// PUNCH is under way.
    Asking { times: u32, next: Instant },
    /// Looking for a path.
    Probing(Probing),
    /// A path was proved, or none was found. The peer's probes are answered on.
    Over { token: Token, peer: Address },
}

#[derive(Debug)]
pub(super) struct Probing {
    token: Token,
    peer: SocketAddr,
    next: Instant,
    until: Instant,
    sent: VecDeque<(TransactionId, Instant)>,
}

/// A proved path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proved {
    pub(super) peer: SocketAddr,
    pub(super) round_trip: Duration,
}

impl Punch {
    /// Asks the server to start both peers, unless that is under way.
    pub(super) fn ask(&mut self, now: Instant) {
        match self {
            Self::Idle | Self::Over { .. } => *self = Self::Asking { times: 0, next: now },
            Self::Asking { .. } | Self::Probing(_) => {}
        }
    }

    /// Tells whether the application waits for an outcome.
    pub(super) fn is_under_way(&self) -> bool {
        match self {
            Self::Idle | Self::Over { .. } => false,
            Self::Asking { .. } | Self::Probing(_) => true,
        }
    }

    /// Tells whether probes are going out.
    pub(super) fn is_probing(&self) -> bool {
        matches!(self, Self::Probing(_))
    }

    /// Takes a PUNCH_NOW: starts probing at once.
    pub(super) fn start(&mut self, now: Instant, order: &PunchNow) -> Result<(), DropReason> {
        let Some(peer) = order.peer.socket_addr().filter(|peer| peer.port() != 0) else {
            return Err(DropReason::Phase);
        };
        match self {
            Self::Probing(probing) if probing.token == order.token => {
                probing.peer = peer;
                return Ok(());
            }
            // A repeat; a peer that has moved is looked for anew.
            Self::Over { token, peer } if *token == order.token && *peer == order.peer => return Ok(()),
            Self::Idle | Self::Asking { .. } | Self::Probing(_) | Self::Over { .. } => {}
        }
        *self = Self::Probing(Probing {
            token: order.token,
            peer,
            next: now,
            until: now + PROBE_TIME,
            sent: VecDeque::new(),
        });
        Ok(())
    }

    /// Takes an ERROR to the PUNCH. Returns whether punching has failed with it.
    pub(super) fn refused(&mut self, retry_at: Option<Instant>) -> bool {
        match (&mut *self, retry_at) {
            (Self::Asking { next, .. }, Some(at)) => {
                *next = at;
                false
            }
            (Self::Asking { .. }, None) => {
                *self = Self::Idle;
                true
            }
            (Self::Idle | Self::Probing(_) | Self::Over { .. }, _) => false,
        }
    }

    /// Asks anew at once: the server knows this client again.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Self::Asking { times, next } = self {
            (*times, *next) = (0, now);
        }
    }

    /// Answers a PROBE where it came from, and probes that address once in turn: never more than twice what came.
    pub(super) fn probed(
        &mut self,
        now: Instant,
        from: SocketAddr,
        probe: &Probe,
        random: &mut Generator,
        out: &mut Output,
    ) -> Result<(), DropReason> {
        if self.token() != Some(probe.token) {
            return Err(DropReason::Token);
        }
        let &Probe { offer, token, transaction, .. } = probe;
        out.reply(from, &Frame::ProbeReply(ProbeReply { offer, token, transaction, observed: from.into() }));
        if let Self::Probing(probing) = self {
            let frame = probing.probe(now, offer, random);
            out.reply(from, &frame);
        }
        Ok(())
    }

    /// Takes a PROBE_REPLY: the path is proved, if it answers a PROBE that was sent.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        from: SocketAddr,
        reply: &ProbeReply,
    ) -> Result<Option<Proved>, DropReason> {
        if self.token() != Some(reply.token) {
            return Err(DropReason::Token);
        }
        let Self::Probing(probing) = self else { return Ok(None) };
        let sent = probing.sent.iter().find(|(transaction, _)| *transaction == reply.transaction);
        let &(_, sent) = sent.ok_or(DropReason::Reference)?;
        *self = Self::Over { token: probing.token, peer: probing.peer.into() };
        Ok(Some(Proved { peer: from, round_trip: now.since(sent) }))
    }

    /// Returns whether the time for probing has just ended without a path.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        match self {
            Self::Probing(probing) if probing.until <= now => {
                *self = Self::Over { token: probing.token, peer: probing.peer.into() };
                true
            }
            Self::Idle | Self::Asking { .. } | Self::Probing(_) | Self::Over { .. } => false,
        }
    }

    /// Tells whether to send PUNCH now, and takes it as sent.
    pub(super) fn poll_punch(&mut self, now: Instant, rtt: &Rtt) -> Option<Turn> {
        let Self::Asking { times, next } = self else { return None };
        if now < *next {
            return None;
        }
        let turn = if *times == 0 { Turn::First } else { Turn::Again };
        *next = now + rtt.backed_off(*times);
        *times += 1;
        Some(turn)
    }

    /// Returns the PROBE to send now, and takes it as sent.
    pub(super) fn poll_probe(
        &mut self,
        now: Instant,
        offer: OfferId,
        random: &mut Generator,
    ) -> Option<(SocketAddr, Frame<'static>)> {
        let Self::Probing(probing) = self else { return None };
        if now < probing.next {
            return None;
        }
        probing.next = now + PROBE_INTERVAL;
        Some((probing.peer, probing.probe(now, offer, random)))
    }

    /// Returns when there will next be something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        match self {
            Self::Idle | Self::Over { .. } => None,
            Self::Asking { next, .. } => Some(*next),
            Self::Probing(probing) => Some(probing.next.min(probing.until)),
        }
    }

    fn token(&self) -> Option<Token> {
        match self {
            Self::Idle | Self::Asking { .. } => None,
            Self::Probing(probing) => Some(probing.token),
            Self::Over { token, .. } => Some(*token),
        }
    }
}

impl Probing {
    fn probe(&mut self, now: Instant, offer: OfferId, random: &mut Generator) -> Frame<'static> {
        let transaction = TransactionId(random.bytes());
        if self.sent.len() >= PROBES_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((transaction, now));
        Frame::Probe(Probe { offer, token: self.token, transaction, zero: Zeros::ZERO })
    }
}
