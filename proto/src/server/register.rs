//! REGISTER: cookie before state, proof of possession, who holds an identifier. SPEC 5

use std::time::Duration;

use super::cookie::Proof;
use super::path::{Endpoint, Path};
use super::registry::{PEER_TTL, PeerSlot};
use super::{Event, Outcome, Refused, Server};
use crate::Instant;
use crate::wire::{Address, ErrorCode, Frame, Kind, Register, Registered, Session};

/// What SERVER_FULL and TOO_MANY_OFFERS ask to wait.
pub(super) const FULL_RETRY: Duration = Duration::from_secs(5);

/// `detail` of IDENTIFIER_REFUSED: this server takes no plain identifiers. SPEC 9
const PLAIN_REFUSED: u8 = 2;
/// `detail` of IDENTIFIER_REFUSED: this server does not verify keyed identifiers. SPEC 9
const KEYED_UNVERIFIED: u8 = 3;
/// `detail` of SERVER_FULL: peers. SPEC 9
const FULL_OF_PEERS: u8 = 1;

impl Server {
    pub(super) fn handle_register(&mut self, now: Instant, path: Path, register: &Register) -> Outcome {
        let source = Endpoint::from(path.remote);
        let Some(proof) = self.cookies.verify(now, &source, &register.cookie) else {
            return self.challenge(now, path, register.transaction);
        };
        match self.admit(now, path, register, proof) {
            Ok(Some(slot)) => self.registered(path, register, slot),
            Ok(None) => self.challenge(now, path, register.transaction),
            Err(refused) => self.refuse(path, Kind::Register.number(), register.transaction, refused),
        }
    }

    /// Finds or makes the registration. `None`: the cookie is too old to move the peer.
    fn admit(
        &mut self,
        now: Instant,
        path: Path,
        register: &Register,
        proof: Proof,
    ) -> Result<Option<PeerSlot>, Refused> {
        self.possession(register)?;
        let held = self
            .registry
            .by_identifier(&register.identifier)
            .map(|(slot, peer)| (slot, peer.endpoint == Endpoint::from(path.remote), peer.proved));
        let Some((slot, here, proved)) = held else {
            return self.newcomer(now, path, register, proof).map(Some);
        };
        if here {
            self.registry.settle(now, slot, path, proof);
            return Ok(Some(slot));
        }
        if register.session != self.registry.session(slot) {
            let retry_after = self.registry.lapses_in(now, slot);
            return Err(Refused { retry_after, ..Refused::from(ErrorCode::IdentifierTaken) });
        }
        if !proof.0.is_after(proved) {
            return Ok(None);
        }
        self.registry.settle(now, slot, path, proof);
        self.counters.moves += 1;
        self.event(Event::Moved { peer: register.identifier, observed: path.remote });
        Ok(Some(slot))
    }

    /// The step that decides whether the sender may use the identifier at all.
    ///
    /// Plain identifiers need no proof. Keyed ones need a signature, whose 64 bytes are in the frame; until it is
    /// verified here they are refused, since to accept them unproved would be worse than not to have them.
    fn possession(&self, register: &Register) -> Result<(), Refused> {
        let detail = match (register.identifier.is_plain(), self.config.plain_ids) {
            (true, true) => return Ok(()),
            (true, false) => PLAIN_REFUSED,
            (false, _) => KEYED_UNVERIFIED,
        };
        Err(Refused { detail, ..Refused::from(ErrorCode::IdentifierRefused) })
    }

    fn newcomer(
        &mut self,
        now: Instant,
        path: Path,
        register: &Register,
        proof: Proof,
    ) -> Result<PeerSlot, Refused> {
        let Some(slot) = self.registry.insert(now, register.identifier, path, proof) else {
            let refused = Refused::from(ErrorCode::ServerFull);
            return Err(Refused { detail: FULL_OF_PEERS, retry_after: FULL_RETRY, ..refused });
        };
        self.counters.registrations += 1;
        self.event(Event::Registered { peer: register.identifier, observed: path.remote });
        Ok(slot)
    }

    fn registered(&mut self, path: Path, register: &Register, slot: PeerSlot) -> Outcome {
        let session: Session = self.registry.session(slot);
        self.send(
            path,
            &Frame::Registered(Registered {
                session,
                transaction: register.transaction,
                observed: Address::from(path.remote),
                ttl: millis(PEER_TTL),
                timeout: millis(self.config.offer_timeout),
                maxblob: self.config.max_blob,
            }),
        );
        Outcome::Answered(Kind::Registered)
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
