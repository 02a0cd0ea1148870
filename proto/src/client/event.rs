//! What the engine tells the application, and why a command is refused. Knows nothing of how it came about.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::identity::IdentityError;
use crate::seal::OpenError;
use crate::wire::{Address, ErrorCode, OfferId, PeerId};

/// Tells the application what has happened.
///
/// Every [`offer`](super::Client::offer) ends in exactly one of [`Answered`](Event::Answered),
/// [`Declined`](Event::Declined), [`Failed`](Event::Failed) and [`Yielded`](Event::Yielded). Every
/// [`Offered`](Event::Offered) ends in exactly one of [`AnswerDelivered`](Event::AnswerDelivered) (declining is an
/// answer) and [`Failed`](Event::Failed). Every punching ends in exactly one of [`Path`](Event::Path) and
/// [`PunchFailed`](Event::PunchFailed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The registration stands: for the first time, at a new address or with a restarted server.
    Registered {
        /// Where the server sees this client.
        observed: Address,
        /// Silence after which the server forgets this client.
        ttl: Duration,
        /// How long an offer waits for its answer.
        timeout: Duration,
        /// Bytes of the largest blob that the server relays.
        maxblob: u32,
        /// The session is the one held before; a restarted server gives a new one.
        resumed: bool,
    },
    /// The server sees this client at another address than before.
    AddressChanged {
        /// The new address.
        observed: Address,
    },
    /// The server refuses the registration, or hints why it cannot understand it (`VERSION`).
    RegistrationFailed {
        /// Why.
        code: RefusalCode,
        /// See SPEC 9.
        detail: u8,
        /// The client asks again by itself after this; `None`: it has given up.
        retry_after: Option<Duration>,
    },
    /// Three requests went unanswered. The client goes on asking.
    ServerSilent,
    /// The registration has ended as asked.
    Unregistered,
    /// The server answered a PING.
    Pong {
        /// From the PING to its answer.
        round_trip: Duration,
        /// Where the server sees this client.
        observed: Address,
    },
    /// The callee has the whole offer: it rings.
    OfferDelivered {
        /// The call.
        offer: OfferId,
    },
    /// Somebody calls.
    Offered {
        /// The call.
        offer: OfferId,
        /// Who calls.
        from: PeerId,
        /// Where the server sees the caller.
        observed: Address,
        /// The caller's description.
        blob: Vec<u8>,
    },
    /// An offer of a keyed peer does not open. The application is not to ring: whoever made it may be somebody else.
    /// An own offer may have [`Yielded`](Event::Yielded) to it.
    OfferRefused {
        /// Who calls, says the server.
        from: PeerId,
        /// The offer, which is over.
        offer: OfferId,
        /// Why.
        reason: OpenError,
    },
    /// The callee answers.
    Answered {
        /// The call.
        offer: OfferId,
        /// Who answers.
        from: PeerId,
        /// Where the server sees the callee.
        observed: Address,
        /// The callee's description.
        blob: Vec<u8>,
    },
    /// The callee declines.
    Declined {
        /// The call.
        offer: OfferId,
    },
    /// The caller has the whole answer.
    AnswerDelivered {
        /// The call.
        offer: OfferId,
    },
    /// The other peer sends a candidate. Each comes once, in any order.
    Candidate {
        /// The call.
        offer: OfferId,
        /// The sender's count, from 0.
        number: u8,
        /// The candidate.
        message: Vec<u8>,
    },
    /// Candidates of this client will not reach the other peer.
    CandidatesFailed {
        /// The call.
        offer: OfferId,
        /// Why.
        reason: FailReason,
    },
    /// A direct path to the other peer is proved.
    Path {
        /// The call.
        offer: OfferId,
        /// The other peer's address on this path.
        peer: SocketAddr,
        /// How this client knows that address.
        kind: PathKind,
        /// From a PROBE to its answer.
        round_trip: Duration,
    },
    /// The other peer has not consented to a path for [`CONSENT_TIME`](super::CONSENT_TIME): nothing may be sent there any
    /// more. RFC 7675
    PathLost {
        /// The call, which may be over.
        offer: OfferId,
        /// The other peer's address on this path.
        peer: SocketAddr,
    },
    /// Nothing is heard of the other peer: a NAT may have taken the flow for its own, which another local port heals. Give
    /// the client another socket, and say so by [`rebind`](super::Client::rebind); or let it be. SPEC 8
    FreshPort {
        /// The call.
        offer: OfferId,
    },
    /// No direct path was found.
    PunchFailed {
        /// The call.
        offer: OfferId,
        /// Why.
        reason: FailReason,
    },
    /// The call has failed.
    Failed {
        /// The call.
        offer: OfferId,
        /// Why.
        reason: FailReason,
    },
    /// Both peers called each other; the call goes on as the other peer's offer.
    Yielded {
        /// The own offer, which is over.
        offer: OfferId,
        /// The other peer's offer.
        to: OfferId,
    },
}

/// How the other peer's address on a path became known. SPEC 8
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// The other peer named it: one of its host's own (RFC 8445: host candidate).
    Host,
    /// The server sees the other peer there (RFC 8445: server-reflexive candidate).
    Observed,
    /// The other peer's probes came from there (RFC 8445: peer-reflexive candidate).
    Learned,
}

impl PathKind {
    /// Returns the name that RFC 8839 gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Observed => "srflx",
            Self::Learned => "prflx",
        }
    }
}

/// Why the server refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// One of SPEC 9.
    Known(ErrorCode),
    /// The number of a code that this version does not know: final. SPEC 9
    Unknown(u16),
}

impl RefusalCode {
    /// Names the number of an ERROR.
    #[must_use]
    pub fn from_number(number: u16) -> Self {
        ErrorCode::from_number(number).map_or(Self::Unknown(number), Self::Known)
    }
}

/// Why a call, or a part of it, has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailReason {
    /// The server refused it, finally.
    Refused(ErrorCode),
    /// The server refused it, finally, with a code that this version does not know.
    RefusedUnknown(u16),
    /// The server says that nobody answered in time.
    Timeout,
    /// Nobody answered in time by the client's own timer.
    NoAnswer,
    /// The answer was given, but its arrival was not acknowledged in time.
    NotAcknowledged,
    /// What arrived is not what was announced.
    Damaged,
    /// The answer does not open: it is not what the callee sealed for this call. SPEC 13
    Sealed(OpenError),
    /// This client called the caller, whose offer yields to that. SPEC 6
    Superseded,
    /// Time is over and the server is not there.
    ServerSilent,
    /// The client is not, or no longer, registered.
    Unregistered,
    /// No PROBE was answered in time: a NAT gives each destination another port, or a firewall stops UDP. What more can be
    /// said takes a second address to ask: see [`Config::witness`](super::Config::witness).
    NoPath,
    /// Both NATs give each destination another port.
    BothSymmetric,
    /// This side's NAT does, and the other side's lets nothing in that it has not asked for.
    SymmetricHere,
    /// The other side's NAT does, and this side's lets nothing in that it has not asked for.
    SymmetricThere,
    /// Both NATs would allow a path, so a firewall on either side stops UDP between the two.
    UdpBlocked,
    /// Both are behind one NAT, in networks that do not reach each other, and it does not turn packets round.
    SameNat,
    /// The peers have no address family in common.
    NoCommonFamily,
    /// Nothing was heard of the other peer, neither directly nor through the server.
    PeerGone,
    /// The call was over before punching was.
    CallOver,
}

impl From<RefusalCode> for FailReason {
    fn from(code: RefusalCode) -> Self {
        match code {
            RefusalCode::Known(ErrorCode::Timeout) => Self::Timeout,
            RefusalCode::Known(code) => Self::Refused(code),
            RefusalCode::Unknown(number) => Self::RefusedUnknown(number),
        }
    }
}

impl fmt::Display for FailReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(code) => write!(f, "the server refuses: {code}"),
            Self::RefusedUnknown(number) => write!(f, "the server refuses with the unknown code {number}"),
            Self::Timeout => f.write_str("nobody answered in time, says the server"),
            Self::NoAnswer => f.write_str("nobody answered in time"),
            Self::NotAcknowledged => f.write_str("the answer was not acknowledged in time"),
            Self::Damaged => f.write_str("the description arrived damaged"),
            Self::Sealed(error) => write!(f, "the answer does not open: {error}"),
            Self::Superseded => f.write_str("the own offer to the same peer took its place"),
            Self::ServerSilent => f.write_str("the server is silent"),
            Self::Unregistered => f.write_str("not registered"),
            Self::NoPath => f.write_str("no probe was answered"),
            Self::BothSymmetric => f.write_str("both NATs give each destination another port"),
            Self::SymmetricHere => f.write_str(
                "the NAT on this side gives each destination another port, the one on the other side lets in nothing unasked",
            ),
            Self::SymmetricThere => f.write_str(
                "the NAT on the other side gives each destination another port, the one on this side lets in nothing unasked",
            ),
            Self::UdpBlocked => f.write_str("a firewall on either side stops UDP between the peers"),
            Self::SameNat => {
                f.write_str("both peers are behind one NAT, in networks that do not reach each other")
            }
            Self::NoCommonFamily => f.write_str("one peer has only IPv4, the other only IPv6"),
            Self::PeerGone => f.write_str("nothing was heard of the other peer"),
            Self::CallOver => f.write_str("the call was over before"),
        }
    }
}

/// Why an offer cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferError {
    /// Neither registered nor registering.
    NotRegistered,
    /// An offer has at least one byte.
    Empty,
    /// The blob is longer than the server relays.
    TooLarge {
        /// Bytes that are allowed.
        limit: usize,
        /// Bytes that it has.
        had: usize,
    },
    /// The blob is longer than the server relays, once it is sealed.
    SealedTooLarge {
        /// Bytes that are allowed.
        limit: usize,
        /// Bytes that it would have.
        had: usize,
    },
    /// Nothing can be sealed to the target: its identifier is no sound key.
    Target(IdentityError),
    /// The target is this client.
    ToSelf,
    /// The target is calling this client: answer that offer instead.
    TargetIsCalling(OfferId),
    /// There are [`CALLS_MAX`](super::CALLS_MAX) calls.
    TooMany,
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRegistered => f.write_str("not registered"),
            Self::Empty => f.write_str("the offer is empty"),
            Self::TooLarge { limit, had } => {
                write!(f, "the offer has {had} bytes, at most {limit} are allowed")
            }
            Self::SealedTooLarge { limit, had } => {
                write!(f, "the offer has {had} bytes once sealed, at most {limit} are allowed")
            }
            Self::Target(error) => write!(f, "nothing can be sealed to the target: {error}"),
            Self::ToSelf => f.write_str("the target is this client itself"),
            Self::TargetIsCalling(offer) => write!(f, "the target is calling with offer {offer}: answer it"),
            Self::TooMany => write!(f, "there are {} calls already", super::CALLS_MAX),
        }
    }
}

impl std::error::Error for OfferError {}

/// Why a command on a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// There is no such call, or it is over.
    Unknown,
    /// Only the callee answers, and once.
    NotAnswerable,
    /// The message is empty; to decline, say so.
    Empty,
    /// The message is too long.
    TooLarge {
        /// Bytes that are allowed.
        limit: usize,
        /// Bytes that it has.
        had: usize,
    },
    /// The message is too long, once it is sealed.
    SealedTooLarge {
        /// Bytes that are allowed.
        limit: usize,
        /// Bytes that it would have.
        had: usize,
    },
    /// Nothing can be sealed to the other peer's key.
    BadKey,
    /// The message begins like those of the library itself, with the first three bytes of
    /// [`HOSTS_MARK`](super::HOSTS_MARK).
    Reserved,
    /// The call has had [`CANDIDATES_MAX`](super::CANDIDATES_MAX) candidates.
    TooMany,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such call"),
            Self::NotAnswerable => f.write_str("the offer is not waiting for an answer of this client"),
            Self::Empty => f.write_str("the message is empty"),
            Self::TooLarge { limit, had } => {
                write!(f, "the message has {had} bytes, at most {limit} are allowed")
            }
            Self::SealedTooLarge { limit, had } => {
                write!(f, "the message has {had} bytes once sealed, at most {limit} are allowed")
            }
            Self::BadKey => f.write_str("nothing can be sealed to the other peer's key"),
            Self::Reserved => f.write_str("the message begins with the bytes 00 52 54, which are reserved"),
            Self::TooMany => write!(f, "the call has had {} candidates", super::CANDIDATES_MAX),
        }
    }
}

impl std::error::Error for CallError {}
