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
        let mut request = match stun::decode(datagram) {
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
        let (via, behaviour) = self.discover(now, path, &mut request);
        let mut answer = request.answer(path.remote).telling(behaviour);
        if is_strict && answer.size() > datagram.len() {
            // Without what it tells beside the address it may be short enough.
            answer = answer.telling(None);
        }
        if is_strict && answer.size() > datagram.len() {
            return Outcome::Dropped(DropReason::Stun);
        }
        if let Err(reason) = self.admit_stranger(now, path) {
            return Outcome::Dropped(reason);
        }
        let bytes = self.outbox.push_with(Path { via, ..path }, |out| answer.write(out));
        self.counters.count_stun_out(bytes);
        Outcome::Stun
    }
}
