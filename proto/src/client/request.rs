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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    const START: Instant = Instant::from_micros(1_000_000);

    fn random() -> Generator {
        Generator::new(Seed::from_number(1).key(0))
    }

    #[test]
    fn request_is_outstanding_once_it_is_sent() {
        let mut request = Request::new(START, &mut random());
        let other = TransactionId([1; 16]);
        assert!(!request.is_outstanding(request.transaction));
        assert_eq!(request.send(START, Duration::from_secs(1)), Turn::First);
        assert!(request.is_outstanding(request.transaction) && !request.is_outstanding(other));
        assert_eq!(request.next, START + Duration::from_secs(1));
    }

    #[test]
    fn only_a_request_sent_once_is_measured() {
        let mut rtt = Rtt::default();
        let mut request = Request::new(START, &mut random());
        request.send(START, Duration::ZERO);
        assert_eq!(request.send(START, Duration::ZERO), Turn::Again);
        request.measure(START + Duration::from_millis(70), &mut rtt);
        assert!(!rtt.is_measured());
        let mut once = Request::new(START, &mut random());
        once.send(START, Duration::ZERO);
        once.measure(START + Duration::from_millis(70), &mut rtt);
        assert_eq!(rtt.mean(), Duration::from_millis(70));
    }

    #[test]
    fn jitter_stays_within_a_tenth_and_reaches_both_ends() {
        let mut random = random();
        let times: Vec<_> = (0..10_000).map(|_| jittered(Duration::from_secs(20), &mut random)).collect();
        assert_eq!(times.iter().min(), Some(&Duration::from_secs(18)));
        assert_eq!(times.iter().max(), Some(&Duration::from_secs(22)));
    }
}
