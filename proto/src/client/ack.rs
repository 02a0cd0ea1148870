//! When to acknowledge. Knows nothing of what has arrived. SPEC 7

use std::time::Duration;

use super::constants::{ACK_DELAY, NUDGE};
use crate::Instant;

/// The one acknowledgement that a receiver has in mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckTimer {
    /// Nothing to say.
    Idle,
    /// Something has arrived.
    Due { at: Instant },
    /// Nothing arrives, though something is missing.
    Nudging { at: Instant, after: Duration },
    /// The server asked to wait.
    Held { until: Instant },
}

/// Whether something is still missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Some,
    Nothing,
}

impl AckTimer {
    /// Acknowledges a little later, with what else arrives until then.
    pub(super) fn soon(&mut self, now: Instant) {
        match self {
            Self::Idle | Self::Nudging { .. } => *self = Self::Due { at: now + ACK_DELAY },
            Self::Due { .. } | Self::Held { .. } => {}
        }
    }

    /// Acknowledges now.
    pub(super) fn at_once(&mut self, now: Instant) {
        match self {
            Self::Idle | Self::Nudging { .. } | Self::Due { .. } => *self = Self::Due { at: now },
            Self::Held { .. } => {}
        }
    }

    /// Holds the acknowledgement back, as the server asked.
    pub(super) fn hold(&mut self, until: Instant) {
        *self = Self::Held { until };
    }

    /// Says nothing more until something arrives.
    pub(super) fn stop(&mut self) {
        *self = Self::Idle;
    }

    /// Tells whether to acknowledge now, and takes it as done.
    pub(super) fn poll(&mut self, now: Instant, missing: Missing) -> bool {
        if self.next().is_none_or(|at| now < at) {
            return false;
        }
        *self = match missing {
            Missing::Nothing => Self::Idle,
            Missing::Some => {
                let after = match *self {
                    Self::Nudging { after, .. } => after * 2,
                    Self::Idle | Self::Due { .. } | Self::Held { .. } => NUDGE,
                };
                Self::Nudging { at: now + after, after }
            }
        };
        true
    }

    /// Returns when [`poll`](Self::poll) will next have something to say.
    pub(super) fn next(self) -> Option<Instant> {
        match self {
            Self::Idle => None,
            Self::Due { at } | Self::Nudging { at, .. } | Self::Held { until: at } => Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_micros(1_000_000);

    #[test]
    fn first_arrival_sets_the_time_and_later_ones_do_not_move_it() {
        let mut timer = AckTimer::Idle;
        timer.soon(START);
        timer.soon(START + ACK_DELAY / 2);
        assert_eq!(timer.next(), Some(START + ACK_DELAY));
        assert!(!timer.poll(START + ACK_DELAY / 2, Missing::Nothing));
        assert!(timer.poll(START + ACK_DELAY, Missing::Nothing));
        assert_eq!(timer, AckTimer::Idle);
    }

    #[test]
    fn at_once_is_at_once() {
        let mut timer = AckTimer::Idle;
        timer.soon(START);
        timer.at_once(START);
        assert!(timer.poll(START, Missing::Nothing));
    }

    #[test]
    fn nudges_double_until_something_arrives() {
        let mut timer = AckTimer::Idle;
        timer.at_once(START);
        let mut now = START;
        for wait in [NUDGE, NUDGE * 2, NUDGE * 4] {
            assert!(timer.poll(now, Missing::Some));
            assert_eq!(timer.next(), Some(now + wait));
            now += wait;
        }
        timer.soon(now);
        now += ACK_DELAY;
        assert!(timer.poll(now, Missing::Some));
        assert_eq!(timer.next(), Some(now + NUDGE));
    }

    #[test]
    fn held_back_it_waits_whatever_arrives_and_then_speaks() {
        let mut timer = AckTimer::Idle;
        timer.hold(START + NUDGE);
        timer.soon(START);
        timer.at_once(START);
        assert!(!timer.poll(START + ACK_DELAY, Missing::Some));
        assert!(timer.poll(START + NUDGE, Missing::Nothing));
        assert_eq!(timer.next(), None);
    }

    #[test]
    fn stopped_it_speaks_again_only_of_something_new() {
        let mut timer = AckTimer::Idle;
        timer.soon(START);
        timer.stop();
        assert_eq!(timer.next(), None);
        timer.soon(START);
        assert_eq!(timer.next(), Some(START + ACK_DELAY));
    }
}
