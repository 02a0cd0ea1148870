//! What the server answers, and what becomes of the registration by that. SPEC 5

use std::time::Duration;

use super::{Change, Held, Registration, Silence, State, Terms};
use crate::Instant;
use crate::client::constants::{CHALLENGES_AT_ONCE, RTO_INITIAL};
use crate::client::counters::DropReason;
use crate::client::event::{Event, RefusalCode};
use crate::client::output::Output;
use crate::client::request::{Proof, Request, jittered};
use crate::keyed::Generator;
use crate::wire::{Challenge, Keepalive, Refusal, Registered, Session, Unregister};

impl Registration {
    /// Takes a CHALLENGE; `known` says whether its reference is the offer id of a call.
    pub(in crate::client) fn challenged(
        &mut self,
        now: Instant,
        challenge: &Challenge,
        known: bool,
        random: &mut Generator,
        out: &mut Output,
    ) -> Result<Change, DropReason> {
        let own = |request: Request| request.is_outstanding(challenge.reference);
        // What was refused for want of a cookie says nothing of the session; what was sent under it does.
        let (refused, of_session) = match self.state {
            State::Leaving(request) if own(request) => {
                self.end(out);
                return Ok(Change::Ended);
            }
            State::Asking(request) if own(request) => (0, false),
            State::Proving { request, proof } if own(request) => (proof.refused + 1, false),
            State::Checking(request) if own(request) => (0, true),
            State::Asking(_) | State::Checking(_) if known => (0, true),
            // What was sent before the last answer may be challenged still; what was sent after it cannot be yet.
            State::Resting { since, .. } if known && since + self.rtt.mean() <= now => (0, true),
            State::Unregistered
            | State::Leaving(_)
            | State::Asking(_)
            | State::Checking(_)
            | State::Resting { .. }
            | State::Proving { .. } => return Err(DropReason::Reference),
        };
        if of_session {
            self.doubt();
        }
        let wait = if refused < CHALLENGES_AT_ONCE { Duration::ZERO } else { jittered(RTO_INITIAL, random) };
        let request = Request::later(now, now + wait, random);
        let Challenge { cookie, observed, .. } = *challenge;
        let proof = Proof { cookie, observed, received: now, refused };
        self.state = State::Proving { request, proof };
        Ok(Change::None)
    }

    /// Takes a REGISTERED.
    pub(in crate::client) fn registered(
        &mut self,
        now: Instant,
        answer: &Registered,
        random: &mut Generator,
        out: &mut Output,
    ) -> Result<Change, DropReason> {
        let (State::Asking(request) | State::Proving { request, .. }) = self.state else {
            return Err(DropReason::Reference);
        };
        if !request.is_outstanding(answer.transaction) {
            return Err(DropReason::Reference);
        }
        if answer.session == Session::NONE {
            return Err(DropReason::Session);
        }
        request.measure(now, &mut self.rtt);
        let resumed = self.session() == Some(answer.session);
        self.held = Held::Trusted(answer.session);
        self.terms = Terms::of(answer);
        self.ticket = answer.ticket;
        self.proved = now;
        self.silence = Silence::Unreported;
        self.rest(now, random);
        let Terms { ttl, timeout, .. } = self.terms;
        let (observed, maxblob) = (answer.observed, answer.maxblob);
        out.event(Event::Registered { observed, ttl, timeout, maxblob, resumed });
        self.observe(observed, out);
        Ok(Change::Registered)
    }

    /// Takes a KEEPALIVE_REPLY whose session is the one held.
    pub(in crate::client) fn kept_alive(
        &mut self,
        now: Instant,
        answer: &Keepalive,
        random: &mut Generator,
        out: &mut Output,
    ) -> Result<Change, DropReason> {
        let State::Checking(request) = self.state else { return Err(DropReason::Reference) };
        if !request.is_outstanding(answer.transaction) {
            return Err(DropReason::Reference);
        }
        request.measure(now, &mut self.rtt);
        self.rest(now, random);
        self.observe(answer.observed, out);
        Ok(Change::None)
    }

    /// Takes an UNREGISTERED whose session is the one held.
    pub(in crate::client) fn unregistered(
        &mut self,
        answer: &Unregister,
        out: &mut Output,
    ) -> Result<Change, DropReason> {
        match self.state {
            State::Leaving(request) if request.is_outstanding(answer.transaction) => {
                self.end(out);
                Ok(Change::Ended)
            }
            State::Unregistered
            | State::Asking(_)
            | State::Proving { .. }
            | State::Resting { .. }
            | State::Checking(_)
            | State::Leaving(_) => Err(DropReason::Reference),
        }
    }

    /// Takes an ERROR that refers to a request of the registration.
    pub(in crate::client) fn refused(
        &mut self,
        now: Instant,
        refusal: &Refusal,
        random: &mut Generator,
        out: &mut Output,
    ) -> Result<Change, DropReason> {
        let (State::Asking(request)
        | State::Proving { request, .. }
        | State::Checking(request)
        | State::Leaving(request)) = self.state
        else {
            return Err(DropReason::Reference);
        };
        if !request.is_outstanding(refusal.reference) {
            return Err(DropReason::Reference);
        }
        let after = Duration::from_millis(refusal.retry_after.into());
        let retry_after = (!after.is_zero()).then_some(after);
        match self.state {
            State::Unregistered | State::Resting { .. } => Err(DropReason::Reference),
            State::Checking(_) if retry_after.is_some() => {
                self.state = State::Resting { since: now, until: now + after };
                Ok(Change::None)
            }
            State::Checking(_) => {
                self.ask(now, random);
                Ok(Change::None)
            }
            State::Leaving(_) => {
                self.end(out);
                Ok(Change::Ended)
            }
            State::Asking(_) | State::Proving { .. } => {
                let code = RefusalCode::from_number(refusal.code);
                out.event(Event::RegistrationFailed { code, detail: refusal.detail, retry_after });
                Ok(self.ask_again(now, retry_after, random))
            }
        }
    }

    /// Takes an ERROR `VERSION`: a hint to show. The registration goes on.
    pub(in crate::client) fn misunderstood(
        &mut self,
        now: Instant,
        refusal: &Refusal,
        out: &mut Output,
    ) -> Result<Change, DropReason> {
        match self.state {
            State::Asking(request) | State::Proving { request, .. }
                if request.is_outstanding(refusal.reference) =>
            {
                let code = RefusalCode::from_number(refusal.code);
                let retry_after = Some(request.next.since(now));
                out.event(Event::RegistrationFailed { code, detail: refusal.detail, retry_after });
                Ok(Change::None)
            }
            State::Unregistered
            | State::Asking(_)
            | State::Proving { .. }
            | State::Resting { .. }
            | State::Checking(_)
            | State::Leaving(_) => Err(DropReason::Reference),
        }
    }
}
