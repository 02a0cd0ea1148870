//! Whether the runtime waits for a socket. While there is always something to receive it does not have to, and the kernel then
//! does not look, after each datagram that leaves, whether somebody waits for room.

use std::io;
use std::net::UdpSocket;
use std::task::{Context, Poll};

use tokio::io::Interest;

/// Receives in a row that brought something, after which the runtime no longer waits: some of them, or a socket that comes
/// and goes at every second receive would cost more than it saves.
pub(super) const BUSY: u32 = 64;

/// What the runtime knows of a socket.
pub(super) struct Watch {
    /// The same socket, registered with the runtime; none while it is busy.
    io: Option<tokio::net::UdpSocket>,
    /// Receives in a row that brought something.
    streak: u32,
}

impl Watch {
    /// Has the runtime wait for a socket.
    pub(super) fn new(socket: &UdpSocket) -> io::Result<Self> {
        Ok(Self { io: Some(registered(socket)?), streak: 0 })
    }

    /// Tells whether the runtime waits for it.
    #[cfg(test)]
    pub(super) const fn is_waiting(&self) -> bool {
        self.io.is_some()
    }

    /// Waits until something can be received. Can be cancelled.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match &self.io {
            Some(io) => io.readable().await,
            None => Ok(()),
        }
    }

    /// Tells whether something can be received, and wakes the task once it can.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.as_ref().map_or(Poll::Ready(Ok(())), |io| io.poll_recv_ready(context))
    }

    /// Receives from `socket`, by a call that does not wait, and takes note of what came of it.
    ///
    /// # Errors
    /// Those of the call. `WouldBlock` too where the runtime knows that there is nothing; and why it cannot wait for the socket,
    /// which is then asked again at the next call.
    pub(super) fn receive<R>(
        &mut self,
        socket: &UdpSocket,
        call: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        let received = match &self.io {
            Some(io) => io.try_io(Interest::READABLE, call),
            None => call(),
        };
        self.streak = if received.is_ok() { self.streak.saturating_add(1) } else { 0 };
        if self.streak == BUSY {
            self.io = None;
        }
        if received.is_err() && self.io.is_none() {
            self.io = Some(registered(socket)?);
        }
        received
    }
}

/// The runtime takes a socket for good, so it gets a descriptor of its own.
fn registered(socket: &UdpSocket) -> io::Result<tokio::net::UdpSocket> {
    tokio::net::UdpSocket::from_std(socket.try_clone()?)
}
