//! How far the offer and the answer of a call have come. Knows bitmaps of fragments and lengths, neither frames nor time.

use crate::wire::{Arrived, OfferId, PeerId, fragment_count, fragment_range};

/// How far an offer or answer of more than one fragment has come: of what this client sends, what the other peer has
/// acknowledged; of what it receives, what has arrived.
///
/// Bytes are those of the blob as it travels. Between keyed peers that is the sealed and packed one, which may be shorter
/// or longer than what the application gave. SPEC 7 and 13
///
/// Once the answer is on its way the offer is there, whatever was told of it. It may fall back: a peer whose application was
/// started anew gets an offer again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which of the two it is.
    pub transfer: Transfer,
    /// Fragments that are there.
    pub fragments: usize,
    /// Of so many, 2 to 64.
    pub of_fragments: usize,
    /// Bytes that are there.
    pub bytes: usize,
    /// Of so many.
    pub of_bytes: usize,
}

/// What a call carries from one peer to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// From the caller to the callee.
    Offer,
    /// From the callee to the caller.
    Answer,
}

/// An offer of somebody else of which a part has arrived.
///
/// Nothing of it is proved, not even that there is more to come: it has not been opened, and `from` is what the server
/// says. It is good for a line that says so; the application is to ring when the offer is there
/// ([`Event::Offered`](super::Event::Offered)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arriving {
    /// The call.
    pub offer: OfferId,
    /// Who calls, says the server.
    pub from: PeerId,
    /// How far it has come.
    pub progress: Progress,
}

impl Progress {
    /// Says how far a blob of `length` bytes has come; `None` where it is one fragment, which is there or is not.
    pub(super) fn new(transfer: Transfer, length: usize, arrived: Arrived) -> Option<Self> {
        let of_fragments = fragment_count(length);
        if of_fragments < 2 {
            return None;
        }
        // There are at most 64 fragments.
        let there = (0..of_fragments as u8).filter(|index| arrived.contains(*index));
        let bytes = there.map(|index| fragment_range(length, index).len()).sum();
        Some(Self { transfer, fragments: arrived.count() as usize, of_fragments, bytes, of_bytes: length })
    }

    /// Says that all of a blob of `length` bytes is there.
    pub(super) fn whole(transfer: Transfer, length: usize) -> Option<Self> {
        Self::new(transfer, length, Arrived::all(fragment_count(length)))
    }

    /// Tells whether all of it is there.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.fragments == self.of_fragments
    }
}

impl Transfer {
    /// Returns the name for logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{BLOB_MAX, FRAGMENT};

    #[test]
    fn last_fragment_counts_with_the_bytes_that_it_has() {
        let length = 2 * FRAGMENT + 100;
        for (arrived, fragments, bytes) in
            [(0, 0, 0), (0b010, 1, FRAGMENT), (0b100, 1, 100), (0b101, 2, FRAGMENT + 100), (0b111, 3, length)]
        {
            let progress = Progress::new(Transfer::Offer, length, Arrived(arrived));
            let expected =
                Progress { transfer: Transfer::Offer, fragments, of_fragments: 3, bytes, of_bytes: length };
            assert_eq!(progress, Some(expected));
            assert_eq!(expected.is_complete(), fragments == 3);
        }
    }

    #[test]
    fn one_fragment_makes_no_progress_and_the_largest_blob_is_counted_whole() {
        for length in [0, 1, FRAGMENT] {
            assert_eq!(Progress::whole(Transfer::Answer, length), None);
        }
        let whole = Progress::whole(Transfer::Answer, BLOB_MAX).unwrap();
        assert_eq!((whole.fragments, whole.of_fragments), (64, 64));
        assert_eq!((whole.bytes, whole.of_bytes), (BLOB_MAX, BLOB_MAX));
    }
}
