//! One request of the registration and its repeats. Knows nothing of what it asks. SPEC 5

use std::time::Duration;

use super::flight::Turn;
use super::rtt::Rtt;
use crate::Instant;
use crate::keyed::Generator;
use crate::wire::{Address, Cookie, TransactionId};

/// A request that is repeated until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) transaction: TransactionId,
    /// How often it has been sent.
    pub(super) times: u32,
    last: Instant,
    /// When to send it again.
    pub(super) next: Instant,
}

/// A cookie, and what became of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) cookie: Cookie,
    /// Where the server saw this client when it issued the cookie: signed with it.
    pub(super) observed: Address,
    pub(super) received: Instant,
    /// Cookies in a row that the server did not take.
    pub(super) refused: u32,
}

impl Request {
    /// Makes a request to be sent now.
    pub(super) fn new(now: Instant, random: &mut Generator) -> Self {
        Self::later(now, now, random)
    }

    /// Makes a request to be sent at `next`.
    pub(super) fn later(now: Instant, next: Instant, random: &mut Generator) -> Self {
        Self { transaction: TransactionId(random.bytes()), times: 0, last: now, next }
    }

    /// Tells whether an answer to `transaction` answers this request.
    pub(super) fn is_outstanding(&self, transaction: TransactionId) -> bool {
        self.times > 0 && self.transaction == transaction
    }

    /// Takes the request as sent; it will be repeated after `wait`.
    pub(super) fn send(&mut self, now: Instant, wait: Duration) -> Turn {
        let turn = if self.times == 0 { Turn::First } else { Turn::Again };
        self.times += 1;
        self.last = now;
        self.next = now + wait;
        turn
    }

    /// Measures a round trip, if the request was sent once only (Karn).
    pub(super) fn measure(self, now: Instant, rtt: &mut Rtt) {
        if self.times == 1 {
            rtt.measure(now.since(self.last));
        }
    }
}

/// Returns `time` +-10 %.
pub(super) fn jittered(time: Duration, random: &mut Generator) -> Duration {
    // 0 to 200 thousandths more than nine tenths.
    let thousandths = 900 + random.below(201);
    Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2000) / 1000 * thousandths)
}
