//! The client's driver: a task that owns one socket, and handles to it.
//!
//! The task moves bytes, time and commands; the protocol is the engine's. Media may share the socket: what is none of
//! the protocol's is handed to the application, which sends on the same socket.

mod bind;
mod call;
mod hops;
mod hosts;
mod latest;
mod standing;
mod task;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roundtable_proto::client::{self as engine, Counters, OfferError, RefusalCode};
use roundtable_proto::identity::Identity;
use roundtable_proto::nat::Verdict;
use roundtable_proto::seal::OpenError;
use roundtable_proto::wire::{OfferId, PeerId};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};

pub use call::{Answer, Call, CallEvent, IncomingCall, Outcome, PunchedPath};
pub use latest::Latest;
pub use roundtable_proto::client::{Arriving, CallError, FailReason, PathKind, Progress, Transfer};
use task::{Command, Ends, Task};

use crate::capture::Capture;
use crate::nat::{self, NatError};

/// Commands that wait for the task, at most; a sender waits then.
const COMMANDS_MAX: usize = 64;
/// Incoming calls that wait to be accepted, at most. Further ones fail at their time.
const INCOMING_MAX: usize = 64;

/// Where a datagram of the application came from, and its bytes.
pub type Media = (SocketAddr, Bytes);

/// How to start a client.
#[derive(Debug)]
pub struct Options {
    /// The server.
    pub server: SocketAddr,
    /// What the server itself is called, where that is not `server`: behind a NAT64 of the network's own prefix, or a
    /// local forwarder. `None`: `server`.
    pub known_as: Option<SocketAddr>,
    /// Who this client is.
    pub identity: Identity,
    /// The socket to use, shared with the application's media; `None` binds one: of both families where
    /// this host has both, else of the server's.
    pub socket: Option<Arc<UdpSocket>>,
    /// Where the protocol's datagrams are written to; `None`: nowhere.
    pub capture: Option<Capture>,
    /// Gets every received datagram that is none of the protocol's; it is dropped where this is full or `None`.
    pub media: Option<mpsc::Sender<Media>>,
    /// Another address of the server, or another server of this protocol, that is asked what it sees when a path is looked
    /// for, so that a failure can say whose NAT is in the way. `None`: nobody is.
    pub witness: Option<SocketAddr>,
    /// Keeps direct paths, by a question every 5 s that the other peer answers, as long as the handle of the call lives; says
    /// so when one is lost (RFC 7675). Off for an application that does as much itself, as ICE does.
    pub keep_paths: bool,
}

impl Options {
    /// Makes the options of a client with a socket of its own.
    #[must_use]
    pub fn new(server: SocketAddr, identity: impl Into<Identity>) -> Self {
        Self {
            server,
            known_as: None,
            identity: identity.into(),
            socket: None,
            capture: None,
            media: None,
            witness: None,
            keep_paths: true,
        }
    }
}

/// How the registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// No answer yet.
    Asking,
    /// It stands.
    Registered {
        /// Where the server sees this client.
        observed: SocketAddr,
        /// How long an offer waits for its answer.
        timeout: Duration,
        /// Bytes of the largest blob that the server relays.
        maxblob: u32,
        /// The session is the one of before: it was renewed, or has moved.
        resumed: bool,
    },
    /// The server refuses it.
    Refused {
        /// Why.
        code: RefusalCode,
        /// See SPEC 9.
        detail: u8,
        /// The client asks again by itself after this; `None`: it has given up.
        retry_after: Option<Duration>,
    },
    /// The server does not answer; the client goes on asking.
    ServerSilent,
    /// It has ended as asked.
    Unregistered,
}

/// What a PING brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// From the PING to its answer.
    pub round_trip: Duration,
    /// Where the server sees this client.
    pub observed: SocketAddr,
}

/// Why a command has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The client's task has ended.
    Ended,
    /// The offer cannot be made.
    Offer(OfferError),
    /// The command does not fit the call.
    Call(CallError),
    /// The call, or what was asked of it, has failed.
    Failed(FailReason),
    /// The callee declined.
    Declined,
    /// Both called each other; the call goes on as the other's offer, which comes in.
    Yielded,
    /// The server refuses the registration for good.
    Refused(RefusalCode),
    /// The operating system says this of the socket.
    Socket(io::ErrorKind),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the client has ended"),
            Self::Offer(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
            Self::Failed(reason) => reason.fmt(f),
            Self::Declined => f.write_str("the other peer declined"),
            Self::Yielded => f.write_str("the other peer was calling too; its offer goes on"),
            Self::Socket(kind) => write!(f, "the socket cannot be used: {kind}"),
            Self::Refused(RefusalCode::Known(code)) => {
                write!(f, "the server refuses the registration: {code}")
            }
            Self::Refused(RefusalCode::Unknown(number)) => {
                write!(f, "the server refuses the registration with the unknown code {number}")
            }
        }
    }
}

impl std::error::Error for ClientError {}

/// A handle to a running client. Cheap to clone.
///
/// The client ends when the last handle to it and to its calls is gone. It then tells the server, once;
/// [`Client::unregister`] makes sure.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use roundtable_signalling::client::{Client, Options};
///
/// use roundtable_signalling::proto::wire::PeerId;
///
/// let me: PeerId = "6ba7b810-9dad-41d1-80b4-00c04fd430c8".parse()?;
/// let friend = "0f0e0d0c-0b0a-4908-8706-050403020100".parse()?;
/// let (client, mut incoming) = Client::start(Options::new("198.51.100.7:1066".parse()?, me)).await?;
/// client.registered().await?;
///
/// // Call somebody ...
/// let mut call = client.call(friend, "v=0 ...".into()).await?;
/// let answer = call.answered().await?;
/// println!("{} answers {} bytes", answer.from, answer.blob.len());
/// let path = call.punch().await?;
/// println!("talk to {}", path.peer);
///
/// // ... or be called.
/// while let Some(mut call) = incoming.accept().await {
///     call.answer("v=0 ...".into()).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    registration: watch::Receiver<Registration>,
    local: watch::Receiver<SocketAddr>,
    server: SocketAddr,
}

/// The calls that come in.
#[derive(Debug)]
pub struct Incoming {
    arrivals: mpsc::Receiver<Arrival>,
    arriving: watch::Receiver<Vec<Arriving>>,
}

/// An offer that came in.
#[derive(Debug)]
pub enum Arrival {
    /// One to answer or decline.
    Offer(IncomingCall),
    /// One that could not be opened: somebody on the way has changed it, replays it, or a clock is wrong. SPEC 13
    Refused(RefusedOffer),
}

/// An offer that could not be opened. Its caller learns nothing of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedOffer {
    /// The offer, which is over.
    pub offer: OfferId,
    /// Who calls, says the server.
    pub from: PeerId,
    /// Why.
    pub reason: OpenError,
}

impl Incoming {
    /// Waits for the next offer that can be answered; `None` when the client has ended. Can be cancelled.
    pub async fn accept(&mut self) -> Option<IncomingCall> {
        loop {
            match self.next().await? {
                Arrival::Offer(call) => return Some(call),
                Arrival::Refused(RefusedOffer { offer, from, reason }) => {
                    log::debug!("offer {offer} of {from} is refused: {reason}");
                }
            }
        }
    }

    /// Waits for the next offer, whether it could be opened or not; `None` when the client has ended. Can be cancelled.
    pub async fn next(&mut self) -> Option<Arrival> {
        self.arrivals.recv().await
    }

    /// Follows the offers of more than one fragment of which a part has arrived, in the order of their ids. Nothing of them
    /// is proved; see [`Arriving`]. One that is not there any more comes out of [`next`](Self::next), before it is missing
    /// here; or it has come to nothing, and is not heard of again.
    #[must_use]
    pub fn arriving(&self) -> Latest<Vec<Arriving>> {
        Latest::new(self.arriving.clone())
    }
}

impl Client {
    /// Starts a client on the current tokio runtime; it registers at once and stays registered by itself.
    ///
    /// # Errors
    /// The operating system's, where no socket can be bound or no random bytes can be had.
    pub async fn start(options: Options) -> io::Result<(Self, Incoming)> {
        let server = task::canonical(options.server);
        let owns_socket = options.socket.is_none();
        let socket = match options.socket {
            Some(socket) => socket,
            None => bind::any(server)?.0,
        };
        let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
        let (incoming, incoming_queue) = mpsc::channel(INCOMING_MAX);
        let (state, registration) = watch::channel(Registration::Asking);
        let (address, local) = watch::channel(socket.local_addr()?);
        let (arriving, arriving_now) = watch::channel(Vec::new());
        let mut config = engine::Config::new(server, options.identity, crate::clock::unix_time());
        config.known_as = options.known_as.unwrap_or(server);
        config.witness = options.witness.map(task::canonical);
        let ends = Ends {
            commands: commands.downgrade(),
            incoming,
            arriving,
            registration: state,
            local: address,
            media: options.media,
            capture: options.capture,
            owns_socket,
            keep_paths: options.keep_paths,
        };
        tokio::spawn(Task::new(socket, config, ends)?.run(command_queue));
        let incoming = Incoming { arrivals: incoming_queue, arriving: arriving_now };
        Ok((Self { commands, registration, local, server }, incoming))
    }

    /// Returns the socket's own address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        *self.local.borrow()
    }

    /// Returns how the registration stands now.
    #[must_use]
    pub fn registration(&self) -> Registration {
        *self.registration.borrow()
    }

    /// Returns how the registration stands now, and takes it as seen: [`Client::registration_changed`] waits for what comes
    /// after it.
    pub fn see_registration(&mut self) -> Registration {
        *self.registration.borrow_and_update()
    }

    /// Waits until the client is registered and returns the observed address. Can be cancelled.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the server refuses for good, [`ClientError::Failed`] once the client has
    /// unregistered; while the server is silent, or asks to wait, this waits.
    pub async fn registered(&self) -> Result<SocketAddr, ClientError> {
        let mut registration = self.registration.clone();
        loop {
            match *registration.borrow_and_update() {
                Registration::Registered { observed, .. } => return Ok(observed),
                Registration::Refused { code, retry_after: None, .. } => {
                    return Err(ClientError::Refused(code));
                }
                Registration::Unregistered => return Err(ClientError::Failed(FailReason::Unregistered)),
                Registration::Asking
                | Registration::Refused { retry_after: Some(_), .. }
                | Registration::ServerSilent => {}
            }
            registration.changed().await.map_err(|_| ClientError::Ended)?;
        }
    }

    /// Waits for the next change of the registration since it was last seen, by this or by
    /// [`Client::see_registration`], and returns it. Can be cancelled.
    ///
    /// # Errors
    /// [`ClientError::Ended`].
    pub async fn registration_changed(&mut self) -> Result<Registration, ClientError> {
        self.registration.changed().await.map_err(|_| ClientError::Ended)?;
        Ok(*self.registration.borrow_and_update())
    }

    /// Offers a call. Returns at once; [`Call::answered`] waits for the answer.
    ///
    /// # Errors
    /// [`ClientError::Offer`] if the offer is empty, too large or to the client itself.
    pub async fn call(&self, target: PeerId, offer: Bytes) -> Result<Call, ClientError> {
        self.ask(|reply| Command::Offer { target, blob: offer, reply }).await?.map_err(ClientError::Offer)
    }

    /// Sends a PING, up to three times, and waits for its answer. Can be cancelled.
    ///
    /// # Errors
    /// [`ClientError::Failed`] with [`FailReason::ServerSilent`] if there is none.
    pub async fn ping(&self) -> Result<Pong, ClientError> {
        self.ask(|reply| Command::Ping { reply }).await?.map_err(ClientError::Failed)
    }

    /// Finds out how this host's NAT behaves, over sockets of its own; takes two to four seconds. With the other side's verdict,
    /// [`Verdict::forecast`] says whether a direct path will come about. See [`nat::examine`] for `second`.
    ///
    /// # Errors
    /// [`NatError`].
    pub async fn nat_verdict(&self, second: Option<SocketAddr>) -> Result<Verdict, NatError> {
        nat::examine(self.server, second).await
    }

    /// Tells the client that the network under its socket has changed: it proves its new address at once.
    /// [`Client::registered`] waits until that is done; calls go on.
    ///
    /// # Errors
    /// [`ClientError::Ended`].
    pub async fn network_changed(&self) -> Result<(), ClientError> {
        self.ask(|reply| Command::Rebind { socket: None, reply }).await
    }

    /// Goes on over another socket, as after a change of the network: the old one is let go, calls go on.
    ///
    /// # Errors
    /// [`ClientError::Socket`] if the socket has no address, [`ClientError::Ended`].
    pub async fn move_to(&self, socket: Arc<UdpSocket>) -> Result<(), ClientError> {
        let local = socket.local_addr().map_err(|error| ClientError::Socket(error.kind()))?;
        self.ask(|reply| Command::Rebind { socket: Some((socket, local)), reply }).await
    }

    /// Ends the registration and waits until the server has confirmed it or does not answer.
    ///
    /// # Errors
    /// [`ClientError::Ended`].
    pub async fn unregister(&self) -> Result<(), ClientError> {
        let mut registration = self.registration.clone();
        self.commands.send(Command::Unregister).await.map_err(|_| ClientError::Ended)?;
        registration
            .wait_for(|state| *state == Registration::Unregistered)
            .await
            .map_err(|_| ClientError::Ended)?;
        Ok(())
    }

    /// Returns what the client has counted: datagrams, bytes, retransmissions, drops.
    ///
    /// # Errors
    /// [`ClientError::Ended`].
    pub async fn counters(&self) -> Result<Counters, ClientError> {
        self.ask(|reply| Command::Counters { reply }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, ClientError> {
        call::ask(&self.commands, command).await
    }
}

/// The unspecified address of the server's family, any port.
pub(crate) fn any_address(server: SocketAddr) -> SocketAddr {
    match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}
