//! What was counted, and why a datagram was dropped. Knows nothing of what a datagram says.

use super::flight::Turn;

/// Why a datagram of this protocol was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// It is no frame.
    Undecodable,
    /// From the server's address, but not a kind that a server sends. SPEC 2
    Direction,
    /// A server's kind from another address. SPEC 5
    Source,
    /// Not the session that this client holds. SPEC 5
    Session,
    /// Not a transaction or offer id that is outstanding. SPEC 5
    Reference,
    /// Not an offer that this client knows.
    Offer,
    /// Not from the other peer of that offer.
    Peer,
    /// Digest or length differ from those of the first fragment. SPEC 6
    Mismatch,
    /// The complete blob does not have the digest that was announced. SPEC 7
    Digest,
    /// The call is not at the point where this has a meaning.
    Phase,
    /// A bound is reached. SPEC 7
    Room,
    /// The other peer's offer yields to this client's own. SPEC 6
    Glare,
    /// A probe without the tag of the other peer of the call. SPEC 8
    Tag,
    /// A sealed blob does not open. SPEC 13
    Sealed,
    /// The application has not taken its events.
    Undrained,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 15] = [
        Self::Undecodable,
        Self::Direction,
        Self::Source,
        Self::Session,
        Self::Reference,
        Self::Offer,
        Self::Peer,
        Self::Mismatch,
        Self::Digest,
        Self::Phase,
        Self::Room,
        Self::Glare,
        Self::Tag,
        Self::Sealed,
        Self::Undrained,
    ];

    /// Returns the name for logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::Direction => "direction",
            Self::Source => "source",
            Self::Session => "session",
            Self::Reference => "reference",
            Self::Offer => "offer",
            Self::Peer => "peer",
            Self::Mismatch => "mismatch",
            Self::Digest => "digest",
            Self::Phase => "phase",
            Self::Room => "room",
            Self::Glare => "glare",
            Self::Tag => "tag",
            Self::Sealed => "sealed",
            Self::Undrained => "undrained",
        }
    }
}

/// Counts since the engine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams of this protocol that came in.
    pub datagrams_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Datagrams that went out.
    pub datagrams_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Of the datagrams that went out, those that repeated an earlier one.
    pub retransmissions: u64,
    /// Answers that were not sent for want of room in the queue.
    pub replies_lost: u64,
    drops: [u64; DropReason::ALL.len()],
}

impl Counters {
    /// Returns how many datagrams were dropped for `reason`.
    #[must_use]
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    pub(super) fn count_in(&mut self, bytes: usize) {
        self.datagrams_in += 1;
        self.bytes_in += bytes as u64;
    }

    pub(super) fn count_out(&mut self, bytes: usize) {
        self.datagrams_out += 1;
        self.bytes_out += bytes as u64;
    }

    pub(super) fn count_turn(&mut self, turn: Turn) {
        match turn {
            Turn::First => {}
            Turn::Again => self.retransmissions += 1,
        }
    }

    pub(super) fn count_drop(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_counter_and_a_name_of_its_own() {
        let mut counters = Counters::default();
        for (times, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, times);
            (0..times).for_each(|_| counters.count_drop(reason));
        }
        for (times, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(counters.dropped(reason), times as u64, "{}", reason.name());
        }
        let mut names = DropReason::ALL.map(DropReason::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
