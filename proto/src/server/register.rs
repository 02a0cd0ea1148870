//! REGISTER: cookie before state, proof of possession, who holds an identifier. SPEC 5

use std::time::Duration;

use super::cookie::Proof;
use super::path::{Endpoint, Path};
use super::registry::{PEER_TTL, PeerSlot};
use super::{DropReason, Event, Outcome, Refused, Server};
use crate::Instant;
use crate::identity::{Binding, verify_register};
use crate::wire::{
    Address, BENCHMARK_ID, BENCHMARKS_AGREED, ErrorCode, Frame, Kind, Register, Registered, Ticket,
};

/// What SERVER_FULL and TOO_MANY_OFFERS ask to wait.
pub(super) const FULL_RETRY: Duration = Duration::from_secs(5);
/// `detail` of IDENTIFIER_REFUSED: this server takes no plain identifiers. SPEC 9
const PLAIN_REFUSED: u8 = 2;
/// `detail` of IDENTIFIER_REFUSED: nobody may hold this identifier. SPEC 9
const RESERVED: u8 = 1;
/// `detail` of SERVER_FULL: peers. SPEC 9
const FULL_OF_PEERS: u8 = 1;

/// A REGISTER whose cookie is good.
struct Applicant<'a> {
    now: Instant,
    path: Path,
    source: Endpoint,
    proof: Proof,
    register: &'a Register,
}

/// What becomes of an applicant.
enum Admission {
    Registered(PeerSlot),
    /// The cookie is older than the address that is in force.
    Stale,
}

impl Server {
    pub(super) fn handle_register(&mut self, now: Instant, path: Path, register: &Register) -> Outcome {
        let source = Endpoint::from(path.remote);
        let Some(proof) = self.cookies.verify(now, &source, &register.cookie) else {
            return self.challenge(now, path, register.transaction);
        };
        if let Err(refused) = self.count_registration(now, &source) {
            if self.gauge.is_high(now) {
                return Outcome::Dropped(DropReason::Overload);
            }
            return self.refuse(path, Kind::Register.number(), register.transaction, refused);
        }
        self.discovery.enter(now, &source);
        let applicant = Applicant { now, path, source, proof, register };
        match self.admit(&applicant) {
            Ok(Admission::Registered(slot)) => self.registered(&applicant, slot),
            Ok(Admission::Stale) => self.challenge(now, path, register.transaction),
            Err(refused) => self.refuse(path, Kind::Register.number(), register.transaction, refused),
        }
    }

    /// Takes one registration for the source and one of all. Whoever is refused for his own sake takes none of all.
    fn count_registration(&mut self, now: Instant, source: &Endpoint) -> Result<(), Refused> {
        self.registering.take(now, source).map_err(|wait| self.rate_limited(wait))?;
        let Some(in_all) = &mut self.registrations else { return Ok(()) };
        if in_all.take(now) {
            return Ok(());
        }
        let wait = in_all.wait(now);
        Err(self.rate_limited(wait))
    }

    /// Finds, moves or makes the registration.
    fn admit(&mut self, applicant: &Applicant<'_>) -> Result<Admission, Refused> {
        let Applicant { now, path, source, proof, register } = *applicant;
        if register.identifier == BENCHMARK_ID {
            let detail = if self.config.benchmarks { BENCHMARKS_AGREED } else { RESERVED };
            return Err(Refused { detail, ..Refused::from(ErrorCode::IdentifierRefused) });
        }
        if register.identifier.is_plain() && !self.config.plain_ids {
            return Err(Refused { detail: PLAIN_REFUSED, ..Refused::from(ErrorCode::IdentifierRefused) });
        }
        let Some((slot, peer)) = self.registry.by_identifier(&register.identifier) else {
            self.check_possession(applicant)?;
            return self.newcomer(applicant);
        };
        let (is_here, proved) = (peer.endpoint == source, peer.proved);
        let resumes = register.session == self.registry.session(slot);
        if is_here {
            // A renewal needs no proof; whoever lost REGISTERED has to prove himself again.
            if !resumes {
                self.check_possession(applicant)?;
            }
            self.registry.settle(now, slot, path, proof);
            return Ok(Admission::Registered(slot));
        }
        if register.identifier.is_plain() && !resumes {
            let retry_after = self.registry.lapses_in(now, slot);
            return Err(Refused { retry_after, ..Refused::from(ErrorCode::IdentifierTaken) });
        }
        if proved.is_after(proof.0) {
            return Ok(Admission::Stale);
        }
        // From another address even the session is no proof: it can be read on the way.
        self.check_possession(applicant)?;
        if !resumes {
            self.end_session(slot);
            return self.newcomer(applicant);
        }
        self.registry.settle(now, slot, path, proof);
        self.counters.moves += 1;
        self.event(Event::Moved { peer: register.identifier, observed: path.remote });
        Ok(Admission::Registered(slot))
    }

    /// Checks that the sender may use the identifier: a plain one needs no proof, a keyed one a ticket of this
    /// address, or a signature made for this server, of which only so many are checked in a second.
    fn check_possession(&mut self, applicant: &Applicant<'_>) -> Result<(), Refused> {
        let Applicant { now, path, source, register, .. } = *applicant;
        let identifier = &register.identifier;
        if identifier.is_plain() || self.tickets.verify(now, identifier, &source, &register.ticket) {
            return Ok(());
        }
        if !self.names.is_own(path.via, &register.server) {
            return Err(ErrorCode::WrongServer.into());
        }
        if !self.checks.take(now) {
            return Err(self.rate_limited(Duration::ZERO));
        }
        self.counters.signatures_checked += 1;
        let (cookie, server) = (register.cookie, register.server);
        let binding = Binding { cookie, observed: Address::from(path.remote), server };
        verify_register(identifier, &binding, &register.signature)
            .map_err(|_| Refused::from(ErrorCode::BadSignature))
    }

    fn newcomer(&mut self, applicant: &Applicant<'_>) -> Result<Admission, Refused> {
        let Applicant { now, path, proof, register, .. } = *applicant;
        let Some(slot) = self.registry.insert(now, register.identifier, path, proof) else {
            let refused = Refused::from(ErrorCode::ServerFull);
            return Err(Refused { detail: FULL_OF_PEERS, retry_after: FULL_RETRY, ..refused });
        };
        self.counters.registrations += 1;
        self.event(Event::Registered { peer: register.identifier, observed: path.remote });
        Ok(Admission::Registered(slot))
    }

    fn registered(&mut self, applicant: &Applicant<'_>, slot: PeerSlot) -> Outcome {
        let Applicant { now, path, source, register, .. } = *applicant;
        let ticket = if register.identifier.is_plain() {
            Ticket::NONE
        } else {
            self.tickets.issue(now, &register.identifier, &source)
        };
        self.send(
            path,
            &Frame::Registered(Registered {
                session: self.registry.session(slot),
                transaction: register.transaction,
                observed: Address::from(path.remote),
                ttl: millis(PEER_TTL),
                timeout: millis(self.config.offer_timeout),
                maxblob: self.config.max_blob,
                ticket,
            }),
        );
        Outcome::Answered(Kind::Registered)
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
