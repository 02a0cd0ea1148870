//! Datagrams with any source address: the IP header is written here.

use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// `SOCK_RAW`, and `IPPROTO_RAW`: the process writes the IP header.
const RAW: (i32, i32) = (3, 255);
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
const HOPS: u8 = 64;

pub(crate) struct Spoofer {
    v4: Socket,
    v6: Socket,
}

impl Spoofer {
    pub(crate) fn new() -> Self {
        let open = |domain| Socket::new(domain, Type::from(RAW.0), Some(Protocol::from(RAW.1))).unwrap();
        Self { v4: open(Domain::IPV4), v6: open(Domain::IPV6) }
    }

    /// Sends, as if from `source`.
    pub(crate) fn send(&self, source: SocketAddr, to: SocketAddr, contents: &[u8]) {
        let (socket, packet) = match (source.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(ip)) => {
                let mut packet = vec![0x45, 0];
                packet.extend(((20 + UDP_HEADER + contents.len()) as u16).to_be_bytes());
                // Identification, fragment offset, time to live, protocol; the kernel fills the checksum in.
                packet.extend([0, 0, 0, 0, HOPS, UDP, 0, 0]);
                packet.extend(from.octets());
                packet.extend(ip.octets());
                (&self.v4, packet)
            }
            (IpAddr::V6(from), IpAddr::V6(ip)) => {
                let mut packet = vec![0x60, 0, 0, 0];
                packet.extend(((UDP_HEADER + contents.len()) as u16).to_be_bytes());
                packet.extend([UDP, HOPS]);
                packet.extend(from.octets());
                packet.extend(ip.octets());
                (&self.v6, packet)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => panic!("{source} to {to}"),
        };
        let packet = with_udp(packet, source.port(), to.port(), contents);
        socket.send_to(&packet, &SocketAddr::new(to.ip(), 0).into()).unwrap();
    }
}

/// Adds the UDP header and the contents. IPv4 goes without the checksum; IPv6 must have it.
fn with_udp(mut packet: Vec<u8>, source: u16, to: u16, contents: &[u8]) -> Vec<u8> {
    let start = packet.len();
    let length = (UDP_HEADER + contents.len()) as u16;
    for field in [source, to, length, 0] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend(contents);
    if packet[0] == 0x60 {
        // The pseudo header: both addresses, length, protocol.
        let sum = sum(&packet[8..]) + u64::from(length) + u64::from(UDP);
        let folded = (0..4).fold(sum, |sum, _| (sum & 0xFFFF) + (sum >> 16));
        let checksum = match !(folded as u16) {
            0 => 0xFFFF,
            other => other,
        };
        packet[start + 6..start + 8].copy_from_slice(&checksum.to_be_bytes());
    }
    packet
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0))).sum()
}
