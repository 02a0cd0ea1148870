//! What the attacks draw. `ATTACK_SEED=<number>` repeats a run; without it the seed is new, and printed.

use std::hash::{BuildHasher, RandomState};

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn from_environment() -> Self {
        let seed = std::env::var("ATTACK_SEED").map_or_else(
            |_| RandomState::new().hash_one(0),
            |text| text.parse().expect("ATTACK_SEED is a number of 64 bits"),
        );
        println!("ATTACK_SEED={seed}");
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

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// The same bytes, but for one bit from byte `start` on.
    pub(crate) fn flip<const N: usize>(&mut self, mut bytes: [u8; N], start: usize) -> [u8; N] {
        bytes[start + self.below(N - start)] ^= 1 << self.below(8);
        bytes
    }
}
