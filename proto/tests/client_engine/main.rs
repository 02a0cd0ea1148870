//! The client engine against a scripted server, and against another client over lossy hops.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its data is not as it should be"
)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names what it expects; all else ends it")]

mod bounds;
mod calling;
mod chaos;
mod glare;
mod pair;
mod paths;
mod progress;
mod punching;
mod refused;
mod registering;
mod rig;
mod ringing;
mod world;
