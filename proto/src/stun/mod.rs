//! STUN Binding requests (RFC 8489; those of RFC 5389 and RFC 3489 too) and their smallest correct answers. SPEC 17
//!
//! Knows nothing of the protocol beside it, of sockets or of limits. A request is told apart by its first byte, 0 to 3
//! (RFC 7983): [`is_stun`]. Written here and not taken from a crate, since those at hand build a tree of attributes on
//! the heap for what is one pass over 20 to 48 bytes.

mod answer;
mod ask;
mod fingerprint;

pub use answer::Answer;
pub use ask::{Reply, Told, reply, request};

use std::fmt;
use std::net::SocketAddr;

/// The fixed value that marks STUN since RFC 5389. RFC 8489, 5
pub const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
/// Bytes in front of the attributes. RFC 8489, 5
pub const HEADER: usize = 20;
/// Attributes that a 420 answer names, at most.
pub const UNKNOWN_MAX: usize = 8;
/// Bytes of the longest answer: three IPv6 addresses and a fingerprint.
pub const ANSWER_MAX: usize = HEADER + 3 * 24 + FINGERPRINT_SIZE;

/// Type and length in front of an attribute's value. RFC 8489, 14
const ATTRIBUTE_HEADER: usize = 4;
/// Bytes of the attribute FINGERPRINT. RFC 8489, 14.7
const FINGERPRINT_SIZE: usize = 8;

const BINDING_REQUEST: u16 = 0x0001;
/// CHANGE-REQUEST: the answer is to come from another address, or from another port. RFC 5780, 7.2
const CHANGE_ADDRESS: u8 = 4;
const CHANGE_PORT: u8 = 2;
/// From here on an attribute may be ignored. RFC 8489, 14
const COMPREHENSION_OPTIONAL: u16 = 0x8000;
const CHANGE_REQUEST: u16 = 0x0003;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
const PADDING: u16 = 0x0026;
const FINGERPRINT: u16 = 0x8028;
/// Attributes that ask this server for nothing: MAPPED-ADDRESS, USERNAME, ERROR-CODE, UNKNOWN-ATTRIBUTES, REALM, NONCE,
/// PASSWORD-ALGORITHM, USERHASH, XOR-MAPPED-ADDRESS. RFC 8489, 18.3
const WITHOUT_EFFECT: [u16; 9] = [0x0001, 0x0006, 0x0009, 0x000A, 0x0014, 0x0015, 0x001D, 0x001E, 0x0020];

/// A Binding request that is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What stands between length and attributes: cookie and transaction, or the longer transaction of RFC 3489.
    transaction: [u8; 16],
    dialect: Dialect,
    /// Attributes that must be understood and are not.
    unknown: [u16; UNKNOWN_MAX],
    unknowns: usize,
    change: Change,
    has_fingerprint: bool,
}

/// From where else a request asks to be answered. RFC 5780, 7.2
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// From another address.
    pub address: bool,
    /// From another port.
    pub port: bool,
}

/// What an answer tells of a server with more than one address or port. RFC 5780, 7.3 and 7.4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Where the answer comes from.
    pub origin: Option<SocketAddr>,
    /// Where the server can be asked beside where it was.
    pub other: Option<Other>,
}

/// Where else a server can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// At another address and another port.
    Address(SocketAddr),
    /// It has one address: at another port. SPEC 17
    Port(u16),
}

/// Which of the two forms a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// With the magic cookie: RFC 5389 and 8489.
    Modern,
    /// Without: RFC 3489.
    Classic,
}

/// Why bytes are no request that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// No STUN at all: too short, another first byte, or without cookie and not in every byte a classic request.
    NotStun,
    /// STUN, but the length field is not that of the datagram, or no multiple of four.
    BadLength,
    /// An indication, a response, or a method other than Binding.
    NotBindingRequest {
        /// The message type.
        number: u16,
    },
    /// An attribute reaches beyond the end, or has a length that it cannot have.
    BadAttribute {
        /// Its type.
        number: u16,
    },
    /// FINGERPRINT does not fit, or something follows it.
    BadFingerprint,
    /// A classic request that asks for more than its address.
    ClassicExtra {
        /// The attribute's type.
        number: u16,
    },
}

impl DecodeError {
    /// Returns the name that the vectors call it by. SPEC 17
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotStun => "not_stun",
            Self::BadLength => "bad_length",
            Self::NotBindingRequest { .. } => "not_binding_request",
            Self::BadAttribute { .. } => "bad_attribute",
            Self::BadFingerprint => "bad_fingerprint",
            Self::ClassicExtra { .. } => "classic_extra",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStun => out.write_str("no STUN message"),
            Self::BadLength => out.write_str("length: not that of the datagram, or no multiple of 4"),
            Self::NotBindingRequest { number } => write!(out, "type: {number:#06x} is no Binding request"),
            Self::BadAttribute { number } => write!(out, "attribute {number:#06x}: bad length"),
            Self::BadFingerprint => out.write_str("FINGERPRINT: wrong, or not the last attribute"),
            Self::ClassicExtra { number } => {
                write!(out, "attribute {number:#06x}: a request without cookie may only ask for its address")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// Tells by the first byte whether a datagram can be STUN. RFC 7983, 7
#[must_use]
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first < 4)
}

/// Reads a Binding request. Total: any bytes give a request or an error.
///
/// # Errors
/// Why there is nothing to answer.
pub fn decode(datagram: &[u8]) -> Result<Request, DecodeError> {
    if !is_stun(datagram) {
        return Err(DecodeError::NotStun);
    }
    let (Some(header), Some(attributes)) = (datagram.first_chunk::<HEADER>(), datagram.get(HEADER..)) else {
        return Err(DecodeError::NotStun);
    };
    let [t0, t1, l0, l1, transaction @ ..] = *header;
    let number = u16::from_be_bytes([t0, t1]);
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let fits = length == attributes.len() && length.is_multiple_of(4);
    let dialect = if transaction.starts_with(&MAGIC_COOKIE) { Dialect::Modern } else { Dialect::Classic };
    match dialect {
        // Nothing but these four bytes marks a classic request.
        Dialect::Classic if number != BINDING_REQUEST || !fits => return Err(DecodeError::NotStun),
        Dialect::Modern if !fits => return Err(DecodeError::BadLength),
        Dialect::Modern if number != BINDING_REQUEST => {
            return Err(DecodeError::NotBindingRequest { number });
        }
        Dialect::Classic | Dialect::Modern => {}
    }
    let unknown = [0; UNKNOWN_MAX];
    let change = Change::default();
    let mut request = Request { transaction, dialect, unknown, unknowns: 0, change, has_fingerprint: false };
    request.read_attributes(datagram)?;
    Ok(request)
}

impl Request {
    fn read_attributes(&mut self, datagram: &[u8]) -> Result<(), DecodeError> {
        let mut at = HEADER;
        // What stands behind MESSAGE-INTEGRITY is not looked at, but for the fingerprint. RFC 8489, 14.5
        let mut is_sealed = false;
        while let Some([t0, t1, l0, l1]) = datagram.get(at..).and_then(<[u8]>::first_chunk) {
            let (number, length) = (u16::from_be_bytes([*t0, *t1]), u16::from_be_bytes([*l0, *l1]));
            let start = at + ATTRIBUTE_HEADER;
            let next = start + usize::from(length).next_multiple_of(4);
            let Some(value) = datagram.get(start..start + usize::from(length)) else {
                return Err(DecodeError::BadAttribute { number });
            };
            if next > datagram.len() {
                return Err(DecodeError::BadAttribute { number });
            }
            match (self.dialect, number) {
                (Dialect::Classic, CHANGE_REQUEST) if value == [0; 4] => {}
                (Dialect::Classic, _) => return Err(DecodeError::ClassicExtra { number }),
                (Dialect::Modern, FINGERPRINT) => {
                    if next != datagram.len() || value != fingerprint::of(&datagram[..at]) {
                        return Err(DecodeError::BadFingerprint);
                    }
                    self.has_fingerprint = true;
                }
                (Dialect::Modern, _) if is_sealed => {}
                (Dialect::Modern, MESSAGE_INTEGRITY | MESSAGE_INTEGRITY_SHA256) => is_sealed = true,
                (Dialect::Modern, _) => self.read_modern(number, value)?,
            }
            at = next;
        }
        Ok(())
    }

    fn read_modern(&mut self, number: u16, value: &[u8]) -> Result<(), DecodeError> {
        if number == CHANGE_REQUEST && value.len() != 4 {
            return Err(DecodeError::BadAttribute { number });
        }
        let asks_nothing = number >= COMPREHENSION_OPTIONAL
            || number == PADDING
            || WITHOUT_EFFECT.contains(&number)
            // With no bit set it asks for the usual answer.
            || (number == CHANGE_REQUEST && value == [0; 4]);
        if asks_nothing || self.unknown().contains(&number) {
            return Ok(());
        }
        if let (CHANGE_REQUEST, [0, 0, 0, bits]) = (number, value)
            && bits & !(CHANGE_ADDRESS | CHANGE_PORT) == 0
        {
            self.change = Change { address: bits & CHANGE_ADDRESS != 0, port: bits & CHANGE_PORT != 0 };
        }
        if let Some(place) = self.unknown.get_mut(self.unknowns) {
            *place = number;
            self.unknowns += 1;
        }
        Ok(())
    }

    /// Returns the attributes that must be understood and are not: the first [`UNKNOWN_MAX`] of them.
    #[must_use]
    pub fn unknown(&self) -> &[u16] {
        self.unknown.get(..self.unknowns).unwrap_or_default()
    }

    /// Returns from where else the request asks to be answered: not understood, unless it is granted.
    #[must_use]
    pub const fn change(&self) -> Change {
        self.change
    }

    /// Counts that wish as understood: the answer is to be sent from there.
    pub fn grant_change(&mut self) {
        if let Some(place) = self.unknown().iter().position(|number| *number == CHANGE_REQUEST) {
            self.unknown.copy_within(place + 1.., place);
            self.unknowns -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
