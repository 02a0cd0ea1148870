//! What tests draw. Every run says from which seed.

use std::hash::{BuildHasher, RandomState};

pub(crate) struct Random(u64);

impl Random {
    /// Prints its seed; the environment variable `name` gives it back.
    pub(crate) fn from_environment(name: &str) -> Self {
        let seed =
            std::env::var(name).map_or_else(|_| RandomState::new().hash_one(0), |text| text.parse().unwrap());
        println!("{name}={seed}");
        Self(seed)
    }

    /// SplitMix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
