//! The server's sockets as if they were one: that of `localport`, and those of `altport` and `altaddress` where they are set.
//!
//! Each place that the server listens at has a range of [`Via`] of its own. Knows nothing of frames.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;

use roundtable_proto::server::{Alternates, Marker, Path, Transmit, Via};

use crate::filter::{Beside, Orders};
use crate::queue::{Drops, Queue};
use crate::socket::{Arrivals, Socket, VIAS};

/// Where a server listens besides its port.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Further {
    /// A second port.
    pub(crate) port: Option<u16>,
    /// A second address, of no use without a second port.
    pub(crate) address: Option<IpAddr>,
}

pub(crate) struct Ports {
    /// By place: the port, the second port; then both at the second address, where the first two are bound to another.
    sockets: Vec<Socket>,
    /// The second address, where the first two sockets have every address.
    second: Option<IpAddr>,
    /// Where the last datagrams came, and where to look first for the next.
    came: usize,
    next: usize,
}

impl Ports {
    /// Binds `address`, or every address of the host, and what there is to be further.
    ///
    /// # Errors
    /// The system's, and where it is a further place that cannot be had, which.
    pub(crate) fn bind(address: Option<IpAddr>, port: u16, further: Further) -> Result<Self, BindError> {
        let mut sockets = vec![Socket::bind(address, port).map_err(BindError::First)?];
        let port = sockets[0].local_addr().map_err(BindError::First)?.port();
        let Some(second_port) = further.port else {
            return Ok(Self { sockets, second: None, came: 0, next: 0 });
        };
        let open = |ip: Option<IpAddr>, port| {
            let address = SocketAddr::new(ip.unwrap_or(std::net::Ipv6Addr::UNSPECIFIED.into()), port);
            Socket::bind(ip, port).map_err(|error| BindError::Further { address, error })
        };
        sockets.push(open(address, second_port)?);
        let failed = |error| BindError::Further {
            address: SocketAddr::new(address.unwrap_or(IpAddr::V4(0.into())), second_port),
            error,
        };
        let second_port = sockets[1].local_addr().map_err(failed)?.port();
        let is_bound = address.is_some_and(|address| !address.is_unspecified());
        match further.address {
            Some(second) if is_bound => {
                sockets.push(open(Some(second), port)?);
                sockets.push(open(Some(second), second_port)?);
            }
            // The host must have it.
            Some(second) => drop(open(Some(second), 0)?),
            None => {}
        }
        let second = further.address.filter(|_| !is_bound);
        Ok(Self { sockets, second, came: 0, next: 0 })
    }

    /// Returns the address and port that are bound.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.sockets[0].local_addr()
    }

    /// Returns the address that is bound at the second port.
    pub(crate) fn second_addr(&self) -> Option<SocketAddr> {
        self.sockets.get(1)?.local_addr().ok()
    }

    /// Returns the bytes that the kernel granted for each receive queue.
    pub(crate) fn receive_buffer(&self) -> usize {
        self.sockets[0].receive_buffer()
    }

    /// Returns what the kernel knows of the receive queues; none where it does not tell.
    pub(crate) fn queues(&self) -> Queues {
        Queues(self.sockets.iter().filter_map(Socket::queue).collect())
    }

    /// Tells whether so much waits in one of the receive queues that it may soon be full.
    pub(crate) fn is_crowded(&self) -> bool {
        self.sockets.iter().any(Socket::is_crowded)
    }

    /// Has the kernel drop, before they are queued, the datagrams that `orders` name, at every place where it can.
    pub(crate) fn shed(&self, orders: &Orders, beside: Beside, marker: &Marker) -> io::Result<()> {
        let told = self.sockets.iter().map(|socket| socket.shed(orders, beside, marker));
        told.fold(Ok(()), Result::and)
    }

    /// Waits until something can be received. Can be cancelled.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        if let [socket] = &self.sockets[..] {
            return socket.readable().await;
        }
        poll_fn(|context| {
            // All are asked, so that each wakes this task.
            let ready = self.sockets.iter().map(|socket| socket.poll_readable(context));
            ready.fold(Poll::Pending, |all, one| if one.is_ready() { one } else { all })
        })
        .await
    }

    /// Takes what is there at one of the places, without waiting; each has its turn.
    pub(crate) fn receive(&mut self, arrivals: &mut Arrivals) -> io::Result<()> {
        let places = self.sockets.len();
        for place in (self.next..places).chain(0..self.next) {
            match self.sockets[place].receive(arrivals) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => {
                    (self.came, self.next) = (place, (place + 1) % places);
                    return received;
                }
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Gives the datagrams of received train number `train`, and the way they came.
    pub(crate) fn train<'a>(
        &mut self,
        arrivals: &'a Arrivals,
        train: usize,
    ) -> (Path, impl Iterator<Item = &'a [u8]> + use<'a>) {
        let (path, datagrams) = self.sockets[self.came].train(arrivals, train);
        (Path { via: at(self.came, path.via), ..path }, datagrams)
    }

    /// Gives the next local address that datagrams have come to for the first time, or may be sent from.
    pub(crate) fn poll_local(&mut self) -> Option<(Via, SocketAddr)> {
        for (place, socket) in self.sockets.iter_mut().enumerate() {
            if let Some((via, local)) = socket.poll_local() {
                let port = socket.local_addr().ok()?.port();
                return Some((at(place, via), SocketAddr::new(local.to_canonical(), port)));
            }
        }
        None
    }

    /// Returns the first tag that stands for none of its ways.
    pub(crate) fn via_end(&self) -> Via {
        // At most four places.
        Via(self.sockets.len() as u32 * VIAS)
    }

    /// Gives the local address and port of a way, if it is known.
    pub(crate) fn local(&self, via: Via) -> Option<SocketAddr> {
        let socket = self.sockets.get((via.0 / VIAS) as usize)?;
        let ip = socket.source(Via(via.0 % VIAS)).or_else(|| socket.bound_ip())?;
        Some(SocketAddr::new(ip, socket.local_addr().ok()?.port()))
    }

    /// Returns the other ways than this one, which [`Ports::poll_local`] gives, too.
    pub(crate) fn alternates(&mut self, via: Via) -> Alternates {
        let place = (via.0 / VIAS) as usize;
        let socket = &self.sockets[place];
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
                .sockets
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
        let socket = self.sockets.get_mut(place)?;
        if socket.bound_ip().is_some() {
            return Some(at(place, Via::default()));
        }
        let via = socket.via(Some(local));
        // There may be no room for it.
        (via != Via::default()).then(|| at(place, via))
    }

    /// Returns the ways of the places that are bound to one address: datagrams there do not say which they came to.
    pub(crate) fn fixed(&self) -> Vec<(Via, SocketAddr)> {
        let bound = self.sockets.iter().enumerate().filter(|(_, socket)| socket.bound_ip().is_some());
        bound
            .filter_map(|(place, socket)| Some((at(place, Via::default()), socket.local_addr().ok()?)))
            .collect()
    }

    /// Sends a train. Does not wait: where the kernel has no room, the datagrams are lost as on any busy link.
    pub(crate) fn send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        let via = transmit.path.via;
        let path = Path { via: Via(via.0 % VIAS), ..transmit.path };
        // Ways are made here alone.
        let place = (via.0 / VIAS) as usize;
        self.sockets[place].send(&Transmit { path, ..*transmit })
    }
}

/// Why there are no sockets.
#[derive(Debug)]
pub(crate) enum BindError {
    /// The port itself, or the runtime.
    First(io::Error),
    /// The second port or address.
    Further {
        /// The address that cannot be bound.
        address: SocketAddr,
        /// The system's reason.
        error: io::Error,
    },
}

/// The way number `via` of a socket, as one of all.
const fn at(place: usize, via: Via) -> Via {
    // At most four places.
    Via(place as u32 * VIAS + via.0)
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

/// The kernel's receive queues of all sockets.
#[derive(Clone, Debug)]
pub(crate) struct Queues(Vec<Queue>);

impl Queues {
    /// Counts the datagrams that the kernel dropped; none where it does not tell.
    pub(crate) fn drops(&self) -> Option<Drops> {
        let drops = self.0.iter().map(|queue| queue.drops()).collect::<Option<Vec<_>>>()?;
        drops
            .into_iter()
            .reduce(|all, one| Drops { full: all.full + one.full, filtered: all.filtered + one.filtered })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use roundtable_proto::server::{Config, Server};
    use roundtable_proto::{Instant, Seed};

    use super::*;

    #[tokio::test]
    async fn one_place_without_a_filter_does_not_keep_the_next_from_getting_rid_of_its_own() {
        let further = Further { port: Some(0), address: None };
        let ports = Ports::bind(Some(std::net::Ipv4Addr::LOCALHOST.into()), 0, further).unwrap();
        let [first, second] = &ports.sockets[..] else { panic!("not two places") };
        let marker = Server::new(Instant::from_micros(0), Config::default(), Seed::from_number(1)).marker();
        let (nothing, beside) = (Orders::default(), Beside::default());
        let some = Orders { level: crate::filter::Level::LEAST, ..Orders::default() };
        second.shed(&some, beside, &marker).unwrap();
        ports.shed(&nothing, beside, &marker).unwrap_err();
        for place in [first, second] {
            place.shed(&nothing, beside, &marker).expect_err("a filter is left");
        }
    }
}
