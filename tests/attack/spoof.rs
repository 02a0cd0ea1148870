//! Datagrams with any source address, where the system lets this process make them (a raw socket: Linux, CAP_NET_RAW).

use std::io;
use std::net::{SocketAddr, SocketAddrV4};

use socket2::{Domain, Protocol, Socket, Type};

/// `SOCK_RAW`, and `IPPROTO_RAW`: the process writes the IP header.
const RAW: (i32, i32) = (3, 255);
const UDP: u8 = 17;
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;

pub(crate) struct Spoofer(Socket);

impl Spoofer {
    pub(crate) fn new() -> io::Result<Self> {
        Socket::new(Domain::IPV4, Type::from(RAW.0), Some(Protocol::from(RAW.1))).map(Self)
    }

    /// Sends, as if from `source`. The kernel fills the header's checksum in; UDP goes without.
    pub(crate) fn send(&self, source: SocketAddr, to: SocketAddr, contents: &[u8]) {
        let (SocketAddr::V4(source), SocketAddr::V4(to)) = (source, to) else { panic!("IPv4 only") };
        self.0.send_to(&packet(source, to, contents), &SocketAddr::V4(to).into()).unwrap();
    }
}

fn packet(source: SocketAddrV4, to: SocketAddrV4, contents: &[u8]) -> Vec<u8> {
    let length = |header: usize| ((header + contents.len()) as u16).to_be_bytes();
    let mut packet = vec![0x45, 0];
    packet.extend(length(IP_HEADER + UDP_HEADER));
    // Identification, fragment offset, time to live, protocol, checksum.
    packet.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
    packet.extend(source.ip().octets());
    packet.extend(to.ip().octets());
    packet.extend(source.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(length(UDP_HEADER));
    packet.extend([0, 0]);
    packet.extend(contents);
    packet
}
