//! Attackers: one who sees what passes and sends noise, and peers who are registered and misbehave.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use roundtable_proto::server::Outcome;
use roundtable_proto::vnet::{Point, SERVER_V4, SERVER_V6, Tapped, World};
use roundtable_proto::wire::{
    self, Ack, Address, Arrived, BlobKind, Cookie, DATAGRAM_MAX, Digest, FRAGMENT, Fragment, FragmentHead,
    Frame, Keepalive, OfferId, PeerId, Ping, Punch, Register, Session, Signature, Ticket, TransactionId,
    Unregister, Zeros,
};

/// Datagrams that are kept for replay.
const CAPTURED: usize = 512;

/// What an attacker on the path has seen.
#[derive(Default)]
struct Seen {
    /// Datagrams to the server, and where they came from.
    captured: VecDeque<(SocketAddr, Vec<u8>)>,
    /// The last cookie and the last session that went to an address.
    granted: BTreeMap<SocketAddr, (Option<Cookie>, Option<Session>)>,
    offers: VecDeque<OfferId>,
    /// The last offer that was relayed to an address, and whose it is.
    rung: BTreeMap<SocketAddr, (OfferId, PeerId)>,
}

pub(crate) struct Attacker {
    seen: Rc<RefCell<Seen>>,
}

impl Attacker {
    pub(crate) fn watching(world: &mut World) -> Self {
        let seen = Rc::new(RefCell::new(Seen::default()));
        let watched = Rc::clone(&seen);
        world.tap(move |tapped| watched.borrow_mut().see(tapped));
        Self { seen }
    }

    /// Sends something that no validated peer would.
    pub(crate) fn noise(&self, world: &mut World, rogues: &[Rogue]) -> Option<Outcome> {
        let captured = self.captured(world);
        let elsewhere = self.somewhere(world, rogues);
        let (from, datagram) = match (world.random().below(8), captured) {
            (0, _) => {
                let length = world.random().below(1500) as usize;
                (elsewhere, world.random().bytes(length))
            }
            (1, _) => (elsewhere, ours_but_random(world)),
            (2, _) => (elsewhere, forged(world).to_vec()),
            (3, _) => (elsewhere, binding(world)),
            (_, None) => return None,
            // Replays from the same address and from another one.
            (4, Some((from, datagram))) => (from, datagram),
            (5, Some((_, datagram))) => (elsewhere, datagram),
            (6, Some((from, datagram))) => (from, mutated(world, datagram)),
            (_, Some((_, datagram))) => (elsewhere, mutated(world, datagram)),
        };
        world.inject(from, &datagram)
    }

    fn captured(&self, world: &mut World) -> Option<(SocketAddr, Vec<u8>)> {
        let seen = self.seen.borrow();
        let at = world.random().below(seen.captured.len() as u64) as usize;
        seen.captured.get(at).cloned()
    }

    /// Any address: of nobody, of a client or of a rogue.
    fn somewhere(&self, world: &mut World, rogues: &[Rogue]) -> SocketAddr {
        let nobody = SocketAddr::from(([203, 0, 113, world.random().below(256) as u8], 9));
        match world.random().below(3) {
            0 => nobody,
            1 => self.captured(world).map_or(nobody, |(from, _)| from),
            _ => world.random().pick(rogues).map_or(nobody, |rogue| rogue.address),
        }
    }

    /// A call that somebody has opened, or a new one.
    fn some_offer(&self, world: &mut World) -> OfferId {
        let seen = self.seen.borrow();
        let at = world.random().below(seen.offers.len() as u64) as usize;
        let known = seen.offers.get(at).copied().filter(|_| world.random().below(3) > 0);
        known.unwrap_or_else(|| OfferId::from_random(world.random().sixteen()))
    }
}

impl Seen {
    fn see(&mut self, tapped: &Tapped<'_>) {
        match tapped.point {
            Point::Server => {
                keep(&mut self.captured, (tapped.from, tapped.contents.to_vec()));
                if let Ok(Frame::Offer(fragment)) = wire::decode(tapped.contents) {
                    let id = fragment.head().offer;
                    if !self.offers.contains(&id) {
                        keep(&mut self.offers, id);
                        self.offers.truncate(8);
                    }
                }
            }
            Point::FromServer => {
                let granted = self.granted.entry(tapped.to).or_default();
                match wire::decode(tapped.contents) {
                    Ok(Frame::Challenge(challenge)) => granted.0 = Some(challenge.cookie),
                    Ok(Frame::Registered(registered)) => granted.1 = Some(registered.session),
                    Ok(Frame::RelayedOffer(relayed)) => {
                        self.rung.insert(tapped.to, (relayed.head().offer, relayed.head().source));
                    }
                    Ok(_) | Err(_) => {}
                }
            }
            Point::Client(_) | Point::FromClient(_) => {}
        }
    }
}

/// Puts it in front; the oldest goes.
fn keep<T>(kept: &mut VecDeque<T>, item: T) {
    kept.push_front(item);
    kept.truncate(CAPTURED);
}

/// A good header and any body.
fn ours_but_random(world: &mut World) -> Vec<u8> {
    let length = 4 + world.random().below(200) as usize;
    let mut datagram = world.random().bytes(length);
    datagram[..3].copy_from_slice(b"RT\x01");
    if world.random().below(2) == 0 {
        datagram[3] &= 0x0F;
    }
    datagram
}

/// A STUN Binding request: with or without what pays for its answer, and sometimes with what is not understood.
fn binding(world: &mut World) -> Vec<u8> {
    let mut datagram = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    datagram.extend_from_slice(&world.random().sixteen()[..12]);
    for _ in 0..world.random().below(4) {
        let number = [0x80, 0xFF, 0x00, 0x24][2 * world.random().below(2) as usize..][..2].to_vec();
        datagram.extend_from_slice(&number);
        datagram.extend_from_slice(&[0, 4, 0, 0, 0, 0]);
        datagram[3] += 8;
    }
    datagram
}

/// A good frame under a session that nobody was given.
fn forged(world: &mut World) -> Frame<'static> {
    let session = Session(world.random().sixteen());
    let offer = OfferId::from_random(world.random().sixteen());
    let transaction = TransactionId(world.random().sixteen());
    match world.random().below(5) {
        0 => Frame::Keepalive(Keepalive { session, transaction, observed: Address::NONE }),
        1 => Frame::Unregister(Unregister { session, transaction, zero: Zeros::ZERO }),
        2 => Frame::Ack(Ack::new(session, offer, BlobKind::Offer, Arrived(1))),
        3 => Frame::Punch(Punch { session, offer, zero: Zeros::ZERO }),
        _ => Frame::Ping(Ping { transaction, zero: Zeros::ZERO }),
    }
}

fn mutated(world: &mut World, mut datagram: Vec<u8>) -> Vec<u8> {
    match world.random().below(4) {
        0 => {
            let length = world.random().below(datagram.len() as u64 + 1) as usize;
            datagram.truncate(length);
        }
        1 => {
            let more = world.random().below(60) as usize;
            let tail = world.random().bytes(more);
            datagram.extend_from_slice(&tail);
        }
        _ => {
            for _ in 0..=world.random().below(3) {
                let at = world.random().below(datagram.len() as u64) as usize;
                if let Some(byte) = datagram.get_mut(at) {
                    *byte ^= 1 << world.random().below(8);
                }
            }
        }
    }
    datagram
}

/// Where rogues live: 203.0.113.200 and up.
const ROGUES: u8 = 200;

/// Tells whether an address is a rogue's.
pub(crate) fn is_rogue(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V4(v4) if v4.ip().octets()[..3] == [203, 0, 113] && v4.ip().octets()[3] >= ROGUES)
}

/// A peer that registers as it should and then does as it likes.
pub(crate) struct Rogue {
    address: SocketAddr,
    identifier: PeerId,
    /// What it sent last, to send it again.
    last: Vec<u8>,
}

impl Rogue {
    pub(crate) fn new(number: u8, identifier: PeerId) -> Self {
        Self {
            address: SocketAddr::from(([203, 0, 113, ROGUES + number], 6666)),
            identifier,
            last: Vec::new(),
        }
    }

    pub(crate) fn act(
        &mut self,
        world: &mut World,
        attacker: &Attacker,
        targets: &[PeerId],
    ) -> Option<Outcome> {
        // Moves now and then, sometimes to a port where another one was.
        if world.random().below(2000) == 0 {
            self.address.set_port(6000 + world.random().below(4) as u16);
        }
        let (cookie, session) =
            attacker.seen.borrow().granted.get(&self.address).copied().unwrap_or_default();
        if session.is_none() || world.random().below(40) == 0 {
            return self.register(world, cookie, session, targets);
        }
        let session = session.unwrap_or(Session::NONE);
        let datagram = match world.random().below(10) {
            0 => self.last.clone(),
            1 => {
                let datagram = self.frame(world, attacker, session, targets);
                mutated(world, datagram)
            }
            _ => self.frame(world, attacker, session, targets),
        };
        self.last.clone_from(&datagram);
        let outcome = world.inject(self.address, &datagram);
        if outcome == Some(Outcome::Challenged) {
            let (cookie, _) = attacker.seen.borrow().granted.get(&self.address).copied().unwrap_or_default();
            self.register(world, cookie, Some(session), targets);
        }
        outcome
    }

    /// Registers, mostly under its own identifier.
    fn register(
        &self,
        world: &mut World,
        cookie: Option<Cookie>,
        session: Option<Session>,
        targets: &[PeerId],
    ) -> Option<Outcome> {
        let identifier = match world.random().below(60) {
            0..3 => world.random().pick(targets).copied().unwrap_or(self.identifier),
            3..12 => PeerId::plain(world.random().sixteen()).unwrap_or(self.identifier),
            12 => PeerId::from_bytes([7; 32]).unwrap_or(self.identifier),
            _ => self.identifier,
        };
        let register = Register {
            session: session.unwrap_or(Session::NONE),
            transaction: TransactionId(world.random().sixteen()),
            identifier,
            cookie: cookie.unwrap_or(Cookie::NONE),
            ticket: Ticket::NONE,
            server: if world.random().chance(0.2) { SERVER_V6 } else { SERVER_V4 }.into(),
            signature: Signature::NONE,
        };
        world.inject(self.address, &Frame::Register(register).to_vec())
    }

    /// Some frame under a good session: right, wrong, too much, or again.
    fn frame(&self, world: &mut World, attacker: &Attacker, session: Session, targets: &[PeerId]) -> Vec<u8> {
        let transaction = TransactionId(world.random().sixteen());
        // As often as not it means the call that rings here.
        let rung = attacker.seen.borrow().rung.get(&self.address).copied();
        let rung = rung.filter(|_| world.random().below(2) == 0);
        let offer = rung.map_or_else(|| attacker.some_offer(world), |(offer, _)| offer);
        match world.random().below(40) {
            0..3 => Frame::Keepalive(Keepalive { session, transaction, observed: Address::NONE }).to_vec(),
            3 => Frame::Unregister(Unregister { session, transaction, zero: Zeros::ZERO }).to_vec(),
            4..8 => {
                let bits = Arrived(world.random().number().max(1));
                Frame::Ack(Ack::new(session, offer, BlobKind::Answer, bits)).to_vec()
            }
            8..11 => Frame::Punch(Punch { session, offer, zero: Zeros::ZERO }).to_vec(),
            // A kind between peers, a kind of servers, an unassigned one, another version.
            11..15 => {
                let mut datagram = session_only(world, session);
                let (at, byte) = [(3, 0x40), (3, 0x83), (3, 0x3F), (2, 2)][world.random().below(4) as usize];
                datagram[at] = byte;
                datagram
            }
            _ => self.blob_frame(world, session, offer, rung.map(|(_, source)| source), targets),
        }
    }

    fn blob_frame(
        &self,
        world: &mut World,
        session: Session,
        offer: OfferId,
        caller: Option<PeerId>,
        targets: &[PeerId],
    ) -> Vec<u8> {
        let target = match world.random().below(8) {
            2.. if caller.is_some() => caller.unwrap_or(self.identifier),
            0 => self.identifier,
            1 => PeerId::plain(world.random().sixteen()).unwrap_or(self.identifier),
            _ => world.random().pick(targets).copied().unwrap_or(self.identifier),
        };
        let kind = [BlobKind::Offer, BlobKind::Offer, BlobKind::Answer, BlobKind::Candidate]
            [world.random().below(4) as usize];
        let (length, index, bytes) = match world.random().below(6) {
            // More than the server relays, and more than the wire allows.
            0 => (60_000, 3, FRAGMENT),
            1 => (u32::MAX, 0, FRAGMENT),
            2 => (5 * FRAGMENT as u32, world.random().below(5) as u8, FRAGMENT),
            _ => (100, 0, 100),
        };
        let blob = world.random().bytes(bytes);
        let digest = Digest::of(&blob);
        let head = FragmentHead { session, offer, target, digest, length, index, zero: Zeros::ZERO };
        if let Ok(fragment) = Fragment::new(kind, head, &blob) {
            return match kind {
                BlobKind::Offer => Frame::Offer(fragment),
                BlobKind::Answer => Frame::Answer(fragment),
                BlobKind::Candidate => Frame::Candidate(fragment),
            }
            .to_vec();
        }
        let mut datagram = session_only(world, session);
        datagram[3] = kind.sent().number();
        let more = world.random().below((DATAGRAM_MAX + 200) as u64) as usize;
        datagram.extend_from_slice(&vec![0xAA; more]);
        datagram
    }
}

/// A header, a session and a reference.
fn session_only(world: &mut World, session: Session) -> Vec<u8> {
    let transaction = TransactionId(world.random().sixteen());
    Frame::Unregister(Unregister { session, transaction, zero: Zeros::ZERO }).to_vec()
}
