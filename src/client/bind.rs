//! The socket of a client that is given none.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;

use super::any_address;

/// A socket, and its own address.
pub(super) type Bound = (Arc<UdpSocket>, SocketAddr);

/// Binds a free port of both families, so that peers meet by IPv6 where they can, whatever the server is reached by; of the
/// server's alone where both are not to be had, or where all are on this host.
pub(super) fn any(server: SocketAddr) -> io::Result<Bound> {
    let alone = any_address(server);
    if server.ip().is_loopback() { one(alone) } else { both().or_else(|_| one(alone)) }
}

/// Binds another port of the same address.
pub(super) fn again(local: SocketAddr) -> io::Result<Bound> {
    let same = SocketAddr::new(local.ip(), 0);
    if local.is_ipv6() && local.ip().is_unspecified() { both().or_else(|_| one(same)) } else { one(same) }
}

fn one(address: SocketAddr) -> io::Result<Bound> {
    bound(std::net::UdpSocket::bind(address)?)
}

/// Elsewhere than on Linux a socket of both families does not take a time to live for IPv4.
fn both() -> io::Result<Bound> {
    if !cfg!(target_os = "linux") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
    socket.set_only_v6(false)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
    bound(socket.into())
}

fn bound(socket: std::net::UdpSocket) -> io::Result<Bound> {
    socket.set_nonblocking(true)?;
    let local = socket.local_addr()?;
    Ok((Arc::new(UdpSocket::from_std(socket)?), local))
}
