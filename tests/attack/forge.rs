//! What the attacks draw besides: bytes, and the same bytes but for one bit.

use crate::random::Random;

impl Random {
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// The same bytes, but for one bit from byte `start` on.
    pub(crate) fn flip<const N: usize>(&mut self, mut bytes: [u8; N], start: usize) -> [u8; N] {
        bytes[start + self.below(N - start)] ^= 1 << self.below(8);
        bytes
    }
}
