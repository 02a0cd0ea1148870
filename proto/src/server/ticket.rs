//! Tickets: a keyed peer comes back after a restart without a signature check. SPEC 5
//!
//! A ticket is its expiry (4 bytes, Unix seconds) and 12 bytes of a keyed MAC over identifier, address and expiry. Its
//! key may outlive the process; so its time is not the engine's but the world's.

use std::time::Duration;

use super::path::Endpoint;
use crate::Instant;
use crate::keyed::{Prf, Seed};
use crate::wire::{PeerId, Ticket};

/// How long a ticket is accepted. SPEC 10
pub const TICKET_LIFETIME: Duration = Duration::from_millis(3_600_000);

/// Domain of the MAC: see [`Prf::tag`].
const TICKET: u8 = 3;

/// A secret that outlives the process, of cookies and tickets, and the date.
#[derive(Clone, Copy, Debug)]
pub struct LastingSecret {
    /// The secret.
    pub key: Seed,
    /// Unix seconds at the moment that the server is made.
    pub unix_time: u64,
}

pub(super) struct Tickets {
    key: Prf,
    started: Instant,
    unix_time: u64,
}

impl Tickets {
    /// Without a lasting secret the tickets are good for this process alone.
    pub(super) fn new(now: Instant, seed: &Seed, lasting: Option<LastingSecret>) -> Self {
        let secret = lasting.unwrap_or(LastingSecret { key: *seed, unix_time: 0 });
        Self { key: secret.key.key(b'k'), started: now, unix_time: secret.unix_time }
    }

    /// Makes the ticket of an identifier that has just proved itself at `endpoint`.
    pub(super) fn issue(&self, now: Instant, identifier: &PeerId, endpoint: &Endpoint) -> Ticket {
        let expiry = self.seconds(now).saturating_add(TICKET_LIFETIME.as_secs());
        self.ticket(identifier, endpoint, u32::try_from(expiry).unwrap_or(u32::MAX))
    }

    /// Tells whether `presented` was issued for both and has not expired.
    pub(super) fn verify(
        &self,
        now: Instant,
        identifier: &PeerId,
        at: &Endpoint,
        presented: &Ticket,
    ) -> bool {
        let [a, b, c, d, ..] = presented.0;
        let expiry = u32::from_be_bytes([a, b, c, d]);
        let left = u64::from(expiry).saturating_sub(self.seconds(now));
        if left == 0 || left > TICKET_LIFETIME.as_secs() {
            return false;
        }
        let expected = self.ticket(identifier, at, expiry);
        // All bytes are compared, whatever the first ones are.
        expected.0.iter().zip(presented.0).fold(0, |any, (a, b)| any | (a ^ b)) == 0
    }

    fn seconds(&self, now: Instant) -> u64 {
        self.unix_time.saturating_add(now.since(self.started).as_secs())
    }

    fn ticket(&self, identifier: &PeerId, endpoint: &Endpoint, expiry: u32) -> Ticket {
        let mut message = [0; 58];
        message[..32].copy_from_slice(identifier.as_bytes());
        message[32..54].copy_from_slice(&endpoint.octets());
        message[54..].copy_from_slice(&expiry.to_be_bytes());
        let mut ticket = self.key.tag(TICKET, &message);
        ticket[..4].copy_from_slice(&expiry.to_be_bytes());
        Ticket(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn here() -> Endpoint {
        Endpoint::from("192.0.2.1:4000".parse::<std::net::SocketAddr>().unwrap())
    }

    fn secret(unix_time: u64) -> Option<LastingSecret> {
        Some(LastingSecret { key: Seed::from_number(9), unix_time })
    }

    #[test]
    fn ticket_outlives_the_process_if_its_secret_does() {
        let identifier = PeerId::from_bytes([7; 32]).unwrap();
        let before = Tickets::new(at(5), &Seed::from_number(1), secret(1_800_000_000));
        let ticket = before.issue(at(10), &identifier, &here());
        let after = Tickets::new(at(0), &Seed::from_number(2), secret(1_800_001_000));
        assert!(after.verify(at(1), &identifier, &here(), &ticket));
        assert!(!after.verify(at(2700), &identifier, &here(), &ticket), "an hour is over");
        let forgetful = Tickets::new(at(0), &Seed::from_number(2), None);
        assert!(!forgetful.verify(at(1), &identifier, &here(), &ticket));
    }

    #[test]
    fn ticket_is_bound_to_identifier_address_and_expiry() {
        let identifier = PeerId::from_bytes([7; 32]).unwrap();
        let tickets = Tickets::new(at(0), &Seed::from_number(1), secret(1_800_000_000));
        let ticket = tickets.issue(at(0), &identifier, &here());
        let there = Endpoint::from("192.0.2.1:4001".parse::<std::net::SocketAddr>().unwrap());
        assert!(!tickets.verify(at(0), &identifier, &there, &ticket));
        assert!(!tickets.verify(at(0), &PeerId::from_bytes([8; 32]).unwrap(), &here(), &ticket));
        assert!(!tickets.verify(at(0), &identifier, &here(), &Ticket::NONE));
        for byte in 0..16 {
            let mut forged = ticket;
            forged.0[byte] ^= 1;
            assert!(!tickets.verify(at(1), &identifier, &here(), &forged), "byte {byte}");
        }
    }
}
