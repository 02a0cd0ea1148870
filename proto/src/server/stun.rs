//! STUN on the same port: stateless, within the limits of strangers, for peers too. SPEC 17

use super::{DropReason, Outcome, Path, Server, Stun};
use crate::Instant;
use crate::stun::{self, DecodeError};

impl Server {
    /// Tells whoever asks for it its address. Nothing is stored, and no session counts: an ICE stack asks from sockets
    /// that have none.
    pub(super) fn handle_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Outcome {
        let is_strict = match self.config.stun {
            Stun::Off => return Outcome::Dropped(DropReason::NotOurs),
            Stun::On => false,
            Stun::Strict => true,
        };
        let request = match stun::decode(datagram) {
            Ok(request) => request,
            Err(DecodeError::NotStun) => return Outcome::Dropped(DropReason::NotOurs),
            Err(
                DecodeError::BadLength
                | DecodeError::NotBindingRequest { .. }
                | DecodeError::BadAttribute { .. }
                | DecodeError::BadFingerprint
                | DecodeError::ClassicExtra { .. },
            ) => return Outcome::Dropped(DropReason::Stun),
        };
        if is_strict && request.answer_size(path.remote) > datagram.len() {
            return Outcome::Dropped(DropReason::Stun);
        }
        if let Err(reason) = self.admit_stranger(now, path) {
            return Outcome::Dropped(reason);
        }
        let bytes = self.outbox.push_with(path, |out| request.answer(path.remote, out));
        self.counters.count_stun_out(bytes);
        Outcome::Stun
    }
}
