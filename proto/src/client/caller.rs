//! The calling side of a call: the offer goes out, rings, and its answer comes in. Knows nothing of other calls. SPEC 6

use super::constants::OFFER_REPEAT;
use super::counters::DropReason;
use super::flight::Turn;
use super::incoming::{Incoming, Taken};
use super::outgoing::{Outgoing, Route};
use super::rtt::Rtt;
use crate::Instant;
use crate::wire::{Arrived, BlobKind, OfferId, Relayed};

/// What the caller keeps of a call.
#[derive(Debug)]
pub(super) struct Caller {
    /// Kept to the end: its last fragment reopens the offer at a server that has restarted.
    offer: Outgoing,
    phase: Phase,
    /// When the last fragment goes out again.
    ring: Option<Instant>,
    /// The other peer's offer that yields to this one.
    pub(super) rival: Option<OfferId>,
}

#[derive(Debug)]
enum Phase {
    Sending,
    Ringing,
    Receiving(Incoming),
    Answered(Incoming),
}

/// What a fragment of the answer has done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The first of it.
    First,
    /// More of it, or a repeat.
    More,
    /// All of it.
    Whole(Vec<u8>),
}

impl Caller {
    pub(super) fn new(blob: Vec<u8>) -> Self {
        Self { offer: Outgoing::new(BlobKind::Offer, blob), phase: Phase::Sending, ring: None, rival: None }
    }

    /// Tells whether the answer has not begun to arrive.
    pub(super) fn is_unheard(&self) -> bool {
        match self.phase {
            Phase::Sending | Phase::Ringing => true,
            Phase::Receiving(_) | Phase::Answered(_) => false,
        }
    }

    /// Tells whether the answer is there.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.phase, Phase::Answered(_))
    }

    /// Tells whether the callee has the whole offer.
    pub(super) fn is_delivered(&self) -> bool {
        !matches!(self.phase, Phase::Sending)
    }

    /// Tells whether no fragment has been sent yet.
    pub(super) fn is_unsent(&self) -> bool {
        self.offer.flight.is_unsent()
    }

    /// Takes an acknowledgement of the offer. Returns whether it completed it.
    pub(super) fn acknowledged(&mut self, now: Instant, bitmap: Arrived, rtt: &mut Rtt) -> bool {
        match self.phase {
            Phase::Sending | Phase::Ringing => self.offer.flight.acknowledge(now, bitmap, rtt),
            // The repeated last fragment is acknowledged too.
            Phase::Receiving(_) | Phase::Answered(_) => return false,
        }
        if self.is_delivered() || !self.offer.flight.is_complete() {
            return false;
        }
        self.phase = Phase::Ringing;
        self.ring = Some(now + OFFER_REPEAT);
        true
    }

    /// Takes a fragment of the answer.
    pub(super) fn take(&mut self, now: Instant, relayed: &Relayed<'_>) -> Result<Heard, DropReason> {
        let first = self.is_unheard();
        if first {
            self.phase = Phase::Receiving(Incoming::new(relayed.head()));
        }
        let (Phase::Receiving(answer) | Phase::Answered(answer)) = &mut self.phase else {
            return Err(DropReason::Phase);
        };
        match answer.take(now, relayed) {
            Taken::Mismatch => Err(DropReason::Mismatch),
            Taken::Corrupt => Err(DropReason::Digest),
            Taken::Kept => {
                if !answer.is_whole() {
                    self.ring = Some(now + OFFER_REPEAT);
                }
                Ok(if first { Heard::First } else { Heard::More })
            }
            Taken::Whole(blob) => {
                self.ring = None;
                self.turn_to_answered();
                Ok(Heard::Whole(blob))
            }
        }
    }

    /// Takes an ERROR that asks to repeat the offer later.
    pub(super) fn hold(&mut self, now: Instant, until: Instant, rtt: &Rtt) {
        match self.phase {
            Phase::Sending => self.offer.flight.hold(now, until, rtt),
            Phase::Ringing | Phase::Receiving(_) | Phase::Answered(_) => self.ring = Some(until),
        }
    }

    /// Sends the last fragment again now: the server does not know the offer any more.
    pub(super) fn reopen(&mut self, now: Instant) {
        match self.phase {
            Phase::Sending => {}
            Phase::Ringing | Phase::Receiving(_) | Phase::Answered(_) => self.ring = Some(now),
        }
    }

    /// Sends again what is not acknowledged: the server knows this client again.
    pub(super) fn resume(&mut self, now: Instant) {
        self.offer.flight.resume();
        self.reopen(now);
        match &mut self.phase {
            Phase::Sending | Phase::Ringing => {}
            Phase::Receiving(answer) | Phase::Answered(answer) => answer.resume(now),
        }
    }

    pub(super) fn expire(&mut self, now: Instant, rtt: &Rtt) {
        if self.is_unheard() {
            self.offer.flight.expire(now, rtt);
        }
    }

    /// Returns the answer, and its acknowledgement, on its way in.
    pub(super) fn answer(&mut self) -> Option<&mut Incoming> {
        match &mut self.phase {
            Phase::Sending | Phase::Ringing => None,
            Phase::Receiving(answer) | Phase::Answered(answer) => Some(answer),
        }
    }

    /// Returns the datagram to send now, and takes it as sent.
    pub(super) fn poll(&mut self, now: Instant, route: &Route) -> Option<(Vec<u8>, Turn)> {
        if self.is_unheard()
            && let Some((index, turn)) = self.offer.flight.poll(now)
        {
            return Some((self.offer.datagram(route, index), turn));
        }
        self.ring.filter(|&ring| ring <= now)?;
        self.ring = match self.phase {
            Phase::Sending | Phase::Answered(_) => None,
            Phase::Ringing | Phase::Receiving(_) => Some(now + OFFER_REPEAT),
        };
        Some((self.offer.datagram(route, self.offer.last()), Turn::Again))
    }

    /// Returns when there will next be something to do.
    pub(super) fn next(&self, now: Instant, rtt: &Rtt) -> [Option<Instant>; 3] {
        match &self.phase {
            Phase::Sending | Phase::Ringing => [self.offer.flight.next(now, rtt), self.ring, None],
            Phase::Receiving(answer) | Phase::Answered(answer) => [None, self.ring, answer.ack.next()],
        }
    }

    fn turn_to_answered(&mut self) {
        if let Phase::Receiving(answer) = std::mem::replace(&mut self.phase, Phase::Sending) {
            self.phase = Phase::Answered(answer);
        }
    }
}
