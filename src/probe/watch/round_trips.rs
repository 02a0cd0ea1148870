//! How long a server takes to answer: the last PINGs of this program, in bars and quantiles. Knows no socket.

use std::collections::VecDeque;
use std::time::Duration;

/// PINGs that are remembered.
const PINGS: usize = 200;

/// What the last PINGs have found; none where no answer came.
#[derive(Clone, Debug, Default)]
pub(super) struct RoundTrips(VecDeque<Option<Duration>>);

/// The answers that took from `from` to just below the next bar's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) from: Duration,
    pub(super) count: usize,
}

impl RoundTrips {
    pub(super) fn add(&mut self, round_trip: Option<Duration>) {
        self.0.push_back(round_trip);
        if self.0.len() > PINGS {
            self.0.pop_front();
        }
    }

    /// Returns how many PINGs had no answer.
    pub(super) fn lost(&self) -> usize {
        self.0.iter().filter(|round_trip| round_trip.is_none()).count()
    }

    /// Returns the time that `share` of the answers, 0 to 1, did not exceed.
    pub(super) fn quantile(&self, share: f64) -> Option<Duration> {
        let mut answered: Vec<_> = self.answered().collect();
        answered.sort_unstable();
        let rank = (share * answered.len() as f64).ceil() as usize;
        answered.get(rank.saturating_sub(1)).copied()
    }

    /// Returns at most this many bars, each twice as wide as the one before, or four times where they would be more, and so on.
    pub(super) fn bars(&self, most: usize) -> Vec<Bar> {
        let sizes: Vec<u32> = self.answered().map(size).collect();
        let (Some(first), Some(last)) = (sizes.iter().min(), sizes.iter().max()) else { return Vec::new() };
        let doublings = (last - first + 1).div_ceil(u32::try_from(most.max(1)).unwrap_or(u32::MAX));
        let bar = |from: u32| Bar {
            from: Duration::from_micros(1 << from),
            count: sizes.iter().filter(|size| (from..from + doublings).contains(*size)).count(),
        };
        (*first..=*last).step_by(doublings as usize).map(bar).collect()
    }

    fn answered(&self) -> impl Iterator<Item = Duration> {
        self.0.iter().copied().flatten()
    }
}

/// Doublings of a microsecond.
fn size(time: Duration) -> u32 {
    time.as_micros().max(1).ilog2()
}

/// A time for people, in few characters.
pub(super) fn time(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1000 => format!("{micros} us"),
        micros @ 1000..10_000 => format!("{:.1} ms", micros as f64 / 1000.0),
        micros => format!("{} ms", micros / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trips(micros: &[u64]) -> RoundTrips {
        let mut round_trips = RoundTrips::default();
        micros.iter().for_each(|micros| round_trips.add(Some(Duration::from_micros(*micros))));
        round_trips
    }

    fn counts(round_trips: &RoundTrips, most: usize) -> Vec<(u128, usize)> {
        round_trips.bars(most).iter().map(|bar| (bar.from.as_micros(), bar.count)).collect()
    }

    #[test]
    fn bars_double_and_hold_every_answer() {
        let found = round_trips(&[64, 127, 128, 1000]);
        assert_eq!(counts(&found, 9), [(64, 2), (128, 1), (256, 0), (512, 1)]);
    }

    #[test]
    fn bars_widen_until_they_fit() {
        let found = round_trips(&[64, 127, 128, 1000]);
        assert_eq!(counts(&found, 3), [(64, 3), (256, 1)]);
        assert_eq!(counts(&found, 1), [(64, 4)]);
        assert_eq!(counts(&found, 0), [(64, 4)]);
        assert_eq!(counts(&RoundTrips::default(), 9), []);
    }

    #[test]
    fn quantiles_are_those_of_the_answers() {
        let mut found = round_trips(&(1..=100).rev().collect::<Vec<_>>());
        found.add(None);
        let quantile = |share| found.quantile(share).map(|time| time.as_micros());
        assert_eq!((quantile(0.5), quantile(0.99), quantile(0.0)), (Some(50), Some(99), Some(1)));
        assert_eq!(found.lost(), 1);
        assert_eq!(RoundTrips::default().quantile(0.5), None);
    }

    #[test]
    fn old_pings_make_room_for_new_ones() {
        let mut found = RoundTrips::default();
        (0..PINGS).for_each(|_| found.add(None));
        assert_eq!(found.lost(), PINGS);
        found.add(Some(Duration::from_micros(5)));
        assert_eq!((found.lost(), counts(&found, 1)), (PINGS - 1, vec![(4, 1)]));
    }

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        for (micros, told) in
            [(0, "0 us"), (999, "999 us"), (1000, "1.0 ms"), (9990, "10.0 ms"), (10_000, "10 ms")]
        {
            assert_eq!(time(Duration::from_micros(micros)), told);
        }
    }
}
