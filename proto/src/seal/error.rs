//! Why a blob cannot be sealed, and why one does not open. SPEC 13 names each.

use std::fmt;

use super::{OFFER_WINDOW, ReplayError, SEAL_VERSION};
use crate::identity::IdentityError;

/// The two peers cannot have a sealed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartyError {
    /// Both are the same.
    SamePeer,
    /// The other one's identifier is plain, or no key.
    Identity(IdentityError),
}

impl PartyError {
    /// Returns the name that SPEC.md and the vectors use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SamePeer => "same_peer",
            Self::Identity(error) => error.name(),
        }
    }
}

impl fmt::Display for PartyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SamePeer => f.write_str("sender and receiver are the same peer"),
            Self::Identity(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PartyError {}

/// Why a blob cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// An OFFER or a CANDIDATE has nothing in it.
    Empty,
    /// The blob is longer than one of its kind may be, before sealing.
    PayloadTooLong {
        /// Bytes allowed.
        limit: usize,
        /// Bytes that it has.
        size: usize,
    },
    /// The blob is longer than one of its kind may be, once it is sealed.
    TooLong {
        /// Bytes allowed.
        limit: usize,
        /// Bytes that it would have.
        size: usize,
    },
    /// The other peer's key is of small order.
    BadKey,
}

impl SealError {
    /// Returns the name that SPEC.md and the vectors use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::PayloadTooLong { .. } => "payload_too_long",
            Self::TooLong { .. } => "too_long",
            Self::BadKey => "bad_key",
        }
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("only an answer may be empty"),
            Self::PayloadTooLong { limit, size } => write!(f, "{size} bytes, at most {limit} are allowed"),
            Self::TooLong { limit, size } => {
                write!(f, "{size} bytes once sealed, at most {limit} are allowed")
            }
            Self::BadKey => f.write_str("nothing can be encrypted to the other peer's key"),
        }
    }
}

impl std::error::Error for SealError {}

/// Why a blob does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// There can be no sealed blob between the two.
    Party(PartyError),
    /// The blob is not a sealed one. Between keyed peers that is a downgrade.
    NotSealed,
    /// The blob is sealed in another version.
    Version {
        /// What stands there.
        found: u8,
    },
    /// The blob is longer than one of its kind may be.
    TooLong {
        /// Bytes allowed.
        limit: usize,
        /// Bytes that it has.
        size: usize,
    },
    /// The blob is shorter than an empty one would be.
    Truncated {
        /// Bytes that are needed.
        need: usize,
        /// Bytes that it has.
        had: usize,
    },
    /// The blob is damaged, or was sealed to another key, or for another kind, number, call, sender or receiver.
    Undecryptable,
    /// The sender did not sign this.
    BadSignature,
    /// Nothing can be encrypted to the caller's reply key.
    BadReplyKey,
    /// The encoding is unknown, or its bytes are damaged or followed by others.
    BadEncoding,
    /// Unpacked, the blob is longer than one of its kind may be.
    PayloadTooLong {
        /// Bytes allowed.
        limit: usize,
    },
    /// An OFFER or a CANDIDATE has nothing in it.
    Empty,
    /// An OFFER is not of now, or came before, or cannot be told from one that came before.
    Replay(ReplayError),
}

impl OpenError {
    /// Returns the name that SPEC.md and the vectors use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Party(error) => error.name(),
            Self::NotSealed => "not_sealed",
            Self::Version { .. } => "version",
            Self::TooLong { .. } => "too_long",
            Self::Truncated { .. } => "truncated",
            Self::Undecryptable => "undecryptable",
            Self::BadSignature => "bad_signature",
            Self::BadReplyKey => "bad_reply_key",
            Self::BadEncoding => "bad_encoding",
            Self::PayloadTooLong { .. } => "payload_too_long",
            Self::Empty => "empty",
            Self::Replay(ReplayError::Stale { .. }) => "stale",
            Self::Replay(ReplayError::Replayed) => "replayed",
            Self::Replay(ReplayError::MemoryFull { .. }) => "replay_memory_full",
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Party(error) => error.fmt(f),
            Self::NotSealed => f.write_str("the blob is not sealed, though both peers have keys"),
            Self::Version { found } => write!(f, "sealed in version {found}, not {SEAL_VERSION}"),
            Self::TooLong { limit, size } => write!(f, "{size} bytes, at most {limit} are allowed"),
            Self::Truncated { need, had } => write!(f, "truncated: {need} bytes needed, {had} there"),
            Self::Undecryptable => {
                f.write_str("damaged, or not sealed for this call by that peer to this one")
            }
            Self::BadSignature => f.write_str("the sender did not sign this blob for this call"),
            Self::BadReplyKey => f.write_str("the offer's reply key cannot be encrypted to"),
            Self::BadEncoding => f.write_str("the blob's encoding is unknown or damaged"),
            Self::PayloadTooLong { limit } => write!(f, "unpacks to more than {limit} bytes"),
            Self::Empty => f.write_str("only an answer may be empty"),
            Self::Replay(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale { sent, now } => {
                let (apart, side) = (sent.0.abs_diff(now.0), if sent < now { "before" } else { "after" });
                write!(
                    f,
                    "the offer is dated {apart} s {side} this clock, {OFFER_WINDOW} are allowed: a replay, or one of \
                     the clocks is wrong"
                )
            }
            Self::Replayed => f.write_str("this offer has been received before"),
            Self::MemoryFull { limit, of_sender: true } => {
                write!(f, "{limit} offers of this sender are remembered, no more are taken for now")
            }
            Self::MemoryFull { limit, of_sender: false } => {
                write!(f, "{limit} offers are remembered, no more are taken for now")
            }
        }
    }
}

impl std::error::Error for ReplayError {}

impl From<PartyError> for OpenError {
    fn from(error: PartyError) -> Self {
        Self::Party(error)
    }
}

impl From<ReplayError> for OpenError {
    fn from(error: ReplayError) -> Self {
        Self::Replay(error)
    }
}
