//! A registered peer that does nothing by itself: it sends what no client would, to see what passes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::Instant;
use roundtable_proto::identity::{Binding, SecretKey};
use roundtable_proto::wire::{
    self, Address, Challenge, Cookie, Frame, PeerId, Refusal, Register, Session, Signature, Ticket,
    TransactionId, Unregister, Zeros,
};

use super::asking::{Asking, ask};
use crate::probe::line::Line;
use crate::seed;

/// For an answer to a REGISTER.
const PATIENCE: Duration = Duration::from_millis(400);
/// REGISTERs until it gives up.
const TRIES: u32 = 5;

/// The peer.
pub(super) struct Visitor {
    pub(super) socket: Line,
    pub(super) standing: Standing,
}

/// How the server knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) session: Session,
    pub(super) identifier: PeerId,
}

/// Why it could not register.
#[derive(Debug)]
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
        let mut registering = Registering::new(server)?;
        let socket = Line::to(server).await?;
        ask(&socket, &socket, &mut registering).await;
        Ok(Self { socket, standing: registering.outcome()? })
    }

    /// Ends the registration, if that arrives; else it lapses by itself.
    pub(super) async fn leave(self) {
        let Ok(transaction) = drawn() else { return };
        let unregister = Unregister { session: self.standing.session, transaction, zero: Zeros::ZERO };
        drop(self.socket.send(&Frame::Unregister(unregister).to_vec()).await);
    }
}

/// A registration under way.
pub(super) struct Registering {
    key: SecretKey,
    register: Register,
    /// REGISTERs that may still go unanswered.
    tries: u32,
    /// CHALLENGEs that may still be answered beside those.
    challenges: u32,
    /// When the next one goes out; none once it is over.
    next: Option<Instant>,
    outcome: Option<Result<Standing, Unwelcome>>,
}

impl Registering {
    pub(super) fn new(server: SocketAddr) -> io::Result<Self> {
        let key = new_key()?;
        let register = Register {
            session: Session::NONE,
            transaction: drawn()?,
            identifier: key.identifier(),
            cookie: Cookie::NONE,
            ticket: Ticket::NONE,
            server: Address::from(server),
            signature: Signature::NONE,
        };
        Ok(Self {
            key,
            register,
            tries: TRIES,
            challenges: TRIES,
            next: Some(Instant::ORIGIN),
            outcome: None,
        })
    }

    pub(super) fn outcome(self) -> Result<Standing, Unwelcome> {
        self.outcome.unwrap_or(Err(Unwelcome::Silence))
    }

    fn end(&mut self, outcome: Result<Standing, Unwelcome>) {
        (self.outcome, self.next) = (Some(outcome), None);
    }

    /// Signs what the server wants signed, and says it at once.
    fn sign(&mut self, now: Instant, challenge: &Challenge) {
        let Register { server, .. } = self.register;
        let Challenge { cookie, observed, .. } = *challenge;
        self.register.cookie = cookie;
        self.register.signature = self.key.sign_register(&Binding { cookie, observed, server });
        match drawn() {
            Ok(transaction) => {
                self.register.transaction = transaction;
                // A server that asks on and on is not answered on and on.
                let is_more = self.challenges > 0;
                self.challenges = self.challenges.saturating_sub(1);
                (self.tries, self.next) = (self.tries + u32::from(is_more), Some(now));
            }
            Err(error) => self.end(Err(error.into())),
        }
    }
}

impl Asking for Registering {
    fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.next.filter(|next| *next <= now)?;
        let left = self.tries.checked_sub(1);
        self.next = left.map(|_| now + PATIENCE);
        self.tries = left?;
        Some(Frame::Register(self.register).to_vec())
    }

    fn take(&mut self, now: Instant, come: io::Result<&[u8]>) {
        let datagram = match come {
            Ok(datagram) => datagram,
            Err(error) => return self.end(Err(error.into())),
        };
        let Register { transaction, identifier, .. } = self.register;
        match wire::decode(datagram) {
            Ok(Frame::Challenge(challenge)) if challenge.reference == transaction => {
                self.sign(now, &challenge);
            }
            Ok(Frame::Registered(registered)) if registered.transaction == transaction => {
                self.end(Ok(Standing { session: registered.session, identifier }));
            }
            Ok(Frame::Error(refusal)) if refusal.reference == transaction => {
                self.end(Err(Unwelcome::Refused(refusal)));
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn next(&self) -> Option<Instant> {
        self.next
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_that_challenges_for_ever_is_given_up() {
        let mut registering = Registering::new("192.0.2.1:1066".parse().unwrap()).unwrap();
        let mut now = Instant::ORIGIN;
        let mut sent = 0;
        while let Some(next) = registering.next() {
            now = now.max(next);
            let Some(datagram) = registering.poll(now) else { continue };
            sent += 1;
            let Ok(Frame::Register(register)) = wire::decode(&datagram) else { panic!("{datagram:?}") };
            let challenge = Challenge {
                reference: register.transaction,
                cookie: Cookie([sent; 16]),
                observed: Address::NONE,
            };
            registering.take(now, Ok(&Frame::Challenge(challenge).to_vec()));
        }
        assert_eq!(u32::from(sent), 2 * TRIES);
        assert!(matches!(registering.outcome(), Err(Unwelcome::Silence)));
    }
}
