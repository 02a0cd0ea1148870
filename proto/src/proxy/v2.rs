//! The header of version 2 of the PROXY protocol, as it stands before the first datagram of a flow. SPEC 18
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 12 | signature `\r\n\r\n\0\r\nQUIT\n` |
//! | 12 | 1 | version 2 in the upper half; command in the lower: 0 LOCAL, 1 PROXY |
//! | 13 | 1 | family and transport: 0x12 UDP over IPv4, 0x22 UDP over IPv6 |
//! | 14 | 2 | bytes that follow |
//! | 16 | 12, 36 | the client's address, the proxy's that it sent to, their ports |
//! | then | rest | extensions (TLVs), of which none is needed here |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::HeaderError;

/// How the header begins. No frame and no STUN message does.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes up to the addresses.
pub const PREFIX: usize = 16;

const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const UDP_OVER_IPV4: u8 = 0x12;
const UDP_OVER_IPV6: u8 = 0x22;

/// For whom a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// For the proxy itself, which wants to know whether the server is well.
    Local,
    /// For a client. Addresses are IPv4 where they are.
    Proxied {
        /// The client.
        client: SocketAddr,
        /// The address and port of the proxy that the client sent to.
        proxy: SocketAddr,
    },
}

/// Tells whether a datagram begins like the header.
#[must_use]
pub fn is_headed(datagram: &[u8]) -> bool {
    datagram.starts_with(&SIGNATURE)
}

/// Splits a datagram into header and what the client sent. What stands in the header after the addresses is skipped.
///
/// # Errors
/// [`HeaderError`], by what is wrong; in the order of its variants.
pub fn split(datagram: &[u8]) -> Result<(Header, &[u8]), HeaderError> {
    if !is_headed(datagram) {
        return Err(HeaderError::Missing);
    }
    let (prefix, rest) = datagram.split_first_chunk::<PREFIX>().ok_or(HeaderError::Truncated)?;
    let [.., command, family, high, low] = *prefix;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let (block, payload) = rest.split_at_checked(length).ok_or(HeaderError::Truncated)?;
    if command >> 4 != 2 {
        return Err(HeaderError::Version);
    }
    match command & 0x0F {
        LOCAL => Ok((Header::Local, payload)),
        PROXY => Ok((proxied(family, block)?, payload)),
        _ => Err(HeaderError::Command),
    }
}

fn proxied(family: u8, block: &[u8]) -> Result<Header, HeaderError> {
    let (client, proxy, ports) = match family {
        UDP_OVER_IPV4 => {
            let (client, rest) = block.split_first_chunk::<4>().ok_or(HeaderError::Addresses)?;
            let (proxy, rest) = rest.split_first_chunk::<4>().ok_or(HeaderError::Addresses)?;
            (IpAddr::V4(Ipv4Addr::from(*client)), IpAddr::V4(Ipv4Addr::from(*proxy)), rest)
        }
        UDP_OVER_IPV6 => {
            let (client, rest) = block.split_first_chunk::<16>().ok_or(HeaderError::Addresses)?;
            let (proxy, rest) = rest.split_first_chunk::<16>().ok_or(HeaderError::Addresses)?;
            (Ipv6Addr::from(*client).to_canonical(), Ipv6Addr::from(*proxy).to_canonical(), rest)
        }
        _ => return Err(HeaderError::Family),
    };
    let [a, b, c, d] = *ports.first_chunk().ok_or(HeaderError::Addresses)?;
    Ok(Header::Proxied {
        client: SocketAddr::new(client, u16::from_be_bytes([a, b])),
        proxy: SocketAddr::new(proxy, u16::from_be_bytes([c, d])),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, block].concat()
    }

    /// From 198.51.100.7:40123 to 203.0.113.9:1066.
    const V4: &[u8] = b"\xC6\x33\x64\x07\xCB\x00\x71\x09\x9C\xBB\x04\x2A";

    fn proxied(client: &str, proxy: &str) -> Header {
        Header::Proxied { client: client.parse().unwrap(), proxy: proxy.parse().unwrap() }
    }

    #[test]
    fn addresses_of_both_families_are_read_and_extensions_skipped() {
        let expected = proxied("198.51.100.7:40123", "203.0.113.9:1066");
        for extensions in [&b""[..], b"\x04\0\x03abc", b"whatever"] {
            let datagram = [&header(0x21, 0x12, &[V4, extensions].concat())[..], b"payload"].concat();
            assert_eq!(split(&datagram), Ok((expected, &b"payload"[..])));
        }
        let mut block = [0; 36];
        (block[0], block[1], block[15]) = (0x20, 0x01, 7);
        (block[16], block[17], block[31]) = (0x20, 0x01, 1);
        block[32..].copy_from_slice(&[0, 9, 4, 0x2A]);
        assert_eq!(
            split(&header(0x21, 0x22, &block)),
            Ok((proxied("[2001::7]:9", "[2001::1]:1066"), &b""[..]))
        );
    }

    #[test]
    fn what_is_for_the_proxy_itself_needs_no_addresses() {
        for (family, block) in [(0, &b""[..]), (0x12, V4), (0x7F, b"abc")] {
            let datagram = [&header(0x20, family, block)[..], b"ping"].concat();
            assert_eq!(split(&datagram), Ok((Header::Local, &b"ping"[..])));
        }
    }

    #[test]
    fn malformed_headers_are_refused_by_name() {
        let whole = header(0x21, 0x12, V4);
        for length in 0..12 {
            assert_eq!(split(&whole[..length]), Err(HeaderError::Missing), "{length}");
        }
        for length in 12..whole.len() {
            assert_eq!(split(&whole[..length]), Err(HeaderError::Truncated), "{length}");
        }
        for (command, family, block, error) in [
            (0x11, 0x12, V4, HeaderError::Version),
            (0x31, 0x12, V4, HeaderError::Version),
            (0x22, 0x12, V4, HeaderError::Command),
            (0x21, 0x00, V4, HeaderError::Family),
            (0x21, 0x11, V4, HeaderError::Family),
            (0x21, 0x21, V4, HeaderError::Family),
            (0x21, 0x31, V4, HeaderError::Family),
            (0x21, 0x12, &V4[..11], HeaderError::Addresses),
            (0x21, 0x12, b"", HeaderError::Addresses),
            (0x21, 0x22, V4, HeaderError::Addresses),
        ] {
            assert_eq!(split(&header(command, family, block)), Err(error), "{command:x} {family:x}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_or_refused(rest in any::<Vec<u8>>()) {
            let datagram = [&SIGNATURE[..], &rest].concat();
            if let Ok((_, payload)) = split(&datagram) {
                prop_assert!(datagram.ends_with(payload) && payload.len() + PREFIX <= datagram.len());
            }
        }
    }
}
