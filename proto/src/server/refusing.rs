//! What does not get what it asks for: strangers, and what is refused, with a reason where one is owed. SPEC 9, 12

use std::time::Duration;

use super::path::{Endpoint, Path};
use super::registry::Standing;
use super::{DropReason, Outcome, RESTART_GRACE, RESTART_RETRY, Refused, Sender, Server, limits, sources};
use crate::Instant;
use crate::wire::{
    self, Address, Challenge, DecodeError, ErrorCode, Frame, Kind, Refusal, Session, TransactionId, VERSION,
};

impl Server {
    /// Tells a live peer at its address why its datagram is no frame; drops everybody else's. SPEC 9
    pub(super) fn handle_undecodable(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        error: DecodeError,
    ) -> Outcome {
        let number = datagram.get(3).copied().unwrap_or_default();
        let towards_server = number < PEER_KINDS;
        let code = match error {
            DecodeError::BadVersion { .. } if towards_server && datagram.len() >= Kind::Error.size() => {
                if let Err(reason) = self.admit_stranger(now, path) {
                    return Outcome::Dropped(reason);
                }
                let refused = Refused { detail: VERSION, ..Refused::from(ErrorCode::Version) };
                let reference = bytes_at(datagram, 20).unwrap_or_default();
                return self.refuse(path, number, TransactionId(reference), refused);
            }
            DecodeError::BadVersion { .. } | DecodeError::BadMagic { .. } => {
                return Outcome::Dropped(DropReason::from(error));
            }
            DecodeError::UnknownKind { .. } => ErrorCode::UnknownKind,
            DecodeError::Truncated { .. }
            | DecodeError::Oversized { .. }
            | DecodeError::Trailing { .. }
            | DecodeError::BadField { .. } => ErrorCode::Malformed,
        };
        if datagram.len() >= wire::HEADER && !towards_server {
            return Outcome::Dropped(DropReason::NotForServer);
        }
        let (Some(session), Some(reference)) = (bytes_at(datagram, 4), bytes_at(datagram, 20)) else {
            return Outcome::Dropped(DropReason::from(error));
        };
        match self.registry.standing(Session(session), &Endpoint::from(path.remote)) {
            Standing::Here(slot) => {
                let reference = TransactionId(reference);
                match self.registry.spend(now, slot, datagram.len() as u64 + limits::FRAME) {
                    Ok(()) => self.refuse(path, number, reference, code.into()),
                    Err(wait) => {
                        let sender = Sender { path, slot, session: Session(session) };
                        self.limited_peer(now, sender, number, reference, wait)
                    }
                }
            }
            Standing::Elsewhere | Standing::Unknown => Outcome::Dropped(DropReason::from(error)),
        }
    }

    /// Tells whether a source that has proved nothing may be answered.
    ///
    /// # Errors
    /// Why it gets silence.
    pub(super) fn admit_stranger(&mut self, now: Instant, path: Path) -> Result<(), DropReason> {
        let source = Endpoint::from(path.remote);
        let remote = source.socket_addr();
        if sources::is_impossible(remote, self.names.asked(path.via)) || self.names.is_me(path.via, remote) {
            return Err(DropReason::BadSource);
        }
        self.strangers.take(now, &source).map_err(|_| DropReason::StrangerLimited)?;
        if self.gauge.is_high(now) && !self.gauge.take_stranger(now, self.strangers.place(&source)) {
            return Err(DropReason::Overload);
        }
        Ok(())
    }

    /// Answers a frame of a peer that has sent too much; under pressure not even that.
    pub(super) fn limited_peer(
        &mut self,
        now: Instant,
        sender: Sender,
        kind: u8,
        reference: TransactionId,
        wait: Duration,
    ) -> Outcome {
        self.offenders.note(sender.slot);
        if self.gauge.is_high(now) {
            return Outcome::Dropped(DropReason::Overload);
        }
        let refused = self.rate_limited(wait);
        self.refuse(sender.path, kind, reference, refused)
    }

    /// Refuses for at least so long.
    pub(super) fn rate_limited(&mut self, wait: Duration) -> Refused {
        let (least, most) = limits::SPREAD;
        let spread = u64::try_from((most - least).as_millis()).unwrap_or_default();
        let retry_after = wait + least + Duration::from_millis(self.jitter.below(spread));
        Refused { retry_after, ..Refused::from(ErrorCode::RateLimited) }
    }

    pub(super) fn challenge(&mut self, now: Instant, path: Path, reference: TransactionId) -> Outcome {
        if let Err(reason) = self.admit_stranger(now, path) {
            return Outcome::Dropped(reason);
        }
        let cookie = self.cookies.issue(now, &Endpoint::from(path.remote));
        let observed = Address::from(path.remote);
        self.send(path, &Frame::Challenge(Challenge { reference, cookie, observed }));
        Outcome::Challenged
    }

    pub(super) fn refuse(
        &mut self,
        path: Path,
        kind: u8,
        reference: TransactionId,
        refused: Refused,
    ) -> Outcome {
        let Refused { code, detail, retry_after } = refused;
        let retry_after = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
        let error = Refusal { reference, code: code.number(), kind, detail, retry_after };
        self.send(path, &Frame::Error(error));
        Outcome::Refused(code)
    }

    /// Refuses what this server does not know, for now if it has just started. SPEC 6
    pub(super) fn unknown(&self, now: Instant, code: ErrorCode) -> Refused {
        let young = now.since(self.started) < RESTART_GRACE;
        let retry_after = if young { RESTART_RETRY } else { Duration::ZERO };
        Refused { retry_after, ..Refused::from(code) }
    }
}

/// Kinds from here on are not for a server. SPEC 2
const PEER_KINDS: u8 = 0x40;

/// Returns 16 bytes of the datagram.
fn bytes_at(datagram: &[u8], offset: usize) -> Option<[u8; 16]> {
    datagram.get(offset..offset + 16)?.try_into().ok()
}
