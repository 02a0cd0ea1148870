//! How much of one kind of work may be done: a rate and a burst, in one time stamp (GCRA).

use std::time::Duration;

use crate::Instant;

/// The share of a second that may be spent at once.
const BURST: Duration = Duration::from_millis(100);
/// The longest wait that is promised.
const WAIT_MAX: Duration = Duration::from_secs(20);

pub(super) struct Budget {
    /// What one piece of work costs in time.
    cost: Duration,
    /// When all that was spent is earned again.
    clear: Instant,
    /// The last moment that was promised to somebody who has to wait.
    promised: Instant,
}

impl Budget {
    /// Allows `rate` pieces of work a second; zero allows none.
    pub(super) fn new(rate: u32) -> Self {
        let cost = Duration::from_secs(1).checked_div(rate).unwrap_or(Duration::MAX);
        Self { cost, clear: Instant::ORIGIN, promised: Instant::ORIGIN }
    }

    /// Takes one piece, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let clear = self.clear.max(now) + self.cost;
        let allowed = clear.since(now) <= BURST.max(self.cost) && self.cost != Duration::MAX;
        if allowed {
            self.clear = clear;
        }
        allowed
    }

    /// Says when to come back to somebody who got nothing: all who wait come one by one, as fast as the rate allows.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        let promised = self.promised.max(now) + self.cost;
        // Beyond that they come all over again.
        self.promised = if promised.since(now) < WAIT_MAX { promised } else { now };
        promised.since(now).min(WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &mut Budget, from: u64, millis: u64) -> usize {
        (from..from + millis)
            .flat_map(|milli| std::iter::repeat_n(Instant::from_micros(milli * 1000), 50))
            .filter(|now| budget.take(*now))
            .count()
    }

    #[test]
    fn rate_holds_over_time_with_a_tenth_of_a_second_at_once() {
        let mut budget = Budget::new(1000);
        assert_eq!(taken(&mut budget, 0, 1), 50);
        assert_eq!(taken(&mut budget, 1, 9999), 10_049);
        let mut slow = Budget::new(2);
        assert_eq!(taken(&mut slow, 0, 10_000), 20);
    }

    #[test]
    fn those_who_wait_are_told_to_come_one_by_one() {
        let mut budget = Budget::new(10);
        let now = Instant::from_micros(1_000_000);
        let waits: Vec<_> = (0..300).map(|_| budget.wait(now)).collect();
        assert_eq!(waits[..2], [Duration::from_millis(100), Duration::from_millis(200)]);
        assert!(waits.iter().all(|wait| *wait <= WAIT_MAX));
        assert_eq!(waits.iter().filter(|wait| **wait == Duration::from_secs(1)).count(), 2);
    }

    #[test]
    fn no_rate_is_no_work() {
        assert_eq!(taken(&mut Budget::new(0), 0, 100), 0);
    }
}
