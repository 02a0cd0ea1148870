//! One UDP socket: dual stack, deep receive buffer, trains in and out, answers from the address that was asked.
//!
//! Owns the system calls (through quinn-udp and socket2) and the table of local addresses. Knows nothing of frames.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use roundtable_proto::server::{Marker, Path, Transmit, Via};
use socket2::{Domain, Protocol, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

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
        Self { bytes: vec![0; BATCH_SIZE * STRIDE], metas: [RecvMeta::default(); BATCH_SIZE], count: 0 }
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
    io: UdpSocket,
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
        let io = UdpSocket::from_std(socket.into())?;
        let has_one_address = address.is_some_and(|address| !address.is_unspecified());
        let state = state_of(&io, has_one_address)?;
        let is_v6 = io.local_addr()?.is_ipv6();
        let train_max = state.max_gso_segments();
        Ok(Self { io, state, train_max, is_v6, has_one_address, locals: Vec::new(), told: 0 })
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
        self.io.readable().await
    }

    /// Tells whether something can be received, and wakes the task once it can.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_recv_ready(context)
    }

    /// Returns the one address that it is bound to.
    pub(crate) fn bound_ip(&self) -> Option<IpAddr> {
        self.has_one_address.then(|| self.io.local_addr().ok().map(|local| local.ip()))?
    }

    /// Takes what is there, without waiting.
    pub(crate) fn receive(&self, arrivals: &mut Arrivals) -> io::Result<()> {
        arrivals.count = 0;
        let mut chunks = arrivals.bytes.chunks_exact_mut(STRIDE).map(|chunk| &mut chunk[..TRAIN_BYTES]);
        let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        arrivals.count = self.io.try_io(Interest::READABLE, || {
            self.state.recv((&self.io).into(), &mut buffers, &mut arrivals.metas)
        })?;
        Ok(())
    }

    /// Gives the datagrams of received train number `train`, and the way they came.
    pub(crate) fn train<'a>(
        &mut self,
        arrivals: &'a Arrivals,
        train: usize,
    ) -> (Path, impl Iterator<Item = &'a [u8]> + use<'a>) {
        let meta = &arrivals.metas[train];
        let path = Path { remote: meta.addr, via: self.via(meta.dst_ip) };
        (path, arrivals.datagrams_of(train))
    }

    /// Gives the next local address that datagrams have come to for the first time.
    pub(crate) fn poll_local(&mut self) -> Option<(Via, IpAddr)> {
        let local = *self.locals.get(self.told)?;
        self.told += 1;
        // At most LOCAL_ADDRESSES_MAX.
        Some((Via(self.told as u32), local))
    }

    /// Sends a train. Does not wait: where the kernel has no room, the datagrams are lost as on any busy link.
    pub(crate) fn send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        // Whoever names it as his source names nobody. The kernel would say EINVAL.
        if transmit.path.remote.port() == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let sent = self.send_parts(transmit);
        // quinn-udp takes EINVAL for a link that cannot cut trains and cuts them itself from then on. Where one datagram
        // alone is refused, a route or an address is missing, and that heals.
        if sent.is_err()
            && transmit.contents.len() <= transmit.segment_size
            && self.state.max_gso_segments() < self.train_max
        {
            self.state = state_of(&self.io, self.has_one_address)?;
        }
        sent
    }

    fn send_parts(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.has_one_address && transmit.contents.len() <= transmit.segment_size {
            return self.send_plainly(transmit);
        }
        let longest = self.state.max_gso_segments().max(1) * transmit.segment_size;
        for contents in transmit.contents.chunks(longest) {
            let transmit = quinn_udp::Transmit {
                destination: self.destination(transmit.path.remote),
                ecn: None,
                contents,
                segment_size: (contents.len() > transmit.segment_size).then_some(transmit.segment_size),
                src_ip: self.source(transmit.path.via),
            };
            self.io.try_io(Interest::WRITABLE, || self.state.try_send((&self.io).into(), &transmit))?;
        }
        Ok(())
    }

    /// Sends one datagram without control messages, which cost a tenth of an answer: there is no source to choose.
    fn send_plainly(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.io.try_send_to(transmit.contents, self.destination(transmit.path.remote)).map(drop)
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

    /// An IPv6 socket wants IPv4 addresses mapped.
    const fn destination(&self, remote: SocketAddr) -> SocketAddr {
        match remote {
            SocketAddr::V4(v4) if self.is_v6 => {
                SocketAddr::new(IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port())
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => remote,
        }
    }
}

fn open(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    // The kernel grants what net.core.rmem_max allows; the log says how much that is.
    let _granted_less = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
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
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_are_answered_from_the_address_that_was_asked() {
        let mut server = Socket::bind(None, 0).unwrap();
        let port = server.local_addr().unwrap().port();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for asked in ["127.0.0.1", "127.0.0.9", "127.5.5.5"] {
            client.send_to(b"question", (asked, port)).await.unwrap();
            let mut arrivals = Arrivals::new();
            loop {
                server.readable().await.unwrap();
                if server.receive(&mut arrivals).is_ok() {
                    break;
                }
            }
            let (path, _) = server.train(&arrivals, 0);
            server.send(&Transmit { path, contents: b"answer", segment_size: 6 }).unwrap();
            let mut answer = [0; 16];
            let (length, from) = client.recv_from(&mut answer).await.unwrap();
            assert_eq!(
                (&answer[..length], from),
                (&b"answer"[..], format!("{asked}:{port}").parse().unwrap())
            );
        }
    }

    #[tokio::test]
    async fn both_families_are_served_by_one_socket() {
        let server = Socket::bind(None, 0).unwrap();
        let to = server.local_addr().unwrap();
        if !to.is_ipv6() {
            return;
        }
        let client = UdpSocket::bind("[::1]:0").await.unwrap();
        client.send_to(b"question", (Ipv6Addr::LOCALHOST, to.port())).await.unwrap();
        server.readable().await.unwrap();
        let mut arrivals = Arrivals::new();
        server.receive(&mut arrivals).unwrap();
        assert_eq!(arrivals.trains(), 1);
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn drops_of_a_full_queue_are_read_from_the_kernel() {
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let Ok(socket) = Socket::bind(Some(address), 0) else { continue };
            socket2::SockRef::from(&socket.io).set_recv_buffer_size(1).unwrap();
            let queue = socket.queue().unwrap();
            assert_eq!(queue.drops().unwrap().in_all(), 0);
            let client = std::net::UdpSocket::bind((address, 0)).unwrap();
            let mut sent: u64 = 0;
            while queue.drops().unwrap().full == 0 {
                client.send_to(&[0; 1000], socket.local_addr().unwrap()).unwrap();
                sent += 1;
                assert!(sent < 1000, "a queue of the smallest size takes them all");
            }
            assert!((1..=sent).contains(&queue.drops().unwrap().full));
        }
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn queue_is_crowded_from_a_quarter_of_what_was_granted() {
        let socket = Socket::bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let fill = |share: u32| {
            let backlog = || crate::kernel::backlog(std::os::fd::AsFd::as_fd(&socket.io)).unwrap();
            while backlog().used * 100 < backlog().granted / 100 * share * 100 {
                client.send_to(&[0; 1000], socket.local_addr().unwrap()).unwrap();
            }
        };
        assert!(!socket.is_crowded());
        fill(20);
        assert!(!socket.is_crowded());
        fill(30);
        assert!(socket.is_crowded());
    }

    #[tokio::test]
    async fn impossible_destination_does_not_end_the_sending_of_trains() {
        let mut socket = Socket::bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
        let before = socket.state.max_gso_segments();
        // Port 0, and a host that cannot be reached from loopback: EINVAL from the kernel.
        for remote in ["127.0.0.1:0", "192.0.2.1:9"] {
            let path = Path { remote: remote.parse().unwrap(), via: Via::default() };
            socket.send(&Transmit { path, contents: b"answer", segment_size: 6 }).unwrap_err();
            assert_eq!(socket.state.max_gso_segments(), before, "{remote}");
        }
    }

    #[tokio::test]
    async fn local_addresses_are_bounded() {
        let mut socket = Socket::bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
        for number in 0..u32::try_from(LOCAL_ADDRESSES_MAX).unwrap() {
            assert_ne!(socket.via(Some(Ipv4Addr::from_bits(number).into())), Via::default());
        }
        assert_eq!(socket.via(Some(Ipv4Addr::from_bits(u32::MAX).into())), Via::default());
        assert_eq!(socket.locals.len(), LOCAL_ADDRESSES_MAX);
    }
}
