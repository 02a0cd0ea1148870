//! Which offers are open, between whom, and until when. Knows nothing of frames, and of peers only their sessions.
//!
//! The offers of one caller are linked through their slots, from a head that lies in the caller's own. So they end with
//! its session at once: no open offer has a caller who is gone, and nobody fills the table by coming and going.

use std::hint::black_box;
use std::time::Duration;

use super::index::{Hash, Index};
use super::path::Endpoint;
use super::slab::Slab;
use super::wheel::Wheel;
use crate::Instant;
use crate::keyed::{Prf, Seed};
use crate::wire::{OfferId, Session};

/// Width of the timeout wheel's buckets: a timeout comes at most this much late.
const TIMEOUT_STEP: Duration = Duration::from_millis(250);

/// How far an offer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No ANSWER has been seen; the caller gets a notice at the deadline.
    Pending,
    /// An ANSWER has been seen; the offer is closed silently at the deadline.
    Answered,
}

/// One open offer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) id: OfferId,
    pub(super) caller: Session,
    pub(super) callee: Session,
    pub(super) deadline: Instant,
    /// The address that sent the last OFFER fragment and so paid for the notice. SPEC 11
    pub(super) payer: Endpoint,
    pub(super) stage: Stage,
    /// Its neighbours among the offers of its caller.
    pub(super) links: Links,
}

/// A slot that holds an open offer. Good until the next change of the offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OfferSlot(u32);

/// Slot numbers + 1; zero is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Links {
    previous: u32,
    next: u32,
}

/// The open offers of one caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls {
    /// The slot number of the first + 1; zero is none.
    first: u32,
    /// How many there are.
    pub(super) open: u16,
    /// How many of these wait for their answer.
    pub(super) waiting: u16,
}

pub(super) struct Offers {
    open: Slab<Offer>,
    index: Index,
    timeouts: Wheel,
    positions: Prf,
}

impl Offers {
    pub(super) fn new(now: Instant, limit: u32, seed: &Seed) -> Self {
        Self {
            open: Slab::new(limit),
            index: Index::new(limit),
            timeouts: Wheel::new(now, TIMEOUT_STEP, limit),
            positions: seed.key(b'o'),
        }
    }

    /// Bytes of the tables for at most `limit` offers.
    pub(super) const fn bytes(limit: u32) -> usize {
        limit as usize * Slab::<Offer>::SLOT + Index::bytes(limit) + Wheel::bytes(limit)
    }

    pub(super) const fn len(&self) -> u32 {
        self.open.len()
    }

    pub(super) fn find(&self, id: &OfferId) -> Option<(OfferSlot, &Offer)> {
        let is_it = |number| self.open.get(number).is_some_and(|offer| offer.id == *id);
        let number = self.index.find(self.place(id.as_bytes()), is_it)?;
        Some((OfferSlot(number), self.open.get(number)?))
    }

    pub(super) fn offer(&self, slot: OfferSlot) -> Option<&Offer> {
        self.open.get(slot.0)
    }

    pub(super) fn offer_mut(&mut self, slot: OfferSlot) -> Option<&mut Offer> {
        self.open.get_mut(slot.0)
    }

    /// Returns the hash under which the index has an offer.
    pub(super) fn place(&self, id: &[u8; 16]) -> Hash {
        Hash::from(self.positions.position(id))
    }

    /// Fetches the place in the index of an offer that will be looked up soon.
    pub(super) fn foresee_place(&self, hash: Hash) {
        self.index.foresee(hash);
    }

    /// Returns the slot of the offer that an id of this hash leads to, most likely.
    pub(super) fn guess(&self, hash: Hash) -> Option<OfferSlot> {
        self.index.find(hash, |_| true).map(OfferSlot)
    }

    /// Fetches all cache lines of an offer.
    pub(super) fn foresee(&self, slot: OfferSlot) {
        if let Some(offer) = self.offer(slot) {
            let [id, caller, callee] = [offer.id.as_bytes()[0], offer.caller.0[0], offer.callee.0[0]];
            black_box(id ^ caller ^ callee ^ offer.payer.ip()[0]);
        }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.open.is_full()
    }

    /// Opens an offer that waits and whose id is not open, or returns `None` if there is no room. `calls` are its
    /// caller's.
    pub(super) fn insert(&mut self, mut offer: Offer, calls: &mut Calls) -> Option<()> {
        offer.links = Links { previous: 0, next: calls.first };
        let number = self.open.insert(offer)?;
        if let Some(next) = self.linked(calls.first) {
            next.links.previous = number + 1;
        }
        calls.first = number + 1;
        calls.open = calls.open.saturating_add(1);
        calls.waiting = calls.waiting.saturating_add(1);
        self.index.insert(self.place(offer.id.as_bytes()), number);
        self.timeouts.schedule(number, offer.deadline);
        Some(())
    }

    /// Notes that an offer has its answer, and gives it another deadline; false if it had. `calls` are its caller's.
    pub(super) fn answered(&mut self, slot: OfferSlot, deadline: Instant, calls: &mut Calls) -> bool {
        let Some(offer) = self.offer_mut(slot).filter(|offer| offer.stage == Stage::Pending) else {
            return false;
        };
        offer.stage = Stage::Answered;
        offer.deadline = deadline;
        calls.waiting = calls.waiting.saturating_sub(1);
        true
    }

    /// Closes an offer. `calls` are its caller's.
    pub(super) fn remove(&mut self, slot: OfferSlot, calls: &mut Calls) -> Option<Offer> {
        let offer = self.open.remove(slot.0)?;
        self.index.remove(self.place(offer.id.as_bytes()), slot.0);
        let Links { previous, next } = offer.links;
        match self.linked(previous) {
            Some(before) => before.links.next = next,
            None => calls.first = next,
        }
        if let Some(after) = self.linked(next) {
            after.links.previous = previous;
        }
        calls.open = calls.open.saturating_sub(1);
        calls.waiting = calls.waiting.saturating_sub((offer.stage == Stage::Pending).into());
        Some(offer)
    }

    /// Closes all offers of a caller whose session has ended, and says how many these were.
    pub(super) fn end(&mut self, mut calls: Calls) -> usize {
        let mut closed = 0;
        while let Some(number) = calls.first.checked_sub(1) {
            if self.remove(OfferSlot(number), &mut calls).is_none() {
                break;
            }
            closed += 1;
        }
        closed
    }

    /// Counts the offers on a caller's list, and those of them that wait, if all are `caller`'s.
    pub(super) fn count(&self, caller: Session, calls: &Calls) -> Option<(usize, usize)> {
        let (mut open, mut waiting, mut link) = (0, 0, calls.first);
        while let Some(number) = link.checked_sub(1) {
            let offer = self.open.get(number).filter(|offer| offer.caller == caller)?;
            open += 1;
            waiting += usize::from(offer.stage == Stage::Pending);
            link = offer.links.next;
        }
        Some((open, waiting))
    }

    /// Looks at one offer whose time may be over, and returns it if so, to be removed. `None`: no other is due.
    pub(super) fn sweep(&mut self, now: Instant) -> Option<Option<(OfferSlot, Offer)>> {
        let number = self.timeouts.pop_due(now)?;
        let Some(offer) = self.open.get(number) else { return Some(None) };
        if now < offer.deadline {
            self.timeouts.schedule(number, offer.deadline);
            return Some(None);
        }
        Some(Some((OfferSlot(number), *offer)))
    }

    fn linked(&mut self, link: u32) -> Option<&mut Offer> {
        self.open.get_mut(link.checked_sub(1)?)
    }

    pub(super) fn next_sweep(&self) -> Option<Instant> {
        self.timeouts.next_due()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Offer> {
        self.open.iter().map(|(_, offer)| offer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn offer(number: u8, deadline: Instant) -> Offer {
        Offer {
            id: OfferId::from_random([number; 16]),
            caller: Session([1; 16]),
            callee: Session([2; 16]),
            deadline,
            payer: Endpoint::from(std::net::SocketAddr::from(([192, 0, 2, 1], 1))),
            stage: Stage::Pending,
            links: Links::default(),
        }
    }

    fn slot(offers: &Offers, number: u8) -> OfferSlot {
        offers.find(&offer(number, at(0)).id).unwrap().0
    }

    #[test]
    fn offer_is_closed_at_its_deadline_and_at_most_one_step_later() {
        let mut offers = Offers::new(at(0), 4, &Seed::from_number(1));
        let mut calls = Calls::default();
        offers.insert(offer(1, at(30_100)), &mut calls).unwrap();
        let mut now = at(0);
        let closed = loop {
            now = offers.next_sweep().unwrap().max(now);
            if let Some(closed) = std::iter::from_fn(|| offers.sweep(now)).flatten().next() {
                break closed;
            }
        };
        let (slot, closed) = closed;
        assert_eq!(closed.id, OfferId::from_random([1; 16]));
        assert!(now >= at(30_100) && now <= at(30_350), "{now}");
        assert!(offers.remove(slot, &mut calls).is_some());
        assert_eq!((offers.len(), offers.next_sweep(), calls), (0, None, Calls::default()));
    }

    #[test]
    fn moved_deadline_is_respected() {
        let mut offers = Offers::new(at(0), 4, &Seed::from_number(1));
        offers.insert(offer(1, at(1000)), &mut Calls::default()).unwrap();
        let slot = slot(&offers, 1);
        offers.offer_mut(slot).unwrap().deadline = at(5000);
        assert_eq!(std::iter::from_fn(|| offers.sweep(at(4900))).flatten().count(), 0);
        assert_eq!(std::iter::from_fn(|| offers.sweep(at(5300))).flatten().count(), 1);
    }

    #[test]
    fn offers_of_a_caller_end_together_whatever_was_closed_before() {
        for gone in 1..=5 {
            let mut offers = Offers::new(at(0), 8, &Seed::from_number(1));
            let (mut calls, mut others) = (Calls::default(), Calls::default());
            for number in 1..=5 {
                offers.insert(offer(number, at(1000)), &mut calls).unwrap();
            }
            let other = Offer { caller: Session([9; 16]), ..offer(6, at(1000)) };
            offers.insert(other, &mut others).unwrap();
            assert!(offers.answered(slot(&offers, 2), at(2000), &mut calls));
            offers.remove(slot(&offers, gone), &mut calls).unwrap();
            let waiting = if gone == 2 { 4 } else { 3 };
            assert_eq!(offers.count(Session([1; 16]), &calls), Some((4, waiting)));
            assert_eq!((calls.open, usize::from(calls.waiting)), (4, waiting));
            assert_eq!((offers.end(calls), offers.len()), (4, 1));
            assert_eq!(offers.count(Session([9; 16]), &others), Some((1, 1)));
        }
    }

    #[test]
    fn full_table_opens_nothing() {
        let mut offers = Offers::new(at(0), 1, &Seed::from_number(1));
        let mut calls = Calls::default();
        assert_eq!(offers.insert(offer(1, at(1000)), &mut calls), Some(()));
        assert_eq!(offers.insert(offer(2, at(1000)), &mut calls), None);
        assert_eq!((calls.open, calls.waiting), (1, 1));
        assert!(offers.find(&offer(2, at(0)).id).is_none());
    }
}
