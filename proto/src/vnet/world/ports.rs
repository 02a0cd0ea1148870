//! Ports on hosts that no engine has: the caller sends from them and takes what comes. And the server's second port.

use std::net::SocketAddr;

use super::{Host, SECOND_PORT, SERVER_V4, SERVER_V6, World};
use crate::Instant;
use crate::server::{Alternates, Server, Via};

/// What has come to a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A datagram.
    Datagram {
        /// When.
        at: Instant,
        /// Its source, as the host sees it.
        from: SocketAddr,
        /// The payload.
        contents: Vec<u8>,
    },
    /// Word of a host that nothing listens on the port that was sent to (ICMP port unreachable).
    Unreachable {
        /// When.
        at: Instant,
        /// That port.
        from: SocketAddr,
    },
}

impl World {
    /// Takes a port, which must be free, for the caller.
    pub fn open(&mut self, host: Host, port: u16) {
        self.open.insert((host, port), Vec::new());
    }

    /// Sends a datagram from a host's port.
    pub fn send(&mut self, host: Host, port: u16, to: SocketAddr, contents: &[u8]) {
        self.network.send(host, port, to, contents);
    }

    /// Takes what has come to an open port.
    pub fn take(&mut self, host: Host, port: u16) -> Vec<Arrival> {
        self.open.get_mut(&(host, port)).map(std::mem::take).unwrap_or_default()
    }

    /// Has the server listen at [`SECOND_PORT`], too, so that clients find out how their NATs behave. SPEC 17
    pub fn open_second_port(&mut self) {
        self.has_second_port = true;
        if let Some(server) = &mut self.server {
            tell_of_second_port(server);
        }
    }
}

/// The server's places, and how datagrams to each of them come.
const PLACES: [(Via, SocketAddr); 4] = [
    (Via(1), SERVER_V4),
    (Via(2), SERVER_V6),
    (Via(3), SocketAddr::new(SERVER_V4.ip(), SECOND_PORT)),
    (Via(4), SocketAddr::new(SERVER_V6.ip(), SECOND_PORT)),
];

/// Tells a server where it is reached.
pub(super) fn tell_places(server: &mut Server, has_second_port: bool) {
    for (via, place) in &PLACES[..2] {
        server.learn_local_address(*via, *place);
    }
    if has_second_port {
        tell_of_second_port(server);
    }
}

fn tell_of_second_port(server: &mut Server) {
    for ((first, _), (second, place)) in PLACES[..2].iter().zip(&PLACES[2..]) {
        server.learn_local_address(*second, *place);
        server.learn_alternates(*first, Alternates { port: Some(*second), ..Alternates::default() });
        server.learn_alternates(*second, Alternates { port: Some(*first), ..Alternates::default() });
    }
}

/// Returns how datagrams to a place of the server's come; to any other port than the second, as to the first.
pub(super) fn way_to(place: SocketAddr) -> Via {
    let known = PLACES.iter().find(|(_, known)| *known == place);
    known.map_or(PLACES[usize::from(place.is_ipv6())].0, |(via, _)| *via)
}

/// Returns the server's place that such datagrams come to.
pub(super) fn place_of(way: Via) -> SocketAddr {
    PLACES.iter().find(|(via, _)| *via == way).map_or(SERVER_V4, |(_, place)| *place)
}
