//! The other ways by which the server can answer, from its other port and address. RFC 5780

use std::net::IpAddr;

use roundtable_proto::server::{Alternates, Via};

use super::{Ports, at};
use crate::socket::{Socket, VIAS};

impl Ports {
    /// Returns the other ways than this one, which [`Ports::poll_local`] gives, too.
    pub(crate) fn alternates(&mut self, via: Via) -> Alternates {
        let place = (via.0 / VIAS) as usize;
        let socket = &self.places[place];
        let Some(local) = socket.source(Via(via.0 % VIAS)).or_else(|| socket.bound_ip()) else {
            return Alternates::default();
        };
        // The other port of one address is beside it.
        let other_port = place ^ 1;
        let second = match self.second {
            Some(second) if second != local.to_canonical() => {
                like(local, second).map(|ip| (place, other_port, ip))
            }
            Some(_) => None,
            None => self
                .places
                .get(2)
                .and_then(Socket::bound_ip)
                .filter(|_| place < 2)
                .map(|ip| (place + 2, other_port + 2, ip)),
        };
        Alternates {
            port: self.way(other_port, local),
            address: second.and_then(|(same, _, ip)| self.way(same, ip)),
            both: second.and_then(|(_, other, ip)| self.way(other, ip)),
        }
    }

    fn way(&mut self, place: usize, local: IpAddr) -> Option<Via> {
        let socket = self.places.get_mut(place)?;
        if socket.bound_ip().is_some() {
            return Some(at(place, Via::default()));
        }
        let via = socket.via(Some(local));
        // There may be no room for it.
        (via != Via::default()).then(|| at(place, via))
    }
}

/// Returns the second address in the form in which a socket has the first; none if it is of another family.
fn like(local: IpAddr, second: IpAddr) -> Option<IpAddr> {
    match (local, local.to_canonical(), second.to_canonical()) {
        (IpAddr::V6(_), IpAddr::V4(_), IpAddr::V4(second)) => Some(second.to_ipv6_mapped().into()),
        (_, IpAddr::V4(_), second @ IpAddr::V4(_)) | (_, IpAddr::V6(_), second @ IpAddr::V6(_)) => {
            Some(second)
        }
        (_, IpAddr::V4(_), IpAddr::V6(_)) | (_, IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}
