//! Which offers are open, between whom, and until when. Knows nothing of frames, and of peers only their sessions.

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

    pub(super) const fn len(&self) -> u32 {
        self.open.len()
    }

    pub(super) fn find(&self, id: &OfferId) -> Option<&Offer> {
        self.open.get(self.number(id)?)
    }

    pub(super) fn find_mut(&mut self, id: &OfferId) -> Option<&mut Offer> {
        let number = self.number(id)?;
        self.open.get_mut(number)
    }

    /// Opens an offer whose id is not open, or returns `None` if there is no room.
    pub(super) fn insert(&mut self, offer: Offer) -> Option<()> {
        let number = self.open.insert(offer)?;
        self.index.insert(self.hash(&offer.id), number);
        self.timeouts.schedule(number, offer.deadline);
        Some(())
    }

    pub(super) fn remove(&mut self, id: &OfferId) -> Option<Offer> {
        let number = self.number(id)?;
        self.index.remove(self.hash(id), number);
        self.open.remove(number)
    }

    /// Looks at one offer whose time may be over, and closes it if so. `None`: no other is due.
    pub(super) fn sweep(&mut self, now: Instant) -> Option<Option<Offer>> {
        let number = self.timeouts.pop_due(now)?;
        let Some(offer) = self.open.get(number) else { return Some(None) };
        if now < offer.deadline {
            self.timeouts.schedule(number, offer.deadline);
            return Some(None);
        }
        let id = offer.id;
        Some(self.remove(&id))
    }

    pub(super) fn next_sweep(&self) -> Option<Instant> {
        self.timeouts.next_due()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Offer> {
        self.open.iter().map(|(_, offer)| offer)
    }

    fn number(&self, id: &OfferId) -> Option<u32> {
        self.index.find(self.hash(id), |number| self.open.get(number).is_some_and(|offer| offer.id == *id))
    }

    fn hash(&self, id: &OfferId) -> Hash {
        Hash::from(self.positions.position(id.as_bytes()))
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
        }
    }

    #[test]
    fn offer_is_closed_at_its_deadline_and_at_most_one_step_later() {
        let mut offers = Offers::new(at(0), 4, &Seed::from_number(1));
        offers.insert(offer(1, at(30_100))).unwrap();
        let mut now = at(0);
        let closed = loop {
            now = offers.next_sweep().unwrap().max(now);
            if let Some(closed) = std::iter::from_fn(|| offers.sweep(now)).flatten().next() {
                break closed;
            }
        };
        assert_eq!(closed.id, OfferId::from_random([1; 16]));
        assert!(now >= at(30_100) && now <= at(30_350), "{now}");
        assert_eq!((offers.len(), offers.next_sweep()), (0, None));
    }

    #[test]
    fn moved_deadline_is_respected() {
        let mut offers = Offers::new(at(0), 4, &Seed::from_number(1));
        let id = offer(1, at(1000)).id;
        offers.insert(offer(1, at(1000))).unwrap();
        offers.find_mut(&id).unwrap().deadline = at(5000);
        assert_eq!(std::iter::from_fn(|| offers.sweep(at(4900))).flatten().count(), 0);
        assert_eq!(std::iter::from_fn(|| offers.sweep(at(5300))).flatten().count(), 1);
    }

    #[test]
    fn full_table_opens_nothing() {
        let mut offers = Offers::new(at(0), 1, &Seed::from_number(1));
        assert_eq!(offers.insert(offer(1, at(1000))), Some(()));
        assert_eq!(offers.insert(offer(2, at(1000))), None);
        assert!(offers.find(&offer(2, at(0)).id).is_none());
    }
}
