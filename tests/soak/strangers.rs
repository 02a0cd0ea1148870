//! Thousands who register once and leave: afterwards every page of the server's tables has been touched, so that what grows
//! later is growth.

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use roundtable_signalling::proto::wire::{
    self, Cookie, Frame, PeerId, Register, Session, Signature, Ticket, TransactionId, Unregister, Zeros,
};
use tokio::net::UdpSocket;

use crate::Shared;

/// How many, each with an address of its own in 127.2.0.0/16. Each touches one page in four rows of 512.
const COUNT: u32 = 6000;
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn pass_by(shared: &Rc<Shared>) {
    for number in 0..COUNT {
        let ip = Ipv4Addr::from_bits(Ipv4Addr::new(127, 2, 0, 1).to_bits() + number);
        let socket = UdpSocket::bind((ip, 0)).await.unwrap();
        let transaction = TransactionId([9; 16]);
        let mut register = Register {
            session: Session::NONE,
            transaction,
            identifier: identifier(shared),
            cookie: Cookie::NONE,
            ticket: Ticket::NONE,
            server: shared.server.into(),
            signature: Signature::NONE,
        };
        let answer = ask(shared, &socket, &Frame::Register(register)).await;
        let Ok(Frame::Challenge(challenge)) = wire::decode(&answer) else { panic!("{answer:?}") };
        register.cookie = challenge.cookie;
        let answer = ask(shared, &socket, &Frame::Register(register)).await;
        let Ok(Frame::Registered(registered)) = wire::decode(&answer) else { panic!("{answer:?}") };
        let leave = Unregister { session: registered.session, transaction, zero: Zeros::ZERO };
        ask(shared, &socket, &Frame::Unregister(leave)).await;
    }
}

fn identifier(shared: &Shared) -> PeerId {
    let mut uuid = [0; 16];
    shared.random.borrow_mut().fill(&mut uuid);
    PeerId::plain(uuid).unwrap()
}

async fn ask(shared: &Shared, socket: &UdpSocket, frame: &Frame<'_>) -> Vec<u8> {
    socket.send_to(&frame.to_vec(), shared.server).await.unwrap();
    shared.report.borrow_mut().count_sent();
    let mut answer = [0; wire::DATAGRAM_MAX];
    let length = tokio::time::timeout(PATIENCE, socket.recv(&mut answer)).await.unwrap().unwrap();
    answer[..length].to_vec()
}
