//! What a ledger may find wrong.

use std::fmt;
use std::net::SocketAddr;

use super::Sizes;
use crate::server::Outcome;
use crate::wire::{OfferId, PeerId, Session};

/// A promise that the server broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// One datagram caused more bytes than it had.
    Amplified {
        /// Whom it claimed to come from.
        address: SocketAddr,
        /// Its bytes.
        received: u64,
        /// The bytes that it caused.
        caused: u64,
    },
    /// An address was sent more, because of datagrams claiming to come from it, than came from it.
    AmplifiedInTime {
        /// The address.
        address: SocketAddr,
        /// The bytes that came from it.
        received: u64,
        /// The bytes that it was sent.
        sent: u64,
    },
    /// The server sent more than it received.
    AmplifiedInAll {
        /// The bytes received.
        received: u64,
        /// The bytes sent.
        sent: u64,
    },
    /// A timed notice for which no OFFER from that address had paid, or that is none.
    UnpaidNotice {
        /// Whom it went to.
        address: SocketAddr,
    },
    /// A table changed because of an address that had not proved that it receives.
    StoredForUnproved {
        /// The address.
        address: SocketAddr,
        /// The tables before.
        before: Sizes,
        /// The tables after.
        after: Sizes,
    },
    /// An address that had not proved itself was served.
    ServedUnproved {
        /// The address.
        address: SocketAddr,
        /// What the server did.
        outcome: Outcome,
    },
    /// A table grew without a datagram.
    GrewByItself {
        /// The tables before.
        before: Sizes,
        /// The tables after.
        after: Sizes,
    },
    /// An identifier was given away while its holder's session lived.
    HolderChanged {
        /// Whose.
        identifier: PeerId,
    },
    /// A session went to somebody else, or to another address without the session or a fresh proof.
    SessionMoved {
        /// Which.
        session: Session,
    },
    /// A table is larger than the configuration allows.
    BeyondLimit {
        /// What is allowed.
        limits: Sizes,
        /// What is.
        sizes: Sizes,
    },
    /// A caller has more open offers than the configuration allows.
    TooManyOffers {
        /// Who.
        caller: Session,
        /// How many.
        open: usize,
    },
    /// Offers are open though their callers have gone.
    OffersLeftOpen {
        /// Offers of live callers.
        most: usize,
        /// Offers that the server counts.
        offers: u32,
    },
    /// The number of peers does not fit those that must live and those that may.
    WrongCount {
        /// Peers that must live.
        least: u32,
        /// Peers that may live.
        most: u32,
        /// Peers that the server counts.
        peers: u32,
    },
    /// What the server says it did is not what it sent.
    OutcomeUnfit {
        /// What it says.
        outcome: Outcome,
    },
    /// A peer's datagram was met with silence, or with a challenge, though its session lived at its address.
    Silence {
        /// The peer.
        address: SocketAddr,
        /// What the server did.
        outcome: Outcome,
    },
    /// A counter does not show what happened.
    Miscounted,
    /// A datagram decodes, but re-encodes to other bytes.
    NotCanonical,
    /// The server sent something that is no frame from a server.
    BadFrameSent,
    /// Something went to an address where its receiver is not, or no longer.
    WrongReceiver {
        /// Whom it went to.
        address: SocketAddr,
    },
    /// A frame names an address that is not the one it came from, or not the peer's.
    WrongObserved {
        /// Whom it went to.
        address: SocketAddr,
    },
    /// A relayed frame is not what was sent.
    Altered {
        /// The call.
        offer: OfferId,
    },
    /// A frame passed that does not belong to the two peers of an open offer.
    Trespass {
        /// The call.
        offer: OfferId,
    },
    /// The server's parts contradict each other.
    Parts {
        /// What it found itself.
        what: &'static str,
    },
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Breach {}
