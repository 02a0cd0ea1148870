//! Keyed hashes. All that an engine must choose unpredictably comes from its seed through these.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher24};

/// 32 secret bytes from which an engine derives its cookies, sessions, identifiers and jitter.
///
/// The driver takes them from the operating system's random source; a test takes them from its seed, and the run
/// replays.
#[derive(Clone, Copy)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// Makes a seed for a test or a simulation from a number. Not for production: 64 bits, and guessable.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        let prf = Prf([0x52; 16]);
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&prf.tag(0, &number.to_be_bytes()));
        seed[16..].copy_from_slice(&prf.tag(1, &number.to_be_bytes()));
        Self(seed)
    }

    /// Derives an independent key for one `purpose`.
    pub(crate) fn key(&self, purpose: u8) -> Prf {
        let (low, high) = self.0.split_at(16);
        let first = Prf::new(low).tag(purpose, high);
        let second = Prf::new(high).tag(purpose, low);
        let mut key = [0; 16];
        for ((byte, a), b) in key.iter_mut().zip(first).zip(second) {
            *byte = a ^ b;
        }
        Prf(key)
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(secret)")
    }
}

/// A pseudo-random function: SipHash-2-4 with 128 bits of output, under one secret key.
#[derive(Clone, Copy)]
pub(crate) struct Prf([u8; 16]);

impl Prf {
    fn new(key: &[u8]) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(key);
        Self(bytes)
    }

    /// Makes a function whose key is a tag of another.
    pub(crate) const fn from_tag(tag: [u8; 16]) -> Self {
        Self(tag)
    }

    /// Returns the tag of `message` in the given `domain`.
    pub(crate) fn tag(&self, domain: u8, message: &[u8]) -> [u8; 16] {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write_u8(domain);
        hasher.write(message);
        let hash = hasher.finish128();
        (u128::from(hash.h1) << 64 | u128::from(hash.h2)).to_be_bytes()
    }

    /// Returns a fast 64-bit hash of `message` for table positions: SipHash-1-3.
    pub(crate) fn position(&self, message: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(message);
        hasher.finish()
    }
}

impl std::fmt::Debug for Prf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prf(secret)")
    }
}

/// A deterministic generator of unpredictable values: the tags of a counter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generator {
    prf: Prf,
    drawn: u64,
}

impl Generator {
    pub(crate) fn new(prf: Prf) -> Self {
        Self { prf, drawn: 0 }
    }

    /// Draws 128 bits.
    pub(crate) fn bytes(&mut self) -> [u8; 16] {
        self.drawn += 1;
        self.prf.tag(0, &self.drawn.to_be_bytes())
    }

    /// Draws a number below `bound`, which must not be zero; the bias is below `bound` / 2^64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.bytes();
        let wide = u128::from(u64::from_be_bytes([a, b, c, d, e, f, g, h])) * u128::from(bound);
        // The high half of the product is below `bound`.
        (wide >> 64) as u64
    }
}
