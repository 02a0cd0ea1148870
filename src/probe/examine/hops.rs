//! How far PINGs come, without privilege: with a low time to live a router on the way sends them back (ICMP), which a
//! connected socket that asks for such news hears as an error. How far it is to the host itself is told by TCP.

use std::net::SocketAddr;

/// How far datagrams come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hops {
    /// The farthest router that sent a PING back; 0 where routers send back TCP alone.
    pub(super) udp: u8,
    /// Steps to the host, the last one included, if TCP goes there.
    pub(super) all: Option<u8>,
}

/// Finds out; none where the system does not tell, or no router does.
#[cfg(target_os = "linux")]
pub(super) async fn count(server: SocketAddr) -> Option<Hops> {
    linux::count(server).await
}

/// Only Linux tells.
#[cfg(not(target_os = "linux"))]
pub(super) async fn count(_: SocketAddr) -> Option<Hops> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::time::Duration;

    use nix::sys::socket::{setsockopt, sockopt};
    use roundtable_proto::wire::{Frame, Ping, TransactionId, Zeros};
    use socket2::{Domain, Protocol, Socket, Type};
    use tokio::net::{TcpSocket, UdpSocket};
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::{Hops, SocketAddr};
    use crate::client::any_address;

    /// Steps that are tried.
    const FARTHEST: u8 = 20;
    /// For a router's answer, and for TCP's.
    const PATIENCE: Duration = Duration::from_millis(900);

    pub(super) async fn count(server: SocketAddr) -> Option<Hops> {
        let (mut udp, mut tcp) = (JoinSet::new(), JoinSet::new());
        for hops in 1..=FARTHEST {
            udp.spawn(async move { dies_after(server, hops).await.unwrap_or(false).then_some(hops) });
            tcp.spawn(async move { (hops, connect(server, hops).await) });
        }
        let udp = udp.join_all().await.into_iter().flatten().max();
        let tcp = tcp.join_all().await;
        let all = tcp.iter().filter(|(_, end)| *end == End::Host).map(|(hops, _)| *hops).min();
        // Where no router says anything, that none does of a PING means nothing.
        let are_told = tcp.iter().any(|(_, end)| *end == End::Router);
        udp.or(are_told.then_some(0)).map(|udp| Hops { udp, all })
    }

    /// Tells whether a router says that a PING with this time to live has died.
    async fn dies_after(server: SocketAddr, hops: u8) -> io::Result<bool> {
        let domain = Domain::for_address(server);
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if server.is_ipv4() {
            socket.set_ttl_v4(hops.into())?;
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        } else {
            socket.set_unicast_hops_v6(hops.into())?;
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&any_address(server).into())?;
        socket.connect(&server.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let ping = Ping { transaction: TransactionId([hops; 16]), zero: Zeros::ZERO };
        socket.send(&Frame::Ping(ping).to_vec()).await?;
        let heard = timeout(PATIENCE, socket.recv(&mut [0; 64])).await;
        Ok(matches!(heard, Ok(Err(error)) if error.kind() == io::ErrorKind::HostUnreachable))
    }

    /// Whose word ends an attempt to connect.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum End {
        Host,
        /// It says that the packet has died there.
        Router,
        Nobody,
    }

    /// Tries TCP with this time to live.
    async fn connect(server: SocketAddr, hops: u8) -> End {
        match timeout(PATIENCE, connected(server, hops)).await {
            Ok(Ok(())) => End::Host,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => End::Host,
            Ok(Err(error)) if error.kind() == io::ErrorKind::HostUnreachable => End::Router,
            Ok(Err(_)) | Err(_) => End::Nobody,
        }
    }

    async fn connected(server: SocketAddr, hops: u8) -> io::Result<()> {
        let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let options = socket2::SockRef::from(&socket);
        if server.is_ipv4() {
            options.set_ttl_v4(hops.into())?;
        } else {
            options.set_unicast_hops_v6(hops.into())?;
        }
        socket.connect(server).await.map(drop)
    }
}
