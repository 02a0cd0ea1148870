//! Who the probe is, whom it calls, and whether what the two say is sealed.

use std::fmt;
use std::io;
use std::path::Path;

use roundtable_proto::identity::{Identity, SecretKey};
use roundtable_proto::peer_address::PeerAddress;
use roundtable_proto::wire::{OfferId, PeerId};
use serde_json::json;

use super::contacts;
use super::failure::Failure;
use super::report::Report;
use crate::secret_file;

/// Takes the identity that was asked for, or a random plain one; says so where that makes a key.
pub(super) fn own(report: &Report, id: Option<PeerId>, key: Option<&Path>) -> Result<Identity, Failure> {
    match (id, key) {
        (Some(_), Some(_)) => Err(Failure::TwoIdentities),
        (Some(id), None) => Ok(id.into()),
        (None, Some(path)) => keyed(report, path),
        (None, None) => random().map(Identity::Plain),
    }
}

/// Draws a plain identifier.
pub(super) fn random() -> Result<PeerId, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::System(error.into()))?;
    let uuid = OfferId::from_random(bytes);
    PeerId::plain(*uuid.as_bytes()).ok_or_else(|| Failure::System(io::ErrorKind::InvalidData.into()))
}

fn keyed(report: &Report, path: &Path) -> Result<Identity, Failure> {
    let seed = match secret_file::load(path).map_err(Failure::KeyFile)? {
        Some(seed) => seed,
        None => {
            let seed = secret_file::create(path).map_err(Failure::KeyFile)?;
            let file = path.display().to_string();
            report.fact("key_made", json!({ "file": file }), &format!("a new key is made: {file}"));
            seed
        }
    };
    let key = SecretKey::from_seed(&seed).map_err(|error| Failure::System(io::Error::other(error)))?;
    Ok(key.into())
}

/// Somebody else, as a user names him.
#[derive(Debug)]
pub(super) enum Peer {
    /// The identifier alone.
    Bare(PeerId),
    /// What was handed out.
    Address(PeerAddress),
}

impl Peer {
    /// Reads a peer address or an identifier; what has anything but letters, digits and dashes is meant to be an
    /// address.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let text = &contacts::resolve(text)?;
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        if looks_like_address(text) {
            text.parse().map(Self::Address).map_err(Failure::PeerAddress)
        } else {
            text.parse().map(Self::Bare).map_err(|error| Failure::Identifier { text: text.to_owned(), error })
        }
    }

    pub(super) const fn identifier(&self) -> PeerId {
        match self {
            Self::Bare(identifier) => *identifier,
            Self::Address(address) => address.identifier(),
        }
    }
}

fn looks_like_address(text: &str) -> bool {
    !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whom to call, and where.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) peer: PeerId,
    /// The server to ask.
    pub(super) server: String,
    /// The servers to ask next where that one is of no use.
    pub(super) further: Vec<String>,
}

impl Destination {
    /// Reads `SERVER PEER`, or a peer address alone.
    pub(super) fn read(first: &str, second: Option<&str>) -> Result<Self, Failure> {
        let resolved = if second.is_none() { contacts::resolve(first)? } else { first.to_owned() };
        let first = resolved.as_str();
        if let Some(peer) = second {
            let peer = Peer::read(peer)?.identifier();
            return Ok(Self { peer, server: first.to_owned(), further: Vec::new() });
        }
        let missing = || Failure::PeerMissing { text: first.to_owned(), contacts: contacts::file() };
        // A server with a port has a colon too: only what an address alone has tells that one was meant.
        if !first.contains(['@', '#']) && !first.trim_start().starts_with("roundtable:") {
            return Err(missing());
        }
        let address: PeerAddress = first.parse().map_err(Failure::PeerAddress)?;
        let mut servers = address.servers().iter().map(ToString::to_string);
        let server = servers.next().ok_or_else(missing)?;
        Ok(Self { peer: address.identifier(), server, further: servers.collect() })
    }
}

/// Whether the blobs of a call are sealed, and if not, for want of which key. SPEC 13
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sealing {
    Sealed,
    OwnPlain,
    PeerPlain,
    BothPlain,
}

impl Sealing {
    /// The client seals whatever passes between two keyed peers, and nothing else.
    pub(super) fn between(own: PeerId, peer: PeerId) -> Self {
        match (own.is_plain(), peer.is_plain()) {
            (false, false) => Self::Sealed,
            (true, false) => Self::OwnPlain,
            (false, true) => Self::PeerPlain,
            (true, true) => Self::BothPlain,
        }
    }

    pub(super) fn is_sealed(self) -> bool {
        self == Self::Sealed
    }
}

impl fmt::Display for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sealed => "sealed",
            Self::OwnPlain => "not sealed: this side has no key",
            Self::PeerPlain => "not sealed: the other side has no key",
            Self::BothPlain => "not sealed: neither side has a key",
        })
    }
}
