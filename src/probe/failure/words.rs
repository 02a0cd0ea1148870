//! What a call's end and a server's refusal mean, in words for people.

use std::fmt;

use roundtable_proto::client::{FailReason, RefusalCode};
use roundtable_proto::seal::OpenError;
use roundtable_proto::wire::{ErrorCode, PeerId, VERSION};

use crate::probe::identity::Sealing;

/// Says why a call has failed.
pub(super) fn explain(
    f: &mut fmt::Formatter<'_>,
    peer: PeerId,
    sealing: Sealing,
    reason: FailReason,
) -> fmt::Result {
    match reason {
        FailReason::Refused(ErrorCode::PeerUnknown) => {
            write!(f, "{peer} is not registered: is its client running, and does it use the same server?")
        }
        FailReason::Timeout | FailReason::NoAnswer if sealing.is_sealed() => write!(
            f,
            "{peer} is registered but did not answer in time: nobody is there, its client hangs, or it refuses the \
             sealed offer (are both clocks right?)"
        ),
        FailReason::Timeout | FailReason::NoAnswer => {
            write!(f, "{peer} is registered but did not answer in time: nobody is there, or its client hangs")
        }
        FailReason::NoPath => f.write_str(
            "no direct path: no probe was answered. The NATs may give each destination another port, or a firewall stop UDP; \
             roundtable-probe diagnose says what of that can be known. A relay (TURN) is needed",
        ),
        FailReason::Sealed(error @ OpenError::Version { .. }) => write!(
            f,
            "the answer of {peer} does not open: {error} ({}). Bring both sides to the same version",
            error.name()
        ),
        FailReason::Sealed(error) => write!(
            f,
            "the answer of {peer} does not open: {error} ({}). Somebody between the two may have changed it",
            error.name()
        ),
        FailReason::BothSymmetric
        | FailReason::SymmetricHere
        | FailReason::SymmetricThere
        | FailReason::UdpBlocked
        | FailReason::SameNat => write!(f, "no direct path: {reason}; a relay (TURN) is needed"),
        FailReason::NoCommonFamily => {
            write!(f, "no direct path: {reason}; a relay (TURN) that has both is needed")
        }
        FailReason::PeerGone => write!(f, "no direct path: {reason}; has {peer} ended since?"),
        FailReason::Refused(_)
        | FailReason::RefusedUnknown(_)
        | FailReason::NotAcknowledged
        | FailReason::Damaged
        | FailReason::Superseded
        | FailReason::ServerSilent
        | FailReason::Unregistered
        | FailReason::CallOver => write!(f, "the call with {peer} failed: {reason}"),
    }
}

/// Says what a refused registration means to a person.
pub(super) fn meaning(code: RefusalCode, detail: u8) -> String {
    let known = match code {
        RefusalCode::Known(known) => known,
        RefusalCode::Unknown(number) => {
            return format!("code {number}, which this version does not know. Is the probe too old?");
        }
    };
    match known {
        ErrorCode::Version => {
            format!("it speaks version {detail} of the protocol, this probe {VERSION} (VERSION).")
        }
        ErrorCode::IdentifierTaken => "the identifier is held from another address.".to_owned(),
        ErrorCode::IdentifierRefused if detail == 2 => {
            "it takes no plain identifiers (plainids: false): use --key FILE.".to_owned()
        }
        ErrorCode::IdentifierRefused => "the identifier is reserved (IDENTIFIER_REFUSED).".to_owned(),
        ErrorCode::RateLimited => "too many register from this address, or in all (RATE_LIMITED).".to_owned(),
        ErrorCode::ServerFull => "it is full (maxpeers).".to_owned(),
        ErrorCode::WrongServer => {
            "it does not know itself by the address that this client calls (WRONG_SERVER).".to_owned()
        }
        ErrorCode::BadSignature => {
            "the identifier is no sound key, or its signature does not fit (BAD_SIGNATURE).".to_owned()
        }
        ErrorCode::Malformed
        | ErrorCode::UnknownKind
        | ErrorCode::PeerUnknown
        | ErrorCode::OfferUnknown
        | ErrorCode::OfferConflict
        | ErrorCode::NotPermitted
        | ErrorCode::TooManyOffers
        | ErrorCode::BlobTooLarge
        | ErrorCode::Timeout
        | ErrorCode::OfferToSelf => format!("{known}."),
    }
}
