//! A deterministic network in virtual time, for tests and test rigs.
//!
//! Nothing here reads a clock or a random source: a run follows from its seed and its inputs, and replays.
//!
//! * [`Network`] carries datagrams between hosts, over links that delay, lose, duplicate and reorder, through NATs.
//! * [`World`] runs a server and clients on a network, step by step.
//! * [`Ledger`] checks from outside that the server keeps its promises.
//! * [`Random`] is the chance of a run.

mod ledger;
mod link;
mod nat;
mod network;
mod queue;
mod random;
mod trace;
mod world;

pub use ledger::{Breach, Handled, Ledger, Sent, Sizes};
pub use link::{Conditions, Link};
pub use nat::{Behaviour, Dependence, Unasked};
pub use network::{Delivery, DropCause, Gateway, Host, INTERNET, Network, Node, Realm};
pub use random::Random;
pub use trace::{Point, Tapped};
pub use world::{SERVER_PORT, SERVER_V4, SERVER_V6, Seat, World};
