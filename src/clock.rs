//! The one place that reads a clock for the engines.

use std::time::{Duration, Instant as SystemInstant, SystemTime, UNIX_EPOCH};

use roundtable_proto::Instant;

/// A monotonic clock whose origin is its making. Setting the host's date does not touch it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: SystemInstant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: SystemInstant::now() }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::after_origin(self.origin.elapsed())
    }

    /// Lets that much time pass at once.
    #[cfg(test)]
    pub(crate) fn skip(&mut self, time: Duration) {
        self.origin -= time;
    }

    /// Returns the moment at which a sleep until `at` ends: never early, at most a microsecond late.
    pub(crate) fn wake_at(&self, at: Instant) -> tokio::time::Instant {
        (self.origin + Duration::from_micros(at.as_micros())).into()
    }
}

/// Returns the seconds since 1970-01-01T00:00:00Z by the host's date; zero if that lies before.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
