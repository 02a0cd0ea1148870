//! Rendezvous for peer-to-peer voice over one UDP socket: server, client, configuration.
//!
//! [`Server`] drives the pure engine of `roundtable-proto` over a socket; an application or a test rig embeds it, and
//! the program `signallingserver` is a thin shell around it. The protocol is described in `proto/SPEC.md`.
//!
//! Without the feature `cli` nothing of the two programs' command lines is pulled in.

pub mod capture;
#[cfg(feature = "cli")]
pub mod cli;
pub mod client;
mod clock;
pub mod config;
mod filter;
pub mod kernel;
#[cfg(feature = "cli")]
pub mod logging;
mod memory;
pub mod nat;
pub mod pinger;
mod ports;
#[cfg(feature = "cli")]
pub mod probe;
mod queue;
pub mod secret_file;
mod seed;
pub mod server;
mod socket;

pub use client::Client;
pub use roundtable_proto as proto;
pub use server::{MemoryError, Server, StartError, Stats, StatsHandle};

/// The README's examples are compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
