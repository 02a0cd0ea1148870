//! The header of the Simple Proxy Protocol, as Cloudflare Spectrum and Tencent EdgeOne put it before every datagram. SPEC 18
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 2 | magic 0x56EC |
//! | 2 | 16 | the client's address, IPv4 as IPv4-mapped IPv6 |
//! | 18 | 16 | the proxy's address that the client sent to, likewise |
//! | 34 | 2 | the client's port |
//! | 36 | 2 | the proxy's port |

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::HeaderError;

/// Bytes of the header.
pub const HEADER: usize = 38;
/// How it begins. No frame and no STUN message does.
pub const MAGIC: [u8; 2] = [0x56, 0xEC];

/// Who sent a datagram, and to which address of the proxy. Both as IPv4 where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The client.
    pub client: SocketAddr,
    /// The address and port of the proxy that the client sent to.
    pub proxy: SocketAddr,
}

/// Tells whether a datagram begins like the header.
#[must_use]
pub fn is_headed(datagram: &[u8]) -> bool {
    datagram.starts_with(&MAGIC)
}

/// Splits a datagram into header and what the client sent. Whatever has the magic and the length is a header, and
/// [`Header::to_bytes`] gives the same bytes back.
///
/// # Errors
/// [`HeaderError::Missing`] or [`HeaderError::Truncated`].
pub fn split(datagram: &[u8]) -> Result<(Header, &[u8]), HeaderError> {
    let (raw, payload) = split_raw(datagram)?;
    Ok((Header { client: raw.client(), proxy: raw.asked().address() }, payload))
}

/// The same, where not all of it is wanted.
pub(super) fn split_raw(datagram: &[u8]) -> Result<(Raw<'_>, &[u8]), HeaderError> {
    if !is_headed(datagram) {
        return Err(HeaderError::Missing);
    }
    let (header, payload) = datagram.split_first_chunk().ok_or(HeaderError::Truncated)?;
    Ok((Raw(header), payload))
}

/// A header as it came.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a>(&'a [u8; HEADER]);

impl Raw<'_> {
    /// Reads who sent it.
    pub(super) fn client(self) -> SocketAddr {
        address(&self.0[2..18], &self.0[34..36])
    }

    pub(super) fn asked(self) -> Asked {
        let mut bytes = [0; 18];
        bytes[..16].copy_from_slice(&self.0[18..34]);
        bytes[16..].copy_from_slice(&self.0[36..]);
        Asked(bytes)
    }
}

/// The proxy's address and port, as they stand in the header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked(pub(super) [u8; 18]);

impl Asked {
    /// Stands where no header says it.
    pub(super) const NONE: Self = Self([0; 18]);

    /// Tells whether a datagram has a header that says it.
    pub(super) fn stands_in(&self, datagram: &[u8]) -> bool {
        datagram.first_chunk::<HEADER>().is_some_and(|header| {
            header[..2] == MAGIC && header[18..34] == self.0[..16] && header[36..] == self.0[16..]
        })
    }

    pub(super) fn address(self) -> SocketAddr {
        address(&self.0[..16], &self.0[16..])
    }

    /// Makes the header of a client that asked there.
    pub(super) fn header_for(self, client: SocketAddr) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..2].copy_from_slice(&MAGIC);
        bytes[2..18].copy_from_slice(&octets(client));
        bytes[18..34].copy_from_slice(&self.0[..16]);
        bytes[34..36].copy_from_slice(&client.port().to_be_bytes());
        bytes[36..].copy_from_slice(&self.0[16..]);
        bytes
    }
}

impl Header {
    /// Returns the bytes that stand before a datagram from the client, and before every answer to it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER] {
        let mut asked = [0; 18];
        asked[..16].copy_from_slice(&octets(self.proxy));
        asked[16..].copy_from_slice(&self.proxy.port().to_be_bytes());
        Asked(asked).header_for(self.client)
    }
}

/// Reads the 16 bytes of an address and the 2 of its port.
fn address(ip: &[u8], port: &[u8]) -> SocketAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(ip);
    let port = u16::from_be_bytes([port[0], port[1]]);
    SocketAddr::new(Ipv6Addr::from(octets).to_canonical(), port)
}

fn octets(address: SocketAddr) -> [u8; 16] {
    match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From 198.51.100.7:40123 to 203.0.113.9:1066.
    const V4: &[u8] =
        b"\x56\xEC\0\0\0\0\0\0\0\0\0\0\xFF\xFF\xC6\x33\x64\x07\0\0\0\0\0\0\0\0\0\0\xFF\xFF\xCB\x00\x71\x09\
        \x9C\xBB\x04\x2A";

    #[test]
    fn header_of_an_ipv4_client_is_these_bytes() {
        let header = Header {
            client: "198.51.100.7:40123".parse().unwrap(),
            proxy: "203.0.113.9:1066".parse().unwrap(),
        };
        assert_eq!(header.to_bytes(), V4);
        assert_eq!(split(&[V4, b"payload"].concat()), Ok((header, &b"payload"[..])));
        assert_eq!(split(V4), Ok((header, &b""[..])));
    }

    #[test]
    fn header_of_an_ipv6_client_holds_its_address_as_it_is() {
        let header =
            Header { client: "[2001:db8::7]:9".parse().unwrap(), proxy: "[2001:db8::1]:1".parse().unwrap() };
        let bytes = header.to_bytes();
        assert_eq!(bytes[2..8], [0x20, 0x01, 0x0D, 0xB8, 0, 0]);
        assert_eq!((bytes[17], bytes[33], &bytes[34..]), (7, 1, &[0, 9, 0, 1][..]));
        assert_eq!(split(&bytes), Ok((header, &b""[..])));
    }

    #[test]
    fn what_has_no_magic_is_no_header_and_what_has_it_is_whole_or_cut() {
        assert_eq!(split(b""), Err(HeaderError::Missing));
        assert_eq!(split(b"\x56"), Err(HeaderError::Missing));
        assert_eq!(split(b"RT\x01\x04"), Err(HeaderError::Missing));
        for length in 2..HEADER {
            assert_eq!(split(&V4[..length]), Err(HeaderError::Truncated), "{length}");
        }
    }

    proptest! {
        #[test]
        fn every_header_is_the_only_form_of_its_addresses(rest in any::<[u8; 36]>(), payload in any::<Vec<u8>>()) {
            let datagram = [&MAGIC[..], &rest, &payload].concat();
            let (header, after) = split(&datagram).unwrap();
            prop_assert_eq!(&header.to_bytes()[..], &datagram[..HEADER]);
            prop_assert_eq!(after, &payload[..]);
        }
    }
}
