//! A whole datagram: header, body, blob.

use super::body::{self, Body, FieldLayout};
use super::{
    Ack, BlobKind, Challenge, DATAGRAM_MAX, DecodeError, Form, Fragment, HEADER, Keepalive, Kind, MAGIC,
    Ping, Pong, Probe, ProbeReply, Punch, PunchNow, Refusal, Register, Registered, Relayed, Unregister,
    VERSION,
};

/// One datagram's meaning. SPEC 4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the body of the same name")]
pub enum Frame<'a> {
    Ping(Ping),
    Register(Register),
    Keepalive(Keepalive),
    Unregister(Unregister),
    Offer(Fragment<'a>),
    Answer(Fragment<'a>),
    Candidate(Fragment<'a>),
    Ack(Ack),
    Punch(Punch),
    Probe(Probe),
    ProbeReply(ProbeReply),
    Pong(Pong),
    Registered(Registered),
    Challenge(Challenge),
    KeepaliveReply(Keepalive),
    Unregistered(Unregister),
    RelayedOffer(Relayed<'a>),
    RelayedAnswer(Relayed<'a>),
    RelayedCandidate(Relayed<'a>),
    RelayedAck(Ack),
    PunchNow(PunchNow),
    Error(Refusal),
}

/// Reads a datagram.
///
/// # Errors
/// The first [`DecodeError`] that applies, in the order of SPEC 2.
pub fn decode(datagram: &[u8]) -> Result<Frame<'_>, DecodeError> {
    let kind = decode_header(datagram)?;
    if datagram.len() > DATAGRAM_MAX {
        return Err(DecodeError::Oversized { had: datagram.len() });
    }
    if !kind.has_blob() && datagram.len() > kind.size() {
        return Err(DecodeError::Trailing { need: kind.size(), had: datagram.len() });
    }
    Ok(match kind {
        Kind::Ping => Frame::Ping(body::read(datagram)?),
        Kind::Register => Frame::Register(body::read(datagram)?),
        Kind::Keepalive => Frame::Keepalive(body::read(datagram)?),
        Kind::Unregister => Frame::Unregister(body::read(datagram)?),
        Kind::Offer => Frame::Offer(fragment(BlobKind::Offer, datagram)?),
        Kind::Answer => Frame::Answer(fragment(BlobKind::Answer, datagram)?),
        Kind::Candidate => Frame::Candidate(fragment(BlobKind::Candidate, datagram)?),
        Kind::Ack => Frame::Ack(body::read(datagram)?),
        Kind::Punch => Frame::Punch(body::read(datagram)?),
        Kind::Probe => Frame::Probe(body::read(datagram)?),
        Kind::ProbeReply => Frame::ProbeReply(body::read(datagram)?),
        Kind::Pong => Frame::Pong(body::read(datagram)?),
        Kind::Registered => Frame::Registered(body::read(datagram)?),
        Kind::Challenge => Frame::Challenge(body::read(datagram)?),
        Kind::KeepaliveReply => Frame::KeepaliveReply(body::read(datagram)?),
        Kind::Unregistered => Frame::Unregistered(body::read(datagram)?),
        Kind::RelayedOffer => Frame::RelayedOffer(relayed(BlobKind::Offer, datagram)?),
        Kind::RelayedAnswer => Frame::RelayedAnswer(relayed(BlobKind::Answer, datagram)?),
        Kind::RelayedCandidate => Frame::RelayedCandidate(relayed(BlobKind::Candidate, datagram)?),
        Kind::RelayedAck => Frame::RelayedAck(body::read(datagram)?),
        Kind::PunchNow => Frame::PunchNow(body::read(datagram)?),
        Kind::Error => Frame::Error(body::read(datagram)?),
    })
}

fn decode_header(datagram: &[u8]) -> Result<Kind, DecodeError> {
    let &[a, b, version, kind, ..] = datagram else {
        let (field, need) =
            [("magic", 2), ("version", 3), ("kind", HEADER)][datagram.len().saturating_sub(1).min(2)];
        return Err(DecodeError::Truncated { field, need, had: datagram.len() });
    };
    if [a, b] != MAGIC {
        return Err(DecodeError::BadMagic { found: [a, b] });
    }
    if version != VERSION {
        return Err(DecodeError::BadVersion { found: version });
    }
    Kind::from_number(kind).ok_or(DecodeError::UnknownKind { found: kind })
}

fn fragment(kind: BlobKind, datagram: &[u8]) -> Result<Fragment<'_>, DecodeError> {
    let head = body::read(datagram)?;
    Fragment::new(kind, head, &datagram[kind.sent().size()..])
}

fn relayed(kind: BlobKind, datagram: &[u8]) -> Result<Relayed<'_>, DecodeError> {
    let head = body::read(datagram)?;
    Relayed::new(kind, head, &datagram[kind.relayed().size()..])
}

impl Frame<'_> {
    /// Returns the kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Ping(_) => Kind::Ping,
            Self::Register(_) => Kind::Register,
            Self::Keepalive(_) => Kind::Keepalive,
            Self::Unregister(_) => Kind::Unregister,
            Self::Offer(_) => Kind::Offer,
            Self::Answer(_) => Kind::Answer,
            Self::Candidate(_) => Kind::Candidate,
            Self::Ack(_) => Kind::Ack,
            Self::Punch(_) => Kind::Punch,
            Self::Probe(_) => Kind::Probe,
            Self::ProbeReply(_) => Kind::ProbeReply,
            Self::Pong(_) => Kind::Pong,
            Self::Registered(_) => Kind::Registered,
            Self::Challenge(_) => Kind::Challenge,
            Self::KeepaliveReply(_) => Kind::KeepaliveReply,
            Self::Unregistered(_) => Kind::Unregistered,
            Self::RelayedOffer(_) => Kind::RelayedOffer,
            Self::RelayedAnswer(_) => Kind::RelayedAnswer,
            Self::RelayedCandidate(_) => Kind::RelayedCandidate,
            Self::RelayedAck(_) => Kind::RelayedAck,
            Self::PunchNow(_) => Kind::PunchNow,
            Self::Error(_) => Kind::Error,
        }
    }

    /// Appends the datagram, of at most [`DATAGRAM_MAX`] bytes, to `out`. Cannot fail: the types hold the limits.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let [a, b] = MAGIC;
        out.extend_from_slice(&[a, b, VERSION, self.kind().number()]);
        match self {
            Self::Ping(body) => body::write(body, out),
            Self::Register(body) => body::write(body, out),
            Self::Keepalive(body) | Self::KeepaliveReply(body) => body::write(body, out),
            Self::Unregister(body) | Self::Unregistered(body) => body::write(body, out),
            Self::Offer(fragment) | Self::Answer(fragment) | Self::Candidate(fragment) => {
                body::write(fragment.head(), out);
                out.extend_from_slice(fragment.blob());
            }
            Self::Ack(body) | Self::RelayedAck(body) => body::write(body, out),
            Self::Punch(body) => body::write(body, out),
            Self::Probe(body) => body::write(body, out),
            Self::ProbeReply(body) => body::write(body, out),
            Self::Pong(body) => body::write(body, out),
            Self::Registered(body) => body::write(body, out),
            Self::Challenge(body) => body::write(body, out),
            Self::RelayedOffer(relayed) | Self::RelayedAnswer(relayed) | Self::RelayedCandidate(relayed) => {
                body::write(relayed.head(), out);
                out.extend_from_slice(relayed.blob());
            }
            Self::PunchNow(body) => body::write(body, out),
            Self::Error(body) => body::write(body, out),
        }
    }

    /// Returns the datagram's bytes.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(DATAGRAM_MAX);
        self.encode(&mut out);
        out
    }
}

/// Returns the fields of a kind's body in order; a blob comes last with size zero. SPEC 4
#[must_use]
pub fn layout(kind: Kind) -> Vec<FieldLayout> {
    let fields = match kind {
        Kind::Ping => Ping::FIELDS,
        Kind::Register => Register::FIELDS,
        Kind::Keepalive | Kind::KeepaliveReply => Keepalive::FIELDS,
        Kind::Unregister | Kind::Unregistered => Unregister::FIELDS,
        Kind::Offer | Kind::Answer | Kind::Candidate => body::FragmentHead::FIELDS,
        Kind::Ack | Kind::RelayedAck => Ack::FIELDS,
        Kind::Punch => Punch::FIELDS,
        Kind::Probe => Probe::FIELDS,
        Kind::ProbeReply => ProbeReply::FIELDS,
        Kind::Pong => Pong::FIELDS,
        Kind::Registered => Registered::FIELDS,
        Kind::Challenge => Challenge::FIELDS,
        Kind::RelayedOffer | Kind::RelayedAnswer | Kind::RelayedCandidate => body::RelayedHead::FIELDS,
        Kind::PunchNow => PunchNow::FIELDS,
        Kind::Error => Refusal::FIELDS,
    };
    let mut offset = HEADER;
    let mut layout = Vec::with_capacity(fields.len() + 1);
    for &(name, size, form) in fields {
        layout.push(FieldLayout { name, offset, size, form });
        offset += size;
    }
    if kind.has_blob() {
        layout.push(FieldLayout { name: "blob", offset, size: 0, form: Form::Blob });
    }
    layout
}
