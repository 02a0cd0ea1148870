//! The limits that an operator sets.

use std::net::SocketAddr;
use std::time::Duration;

use super::limits::Limits;
use super::offers::Offers;
use super::registry::Registry;
use super::ticket::LastingSecret;
use crate::wire::BLOB_MAX;

/// How many offers of one caller may be open, answered ones included, for each that may wait for its answer. SPEC 6
pub const ANSWERED_FACTOR: u16 = 8;

/// Whether STUN Binding requests are answered. SPEC 17
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stun {
    /// None.
    Off,
    /// All that are well-formed, within the limits of strangers. The answer may be longer than the request.
    On,
    /// Only those that are at least as long as their answer.
    Strict,
}

/// What the server engine is allowed to do and to hold.
///
/// Tables are reserved for the limits at once and become resident as they fill: about 116 bytes for each peer, see
/// `examples/memory_of_peers.rs`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Registered peers, at most; 1 to 2^30.
    pub max_peers: u32,
    /// Open offers in all, at most; 1 to 2^30.
    pub max_offers: u32,
    /// Offers of one caller that wait for their answer, at most; with answered ones, [`ANSWERED_FACTOR`] times as many.
    pub max_peer_offers: u16,
    /// Bytes of a relayed blob, at most; no more than [`BLOB_MAX`] has any effect.
    pub max_blob: u32,
    /// Whether plain identifiers are taken.
    pub plain_ids: bool,
    /// Signatures of keyed identifiers checked in a second, at most: what registrations may take from relaying.
    pub signature_checks: u32,
    /// Whether STUN Binding requests are answered.
    pub stun: Stun,
    /// Rates.
    pub limits: Limits,
    /// Addresses under which clients call this server, besides the local ones that the driver tells. Behind address
    /// translation nothing is refused with WRONG_SERVER while this is empty. SPEC 5
    pub public_addresses: Vec<SocketAddr>,
    /// A secret that outlives the process, for cookies and tickets that do, and that other servers may share; `None`: they
    /// end with the process.
    pub secret: Option<LastingSecret>,
    /// How long an offer waits for its answer.
    pub offer_timeout: Duration,
    /// Whether whoever asks is told that this server may be loaded with benchmarks.
    pub benchmarks: bool,
    /// Whether [`Event`](super::Event)s are kept for `poll_event`.
    pub events: bool,
}

impl Config {
    /// Returns the bytes that the tables of peers and offers reserve at the start. What else a server needs does not grow with
    /// the limits.
    #[must_use]
    pub const fn reserved(&self) -> usize {
        Registry::bytes(self.max_peers) + Offers::bytes(self.max_offers)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_peers: 1_000_000,
            max_offers: 200_000,
            max_peer_offers: 16,
            max_blob: BLOB_MAX as u32,
            plain_ids: true,
            signature_checks: 5000,
            stun: Stun::On,
            limits: Limits::default(),
            public_addresses: Vec::new(),
            secret: None,
            offer_timeout: Duration::from_secs(30),
            benchmarks: false,
            events: false,
        }
    }
}
