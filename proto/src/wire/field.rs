//! The types of fields: one role, one type, over fixed numbers of bytes. SPEC 3
//!
//! Sixteen bytes travel as one big-endian `u128`, which is the same on the wire and quicker than sixteen steps.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeTuple, Serializer};
use sha2::{Digest as _, Sha256};

/// What a body needs to know of a field's type.
pub(super) trait Field {
    /// Bytes on the wire.
    const SIZE: usize;

    /// Tells whether the value is one that the type allows.
    fn is_valid(&self) -> bool {
        true
    }
}

impl Field for u8 {
    const SIZE: usize = 1;
}
impl Field for u16 {
    const SIZE: usize = 2;
}
impl Field for u32 {
    const SIZE: usize = 4;
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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

/// Sixteen bytes under a name of their own.
macro_rules! sixteen {
    ($(#[$doc:meta])* $name:ident, valid: $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; 16]);

        impl Field for $name {
            const SIZE: usize = 16;

            fn is_valid(&self) -> bool {
                let valid: fn(&[u8; 16]) -> bool = $valid;
                valid(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u128(u128::from_be_bytes(self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                u128::deserialize(deserializer).map(|wide| Self(wide.to_be_bytes()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

sixteen! {
    /// A live registration, as the server named it: opaque to the client. SPEC 3
    Session, valid: |_| true
}
sixteen! {
    /// One request of a client, chosen at random; the answer repeats it. SPEC 3
    TransactionId, valid: |_| true
}
sixteen! {
    /// Proof that its sender can receive at an address: opaque to the client. SPEC 3
    Cookie, valid: |_| true
}
sixteen! {
    /// Proof that the server knew an identifier at an address until a certain time: opaque to the client. SPEC 5
    Ticket, valid: |_| true
}
sixteen! {
    /// Shared by the two peers of an offer; authenticates their probes. SPEC 8
    Token, valid: |_| true
}

impl Session {
    /// Stands where a client has no session.
    pub const NONE: Self = Self([0; 16]);
}

impl Ticket {
    /// Stands where a client has no ticket.
    pub const NONE: Self = Self([0; 16]);
}

impl Cookie {
    /// Stands where a client has no cookie.
    pub const NONE: Self = Self([0; 16]);
}

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

fn halves(bytes: &[u8; 32]) -> (u128, u128) {
    let mut half = [[0; 16]; 2];
    half[0].copy_from_slice(&bytes[..16]);
    half[1].copy_from_slice(&bytes[16..]);
    (u128::from_be_bytes(half[0]), u128::from_be_bytes(half[1]))
}

fn joined((first, second): (u128, u128)) -> [u8; 32] {
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

/// 64 bytes that prove possession of a keyed identifier; zero for a plain one. SPEC 5
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// Stands where none is needed.
    pub const NONE: Self = Self([0; 64]);
}

impl Field for Signature {
    const SIZE: usize = 64;
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (mut r, mut s) = ([0; 32], [0; 32]);
        r.copy_from_slice(&self.0[..32]);
        s.copy_from_slice(&self.0[32..]);
        (halves(&r), halves(&s)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (r, s) = Deserialize::deserialize(deserializer)?;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&joined(r));
        bytes[32..].copy_from_slice(&joined(s));
        Ok(Self(bytes))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

/// The first 8 bytes of the SHA-256 of a whole blob. SPEC 3
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(u64);

impl Digest {
    /// Computes the digest of a blob.
    #[must_use]
    pub fn of(blob: &[u8]) -> Self {
        let full = Sha256::digest(blob);
        let mut first = [0; 8];
        first.copy_from_slice(&full[..8]);
        Self(u64::from_be_bytes(first))
    }

    /// Takes the 8 bytes of a digest.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Which fragments of a blob, or which candidates, have arrived: bit *i* for number *i*. SPEC 3
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Arrived(pub u64);

impl Arrived {
    /// Returns the bitmap of `count` fragments, all arrived; `count` is 1 to 64.
    #[must_use]
    pub const fn all(count: usize) -> Self {
        if count >= 64 { Self(u64::MAX) } else { Self((1 << count) - 1) }
    }

    /// Tells whether number `index`, below 64, has arrived.
    #[must_use]
    pub const fn contains(self, index: u8) -> bool {
        index < 64 && self.0 >> index & 1 == 1
    }

    /// Marks number `index`, below 64, as arrived.
    pub const fn insert(&mut self, index: u8) {
        if index < 64 {
            self.0 |= 1 << index;
        }
    }

    /// Counts what has arrived.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }
}

impl fmt::Display for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arrived({self})")
    }
}

macro_rules! eight {
    ($name:ident, valid: $valid:expr) => {
        impl Field for $name {
            const SIZE: usize = 8;

            fn is_valid(&self) -> bool {
                let valid: fn(u64) -> bool = $valid;
                valid(self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u64(self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                u64::deserialize(deserializer).map(Self)
            }
        }
    };
}

eight!(Digest, valid: |_| true);
eight!(Arrived, valid: |bits| bits != 0);

/// The kind byte of an acknowledgement: OFFER, ANSWER or CANDIDATE. SPEC 4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobKindByte(u8);

impl BlobKindByte {
    /// Takes the kind.
    #[must_use]
    pub const fn new(kind: super::BlobKind) -> Self {
        Self(kind.sent().number())
    }

    /// Returns the kind; `None` only before the body was checked.
    #[must_use]
    pub const fn kind(self) -> Option<super::BlobKind> {
        super::BlobKind::from_sent(self.0)
    }
}

impl Field for BlobKindByte {
    const SIZE: usize = 1;

    fn is_valid(&self) -> bool {
        self.kind().is_some()
    }
}

impl Serialize for BlobKindByte {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }
}

impl<'de> Deserialize<'de> for BlobKindByte {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(Self)
    }
}

/// An IP address and a port, or none, in the fixed form of 19 bytes. SPEC 3
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    family: u8,
    ip: u128,
    port: u16,
}

/// The text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressError;

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address is IP:PORT, [IP]:PORT or none")
    }
}

impl std::error::Error for AddressError {}

impl Address {
    /// Stands where an address is not known.
    pub const NONE: Self = Self { family: 0, ip: 0, port: 0 };

    /// Returns the socket address, if there is one.
    #[must_use]
    pub fn socket_addr(self) -> Option<SocketAddr> {
        let ip = match self.family {
            4 => IpAddr::V4(Ipv4Addr::from_bits((self.ip >> 96) as u32)),
            6 => IpAddr::V6(Ipv6Addr::from_bits(self.ip)),
            _ => return None,
        };
        Some(SocketAddr::new(ip, self.port))
    }

    /// Returns the 19 bytes that stand on the wire. SPEC 3
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 19] {
        let (mut bytes, ip, port) = ([0; 19], self.ip.to_be_bytes(), self.port.to_be_bytes());
        bytes[0] = self.family;
        let (_, rest) = bytes.split_at_mut(1);
        let (wide, last) = rest.split_at_mut(16);
        wide.copy_from_slice(&ip);
        last.copy_from_slice(&port);
        bytes
    }
}

impl From<SocketAddr> for Address {
    /// An IPv4-mapped IPv6 address becomes IPv4; flow label and scope are left out.
    fn from(address: SocketAddr) -> Self {
        let port = address.port();
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => Self { family: 4, ip: u128::from(ip.to_bits()) << 96, port },
            IpAddr::V6(ip) => Self { family: 6, ip: ip.to_bits(), port },
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text == "none" {
            return Ok(Self::NONE);
        }
        text.parse::<SocketAddr>().map(Self::from).map_err(|_| AddressError)
    }
}

impl Field for Address {
    const SIZE: usize = 19;

    fn is_valid(&self) -> bool {
        match self.family {
            0 => self.ip == 0 && self.port == 0,
            4 => self.ip.trailing_zeros() >= 96,
            6 => Ipv6Addr::from_bits(self.ip).to_ipv4_mapped().is_none(),
            _ => false,
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.family, self.ip, self.port).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (family, ip, port) = Deserialize::deserialize(deserializer)?;
        Ok(Self { family, ip, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket_addr() {
            Some(address) => address.fmt(f),
            None => f.write_str("none"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// `N` bytes that must be zero: room that pays for an answer. SPEC 11
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Zeros<const N: usize> {
    dirty: bool,
}

impl<const N: usize> Zeros<N> {
    /// The only allowed value.
    pub const ZERO: Self = Self { dirty: false };
}

impl<const N: usize> fmt::Debug for Zeros<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x 0", N)
    }
}

impl<const N: usize> Field for Zeros<N> {
    const SIZE: usize = N;

    fn is_valid(&self) -> bool {
        !self.dirty
    }
}

impl<const N: usize> Serialize for Zeros<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(N / 16 + N % 16)?;
        for _ in 0..N / 16 {
            tuple.serialize_element(&0u128)?;
        }
        for _ in 0..N % 16 {
            tuple.serialize_element(&0u8)?;
        }
        tuple.end()
    }
}

impl<'de, const N: usize> Deserialize<'de> for Zeros<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Zero<const N: usize>;

        impl<'de, const N: usize> Visitor<'de> for Zero<N> {
            type Value = Zeros<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{N} bytes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<Zeros<N>, A::Error> {
                let mut any = 0;
                for _ in 0..N / 16 {
                    any |= bytes.next_element::<u128>()?.unwrap_or_default();
                }
                for _ in 0..N % 16 {
                    any |= u128::from(bytes.next_element::<u8>()?.unwrap_or_default());
                }
                Ok(Zeros { dirty: any != 0 })
            }
        }

        deserializer.deserialize_tuple(N / 16 + N % 16, Zero)
    }
}
