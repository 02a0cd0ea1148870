//! Who a peer is and what a call is called: identifiers, offer ids, and their text. SPEC 3

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::field::{Field, Form, TransactionId, write_hex};

/// A call's name: a UUID that the caller chose at random. Never zero. SPEC 3
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OfferId([u8; 16]);

impl OfferId {
    /// Makes a version 4 UUID (RFC 9562) of 16 random bytes.
    #[must_use]
    pub const fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0F | 0x40;
        bytes[8] = bytes[8] & 0x3F | 0x80;
        Self(bytes)
    }

    /// Takes the 16 bytes of a UUID, unless they are all zero.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Returns the 16 bytes in network order.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns it as the reference that a CHALLENGE or an ERROR about the call carries. SPEC 4
    #[must_use]
    pub const fn reference(&self) -> TransactionId {
        TransactionId(self.0)
    }
}

impl Field for OfferId {
    const SIZE: usize = 16;
    const FORM: Form = Form::OfferId;

    fn is_valid(&self) -> bool {
        self.0 != [0; 16]
    }
}

impl Serialize for OfferId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u128(u128::from_be_bytes(self.0))
    }
}

impl<'de> Deserialize<'de> for OfferId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u128::deserialize(deserializer).map(|wide| Self(wide.to_be_bytes()))
    }
}

impl fmt::Display for OfferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uuid(f, &self.0)
    }
}

impl fmt::Debug for OfferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OfferId({self})")
    }
}

fn write_uuid(f: &mut fmt::Formatter<'_>, bytes: &[u8; 16]) -> fmt::Result {
    for (at, group) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
        if at > 0 {
            f.write_str("-")?;
        }
        write_hex(f, &bytes[group])?;
    }
    Ok(())
}

/// Who a peer is: a UUID (plain) or an Ed25519 public key (keyed). SPEC 3
///
/// Its text is the UUID, or 64 hexadecimal digits. The order is that of the bytes; glare is decided by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId([u8; 32]);

/// The plain identifier that nobody may hold. A server that has agreed to benchmarks says so when it refuses it. SPEC 9
pub const BENCHMARK_ID: PeerId = PeerId(*b"Roundtable bench\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");

impl PeerId {
    /// Makes the plain identifier of a UUID, unless that is nil.
    #[must_use]
    pub fn plain(uuid: [u8; 16]) -> Option<Self> {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&uuid);
        Self::from_bytes(bytes)
    }

    /// Takes 32 bytes, unless they are all zero.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        (bytes != [0; 32]).then_some(Self(bytes))
    }

    /// Returns the 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Tells whether this is a plain identifier: a UUID and 16 zero bytes.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0[16..] == [0; 16]
    }
}

impl Field for PeerId {
    const SIZE: usize = 32;
    const FORM: Form = Form::Identifier;

    fn is_valid(&self) -> bool {
        self.0 != [0; 32]
    }
}

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        halves(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <(u128, u128)>::deserialize(deserializer).map(|wide| Self(joined(wide)))
    }
}

pub(super) fn halves(bytes: &[u8; 32]) -> (u128, u128) {
    let mut half = [[0; 16]; 2];
    half[0].copy_from_slice(&bytes[..16]);
    half[1].copy_from_slice(&bytes[16..]);
    (u128::from_be_bytes(half[0]), u128::from_be_bytes(half[1]))
}

pub(super) fn joined((first, second): (u128, u128)) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&first.to_be_bytes());
    bytes[16..].copy_from_slice(&second.to_be_bytes());
    bytes
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&self.0[..16]);
        if self.is_plain() { write_uuid(f, &uuid) } else { write_hex(f, &self.0) }
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

/// The text is no peer identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerIdError {
    /// Neither a UUID (32 digits, dashes as usual or none) nor 64 hexadecimal digits.
    Form,
    /// All zero, which identifies nobody.
    Zero,
}

impl fmt::Display for PeerIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "an identifier is a UUID (8-4-4-4-12 hexadecimal digits) or 64 hexadecimal digits",
            Self::Zero => "an identifier must not be all zero",
        })
    }
}

impl std::error::Error for PeerIdError {}

impl FromStr for PeerId {
    type Err = PeerIdError;

    fn from_str(text: &str) -> Result<Self, PeerIdError> {
        if let Some(bytes) = parse_hex::<32>(text.as_bytes()) {
            return Self::from_bytes(bytes).ok_or(PeerIdError::Zero);
        }
        Self::plain(parse_uuid(text).ok_or(PeerIdError::Form)?).ok_or(PeerIdError::Zero)
    }
}

impl FromStr for OfferId {
    type Err = PeerIdError;

    fn from_str(text: &str) -> Result<Self, PeerIdError> {
        Self::from_bytes(parse_uuid(text).ok_or(PeerIdError::Form)?).ok_or(PeerIdError::Zero)
    }
}

/// Reads a UUID with dashes in their places, or without any.
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() == 32 {
        return parse_hex(text);
    }
    if text.len() != 36 || [8, 13, 18, 23].iter().any(|&at| text[at] != b'-') {
        return None;
    }
    let mut digits = [0; 32];
    let mut kept = text.iter().enumerate().filter(|(at, _)| ![8, 13, 18, 23].contains(at));
    for digit in &mut digits {
        *digit = *kept.next()?.1;
    }
    parse_hex(&digits)
}

fn hex_digit(digit: u8) -> Option<u8> {
    // A hexadecimal digit is below 16.
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Reads exactly `N` bytes of hexadecimal digits.
fn parse_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
    }
    Some(bytes)
}
