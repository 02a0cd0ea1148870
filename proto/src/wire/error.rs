//! Why a datagram is no frame, and why the server refuses a frame.

use std::fmt;

/// Why bytes are not a frame. SPEC 2 names each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The datagram ends before the field does.
    Truncated {
        /// The first field that is not whole.
        field: &'static str,
        /// Bytes that the datagram must have up to the end of that field.
        need: usize,
        /// Bytes that it has.
        had: usize,
    },
    /// The first two bytes are not "RT".
    BadMagic {
        /// What stands there.
        found: [u8; 2],
    },
    /// Another version of the protocol.
    BadVersion {
        /// What stands there.
        found: u8,
    },
    /// The kind is not assigned.
    UnknownKind {
        /// What stands there.
        found: u8,
    },
    /// The datagram is longer than [`DATAGRAM_MAX`](super::DATAGRAM_MAX).
    Oversized {
        /// Bytes that it has.
        had: usize,
    },
    /// Bytes follow the end of the frame.
    Trailing {
        /// Bytes that the frame has.
        need: usize,
        /// Bytes that the datagram has.
        had: usize,
    },
    /// A field has a value that its type forbids.
    BadField {
        /// The field's name in SPEC.md.
        field: &'static str,
    },
}

impl DecodeError {
    /// Returns the name that SPEC.md and the vectors use.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "truncated",
            Self::BadMagic { .. } => "bad_magic",
            Self::BadVersion { .. } => "bad_version",
            Self::UnknownKind { .. } => "unknown_kind",
            Self::Oversized { .. } => "oversized",
            Self::Trailing { .. } => "trailing",
            Self::BadField { .. } => "bad_field",
        }
    }

    /// Returns the field that the error concerns, if it concerns one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Truncated { field, .. } | Self::BadField { field } => Some(field),
            Self::BadMagic { .. }
            | Self::BadVersion { .. }
            | Self::UnknownKind { .. }
            | Self::Oversized { .. }
            | Self::Trailing { .. } => None,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { field, need, had } => {
                write!(f, "truncated in field {field}: {need} bytes needed, {had} there")
            }
            Self::BadMagic { found: [a, b] } => write!(f, "magic is {a:02x} {b:02x}, not 52 54"),
            Self::BadVersion { found } => write!(f, "version {found}, not {}", super::VERSION),
            Self::UnknownKind { found } => write!(f, "kind 0x{found:02x} is not assigned"),
            Self::Oversized { had } => write!(f, "{had} bytes, at most {} are allowed", super::DATAGRAM_MAX),
            Self::Trailing { need, had } => write!(f, "{had} bytes, but the frame has {need}"),
            Self::BadField { field } => write!(f, "field {field} has a value that is not allowed"),
        }
    }
}

impl std::error::Error for DecodeError {}

macro_rules! codes {
    ($( $(#[$doc:meta])* $variant:ident = $number:literal, $name:literal; )*) => {
        /// Why the server refuses a frame, or a notice of it. SPEC 9
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum ErrorCode {
            $( $(#[$doc])* $variant = $number, )*
        }

        impl ErrorCode {
            /// Every code, in the order of its number.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// Returns the code of that number, if it is assigned.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $( $number => Some(Self::$variant), )*
                    _ => None,
                }
            }

            /// Returns the name that SPEC.md uses.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }
    };
}

codes! {
    /// The frame is not valid, though the session is.
    Malformed = 1, "MALFORMED";
    /// The kind is not assigned, though the session is live.
    UnknownKind = 2, "UNKNOWN_KIND";
    /// The datagram has another version.
    Version = 3, "VERSION";
    /// The plain identifier is held from another address.
    IdentifierTaken = 4, "IDENTIFIER_TAKEN";
    /// This server does not take the identifier.
    IdentifierRefused = 5, "IDENTIFIER_REFUSED";
    /// The signature does not verify.
    BadSignature = 6, "BAD_SIGNATURE";
    /// A configured limit of the server is reached.
    ServerFull = 7, "SERVER_FULL";
    /// The other peer is not registered.
    PeerUnknown = 8, "PEER_UNKNOWN";
    /// The offer is not open.
    OfferUnknown = 9, "OFFER_UNKNOWN";
    /// The offer id is open between other peers.
    OfferConflict = 10, "OFFER_CONFLICT";
    /// Sender or target do not fit the offer.
    NotPermitted = 11, "NOT_PERMITTED";
    /// The caller has too many open offers.
    TooManyOffers = 12, "TOO_MANY_OFFERS";
    /// The blob is longer than the server relays.
    BlobTooLarge = 13, "BLOB_TOO_LARGE";
    /// Nobody answered in time.
    Timeout = 14, "TIMEOUT";
    /// The sender exceeds a rate limit.
    RateLimited = 15, "RATE_LIMITED";
    /// Caller and target are the same.
    OfferToSelf = 16, "OFFER_TO_SELF";
    /// The signed REGISTER was made for another server.
    WrongServer = 17, "WRONG_SERVER";
}

impl ErrorCode {
    /// Returns the number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
