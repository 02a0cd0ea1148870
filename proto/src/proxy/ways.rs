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
use crate::server::{Endpoint, Path, Via};

/// Ways that no peer holds, beyond as many as there can be peers.
pub const WAYS_SPARE: u32 = 65_536;
/// A flow without a peer is forgotten after so much silence: longer than proxies keep one. A client that was suspended
/// comes back in the same flow, without another header. SPEC 18
pub const FLOW_TTL: Duration = Duration::from_mins(11);
/// Where there is no room, already after this: time enough to register.
const FLOW_MIN: Duration = Duration::from_secs(10);
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
    fn octets(&self) -> [u8; 44] {
        let mut octets = [0; 44];
        octets[..22].copy_from_slice(&Endpoint::from(self.path.remote).octets());
        octets[22..26].copy_from_slice(&self.path.via.0.to_be_bytes());
        octets[26..].copy_from_slice(&self.asked.0);
        octets
    }
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

pub(super) struct Way {
    pub(super) key: Key,
    /// Of a flow of version 2: whom it is for.
    client: Option<SocketAddr>,
    heard: Instant,
    /// The proxy has not given the same flow to somebody else since.
    pub(super) is_current: bool,
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
    positions: Prf,
    /// What was looked up last: datagrams of one flow come one after the other.
    last: Option<(Key, u32)>,
    /// Opened since the last settling.
    opened: Vec<u32>,
    /// Where the next look goes.
    hand: usize,
}

impl Ways {
    pub(super) fn new(keep: Keep, base: Via, peers: u32, positions: Prf) -> Self {
        Self {
            keep,
            base: base.0,
            limit: peers.saturating_add(WAYS_SPARE) as usize,
            slots: Vec::new(),
            free: Vec::new(),
            index: HashMap::default(),
            positions,
            last: None,
            opened: Vec::new(),
            hand: 0,
        }
    }

    pub(super) const fn is_one(&self, via: Via) -> bool {
        via.0 >= self.base
    }

    pub(super) fn find(&mut self, key: &Key) -> Option<u32> {
        if let Some((last, slot)) = &self.last
            && last == key
        {
            return Some(*slot);
        }
        let slot = *self.index.get(&self.hash(key))?;
        self.slots.get(slot as usize)?.as_ref().filter(|way| way.key == *key)?;
        self.last = Some((*key, slot));
        Some(slot)
    }

    /// Gives a way its number, or `None` where there is no room. Another flow under this key is no longer the current one.
    pub(super) fn open(&mut self, now: Instant, key: Key, client: Option<SocketAddr>) -> Option<u32> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < self.limit => {
                self.slots.push(None);
                // Far below 2^32.
                (self.slots.len() - 1) as u32
            }
            None => return None,
        };
        let hash = self.hash(&key);
        if let Some(former) = self.index.insert(hash, slot)
            && let Some(Some(former)) = self.slots.get_mut(former as usize)
        {
            former.is_current = false;
        }
        self.slots[slot as usize] = Some(Way { key, client, heard: now, is_current: true });
        self.last = Some((key, slot));
        self.opened.push(slot);
        Some(slot)
    }

    /// Notes that a flow has been heard, and says whom it is for.
    pub(super) fn hear(&mut self, now: Instant, slot: u32) -> Option<SocketAddr> {
        let way = self.slots.get_mut(slot as usize)?.as_mut()?;
        way.heard = now;
        way.client
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

    fn hash(&self, key: &Key) -> u64 {
        self.positions.position(&key.octets())
    }

    /// Tells whether a way can go if no peer holds it.
    fn is_needless(&self, now: Instant, way: &Way, is_full: bool) -> bool {
        let silent = now.since(way.heard);
        match self.keep {
            Keep::Nothing => true,
            Keep::Flows => !way.is_current || silent >= FLOW_TTL || (is_full && silent >= FLOW_MIN),
        }
    }

    fn close(&mut self, slot: u32) {
        let Some(way) = self.slots[slot as usize].take() else { return };
        if way.is_current {
            self.index.remove(&self.hash(&way.key));
        }
        self.last = None;
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
