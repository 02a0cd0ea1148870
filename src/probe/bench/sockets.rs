//! Many source addresses towards one target: trains out by GSO, batches and trains in by recvmmsg and GRO.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use roundtable_proto::proxy::spp;
use socket2::{Domain, Protocol, Type};

/// Bytes asked for each socket's receive queue.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Bytes of one receive buffer: the longest train.
const TRAIN_BYTES: usize = 1 << 16;
/// Source addresses in one 127.0.x.0/24.
const ADDRESSES: usize = 250;

pub(super) struct Sockets {
    target: SocketAddr,
    sockets: Vec<One>,
}

struct One {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Of a proxy, before each datagram, if there is to be one; else empty.
    header: Vec<u8>,
}

/// What one call received.
pub(super) struct Arrivals {
    bytes: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
    count: usize,
    /// Bytes of the header before each.
    skipped: usize,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        let metas = [RecvMeta::default(); BATCH_SIZE];
        Self { bytes: vec![0; BATCH_SIZE * TRAIN_BYTES], metas, count: 0, skipped: 0 }
    }

    pub(super) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.metas[..self.count].iter().zip(self.bytes.chunks_exact(TRAIN_BYTES)).flat_map(|(meta, bytes)| {
            // An empty datagram has a stride of zero.
            let datagrams = bytes[..meta.len].chunks(meta.stride.max(1));
            datagrams.map(|datagram| datagram.get(self.skipped..).unwrap_or_default())
        })
    }
}

impl Sockets {
    /// Opens `count` sockets to `target`, on loopback each with a source address of its own; `is_proxied`: each is the end of
    /// a proxy, and speaks for a client of the same address.
    pub(super) fn open(target: SocketAddr, count: usize, is_proxied: bool) -> io::Result<Self> {
        let sockets = (0..count).map(|number| {
            let socket = socket2::Socket::new(Domain::for_address(target), Type::DGRAM, Some(Protocol::UDP))?;
            let _granted_less = socket.set_recv_buffer_size(RECEIVE_BUFFER);
            socket.set_nonblocking(true)?;
            socket.bind(&SocketAddr::new(source(target.ip(), number), 0).into())?;
            let socket = UdpSocket::from(socket);
            socket.connect(target)?;
            let state = UdpSocketState::new((&socket).into())?;
            let header = spp::Header { client: socket.local_addr()?, proxy: target }.to_bytes();
            Ok(One { socket, state, header: if is_proxied { header.to_vec() } else { Vec::new() } })
        });
        Ok(Self { target, sockets: sockets.collect::<io::Result<_>>()? })
    }

    pub(super) const fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Returns the address that all sockets send to.
    pub(super) const fn target(&self) -> SocketAddr {
        self.target
    }

    /// Sends one datagram from the socket of `peer`.
    pub(super) fn send(&self, peer: u32, datagram: &[u8]) -> io::Result<()> {
        let One { socket, header, .. } = &self.sockets[self.of(peer)];
        if header.is_empty() {
            return socket.send(datagram).map(drop);
        }
        socket.send(&[header, datagram].concat()).map(drop)
    }

    /// Sends datagrams of one length from the socket of `peer`, as one train where the kernel can.
    pub(super) fn send_train(&self, peer: u32, contents: &[u8], length: usize) -> io::Result<()> {
        let One { socket, state, header } = &self.sockets[self.of(peer)];
        let headed: Vec<u8>;
        let (contents, length) = if header.is_empty() {
            (contents, length)
        } else {
            headed =
                contents.chunks(length).flat_map(|datagram| header.iter().chain(datagram)).copied().collect();
            (&headed[..], header.len() + length)
        };
        for contents in contents.chunks(length * state.max_gso_segments().max(1)) {
            let transmit = Transmit {
                destination: self.target,
                ecn: None,
                contents,
                segment_size: (contents.len() > length).then_some(length),
                src_ip: None,
            };
            state.try_send(socket.into(), &transmit)?;
        }
        Ok(())
    }

    /// Takes what socket `number` has, without waiting; tells whether there was anything.
    pub(super) fn receive(&self, number: usize, arrivals: &mut Arrivals) -> io::Result<bool> {
        let One { socket, state, header } = &self.sockets[number];
        (arrivals.count, arrivals.skipped) = (0, header.len());
        let mut chunks = arrivals.bytes.chunks_exact_mut(TRAIN_BYTES);
        let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        match state.recv(socket.into(), &mut buffers, &mut arrivals.metas) {
            Ok(count) => arrivals.count = count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    const fn of(&self, peer: u32) -> usize {
        peer as usize % self.sockets.len()
    }
}

fn source(target: IpAddr, number: usize) -> IpAddr {
    match target {
        // Two octets of at most 250 each: 10,000 sockets fit.
        IpAddr::V4(v4) if v4.is_loopback() => {
            Ipv4Addr::new(127, 1, (number / ADDRESSES) as u8, (number % ADDRESSES) as u8 + 1).into()
        }
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
