//! Trickled candidates, both ways: messages of their own, each delivered once. Knows nothing of calls. SPEC 7

use super::ack::{AckTimer, Missing};
use super::constants::CANDIDATES_MAX;
use super::counters::DropReason;
use super::event::CallError;
use super::flight::Flight;
use crate::Instant;
use crate::seal::OpenError;
use crate::wire::{Arrived, Digest, FRAGMENT, Relayed};

/// Candidates on their way out.
#[derive(Debug)]
pub(super) struct Spoken {
    messages: Vec<Vec<u8>>,
    /// How many of them are the application's.
    pub(super) applications: usize,
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
        Self { messages: Vec::new(), applications: 0, flight: Flight::new(0) }
    }

    /// Takes a message to be sent, as it is once it is sealed under its number.
    pub(super) fn push(
        &mut self,
        message: Vec<u8>,
        seal: impl FnOnce(u8, Vec<u8>) -> Result<Vec<u8>, CallError>,
    ) -> Result<(), CallError> {
        if message.is_empty() {
            return Err(CallError::Empty);
        }
        if message.len() > FRAGMENT {
            return Err(CallError::TooLarge { limit: FRAGMENT, had: message.len() });
        }
        let number =
            u8::try_from(self.messages.len()).ok().filter(|&number| usize::from(number) < CANDIDATES_MAX);
        let message = seal(number.ok_or(CallError::TooMany)?, message)?;
        if self.flight.grow().is_none() {
            return Err(CallError::TooMany);
        }
        self.messages.push(message);
        Ok(())
    }

    /// Returns message `number`.
    pub(super) fn message(&self, number: u8) -> &[u8] {
        self.messages.get(usize::from(number)).map_or(&[], Vec::as_slice)
    }

    /// Gives up what has not been acknowledged. Returns whether the application is to know.
    pub(super) fn give_up(&mut self) -> bool {
        let any = !self.flight.is_complete() && self.applications > 0;
        self.flight.abandon();
        any
    }
}

impl Heard {
    pub(super) fn new() -> Self {
        Self { arrived: Arrived::default(), ack: AckTimer::Idle }
    }

    /// Takes a candidate, and returns the message if it is new. One that does not open leaves its number free.
    pub(super) fn take(
        &mut self,
        now: Instant,
        relayed: &Relayed<'_>,
        open: impl FnOnce(&[u8]) -> Result<Vec<u8>, OpenError>,
    ) -> Result<Option<Vec<u8>>, DropReason> {
        let head = relayed.head();
        if Digest::of(relayed.blob()) != head.digest {
            return Err(DropReason::Digest);
        }
        if self.arrived.contains(head.index) {
            self.ack.soon(now);
            return Ok(None);
        }
        let message = open(relayed.blob()).map_err(|_| DropReason::Sealed)?;
        self.ack.soon(now);
        self.arrived.insert(head.index);
        Ok(Some(message))
    }

    /// Returns what to acknowledge now, and takes it as done.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Arrived> {
        (self.arrived.count() > 0 && self.ack.poll(now, Missing::Nothing)).then_some(self.arrived)
    }
}
