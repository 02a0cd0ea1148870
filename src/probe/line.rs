//! A connected socket to a server, and the capture that the user asked for: everything that the probe says and hears without
//! a client goes through here.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::OnceLock;

use tokio::net::UdpSocket;

use super::failure::Failure;
use crate::capture::{Capture, Extent, Way};
use crate::client::any_address;

/// Of `--capture`: one process makes one.
static CAPTURE: OnceLock<Capture> = OnceLock::new();
/// Bytes of a capture, at most.
const CAPTURE_MAX: u64 = 64 << 20;

/// Begins the capture.
pub(super) fn record(path: &Path, blobs: bool) -> Result<(), Failure> {
    let made = Capture::create(path, Extent { size: CAPTURE_MAX, blobs });
    let capture = made.map_err(|error| Failure::File { path: path.to_owned(), error })?;
    // It is begun once.
    CAPTURE.get_or_init(|| capture);
    Ok(())
}

/// Gives the capture, if there is to be one.
pub(super) fn capture() -> Option<Capture> {
    CAPTURE.get().cloned()
}

/// Ends the capture: nothing of it is lost with the process.
pub(super) fn finish() {
    CAPTURE.get().into_iter().for_each(Capture::flush);
}

/// A socket that is connected to a server: it hears of ICMP errors, and nobody else.
pub(super) struct Line {
    socket: UdpSocket,
    local: SocketAddr,
    server: SocketAddr,
}

impl Line {
    pub(super) async fn to(server: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(any_address(server)).await?;
        socket.connect(server).await?;
        Ok(Self { local: socket.local_addr()?, socket, server })
    }

    /// Returns the own address, on the interface that leads there.
    pub(super) const fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) async fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        if let Some(capture) = CAPTURE.get() {
            capture.note(Way::Out, self.local, self.server, datagram);
        }
        self.socket.send(datagram).await
    }

    /// Can be cancelled.
    pub(super) async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.socket.recv(buffer).await?;
        if let Some(capture) = CAPTURE.get() {
            capture.note(Way::In, self.server, self.local, &buffer[..length]);
        }
        Ok(length)
    }
}
