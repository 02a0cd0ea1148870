//! The answers: the observed address in 32 bytes (IPv6: 44), or which attribute is not understood. No SOFTWARE, no reason
//! phrase: what nobody needs would only make the server a better reflector.

use std::net::{IpAddr, SocketAddr};

use super::{Behaviour, Dialect, FINGERPRINT, FINGERPRINT_SIZE, HEADER, Other, Request, fingerprint};

pub(super) const SUCCESS: u16 = 0x0101;
pub(super) const FAILURE: u16 = 0x0111;
pub(super) const MAPPED_ADDRESS: u16 = 0x0001;
pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
/// RFC 5780, 7.3 and 7.4
pub(super) const RESPONSE_ORIGIN: u16 = 0x802B;
pub(super) const OTHER_ADDRESS: u16 = 0x802C;
/// Of this protocol, in the range of those that may be ignored. SPEC 17
pub(super) const ALTERNATE_PORT: u16 = 0xC152;
/// 420, class and number apart. RFC 8489, 14.8
const UNKNOWN_ATTRIBUTE: [u8; 4] = [0, 0, 4, 20];
const IPV4: u8 = 1;
const IPV6: u8 = 2;

/// An answer that is not written yet.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    request: &'a Request,
    observed: SocketAddr,
    behaviour: Option<Behaviour>,
}

impl Request {
    /// Prepares the answer to a client observed at `observed`: its address, or 420 with the attributes that are not
    /// understood. With a fingerprint where the request had one.
    #[must_use]
    pub const fn answer(&self, observed: SocketAddr) -> Answer<'_> {
        Answer { request: self, observed, behaviour: None }
    }
}

impl Answer<'_> {
    /// Tells of the server's other addresses and ports, too, unless it is a 420.
    #[must_use]
    pub fn telling(self, behaviour: Option<Behaviour>) -> Self {
        Self { behaviour: behaviour.filter(|_| self.request.unknown().is_empty()), ..self }
    }

    /// Returns its bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let Self { request, observed, behaviour } = self;
        let told = match request.unknown().len() {
            0 => attribute_of(*observed),
            count => 8 + 4 + (2 * count).next_multiple_of(4),
        };
        let more = behaviour.map_or(0, |Behaviour { origin, other }| {
            let other = other.map_or(0, |other| match other {
                Other::Address(address) => attribute_of(address),
                Other::Port(_) => 8,
            });
            origin.map_or(0, attribute_of) + other
        });
        HEADER + told + more + if request.has_fingerprint { FINGERPRINT_SIZE } else { 0 }
    }

    /// Appends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let Self { request, observed, behaviour } = self;
        let start = out.len();
        let is_success = request.unknown().is_empty();
        put(out, if is_success { SUCCESS } else { FAILURE });
        put(out, (self.size() - HEADER) as u16);
        out.extend_from_slice(&request.transaction);
        if is_success {
            request.put_observed(*observed, out);
        } else {
            request.put_unknown(out);
        }
        if let Some(Behaviour { origin, other }) = behaviour {
            if let Some(origin) = origin {
                put_address(RESPONSE_ORIGIN, *origin, &UNMASKED, out);
            }
            match other {
                Some(Other::Address(address)) => put_address(OTHER_ADDRESS, *address, &UNMASKED, out),
                Some(Other::Port(port)) => {
                    for number in [ALTERNATE_PORT, 4, *port, 0] {
                        put(out, number);
                    }
                }
                None => {}
            }
        }
        if request.has_fingerprint {
            let value = fingerprint::of(&out[start..]);
            put(out, FINGERPRINT);
            put(out, 4);
            out.extend_from_slice(&value);
        }
    }
}

impl Request {
    fn put_observed(&self, observed: SocketAddr, out: &mut Vec<u8>) {
        match self.dialect {
            Dialect::Modern => put_address(XOR_MAPPED_ADDRESS, observed, &self.transaction, out),
            Dialect::Classic => put_address(MAPPED_ADDRESS, observed, &UNMASKED, out),
        }
    }

    fn put_unknown(&self, out: &mut Vec<u8>) {
        put(out, ERROR_CODE);
        put(out, UNKNOWN_ATTRIBUTE.len() as u16);
        out.extend_from_slice(&UNKNOWN_ATTRIBUTE);
        put(out, UNKNOWN_ATTRIBUTES);
        put(out, 2 * self.unknown().len() as u16);
        for number in self.unknown() {
            put(out, *number);
        }
        if !self.unknown().len().is_multiple_of(2) {
            put(out, 0);
        }
    }
}

/// Leaves an address as it is.
const UNMASKED: [u8; 16] = [0; 16];

/// Returns the bytes of an attribute that holds this address.
const fn attribute_of(address: SocketAddr) -> usize {
    match address.ip().to_canonical() {
        IpAddr::V4(_) => 12,
        IpAddr::V6(_) => 24,
    }
}

fn put_address(number: u16, address: SocketAddr, mask: &[u8; 16], out: &mut Vec<u8>) {
    let [p0, p1] = address.port().to_be_bytes();
    let port = [p0 ^ mask[0], p1 ^ mask[1]];
    put(out, number);
    match address.ip().to_canonical() {
        IpAddr::V4(v4) => {
            out.extend_from_slice(&[0, 8, 0, IPV4]);
            out.extend_from_slice(&port);
            out.extend(v4.octets().iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        }
        IpAddr::V6(v6) => {
            out.extend_from_slice(&[0, 20, 0, IPV6]);
            out.extend_from_slice(&port);
            out.extend(v6.octets().iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        }
    }
}

fn put(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_be_bytes());
}
