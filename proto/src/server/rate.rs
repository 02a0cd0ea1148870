//! How much may be done in a while, in one time stamp of four bytes (GCRA). Knows neither frames nor addresses.
//!
//! An account says when all that was spent will have been earned again. It is never ahead of now by more than its
//! burst. So a stamp that seems to be farther ahead lies in the past, and no account needs tidying up: one that nobody
//! touched for a turn of the stamp (4.8 h) may seem in use for as long as its burst, and heals by itself.

use std::time::Duration;

use crate::Instant;

/// Microseconds in a unit of a stamp, as a shift: 4 us.
const SHIFT: u32 = 2;
/// Units in a second.
const SECOND: u64 = 1_000_000 >> SHIFT;
/// Binary places of the cost of a piece.
const PLACES: u32 = 16;
/// Longest burst: far less than half a turn of the stamp.
const BURST_MAX: u64 = 1 << 30;

/// A moment in units of 4 us, modulo 4.8 h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp(pub(super) u32);

impl Stamp {
    pub(super) const fn at(now: Instant) -> Self {
        // Wraps on purpose.
        Self((now.as_micros() >> SHIFT) as u32)
    }
}

/// The part of its burst that an account may be drawn to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reserve {
    /// All of it.
    Whole,
    /// Half of it; the rest is kept for what matters more.
    Half,
}

/// Pieces a second, and how many at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Units that a piece costs, with [`PLACES`] binary places.
    cost: u64,
    /// Units that an account may be ahead.
    burst: u32,
}

impl Rate {
    /// Allows `per_second` pieces a second, and `at_once` of them at once. `None`, if that is no limit: zero a second.
    pub(super) fn new(per_second: u64, at_once: u64) -> Option<Self> {
        let cost = (SECOND << PLACES).checked_div(per_second)?.max(1);
        let burst = (cost.saturating_mul(at_once) >> PLACES).clamp(1, BURST_MAX);
        Some(Self { cost, burst: u32::try_from(burst).unwrap_or(u32::MAX) })
    }

    /// Returns what `pieces` cost, rounded up.
    pub(super) fn price(&self, pieces: u64) -> u32 {
        let units = self.cost.saturating_mul(pieces).div_ceil(1 << PLACES);
        u32::try_from(units.clamp(1, BURST_MAX)).unwrap_or(u32::MAX)
    }

    /// Returns how far an account is ahead of now.
    pub(super) const fn ahead(&self, now: Stamp, account: Stamp) -> u32 {
        let ahead = account.0.wrapping_sub(now.0);
        if ahead > self.burst { 0 } else { ahead }
    }

    /// Returns the account after spending from one that is `ahead`.
    ///
    /// # Errors
    /// How long it takes until there is room.
    pub(super) fn after(
        &self,
        now: Stamp,
        ahead: u32,
        price: u32,
        reserve: Reserve,
    ) -> Result<Stamp, Duration> {
        let most = match reserve {
            Reserve::Whole => self.burst,
            Reserve::Half => self.burst / 2,
        };
        let spent = ahead.saturating_add(price);
        // What costs more than a burst can never be had otherwise.
        if spent > most && ahead > 0 {
            return Err(Duration::from_micros(u64::from(spent - most) << SHIFT));
        }
        Ok(Stamp(now.0.wrapping_add(spent.min(self.burst))))
    }

    /// Spends `pieces` from an account.
    ///
    /// # Errors
    /// How long it takes until there is room; nothing was spent then.
    pub(super) fn spend(
        &self,
        now: Instant,
        account: &mut Stamp,
        pieces: u64,
        reserve: Reserve,
    ) -> Result<(), Duration> {
        let now = Stamp::at(now);
        *account = self.after(now, self.ahead(now, *account), self.price(pieces), reserve)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    /// Counts what can be spent, asking every millisecond, 20 times.
    fn spent(rate: &Rate, account: &mut Stamp, from: u64, millis: u64) -> usize {
        (from..from + millis)
            .flat_map(|milli| std::iter::repeat_n(at(milli * 1000), 20))
            .filter(|now| rate.spend(*now, account, 1, Reserve::Whole).is_ok())
            .count()
    }

    #[test]
    fn burst_comes_at_once_and_then_the_rate() {
        let rate = Rate::new(100, 15).unwrap();
        let mut account = Stamp::default();
        assert_eq!(spent(&rate, &mut account, 10, 1), 15);
        assert_eq!(spent(&rate, &mut account, 11, 10_000), 1000);
        assert_eq!(spent(&rate, &mut account, 50_011, 1), 15);
    }

    #[test]
    fn refusal_says_when_there_is_room_and_half_a_burst_is_kept() {
        let rate = Rate::new(10, 8).unwrap();
        let mut account = Stamp::default();
        let now = at(1_000_000);
        for _ in 0..4 {
            assert_eq!(rate.spend(now, &mut account, 1, Reserve::Half), Ok(()));
        }
        assert_eq!(rate.spend(now, &mut account, 1, Reserve::Half), Err(Duration::from_millis(100)));
        assert_eq!(rate.spend(now + Duration::from_millis(100), &mut account, 1, Reserve::Half), Ok(()));
        for _ in 0..4 {
            let later = now + Duration::from_millis(100);
            assert_eq!(rate.spend(later, &mut account, 1, Reserve::Whole), Ok(()));
        }
        let later = now + Duration::from_millis(100);
        assert!(rate.spend(later, &mut account, 1, Reserve::Whole).is_err());
    }

    #[test]
    fn account_survives_the_turn_of_its_stamp() {
        let rate = Rate::new(100, 15).unwrap();
        let turn_millis = (1u64 << 32 << SHIFT) / 1000;
        let mut account = Stamp::at(at((turn_millis - 100) * 1000));
        assert_eq!(spent(&rate, &mut account, turn_millis - 100, 200), 15 + 20 - 1);
        // Untouched for half a turn and more, it is clear.
        for pause in [turn_millis / 2 - 3, turn_millis / 2 + 3, turn_millis - 1000] {
            let mut account = account;
            assert_eq!(spent(&rate, &mut account, turn_millis + 100 + pause, 1), 15);
        }
    }

    #[test]
    fn high_rates_keep_their_measure() {
        let rate = Rate::new(16_384 * 1024, 1 << 20).unwrap();
        let mut account = Stamp::default();
        let passed = (0..1_000_000u64)
            .step_by(5)
            .filter(|micros| rate.spend(at(*micros), &mut account, 183, Reserve::Whole).is_ok())
            .count();
        let bytes = passed * 183 - (1 << 20);
        assert!((12 << 20..20 << 20).contains(&bytes), "{bytes}");
    }

    #[test]
    fn zero_is_no_limit() {
        assert!(Rate::new(0, 5).is_none());
    }
}
