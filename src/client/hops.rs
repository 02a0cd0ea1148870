//! One datagram with a time to live of its own, over a socket that keeps its own for all others.

use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::UdpSocket;

/// Sends a datagram to an IPv4 address with this time to live, and restores the socket's before anything else is sent by
/// this task. Does not wait: media of another task that shares the socket must not meet the low one for long. It dies
/// on the way where the socket is full, as on any link.
pub(super) fn send_to(socket: &UdpSocket, hops: u8, contents: &[u8], to: SocketAddr) -> io::Result<usize> {
    let options = SockRef::from(socket);
    let own = options.ttl_v4()?;
    options.set_ttl_v4(hops.into())?;
    let sent = socket.try_send_to(contents, to);
    options.set_ttl_v4(own)?;
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_to_live_is_restored() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let own = SockRef::from(&socket).ttl_v4().unwrap();
        let to = socket.local_addr().unwrap();
        socket.writable().await.unwrap();
        assert_eq!(send_to(&socket, 3, b"opens", to).unwrap(), 5);
        assert_eq!(SockRef::from(&socket).ttl_v4().unwrap(), own);
        let mut buffer = [0; 8];
        assert_eq!(socket.recv(&mut buffer).await.unwrap(), 5);
    }
}
