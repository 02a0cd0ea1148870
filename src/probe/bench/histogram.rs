//! Latencies in buckets whose width grows with the value: constant memory, at most 1.6 % off.

use std::time::Duration;

/// Buckets in each doubling: 2^6, so a bucket is at most 1/64 of its value wide.
const PRECISION: u32 = 6;
const STEPS: usize = 1 << PRECISION;

/// Counts of durations, in nanoseconds.
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; STEPS * 60], total: 0, longest: 0 }
    }

    pub(super) fn add(&mut self, nanos: u64) {
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.longest = self.longest.max(nanos);
    }

    /// Returns the duration that `share` of all, 0 to 1, do not exceed.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.total as f64).ceil() as u64;
        let mut below = 0;
        for (number, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank.max(1) {
                return Duration::from_nanos(upper_end(number).min(self.longest));
            }
        }
        Duration::from_nanos(self.longest)
    }

    pub(super) const fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest)
    }
}

fn bucket(nanos: u64) -> usize {
    let doublings = (u64::BITS - nanos.leading_zeros()).saturating_sub(PRECISION + 1);
    // At most 58 doublings of 64 buckets.
    (nanos >> doublings) as usize + doublings as usize * STEPS
}

fn upper_end(bucket: usize) -> u64 {
    let doublings = (bucket / STEPS).saturating_sub(1);
    let step = (bucket - doublings * STEPS) as u64;
    ((step + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_hold_their_values() {
        for nanos in (0..200).chain([1_000, 12_345, 999_999, 1 << 40, u64::MAX >> 6]) {
            let end = upper_end(bucket(nanos));
            assert!(end >= nanos && end - nanos <= nanos / 64, "{nanos}: {end}");
            assert_eq!(bucket(end), bucket(nanos));
            assert_eq!(bucket(end + 1), bucket(nanos) + 1);
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|number| histogram.add(number * 1000));
        for (share, exact) in [(0.5, 500_000), (0.99, 990_000), (0.999, 999_000), (1.0, 1_000_000)] {
            let nanos = histogram.quantile(share).as_nanos() as u64;
            assert!((exact..=exact + exact / 64).contains(&nanos), "{share}: {nanos}");
        }
        assert_eq!(histogram.longest(), Duration::from_millis(1));
        assert_eq!(Histogram::new().quantile(0.5), Duration::ZERO);
    }
}
