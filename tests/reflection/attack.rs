//! The attacker: sends row by row, never faster than the server receives, and counts what the victim gets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use roundtable_signalling::proto::wire::{
    self, Address, Cookie, Frame, Keepalive, PeerId, Register, Session, Signature, Ticket, TransactionId,
};

use crate::hosts::{self, Hosts};
use crate::packet::Spoofer;
use crate::random::Random;
use crate::rows::{Maker, Row, Source};
use crate::table::{Line, Table};

/// Datagrams that may wait at the server: they fit a receive buffer that nobody has enlarged.
const BURST: usize = 64;
/// Bytes in front of the UDP payload, with the link's header, by family.
const HEADERS: [u64; 2] = [14 + 20 + 8, 14 + 40 + 8];
/// How often the server is asked whether all has come, before what is missing counts as dropped on the way.
const ASKED: usize = 100;

/// What the attacker has proved under his own address.
pub(crate) struct Own {
    pub(crate) session: [u8; 16],
    pub(crate) registers: Vec<Vec<u8>>,
    /// Identifier of his other peer.
    pub(crate) friend: [u8; 32],
}

pub(crate) struct Attack {
    pub(crate) hosts: Hosts,
    maker: Maker,
    spoofer: Spoofer,
    /// Sockets and sessions that keep the attacker's own registrations alive.
    peers: Vec<(UdpSocket, Session)>,
}

impl Attack {
    pub(crate) fn new(hosts: Hosts) -> Self {
        let enrolled: Vec<_> = [1, 2].map(enroll).into();
        let friend = *PeerId::plain([2; 16]).unwrap().as_bytes();
        let registers = enrolled.iter().map(|one| one.2.clone()).collect();
        let own = Own { session: enrolled[0].1.0, registers, friend };
        let peers = enrolled.into_iter().map(|(socket, session, _)| (socket, session)).collect();
        Self { hosts, maker: Maker::new(own), spoofer: Spoofer::new(), peers }
    }

    /// Sends at least so many datagrams in all, every row over both families.
    pub(crate) fn run(&mut self, rows: &[Row], random: &mut Random, total: usize) -> Table {
        let each = total.div_ceil(2 * rows.len());
        let mut lines = Vec::new();
        for row in rows {
            self.keep_alive();
            let mut line = Line::new(&row.name);
            for v6 in [false, true] {
                self.send(row, v6, each, random, &mut line);
            }
            lines.push(line);
        }
        Table(lines)
    }

    fn send(&mut self, row: &Row, v6: bool, count: usize, random: &mut Random, line: &mut Line) {
        let (datagrams, bytes) = self.hosts.received();
        let (arrived, dropped) = (self.hosts.server.stats().datagrams, self.hosts.queue().1);
        for number in 0..count {
            let datagram = self.maker.make(row.contents, random);
            let source = source(row.source, v6, random);
            self.spoofer.send(source, hosts::server(v6), &datagram);
            line.sent += 1;
            line.sent_bytes += datagram.len() as u64;
            line.allowed_fifths += row.fifths[usize::from(v6)] * datagram.len() as u64;
            if number % BURST == BURST - 1 || datagram.len() > wire::DATAGRAM_MAX {
                self.drain();
            }
        }
        self.drain();
        let expected = arrived + count as u64;
        for _ in 0..ASKED {
            let dropped = self.hosts.queue().1 - dropped;
            if self.hosts.server.stats().datagrams + dropped >= expected {
                break;
            }
        }
        line.arrived += self.hosts.server.stats().datagrams - arrived;
        let after = self.hosts.received();
        line.received += after.0 - datagrams;
        line.received_bytes += (after.1 - bytes) - HEADERS[usize::from(v6)] * (after.0 - datagrams);
    }

    /// Waits until the server has taken what waits there.
    fn drain(&self) {
        while self.hosts.queue().0 > 0 {
            std::thread::yield_now();
        }
    }

    fn keep_alive(&self) {
        for (socket, session) in &self.peers {
            let (session, observed) = (*session, Address::NONE);
            let keepalive = Keepalive { session, transaction: TransactionId([3; 16]), observed };
            let answer = ask(socket, &Frame::Keepalive(keepalive).to_vec());
            assert!(matches!(wire::decode(&answer), Ok(Frame::KeepaliveReply(_))), "{answer:?}");
        }
    }
}

/// Registers under the attacker's own address; gives the REGISTER too.
fn enroll(number: u8) -> (UdpSocket, Session, Vec<u8>) {
    let socket = UdpSocket::bind("192.0.2.2:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut register = Register {
        session: Session::NONE,
        transaction: TransactionId([number; 16]),
        identifier: PeerId::plain([number; 16]).unwrap(),
        cookie: Cookie::NONE,
        ticket: Ticket::NONE,
        server: Address::NONE,
        signature: Signature::NONE,
    };
    let challenge = ask(&socket, &Frame::Register(register).to_vec());
    let Ok(Frame::Challenge(challenge)) = wire::decode(&challenge) else { panic!("{challenge:?}") };
    register.cookie = challenge.cookie;
    let bytes = Frame::Register(register).to_vec();
    let registered = ask(&socket, &bytes);
    let Ok(Frame::Registered(registered)) = wire::decode(&registered) else { panic!("{registered:?}") };
    (socket, registered.session, bytes)
}

fn ask(socket: &UdpSocket, datagram: &[u8]) -> Vec<u8> {
    let mut buffer = [0; wire::DATAGRAM_MAX];
    socket.send_to(datagram, hosts::server(false)).unwrap();
    let length = socket.recv(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

/// Draws the address in whose name a datagram is sent.
fn source(source: Source, v6: bool, random: &mut Random) -> SocketAddr {
    let port = random.next() as u16;
    let host = random.next() as u8;
    let victim: IpAddr = if v6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, random.next() as u16, u16::from(host)).into()
    } else {
        Ipv4Addr::new(203, 0, 113, host).into()
    };
    let impossible = ["0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", "198.51.100.255"];
    let impossible_v6 = ["::", "ff02::1", "::1", "::ffff:203.0.113.1"];
    match source {
        Source::Victim => SocketAddr::new(victim, port),
        Source::Port(port) => SocketAddr::new(victim, port),
        Source::Server => hosts::server(v6),
        Source::Impossible => {
            let ip = if v6 { random.pick(&impossible_v6) } else { random.pick(&impossible) };
            SocketAddr::new(ip.parse().unwrap(), port)
        }
    }
}
