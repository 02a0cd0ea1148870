//! Opening a direct path: PUNCH to the server, PROBE and PROBE_REPLY with the peer. Knows nothing of blobs. SPEC 8

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::constants::{PROBE_INTERVAL, PROBE_TIME, PROBES_MAX};
use super::counters::DropReason;
use super::event::FailReason;
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
    Asking(Asking),
    /// Looking for a path.
    Probing(Probing),
    /// A path was proved, or none was found. The peer's probes are answered on.
    Over { token: Token, peer: Address, since: Instant },
}

/// PUNCH and its repeats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    times: u32,
    next: Instant,
    /// Set with the first PUNCH.
    until: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Probing {
    token: Token,
    peer: SocketAddr,
    next: Instant,
    until: Instant,
    sent: VecDeque<(TransactionId, Instant)>,
    /// Goes on, if this side asked: the other peer's PUNCH_NOW may have been lost.
    asking: Option<Asking>,
}

/// A proved path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proved {
    pub(super) peer: SocketAddr,
    pub(super) round_trip: Duration,
}

/// What a PUNCH_NOW has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Started {
    /// Probes are going out.
    Yes,
    /// It repeats an earlier one.
    Before,
    /// It names no address: punching has failed.
    Nowhere,
}

impl Punch {
    /// Asks the server to start both peers, unless that is under way.
    pub(super) fn ask(&mut self, now: Instant) {
        match self {
            Self::Idle | Self::Over { .. } => {
                *self = Self::Asking(Asking { times: 0, next: now, until: None })
            }
            Self::Asking(_) | Self::Probing(_) => {}
        }
    }

    /// Tells whether the application waits for an outcome.
    pub(super) fn is_under_way(&self) -> bool {
        match self {
            Self::Idle | Self::Over { .. } => false,
            Self::Asking(_) | Self::Probing(_) => true,
        }
    }

    /// Tells whether probes are going out.
    pub(super) fn is_probing(&self) -> bool {
        matches!(self, Self::Probing(_))
    }

    /// Takes a PUNCH_NOW: starts probing at once.
    pub(super) fn start(&mut self, now: Instant, order: &PunchNow) -> Result<Started, DropReason> {
        let Some(peer) = order.peer.socket_addr().filter(|peer| peer.port() != 0) else {
            if !self.is_under_way() {
                return Err(DropReason::Phase);
            }
            *self = Self::Idle;
            return Ok(Started::Nowhere);
        };
        let (sent, asking) = match self {
            Self::Probing(probing) if probing.token == order.token => {
                if probing.peer == peer {
                    return Ok(Started::Before);
                }
                (std::mem::take(&mut probing.sent), probing.asking)
            }
            Self::Over { token, peer, since }
                if *token == order.token && *peer == order.peer && now < *since + PROBE_TIME =>
            {
                return Ok(Started::Before);
            }
            Self::Asking(asking) => (VecDeque::new(), Some(*asking)),
            Self::Idle | Self::Probing(_) | Self::Over { .. } => (VecDeque::new(), None),
        };
        let (token, until) = (order.token, now + PROBE_TIME);
        *self = Self::Probing(Probing { token, peer, next: now, until, sent, asking });
        Ok(Started::Yes)
    }

    /// Takes an ERROR to the PUNCH. Returns whether punching has failed with it.
    pub(super) fn refused(&mut self, retry_at: Option<Instant>) -> bool {
        match (&mut *self, retry_at) {
            (Self::Asking(asking) | Self::Probing(Probing { asking: Some(asking), .. }), Some(at)) => {
                asking.next = at;
                false
            }
            (Self::Asking(_), None) => {
                *self = Self::Idle;
                true
            }
            (Self::Probing(probing), None) => {
                probing.asking = None;
                false
            }
            (Self::Idle | Self::Probing(_) | Self::Over { .. }, _) => false,
        }
    }

    /// Asks anew at once: the server knows this client again.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Self::Asking(asking) = self {
            (asking.times, asking.next) = (0, now);
        }
    }

    /// Answers a PROBE where it came from. An address that is not probed anyway is probed once for each PROBE that comes
    /// from there: never more, so that nobody is flooded.
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
        if let Self::Probing(probing) = self
            && Address::from(probing.peer) != Address::from(from)
        {
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
        *self = probing.over(now);
        Ok(Some(Proved { peer: from, round_trip: now.since(sent) }))
    }

    /// Returns why punching has just failed, if its time is over.
    pub(super) fn expire(&mut self, now: Instant) -> Option<FailReason> {
        match self {
            Self::Probing(probing) if probing.until <= now => {
                *self = probing.over(now);
                Some(FailReason::NoPath)
            }
            Self::Asking(Asking { until: Some(until), .. }) if *until <= now => {
                *self = Self::Idle;
                Some(FailReason::ServerSilent)
            }
            Self::Idle | Self::Asking(_) | Self::Probing(_) | Self::Over { .. } => None,
        }
    }

    /// Tells whether to send PUNCH now, and takes it as sent.
    pub(super) fn poll_punch(&mut self, now: Instant, rtt: &Rtt) -> Option<Turn> {
        let (Self::Asking(asking) | Self::Probing(Probing { asking: Some(asking), .. })) = self else {
            return None;
        };
        if now < asking.next {
            return None;
        }
        let turn = if asking.times == 0 { Turn::First } else { Turn::Again };
        asking.next = now + rtt.backed_off(asking.times);
        asking.times += 1;
        asking.until = asking.until.or(Some(now + PROBE_TIME));
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

    /// Returns when PUNCH goes out next.
    pub(super) fn next_punch(&self) -> Option<Instant> {
        match self {
            Self::Asking(asking) | Self::Probing(Probing { asking: Some(asking), .. }) => Some(asking.next),
            Self::Idle | Self::Probing(_) | Self::Over { .. } => None,
        }
    }

    /// Returns when there will next be something to do that needs no server.
    pub(super) fn next(&self) -> Option<Instant> {
        match self {
            Self::Idle | Self::Over { .. } => None,
            Self::Asking(asking) => asking.until,
            Self::Probing(probing) => Some(probing.next.min(probing.until)),
        }
    }

    fn token(&self) -> Option<Token> {
        match self {
            Self::Idle | Self::Asking(_) => None,
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

    fn over(&self, now: Instant) -> Punch {
        Punch::Over { token: self.token, peer: self.peer.into(), since: now }
    }
}
