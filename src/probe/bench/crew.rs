//! The peers that the load plays: who they are, which sessions they hold, and the frames they send.

use std::net::SocketAddr;

use roundtable_proto::Seed;
use roundtable_proto::identity::{Binding, SecretKey};
use roundtable_proto::wire::{
    Ack, Address, Arrived, BENCHMARK_ID, BlobKind, Challenge, Cookie, Digest, FRAGMENT, Fragment,
    FragmentHead, Frame, Keepalive, OfferId, PeerId, Ping, Register, Session, Signature, Ticket,
    TransactionId, Zeros,
};

use super::tag::Tag;

/// Fragments of a train.
pub(super) const TRAIN: u8 = 8;

pub(super) struct Crew {
    /// How identifiers and seeds of keys start: another in every run, so that two runs do not take each other's.
    salt: [u8; 8],
    /// Number of the first peer.
    base: u64,
    pub(super) sessions: Vec<Session>,
    keys: Option<Vec<SecretKey>>,
}

impl Crew {
    pub(super) fn new(seed: &Seed, keyed: bool) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = seed.0;
        let salt = [a, b, c, d, e, f, g, h | 1];
        Self { salt, base: 0, sessions: Vec::new(), keys: keyed.then(Vec::new) }
    }

    /// Replaces all peers by `count` new ones without a session.
    pub(super) fn muster(&mut self, count: u32) {
        self.base += self.sessions.len() as u64;
        self.sessions = vec![Session::NONE; count as usize];
        if self.keys.is_some() {
            let keys = (0..count).filter_map(|peer| SecretKey::from_seed(&self.key_seed(peer)).ok());
            self.keys = Some(keys.collect());
        }
    }

    /// Returns what no other run has.
    pub(super) const fn salt(&self) -> u64 {
        u64::from_be_bytes(self.salt)
    }

    /// Counts the peers.
    pub(super) const fn len(&self) -> u32 {
        self.sessions.len() as u32
    }

    /// Counts the peers that are registered.
    pub(super) fn registered(&self) -> usize {
        (0..self.len()).filter(|peer| self.is_registered(*peer)).count()
    }

    pub(super) fn is_registered(&self, peer: u32) -> bool {
        self.session(peer) != Session::NONE
    }

    fn number(&self, peer: u32) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.salt);
        bytes[8..].copy_from_slice(&(self.base + u64::from(peer)).to_be_bytes());
        bytes
    }

    fn key_seed(&self, peer: u32) -> [u8; 32] {
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&self.number(peer));
        seed
    }

    fn key(&self, peer: u32) -> Option<&SecretKey> {
        self.keys.as_ref()?.get(peer as usize)
    }

    fn identifier(&self, peer: u32) -> PeerId {
        let plain = || PeerId::plain(self.number(peer)).unwrap_or(BENCHMARK_ID);
        self.key(peer).map_or_else(plain, SecretKey::identifier)
    }

    fn session(&self, peer: u32) -> Session {
        self.sessions.get(peer as usize).copied().unwrap_or(Session::NONE)
    }

    /// REGISTER without a cookie.
    pub(super) fn first_register(&self, tag: Tag) -> Frame<'static> {
        self.register(tag, Cookie::NONE, Address::NONE, Signature::NONE)
    }

    /// REGISTER with what a CHALLENGE gave, to the server at `server`.
    pub(super) fn second_register(
        &self,
        tag: Tag,
        challenge: &Challenge,
        server: SocketAddr,
    ) -> Frame<'static> {
        let (cookie, observed) = (challenge.cookie, challenge.observed);
        let binding = Binding { cookie, observed, server: Address::from(server) };
        let sign = |key: &SecretKey| key.sign_register(&binding);
        let signature = self.key(tag.peer).map_or(Signature::NONE, sign);
        self.register(tag, cookie, binding.server, signature)
    }

    fn register(&self, tag: Tag, cookie: Cookie, server: Address, signature: Signature) -> Frame<'static> {
        Frame::Register(Register {
            session: Session::NONE,
            transaction: TransactionId(tag.to_bytes()),
            identifier: self.identifier(tag.peer),
            cookie,
            ticket: Ticket::NONE,
            server,
            signature,
        })
    }

    pub(super) fn keepalive(&self, tag: Tag) -> Frame<'static> {
        let transaction = TransactionId(tag.to_bytes());
        let session = self.session(tag.peer);
        Frame::Keepalive(Keepalive { session, transaction, observed: Address::NONE })
    }

    /// KEEPALIVE with a session that nobody has.
    pub(super) fn stale(tag: Tag) -> Frame<'static> {
        let transaction = TransactionId(tag.to_bytes());
        Frame::Keepalive(Keepalive { session: Session([0xEE; 16]), transaction, observed: Address::NONE })
    }

    pub(super) fn ping(tag: Tag) -> Frame<'static> {
        Frame::Ping(Ping { transaction: TransactionId(tag.to_bytes()), zero: Zeros::ZERO })
    }

    pub(super) fn ack(&self, peer: u32, offer: OfferId, kind: BlobKind) -> Frame<'static> {
        Frame::Ack(Ack::new(self.session(peer), offer, kind, Arrived::all(1)))
    }

    /// Appends fragment `index` of `count` of an offer or an answer from `peer` to its partner; the tag opens the blob.
    pub(super) fn fragment(
        &self,
        peer: u32,
        offer: OfferId,
        kind: BlobKind,
        (index, count): (u8, u8),
        tag: Tag,
        out: &mut Vec<u8>,
    ) {
        let mut blob = [b'v'; FRAGMENT];
        blob[..16].copy_from_slice(&tag.to_bytes());
        let head = FragmentHead {
            session: self.session(peer),
            offer,
            target: self.identifier(partner(peer)),
            digest: Digest::from_bytes([1; 8]),
            length: u32::from(count) * FRAGMENT as u32,
            index,
            zero: Zeros::ZERO,
        };
        let Ok(fragment) = Fragment::new(kind, head, &blob) else { return };
        let frame = match kind {
            BlobKind::Offer => Frame::Offer(fragment),
            BlobKind::Answer => Frame::Answer(fragment),
            BlobKind::Candidate => Frame::Candidate(fragment),
        };
        frame.encode(out);
    }
}

/// Whom `peer` calls: two and two belong together.
pub(super) const fn partner(peer: u32) -> u32 {
    peer ^ 1
}

/// Turns a tag into an offer id.
pub(super) fn offer_id(tag: Tag) -> OfferId {
    // A tag is never zero, which is all that an offer id must not be.
    OfferId::from_bytes(tag.to_bytes()).unwrap_or_else(|| OfferId::from_random([1; 16]))
}
