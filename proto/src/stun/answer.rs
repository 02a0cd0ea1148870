//! The answers: the observed address in 32 bytes (IPv6: 44), or which attribute is not understood. No SOFTWARE, no reason
//! phrase: what nobody needs would only make the server a better reflector.

use std::net::{IpAddr, SocketAddr};

use super::{Dialect, FINGERPRINT, FINGERPRINT_SIZE, HEADER, Request, fingerprint};

const SUCCESS: u16 = 0x0101;
const FAILURE: u16 = 0x0111;
const MAPPED_ADDRESS: u16 = 0x0001;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
/// 420, class and number apart. RFC 8489, 14.8
const UNKNOWN_ATTRIBUTE: [u8; 4] = [0, 0, 4, 20];
const IPV4: u8 = 1;
const IPV6: u8 = 2;

impl Request {
    /// Returns the bytes of the answer to a client observed at `observed`.
    #[must_use]
    pub fn answer_size(&self, observed: SocketAddr) -> usize {
        let attributes = match (self.unknown().len(), observed.ip().to_canonical()) {
            (0, IpAddr::V4(_)) => 12,
            (0, IpAddr::V6(_)) => 24,
            (count, _) => 8 + 4 + (2 * count).next_multiple_of(4),
        };
        HEADER + attributes + if self.has_fingerprint { FINGERPRINT_SIZE } else { 0 }
    }

    /// Appends the answer to a client observed at `observed`: its address, or 420 with the attributes that are not
    /// understood. With a fingerprint where the request had one.
    pub fn answer(&self, observed: SocketAddr, out: &mut Vec<u8>) {
        let start = out.len();
        let length = self.answer_size(observed) - HEADER;
        let number = if self.unknown().is_empty() { SUCCESS } else { FAILURE };
        put(out, number);
        put(out, length as u16);
        out.extend_from_slice(&self.transaction);
        if self.unknown().is_empty() {
            self.put_address(observed, out);
        } else {
            self.put_unknown(out);
        }
        if self.has_fingerprint {
            let value = fingerprint::of(&out[start..]);
            put(out, FINGERPRINT);
            put(out, 4);
            out.extend_from_slice(&value);
        }
    }

    fn put_address(&self, observed: SocketAddr, out: &mut Vec<u8>) {
        let (number, mask) = match self.dialect {
            Dialect::Modern => (XOR_MAPPED_ADDRESS, self.transaction),
            Dialect::Classic => (MAPPED_ADDRESS, [0; 16]),
        };
        let [p0, p1] = observed.port().to_be_bytes();
        let port = [p0 ^ mask[0], p1 ^ mask[1]];
        put(out, number);
        match observed.ip().to_canonical() {
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

fn put(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_be_bytes());
}
