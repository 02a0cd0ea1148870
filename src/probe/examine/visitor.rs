//! A registered peer that does nothing by itself: it sends what no client would, to see what passes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::identity::{Binding, SecretKey};
use roundtable_proto::wire::{
    self, Address, Cookie, Frame, PeerId, Refusal, Register, Registered, Session, Signature, Ticket,
    TransactionId, Unregister, Zeros,
};
use tokio::time::{Instant, timeout_at};

use crate::probe::line::Line;
use crate::seed;

/// For an answer to a REGISTER.
const PATIENCE: Duration = Duration::from_millis(400);
/// REGISTERs until it gives up.
const TRIES: u32 = 5;

/// The peer.
pub(super) struct Visitor {
    pub(super) socket: Line,
    pub(super) session: Session,
    pub(super) identifier: PeerId,
}

/// Why it could not register.
pub(super) enum Unwelcome {
    /// The system's.
    System(io::Error),
    /// There was no answer.
    Silence,
    /// The server's.
    Refused(Refusal),
}

impl From<io::Error> for Unwelcome {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl Visitor {
    /// Registers under a key that nobody else has.
    pub(super) async fn register(server: SocketAddr) -> Result<Self, Unwelcome> {
        let key = new_key()?;
        let socket = Line::to(server).await?;
        let identifier = key.identifier();
        let mut register = Register {
            session: Session::NONE,
            transaction: drawn()?,
            identifier,
            cookie: Cookie::NONE,
            ticket: Ticket::NONE,
            server: Address::from(server),
            signature: Signature::NONE,
        };
        let mut buffer = [0; wire::DATAGRAM_MAX];
        for _ in 0..TRIES {
            socket.send(&Frame::Register(register).to_vec()).await?;
            let until = Instant::now() + PATIENCE;
            while let Ok(received) = timeout_at(until, socket.recv(&mut buffer)).await {
                match wire::decode(&buffer[..received?]) {
                    Ok(Frame::Challenge(challenge)) if challenge.reference == register.transaction => {
                        register.cookie = challenge.cookie;
                        let binding = Binding {
                            cookie: challenge.cookie,
                            observed: challenge.observed,
                            server: register.server,
                        };
                        register.signature = key.sign_register(&binding);
                        register.transaction = drawn()?;
                        socket.send(&Frame::Register(register).to_vec()).await?;
                    }
                    Ok(Frame::Registered(Registered { session, transaction, .. }))
                        if transaction == register.transaction =>
                    {
                        return Ok(Self { socket, session, identifier });
                    }
                    Ok(Frame::Error(refusal)) if refusal.reference == register.transaction => {
                        return Err(Unwelcome::Refused(refusal));
                    }
                    Ok(_) | Err(_) => {}
                }
            }
        }
        Err(Unwelcome::Silence)
    }

    /// Ends the registration, if that arrives; else it lapses by itself.
    pub(super) async fn leave(self) {
        let Ok(transaction) = drawn() else { return };
        let unregister = Unregister { session: self.session, transaction, zero: Zeros::ZERO };
        drop(self.socket.send(&Frame::Unregister(unregister).to_vec()).await);
    }
}

/// Makes a key that ends with this process.
pub(super) fn new_key() -> io::Result<SecretKey> {
    SecretKey::from_seed(&seed::draw()?.0).map_err(io::Error::other)
}

pub(super) fn drawn() -> io::Result<TransactionId> {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&seed::draw()?.0[..16]);
    Ok(TransactionId(bytes))
}
