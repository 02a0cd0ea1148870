//! The asking side: a request that pays for any answer, and what an answer tells.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::answer::{
    ALTERNATE_PORT, FAILURE, MAPPED_ADDRESS, OTHER_ADDRESS, RESPONSE_ORIGIN, SUCCESS, XOR_MAPPED_ADDRESS,
};
use super::{
    ATTRIBUTE_HEADER, BINDING_REQUEST, CHANGE_ADDRESS, CHANGE_PORT, CHANGE_REQUEST, Change, HEADER,
    MAGIC_COOKIE, Other,
};

const SOFTWARE: u16 = 0x8022;
/// What fills a request up.
const NAME: &[u8] = b"Roundtable";
/// Bytes of a request: as many as the longest answer to it has, which has no fingerprint.
const REQUEST: usize = HEADER + 3 * 24;

/// What a server says of itself and of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where the server sees who asks.
    pub mapped: SocketAddr,
    /// Where the answer comes from, says the server.
    pub origin: Option<SocketAddr>,
    /// Where else the server can be asked.
    pub other: Option<Other>,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It was understood.
    Told(Told),
    /// It was not: the server does not answer from elsewhere.
    Refused,
}

/// Makes a request that is as long as any answer to it.
#[must_use]
pub fn request(transaction: [u8; 12], change: Change) -> Vec<u8> {
    let mut out = Vec::with_capacity(REQUEST);
    put(&mut out, BINDING_REQUEST);
    put(&mut out, (REQUEST - HEADER) as u16);
    out.extend_from_slice(&MAGIC_COOKIE);
    out.extend_from_slice(&transaction);
    if change != Change::default() {
        let address = if change.address { CHANGE_ADDRESS } else { 0 };
        let port = if change.port { CHANGE_PORT } else { 0 };
        put(&mut out, CHANGE_REQUEST);
        put(&mut out, 4);
        out.extend_from_slice(&[0, 0, 0, address | port]);
    }
    let left = REQUEST - out.len() - ATTRIBUTE_HEADER;
    put(&mut out, SOFTWARE);
    put(&mut out, left as u16);
    out.extend_from_slice(NAME);
    out.resize(REQUEST, b' ');
    out
}

/// Reads the answer to `transaction`; `None` for anything else. Total.
#[must_use]
pub fn reply(datagram: &[u8], transaction: [u8; 12]) -> Option<Reply> {
    let (header, mut rest) = datagram.split_first_chunk::<HEADER>()?;
    let [t0, t1, l0, l1, c0, c1, c2, c3, ours @ ..] = *header;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if [c0, c1, c2, c3] != MAGIC_COOKIE || ours != transaction || length != rest.len() {
        return None;
    }
    match u16::from_be_bytes([t0, t1]) {
        SUCCESS => {}
        FAILURE => return Some(Reply::Refused),
        _ => return None,
    }
    let (mut mapped, mut plain, mut origin, mut other) = (None, None, None, None);
    let mask: [u8; 16] = *datagram.get(4..)?.first_chunk()?;
    while let Some(([t0, t1, l0, l1], after)) = rest.split_first_chunk::<ATTRIBUTE_HEADER>() {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let value = after.get(..length)?;
        match u16::from_be_bytes([*t0, *t1]) {
            XOR_MAPPED_ADDRESS => mapped = address(value, &mask),
            MAPPED_ADDRESS => plain = address(value, &[0; 16]),
            RESPONSE_ORIGIN => origin = address(value, &[0; 16]),
            OTHER_ADDRESS => other = address(value, &[0; 16]).map(Other::Address),
            ALTERNATE_PORT => {
                let port = value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
                other = other.or(port.map(Other::Port));
            }
            _ => {}
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
    Some(Reply::Told(Told { mapped: mapped.or(plain)?, origin, other }))
}

fn address(value: &[u8], mask: &[u8; 16]) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], ip) = value.split_first_chunk()?;
    let port = u16::from_be_bytes([p0 ^ mask[0], p1 ^ mask[1]]);
    let ip = match (family, ip.len()) {
        (1, 4) => IpAddr::from(Ipv4Addr::from(masked::<4>(ip, mask)?)),
        (2, 16) => Ipv6Addr::from(masked::<16>(ip, mask)?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

fn masked<const N: usize>(ip: &[u8], mask: &[u8; 16]) -> Option<[u8; N]> {
    let mut bytes: [u8; N] = *ip.first_chunk()?;
    bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    Some(bytes)
}

fn put(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::{Behaviour, decode};
    use super::*;

    const TRANSACTION: [u8; 12] = [9; 12];
    const V4: &str = "192.0.2.1:32853";
    const V6: &str = "[2001:db8::1]:32853";

    fn changes() -> [Change; 4] {
        [(false, false), (false, true), (true, false), (true, true)]
            .map(|(address, port)| Change { address, port })
    }

    #[test]
    fn request_is_understood_and_pays_for_its_longest_answer() {
        let v6: SocketAddr = V6.parse().unwrap();
        for change in changes() {
            let bytes = request(TRANSACTION, change);
            let mut read = decode(&bytes).unwrap();
            assert_eq!(read.change(), change);
            read.grant_change();
            assert_eq!(read.unknown(), []);
            let behaviour = Behaviour { origin: Some(v6), other: Some(Other::Address(v6)) };
            assert_eq!(read.answer(v6).telling(Some(behaviour)).size(), bytes.len());
        }
    }

    #[test]
    fn what_an_answer_tells_is_read() {
        let places = [V4, V6].map(|text| text.parse::<SocketAddr>().unwrap());
        let read = decode(&request(TRANSACTION, Change::default())).unwrap();
        for mapped in places {
            for other in [None, Some(Other::Port(1067)), Some(Other::Address(mapped))] {
                for origin in [None, Some(places[1])] {
                    let mut bytes = Vec::new();
                    read.answer(mapped).telling(Some(Behaviour { origin, other })).write(&mut bytes);
                    let expected = Reply::Told(Told { mapped, origin, other });
                    assert_eq!(reply(&bytes, TRANSACTION), Some(expected));
                    assert_eq!(reply(&bytes, [8; 12]), None);
                    for length in 0..bytes.len() {
                        assert_eq!(reply(&bytes[..length], TRANSACTION), None);
                    }
                }
            }
        }
    }

    #[test]
    fn refusal_is_read_and_a_request_is_no_reply() {
        let bytes = request(TRANSACTION, changes()[3]);
        let mut answer = Vec::new();
        decode(&bytes).unwrap().answer(V4.parse().unwrap()).write(&mut answer);
        assert_eq!(reply(&answer, TRANSACTION), Some(Reply::Refused));
        assert_eq!(reply(&bytes, TRANSACTION), None);
    }

    #[test]
    fn any_bytes_are_read_or_not() {
        let read = decode(&request(TRANSACTION, Change::default())).unwrap();
        let mut good = Vec::new();
        read.answer(V6.parse().unwrap()).write(&mut good);
        for place in 0..good.len() {
            for value in 0..=u8::MAX {
                let mut bad = good.clone();
                bad[place] = value;
                let _any = reply(&bad, TRANSACTION);
            }
        }
    }
}
