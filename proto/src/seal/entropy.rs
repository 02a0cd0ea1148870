//! Randomness that is an argument, used once.

use std::convert::Infallible;
use std::fmt;

use hpke::rand_core::{TryCryptoRng, TryRng};
use zeroize::Zeroizing;

/// 32 bytes from the operating system's random source, for one key.
///
/// It can neither be copied nor used twice: two blobs sealed with the same entropy to the same key would share their
/// key stream, and both could be read. Wiped when it is dropped.
pub struct Entropy(Zeroizing<[u8; 32]>);

impl Entropy {
    /// Takes 32 bytes that nobody can guess and that serve nothing else.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn into_secret(self) -> Zeroizing<[u8; 32]> {
        self.0
    }

    pub(super) fn into_source(self) -> Once {
        Once { bytes: self.0, drawn: 0 }
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(secret)")
    }
}

/// The 32 bytes as the random source that HPKE asks for its `ikmE`. It draws them once, in order; a source that ran
/// dry would give zeros, which the vectors would show.
pub(super) struct Once {
    bytes: Zeroizing<[u8; 32]>,
    drawn: usize,
}

impl TryRng for Once {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        for byte in dst {
            *byte = self.bytes.get(self.drawn).copied().unwrap_or_default();
            self.drawn += 1;
        }
        Ok(())
    }
}

impl TryCryptoRng for Once {}
