//! A server that tampers, over real sockets: the clients refuse what it changes, by name, and a capture of a sealed call holds
//! nothing of its descriptions. `proto/tests/sealing.rs` shows the same of the engine alone, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "tampering/blobs.rs"]
mod blobs;
#[path = "tampering/capture.rs"]
mod capture;
#[path = "tampering/rig.rs"]
mod rig;
#[path = "tampering/server.rs"]
mod server;
