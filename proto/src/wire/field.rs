//! The types of fields: one role, one type, over fixed numbers of bytes. SPEC 3
//!
//! Sixteen bytes travel as one big-endian `u128`, which is the same on the wire and quicker than sixteen steps.

use std::fmt;

use super::identifier::{halves, joined};
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeTuple, Serializer};
use sha2::{Digest as _, Sha256};

/// How the bytes of a field are to be read. SPEC 3
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Bytes that mean nothing by themselves.
    Opaque,
    /// A whole number, big-endian.
    Number,
    /// An [`OfferId`](super::OfferId).
    OfferId,
    /// A [`PeerId`](super::PeerId).
    Identifier,
    /// An [`Address`](super::Address).
    Address,
    /// Zeros.
    Zero,
    /// The rest of the datagram.
    Blob,
}

/// What a body needs to know of a field's type.
pub(super) trait Field {
    /// Bytes on the wire.
    const SIZE: usize;
    /// What they are.
    const FORM: Form;

    /// Tells whether the value is one that the type allows.
    fn is_valid(&self) -> bool {
        true
    }
}

impl Field for u8 {
    const SIZE: usize = 1;
    const FORM: Form = Form::Number;
}
impl Field for u16 {
    const SIZE: usize = 2;
    const FORM: Form = Form::Number;
}
impl Field for u32 {
    const SIZE: usize = 4;
    const FORM: Form = Form::Number;
}

pub(super) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Sixteen bytes under a name of their own.
macro_rules! sixteen {
    ($(#[$doc:meta])* $name:ident, valid: $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; 16]);

        impl Field for $name {
            const SIZE: usize = 16;
            const FORM: Form = Form::Opaque;

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
    /// Told to the two peers of an offer; goes into the key of their probes. SPEC 8
    Token, valid: |_| true
}
sixteen! {
    /// Shows that a probe is of the other peer of the call. SPEC 8
    Tag, valid: |_| true
}

impl Session {
    /// Stands where a client has no session.
    pub const NONE: Self = Self([0; 16]);
}

impl Tag {
    /// Stands in what a tag is made of.
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

/// 64 bytes that prove possession of a keyed identifier; zero for a plain one. SPEC 5
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// Stands where none is needed.
    pub const NONE: Self = Self([0; 64]);
}

impl Field for Signature {
    const SIZE: usize = 64;
    const FORM: Form = Form::Opaque;
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
            const FORM: Form = Form::Opaque;

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

/// One byte that is 0 or 1. SPEC 4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag(u8);

impl Flag {
    /// Says no.
    pub const NO: Self = Self(0);
    /// Says yes.
    pub const YES: Self = Self(1);

    /// Tells whether it says yes.
    #[must_use]
    pub const fn is_set(self) -> bool {
        self.0 == 1
    }
}

impl Field for Flag {
    const SIZE: usize = 1;
    const FORM: Form = Form::Number;

    fn is_valid(&self) -> bool {
        self.0 <= 1
    }
}

impl Serialize for Flag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(Self)
    }
}

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
    const FORM: Form = Form::Number;

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
    const FORM: Form = Form::Zero;

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
