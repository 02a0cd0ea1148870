//! The Roundtable signalling protocol without I/O.
//!
//! `SPEC.md` beside this crate describes the protocol; the tests hold the two equal. The crate reads no clock,
//! socket, environment or random source: time and seeds are arguments, so a run replays from its inputs.
//!
//! * [`identity`] is who a keyed peer is, and the proof of it.
//! * [`wire`] turns bytes into frames and back, totally and canonically.
//! * [`probe_key`] shows that a probe between peers is of the other peer of a call.
//! * [`peer_address`] is the line of text that a user hands out.
//! * [`seal`] makes blobs that only the other peer can read.
//! * [`server`] is the rendezvous: who is where, which offers are open, what is relayed to whom.
//! * [`proxy`] is what stands before datagrams that come through a proxy, and the way back through it.
//! * [`stun`] is the other protocol on the server's port: Binding requests and their answers.
//! * [`nat`] forecasts from what two hosts have found out about their NATs whether a direct path comes about.
//! * [`client`] is a peer: registration, keepalive, calls, retransmission, hole punching.
//! * `vnet` (feature `virtual-network`) runs both against each other in virtual time.
//!
//! Both engines speak the same verbs: `handle_datagram`, `handle_timeout`, `poll_transmit`, `poll_event`,
//! `poll_timeout`. Drain the output before the next input.

#![forbid(unsafe_code)]

pub mod client;
pub mod identity;
mod keyed;
pub mod nat;
mod outbox;
pub mod peer_address;
pub mod probe_key;
pub mod proxy;
pub mod seal;
pub mod server;
pub mod stun;
mod time;
#[cfg(feature = "virtual-network")]
pub mod vnet;
pub mod wire;

pub use keyed::Seed;
pub use time::Instant;
