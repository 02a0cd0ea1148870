//! The ways by which proxies reach this server and are answered, each under a number of its own. Knows nothing of headers.
//!
//! A number stands for one way for as long as a registered peer is reached by it; only then another way may have it. With
//! the simple protocol nothing is kept of a way that no peer holds; with version 2, where only the first datagram of a flow
//! says for whom it is, a flow is kept until it has been silent for long.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use super::spp::Asked;
use crate::Instant;
use crate::keyed::Prf;
use crate::server::{Path, Via};

/// Ways that no peer holds, beyond as many as there can be peers.
pub const WAYS_SPARE: u32 = 65_536;
/// A flow counts as ended after so much silence: longer than proxies keep one. A client that was suspended comes back in the
/// same flow before, without another header; and only after so much it can be another client's, which a header has to say.
/// No peer holds it then: each is heard within [`PEER_TTL`](crate::server::PEER_TTL). SPEC 18
pub const FLOW_TTL: Duration = Duration::from_mins(11);
/// Where there is no room, already after this: time enough to register.
const FLOW_MIN: Duration = Duration::from_secs(10);
/// Ways that are found without a hash, where their ports differ.
const RECENT: usize = 1024;
/// Ways that are looked at for each one that is opened, so that more go than come, and while there is no room.
const LOOKS: usize = 2;
const LOOKS_WHEN_FULL: usize = 64;

/// What tells ways apart: the proxy's end and the local one, and the address of the proxy that the client sent to, which is
/// part of every header of the simple protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) path: Path,
    pub(super) asked: Asked,
}

impl Key {
    /// Returns all of it as numbers.
    fn words(&self) -> [u64; 6] {
        let (ip, scope) = match self.path.remote {
            SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped().to_bits(), 0),
            SocketAddr::V6(v6) => (v6.ip().to_bits(), v6.scope_id()),
        };
        let [asked @ .., high, low] = self.asked.0;
        let (asked, asked_port) = (u128::from_be_bytes(asked), u16::from_be_bytes([high, low]));
        let ports = u32::from(self.path.remote.port()) << 16 | u32::from(asked_port);
        let rest = u64::from(ports) << 32 | u64::from(self.path.via.0);
        [(ip >> 64) as u64, ip as u64, rest, scope.into(), (asked >> 64) as u64, asked as u64]
    }
}

/// A hash of keys under a secret: three products of 128 bits. Lighter than a SipHash, since keys are not for anybody to
/// choose: they are proxies' addresses, of which a trusted one tells.
struct Hash([u64; 6]);

impl Hash {
    fn new(secret: &Prf) -> Self {
        let mut keys = [0; 6];
        for (pair, domain) in keys.chunks_exact_mut(2).zip(0..) {
            let tag = u128::from_be_bytes(secret.tag(domain, b"ways"));
            (pair[0], pair[1]) = ((tag >> 64) as u64, tag as u64);
        }
        Self(keys)
    }

    fn of(&self, key: &Key) -> u64 {
        let ([a, b, c, d, e, f], [k, l, m, n, o, p]) = (key.words(), self.0);
        let folded =
            fold(a ^ k, b ^ l) ^ fold(c ^ m, d ^ n).rotate_left(21) ^ fold(e ^ o, f ^ p).rotate_left(42);
        fold(folded ^ m, k | 1)
    }
}

/// Multiplies, and lays the halves of the product over each other.
const fn fold(one: u64, other: u64) -> u64 {
    let product = one as u128 * other as u128;
    (product >> 64) as u64 ^ product as u64
}

/// Takes what is a keyed hash already.
#[derive(Clone, Copy, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Whom a flow of version 2 is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) client: SocketAddr,
    /// The address of the proxy that the client sends to.
    pub(super) asked: SocketAddr,
}

pub(super) struct Way {
    pub(super) key: Key,
    /// Of a flow of version 2; none if it is for the proxy itself.
    owner: Option<Owner>,
    heard: Instant,
    standing: Standing,
}

/// Whether something goes by a way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Current,
    /// A flow for which two owners have been named: nobody knows whose it is.
    Disputed,
    /// The proxy has begun another flow there since.
    Former,
}

impl Way {
    /// Tells whether what is sent by it reaches whom it is for.
    pub(super) fn is_current(&self) -> bool {
        self.standing == Standing::Current
    }
}

/// What was known of a flow when it was heard.
#[derive(Clone, Copy)]
pub(super) struct Heard {
    /// Whom it is for; none if for the proxy itself.
    pub(super) owner: Option<Owner>,
    pub(super) is_disputed: bool,
}

/// The place of a way among those that were looked up lately.
fn recent(path: Path) -> usize {
    usize::from(path.remote.port()) % RECENT
}

/// Whether ways that no peer holds are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Nothing,
    Flows,
}

pub(super) struct Ways {
    keep: Keep,
    /// The number of the first way.
    base: u32,
    limit: usize,
    slots: Vec<Option<Way>>,
    free: Vec<u32>,
    /// The current ways, by a keyed hash of their keys. Two with one hash, in 2^64, would take turns.
    index: HashMap<u64, u32, BuildHasherDefault<Hashed>>,
    hash: Hash,
    /// What was looked up last, by [`recent`]: proxies use few ports, or one and the same for long.
    recent: Box<[u32; RECENT]>,
    /// Opened since the last settling.
    opened: Vec<u32>,
    /// Where the next look goes.
    hand: usize,
}

impl Ways {
    pub(super) fn new(keep: Keep, base: Via, peers: u32, secret: Prf) -> Self {
        Self {
            keep,
            base: base.0,
            limit: peers.saturating_add(WAYS_SPARE) as usize,
            slots: Vec::new(),
            free: Vec::new(),
            index: HashMap::default(),
            hash: Hash::new(&secret),
            recent: Box::new([0; RECENT]),
            opened: Vec::new(),
            hand: 0,
        }
    }

    pub(super) const fn is_one(&self, via: Via) -> bool {
        via.0 >= self.base
    }

    /// Returns the number of the way that was looked up lately if this datagram, which may have a header, came by it.
    #[inline]
    pub(super) fn again(&self, path: Path, header: &[u8]) -> Option<u32> {
        let slot = self.recent[recent(path)];
        let way = self.slots.get(slot as usize)?.as_ref()?;
        let is_it = way.key.path == path && way.is_current() && way.key.asked.stands_in(header);
        is_it.then_some(slot)
    }

    #[inline]
    pub(super) fn find(&mut self, key: &Key) -> Option<u32> {
        let slot = *self.index.get(&self.hash.of(key))?;
        self.slots.get(slot as usize)?.as_ref().filter(|way| way.key == *key)?;
        self.recent[recent(key.path)] = slot;
        Some(slot)
    }

    /// Gives a way its number, or `None` where there is no room. In either case another flow under this key is no longer the
    /// current one.
    pub(super) fn open(&mut self, now: Instant, key: Key, owner: Option<Owner>) -> Option<u32> {
        let hash = self.hash.of(&key);
        if let Some(former) = self.index.remove(&hash)
            && let Some(Some(former)) = self.slots.get_mut(former as usize)
        {
            former.standing = Standing::Former;
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < self.limit => {
                self.slots.push(None);
                // Far below 2^32.
                (self.slots.len() - 1) as u32
            }
            None => return None,
        };
        self.index.insert(hash, slot);
        self.slots[slot as usize] = Some(Way { key, owner, heard: now, standing: Standing::Current });
        self.recent[recent(key.path)] = slot;
        self.opened.push(slot);
        Some(slot)
    }

    /// Notes that a flow has been heard, and says what was known of it; `None` if it has ended.
    pub(super) fn hear(&mut self, now: Instant, slot: u32) -> Option<Heard> {
        let way = self.slots.get_mut(slot as usize)?.as_mut()?;
        if now.since(way.heard) >= FLOW_TTL {
            return None;
        }
        way.heard = now;
        Some(Heard { owner: way.owner, is_disputed: way.standing == Standing::Disputed })
    }

    /// Notes that another owner has been named for a flow.
    pub(super) fn dispute(&mut self, slot: u32) {
        if let Some(Some(way)) = self.slots.get_mut(slot as usize) {
            way.standing = Standing::Disputed;
        }
    }

    pub(super) const fn via(&self, slot: u32) -> Via {
        Via(self.base + slot)
    }

    pub(super) fn get(&self, via: Via) -> Option<&Way> {
        self.slots.get(via.0.checked_sub(self.base)? as usize)?.as_ref()
    }

    /// Lets ways go that nobody needs. To be called when all that was received is handled and its answers are sent.
    pub(super) fn settle(&mut self, now: Instant, is_held: impl Fn(Via) -> bool) {
        let is_full = self.free.is_empty() && self.slots.len() >= self.limit;
        let looks = LOOKS * self.opened.len() + if is_full { LOOKS_WHEN_FULL } else { 0 };
        while let Some(slot) = self.opened.pop() {
            if self.keep == Keep::Nothing && !is_held(self.via(slot)) {
                self.close(slot);
            }
        }
        for _ in 0..looks.min(self.slots.len()) {
            self.hand = (self.hand + 1) % self.slots.len();
            // Far below 2^32.
            let slot = self.hand as u32;
            let Some(way) = &self.slots[self.hand] else { continue };
            if self.is_needless(now, way, is_full) && !is_held(self.via(slot)) {
                self.close(slot);
            }
        }
    }

    /// Tells whether a way can go if no peer holds it.
    fn is_needless(&self, now: Instant, way: &Way, is_full: bool) -> bool {
        let silent = now.since(way.heard);
        match self.keep {
            Keep::Nothing => true,
            Keep::Flows => {
                way.standing == Standing::Former || silent >= FLOW_TTL || (is_full && silent >= FLOW_MIN)
            }
        }
    }

    fn close(&mut self, slot: u32) {
        let Some(way) = self.slots[slot as usize].take() else { return };
        if way.standing != Standing::Former {
            self.index.remove(&self.hash.of(&way.key));
        }
        self.free.push(slot);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    #[cfg(test)]
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }
}
