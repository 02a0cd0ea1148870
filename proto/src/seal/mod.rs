//! Blobs that only the other peer can read, and that only the sender can have written. SPEC 13
//!
//! Knows nothing of frames, sessions or sockets: an engine hands over a whole blob with the identifiers and the offer
//! id of the frames that carried it. Time and entropy are arguments.
//!
//! A call is two values. [`Caller`] seals the OFFER and opens the ANSWER; [`Callee`] comes out of an OFFER that opened
//! and seals the ANSWER. Each holds the keys of its side, so that no wrong one can be given, and each seals and opens
//! just the kinds that its side sends and receives.
//!
//! ```
//! use roundtable_proto::identity::SecretKey;
//! use roundtable_proto::seal::{Callee, Caller, Entropy, ReplayWindow, UnixSeconds};
//! use roundtable_proto::wire::OfferId;
//!
//! // All of these come from the operating system: seeds and entropy are secret, and each is used once.
//! let [alice, bob] = [[1; 32], [2; 32]].map(|seed| SecretKey::from_seed(&seed).unwrap());
//! let [reply, first, second] = [[3; 32], [4; 32], [5; 32]].map(Entropy::new);
//! let (now, offer) = (UnixSeconds(1_750_000_000), OfferId::from_random([6; 16]));
//!
//! let caller = Caller::new(&alice, bob.identifier(), offer, reply)?;
//! let sealed = caller.seal_offer(now, b"v=0 offer", first)?;
//!
//! let mut seen = ReplayWindow::default();
//! let opened = Callee::open_offer(&bob, alice.identifier(), offer, &sealed, now, &mut seen)?;
//! assert_eq!(opened.blob, b"v=0 offer");
//! let answer = opened.callee.seal_answer(b"v=0 answer", second)?;
//!
//! assert_eq!(caller.open_answer(&answer)?, b"v=0 answer");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod call;
mod entropy;
mod envelope;
mod error;
mod keys;
mod packing;
mod replay;

pub use call::{Callee, Caller, OpenedOffer};
pub use entropy::Entropy;
pub use error::{OpenError, PartyError, SealError};
pub use replay::{ReplayError, ReplayLimits, ReplayWindow, UnixSeconds};

use crate::wire::{BLOB_MAX, BlobKind, FRAGMENT};

/// The first byte of a sealed blob, and a byte of all that is signed. SPEC 13
pub const SEAL_VERSION: u8 = 1;
/// Seconds that the time in an OFFER may lie before or after the receiver's clock. SPEC 13
pub const OFFER_WINDOW: u64 = 300;
/// Offers that a receiver remembers unless told otherwise. SPEC 13
pub const OFFERS_REMEMBERED: usize = 4096;
/// Offers of one sender that a receiver remembers unless told otherwise. SPEC 13
pub const OFFERS_PER_SENDER: usize = 256;

/// Returns the bytes that sealing adds to a blob that does not shrink. SPEC 13
#[must_use]
pub const fn overhead(kind: BlobKind) -> usize {
    // Version, encapsulated key, signature, encoding, tag; an OFFER has time and reply key, too.
    let common = 1 + 32 + 64 + 1 + 16;
    match kind {
        BlobKind::Offer => common + 8 + 32,
        BlobKind::Answer | BlobKind::Candidate => common,
    }
}

/// Returns the bytes that a blob of this kind has at most, sealed or not: a CANDIDATE is never fragmented. SPEC 7
const fn limit(kind: BlobKind) -> usize {
    match kind {
        BlobKind::Offer | BlobKind::Answer => BLOB_MAX,
        BlobKind::Candidate => FRAGMENT,
    }
}
