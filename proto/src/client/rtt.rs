//! Round-trip time, smoothed, and the retransmission timeout that follows. Knows nothing of what was sent. RFC 6298

use std::time::Duration;

use super::constants::{RTO_INITIAL, RTO_MAX, RTO_MIN};

/// An estimate of one path's round-trip time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rtt {
    smoothed: Option<Smoothed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Smoothed {
    mean: Duration,
    variation: Duration,
}

impl Rtt {
    /// Takes a measurement of something that was sent once only (Karn).
    pub(super) fn measure(&mut self, measured: Duration) {
        // RFC 6298, 2.2 and 2.3: alpha is 1/8, beta is 1/4.
        self.smoothed = Some(match self.smoothed {
            None => Smoothed { mean: measured, variation: measured / 2 },
            Some(Smoothed { mean, variation }) => Smoothed {
                mean: (mean * 7 + measured) / 8,
                variation: (variation * 3 + mean.abs_diff(measured)) / 4,
            },
        });
    }

    /// Tells whether anything has been measured.
    pub(super) fn is_measured(&self) -> bool {
        self.smoothed.is_some()
    }

    /// Returns the smoothed round-trip time, or the initial timeout before the first measurement.
    pub(super) fn mean(&self) -> Duration {
        self.smoothed.map_or(RTO_INITIAL, |smoothed| smoothed.mean)
    }

    /// Returns the retransmission timeout.
    pub(super) fn timeout(&self) -> Duration {
        self.smoothed
            .map_or(RTO_INITIAL, |smoothed| smoothed.mean + smoothed.variation * 4)
            .clamp(RTO_MIN, RTO_MAX)
    }

    /// Returns the retransmission timeout after so many doublings.
    pub(super) fn backed_off(&self, doublings: u32) -> Duration {
        doubled(self.timeout(), doublings, RTO_MAX)
    }
}

/// Returns `base` doubled so many times, at most `limit`.
pub(super) fn doubled(base: Duration, doublings: u32, limit: Duration) -> Duration {
    base.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn unmeasured_timeout_is_the_initial_one() {
        assert_eq!(Rtt::default().timeout(), RTO_INITIAL);
    }

    #[test]
    fn first_measurement_gives_three_times_itself() {
        let mut rtt = Rtt::default();
        rtt.measure(MS(80));
        assert_eq!((rtt.mean(), rtt.timeout()), (MS(80), MS(240)));
    }

    #[test]
    fn second_measurement_is_smoothed_as_in_rfc_6298() {
        let mut rtt = Rtt::default();
        rtt.measure(MS(80));
        rtt.measure(MS(160));
        // 7/8 x 80 + 1/8 x 160 = 90; 3/4 x 40 + 1/4 x 80 = 50; 90 + 4 x 50 = 290.
        assert_eq!((rtt.mean(), rtt.timeout()), (MS(90), MS(290)));
    }

    #[test]
    fn timeout_stays_between_its_bounds() {
        let mut fast = Rtt::default();
        fast.measure(MS(1));
        let mut slow = Rtt::default();
        slow.measure(MS(60_000));
        assert_eq!((fast.timeout(), slow.timeout()), (RTO_MIN, RTO_MAX));
    }

    #[test]
    fn backoff_doubles_up_to_the_upper_bound() {
        let rtt = Rtt::default();
        let timeouts = [0, 1, 2, 3, 40].map(|doublings| rtt.backed_off(doublings));
        assert_eq!(timeouts, [MS(500), MS(1000), RTO_MAX, RTO_MAX, RTO_MAX]);
    }
}
