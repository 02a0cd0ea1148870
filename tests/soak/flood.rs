//! Now and then a flood from all of 127.0.1.0/24: junk, made-up sessions, forged cookies.

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use roundtable_signalling::proto::wire::{
    Address, Cookie, Frame, Keepalive, PeerId, Ping, Register, Session, Signature, Ticket, TransactionId,
    Zeros,
};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::Shared;

/// Sockets that flood, each with an address of its own.
const SOURCES: u8 = 50;
/// Every so often so many datagrams: 3,000 a second.
const TICK: Duration = Duration::from_millis(10);
const EACH_TICK: usize = 30;
/// Floods in the whole time, and the share of the time that one takes.
const FLOODS: u32 = 10;
const SHARE: u32 = 10;

pub(crate) async fn now_and_then(shared: Rc<Shared>, length: Duration) {
    let mut sockets = Vec::new();
    for number in 0..SOURCES {
        sockets.push(UdpSocket::bind((Ipv4Addr::new(127, 0, 1, number + 1), 0)).await.unwrap());
    }
    let start = Instant::now();
    for number in 0..FLOODS {
        // In the first half of each share.
        tokio::time::sleep_until(start + length / FLOODS * number + length / FLOODS / 2).await;
        let end = Instant::now() + (length / FLOODS / SHARE).max(Duration::from_millis(200));
        let mut ticks = tokio::time::interval(TICK);
        while Instant::now() < end && !shared.is_over() {
            ticks.tick().await;
            for _ in 0..EACH_TICK {
                let (at, datagram) = draw(&shared, sockets.len());
                // A full send buffer sends nothing.
                if sockets[at].try_send_to(&datagram, shared.server).is_ok() {
                    shared.report.borrow_mut().count_flood();
                }
                let mut unread = [0; 2048];
                while sockets[at].try_recv(&mut unread).is_ok() {}
            }
        }
    }
}

fn draw(shared: &Shared, sources: usize) -> (usize, Vec<u8>) {
    let mut random = shared.random.borrow_mut();
    let at = random.below(sources);
    let mut drawn = [0; 64];
    random.fill(&mut drawn);
    let take = |from: usize| -> [u8; 16] { std::array::from_fn(|index| drawn[from + index]) };
    let transaction = TransactionId(take(0));
    let frame = match random.below(5) {
        0 => {
            let mut junk = vec![0; 1 + random.below(1400)];
            random.fill(&mut junk);
            return (at, junk);
        }
        1 => Frame::Ping(Ping { transaction, zero: Zeros::ZERO }),
        2 => Frame::Keepalive(Keepalive { session: Session(take(16)), transaction, observed: Address::NONE }),
        _ => Frame::Register(Register {
            session: Session::NONE,
            transaction,
            identifier: PeerId::plain(take(16)).unwrap(),
            cookie: Cookie(take(32)),
            ticket: Ticket::NONE,
            server: shared.server.into(),
            signature: Signature::NONE,
        }),
    };
    (at, frame.to_vec())
}
