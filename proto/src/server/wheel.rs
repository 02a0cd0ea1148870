//! A timer wheel over slot numbers: who may be due, without a look at all the others.
//!
//! It is lazy. An item is linked at most once, at or before its real deadline; when its turn comes the owner looks at
//! the real deadline and schedules it again if that has moved. So a keepalive touches no timer. Deadlines beyond the
//! horizon, and items that were removed in between, are served by the same rule.

use std::time::Duration;

use crate::Instant;

const BUCKETS: u64 = 64;
const UNLINKED: u32 = u32::MAX;
const END: u32 = u32::MAX - 1;

pub(super) struct Wheel {
    /// Width of a bucket in microseconds.
    width: u64,
    heads: [u32; BUCKETS as usize],
    /// One link for each slot number that was ever scheduled.
    links: Vec<u32>,
    /// The bucket that is served next, counted since the origin.
    cursor: u64,
}

impl Wheel {
    /// Makes an empty wheel with buckets of `width`, for slot numbers below `limit`.
    pub(super) fn new(now: Instant, width: Duration, limit: u32) -> Self {
        let width = u64::try_from(width.as_micros()).unwrap_or(u64::MAX).max(1);
        Self {
            width,
            heads: [END; BUCKETS as usize],
            links: Vec::with_capacity(limit as usize),
            cursor: now.as_micros() / width,
        }
    }

    /// Bytes of the links of a wheel for slot numbers below `limit`.
    pub(super) const fn bytes(limit: u32) -> usize {
        limit as usize * size_of::<u32>()
    }

    /// Makes sure that `item` comes up at its deadline, or before.
    pub(super) fn schedule(&mut self, item: u32, deadline: Instant) {
        let place = item as usize;
        if place >= self.links.len() {
            self.links.resize(place + 1, UNLINKED);
        }
        if self.links[place] != UNLINKED {
            return;
        }
        // A bucket is due when its time is wholly over, so nothing comes up early within the horizon.
        let bucket = (deadline.as_micros() / self.width).clamp(self.cursor + 1, self.cursor + BUCKETS - 1);
        let head = &mut self.heads[(bucket % BUCKETS) as usize];
        self.links[place] = *head;
        *head = item;
    }

    /// Takes the next item that may be due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let current = now.as_micros() / self.width;
        // After a long pause every bucket is due, once: more turns would only come by the same items again.
        self.cursor = self.cursor.max(current.saturating_sub(BUCKETS));
        while self.cursor < current {
            let head = &mut self.heads[(self.cursor % BUCKETS) as usize];
            if *head != END {
                let item = *head;
                *head = self.links[item as usize];
                self.links[item as usize] = UNLINKED;
                return Some(item);
            }
            self.cursor = match self.next_occupied() {
                Some(bucket) => bucket.min(current),
                None => current,
            };
        }
        None
    }

    /// Returns when the next item may be due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.next_occupied().map(|bucket| Instant::from_micros((bucket + 1) * self.width))
    }

    fn next_occupied(&self) -> Option<u64> {
        (self.cursor..self.cursor + BUCKETS).find(|bucket| self.heads[(bucket % BUCKETS) as usize] != END)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn wheel() -> Wheel {
        Wheel::new(at(0), Duration::from_secs(1), 16)
    }

    #[test]
    fn item_comes_up_after_its_deadline_and_at_most_one_bucket_later() {
        let mut wheel = wheel();
        wheel.schedule(3, at(5400));
        assert_eq!(wheel.next_due(), Some(at(6000)));
        assert_eq!(wheel.pop_due(at(5999)), None);
        assert_eq!(wheel.pop_due(at(6000)), Some(3));
        assert_eq!(wheel.pop_due(at(6000)), None);
        assert_eq!(wheel.next_due(), None);
    }

    #[test]
    fn item_is_linked_once_and_keeps_the_earlier_turn() {
        let mut wheel = wheel();
        wheel.schedule(3, at(5400));
        wheel.schedule(3, at(9000));
        assert_eq!(wheel.pop_due(at(60_000)), Some(3));
        assert_eq!(wheel.pop_due(at(60_000)), None);
    }

    #[test]
    fn far_deadline_comes_up_early_and_can_be_scheduled_again() {
        let mut wheel = wheel();
        wheel.schedule(1, at(1_000_000));
        let mut turns = 0;
        let mut now = at(0);
        while let Some(due) = wheel.next_due() {
            now = due;
            while let Some(item) = wheel.pop_due(now) {
                turns += 1;
                if now < at(1_000_000) {
                    wheel.schedule(item, at(1_000_000));
                }
            }
        }
        assert_eq!((now, turns), (at(1_001_000), 16));
    }

    #[test]
    fn all_come_up_after_a_long_pause() {
        let mut wheel = wheel();
        for item in 0..16 {
            wheel.schedule(item, at(u64::from(item) * 3000));
        }
        let mut due: Vec<_> = std::iter::from_fn(|| wheel.pop_due(at(10_000_000))).collect();
        due.sort_unstable();
        assert_eq!(due, (0..16).collect::<Vec<_>>());
    }

    #[test]
    fn long_pause_costs_no_turns() {
        let mut wheel = wheel();
        let years = 100_000_000_000;
        wheel.schedule(1, at(years + 60_000));
        let mut looks = 0;
        while wheel.pop_due(at(years)).is_some() {
            wheel.schedule(1, at(years + 60_000));
            looks += 1;
        }
        assert!(looks <= 2, "{looks}");
        assert_eq!(wheel.pop_due(at(years + 61_000)), Some(1));
    }

    #[test]
    fn items_scheduled_while_the_wheel_lags_are_not_lost() {
        let mut wheel = wheel();
        wheel.schedule(0, at(1000));
        wheel.schedule(1, at(1000));
        assert!(wheel.pop_due(at(500_000)).is_some());
        wheel.schedule(2, at(560_000));
        let mut seen = 0;
        for second in 500..700 {
            while let Some(item) = wheel.pop_due(at(second * 1000)) {
                if item == 2 && second < 561 {
                    wheel.schedule(2, at(560_000));
                } else {
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 2);
    }
}
