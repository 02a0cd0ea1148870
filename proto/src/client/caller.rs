//! The calling side of a call: the offer goes out, rings, and its answer comes in. Knows nothing of other calls. SPEC 6

use super::constants::{OFFER_LINGER, OFFER_REPEAT};
use super::counters::DropReason;
use super::flight::Turn;
use super::incoming::{Incoming, Taken};
use super::outgoing::{Outgoing, Route};
use super::progress::{Progress, Transfer};
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
    /// The last fragment of the offer goes out until then.
    Answered {
        answer: Incoming,
        until: Instant,
    },
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
    /// All of it, but not what was announced.
    Damaged,
}

impl Caller {
    pub(super) fn new(blob: Vec<u8>, rival: Option<OfferId>) -> Self {
        Self { offer: Outgoing::new(BlobKind::Offer, blob), phase: Phase::Sending, ring: None, rival }
    }

    /// Tells whether the answer has not begun to arrive.
    pub(super) fn is_unheard(&self) -> bool {
        match self.phase {
            Phase::Sending | Phase::Ringing => true,
            Phase::Receiving(_) | Phase::Answered { .. } => false,
        }
    }

    /// Tells whether the answer is there.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.phase, Phase::Answered { .. })
    }

    /// Tells whether the callee has the whole offer.
    pub(super) fn is_delivered(&self) -> bool {
        !matches!(self.phase, Phase::Sending)
    }

    /// Tells whether no fragment has been sent yet.
    pub(super) fn is_unsent(&self) -> bool {
        self.offer.flight.is_unsent()
    }

    /// Says how far the offer has come, and once an answer of several fragments comes, how far that has. Who answers has the
    /// offer.
    pub(super) fn progress(&self) -> Option<Progress> {
        match &self.phase {
            Phase::Sending | Phase::Ringing => self.offer.progress(Transfer::Offer),
            Phase::Receiving(answer) | Phase::Answered { answer, .. } => {
                answer.progress(Transfer::Answer).or_else(|| self.offer.delivered(Transfer::Offer))
            }
        }
    }

    /// Takes an acknowledgement of the offer. Returns whether it completed it.
    pub(super) fn acknowledged(&mut self, now: Instant, bitmap: Arrived, rtt: &mut Rtt) -> bool {
        match self.phase {
            Phase::Sending | Phase::Ringing => self.offer.flight.acknowledge(now, bitmap, rtt),
            // The repeated last fragment is acknowledged too.
            Phase::Receiving(_) | Phase::Answered { .. } => return false,
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
            // Who answers has the offer, though the acknowledgement was lost.
            self.phase = Phase::Receiving(Incoming::new(relayed.head()));
            self.ring = self.ring.or(Some(now + OFFER_REPEAT));
        }
        let Some(answer) = self.answer() else { return Err(DropReason::Phase) };
        match answer.take(now, relayed) {
            Taken::Mismatch => Err(DropReason::Mismatch),
            Taken::Damaged => Ok(Heard::Damaged),
            Taken::Kept => Ok(if first { Heard::First } else { Heard::More }),
            Taken::Whole(blob) => {
                self.turn_to_answered(now);
                Ok(Heard::Whole(blob))
            }
        }
    }

    /// Takes an ERROR that asks to repeat the offer later.
    pub(super) fn hold(&mut self, now: Instant, until: Instant, rtt: &Rtt) {
        match self.phase {
            Phase::Sending => self.offer.flight.hold(now, until, rtt),
            Phase::Ringing | Phase::Receiving(_) | Phase::Answered { .. } => self.ring = Some(until),
        }
    }

    /// Sends the last fragment again now: the server does not know the offer any more.
    pub(super) fn reopen(&mut self, now: Instant) {
        match self.phase {
            Phase::Sending => {}
            Phase::Ringing | Phase::Receiving(_) | Phase::Answered { .. } => self.ring = Some(now),
        }
    }

    /// Sends again what is not acknowledged: the server knows this client again.
    pub(super) fn resume(&mut self, now: Instant) {
        self.offer.flight.resume();
        self.reopen(now);
        if let Some(answer) = self.answer() {
            answer.resume(now);
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
            Phase::Receiving(answer) | Phase::Answered { answer, .. } => Some(answer),
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
            Phase::Sending => None,
            Phase::Ringing | Phase::Receiving(_) => Some(now + OFFER_REPEAT),
            Phase::Answered { until, .. } => Some(now + OFFER_REPEAT).filter(|&next| next <= until),
        };
        Some((self.offer.datagram(route, self.offer.last()), Turn::Again))
    }

    /// Returns when there will next be something to do.
    pub(super) fn next(&self, now: Instant, rtt: &Rtt) -> [Option<Instant>; 3] {
        match &self.phase {
            Phase::Sending | Phase::Ringing => [self.offer.flight.next(now, rtt), self.ring, None],
            Phase::Receiving(answer) | Phase::Answered { answer, .. } => [None, self.ring, answer.ack.next()],
        }
    }

    fn turn_to_answered(&mut self, now: Instant) {
        if let Phase::Receiving(answer) = std::mem::replace(&mut self.phase, Phase::Sending) {
            self.phase = Phase::Answered { answer, until: now + OFFER_LINGER };
        }
    }
}
