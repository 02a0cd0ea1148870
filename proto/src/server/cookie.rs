//! Cookies: proof that a client receives at its address, without a byte stored for it. SPEC 5
//!
//! A cookie is the tick of its issue (4 bytes) and 12 bytes of a keyed MAC over address, port and that tick. The key
//! changes every 64 s; no cookie older than its lifetime is accepted.
//!
//! The master key may outlive the process, and several servers may share it: then the ticks are those of the date.

use std::time::Duration;

use super::path::Endpoint;
use super::tick::Tick;
use super::ticket::LastingSecret;
use crate::Instant;
use crate::keyed::{Prf, Seed};
use crate::wire::Cookie;

/// How long a cookie is accepted. SPEC 10
pub const COOKIE_LIFETIME: Duration = Duration::from_millis(60_000);

/// How far the clocks of servers with one secret may lie apart: a cookie from so far ahead is taken. SPEC 5
const SKEW: Duration = Duration::from_secs(5);

/// Domain of the MAC: see [`Prf::tag`].
const COOKIE: u8 = 1;
/// Domain of the key of one period.
const PERIOD: u8 = 2;

/// When a cookie was issued: proof of an address, as of then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proof(pub(super) Tick);

pub(super) struct Cookies {
    master: Prf,
    started: Instant,
    /// What the clock of the cookies shows at the start.
    base: Instant,
    /// How far in the future a cookie may have been issued.
    skew: Duration,
    current: (u32, Prf),
    previous: (u32, Prf),
}

impl Cookies {
    /// Without a lasting secret the cookies are good for this process alone.
    pub(super) fn new(now: Instant, seed: &Seed, lasting: Option<LastingSecret>) -> Self {
        let (key, base, skew) = match lasting {
            Some(secret) => (secret.key, Instant::after_origin(Duration::from_secs(secret.unix_time)), SKEW),
            None => (*seed, now, Duration::ZERO),
        };
        let master = key.key(b'c');
        let epoch = Tick::at(base).epoch();
        Self {
            master,
            started: now,
            base,
            skew,
            current: (epoch, period(&master, epoch)),
            previous: (epoch.wrapping_sub(1), period(&master, epoch.wrapping_sub(1))),
        }
    }

    /// Makes the cookie of `endpoint`.
    pub(super) fn issue(&mut self, now: Instant, endpoint: &Endpoint) -> Cookie {
        let tick = Tick::at(self.date(now));
        self.rotate(tick);
        cookie(&self.current.1, endpoint, tick)
    }

    /// Checks that `presented` was issued to `endpoint` within its lifetime.
    pub(super) fn verify(&mut self, now: Instant, endpoint: &Endpoint, presented: &Cookie) -> Option<Proof> {
        let date = self.date(now);
        let tick = Tick::at(date);
        self.rotate(tick);
        let [a, b, c, d, ..] = presented.0;
        let issued = Tick::from_bytes([a, b, c, d]);
        if issued.is_after(Tick::at(date + self.skew)) || tick.since(issued) > COOKIE_LIFETIME {
            return None;
        }
        let known = [&self.current, &self.previous].into_iter().find(|(epoch, _)| *epoch == issued.epoch());
        // A cookie from a clock that runs ahead may be of the next period.
        let key = known.map_or_else(|| period(&self.master, issued.epoch()), |(_, key)| *key);
        let expected = cookie(&key, endpoint, issued);
        // All bytes are compared, whatever the first ones are.
        let differing = expected.0.iter().zip(presented.0).fold(0, |any, (a, b)| any | (a ^ b));
        (differing == 0).then_some(Proof(issued))
    }

    /// Returns what the clock of the cookies shows.
    fn date(&self, now: Instant) -> Instant {
        self.base + now.since(self.started)
    }

    fn rotate(&mut self, now: Tick) {
        let epoch = now.epoch();
        if epoch != self.current.0 {
            let before = epoch.wrapping_sub(1);
            self.previous =
                if before == self.current.0 { self.current } else { (before, period(&self.master, before)) };
            self.current = (epoch, period(&self.master, epoch));
        }
    }
}

fn period(master: &Prf, epoch: u32) -> Prf {
    Prf::from_tag(master.tag(PERIOD, &epoch.to_be_bytes()))
}

fn cookie(key: &Prf, endpoint: &Endpoint, issued: Tick) -> Cookie {
    let mut message = [0; 26];
    message[..22].copy_from_slice(&endpoint.octets());
    message[22..].copy_from_slice(&issued.to_bytes());
    let mut cookie = key.tag(COOKIE, &message);
    cookie[..4].copy_from_slice(&issued.to_bytes());
    Cookie(cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::from(text.parse::<std::net::SocketAddr>().unwrap())
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn cookie_is_good_for_its_lifetime_and_no_longer() {
        let here = endpoint("192.0.2.1:4000");
        for start in [0, 1, 30, 63, 64, 1000] {
            let mut cookies = Cookies::new(at(0), &Seed::from_number(1), None);
            let cookie = cookies.issue(at(start), &here);
            assert!(cookies.verify(at(start), &here, &cookie).is_some());
            assert!(cookies.verify(at(start + 59), &here, &cookie).is_some());
            assert_eq!(cookies.verify(at(start + 61), &here, &cookie), None);
        }
    }

    #[test]
    fn cookie_is_bound_to_address_port_and_time() {
        let mut cookies = Cookies::new(at(0), &Seed::from_number(1), None);
        let here = endpoint("192.0.2.1:4000");
        let cookie = cookies.issue(at(10), &here);
        assert_eq!(cookies.verify(at(10), &endpoint("192.0.2.1:4001"), &cookie), None);
        assert_eq!(cookies.verify(at(10), &endpoint("192.0.2.2:4000"), &cookie), None);
        assert_eq!(cookies.verify(at(10), &here, &Cookie::NONE), None);
        for byte in 0..16 {
            let mut forged = cookie;
            forged.0[byte] ^= 1;
            assert_eq!(cookies.verify(at(11), &here, &forged), None, "byte {byte}");
        }
    }

    #[test]
    fn cookie_from_the_future_is_refused() {
        let mut cookies = Cookies::new(at(0), &Seed::from_number(1), None);
        let here = endpoint("192.0.2.1:4000");
        let cookie = cookies.issue(at(50), &here);
        assert_eq!(cookies.verify(at(49), &here, &cookie), None);
    }

    #[test]
    fn another_seed_makes_other_cookies() {
        let here = endpoint("192.0.2.1:4000");
        let cookie = Cookies::new(at(0), &Seed::from_number(1), None).issue(at(1), &here);
        assert_eq!(Cookies::new(at(0), &Seed::from_number(2), None).verify(at(1), &here, &cookie), None);
    }

    /// A server that starts at this date, with the lasting secret 9.
    fn lasting(seed: u64, unix_time: u64) -> Cookies {
        let secret = LastingSecret { key: Seed::from_number(9), unix_time };
        Cookies::new(at(3), &Seed::from_number(seed), Some(secret))
    }

    #[test]
    fn lasting_secret_makes_cookies_good_after_a_restart_and_for_their_lifetime() {
        let here = endpoint("192.0.2.1:4000");
        for date in [1_800_000_000, 1_800_000_037, 1_800_000_063] {
            let cookie = lasting(1, date).issue(at(13), &here);
            let mut after = lasting(2, date + 30);
            assert!(after.verify(at(3), &here, &cookie).is_some());
            assert_eq!(after.verify(at(3), &endpoint("192.0.2.1:4001"), &cookie), None);
            assert!(after.verify(at(3 + 39), &here, &cookie).is_some());
            assert_eq!(after.verify(at(3 + 41), &here, &cookie), None);
        }
    }

    #[test]
    fn servers_with_one_secret_may_differ_by_the_skew_and_no_more() {
        let here = endpoint("192.0.2.1:4000");
        // Over several periods of 64 s, so that the other one's may be the next.
        for date in 1_800_000_000..1_800_000_130 {
            let mut ahead = lasting(1, date + SKEW.as_secs());
            let mut behind = lasting(2, date);
            let cookie = ahead.issue(at(3), &here);
            assert!(behind.verify(at(3), &here, &cookie).is_some(), "{date}");
            let cookie = ahead.issue(at(4), &here);
            assert_eq!(behind.verify(at(3), &here, &cookie), None, "{date}");
        }
    }
}
