//! Asking for the observed address without registering. Knows nothing of sessions. SPEC 4

use super::constants::SILENT_AFTER;
use super::event::Event;
use super::flight::Turn;
use super::output::Output;
use super::rtt::Rtt;
use crate::Instant;
use crate::keyed::Generator;
use crate::wire::{Frame, Ping, Pong, TransactionId, Zeros};

/// One question and its repeats, each under a transaction of its own, so that the round trip is exact.
#[derive(Debug, Default)]
pub(super) struct Pinging {
    sent: Vec<(TransactionId, Instant)>,
    next: Option<Instant>,
}

impl Pinging {
    /// Asks now; a question under way begins anew.
    pub(super) fn start(&mut self, now: Instant) {
        self.sent.clear();
        self.next = Some(now);
    }

    /// Takes a PONG; `None` if nobody asked.
    pub(super) fn answered(&mut self, now: Instant, pong: &Pong) -> Option<Event> {
        let &(_, asked) = self.sent.iter().find(|(transaction, _)| *transaction == pong.transaction)?;
        self.stop();
        Some(Event::Pong { round_trip: now.since(asked), observed: pong.observed })
    }

    /// Takes an ERROR; `None` if it is not about a PING.
    pub(super) fn refused(&mut self, reference: TransactionId, retry_at: Option<Instant>) -> Option<()> {
        self.sent.iter().find(|(transaction, _)| *transaction == reference)?;
        self.stop();
        self.next = retry_at;
        Some(())
    }

    /// Gives up after three questions without an answer.
    pub(super) fn expire(&mut self, now: Instant, out: &mut Output) {
        if self.sent.len() >= SILENT_AFTER as usize && self.next.is_some_and(|next| next <= now) {
            self.stop();
            out.event(Event::ServerSilent);
        }
    }

    /// Returns the PING to send now, and takes it as sent.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        rtt: &Rtt,
        random: &mut Generator,
    ) -> Option<(Frame<'static>, Turn)> {
        self.next.filter(|&next| next <= now)?;
        let transaction = TransactionId(random.bytes());
        let turn = if self.sent.is_empty() { Turn::First } else { Turn::Again };
        // SILENT_AFTER bounds the count.
        self.next = Some(now + rtt.backed_off(self.sent.len() as u32));
        self.sent.push((transaction, now));
        Some((Frame::Ping(Ping { transaction, zero: Zeros::ZERO }), turn))
    }

    /// Returns when there will next be something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    fn stop(&mut self) {
        self.sent.clear();
        self.next = None;
    }
}
