//! The called side of a call: the offer comes in, the application answers. Knows nothing of other calls. SPEC 6

use super::counters::DropReason;
use super::event::CallError;
use super::flight::Turn;
use super::incoming::{Incoming, Taken};
use super::outgoing::{Outgoing, Route};
use super::progress::{Progress, Transfer};
use super::rtt::Rtt;
use crate::Instant;
use crate::wire::{Arrived, BlobKind, Relayed, RelayedHead};

/// What the callee keeps of a call.
#[derive(Debug)]
pub(super) struct Callee {
    /// Kept to the end: its repeats are acknowledged.
    pub(super) offer: Incoming,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Receiving,
    Waiting,
    /// Whether it is accepted does not show in a sealed answer.
    Answering {
        answer: Outgoing,
        declines: bool,
    },
    /// The answer is kept for a server that has not seen it: when to show it that the offer was answered.
    Delivered {
        answer: Outgoing,
        again: Option<Instant>,
    },
}

/// What a fragment of the offer has done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// More is missing, or it was there already.
    More,
    /// All of it.
    Whole(Vec<u8>),
    /// All of it, but not what was announced.
    Damaged,
}

/// Where a call stands, for whoever keeps the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The offer is not whole yet; the application knows nothing of it.
    Receiving,
    /// The application is to answer.
    Waiting,
    /// The answer is on its way.
    Answering,
    /// The caller has the answer.
    Delivered,
}

/// Whether the call goes on after the answer has been delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    NotYet,
    Accepted,
    Declined,
}

impl Callee {
    pub(super) fn new(head: &RelayedHead) -> Self {
        Self { offer: Incoming::new(head), phase: Phase::Receiving }
    }

    pub(super) fn stage(&self) -> Stage {
        match self.phase {
            Phase::Receiving => Stage::Receiving,
            Phase::Waiting => Stage::Waiting,
            Phase::Answering { .. } => Stage::Answering,
            Phase::Delivered { .. } => Stage::Delivered,
        }
    }

    /// Tells whether the application has not answered.
    pub(super) fn is_unanswered(&self) -> bool {
        match self.phase {
            Phase::Receiving | Phase::Waiting => true,
            Phase::Answering { .. } | Phase::Delivered { .. } => false,
        }
    }

    /// Says how far the offer has come, as long as the application does not know of it.
    pub(super) fn arriving(&self) -> Option<Progress> {
        match self.phase {
            Phase::Receiving => self.offer.progress(Transfer::Offer),
            Phase::Waiting | Phase::Answering { .. } | Phase::Delivered { .. } => None,
        }
    }

    /// Says how far the answer has come.
    pub(super) fn progress(&self) -> Option<Progress> {
        match &self.phase {
            Phase::Receiving | Phase::Waiting => None,
            Phase::Answering { answer, .. } => answer.progress(Transfer::Answer),
            Phase::Delivered { answer, .. } => answer.delivered(Transfer::Answer),
        }
    }

    /// Takes a fragment of the offer.
    pub(super) fn take(&mut self, now: Instant, relayed: &Relayed<'_>) -> Result<Received, DropReason> {
        match self.offer.take(now, relayed) {
            Taken::Mismatch => Err(DropReason::Mismatch),
            Taken::Damaged => Ok(Received::Damaged),
            Taken::Kept => Ok(Received::More),
            Taken::Whole(blob) => {
                self.phase = Phase::Waiting;
                Ok(Received::Whole(blob))
            }
        }
    }

    /// Starts sending the answer.
    pub(super) fn answer(&mut self, blob: Vec<u8>, declines: bool) -> Result<(), CallError> {
        match self.phase {
            Phase::Waiting => {
                self.phase = Phase::Answering { answer: Outgoing::new(BlobKind::Answer, blob), declines };
                Ok(())
            }
            Phase::Receiving | Phase::Answering { .. } | Phase::Delivered { .. } => {
                Err(CallError::NotAnswerable)
            }
        }
    }

    /// Takes an acknowledgement of the answer.
    pub(super) fn acknowledged(
        &mut self,
        now: Instant,
        bitmap: Arrived,
        rtt: &mut Rtt,
    ) -> Result<Delivered, DropReason> {
        match &mut self.phase {
            Phase::Receiving | Phase::Waiting => Err(DropReason::Phase),
            Phase::Delivered { .. } => Ok(Delivered::NotYet),
            Phase::Answering { answer, declines } => {
                answer.flight.acknowledge(now, bitmap, rtt);
                if !answer.flight.is_complete() {
                    return Ok(Delivered::NotYet);
                }
                let delivered = if *declines { Delivered::Declined } else { Delivered::Accepted };
                self.deliver();
                Ok(delivered)
            }
        }
    }

    /// Takes the caller's PUNCH for an acknowledgement of the answer: it is sent once that is complete. Returns whether
    /// it was needed.
    pub(super) fn confirm(&mut self) -> bool {
        match self.phase {
            Phase::Answering { declines: false, .. } => {
                self.deliver();
                true
            }
            Phase::Receiving | Phase::Waiting | Phase::Answering { .. } | Phase::Delivered { .. } => false,
        }
    }

    fn deliver(&mut self) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Waiting) {
            Phase::Answering { answer, .. } => Phase::Delivered { answer, again: None },
            other @ (Phase::Receiving | Phase::Waiting | Phase::Delivered { .. }) => other,
        };
    }

    /// Takes an ERROR that asks to repeat the answer later.
    pub(super) fn hold(&mut self, now: Instant, until: Instant, rtt: &Rtt) {
        match &mut self.phase {
            Phase::Receiving | Phase::Waiting => {}
            Phase::Answering { answer, .. } => answer.flight.hold(now, until, rtt),
            Phase::Delivered { again, .. } => *again = Some(until),
        }
    }

    /// Sends again what is not acknowledged: the server knows this client again. If it was restarted, it has not seen the
    /// answer: one fragment shows it.
    pub(super) fn resume(&mut self, now: Instant) {
        self.offer.resume(now);
        match &mut self.phase {
            Phase::Receiving | Phase::Waiting => {}
            Phase::Answering { answer, .. } => answer.flight.resume(),
            Phase::Delivered { again, .. } => *again = Some(now),
        }
    }

    pub(super) fn expire(&mut self, now: Instant, rtt: &Rtt) {
        if let Phase::Answering { answer, .. } = &mut self.phase {
            answer.flight.expire(now, rtt);
        }
    }

    /// Returns the datagram to send now, and takes it as sent.
    pub(super) fn poll(&mut self, now: Instant, route: &Route) -> Option<(Vec<u8>, Turn)> {
        match &mut self.phase {
            Phase::Receiving | Phase::Waiting => None,
            Phase::Answering { answer, .. } => {
                let (index, turn) = answer.flight.poll(now)?;
                Some((answer.datagram(route, index), turn))
            }
            Phase::Delivered { answer, again } => {
                again.take_if(|at| *at <= now)?;
                Some((answer.datagram(route, answer.last()), Turn::Again))
            }
        }
    }

    /// Returns when there will next be something to do.
    pub(super) fn next(&self, now: Instant, rtt: &Rtt) -> [Option<Instant>; 3] {
        let answer = match &self.phase {
            Phase::Receiving | Phase::Waiting => None,
            Phase::Answering { answer, .. } => answer.flight.next(now, rtt),
            Phase::Delivered { again, .. } => *again,
        };
        [answer, self.offer.ack.next(), None]
    }
}
