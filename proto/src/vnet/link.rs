//! What a link does to a datagram: delay, loss, duplication, reordering. Knows nothing of addresses.

use std::time::Duration;

use super::{DropCause, Random};
use crate::Instant;

/// What happens to datagrams in one direction of a link. May be changed while datagrams are on their way; those keep
/// the delay that they were given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// One way, for every datagram.
    pub delay: Duration,
    /// At most so much longer, at random. Alone it keeps the order, as a queue in a router does.
    pub jitter: Duration,
    /// The part of the datagrams that is lost, 0 to 1.
    pub loss: f64,
    /// The part of the datagrams that arrives twice, 0 to 1.
    pub duplication: f64,
    /// The part of the datagrams that is held back, 0 to 1, so that later ones overtake it.
    pub reordering: f64,
    /// At most so much longer are these held back.
    pub held_back: Duration,
    /// Bytes of the longest IP packet; longer ones are dropped, never fragmented.
    pub mtu: usize,
    /// False during a partition: nothing passes.
    pub open: bool,
}

impl Conditions {
    /// A link that delivers everything, in order, after `delay`.
    #[must_use]
    pub const fn after(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            held_back: Duration::ZERO,
            mtu: 1500,
            open: true,
        }
    }
}

/// A link that joins a host or a NAT to a realm; each direction has its own conditions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// From the host or the NAT into the realm.
    pub up: Conditions,
    /// From the realm to the host or the NAT.
    pub down: Conditions,
}

impl Link {
    /// The same conditions both ways.
    #[must_use]
    pub const fn symmetric(conditions: Conditions) -> Self {
        Self { up: conditions, down: conditions }
    }

    /// A link that delivers everything, in order, after `delay`, both ways.
    #[must_use]
    pub const fn after(delay: Duration) -> Self {
        Self::symmetric(Conditions::after(delay))
    }

    /// Opens or closes both directions.
    pub const fn set_open(&mut self, open: bool) {
        self.up.open = open;
        self.down.open = open;
    }
}

/// One direction at work.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) conditions: Conditions,
    /// When the last datagram that kept its place arrives.
    last: Instant,
}

/// When the copies of one datagram arrive: one, or two if the link duplicated it.
pub(super) type Arrivals = (Instant, Option<Instant>);

impl Lane {
    pub(super) const fn new(conditions: Conditions) -> Self {
        Self { conditions, last: Instant::ORIGIN }
    }

    /// Decides the fate of an IP packet of `size` bytes.
    pub(super) fn carry(
        &mut self,
        now: Instant,
        size: usize,
        random: &mut Random,
    ) -> Result<Arrivals, DropCause> {
        if !self.conditions.open {
            return Err(DropCause::Partition);
        }
        if size > self.conditions.mtu {
            return Err(DropCause::TooLong);
        }
        if random.chance(self.conditions.loss) {
            return Err(DropCause::Loss);
        }
        let first = self.arrival(now, random);
        let second = random.chance(self.conditions.duplication).then(|| self.arrival(now, random));
        Ok((first, second))
    }

    fn arrival(&mut self, now: Instant, random: &mut Random) -> Instant {
        let Conditions { delay, jitter, reordering, held_back, .. } = self.conditions;
        let at = now + delay + up_to(jitter, random);
        if random.chance(reordering) {
            return at + up_to(held_back, random);
        }
        self.last = self.last.max(at);
        self.last
    }
}

fn up_to(longest: Duration, random: &mut Random) -> Duration {
    if longest.is_zero() {
        return Duration::ZERO;
    }
    Duration::from_micros(random.between(0, u64::try_from(longest.as_micros()).unwrap_or(u64::MAX)))
}
