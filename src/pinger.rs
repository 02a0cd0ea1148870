//! PING and PONG alone, without a client: asks a server for the observed address. SPEC 4

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use roundtable_proto::wire::{self, Frame, Ping, TransactionId, Zeros};
use tokio::net::UdpSocket;

use crate::capture::{self, Capture, Way};
use crate::client::{Pong, any_address};

/// Asks one server, one PING at a time.
#[derive(Debug)]
pub struct Pinger {
    socket: UdpSocket,
    server: SocketAddr,
    capture: Option<Capture>,
}

impl Pinger {
    /// Binds a socket of the server's family.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn new(server: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: UdpSocket::bind(any_address(server)).await?, server, capture: None })
    }

    /// Writes what is said from now on to this capture.
    #[must_use]
    pub fn recorded(self, capture: Option<Capture>) -> Self {
        Self { capture, ..self }
    }

    /// Sends one PING and waits for its PONG; `None` if none comes within `wait`.
    ///
    /// # Errors
    /// The operating system's, where the PING cannot be sent.
    pub async fn ping(&mut self, wait: Duration) -> io::Result<Option<Pong>> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        let transaction = TransactionId(bytes);
        let ping = Frame::Ping(Ping { transaction, zero: Zeros::ZERO }).to_vec();
        let sent = Instant::now();
        self.note(Way::Out, &ping);
        self.socket.send_to(&ping, self.server).await?;
        let observed = tokio::time::timeout(wait, self.observed(transaction)).await;
        Ok(observed.ok().map(|observed| Pong { round_trip: sent.elapsed(), observed }))
    }

    fn note(&self, way: Way, datagram: &[u8]) {
        let (Some(capture), Ok(local)) = (&self.capture, self.socket.local_addr()) else { return };
        let local = capture::shown(local, self.server);
        let (from, to) = match way {
            Way::In => (self.server, local),
            Way::Out => (local, self.server),
        };
        capture.note(way, from, to, datagram);
    }

    /// Waits for the answer to `transaction`, whatever else comes.
    async fn observed(&self, transaction: TransactionId) -> SocketAddr {
        let mut buffer = [0; wire::DATAGRAM_MAX];
        loop {
            // An error is news of an earlier datagram: the answer may still come.
            let Ok((length, from)) = self.socket.recv_from(&mut buffer).await else {
                tokio::task::yield_now().await;
                continue;
            };
            if from != self.server {
                continue;
            }
            self.note(Way::In, &buffer[..length]);
            if let Ok(Frame::Pong(pong)) = wire::decode(&buffer[..length])
                && pong.transaction == transaction
                && let Some(observed) = pong.observed.socket_addr()
            {
                return observed;
            }
        }
    }
}
