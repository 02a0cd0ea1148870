//! Bytes to frames and back. Knows the layout of every frame; knows nothing of peers, sessions or time.
//!
//! [`decode`] is total: any bytes give a [`Frame`] or a named [`DecodeError`], without a panic and without
//! allocating. What decodes re-encodes to the same bytes. SPEC 2 to 4.

mod address;
mod body;
mod error;
mod field;
mod fragment;
mod frame;
mod identifier;
mod kind;

pub use address::{Address, AddressError};
pub use body::{
    Ack, Challenge, FieldLayout, FragmentHead, Keepalive, Ping, Pong, Probe, ProbeReply, Punch, PunchNow,
    Refusal, Register, Registered, RelayedHead, Unregister,
};
pub use error::{DecodeError, ErrorCode};
pub use field::{
    Arrived, BlobKindByte, Cookie, Digest, Flag, Form, Session, Signature, Tag, Ticket, Token, TransactionId,
    Zeros,
};
pub use fragment::{Fragment, Relayed, fragment_count, fragment_range};
pub use frame::{Frame, decode, layout};
pub use identifier::{BENCHMARK_ID, OfferId, PeerId, PeerIdError};
pub use kind::{BlobKind, Direction, Kind};

/// The first two bytes of every datagram: "RT". SPEC 2
pub const MAGIC: [u8; 2] = *b"RT";
/// The version that this crate speaks. SPEC 2
pub const VERSION: u8 = 1;
/// Bytes of magic, version and kind. SPEC 2
pub const HEADER: usize = 4;
/// The longest datagram: 1280 (IPv6 minimum MTU) - 48 (IPv6, UDP) - 38 (proxy header), rounded down. SPEC 2
pub const DATAGRAM_MAX: usize = 1180;
/// Blob bytes in every fragment but the last. SPEC 7
pub const FRAGMENT: usize = 1024;
/// Fragments of a blob, at most: one bit each in a 64-bit bitmap. SPEC 7
pub const FRAGMENTS_MAX: usize = 64;
/// Bytes of a blob, at most. SPEC 7
pub const BLOB_MAX: usize = FRAGMENT * FRAGMENTS_MAX;

/// `detail` of IDENTIFIER_REFUSED to [`BENCHMARK_ID`]: this server has agreed to be loaded. SPEC 9
pub const BENCHMARKS_AGREED: u8 = 3;

/// Tells whether a datagram on a shared socket is one of this protocol's, by its first two bytes.
///
/// The first byte lies in the range that RFC 7983 leaves to nobody, so STUN, DTLS, TURN channels and RTP never match.
#[must_use]
pub fn is_ours(datagram: &[u8]) -> bool {
    datagram.starts_with(&MAGIC)
}
