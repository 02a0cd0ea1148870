//! The one place that asks the operating system for random bytes.

use std::io;

use roundtable_proto::Seed;

/// Draws an engine's seed.
pub(crate) fn draw() -> io::Result<Seed> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::from)?;
    Ok(Seed(bytes))
}
