//! A deterministic network in virtual time, for tests and test rigs.
//!
//! Nothing here reads a clock or a random source: a run follows from its seed and its inputs, and replays.
//!
//! * [`Network`] carries datagrams between hosts, over links that delay, lose, duplicate and reorder, through NATs.
//! * [`World`] runs a server and clients on a network, step by step.
//! * [`Ledger`] checks from outside that the server keeps its promises.
//! * [`Random`] is the chance of a run.
//!
//! ```
//! use std::time::Duration;
//!
//! use roundtable_proto::client::Event;
//! use roundtable_proto::server::Config;
//! use roundtable_proto::vnet::{Behaviour, INTERNET, Link, World};
//! use roundtable_proto::wire::PeerId;
//!
//! let config = Config { max_peers: 10, max_offers: 10, ..Config::default() };
//! let mut world = World::new(1, config);
//! let link = Link::after(Duration::from_millis(20));
//!
//! // Alice lives behind a NAT, Bob does not.
//! let network = world.network_mut();
//! let nat = network.add_nat(INTERNET, [198, 51, 100, 1].into(), Behaviour::symmetric(), link);
//! let home = network.inside(nat);
//! let laptop = network.add_host(home, &[[192, 168, 0, 2].into()], link);
//! let desktop = network.add_host(INTERNET, &[[203, 0, 113, 2].into()], link);
//! # let plain = |byte| PeerId::plain([byte; 16]).ok_or("no identifier");
//! let (alice, bob) = (plain(1)?, plain(2)?);
//! let caller = world.add_client(laptop, 5000, alice);
//! let callee = world.add_client(desktop, 5000, bob);
//! for seat in [caller, callee] {
//!     world.command(seat, |client, now| client.register(now));
//! }
//! world.run(Duration::from_secs(1));
//!
//! world.command(caller, |client, now| client.offer(now, bob, b"v=0".to_vec()))?;
//! let rings = world.run_until(Duration::from_secs(1), |world| {
//!     world.events(callee).iter().any(|(_, event)| matches!(event, Event::Offered { .. }))
//! });
//! assert!(rings);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
pub use world::{Arrival, SECOND_PORT, SERVER_PORT, SERVER_V4, SERVER_V6, Seat, UNIX_TIME, World};
