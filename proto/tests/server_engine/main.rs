//! The server engine through its public seam: input, exact output, and nothing more.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where what comes is not as it should be"
)]

mod bounds;
mod codec;
mod counters;
mod direction;
mod filter;
mod frames;
mod keyed;
mod lifetime;
mod limits;
mod model;
mod offers;
mod permission;
mod properties;
mod punch;
mod registration;
mod relay;
mod rig;
mod roaming;
mod stun;
mod undecodable;
