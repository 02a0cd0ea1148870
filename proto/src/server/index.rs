//! From a key's hash to a slot number. Knows neither keys nor slots.
//!
//! Open addressing with linear probing and backward-shift deletion: no tombstones, no growth, no rehashing, so no
//! operation ever stalls. The table is sized once for twice its limit; untouched pages cost nothing.

/// 32 bits of hash and a slot number + 1 each; zero is empty.
pub(super) struct Index {
    entries: Box<[u64]>,
    mask: u32,
}

/// The part of a key's hash that the index keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(u32);

impl From<u64> for Hash {
    fn from(hash: u64) -> Self {
        Self((hash >> 32) as u32)
    }
}

const EMPTY: u64 = 0;

impl Index {
    /// Makes an index for at most `limit` entries, 1 to 2^30.
    pub(super) fn new(limit: u32) -> Self {
        let size = Self::size(limit);
        Self { entries: vec![EMPTY; size as usize].into_boxed_slice(), mask: size - 1 }
    }

    /// Bytes of an index for at most `limit` entries.
    pub(super) const fn bytes(limit: u32) -> usize {
        Self::size(limit) as usize * size_of::<u64>()
    }

    const fn size(limit: u32) -> u32 {
        let least = if limit < 4 { 4 } else { limit };
        (least * 2).next_power_of_two()
    }

    /// Finds the slot under `hash` for which `is_it` holds.
    pub(super) fn find(&self, hash: Hash, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = hash.0 & self.mask;
        loop {
            let entry = self.entries[at as usize];
            if entry == EMPTY {
                return None;
            }
            if tag(entry) == hash.0 && is_it(slot(entry)) {
                return Some(slot(entry));
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Asks for the memory in which a hash is looked up, and does not wait for it.
    pub(super) fn foresee(&self, hash: Hash) {
        std::hint::black_box(self.entries[(hash.0 & self.mask) as usize] == EMPTY);
    }

    /// Adds a slot, which is not in the index, under `hash`. The caller keeps the limit.
    pub(super) fn insert(&mut self, hash: Hash, slot: u32) {
        let mut at = hash.0 & self.mask;
        while self.entries[at as usize] != EMPTY {
            at = (at + 1) & self.mask;
        }
        self.entries[at as usize] = u64::from(hash.0) << 32 | u64::from(slot + 1);
    }

    /// Removes a slot that was added under `hash`.
    pub(super) fn remove(&mut self, hash: Hash, slot: u32) {
        let wanted = u64::from(hash.0) << 32 | u64::from(slot + 1);
        let mut hole = hash.0 & self.mask;
        while self.entries[hole as usize] != wanted {
            if self.entries[hole as usize] == EMPTY {
                return;
            }
            hole = (hole + 1) & self.mask;
        }
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            let entry = self.entries[at as usize];
            if entry == EMPTY {
                break;
            }
            // An entry may fill the hole if its home does not lie between the hole and itself.
            let from_home = at.wrapping_sub(tag(entry)) & self.mask;
            let from_hole = at.wrapping_sub(hole) & self.mask;
            if from_home >= from_hole {
                self.entries[hole as usize] = entry;
                hole = at;
            }
        }
        self.entries[hole as usize] = EMPTY;
    }
}

const fn tag(entry: u64) -> u32 {
    (entry >> 32) as u32
}

const fn slot(entry: u64) -> u32 {
    (entry as u32).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn agrees_with_a_map_under_random_churn() {
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut index = Index::new(64);
        let mut model = BTreeMap::new();
        for _ in 0..200_000 {
            let slot = (random() % 64) as u32;
            // Few hashes, around the end of the table: long runs, collisions and wrap-around.
            if let Some(hash) = model.remove(&slot) {
                index.remove(hash, slot);
            } else {
                let hash = Hash((random() % 8).wrapping_sub(4) as u32);
                index.insert(hash, slot);
                model.insert(slot, hash);
            }
            let probe = (random() % 64) as u32;
            let found = model.get(&probe).and_then(|&hash| index.find(hash, |slot| slot == probe));
            assert_eq!(found, model.contains_key(&probe).then_some(probe));
        }
        let used = index.entries.iter().filter(|entry| **entry != EMPTY).count();
        assert_eq!(used, model.len());
    }

    #[test]
    fn removing_what_is_not_there_changes_nothing() {
        let mut index = Index::new(4);
        index.insert(Hash(3), 1);
        index.remove(Hash(3), 2);
        index.remove(Hash(7), 1);
        assert_eq!(index.find(Hash(3), |_| true), Some(1));
    }
}
