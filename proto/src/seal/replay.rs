//! Which offers have come already. Fails closed: what it cannot remember it refuses. SPEC 13

use std::collections::{BTreeMap, BTreeSet};

use super::{OFFER_WINDOW, OFFERS_PER_SENDER, OFFERS_REMEMBERED};
use crate::wire::{OfferId, PeerId};

/// Seconds since 1970-01-01T00:00:00Z without leap seconds: the only time that two peers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub u64);

/// Why an offer is not taken, though it opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// It was sealed more than [`OFFER_WINDOW`] before or after this moment, or no later than an offer that is
    /// forgotten.
    Stale {
        /// When it was sealed, by the sender's clock.
        sent: UnixSeconds,
        /// The receiver's clock.
        now: UnixSeconds,
    },
    /// An offer of this sender with this id has come before.
    Replayed,
    /// There is no room to remember it.
    MemoryFull {
        /// Offers that are remembered.
        limit: usize,
        /// Whether it is this sender's share that is full.
        of_sender: bool,
    },
}

/// How many offers are remembered; each for at most twice [`OFFER_WINDOW`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayLimits {
    /// In all.
    pub offers: usize,
    /// Of one sender, so that one alone cannot fill the memory.
    pub per_sender: usize,
}

impl Default for ReplayLimits {
    fn default() -> Self {
        Self { offers: OFFERS_REMEMBERED, per_sender: OFFERS_PER_SENDER }
    }
}

/// The offers that were taken, for as long as their time would let them be taken again.
///
/// One serves all calls of a peer. It does not survive a restart: what came in the window before it can come once
/// more. SPEC 13 says why that is bearable.
#[derive(Clone, Debug, Default)]
pub struct ReplayWindow {
    limits: ReplayLimits,
    by_time: BTreeSet<(UnixSeconds, PeerId, OfferId)>,
    by_sender: BTreeMap<PeerId, BTreeSet<OfferId>>,
    /// The latest time of an offer that is forgotten. A clock that is set back brings none of them back.
    forgotten: Option<UnixSeconds>,
}

impl ReplayWindow {
    /// Makes an empty one with other limits than the default ones.
    #[must_use]
    pub fn new(limits: ReplayLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Counts the offers that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_time.len()
    }

    /// Tells whether no offer is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_time.is_empty()
    }

    /// Takes an offer once, and remembers it.
    pub(super) fn admit(
        &mut self,
        now: UnixSeconds,
        sent: UnixSeconds,
        sender: PeerId,
        offer: OfferId,
    ) -> Result<(), ReplayError> {
        self.forget(now);
        if sent.0.abs_diff(now.0) > OFFER_WINDOW || self.forgotten.is_some_and(|latest| sent <= latest) {
            return Err(ReplayError::Stale { sent, now });
        }
        let of_sender = self.by_sender.get(&sender);
        if of_sender.is_some_and(|offers| offers.contains(&offer)) {
            return Err(ReplayError::Replayed);
        }
        if of_sender.map_or(0, BTreeSet::len) >= self.limits.per_sender {
            return Err(ReplayError::MemoryFull { limit: self.limits.per_sender, of_sender: true });
        }
        if self.by_time.len() >= self.limits.offers {
            return Err(ReplayError::MemoryFull { limit: self.limits.offers, of_sender: false });
        }
        self.by_time.insert((sent, sender, offer));
        self.by_sender.entry(sender).or_default().insert(offer);
        #[cfg(test)]
        self.check_invariants();
        Ok(())
    }

    /// Drops the offers that are too old to be taken again.
    fn forget(&mut self, now: UnixSeconds) {
        while let Some(&(sent, sender, offer)) = self.by_time.first() {
            if sent.0.saturating_add(OFFER_WINDOW) >= now.0 {
                return;
            }
            self.by_time.remove(&(sent, sender, offer));
            if let Some(offers) = self.by_sender.get_mut(&sender) {
                offers.remove(&offer);
                if offers.is_empty() {
                    self.by_sender.remove(&sender);
                }
            }
            self.forgotten = self.forgotten.max(Some(sent));
        }
    }

    #[cfg(test)]
    fn check_invariants(&self) {
        assert_eq!(self.by_time.len(), self.by_sender.values().map(BTreeSet::len).sum::<usize>());
        assert!(self.by_time.len() <= self.limits.offers);
        assert!(self.by_sender.values().all(|of| (1..=self.limits.per_sender).contains(&of.len())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_750_000_000);

    fn sender(number: u8) -> PeerId {
        PeerId::from_bytes([number; 32]).unwrap()
    }

    fn offer(number: u8) -> OfferId {
        OfferId::from_random([number; 16])
    }

    fn at(offset: i64) -> UnixSeconds {
        UnixSeconds(NOW.0.saturating_add_signed(offset))
    }

    #[test]
    fn window_is_300_seconds_to_either_side() {
        for (offset, taken) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
            let mut window = ReplayWindow::default();
            let expected =
                if taken { Ok(()) } else { Err(ReplayError::Stale { sent: at(offset), now: NOW }) };
            assert_eq!(window.admit(NOW, at(offset), sender(1), offer(1)), expected, "{offset}");
            assert_eq!(window.len(), usize::from(taken));
        }
        let mut window = ReplayWindow::default();
        for extreme in [0, u64::MAX].map(UnixSeconds) {
            let stale = Err(ReplayError::Stale { sent: extreme, now: NOW });
            assert_eq!(window.admit(NOW, extreme, sender(1), offer(1)), stale);
        }
        assert_eq!(window.admit(UnixSeconds(u64::MAX), UnixSeconds(u64::MAX), sender(1), offer(1)), Ok(()));
    }

    #[test]
    fn offer_is_taken_once_for_as_long_as_its_time_is_in_the_window() {
        let mut window = ReplayWindow::default();
        assert_eq!(window.admit(NOW, at(300), sender(1), offer(1)), Ok(()));
        for later in [0, 1, 300, 599, 600] {
            assert_eq!(window.admit(at(later), at(300), sender(1), offer(1)), Err(ReplayError::Replayed));
        }
        let stale = Err(ReplayError::Stale { sent: at(300), now: at(601) });
        assert_eq!(window.admit(at(601), at(300), sender(1), offer(1)), stale);
        assert!(window.is_empty());
    }

    #[test]
    fn offer_id_of_another_sender_is_another_offer() {
        let mut window = ReplayWindow::default();
        assert_eq!(window.admit(NOW, NOW, sender(1), offer(1)), Ok(()));
        assert_eq!(window.admit(NOW, NOW, sender(2), offer(1)), Ok(()));
        assert_eq!(window.admit(NOW, NOW, sender(1), offer(2)), Ok(()));
    }

    #[test]
    fn clock_that_is_set_back_brings_no_forgotten_offer_back() {
        let mut window = ReplayWindow::default();
        assert_eq!(window.admit(NOW, NOW, sender(1), offer(1)), Ok(()));
        assert_eq!(window.admit(at(1000), at(1000), sender(1), offer(2)), Ok(()));
        let stale = Err(ReplayError::Stale { sent: NOW, now: at(10) });
        assert_eq!(window.admit(at(10), NOW, sender(1), offer(1)), stale);
        assert_eq!(window.admit(at(10), at(10), sender(1), offer(3)), Ok(()), "later ones are taken");
    }

    #[test]
    fn full_memory_refuses_by_name_and_recovers() {
        let mut window = ReplayWindow::new(ReplayLimits { offers: 3, per_sender: 2 });
        for (who, id) in [(1, 1), (1, 2), (2, 3)] {
            assert_eq!(window.admit(NOW, NOW, sender(who), offer(id)), Ok(()));
        }
        let share = Err(ReplayError::MemoryFull { limit: 2, of_sender: true });
        assert_eq!(window.admit(NOW, NOW, sender(1), offer(4)), share);
        let full = Err(ReplayError::MemoryFull { limit: 3, of_sender: false });
        assert_eq!(window.admit(NOW, NOW, sender(2), offer(5)), full);
        assert_eq!(window.admit(NOW, NOW, sender(1), offer(1)), Err(ReplayError::Replayed));
        assert_eq!(window.admit(at(300), at(300), sender(3), offer(6)), full);
        assert_eq!(window.admit(at(301), at(301), sender(3), offer(6)), Ok(()));
        assert_eq!(window.len(), 1);
    }
}
