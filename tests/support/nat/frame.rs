//! What the wire has to know of an Ethernet frame: what it carries, where it goes, and that its checksum is there.

const ETHERNET: usize = 14;
const IPV6_HEADER: usize = 40;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// Messages of neighbour discovery, RFC 4861.
const NEIGHBOUR_DISCOVERY: std::ops::RangeInclusive<u8> = 133..=137;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// ARP, or IPv6 neighbour discovery.
    Neighbours,
    /// UDP.
    Datagram,
    /// Any other IP.
    Other,
}

/// The link address of a port.
pub(crate) fn link_address(port: usize) -> String {
    format!("02:00:00:00:00:{port:02x}")
}

/// Tells to which port a frame goes; none for all.
pub(crate) fn port_of(frame: &[u8]) -> Option<usize> {
    match frame {
        [2, 0, 0, 0, 0, port, ..] => Some(usize::from(*port)),
        [..] => None,
    }
}

/// Tells what a frame carries, unless the wire does not take it.
pub(crate) fn traffic(frame: &[u8]) -> Option<Traffic> {
    let payload = frame.get(ETHERNET..)?;
    match (frame[12], frame[13]) {
        (0x08, 0x06) => Some(Traffic::Neighbours),
        (0x08, 0x00) if payload.get(9) == Some(&UDP) => Some(Traffic::Datagram),
        (0x86, 0xdd) => match (payload.get(6), payload.get(IPV6_HEADER)) {
            (Some(&UDP), _) => Some(Traffic::Datagram),
            (Some(&ICMPV6), Some(kind)) if NEIGHBOUR_DISCOVERY.contains(kind) => Some(Traffic::Neighbours),
            (Some(_), _) => Some(Traffic::Other),
            (None, _) => None,
        },
        (0x08, 0x00) => Some(Traffic::Other),
        (_, _) => None,
    }
}

/// Writes the checksum of UDP or TCP: between interfaces of one machine the kernel leaves it to the receiving side, which a
/// frame that has been through a raw socket no longer tells.
pub(crate) fn finish_checksum(frame: &mut [u8]) {
    let Some((protocol, addresses, start)) = transport(frame) else { return };
    let at = start
        + match protocol {
            UDP => 6,
            TCP => 16,
            _ => return,
        };
    let Some(field) = frame.get_mut(at..at + 2) else { return };
    field.fill(0);
    let segment = &frame[start..];
    let pseudo = sum(&frame[addresses]) + u64::from(protocol) + segment.len() as u64;
    let mut folded = pseudo + sum(segment);
    while folded > 0xffff {
        folded = (folded & 0xffff) + (folded >> 16);
    }
    let checksum = match !(folded as u16) {
        // RFC 768: zero says that there is none.
        0 => 0xffff,
        other => other,
    };
    frame[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// Gives protocol, where the addresses stand, and where the payload of IP begins; nothing for fragments and padding.
fn transport(frame: &[u8]) -> Option<(u8, std::ops::Range<usize>, usize)> {
    let payload = frame.get(ETHERNET..)?;
    let (protocol, addresses, header, length) = match (frame[12], frame[13]) {
        (0x08, 0x00) => {
            let fragment = u16::from_be_bytes([*payload.get(6)?, *payload.get(7)?]) & 0x3fff;
            if fragment != 0 {
                return None;
            }
            let header = usize::from(payload[0] & 0x0f) * 4;
            let total = usize::from(u16::from_be_bytes([payload[2], payload[3]]));
            (*payload.get(9)?, 12..20, header, total)
        }
        (0x86, 0xdd) => {
            let length = usize::from(u16::from_be_bytes([*payload.get(4)?, *payload.get(5)?]));
            (*payload.get(6)?, 8..IPV6_HEADER, IPV6_HEADER, IPV6_HEADER + length)
        }
        (_, _) => return None,
    };
    let range = ETHERNET + addresses.start..ETHERNET + addresses.end;
    (payload.len() == length && length >= header).then_some((protocol, range, ETHERNET + header))
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u64::from(*low))).sum()
}
