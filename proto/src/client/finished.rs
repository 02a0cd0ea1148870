//! Which calls are over, so that repeats of them do nothing. Knows nothing of how they ended. SPEC 6

use std::collections::{BTreeMap, VecDeque};

use super::constants::FINISHED_MAX;
use crate::wire::{BlobKind, OfferId, PeerId};

/// A call that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Past {
    /// The other peer.
    pub(super) peer: PeerId,
    /// The blob that had arrived whole, and whose repeats are acknowledged.
    pub(super) whole: Option<BlobKind>,
}

/// The last [`FINISHED_MAX`] calls that are over.
#[derive(Debug, Default)]
pub(super) struct Finished {
    calls: BTreeMap<OfferId, Past>,
    order: VecDeque<OfferId>,
}

impl Finished {
    /// Remembers a call, and forgets the oldest where there are too many.
    pub(super) fn insert(&mut self, offer: OfferId, past: Past) {
        if self.calls.insert(offer, past).is_none() {
            self.order.push_back(offer);
        }
        if self.order.len() > FINISHED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.calls.remove(&oldest);
        }
    }

    /// Returns what is remembered of a call.
    pub(super) fn find(&self, offer: &OfferId) -> Option<Past> {
        self.calls.get(offer).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(number: u16) -> OfferId {
        let [high, low] = number.to_be_bytes();
        OfferId::from_random([high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    fn past() -> Past {
        Past { peer: PeerId::plain([7; 16]).unwrap(), whole: Some(BlobKind::Offer) }
    }

    #[test]
    fn oldest_call_is_forgotten_beyond_the_bound() {
        let mut finished = Finished::default();
        for number in 0..=FINISHED_MAX as u16 {
            finished.insert(offer(number), past());
        }
        assert_eq!(finished.find(&offer(0)), None);
        assert_eq!(finished.find(&offer(1)), Some(past()));
        assert_eq!(finished.find(&offer(FINISHED_MAX as u16)), Some(past()));
        assert_eq!((finished.calls.len(), finished.order.len()), (FINISHED_MAX, FINISHED_MAX));
    }

    #[test]
    fn call_that_is_remembered_twice_counts_once() {
        let mut finished = Finished::default();
        finished.insert(offer(1), past());
        finished.insert(offer(1), Past { whole: None, ..past() });
        assert_eq!(finished.find(&offer(1)), Some(Past { whole: None, ..past() }));
        assert_eq!(finished.order.len(), 1);
    }
}
