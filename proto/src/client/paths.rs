//! Paths that were taken, while they are used: who keeps one asks for consent every few seconds (RFC 7675), which keeps the
//! NATs open, too; who does not answers. A path outlives its call. Knows nothing of the server. SPEC 8

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::constants::{CALLS_MAX, CONSENT_INTERVAL, CONSENT_TIME, CONSENTS_MAX};
use super::counters::DropReason;
use super::event::Event;
use super::output::Output;
use crate::Instant;
use crate::keyed::Generator;
use crate::probe_key::ProbeKey;
use crate::wire::{Flag, Frame, OfferId, Probe, ProbeReply, Tag, TransactionId, Zeros};

/// The paths in use, [`CALLS_MAX`] at most.
#[derive(Debug)]
pub(super) struct Paths {
    open: BTreeMap<OfferId, Used>,
    /// Whether paths that are taken from now on are kept.
    pub(super) keeps: bool,
}

#[derive(Debug)]
struct Used {
    key: ProbeKey,
    peer: SocketAddr,
    keeps: bool,
    /// When to ask for consent.
    next: Instant,
    sent: VecDeque<TransactionId>,
    /// When it was consented; who does not ask takes the other peer's question for that.
    consented: Instant,
}

impl Default for Paths {
    fn default() -> Self {
        Self { open: BTreeMap::new(), keeps: true }
    }
}

impl Paths {
    /// Takes a path into use, unless there are too many.
    pub(super) fn open(
        &mut self,
        now: Instant,
        offer: OfferId,
        (key, peer): (ProbeKey, SocketAddr),
        random: &mut Generator,
    ) {
        if self.open.len() >= CALLS_MAX && !self.open.contains_key(&offer) {
            return;
        }
        let next = now + interval(random);
        let (keeps, sent) = (self.keeps, VecDeque::new());
        self.open.insert(offer, Used { key, peer, keeps, next, sent, consented: now });
    }

    /// Lets go of a path. Returns whether there was one.
    pub(super) fn close(&mut self, offer: &OfferId) -> bool {
        self.open.remove(offer).is_some()
    }

    pub(super) fn close_all(&mut self) {
        self.open.clear();
    }

    pub(super) fn has(&self, offer: &OfferId) -> bool {
        self.open.contains_key(offer)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Answers a PROBE where it came from.
    pub(super) fn probed(
        &mut self,
        now: Instant,
        from: SocketAddr,
        probe: &Probe,
        out: &mut Output,
    ) -> Result<(), DropReason> {
        let used = self.open.get_mut(&probe.offer).ok_or(DropReason::Offer)?;
        if !used.key.is_others(probe) {
            return Err(DropReason::Tag);
        }
        if !used.keeps {
            used.consented = now;
        }
        out.reply(from, &used.key.reply(probe, from.into()));
        Ok(())
    }

    /// Takes a PROBE_REPLY: consent, if it answers a PROBE that was sent, and comes over the path.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        from: SocketAddr,
        reply: &ProbeReply,
    ) -> Result<(), DropReason> {
        let used = self.open.get_mut(&reply.offer).ok_or(DropReason::Offer)?;
        if !used.key.is_others_reply(reply) {
            return Err(DropReason::Tag);
        }
        if from != used.peer {
            return Err(DropReason::Source);
        }
        if !used.sent.contains(&reply.transaction) {
            return Err(DropReason::Reference);
        }
        used.sent.clear();
        used.consented = now;
        Ok(())
    }

    /// Gives up what has not been consented to in time.
    pub(super) fn expire(&mut self, now: Instant, out: &mut Output) {
        self.open.retain(|&offer, used| {
            let lives = now < used.consented + CONSENT_TIME;
            if !lives && used.keeps {
                out.event(Event::PathLost { offer, peer: used.peer });
            }
            lives
        });
    }

    /// Returns the PROBE to send now and whom to, and takes it as sent.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        random: &mut Generator,
    ) -> Option<(SocketAddr, Frame<'static>)> {
        let (&offer, used) = self.open.iter_mut().find(|(_, used)| used.keeps && used.next <= now)?;
        let transaction = TransactionId(random.bytes());
        if used.sent.len() >= CONSENTS_MAX {
            used.sent.pop_front();
        }
        used.sent.push_back(transaction);
        used.next = now + interval(random);
        let probe = Probe { offer, tag: Tag::NONE, transaction, nominate: Flag::NO, zero: Zeros::ZERO };
        Some((used.peer, used.key.sign(probe)))
    }

    /// Returns when there will next be something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        let next = |used: &Used| {
            let end = used.consented + CONSENT_TIME;
            if used.keeps { used.next.min(end) } else { end }
        };
        self.open.values().map(next).min()
    }
}

/// Returns the time to the next question: a fifth more or less, so that nobody can tell it from the last. RFC 7675, 5.1
fn interval(random: &mut Generator) -> Duration {
    let millis = CONSENT_INTERVAL.as_millis() as u64;
    Duration::from_millis(millis * 4 / 5 + random.below(millis * 2 / 5 + 1))
}
