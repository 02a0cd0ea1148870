//! Raw frames, and a peer that is nothing but a socket and a session.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use roundtable_signalling::proto::wire::{
    self, Address, BlobKind, Cookie, Digest, Fragment, FragmentHead, Frame, Keepalive, OfferId, PeerId,
    Register, Session, Signature, Ticket, TransactionId, Zeros,
};

/// Where the server is.
pub(crate) const SERVER: [&str; 2] = ["192.0.2.1:1066", "[2001:db8:a::1]:1066"];
/// Longest wait for one answer before the question is repeated.
const REPEAT: Duration = Duration::from_millis(500);
/// Repeats, at most: only ever reached by a failing test.
const REPEATS: usize = 100;

pub(crate) fn identifier(group: u8, number: u32) -> PeerId {
    let mut uuid = [group; 16];
    uuid[..4].copy_from_slice(&number.to_be_bytes());
    PeerId::plain(uuid).unwrap()
}

pub(crate) fn transaction(number: u64) -> TransactionId {
    let mut bytes = [1; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    TransactionId(bytes)
}

pub(crate) fn register(identifier: PeerId, cookie: Cookie) -> Vec<u8> {
    let register = Register {
        session: Session::NONE,
        transaction: transaction(0),
        identifier,
        cookie,
        ticket: Ticket::NONE,
        server: Address::NONE,
        signature: Signature::NONE,
    };
    Frame::Register(register).to_vec()
}

pub(crate) fn keepalive(session: Session, number: u64) -> Vec<u8> {
    let keepalive = Keepalive { session, transaction: transaction(number), observed: Address::NONE };
    Frame::Keepalive(keepalive).to_vec()
}

/// The only fragment of an offer.
pub(crate) fn offer(session: Session, target: PeerId, number: u64) -> Vec<u8> {
    let blob = [7; 600];
    let offer = OfferId::from_random(transaction(number).0);
    let (length, digest) = (600, Digest::of(&blob));
    let head = FragmentHead { session, offer, target, digest, length, index: 0, zero: Zeros::ZERO };
    Frame::Offer(Fragment::new(BlobKind::Offer, head, &blob).unwrap()).to_vec()
}

pub(crate) fn socket(ip: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    let server: SocketAddr = SERVER[usize::from(ip.is_ipv6())].parse().unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(REPEAT)).unwrap();
    socket
}

/// Sends until an answer has come that `take` takes.
fn ask<T>(socket: &UdpSocket, datagram: &[u8], take: impl Fn(Frame<'_>) -> Option<T>) -> T {
    let mut buffer = [0; wire::DATAGRAM_MAX];
    for _ in 0..REPEATS {
        socket.send(datagram).unwrap();
        while let Ok(length) = socket.recv(&mut buffer) {
            if let Some(taken) = wire::decode(&buffer[..length]).ok().and_then(&take) {
                return taken;
            }
        }
    }
    panic!("no answer to {datagram:02x?}");
}

pub(crate) fn cookie(socket: &UdpSocket) -> Cookie {
    ask(socket, &register(identifier(9, 0), Cookie::NONE), |frame| {
        if let Frame::Challenge(challenge) = frame { Some(challenge.cookie) } else { None }
    })
}

pub(crate) fn join(socket: &UdpSocket, identifier: PeerId) -> Session {
    let cookie = cookie(socket);
    ask(socket, &register(identifier, cookie), |frame| {
        if let Frame::Registered(registered) = frame { Some(registered.session) } else { None }
    })
}
