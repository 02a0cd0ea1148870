//! The kinds of frames and their numbers. Numbers are written down here and never reused.

use super::HEADER;
use super::body::{
    Ack, Body, Challenge, FragmentHead, Keepalive, Ping, Pong, Probe, ProbeReply, Punch, PunchNow, Refusal,
    Register, Registered, RelayedHead, Unregister,
};

/// Which way a kind of frame travels. SPEC 2
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a client to the server.
    In,
    /// From the server to a client.
    Out,
    /// Directly between peers.
    Peer,
}

macro_rules! kinds {
    ($( $variant:ident = $number:literal, $name:literal, $body:ty, $blob:literal; )*) => {
        /// What a datagram says, by its fourth byte. SPEC 2
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Kind {
            $( #[doc = concat!($name, ", ", stringify!($number), ".")] $variant = $number, )*
        }

        impl Kind {
            /// Every kind, in the order of its number.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// Returns the kind of that number, if it is assigned.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
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

            /// Returns the bytes of header and body; a blob comes on top where [`Kind::has_blob`] says so.
            #[must_use]
            pub const fn size(self) -> usize {
                match self { $( Self::$variant => HEADER + <$body as Body>::SIZE, )* }
            }

            /// Tells whether blob bytes follow the body.
            #[must_use]
            pub const fn has_blob(self) -> bool {
                match self { $( Self::$variant => $blob, )* }
            }
        }
    };
}

kinds! {
    Ping = 0x01, "PING", Ping, false;
    Register = 0x02, "REGISTER", Register, false;
    Keepalive = 0x04, "KEEPALIVE", Keepalive, false;
    Unregister = 0x05, "UNREGISTER", Unregister, false;
    Offer = 0x06, "OFFER", FragmentHead, true;
    Answer = 0x07, "ANSWER", FragmentHead, true;
    Candidate = 0x08, "CANDIDATE", FragmentHead, true;
    Ack = 0x09, "ACK", Ack, false;
    Punch = 0x0A, "PUNCH", Punch, false;
    Probe = 0x40, "PROBE", Probe, false;
    ProbeReply = 0x41, "PROBE_REPLY", ProbeReply, false;
    Pong = 0x81, "PONG", Pong, false;
    Registered = 0x82, "REGISTERED", Registered, false;
    Challenge = 0x83, "CHALLENGE", Challenge, false;
    KeepaliveReply = 0x84, "KEEPALIVE_REPLY", Keepalive, false;
    Unregistered = 0x85, "UNREGISTERED", Unregister, false;
    RelayedOffer = 0x86, "RELAYED_OFFER", RelayedHead, true;
    RelayedAnswer = 0x87, "RELAYED_ANSWER", RelayedHead, true;
    RelayedCandidate = 0x88, "RELAYED_CANDIDATE", RelayedHead, true;
    RelayedAck = 0x89, "RELAYED_ACK", Ack, false;
    PunchNow = 0x8A, "PUNCH_NOW", PunchNow, false;
    Error = 0x8F, "ERROR", Refusal, false;
}

impl Kind {
    /// Returns the number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the way it travels: bit 7 is set from the server, bit 6 between peers.
    #[must_use]
    pub const fn direction(self) -> Direction {
        match self.number() >> 6 {
            0 => Direction::In,
            1 => Direction::Peer,
            _ => Direction::Out,
        }
    }
}

impl Kind {
    /// Tells whether the server takes it from the holder of a live session alone; all other kinds that it takes may come
    /// from anybody. SPEC 6
    #[must_use]
    pub const fn has_session(self) -> bool {
        match self {
            Self::Keepalive
            | Self::Unregister
            | Self::Offer
            | Self::Answer
            | Self::Candidate
            | Self::Ack
            | Self::Punch => true,
            Self::Ping
            | Self::Register
            | Self::Probe
            | Self::ProbeReply
            | Self::Pong
            | Self::Registered
            | Self::Challenge
            | Self::KeepaliveReply
            | Self::Unregistered
            | Self::RelayedOffer
            | Self::RelayedAnswer
            | Self::RelayedCandidate
            | Self::RelayedAck
            | Self::PunchNow
            | Self::Error => false,
        }
    }
}

/// The three kinds of blobs that pass between peers and are acknowledged end to end. SPEC 7
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlobKind {
    /// The caller's description.
    Offer,
    /// The callee's description.
    Answer,
    /// A trickled candidate, one fragment each.
    Candidate,
}

impl BlobKind {
    /// Returns the kind in which a client sends it.
    #[must_use]
    pub const fn sent(self) -> Kind {
        match self {
            Self::Offer => Kind::Offer,
            Self::Answer => Kind::Answer,
            Self::Candidate => Kind::Candidate,
        }
    }

    /// Returns the kind in which the server relays it.
    #[must_use]
    pub const fn relayed(self) -> Kind {
        match self {
            Self::Offer => Kind::RelayedOffer,
            Self::Answer => Kind::RelayedAnswer,
            Self::Candidate => Kind::RelayedCandidate,
        }
    }

    /// Returns the blob kind that a client sends under `number`.
    #[must_use]
    pub const fn from_sent(number: u8) -> Option<Self> {
        match number {
            0x06 => Some(Self::Offer),
            0x07 => Some(Self::Answer),
            0x08 => Some(Self::Candidate),
            _ => None,
        }
    }
}
