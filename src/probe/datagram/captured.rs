//! Takes UDP datagrams out of a capture: pcap or pcapng, either byte order, the usual link layers. Total: what is cut or
//! damaged is an error that says where.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use roundtable_proto::peer_address::SERVER_PORT;
use roundtable_proto::wire::MAGIC;

use super::input::{Datagram, Found, Way};

/// Block types of pcapng.
const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const SIMPLE: u32 = 3;
const ENHANCED: u32 = 6;
/// What a section begins with in its own byte order.
const BYTE_ORDER: u32 = 0x1A2B_3C4D;
/// The option of an interface that tells its clock's resolution.
const RESOLUTION: u16 = 9;
const UDP: u8 = 17;

/// Tells whether this begins like a capture.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes
        .first_chunk()
        .is_some_and(|start| classic(*start).is_some() || u32::from_be_bytes(*start) == SECTION)
}

/// Takes the datagrams out.
///
/// # Errors
/// Says where the capture is not one.
pub(super) fn read(bytes: &[u8]) -> Result<Found, String> {
    let Some(start) = bytes.first_chunk() else { return Err("this is no capture: it is empty".to_owned()) };
    let mut found = Found::default();
    if let Some((is_big, per_second)) = classic(*start) {
        let bytes = Bytes { bytes, is_big };
        let link = bytes.word(20)? & 0x0FFF_FFFF;
        let mut at = 24;
        while at < bytes.bytes.len() {
            let (seconds, part) = (u128::from(bytes.word(at)?), u128::from(bytes.word(at + 4)?));
            let (kept, had) = (bytes.word(at + 8)? as usize, bytes.word(at + 12)? as usize);
            let time = seconds * 1_000_000_000 + part * (1_000_000_000 / per_second);
            found.take(link, time, bytes.part(at + 16, kept)?, had);
            at += 16 + kept;
        }
        return Ok(found);
    }
    if u32::from_be_bytes(*start) != SECTION {
        return Err("this is no capture: neither pcap nor pcapng".to_owned());
    }
    sections(bytes, &mut found)?;
    Ok(found)
}

/// Byte order and clock of a classic capture, by how it begins.
const fn classic(start: [u8; 4]) -> Option<(bool, u128)> {
    match start {
        [0xA1, 0xB2, 0xC3, 0xD4] => Some((true, 1_000_000)),
        [0xD4, 0xC3, 0xB2, 0xA1] => Some((false, 1_000_000)),
        [0xA1, 0xB2, 0x3C, 0x4D] => Some((true, 1_000_000_000)),
        [0x4D, 0x3C, 0xB2, 0xA1] => Some((false, 1_000_000_000)),
        _ => None,
    }
}

/// One interface of a section.
struct Interface {
    link: u32,
    /// Ticks of its clock a second.
    per_second: u128,
}

fn sections(bytes: &[u8], found: &mut Found) -> Result<(), String> {
    let mut all = Bytes { bytes, is_big: true };
    let (mut interfaces, mut at): (Vec<Interface>, _) = (Vec::new(), 0);
    while at < bytes.len() {
        let kind = all.word(at)?;
        if kind == SECTION {
            interfaces.clear();
            all.is_big = Bytes { bytes, is_big: true }.word(at + 8)? == BYTE_ORDER;
        }
        let length = all.word(at + 4)? as usize;
        let block = Bytes { bytes: all.part(at, length)?, is_big: all.is_big };
        if length < 12 {
            return Err(format!("the capture is damaged at byte {at}"));
        }
        match kind {
            INTERFACE => {
                interfaces.push(Interface { link: u32::from(block.half(8)?), per_second: clock(&block)? })
            }
            ENHANCED => {
                let interface = interfaces.get(block.word(8)? as usize);
                let interface = interface.ok_or_else(|| format!("the capture is damaged at byte {at}"))?;
                let ticks = u128::from(block.word(12)?) << 32 | u128::from(block.word(16)?);
                let (kept, had) = (block.word(20)? as usize, block.word(24)? as usize);
                let time = ticks * 1_000_000_000 / interface.per_second;
                found.take(interface.link, time, block.part(28, kept)?, had);
            }
            SIMPLE => {
                let had = block.word(8)? as usize;
                let link = interfaces.first().map_or(0, |interface| interface.link);
                found.take(link, 0, block.part(12, had.min(length.saturating_sub(16)))?, had);
            }
            _ => {}
        }
        at += length;
    }
    Ok(())
}

/// Reads an interface's options for its clock.
fn clock(block: &Bytes<'_>) -> Result<u128, String> {
    let mut at = 16;
    while at + 8 <= block.bytes.len() {
        let (code, length) = (block.half(at)?, usize::from(block.half(at + 2)?));
        if code == 0 {
            break;
        }
        if code == RESOLUTION && length == 1 {
            let value = block.part(at + 4, 1)?[0];
            let base: u128 = if value & 0x80 == 0 { 10 } else { 2 };
            return base
                .checked_pow(u32::from(value & 0x7F))
                .ok_or_else(|| "the capture's clock is too fine".to_owned());
        }
        at += 4 + length.next_multiple_of(4);
    }
    Ok(1_000_000)
}

/// Bytes in a byte order.
struct Bytes<'a> {
    bytes: &'a [u8],
    is_big: bool,
}

impl<'a> Bytes<'a> {
    fn part(&self, at: usize, length: usize) -> Result<&'a [u8], String> {
        let end = at.checked_add(length);
        end.and_then(|end| self.bytes.get(at..end))
            .ok_or_else(|| format!("the capture ends within byte {at}"))
    }

    fn word(&self, at: usize) -> Result<u32, String> {
        let bytes = self.part(at, 4)?.first_chunk().copied().unwrap_or_default();
        Ok(if self.is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn half(&self, at: usize) -> Result<u16, String> {
        let bytes = self.part(at, 2)?.first_chunk().copied().unwrap_or_default();
        Ok(if self.is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }
}

impl Found {
    fn take(&mut self, link: u32, at: u128, packet: &[u8], had: usize) {
        let ours = payload(link, packet).and_then(datagram).filter(is_ours);
        match ours {
            Some((from, to, bytes, length)) => {
                let cut_from = (packet.len() < had && bytes.len() < length).then_some(length);
                let way = Some(Way { at, from, to });
                self.datagrams.push(Datagram { bytes: bytes.to_vec(), cut_from, way });
            }
            None => self.others += 1,
        }
    }
}

/// Addresses, what was kept of the datagram, and its own length.
type Udp<'a> = (SocketAddr, SocketAddr, &'a [u8], usize);

/// Of this protocol, or meant to be: on its port, and not STUN.
fn is_ours((from, to, bytes, _): &Udp<'_>) -> bool {
    let is_stun = matches!(bytes, [0..=3, _, _, _, 0x21, 0x12, 0xA4, 0x42, ..]);
    bytes.starts_with(&MAGIC) || (from.port() == SERVER_PORT || to.port() == SERVER_PORT) && !is_stun
}

/// Takes the link layer off; gives an IP packet.
fn payload(link: u32, packet: &[u8]) -> Option<&[u8]> {
    match link {
        // Loopback of BSD: a family.
        0 | 108 => packet.get(4..),
        // Ethernet, with tags.
        1 => {
            let mut at = 12;
            while matches!(packet.get(at..at + 2)?, [0x81, 0x00] | [0x88, 0xA8]) {
                at += 4;
            }
            packet.get(at + 2..)
        }
        // IP itself.
        12 | 14 | 101 | 228 | 229 => Some(packet),
        // Any interface, as Linux tells it.
        113 => packet.get(16..),
        276 => packet.get(20..),
        _ => None,
    }
}

fn datagram(ip: &[u8]) -> Option<Udp<'_>> {
    let (from, to, udp): (IpAddr, IpAddr, _) = match ip.first()? >> 4 {
        4 => {
            let is_first = u16::from_be_bytes([*ip.get(6)?, *ip.get(7)?]) & 0x1FFF == 0;
            let start = usize::from(ip[0] & 0x0F) * 4;
            let address = |at: usize| Some(Ipv4Addr::from(*ip.get(at..)?.first_chunk::<4>()?));
            (ip.get(9) == Some(&UDP) && is_first).then_some(())?;
            (address(12)?.into(), address(16)?.into(), ip.get(start..)?)
        }
        6 => {
            let address = |at: usize| Some(Ipv6Addr::from(*ip.get(at..)?.first_chunk::<16>()?));
            (address(8)?.into(), address(24)?.into(), behind_extensions(ip)?)
        }
        _ => return None,
    };
    let half = |at: usize| Some(u16::from_be_bytes(*udp.get(at..)?.first_chunk()?));
    let length = usize::from(half(4)?).checked_sub(8)?;
    let bytes = udp.get(8..)?;
    let bytes = &bytes[..bytes.len().min(length)];
    Some((SocketAddr::new(from, half(0)?), SocketAddr::new(to, half(2)?), bytes, length))
}

/// Steps over the extension headers of IPv6.
fn behind_extensions(ip: &[u8]) -> Option<&[u8]> {
    let (mut next, mut at) = (*ip.get(6)?, 40);
    loop {
        match next {
            UDP => return ip.get(at..),
            // Hop by hop, routing, destination.
            0 | 43 | 60 => {
                next = *ip.get(at)?;
                at += 8 + usize::from(*ip.get(at + 1)?) * 8;
            }
            // A fragment that is the first.
            44 if u16::from_be_bytes(*ip.get(at + 2..)?.first_chunk()?) & 0xFFF8 == 0 => {
                next = *ip.get(at)?;
                at += 8;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &[u8] = include_bytes!("../../../tests/data/call.pcap");

    /// An IPv4 packet with a datagram to the server.
    fn packet(payload: &[u8]) -> Vec<u8> {
        let length = |more: usize| u16::try_from(payload.len() + more).unwrap().to_be_bytes();
        let mut ip = [&[0x45, 0][..], &length(28), &[0, 0, 0, 0, 64, UDP, 0, 0]].concat();
        ip.extend([192, 0, 2, 33, 192, 0, 2, 1, 0xC3, 0x50, 0x04, 0x2A]);
        [&ip, &length(8)[..], &[0, 0], payload].concat()
    }

    /// A section of pcapng with one interface and this packet, in a byte order.
    fn section(word: fn(u32) -> [u8; 4], half: fn(u16) -> [u8; 2], packet: &[u8]) -> Vec<u8> {
        let block = |kind: u32, body: &[u8]| {
            let mut body = body.to_vec();
            body.resize(body.len().next_multiple_of(4), 0);
            let length = word(u32::try_from(body.len() + 12).unwrap());
            [&word(kind)[..], &length, &body, &length].concat()
        };
        let size = word(u32::try_from(packet.len()).unwrap());
        let unknown = [0xFF; 8];
        let begin = [&word(BYTE_ORDER)[..], &half(1), &half(0), &unknown].concat();
        let nanoseconds = [&half(RESOLUTION)[..], &half(1), &[9, 0, 0, 0], &half(0), &half(0)].concat();
        let interface = [&half(101)[..], &half(0), &word(0), &nanoseconds].concat();
        let time = [word(0), word(1), word(2)].concat();
        let packet = [&time[..], &size, &size, packet].concat();
        [block(SECTION, &begin), block(INTERFACE, &interface), block(5, &[0; 8]), block(ENHANCED, &packet)]
            .concat()
    }

    #[test]
    fn both_byte_orders_and_link_layers_give_the_same_datagram() {
        let ip = packet(b"RT\x01hello");
        let expected =
            |at| Way { at, from: "192.0.2.33:50000".parse().unwrap(), to: "192.0.2.1:1066".parse().unwrap() };
        for bytes in [
            section(u32::to_be_bytes, u16::to_be_bytes, &ip),
            section(u32::to_le_bytes, u16::to_le_bytes, &ip),
        ] {
            let found = read(&[&bytes[..], &bytes].concat()).unwrap();
            assert_eq!((found.datagrams.len(), found.others), (2, 0));
            assert_eq!(found.datagrams[1].bytes, b"RT\x01hello");
            assert_eq!(found.datagrams[1].way, Some(expected((1 << 32) + 2)));
        }
        let (ethernet, tagged) =
            ([&[0; 12][..], &[8, 0]].concat(), [&[0; 12][..], &[0x81, 0, 0, 7, 8, 0]].concat());
        for (link, head) in
            [(1, ethernet), (1, tagged), (113, vec![0; 16]), (276, vec![0; 20]), (0, vec![0; 4])]
        {
            assert_eq!(payload(link, &[&head[..], &ip].concat()).unwrap(), ip);
        }
    }

    #[test]
    fn packet_that_was_cut_tells_how_long_it_was() {
        let ip = packet(b"RT\x01hello");
        let mut found = Found::default();
        found.take(101, 0, &ip[..ip.len() - 3], ip.len());
        assert_eq!(
            (found.datagrams[0].bytes.as_slice(), found.datagrams[0].cut_from),
            (&b"RT\x01he"[..], Some(8))
        );
    }

    #[test]
    fn no_capture_however_damaged_is_more_than_an_error() {
        let ng = section(u32::to_le_bytes, u16::to_le_bytes, &packet(b"RT"));
        for whole in [CALL, &ng] {
            assert!(read(whole).unwrap().datagrams.iter().all(|one| one.way.is_some()));
            for end in 0..whole.len() {
                drop(read(&whole[..end]));
            }
            for at in 0..whole.len().min(400) {
                for value in [0, 1, 0x7F, 0xFF] {
                    let mut bent = whole.to_vec();
                    bent[at] = value;
                    drop(read(&bent));
                }
            }
        }
    }
}
