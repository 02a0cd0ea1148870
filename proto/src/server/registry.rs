//! Who is where, and until when. Knows nothing of frames or sockets.
//!
//! With a million peers each look at another one misses the cache, and that is most of what a datagram costs. So all that
//! a frame of a peer needs lies in one cache line, its slot; its identifier lies apart. Lines that are touched:
//!
//! | what | lines |
//! |---|---|
//! | a session and its address, renewal, the account of what it sends | 1: the slot |
//! | an identifier looked up | 3: a place of the index, the identifier, the slot |
//! | the identifier of a session | 2: the slot, the identifier |

use std::hint::black_box;
use std::num::NonZero;
use std::time::Duration;

use super::cookie::Proof;
use super::index::{Hash, Index};
use super::limits::Limits;
use super::mark::{MARK, Marker};
use super::offers::Calls;
use super::path::{Endpoint, Path, Via};
use super::rate::{Rate, Reserve, Stamp};
use super::slab::Slab;
use super::tick::Tick;
use super::wheel::Wheel;
use crate::Instant;
use crate::keyed::{Generator, Prf, Seed};
use crate::wire::{PeerId, Session};

/// A silent peer is forgotten after this. SPEC 5
pub const PEER_TTL: Duration = Duration::from_millis(60_000);
/// How much later than [`PEER_TTL`] a peer is forgotten, at most.
pub const PEER_TTL_SLACK: Duration = Duration::from_secs(2);

/// Width of the expiry wheel's buckets: 64 of them reach beyond [`PEER_TTL`].
const EXPIRY_STEP: Duration = Duration::from_secs(1);

/// Where a peer is: 63 bytes, and one that tells a live slot from a free one.
#[repr(align(64))]
pub(super) struct Peer {
    #[expect(dead_code, reason = "it is never zero, so the slab can tell a free slot by it")]
    live: NonZero<u8>,
    pub(super) endpoint: Endpoint,
    secret: [u8; 12],
    heard: Tick,
    /// When the cookie was issued that proved `endpoint`.
    pub(super) proved: Tick,
    pub(super) via: Via,
    /// What it has sent, in bytes.
    sent: Stamp,
    /// What offers to it have cost, in bytes.
    rung: Stamp,
    /// The open offers of which it is the caller.
    pub(super) calls: Calls,
}

/// Half a cache line, so that none lies across two.
#[repr(align(32))]
struct Name(PeerId);

impl Peer {
    pub(super) fn path(&self) -> Path {
        Path { remote: self.endpoint.socket_addr(), via: self.via }
    }

    /// Returns the session of the peer that lies in `slot`.
    pub(super) fn session(&self, slot: PeerSlot) -> Session {
        let mut session = [0; 16];
        session[..4].copy_from_slice(&slot.0.to_be_bytes());
        session[4..].copy_from_slice(&self.secret);
        Session(session)
    }
}

/// A slot that holds a live peer. Good until the next change of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerSlot(u32);

impl PeerSlot {
    /// Returns the slot that a session names, whoever lies in it.
    pub(super) const fn of(session: Session) -> Self {
        let [a, b, c, d, ..] = session.0;
        Self(u32::from_be_bytes([a, b, c, d]))
    }

    /// Returns the number that the session of its peer starts with.
    pub(super) const fn number(self) -> u32 {
        self.0
    }

    #[cfg(test)]
    pub(super) const fn at(number: u32) -> Self {
        Self(number)
    }
}

/// What a session in a frame stands for.
pub(super) enum Standing {
    /// A live peer at the frame's source address.
    Here(PeerSlot),
    /// A live peer that is registered at another address.
    Elsewhere,
    /// Nobody.
    Unknown,
}

pub(super) struct Registry {
    peers: Slab<Peer>,
    /// The identifier of each slot; of a free one, its last.
    names: Vec<Name>,
    index: Index,
    expiry: Wheel,
    positions: Prf,
    secrets: Generator,
    marker: Marker,
    sending: Option<Rate>,
    ringing: Option<Rate>,
    /// How many peers are reached by each way that was opened.
    holders: Vec<Option<u32>>,
}

impl Registry {
    pub(super) fn new(now: Instant, limit: u32, limits: &Limits, seed: &Seed) -> Self {
        Self {
            peers: Slab::new(limit),
            names: Vec::with_capacity(limit as usize),
            index: Index::new(limit),
            expiry: Wheel::new(now, EXPIRY_STEP, limit),
            positions: seed.key(b'i'),
            secrets: Generator::new(seed.key(b's')),
            marker: Marker::new(&seed.key(b'f')),
            sending: limits.sending(),
            ringing: limits.ringing(),
            holders: Vec::new(),
        }
    }

    /// Counts from now on how many peers are reached by a way. When it is counted first, nobody is.
    pub(super) fn count_holders(&mut self, via: Via) {
        let place = via.0 as usize;
        if self.holders.len() <= place {
            self.holders.resize(place + 1, None);
        }
        self.holders[place].get_or_insert(0);
    }

    /// Returns how many peers are reached by a way, if they are counted.
    pub(super) fn holders(&self, via: Via) -> u32 {
        self.holders.get(via.0 as usize).copied().flatten().unwrap_or_default()
    }

    fn hold(&mut self, via: Via) {
        if let Some(Some(holders)) = self.holders.get_mut(via.0 as usize) {
            *holders += 1;
        }
    }

    fn let_go(&mut self, via: Via) {
        if let Some(Some(holders)) = self.holders.get_mut(via.0 as usize) {
            *holders = holders.saturating_sub(1);
        }
    }

    /// Bytes of the tables for at most `limit` peers.
    pub(super) const fn bytes(limit: u32) -> usize {
        let slots = limit as usize * (Slab::<Peer>::SLOT + size_of::<Name>());
        slots + Index::bytes(limit) + Wheel::bytes(limit)
    }

    pub(super) const fn len(&self) -> u32 {
        self.peers.len()
    }

    pub(super) const fn is_full(&self) -> bool {
        self.peers.is_full()
    }

    /// Returns what the marks in sessions are made with.
    pub(super) const fn marker(&self) -> Marker {
        self.marker
    }

    /// Looks a session up: one array access.
    pub(super) fn standing(&self, session: Session, source: &Endpoint) -> Standing {
        match self.by_session(session) {
            Some((slot, peer)) if peer.endpoint == *source => Standing::Here(slot),
            Some(_) => Standing::Elsewhere,
            None => Standing::Unknown,
        }
    }

    /// Finds the live peer of a session.
    pub(super) fn by_session(&self, session: Session) -> Option<(PeerSlot, &Peer)> {
        let slot = PeerSlot::of(session);
        let peer = self.peers.get(slot.0)?;
        // All bytes are compared at once, whatever the first ones are.
        let whole = |session: Session| u128::from_ne_bytes(session.0);
        (whole(peer.session(slot)) == whole(session)).then_some((slot, peer))
    }

    /// Finds the live peer of an identifier.
    pub(super) fn by_identifier(&self, identifier: &PeerId) -> Option<(PeerSlot, &Peer)> {
        // Only live peers are in the index.
        let is_it = |number| self.name(number) == Some(identifier);
        let number = self.index.find(self.place(identifier.as_bytes()), is_it)?;
        Some((PeerSlot(number), self.peers.get(number)?))
    }

    /// Returns the session of a live peer.
    pub(super) fn session(&self, slot: PeerSlot) -> Session {
        self.peers.get(slot.0).map_or(Session::NONE, |peer| peer.session(slot))
    }

    pub(super) fn peer(&self, slot: PeerSlot) -> Option<&Peer> {
        self.peers.get(slot.0)
    }

    /// Returns the identifier of a live peer.
    pub(super) fn identifier(&self, slot: PeerSlot) -> Option<&PeerId> {
        self.name(slot.0)
    }

    /// Fetches the slot of a session that will be looked up soon, without waiting for it.
    pub(super) fn foresee(&self, number: u32) {
        self.peers.foresee(number);
    }

    /// Fetches the slot and the identifier of a peer.
    pub(super) fn foresee_peer(&self, number: u32) {
        self.foresee(number);
        self.foresee_identifier(number);
    }

    /// Fetches the identifier of a slot.
    pub(super) fn foresee_identifier(&self, number: u32) {
        black_box(self.name(number).is_some_and(|name| name.as_bytes()[0] == 0));
    }

    /// Returns the hash under which the index has an identifier.
    pub(super) fn place(&self, identifier: &[u8; 32]) -> Hash {
        Hash::from(self.positions.position(identifier))
    }

    /// Fetches the place in the index of an identifier that will be looked up soon.
    pub(super) fn foresee_place(&self, hash: Hash) {
        self.index.foresee(hash);
    }

    /// Returns the slot number that an identifier of this hash leads to, most likely.
    pub(super) fn guess(&self, hash: Hash) -> Option<u32> {
        self.index.find(hash, |_| true)
    }

    /// Registers a new peer, or returns `None` if there is no room. The identifier must be free.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        identifier: PeerId,
        path: Path,
        proof: Proof,
    ) -> Option<PeerSlot> {
        if self.is_full() {
            return None;
        }
        let mut secret = [0; 12];
        let (random, mark) = secret.split_at_mut(12 - MARK);
        random.copy_from_slice(&self.secrets.bytes()[..12 - MARK]);
        mark.copy_from_slice(&self.marker.mark(path.remote).to_be_bytes());
        let number = self.peers.insert(Peer {
            live: NonZero::<u8>::MIN,
            endpoint: Endpoint::from(path.remote),
            secret,
            heard: Tick::at(now),
            proved: proof.0,
            via: path.via,
            sent: Stamp::default(),
            rung: Stamp::default(),
            calls: Calls::default(),
        })?;
        self.hold(path.via);
        match self.names.get_mut(number as usize) {
            Some(name) => *name = Name(identifier),
            // A slot that was never used comes next.
            None => self.names.push(Name(identifier)),
        }
        self.index.insert(self.place(identifier.as_bytes()), number);
        self.expiry.schedule(number, now + PEER_TTL);
        Some(PeerSlot(number))
    }

    /// Renews a peer that was heard at its address.
    pub(super) fn renew(&mut self, now: Instant, slot: PeerSlot, via: Via) {
        let Some(peer) = self.peers.get_mut(slot.0) else { return };
        peer.heard = Tick::at(now);
        if peer.via != via {
            self.reroute(slot, via);
        }
    }

    /// Notes that a peer is reached by another way than before: rare, so it lies out of the way of every frame.
    #[cold]
    #[inline(never)]
    fn reroute(&mut self, slot: PeerSlot, via: Via) {
        let Some(peer) = self.peers.get_mut(slot.0) else { return };
        let former = std::mem::replace(&mut peer.via, via);
        self.let_go(former);
        self.hold(via);
    }

    /// Notes a proof of the address at which the peer is, or moves it to a newly proved one.
    pub(super) fn settle(&mut self, now: Instant, slot: PeerSlot, path: Path, proof: Proof) {
        self.renew(now, slot, path.via);
        if let Some(peer) = self.peers.get_mut(slot.0) {
            peer.endpoint = Endpoint::from(path.remote);
            if proof.0.is_after(peer.proved) {
                peer.proved = proof.0;
            }
        }
    }

    /// Takes from what a peer may send.
    ///
    /// # Errors
    /// How long it takes until there is room.
    pub(super) fn spend(&mut self, now: Instant, slot: PeerSlot, bytes: u64) -> Result<(), Duration> {
        let (Some(rate), Some(peer)) = (&self.sending, self.peers.get_mut(slot.0)) else { return Ok(()) };
        rate.spend(now, &mut peer.sent, bytes, Reserve::Whole)
    }

    /// Takes from what offers to a peer may cost, whoever sends them.
    ///
    /// # Errors
    /// How long it takes until there is room.
    pub(super) fn ring(
        &mut self,
        now: Instant,
        callee: PeerSlot,
        bytes: u64,
        reserve: Reserve,
    ) -> Result<(), Duration> {
        let (Some(rate), Some(peer)) = (&self.ringing, self.peers.get_mut(callee.0)) else { return Ok(()) };
        rate.spend(now, &mut peer.rung, bytes, reserve)
    }

    /// Returns the offers of a caller, to note a change.
    pub(super) fn calls_mut(&mut self, caller: PeerSlot) -> Option<&mut Calls> {
        self.peers.get_mut(caller.0).map(|peer| &mut peer.calls)
    }

    /// Goes through the live peers' sessions and calls.
    pub(super) fn calls(&self) -> impl Iterator<Item = (Session, &Calls)> {
        self.peers.iter().map(|(number, peer)| (self.session(PeerSlot(number)), &peer.calls))
    }

    pub(super) fn remove(&mut self, slot: PeerSlot) -> Option<(PeerId, Peer)> {
        let peer = self.peers.remove(slot.0)?;
        let identifier = *self.name(slot.0)?;
        self.index.remove(self.place(identifier.as_bytes()), slot.0);
        self.let_go(peer.via);
        Some((identifier, peer))
    }

    /// Returns how long a peer's registration lasts if nothing more is heard, slack included.
    pub(super) fn lapses_in(&self, now: Instant, slot: PeerSlot) -> Duration {
        let silent = self.peers.get(slot.0).map_or(Duration::ZERO, |peer| Tick::at(now).since(peer.heard));
        (PEER_TTL + PEER_TTL_SLACK).saturating_sub(silent)
    }

    /// Looks at one peer that may have been silent for too long. `None`: nobody else is due.
    pub(super) fn sweep(&mut self, now: Instant) -> Option<Option<(PeerId, Peer)>> {
        let number = self.expiry.pop_due(now)?;
        let Some(peer) = self.peers.get(number) else { return Some(None) };
        let silent = Tick::at(now).since(peer.heard);
        if silent >= PEER_TTL {
            return Some(self.remove(PeerSlot(number)));
        }
        self.expiry.schedule(number, now + (PEER_TTL - silent));
        Some(None)
    }

    pub(super) fn next_sweep(&self) -> Option<Instant> {
        self.expiry.next_due()
    }

    fn name(&self, number: u32) -> Option<&PeerId> {
        self.names.get(number as usize).map(|name| &name.0)
    }

    /// Checks what must hold between the slots and the index; returns what does not.
    pub(super) fn check_invariants(&self) -> Result<(), &'static str> {
        for (number, _) in self.peers.iter() {
            let identifier = self.name(number).ok_or("a peer has no identifier")?;
            let found = self.by_identifier(identifier).map(|(slot, _)| slot.0);
            if found != Some(number) {
                return Err("a peer's identifier does not lead to its slot");
            }
            if self.by_session(self.session(PeerSlot(number))).is_none() {
                return Err("a peer's session does not lead to its slot");
            }
        }
        let mut counted: Vec<_> = self.holders.iter().map(|holders| holders.map(|_| 0)).collect();
        for (_, peer) in self.peers.iter() {
            if let Some(Some(count)) = counted.get_mut(peer.via.0 as usize) {
                *count += 1;
            }
        }
        if counted != self.holders {
            return Err("the holders of a way are not as many as are counted");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
