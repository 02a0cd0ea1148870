//! What became of a datagram, and how often each thing happened.

use crate::wire::{DecodeError, ErrorCode, HEADER, Kind, OfferId, PeerId};

/// What became of one datagram. Every datagram has exactly one outcome, and every outcome is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sender got the answer to a request.
    Answered(Kind),
    /// The sender must first prove its address.
    Challenged,
    /// It, or what it asked for, was passed on.
    Relayed(Kind),
    /// The sender was told why not.
    Refused(ErrorCode),
    /// The sender of a STUN request got its address, or an error. SPEC 17
    Stun,
    /// Nothing was sent.
    Dropped(DropReason),
}

/// Why a datagram was dropped without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DropReason {
    /// It is none of this protocol's: no header, or another magic.
    NotOurs = 0,
    /// Another version, and too short or not fit to be told so.
    Version = 1,
    /// An unassigned kind, without a live session.
    UnknownKind = 2,
    /// It does not decode, and has no live session.
    Malformed = 3,
    /// A kind that only servers send or that passes between peers.
    NotForServer = 4,
    /// The outbox is full: the driver did not drain it.
    OutboxFull = 5,
    /// Its source address can be nobody's, or nobody's who is out there: see SPEC 12.
    BadSource = 6,
    /// The source, or its prefix, has had all the answers that strangers get.
    StrangerLimited = 7,
    /// The loop is saturated, and this comes last.
    Overload = 8,
    /// A STUN message that gets no answer: no Binding request, malformed, or shorter than its answer where that counts.
    Stun = 9,
}

impl DropReason {
    /// Every reason, in the order of its number.
    pub const ALL: &'static [Self] = &[
        Self::NotOurs,
        Self::Version,
        Self::UnknownKind,
        Self::Malformed,
        Self::NotForServer,
        Self::OutboxFull,
        Self::BadSource,
        Self::StrangerLimited,
        Self::Overload,
        Self::Stun,
    ];

    /// Returns the name that logs and statistics use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotOurs => "not_ours",
            Self::Version => "version",
            Self::UnknownKind => "unknown_kind",
            Self::Malformed => "malformed",
            Self::NotForServer => "not_for_server",
            Self::OutboxFull => "outbox_full",
            Self::BadSource => "bad_source",
            Self::StrangerLimited => "stranger_limited",
            Self::Overload => "overload",
            Self::Stun => "stun",
        }
    }
}

impl From<DecodeError> for DropReason {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::BadMagic { .. } => Self::NotOurs,
            DecodeError::Truncated { had, .. } if had < HEADER => Self::NotOurs,
            DecodeError::BadVersion { .. } => Self::Version,
            DecodeError::UnknownKind { .. } => Self::UnknownKind,
            DecodeError::Truncated { .. }
            | DecodeError::Oversized { .. }
            | DecodeError::Trailing { .. }
            | DecodeError::BadField { .. } => Self::Malformed,
        }
    }
}

/// Codes are numbered from 1.
const CODES: usize = 1 + ErrorCode::ALL.len();

/// What has happened since the start. All counts only ever grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that came in.
    pub datagrams_in: u64,
    /// UDP payload bytes that came in.
    pub bytes_in: u64,
    /// Datagrams that were sent.
    pub datagrams_out: u64,
    /// UDP payload bytes that were sent.
    pub bytes_out: u64,
    /// Datagrams with the outcome [`Outcome::Answered`].
    pub answered: u64,
    /// Datagrams with the outcome [`Outcome::Challenged`].
    pub challenged: u64,
    /// Datagrams with the outcome [`Outcome::Relayed`].
    pub relayed: u64,
    /// Datagrams with the outcome [`Outcome::Stun`].
    pub stun: u64,
    /// Peers that were registered anew.
    pub registrations: u64,
    /// Peers that moved to another address.
    pub moves: u64,
    /// Signatures of keyed identifiers that were checked.
    pub signatures_checked: u64,
    /// Peers that were forgotten for their silence.
    pub forgotten: u64,
    /// Offers that were opened.
    pub offers_opened: u64,
    /// Offers that were answered.
    pub offers_answered: u64,
    /// Offers that nobody answered in time.
    pub offers_timed_out: u64,
    /// Offers that were closed because their caller's session ended.
    pub offers_closed: u64,
    /// TIMEOUT notices that were not sent, because the caller had moved.
    pub notices_withheld: u64,
    refused: [u64; CODES],
    dropped: [u64; DropReason::ALL.len()],
    /// Received frames by kind; index is the place in [`Kind::ALL`].
    kinds_in: [u64; Kind::ALL.len()],
    kinds_out: [u64; Kind::ALL.len()],
}

impl Counters {
    /// Counts the datagrams that were refused with `code`.
    #[must_use]
    pub const fn refused(&self, code: ErrorCode) -> u64 {
        self.refused[code as usize]
    }

    /// Counts the datagrams that were dropped for `reason`.
    #[must_use]
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Counts the valid frames of `kind` that came in.
    #[must_use]
    pub const fn received(&self, kind: Kind) -> u64 {
        self.kinds_in[place(kind)]
    }

    /// Counts the frames of `kind` that were sent.
    #[must_use]
    pub const fn sent(&self, kind: Kind) -> u64 {
        self.kinds_out[place(kind)]
    }

    /// Adds all outcomes up: always equal to `datagrams_in`.
    #[must_use]
    pub fn outcomes(&self) -> u64 {
        let told = self.answered + self.challenged + self.relayed + self.stun;
        told + self.refused.iter().sum::<u64>() + self.dropped.iter().sum::<u64>()
    }

    pub(super) fn count_kind_in(&mut self, kind: Kind) {
        self.kinds_in[place(kind)] += 1;
    }

    pub(super) fn count_out(&mut self, kind: Kind, bytes: usize) {
        self.datagrams_out += 1;
        self.bytes_out += bytes as u64;
        self.kinds_out[place(kind)] += 1;
    }

    pub(super) const fn count_stun_out(&mut self, bytes: usize) {
        self.datagrams_out += 1;
        self.bytes_out += bytes as u64;
    }

    pub(super) fn count_in(&mut self, bytes: usize, outcome: Outcome) {
        self.datagrams_in += 1;
        self.bytes_in += bytes as u64;
        match outcome {
            Outcome::Answered(_) => self.answered += 1,
            Outcome::Challenged => self.challenged += 1,
            Outcome::Relayed(_) => self.relayed += 1,
            Outcome::Stun => self.stun += 1,
            Outcome::Refused(code) => self.refused[code as usize] += 1,
            Outcome::Dropped(reason) => self.dropped[reason as usize] += 1,
        }
    }
}

/// Each kind's place in [`Kind::ALL`], by its number: it is counted twice for every datagram.
const PLACES: [u8; 256] = {
    let mut places = [u8::MAX; 256];
    let mut place = 0;
    while place < Kind::ALL.len() {
        places[Kind::ALL[place].number() as usize] = place as u8;
        place += 1;
    }
    places
};

/// Finds a kind's place in [`Kind::ALL`].
const fn place(kind: Kind) -> usize {
    PLACES[kind.number() as usize] as usize
}

/// A change of state, for logs and test rigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A peer is registered anew.
    Registered {
        /// Who.
        peer: PeerId,
        /// The observed address.
        observed: std::net::SocketAddr,
    },
    /// A peer proved another address.
    Moved {
        /// Who.
        peer: PeerId,
        /// The observed address.
        observed: std::net::SocketAddr,
    },
    /// A peer said goodbye.
    Unregistered {
        /// Who.
        peer: PeerId,
    },
    /// A peer was silent for too long.
    Forgotten {
        /// Who.
        peer: PeerId,
    },
    /// The first fragment of an offer was relayed.
    OfferOpened {
        /// The call.
        offer: OfferId,
        /// Who offers.
        caller: PeerId,
        /// To whom.
        callee: PeerId,
    },
    /// The first fragment of its answer was relayed.
    OfferAnswered {
        /// The call.
        offer: OfferId,
    },
    /// Nobody answered in time.
    OfferTimedOut {
        /// The call.
        offer: OfferId,
    },
    /// The loop has been saturated for a second; strangers are limited. Told whatever the configuration says.
    Flooded {
        /// Datagrams that came in a second.
        per_second: u64,
        /// Prefixes (IPv4 addresses, IPv6 /64) that strangers came from, estimated; the estimate ends at 34,000.
        prefixes: u32,
    },
    /// That is over for some time. Told whatever the configuration says.
    Relieved {
        /// How long it lasted.
        lasted: std::time::Duration,
        /// Datagrams that were dropped for it.
        shed: u64,
    },
}
