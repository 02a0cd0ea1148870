//! The server's sockets as if they were one: that of `localport`, and those of `altport` and `altaddress` where they are set.
//!
//! Each place that the server listens at has a range of [`Via`] of its own. Where a place is every address of the host, those
//! that are asked first, and what may have to answer for them, get a socket each, a branch: one that is bound to an address need not be told which to answer from, nor
//! tell which was asked, and that is a tenth of what an answer costs. Knows nothing of frames.

mod alternates;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;
use roundtable_proto::server::{Marker, Path, Transmit, Via};

use crate::filter::{Beside, Orders};
use crate::kernel::SENT_MAX;
use crate::queue::{Drops, Queue};
use crate::socket::{Arrivals, Socket, VIAS};

/// Addresses that get a branch: each has a receive queue. Further ones are served by the socket of every address, unless one
/// of these has left the host.
const BRANCHES_MAX: usize = 8;

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
    places: Vec<Socket>,
    /// The sockets of single addresses of a place that has all, with the way that each is for.
    branches: Vec<(Via, Socket)>,
    /// What the kernel knows of all of them.
    queues: Queues,
    /// The second address, where the first two places have every address.
    second: Option<IpAddr>,
    /// By number, first of the places and then of the branches: where the last datagrams came, and where to look first for
    /// the next.
    came: usize,
    next: usize,
}

impl Ports {
    /// Binds `address`, or every address of the host, and what there is to be further.
    ///
    /// # Errors
    /// The system's, and where it is a further place that cannot be had, which.
    pub(crate) fn bind(address: Option<IpAddr>, port: u16, further: Further) -> Result<Self, BindError> {
        let mut places = vec![Socket::bind(address, port).map_err(BindError::First)?];
        let port = places[0].local_addr().map_err(BindError::First)?.port();
        let Some(second_port) = further.port else {
            return Ok(Self::of(places, None));
        };
        let open = |ip: Option<IpAddr>, port| {
            let address = SocketAddr::new(ip.unwrap_or(std::net::Ipv6Addr::UNSPECIFIED.into()), port);
            Socket::bind(ip, port).map_err(|error| BindError::Further { address, error })
        };
        places.push(open(address, second_port)?);
        let failed = |error| BindError::Further {
            address: SocketAddr::new(address.unwrap_or(IpAddr::V4(0.into())), second_port),
            error,
        };
        let second_port = places[1].local_addr().map_err(failed)?.port();
        let is_bound = address.is_some_and(|address| !address.is_unspecified());
        match further.address {
            Some(second) if is_bound => {
                places.push(open(Some(second), port)?);
                places.push(open(Some(second), second_port)?);
            }
            // The host must have it.
            Some(second) => drop(open(Some(second), 0)?),
            None => {}
        }
        let second = further.address.filter(|_| !is_bound);
        Ok(Self::of(places, second))
    }

    fn of(places: Vec<Socket>, second: Option<IpAddr>) -> Self {
        let open = places.iter().filter_map(Socket::queue).collect();
        let queues = Queues(Arc::new(Mutex::new(Known { open, closed: 0 })));
        Self { places, branches: Vec::new(), queues, second, came: 0, next: 0 }
    }

    /// Returns the address and port that are bound.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.places[0].local_addr()
    }

    /// Returns the address that is bound at the second port.
    pub(crate) fn second_addr(&self) -> Option<SocketAddr> {
        self.places.get(1)?.local_addr().ok()
    }

    /// Returns the bytes that the kernel granted for each receive queue.
    pub(crate) fn receive_buffer(&self) -> usize {
        self.places[0].receive_buffer()
    }

    /// Returns what the kernel knows of the receive queues; none where it does not tell.
    pub(crate) fn queues(&self) -> Queues {
        self.queues.clone()
    }

    /// Tells whether so much waits in one of the receive queues that it may soon be full.
    pub(crate) fn is_crowded(&self) -> bool {
        self.sockets().any(Socket::is_crowded)
    }

    /// Has the kernel drop, before they are queued, the datagrams that `orders` name, at every place where it can.
    pub(crate) fn shed(&self, orders: &Orders, beside: Beside, marker: &Marker) -> io::Result<()> {
        let told = self.sockets().map(|socket| socket.shed(orders, beside, marker));
        told.fold(Ok(()), Result::and)
    }

    /// Waits until something can be received. Can be cancelled.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        if let ([socket], []) = (&self.places[..], &self.branches[..]) {
            return socket.readable().await;
        }
        poll_fn(|context| {
            // All are asked, so that each wakes this task.
            let ready = self.sockets().map(|socket| socket.poll_readable(context));
            ready.fold(Poll::Pending, |all, one| if one.is_ready() { one } else { all })
        })
        .await
    }

    /// Takes what is there at one of the sockets, without waiting; each of those that the runtime knows to have something has
    /// its turn.
    pub(crate) fn receive(&mut self, arrivals: &mut Arrivals) -> io::Result<()> {
        let count = self.places.len() + self.branches.len();
        for number in (self.next..count).chain(0..self.next) {
            match self.socket(number).receive(arrivals) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => {
                    (self.came, self.next) = (number, (number + 1) % count);
                    return received;
                }
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.places.iter().chain(self.branches.iter().map(|(_, socket)| socket))
    }

    fn socket(&mut self, number: usize) -> &mut Socket {
        match number.checked_sub(self.places.len()) {
            Some(branch) => &mut self.branches[branch].1,
            None => &mut self.places[number],
        }
    }

    /// Gives the datagrams of received train number `train`, and the way they came.
    pub(crate) fn train<'a>(
        &mut self,
        arrivals: &'a Arrivals,
        train: usize,
    ) -> (Path, impl Iterator<Item = &'a [u8]> + use<'a>) {
        let branch = self.came.checked_sub(self.places.len()).map(|branch| self.branches[branch].0);
        let (path, datagrams) = self.socket(self.came).train(arrivals, train);
        (Path { via: branch.unwrap_or(at(self.came, path.via)), ..path }, datagrams)
    }

    /// Gives the next local address that datagrams have come to for the first time, or may be sent from.
    pub(crate) fn poll_local(&mut self) -> Option<(Via, SocketAddr)> {
        for (place, socket) in self.places.iter_mut().enumerate() {
            if let Some((via, local)) = socket.poll_local() {
                let local = SocketAddr::new(local.to_canonical(), socket.local_addr().ok()?.port());
                self.branch(place, at(place, via), local);
                return Some((at(place, via), local));
            }
        }
        None
    }

    /// Gives a way from a local address a socket of its own, if there may be one more, or one is bound to an address that is
    /// gone: that one is closed. What came by it goes out by the socket of every address from then on. It is never the one
    /// whose datagrams are at hand, since only the others tell of new addresses.
    fn branch(&mut self, place: usize, via: Via, local: SocketAddr) {
        let is_full = self.branches.len() == BRANCHES_MAX;
        let adrift = || self.branches.iter().position(|(_, branch)| branch.is_adrift());
        let former = is_full.then(adrift).flatten();
        if is_full && former.is_none() {
            return;
        }
        let socket = match self.places[place].branch(local) {
            Ok(socket) => socket,
            Err(error) => return log::debug!("no socket for {local} alone: {error}"),
        };
        self.queues.open(socket.queue());
        match former {
            Some(former) => {
                self.queues.close(self.branches[former].1.queue());
                self.branches[former] = (via, socket);
            }
            None => self.branches.push((via, socket)),
        }
    }

    /// Returns the first tag that stands for none of its ways.
    pub(crate) fn via_end(&self) -> Via {
        // At most four places.
        Via(self.places.len() as u32 * VIAS)
    }

    /// Gives the local address and port of a way, if it is known.
    pub(crate) fn local(&self, via: Via) -> Option<SocketAddr> {
        let socket = self.places.get((via.0 / VIAS) as usize)?;
        let ip = socket.source(Via(via.0 % VIAS)).or_else(|| socket.bound_ip())?;
        Some(SocketAddr::new(ip, socket.local_addr().ok()?.port()))
    }

    /// Returns the ways of the places that are bound to one address: datagrams there do not say which they came to.
    pub(crate) fn fixed(&self) -> Vec<(Via, SocketAddr)> {
        let bound = self.places.iter().enumerate().filter(|(_, socket)| socket.bound_ip().is_some());
        bound
            .filter_map(|(place, socket)| Some((at(place, Via::default()), socket.local_addr().ok()?)))
            .collect()
    }

    /// Sends trains, and tells `failed` which could not be sent. Does not wait: where the kernel has no room, the datagrams
    /// are lost as on any busy link.
    pub(crate) fn send<'a>(
        &mut self,
        transmits: impl Iterator<Item = Transmit<'a>>,
        mut failed: impl FnMut(&Transmit<'a>, &io::Error),
    ) {
        // Those that can leave one socket in one call.
        let (mut from, mut plain) = (0, Vec::new());
        for transmit in transmits {
            let (number, transmit) = self.by_socket(&transmit);
            let is_plain = self.socket(number).is_plain(&transmit);
            if number != from || !is_plain || plain.len() == SENT_MAX {
                self.socket(from).send_all(&plain, &mut failed);
                plain.clear();
            }
            from = number;
            if is_plain {
                if plain.is_empty() {
                    plain.reserve(SENT_MAX);
                }
                plain.push(transmit);
            } else if let Err(error) = self.socket(number).send(&transmit) {
                failed(&transmit, &error);
            }
        }
        self.socket(from).send_all(&plain, &mut failed);
    }

    /// Finds the number of the socket that a train leaves by, and says the way as that one does.
    fn by_socket<'a>(&self, transmit: &Transmit<'a>) -> (usize, Transmit<'a>) {
        let via = transmit.path.via;
        let (number, via) = match self.branches.iter().position(|(branch, _)| *branch == via) {
            Some(branch) => (self.places.len() + branch, Via::default()),
            // Ways are made here alone.
            None => ((via.0 / VIAS) as usize, Via(via.0 % VIAS)),
        };
        (number, Transmit { path: Path { via, ..transmit.path }, ..*transmit })
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

/// The kernel's receive queues of all sockets.
#[derive(Clone, Debug)]
pub(crate) struct Queues(Arc<Mutex<Known>>);

#[derive(Clone, Debug)]
struct Known {
    open: Vec<Queue>,
    /// Datagrams that the kernel dropped at those that are closed.
    closed: u64,
}

impl Queues {
    /// Counts the datagrams that the kernel dropped; none where it does not tell.
    pub(crate) fn drops(&self) -> Option<Drops> {
        let Known { open, closed } = self.0.lock().clone();
        Queue::drops(&open, closed)
    }

    fn open(&self, queue: Option<Queue>) {
        self.0.lock().open.extend(queue);
    }

    /// Counts no longer at a queue whose socket is about to be closed.
    fn close(&self, queue: Option<Queue>) {
        let Some(queue) = queue else { return };
        let mut known = self.0.lock();
        known.closed += Queue::drops(&[queue], 0).map_or(0, Drops::in_all);
        known.open.retain(|one| !one.is(&queue));
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
