//! Cookies: proof that a client receives at its address, without a byte stored for it. SPEC 5
//!
//! A cookie is the tick of its issue (4 bytes) and 12 bytes of a keyed MAC over address, port and that tick. The key
//! changes every 64 s; the current and the previous one are accepted, and no cookie older than its lifetime.

use std::time::Duration;

use super::path::Endpoint;
use super::tick::Tick;
use crate::Instant;
use crate::keyed::{Prf, Seed};
use crate::wire::Cookie;

/// How long a cookie is accepted. SPEC 10
pub const COOKIE_LIFETIME: Duration = Duration::from_millis(60_000);

/// Domain of the MAC: see [`Prf::tag`].
const COOKIE: u8 = 1;
/// Domain of the key of one period.
const PERIOD: u8 = 2;

/// When a cookie was issued: proof of an address, as of then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proof(pub(super) Tick);

pub(super) struct Cookies {
    master: Prf,
    current: (u32, Prf),
    previous: (u32, Prf),
}

impl Cookies {
    pub(super) fn new(now: Instant, seed: &Seed) -> Self {
        let master = seed.key(b'c');
        let epoch = Tick::at(now).epoch();
        Self {
            master,
            current: (epoch, period(&master, epoch)),
            previous: (epoch.wrapping_sub(1), period(&master, epoch.wrapping_sub(1))),
        }
    }

    /// Makes the cookie of `endpoint`.
    pub(super) fn issue(&mut self, now: Instant, endpoint: &Endpoint) -> Cookie {
        let tick = Tick::at(now);
        self.rotate(tick);
        cookie(&self.current.1, endpoint, tick)
    }

    /// Checks that `presented` was issued to `endpoint` within its lifetime.
    pub(super) fn verify(&mut self, now: Instant, endpoint: &Endpoint, presented: &Cookie) -> Option<Proof> {
        let tick = Tick::at(now);
        self.rotate(tick);
        let [a, b, c, d, ..] = presented.0;
        let issued = Tick::from_bytes([a, b, c, d]);
        if issued.is_after(tick) || tick.since(issued) > COOKIE_LIFETIME {
            return None;
        }
        let (_, key) =
            [&self.current, &self.previous].into_iter().find(|(epoch, _)| *epoch == issued.epoch())?;
        let expected = cookie(key, endpoint, issued);
        // All bytes are compared, whatever the first ones are.
        let differing = expected.0.iter().zip(presented.0).fold(0, |any, (a, b)| any | (a ^ b));
        (differing == 0).then_some(Proof(issued))
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
            let mut cookies = Cookies::new(at(0), &Seed::from_number(1));
            let cookie = cookies.issue(at(start), &here);
            assert!(cookies.verify(at(start), &here, &cookie).is_some());
            assert!(cookies.verify(at(start + 59), &here, &cookie).is_some());
            assert_eq!(cookies.verify(at(start + 61), &here, &cookie), None);
        }
    }

    #[test]
    fn cookie_is_bound_to_address_port_and_time() {
        let mut cookies = Cookies::new(at(0), &Seed::from_number(1));
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
        let mut cookies = Cookies::new(at(0), &Seed::from_number(1));
        let here = endpoint("192.0.2.1:4000");
        let cookie = cookies.issue(at(50), &here);
        assert_eq!(cookies.verify(at(49), &here, &cookie), None);
    }

    #[test]
    fn another_seed_makes_other_cookies() {
        let here = endpoint("192.0.2.1:4000");
        let cookie = Cookies::new(at(0), &Seed::from_number(1)).issue(at(1), &here);
        assert_eq!(Cookies::new(at(0), &Seed::from_number(2)).verify(at(1), &here, &cookie), None);
    }
}
