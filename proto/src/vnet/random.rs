//! Chance, from a seed. Knows nothing of what is decided by it.

use crate::Seed;
use crate::keyed::Generator;

/// The key of the seed that the virtual network draws from; the engines use small numbers.
const PURPOSE: u8 = 0xF0;

/// A source of chance that gives the same sequence for the same seed.
///
/// Everything that varies in a run (loss, delay, ports, a test's own choices) is drawn from one of these, so a run
/// replays from a number.
pub struct Random(Generator);

impl Random {
    /// Makes the source of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Generator::new(Seed::from_number(seed).key(PURPOSE)))
    }

    /// Draws a number below `bound`; zero if `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.0.below(bound) }
    }

    /// Draws a number between `low` and `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// Draws 64 bits.
    pub fn number(&mut self) -> u64 {
        self.0.below(u64::MAX)
    }

    /// Draws 16 bytes.
    pub fn sixteen(&mut self) -> [u8; 16] {
        self.0.bytes()
    }

    /// Draws `length` bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 16);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.0.bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Tells whether something of that probability, 0 to 1, happens. Draws nothing for 0, so that a perfect link
    /// leaves the sequence alone.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && (self.below(1 << 53) as f64) < probability * (1_u64 << 53) as f64
    }

    /// Picks one of `items`, if there are any.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Draws the seed of an engine.
    pub fn seed(&mut self) -> Seed {
        Seed::from_number(self.number())
    }
}
