//! How much anybody may ask of the server: what the operator sets, and what follows from it.
//!
//! | who | what is counted | kept in | beyond it |
//! |---|---|---|---|
//! | anybody who has proved nothing | answers: CHALLENGE, PONG, ERROR `VERSION` | two sketches | silence, counted |
//! | who holds a valid cookie | registrations, by source and in all | two sketches, a stamp | `RATE_LIMITED` |
//! | a registered peer | its frames and bytes | its slot | `RATE_LIMITED` |
//! | the peer that is called | offers and their bytes, whoever sends them | its slot | `RATE_LIMITED` to the caller |
//!
//! All of it lies in memory whose size follows from the configuration alone. A validated peer pays for its frames with
//! one addition and one comparison on its own slot, which its datagram touches anyway.

use std::time::Duration;

use super::crowd::Allowance;
use super::rate::Rate;

/// Rates, each for one purpose; zero switches one off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Answers a second to sources of one prefix that have proved nothing, two seconds' worth at once. A prefix is an
    /// IPv4 address or an IPv6 /64; a /56 has twice as many, a /48 four times. Within it a port has 8 a second, 64 at
    /// once.
    pub stranger_answers: u32,
    /// Registrations a second from one prefix, ten seconds' worth at once. Within it a port has 1 a second, 16 at once.
    pub registrations: u32,
    /// Registrations a second in all.
    pub registrations_in_all: u32,
    /// KiB a second that one peer may send, four seconds' worth and at least 256 KiB at once; each frame counts for 128
    /// bytes more than it has.
    pub peer_kib: u32,
    /// Offers a second to one peer, two seconds' worth and at least 64 at once; each 64 KiB of them count for one more.
    pub offers_to_peer: u32,
}

impl Limits {
    /// No limit at all, for measurements and for tests of other things.
    pub const NONE: Self = Self {
        stranger_answers: 0,
        registrations: 0,
        registrations_in_all: 0,
        peer_kib: 0,
        offers_to_peer: 0,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stranger_answers: 500,
            registrations: 200,
            registrations_in_all: 20_000,
            peer_kib: 256,
            offers_to_peer: 10,
        }
    }
}

/// Bytes that each frame of a peer counts for beside its own.
pub(super) const FRAME: u64 = 128;
/// Bytes that opening an offer counts for at its callee, beside the offer's own.
pub(super) const OPENING: u64 = 1 << 16;

/// Whoever is limited comes back after what his account needs and this, at least and at most: spread, so that not all
/// come back at once.
pub(super) const SPREAD: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(2500));

/// Strangers that are answered in a second under pressure, for each two registrations in all.
const STRANGERS_PER_REGISTRATION: u32 = 2;

impl Limits {
    pub(super) const fn strangers(&self) -> Allowance {
        Allowance {
            per_prefix: self.stranger_answers,
            seconds_at_once: 2,
            per_endpoint: 8,
            // A whole train under a session that has ended.
            endpoint_at_once: 64,
        }
    }

    pub(super) const fn registering(&self) -> Allowance {
        Allowance {
            per_prefix: self.registrations,
            seconds_at_once: 10,
            per_endpoint: 1,
            endpoint_at_once: 16,
        }
    }

    /// Strangers answered in a second while the loop is saturated.
    pub(super) fn strangers_under_pressure(&self) -> u32 {
        let in_all = match self.registrations_in_all {
            0 => Self::default().registrations_in_all,
            set => set,
        };
        (in_all / STRANGERS_PER_REGISTRATION).max(1)
    }

    /// In bytes.
    pub(super) fn sending(&self) -> Option<Rate> {
        let per_second = u64::from(self.peer_kib) << 10;
        Rate::new(per_second, (4 * per_second).max(256 << 10))
    }

    /// In bytes. Half of what may come at once is kept for offers that are open already.
    pub(super) fn ringing(&self) -> Option<Rate> {
        let per_second = u64::from(self.offers_to_peer);
        Rate::new(per_second * OPENING, 2 * (2 * per_second).max(64) * OPENING)
    }
}
