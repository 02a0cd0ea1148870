//! A coarse time stamp in four bytes, for what is stored a million times.

use std::time::Duration;

use crate::Instant;

/// Microseconds in a tick: 1/64 s.
const MICROS: u64 = 15_625;

/// A moment to 1/64 s, modulo 2.1 years: only differences that are far smaller mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick(u32);

impl Tick {
    /// Returns the tick that `now` lies in.
    pub(super) fn at(now: Instant) -> Self {
        // Wraps on purpose.
        Self((now.as_micros() / MICROS) as u32)
    }

    /// Returns the least time that can have passed from `earlier` until now; zero if that is later.
    pub(super) fn since(self, earlier: Self) -> Duration {
        let ticks = self.0.wrapping_sub(earlier.0).cast_signed();
        // A tick is a whole interval: from the end of one to the start of another passes one less. Cookies bring any
        // tick, so the farthest too.
        let whole = u64::from(u32::try_from(ticks.saturating_sub(1)).unwrap_or(0));
        Duration::from_micros(whole * MICROS)
    }

    /// Tells whether this lies after `other`.
    pub(super) const fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    pub(super) const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    pub(super) const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(bytes))
    }

    /// Returns which period of 64 s it lies in.
    pub(super) const fn epoch(self) -> u32 {
        self.0 >> 12
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Tick {
        Tick::at(Instant::from_micros(seconds * 1_000_000))
    }

    #[test]
    fn elapsed_time_is_never_overstated() {
        for micros in (0..200_000).step_by(777) {
            let start = Instant::from_micros(10_000_000 + micros);
            let end = start + Duration::from_millis(500);
            assert!(Tick::at(end).since(Tick::at(start)) <= Duration::from_millis(500));
        }
    }

    #[test]
    fn differences_survive_the_wrap() {
        let wrap = (1u64 << 32) * MICROS / 1_000_000;
        assert!(seconds(wrap + 5).is_after(seconds(wrap - 5)));
        assert!(seconds(wrap + 5).since(seconds(wrap - 5)) > Duration::from_millis(9900));
        assert_eq!(seconds(wrap - 5).since(seconds(wrap + 5)), Duration::ZERO);
    }

    #[test]
    fn tick_half_a_turn_away_counts_as_later() {
        let far = Tick(1 << 31);
        assert_eq!((Tick(0).since(far), far.since(Tick(0))), (Duration::ZERO, Duration::ZERO));
    }
}
