//! Trickled candidates, both ways: messages of their own, each delivered once. Knows nothing of calls. SPEC 7

use super::ack::{AckTimer, Missing};
use super::constants::CANDIDATES_MAX;
use super::counters::DropReason;
use super::event::CallError;
use super::flight::Flight;
use crate::Instant;
use crate::wire::{Arrived, Digest, FRAGMENT, Relayed};

/// Candidates on their way out.
#[derive(Debug)]
pub(super) struct Spoken {
    messages: Vec<Vec<u8>>,
    /// Which of them are under way.
    pub(super) flight: Flight,
}

/// Candidates that have come in, and their acknowledgement.
#[derive(Debug)]
pub(super) struct Heard {
    arrived: Arrived,
    /// When to acknowledge.
    pub(super) ack: AckTimer,
}

impl Spoken {
    pub(super) fn new() -> Self {
        Self { messages: Vec::new(), flight: Flight::new(0) }
    }

    /// Takes a message to be sent.
    pub(super) fn push(&mut self, message: Vec<u8>) -> Result<(), CallError> {
        if message.is_empty() {
            return Err(CallError::Empty);
        }
        if message.len() > FRAGMENT {
            return Err(CallError::TooLarge { limit: FRAGMENT, had: message.len() });
        }
        if self.messages.len() >= CANDIDATES_MAX || self.flight.grow().is_none() {
            return Err(CallError::TooMany);
        }
        self.messages.push(message);
        Ok(())
    }

    /// Returns message `number`.
    pub(super) fn message(&self, number: u8) -> &[u8] {
        self.messages.get(usize::from(number)).map_or(&[], Vec::as_slice)
    }

    /// Gives up what has not been acknowledged. Returns whether there was any.
    pub(super) fn give_up(&mut self) -> bool {
        let any = !self.flight.is_complete();
        self.flight.abandon();
        any
    }
}

impl Heard {
    pub(super) fn new() -> Self {
        Self { arrived: Arrived::default(), ack: AckTimer::Idle }
    }

    /// Takes a candidate, and returns the message if it is new.
    pub(super) fn take(
        &mut self,
        now: Instant,
        relayed: &Relayed<'_>,
    ) -> Result<Option<Vec<u8>>, DropReason> {
        let head = relayed.head();
        if Digest::of(relayed.blob()) != head.digest {
            return Err(DropReason::Digest);
        }
        self.ack.soon(now);
        if self.arrived.contains(head.index) {
            return Ok(None);
        }
        self.arrived.insert(head.index);
        Ok(Some(relayed.blob().to_vec()))
    }

    /// Returns what to acknowledge now, and takes it as done.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Arrived> {
        (self.arrived.count() > 0 && self.ack.poll(now, Missing::Nothing)).then_some(self.arrived)
    }
}
