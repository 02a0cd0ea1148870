//! How the probe fails: in words that say what to do, and with an exit code that says which kind it was.

mod words;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use roundtable_proto::client::{FailReason, OfferError, RefusalCode};
use roundtable_proto::identity::IdentityError;
use roundtable_proto::peer_address::PeerAddressError;
use roundtable_proto::wire::{BLOB_MAX, ErrorCode, PeerId, PeerIdError};

use self::words::{explain, meaning};
use super::examine::Part;
use super::identity::Sealing;
use crate::client::{ClientError, Registration, Transfer};
use crate::secret_file::SecretFileError;

/// Exit code of wrong usage.
pub(super) const USAGE: u8 = 2;

/// Exit code of what was done, and found something that is not as it should be.
pub(super) const NOT_ALL_WELL: u8 = 7;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(super) enum Failure {
    /// This machine's fault.
    System(io::Error),
    /// A file cannot be read or written.
    File { path: PathBuf, error: io::Error },
    /// A file is too long, or empty, for an offer or an answer.
    BlobSize { path: PathBuf, is_empty: bool },
    /// Both --id and --key were given.
    TwoIdentities,
    /// The key file is refused.
    KeyFile(SecretFileError),
    /// What should be a peer address is none, or there can be none.
    PeerAddress(PeerAddressError),
    /// What should be an identifier is none.
    Identifier { text: String, error: PeerIdError },
    /// Nobody to call is named, not in this file either.
    PeerMissing { text: String, contacts: Option<PathBuf> },
    /// The server's name leads nowhere.
    Resolve { server: String, error: Option<io::Error> },
    /// The server does not answer.
    NoAnswer { server: SocketAddr, waited: Duration },
    /// The server of this machine tells no statistics.
    NothingTold { socket: PathBuf, waited: Duration },
    /// The server answers, but no STUN.
    NoStun { server: SocketAddr },
    /// The server refuses the registration.
    Refused { code: RefusalCode, detail: u8, retry_after: Option<Duration> },
    /// The server is of another machine, and has not agreed to be loaded.
    NotAgreed { server: SocketAddr },
    /// The call did not come about.
    Call { peer: PeerId, sealing: Sealing, reason: FailReason },
    /// The call's time was over while its offer or answer had come in part.
    Partly { peer: PeerId, transfer: Transfer, part: Part },
    /// Nothing can be sealed to the peer.
    Unsealable { peer: PeerId, error: IdentityError },
    /// The other side declined.
    Declined { peer: PeerId },
    /// The client cannot do what was asked.
    Client(ClientError),
    /// A signal asks to end.
    Interrupted { signal: &'static str },
    /// Nobody says at which server the peer is.
    ServerMissing { peer: PeerId },
    /// An examination has found something, and has told it.
    Examined { code: u8 },
    /// There is no datagram to decode.
    NothingToDecode,
    /// What was given to decode is not in the form that it should have.
    Input { path: PathBuf, problem: String },
    /// There is no such datagram.
    Encode { problem: String },
    /// Some datagrams are not valid.
    NotValid { invalid: usize, of: usize },
    /// What came is not what was sent.
    Damaged { what: &'static str },
}

impl Failure {
    /// Returns the process's exit code.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::System(_)
            | Self::File { .. }
            | Self::KeyFile(_)
            | Self::Client(_)
            | Self::Interrupted { .. } => 1,
            Self::BlobSize { .. }
            | Self::TwoIdentities
            | Self::PeerAddress(_)
            | Self::Identifier { .. }
            | Self::PeerMissing { .. }
            | Self::ServerMissing { .. }
            | Self::Input { .. }
            | Self::Encode { .. }
            | Self::Resolve { .. } => USAGE,
            Self::NoAnswer { .. } | Self::NothingTold { .. } | Self::NothingToDecode => 3,
            Self::Refused { .. } | Self::NotAgreed { .. } | Self::NoStun { .. } => 4,
            Self::Declined { .. } => 6,
            Self::NotValid { .. } => NOT_ALL_WELL,
            Self::Examined { code } => *code,
            Self::Call { .. } | Self::Partly { .. } | Self::Unsealable { .. } | Self::Damaged { .. } => 5,
        })
    }

    /// Names the kind of failure for scripts.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::System(_) => "system",
            Self::File { .. } => "file",
            Self::BlobSize { .. } => "blob_size",
            Self::TwoIdentities | Self::PeerMissing { .. } | Self::ServerMissing { .. } => "usage",
            Self::KeyFile(_) => "key_file",
            Self::PeerAddress(_) => "peer_address",
            Self::Identifier { .. } => "identifier",
            Self::Resolve { .. } => "resolve",
            Self::NoAnswer { .. } | Self::NothingTold { .. } => "no_answer",
            Self::NoStun { .. } => "no_stun",
            Self::Refused { .. } => "refused",
            Self::NotAgreed { .. } => "not_agreed",
            Self::Declined { .. } => "declined",
            Self::Call { reason: FailReason::Sealed(_), .. } | Self::Unsealable { .. } => "sealing",
            Self::Call { .. } | Self::Partly { .. } => "call",
            Self::Client(_) => "client",
            Self::Interrupted { .. } => "interrupted",
            Self::Examined { .. } => "examined",
            Self::NothingToDecode => "nothing",
            Self::Input { .. } => "input",
            Self::Encode { .. } => "encode",
            Self::NotValid { .. } => "not_valid",
            Self::Damaged { .. } => "damaged",
        }
    }

    /// Tells whether another server may do.
    pub(super) const fn is_the_servers(&self) -> bool {
        matches!(self, Self::Resolve { .. } | Self::NoAnswer { .. } | Self::Refused { .. })
    }

    /// Names what kept the client from being registered.
    pub(super) const fn not_registered(server: SocketAddr, waited: Duration, state: Registration) -> Self {
        match state {
            Registration::Refused { code, detail, retry_after } => {
                Self::Refused { code, detail, retry_after }
            }
            Registration::Asking
            | Registration::Registered { .. }
            | Registration::ServerSilent
            | Registration::Unregistered => Self::NoAnswer { server, waited },
        }
    }

    /// Names what kept a call with `peer` from coming about.
    pub(super) const fn call(peer: PeerId, sealing: Sealing, error: ClientError) -> Self {
        match error {
            ClientError::Failed(reason) => Self::Call { peer, sealing, reason },
            ClientError::Offer(OfferError::Target(error)) => Self::Unsealable { peer, error },
            ClientError::Declined => Self::Declined { peer },
            ClientError::Ended
            | ClientError::Offer(_)
            | ClientError::Call(_)
            | ClientError::Yielded
            | ClientError::Refused(_)
            | ClientError::Socket(_) => Self::Client(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => write!(f, "this machine refuses: {error}"),
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
            Self::BlobSize { path, is_empty } => {
                let had = if *is_empty { "empty".to_owned() } else { format!("more than {BLOB_MAX} bytes") };
                write!(f, "{}: {had}; a description has 1 to {BLOB_MAX} bytes", path.display())
            }
            Self::TwoIdentities => f.write_str(
                "--id and --key exclude each other: a keyed identifier comes out of its key, a plain one has none",
            ),
            Self::KeyFile(error) => error.fmt(f),
            Self::PeerAddress(error) => write!(f, "peer address: {error} ({})", error.name()),
            Self::Identifier { text, error } => write!(f, "{text}: {error}"),
            Self::PeerMissing { text, contacts } => {
                write!(
                    f,
                    "{text} is no peer address, and no peer is named: call SERVER PEER, or call ADDRESS, where ADDRESS \
                     begins with roundtable:"
                )?;
                let Some(contacts) = contacts else { return Ok(()) };
                write!(f, ", or call NAME, where {} has a line NAME ADDRESS", contacts.display())
            }
            Self::Interrupted { signal } => write!(f, "ended by {signal}"),
            Self::Resolve { server, error: Some(error) } => write!(f, "{server}: no such server: {error}"),
            Self::Resolve { server, error: None } => write!(f, "{server}: the name has no address"),
            Self::NoAnswer { server, waited } => write!(
                f,
                "no answer from {server} in {} s: is UDP {} open, and does a server run there? roundtable-probe doctor \
                 {server} says",
                waited.as_secs(),
                server.port()
            ),
            Self::NothingTold { socket, waited } => write!(
                f,
                "{}: nothing in {} s: the server is stopped or hangs",
                socket.display(),
                waited.as_secs()
            ),
            Self::NoStun { server } => write!(
                f,
                "{server} answers, but no STUN, which a verdict is made by: its configuration says stun: false"
            ),
            Self::Refused { code, detail, retry_after } => {
                write!(f, "the server refuses the registration: {}", meaning(*code, *detail))?;
                match retry_after {
                    // That it is asked again by itself is of no use where versions differ.
                    Some(wait) if *code != RefusalCode::Known(ErrorCode::Version) => {
                        write!(f, " Try again in {} s.", wait.as_secs() + 1)
                    }
                    Some(_) | None => Ok(()),
                }
            }
            Self::NotAgreed { server } => write!(
                f,
                "{server} is not loaded: it is on another machine, and its configuration does not say benchmarks: true"
            ),
            Self::Call { peer, sealing, reason } => explain(f, *peer, *sealing, *reason),
            Self::Partly { peer, transfer, part: Part { there, of } } => {
                let (what, to) = match transfer {
                    Transfer::Offer => ("the offer", format!("to {peer}")),
                    Transfer::Answer => ("its answer", format!("from {peer}")),
                };
                write!(
                    f,
                    "{there} of {of} fragments of {what} have come {to}: long datagrams vanish on the way (an MTU black hole), \
                     too much is lost, or the other side went meanwhile; roundtable-probe doctor SERVER on either side says whether \
                     it is the way"
                )
            }
            Self::Unsealable { peer, error } => {
                write!(f, "nothing can be sealed to {peer}: {error} ({})", error.name())
            }
            Self::Declined { peer } => write!(f, "{peer} declined"),
            Self::Client(error) => error.fmt(f),
            Self::ServerMissing { peer } => {
                write!(f, "{peer} does not say where it is to be found: give its peer address, or --server")
            }
            Self::Examined { .. } => f.write_str("not all is well"),
            Self::NothingToDecode => {
                f.write_str("nothing came in: behind nc that means that there was no answer (try roundtable-probe doctor HOST)")
            }
            Self::Input { path, problem } => write!(f, "{}: {problem}", path.display()),
            Self::Encode { problem } => f.write_str(problem),
            Self::NotValid { invalid, of } => write!(f, "{invalid} of {of} datagrams are not valid"),
            Self::Damaged { what } => write!(f, "the {what} that arrived is not the one that was sent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use roundtable_proto::seal::OpenError;

    use super::*;

    #[test]
    fn answer_that_does_not_open_is_named() {
        let peer = PeerId::plain([7; 16]).unwrap();
        for (error, name) in [
            (OpenError::NotSealed, "not_sealed"),
            (OpenError::Undecryptable, "undecryptable"),
            (OpenError::BadSignature, "bad_signature"),
            (OpenError::Version { found: 9 }, "version"),
        ] {
            let failure =
                Failure::call(peer, Sealing::Sealed, ClientError::Failed(FailReason::Sealed(error)));
            let text = failure.to_string();
            assert!(
                text.starts_with(&format!("the answer of {peer} does not open: {error} ({name})")),
                "{text}"
            );
            assert_eq!((failure.name(), failure.exit_code()), ("sealing", ExitCode::from(5)));
        }
    }
}
