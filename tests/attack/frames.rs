//! Frames as an attacker makes them, and a registration by hand. The one place that knows what REGISTER holds.

use std::net::SocketAddr;

use roundtable_signalling::proto::identity::{Binding, Identity, SecretKey};
use roundtable_signalling::proto::wire::{
    self, Ack, Address, Arrived, BlobKind, Challenge, Cookie, Digest, Fragment, FragmentHead, Frame,
    Keepalive, Kind, OfferId, PeerId, Punch, Register, Registered, Session, Signature, Ticket, TransactionId,
    Unregister, Zeros,
};
use tokio::net::UdpSocket;

use crate::random::Random;

/// First byte of the transaction of a REGISTER for an identifier that is free for everybody: whoever gets that one has
/// gained nothing.
pub(crate) const OWN: u8 = 0x0B;
/// First byte of every other transaction.
const OTHER: u8 = 0x0A;

/// A REGISTER in the making: what is not said is none.
#[derive(Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) identifier: PeerId,
    pub(crate) session: Session,
    pub(crate) cookie: Cookie,
    pub(crate) ticket: Ticket,
    /// What the server is called.
    pub(crate) server: Address,
    pub(crate) signature: Signature,
}

impl Claim {
    pub(crate) fn of(identifier: PeerId, cookie: Cookie, server: SocketAddr) -> Self {
        let (session, ticket, signature) = (Session::NONE, Ticket::NONE, Signature::NONE);
        Self { identifier, session, cookie, ticket, server: Address::from(server), signature }
    }

    /// Signs as this key can, at this address.
    pub(crate) fn signed(self, key: &SecretKey, observed: SocketAddr) -> Self {
        let Self { cookie, server, .. } = self;
        let binding = Binding { cookie, observed: Address::from(observed), server };
        Self { signature: key.sign_register(&binding), ..self }
    }

    pub(crate) fn frame(&self, transaction: TransactionId) -> Vec<u8> {
        let Self { identifier, session, cookie, ticket, server, signature } = *self;
        let register = Register { session, transaction, identifier, cookie, ticket, server, signature };
        Frame::Register(register).to_vec()
    }

    pub(crate) fn attempt(&self, random: &mut Random) -> Vec<u8> {
        self.frame(transaction(random, OTHER))
    }

    /// The same, for an identifier that the attacker may have.
    pub(crate) fn own(&self, random: &mut Random) -> Vec<u8> {
        self.frame(transaction(random, OWN))
    }
}

pub(crate) fn transaction(random: &mut Random, mark: u8) -> TransactionId {
    let mut bytes = random.bytes();
    bytes[0] = mark;
    TransactionId(bytes)
}

/// A registration that was made by hand.
#[derive(Clone)]
pub(crate) struct Enrolled {
    /// The REGISTER, as it went over the wire.
    pub(crate) register: Vec<u8>,
    pub(crate) claim: Claim,
    pub(crate) registered: Registered,
}

/// Registers an identity from this socket, both round trips.
pub(crate) async fn enroll(socket: &UdpSocket, server: SocketAddr, identity: &Identity) -> Enrolled {
    let cookie = cookie(socket, server).await;
    let mut claim = Claim::of(identity.identifier(), cookie, server);
    if let Identity::Keyed(key) = identity {
        claim = claim.signed(key, socket.local_addr().unwrap());
    }
    let register = claim.frame(TransactionId([OWN; 16]));
    match wire::decode(&ask(socket, server, &register).await) {
        Ok(Frame::Registered(registered)) => Enrolled { register, claim, registered },
        other => panic!("{other:?}"),
    }
}

/// Asks for a cookie for this socket's address.
pub(crate) async fn cookie(socket: &UdpSocket, server: SocketAddr) -> Cookie {
    let nobody = PeerId::plain([0xEE; 16]).unwrap();
    let asked = Claim::of(nobody, Cookie::NONE, server).frame(TransactionId([OWN; 16]));
    match wire::decode(&ask(socket, server, &asked).await) {
        Ok(Frame::Challenge(Challenge { cookie, .. })) => cookie,
        other => panic!("{other:?}"),
    }
}

async fn ask(socket: &UdpSocket, server: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    let mut buffer = [0; wire::DATAGRAM_MAX];
    socket.send_to(datagram, server).await.unwrap();
    let (length, _) = crate::rig::within(socket.recv_from(&mut buffer)).await.unwrap();
    buffer[..length].to_vec()
}

/// A frame of this kind under any session, about an open call.
pub(crate) fn forged(
    kind: Kind,
    session: Session,
    offer: OfferId,
    target: PeerId,
    random: &mut Random,
) -> Vec<u8> {
    let transaction = transaction(random, OTHER);
    let blob = random.bytes::<24>();
    let length = if kind == Kind::Answer && random.below(2) == 0 { 0 } else { blob.len() };
    let blob = &blob[..length];
    let (digest, zero) = (Digest::of(blob), Zeros::ZERO);
    let head = FragmentHead { session, offer, target, digest, length: length as u32, index: 0, zero };
    let fragment = |kind| Fragment::new(kind, head, blob).unwrap();
    match kind {
        Kind::Keepalive => Frame::Keepalive(Keepalive { session, transaction, observed: Address::NONE }),
        Kind::Unregister => Frame::Unregister(Unregister { session, transaction, zero: Zeros::ZERO }),
        Kind::Offer => Frame::Offer(fragment(BlobKind::Offer)),
        Kind::Answer => Frame::Answer(fragment(BlobKind::Answer)),
        Kind::Candidate => Frame::Candidate(fragment(BlobKind::Candidate)),
        Kind::Ack => {
            let of = *random.pick(&[BlobKind::Offer, BlobKind::Answer, BlobKind::Candidate]);
            Frame::Ack(Ack::new(session, offer, of, Arrived(random.next() | 1)))
        }
        Kind::Punch => Frame::Punch(Punch { session, offer, zero: Zeros::ZERO }),
        other => panic!("{other:?} holds no session that a server looks at"),
    }
    .to_vec()
}
