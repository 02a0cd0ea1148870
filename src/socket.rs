//! One UDP socket: dual stack, deep receive buffer, trains in and out, answers from the address that was asked.
//!
//! Owns the system calls (through quinn-udp and socket2) and the table of local addresses. Knows nothing of frames.

mod sending;
mod watch;

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::task::{Context, Poll};

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use roundtable_proto::server::{Marker, Path, Via};
use socket2::{Domain, Protocol, Type};
use watch::Watch;

#[cfg(target_os = "linux")]
use crate::filter::Level;
use crate::filter::{Beside, Orders};
use crate::queue::Queue;

/// Bytes asked for the kernel's receive queue: what survives a burst. The default holds 92 large datagrams.
const RECEIVE_BUFFER: usize = 4 << 20;
/// A receive queue is crowded with this part of it in use: a quarter, some milliseconds of work.
#[cfg(target_os = "linux")]
const CROWDED: u32 = 4;
/// Bytes of one receive buffer: a train that the kernel has joined is at most this long.
const TRAIN_BYTES: usize = 1 << 16;
/// Bytes from one receive buffer to the next: three cache lines more, or all would lie in the same few places of the cache
/// and push each other out.
const STRIDE: usize = TRAIN_BYTES + 192;
/// Local addresses that are told apart. A host with more answers the rest from the address that routing chooses.
const LOCAL_ADDRESSES_MAX: usize = 1024;
/// Ways of one socket: every [`Via`] that it gives is below this.
pub(crate) const VIAS: u32 = LOCAL_ADDRESSES_MAX as u32 + 1;

/// Where received datagrams lie until they are handled.
pub(crate) struct Arrivals {
    bytes: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
    count: usize,
}

impl Arrivals {
    pub(crate) fn new() -> Self {
        // Not zero, which the system would give as pages that are found when they are first written: in the midst of a burst.
        Self { bytes: vec![1; BATCH_SIZE * STRIDE], metas: [RecvMeta::default(); BATCH_SIZE], count: 0 }
    }

    /// Counts the trains that the last receive brought.
    pub(crate) const fn trains(&self) -> usize {
        self.count
    }

    /// Goes through the datagrams of all trains.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count).flat_map(|train| self.datagrams_of(train))
    }

    fn datagrams_of(&self, train: usize) -> impl Iterator<Item = &[u8]> + use<'_> {
        let (meta, start) = (&self.metas[train], train * STRIDE);
        // An empty datagram has a stride of zero, and is one all the same.
        let datagrams = self.bytes[start..start + meta.len].chunks(meta.stride.max(1));
        let empty = (meta.len == 0).then_some(&[][..]);
        datagrams.chain(empty)
    }
}

pub(crate) struct Socket {
    /// What is sent goes past the runtime, which would hold a new socket for full until it has looked at it.
    io: UdpSocket,
    watch: Watch,
    state: UdpSocketState,
    /// Datagrams that the kernel takes as one train, as far as it has said at first.
    train_max: usize,
    is_v6: bool,
    /// Bound to one address, from which everything goes.
    has_one_address: bool,
    /// The local address of [`Via`] n + 1; 0 stands for none.
    locals: Vec<IpAddr>,
    /// Of these, how many [`Socket::poll_local`] has given.
    told: usize,
}

impl Socket {
    /// Binds `address`, or every address of the host, and asks for a deep receive buffer.
    pub(crate) fn bind(address: Option<IpAddr>, port: u16) -> io::Result<Self> {
        let socket = match address {
            Some(address) => open(SocketAddr::new(address, port))?,
            None => match open(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) {
                // A host without IPv6 serves IPv4 alone.
                Err(error) if is_without_ipv6(&error) => {
                    open(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))?
                }
                opened => opened?,
            },
        };
        Self::of(socket, address.is_some_and(|address| !address.is_unspecified()))
    }

    fn of(socket: socket2::Socket, has_one_address: bool) -> io::Result<Self> {
        let io = UdpSocket::from(socket);
        let (watch, state) = (Watch::new(&io)?, state_of(&io, has_one_address)?);
        let is_v6 = io.local_addr()?.is_ipv6();
        let train_max = state.max_gso_segments();
        Ok(Self { io, watch, state, train_max, is_v6, has_one_address, locals: Vec::new(), told: 0 })
    }

    /// Opens a socket for one of the addresses of this one, which has all: what comes to that address comes there then.
    ///
    /// # Errors
    /// The system's, or that this is no address to answer from.
    #[cfg(target_os = "linux")]
    pub(crate) fn branch(&self, local: SocketAddr) -> io::Result<Self> {
        // A link-local address is one on each link. What is for many hosts comes to both sockets, and would be answered twice;
        // of broadcast addresses it is the kernel that knows them, and lets nobody connect to one who has not asked for that.
        if local.ip().is_multicast() || matches!(local.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local()) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        unbound(local)?.connect(&local.into())?;
        let own = socket2::SockRef::from(&self.io);
        let branch = unbound(local)?;
        // The kernel lets both have the port if both allow it. No other is let in before or after that, and meanwhile only one
        // of the same user.
        own.set_reuse_port(true)?;
        let bound = branch.set_reuse_port(true).and_then(|()| branch.bind(&local.into()));
        own.set_reuse_port(false)?;
        bound.and_then(|()| branch.set_reuse_port(false))?;
        Self::of(branch, true)
    }

    /// Elsewhere than on Linux, what two sockets of one port get is not known well enough.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn branch(&self, _: SocketAddr) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Returns the bytes that the kernel granted for the receive queue.
    pub(crate) fn receive_buffer(&self) -> usize {
        self.state.recv_buffer_size((&self.io).into()).unwrap_or(0)
    }

    /// Returns what the kernel knows of this socket; none where it does not tell.
    pub(crate) fn queue(&self) -> Option<Queue> {
        Queue::of(&self.io)
    }

    /// Tells whether so much waits in the receive queue that it may soon be full; where the kernel does not tell, it is.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_crowded(&self) -> bool {
        use std::os::fd::AsFd;

        crate::kernel::backlog(self.io.as_fd())
            .is_none_or(|backlog| backlog.used >= backlog.granted / CROWDED)
    }

    /// Only Linux tells.
    #[cfg(not(target_os = "linux"))]
    pub(crate) const fn is_crowded(&self) -> bool {
        true
    }

    /// Has the kernel drop, before they are queued, the datagrams that `orders` name.
    #[cfg(target_os = "linux")]
    pub(crate) fn shed(&self, orders: &Orders, beside: Beside, marker: &Marker) -> io::Result<()> {
        let socket = socket2::SockRef::from(&self.io);
        if orders.level == Level::NOTHING {
            socket.detach_filter()
        } else {
            socket.attach_filter(&crate::filter::program(orders, beside, marker))
        }
    }

    /// Only Linux can.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn shed(&self, _: &Orders, _: Beside, _: &Marker) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Waits until something can be received. Can be cancelled.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.watch.readable().await
    }

    /// Tells whether something can be received, and wakes the task once it can.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch.poll_readable(context)
    }

    /// Returns the one address that it is bound to.
    pub(crate) fn bound_ip(&self) -> Option<IpAddr> {
        self.has_one_address.then(|| self.io.local_addr().ok().map(|local| local.ip()))?
    }

    /// Tells whether the host no longer has the one address that it is bound to. The socket does not notice: it works again
    /// when the address comes back.
    pub(crate) fn is_adrift(&self) -> bool {
        let bound = self.bound_ip().map(|ip| open(SocketAddr::new(ip, 0)));
        matches!(bound, Some(Err(error)) if error.kind() == io::ErrorKind::AddrNotAvailable)
    }

    /// Takes what is there, without waiting.
    pub(crate) fn receive(&mut self, arrivals: &mut Arrivals) -> io::Result<()> {
        arrivals.count = 0;
        let mut chunks = arrivals.bytes.chunks_exact_mut(STRIDE).map(|chunk| &mut chunk[..TRAIN_BYTES]);
        let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        arrivals.count = self
            .watch
            .receive(&self.io, || self.state.recv((&self.io).into(), &mut buffers, &mut arrivals.metas))?;
        Ok(())
    }

    /// Gives the datagrams of received train number `train`, and the way they came.
    pub(crate) fn train<'a>(
        &mut self,
        arrivals: &'a Arrivals,
        train: usize,
    ) -> (Path, impl Iterator<Item = &'a [u8]> + use<'a>) {
        let meta = &arrivals.metas[train];
        let path = Path { remote: plain(meta.addr), via: self.via(meta.dst_ip) };
        (path, arrivals.datagrams_of(train))
    }

    /// Gives the next local address that datagrams have come to for the first time.
    pub(crate) fn poll_local(&mut self) -> Option<(Via, IpAddr)> {
        let local = *self.locals.get(self.told)?;
        self.told += 1;
        // At most LOCAL_ADDRESSES_MAX.
        Some((Via(self.told as u32), local))
    }

    /// Returns the way that leaves from a local address; the default where there are too many.
    pub(crate) fn via(&mut self, local: Option<IpAddr>) -> Via {
        let Some(local) = local else { return Via::default() };
        let place = self.locals.iter().position(|known| *known == local).or_else(|| {
            (self.locals.len() < LOCAL_ADDRESSES_MAX).then(|| {
                self.locals.push(local);
                self.locals.len() - 1
            })
        });
        // At most LOCAL_ADDRESSES_MAX.
        place.map_or_else(Via::default, |place| Via(place as u32 + 1))
    }

    /// Gives the local address that a way came to, if it is known.
    pub(crate) fn source(&self, via: Via) -> Option<IpAddr> {
        self.locals.get((via.0 as usize).checked_sub(1)?).copied()
    }
}

/// An IPv4 address is the same whether an IPv4 socket gives it or an IPv6 one.
fn plain(remote: SocketAddr) -> SocketAddr {
    match remote.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, remote.port()),
        IpAddr::V6(_) => remote,
    }
}

fn open(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = unbound(address)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn unbound(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    // The kernel grants what net.core.rmem_max allows; the log says how much that is.
    let _granted_less = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Prepares a socket for trains and for the addresses that datagrams come to, and switches off what else quinn-udp asks
/// for: traffic class and time of arrival, which nobody wants to know, and the address where there is only one. The kernel
/// would write each beside every datagram, and read the clock for it.
fn state_of(io: &UdpSocket, has_one_address: bool) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new(io.into())?;
    let options = socket2::SockRef::from(io);
    // Where one of them is not to be had, it was not switched on.
    let _ = (options.set_recv_tos_v4(false), options.set_recv_tclass_v6(false));
    #[cfg(target_os = "linux")]
    {
        use nix::sys::socket::{setsockopt, sockopt};

        let _ = setsockopt(io, sockopt::ReceiveTimestampns, &false);
        if has_one_address {
            let _ = setsockopt(io, sockopt::Ipv4PacketInfo, &false);
            let _ = setsockopt(io, sockopt::Ipv6RecvPacketInfo, &false);
        }
    }
    Ok(state)
}

/// The kernel has no IPv6, or it is switched off.
fn is_without_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.kind() == io::ErrorKind::Unsupported
}

#[cfg(test)]
mod tests;
