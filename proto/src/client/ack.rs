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
