//! A deterministic network in virtual time, for tests and test rigs.
//!
//! Nothing here reads a clock or a random source: a run follows from its seed and its inputs, and replays.
//!
//! * [`Network`] carries datagrams between hosts, over links that delay, lose, duplicate and reorder, through NATs.
//! * [`Random`] is the chance of a run.

mod link;
mod nat;
mod network;
mod queue;
mod random;

pub use link::{Conditions, Link};
pub use nat::{Behaviour, Dependence, Unasked};
pub use network::{Delivery, DropCause, Gateway, Host, INTERNET, Network, Node, Realm};
pub use random::Random;
