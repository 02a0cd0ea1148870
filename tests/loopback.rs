//! Servers and clients embedded in one process, over real sockets on loopback: what an application gets to see.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "loopback/calls.rs"]
mod calls;
#[path = "loopback/crowd.rs"]
mod crowd;
#[path = "loopback/failures.rs"]
mod failures;
#[path = "restart/link.rs"]
mod link;
#[path = "loopback/network.rs"]
mod network;
#[path = "loopback/progress.rs"]
mod progress;
#[path = "loopback/rig.rs"]
mod rig;
