//! The frames that clients send and the answers that they expect.

use std::net::SocketAddr;

use roundtable_proto::wire::{
    Ack, Address, Arrived, BlobKind, Cookie, Digest, ErrorCode, Fragment, FragmentHead, Frame, Keepalive,
    Kind, OfferId, PeerId, Ping, Punch, Refusal, Register, Relayed, RelayedHead, Session, Signature, Ticket,
    TransactionId, Unregister, Zeros, fragment_range,
};

pub(crate) fn id(number: u8) -> PeerId {
    PeerId::plain([number; 16]).unwrap()
}

pub(crate) fn keyed(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32]).unwrap()
}

pub(crate) fn call(number: u8) -> OfferId {
    OfferId::from_random([number; 16])
}

/// The transaction of every request that needs none of its own.
pub(crate) const ASKED: TransactionId = TransactionId([0xA5; 16]);
/// A session that no server gave.
pub(crate) const STRANGE: Session = Session([0xEE; 16]);
/// The blob of every offer, answer and candidate that needs none of its own.
pub(crate) const BLOB: &[u8] = b"v=0";

pub(crate) fn ping() -> Frame<'static> {
    Frame::Ping(Ping { transaction: ASKED, zero: Zeros::ZERO })
}

pub(crate) fn register(session: Session, identifier: PeerId, cookie: Cookie) -> Frame<'static> {
    let signature = Signature::NONE;
    Frame::Register(Register {
        session,
        transaction: ASKED,
        identifier,
        cookie,
        ticket: Ticket::NONE,
        server: "192.0.2.1:1066".parse().unwrap(),
        signature,
    })
}

pub(crate) fn keepalive(session: Session) -> Frame<'static> {
    Frame::Keepalive(Keepalive { session, transaction: ASKED, observed: Address::NONE })
}

pub(crate) fn keepalive_reply(session: Session, observed: SocketAddr) -> Frame<'static> {
    Frame::KeepaliveReply(Keepalive { session, transaction: ASKED, observed: Address::from(observed) })
}

pub(crate) fn unregister(session: Session) -> Frame<'static> {
    Frame::Unregister(Unregister { session, transaction: ASKED, zero: Zeros::ZERO })
}

/// One fragment of a blob.
pub(crate) fn fragment(
    kind: BlobKind,
    session: Session,
    offer: OfferId,
    target: PeerId,
    whole: &[u8],
    index: u8,
) -> Frame<'_> {
    let (digest, length) = (Digest::of(whole), whole.len() as u32);
    let head = FragmentHead { session, offer, target, digest, length, index, zero: Zeros::ZERO };
    let part = match kind {
        BlobKind::Offer | BlobKind::Answer => &whole[fragment_range(whole.len(), index)],
        BlobKind::Candidate => whole,
    };
    let fragment = Fragment::new(kind, head, part).unwrap();
    match kind {
        BlobKind::Offer => Frame::Offer(fragment),
        BlobKind::Answer => Frame::Answer(fragment),
        BlobKind::Candidate => Frame::Candidate(fragment),
    }
}

/// The same fragment as its receiver gets it.
pub(crate) fn relayed<'a>(
    sent: &Frame<'a>,
    session: Session,
    source: PeerId,
    observed: SocketAddr,
) -> Frame<'a> {
    let (kind, fragment) = match sent {
        Frame::Offer(fragment) => (BlobKind::Offer, fragment),
        Frame::Answer(fragment) => (BlobKind::Answer, fragment),
        Frame::Candidate(fragment) => (BlobKind::Candidate, fragment),
        other => panic!("{other:?}"),
    };
    let FragmentHead { offer, digest, length, index, .. } = *fragment.head();
    let observed = Address::from(observed);
    let head = RelayedHead { session, offer, source, observed, digest, length, index };
    let relayed = Relayed::new(kind, head, fragment.blob()).unwrap();
    match kind {
        BlobKind::Offer => Frame::RelayedOffer(relayed),
        BlobKind::Answer => Frame::RelayedAnswer(relayed),
        BlobKind::Candidate => Frame::RelayedCandidate(relayed),
    }
}

pub(crate) fn offer(session: Session, offer: OfferId, target: PeerId) -> Frame<'static> {
    fragment(BlobKind::Offer, session, offer, target, BLOB, 0)
}

pub(crate) fn answer(session: Session, offer: OfferId, target: PeerId) -> Frame<'static> {
    fragment(BlobKind::Answer, session, offer, target, BLOB, 0)
}

pub(crate) fn candidate(session: Session, offer: OfferId, target: PeerId) -> Frame<'static> {
    fragment(BlobKind::Candidate, session, offer, target, BLOB, 0)
}

pub(crate) fn ack(session: Session, offer: OfferId) -> Frame<'static> {
    Frame::Ack(Ack::new(session, offer, BlobKind::Offer, Arrived(1)))
}

pub(crate) fn punch(session: Session, offer: OfferId) -> Frame<'static> {
    Frame::Punch(Punch { session, offer, zero: Zeros::ZERO })
}

/// One frame of each kind that needs a session. Target is id 2.
pub(crate) fn with_session(session: Session) -> Vec<Frame<'static>> {
    vec![
        keepalive(session),
        unregister(session),
        offer(session, call(1), id(2)),
        answer(session, call(1), id(2)),
        candidate(session, call(1), id(2)),
        ack(session, call(1)),
        punch(session, call(1)),
    ]
}

/// The ERROR to a request or a frame about a call.
pub(crate) fn error(reference: impl Into<Reference>, code: ErrorCode, kind: Kind) -> Frame<'static> {
    error_with(reference, code, kind, 0, 0)
}

pub(crate) fn error_with(
    reference: impl Into<Reference>,
    code: ErrorCode,
    kind: Kind,
    detail: u8,
    retry_after: u32,
) -> Frame<'static> {
    let Reference(reference) = reference.into();
    Frame::Error(Refusal { reference, code: code.number(), kind: kind.number(), detail, retry_after })
}

/// What an answer refers to.
pub(crate) struct Reference(TransactionId);

impl From<TransactionId> for Reference {
    fn from(transaction: TransactionId) -> Self {
        Self(transaction)
    }
}

impl From<OfferId> for Reference {
    fn from(offer: OfferId) -> Self {
        Self(offer.reference())
    }
}
