//! What an ERROR does to a call: with `retry_after`, it holds back just what was refused; without, that has failed. SPEC 6

use std::time::Duration;

use super::call::{Call, Context, Fate, Role};
use super::callee::Stage;
use super::counters::DropReason;
use super::event::{Event, RefusalCode};
use crate::Instant;
use crate::wire::{ErrorCode, Kind, Refusal};

impl Call {
    /// Takes an ERROR that refers to this call. Non-zero `retry_after` holds back just what was refused. SPEC 6
    pub(super) fn refused(&mut self, refusal: &Refusal, cx: &mut Context<'_>) -> Result<Fate, DropReason> {
        let after = Duration::from_millis(refusal.retry_after.into());
        let until = (!after.is_zero()).then_some(cx.now + after);
        let code = RefusalCode::from_number(refusal.code);
        let kind = Kind::from_number(refusal.kind).ok_or(DropReason::Reference)?;
        if code == RefusalCode::Known(ErrorCode::OfferUnknown)
            && until.is_some()
            && let Role::Caller(caller) = &mut self.role
        {
            caller.reopen(cx.now);
        }
        match kind {
            Kind::Offer | Kind::Answer => self.refused_blob(kind, until, code, cx),
            Kind::Candidate => {
                match until {
                    Some(until) => self.spoken.flight.hold(cx.now, until, &self.rtt),
                    None if self.spoken.give_up() => {
                        cx.out.event(Event::CandidatesFailed { offer: self.offer, reason: code.into() });
                    }
                    None => {}
                }
                Ok(Fate::Open)
            }
            Kind::Ack => Ok(self.refused_ack(until, code, cx)),
            Kind::Punch => {
                if self.punch.refused(until) {
                    cx.out.event(Event::PunchFailed { offer: self.offer, reason: code.into() });
                }
                Ok(Fate::Open)
            }
            Kind::Ping
            | Kind::Register
            | Kind::Keepalive
            | Kind::Unregister
            | Kind::Probe
            | Kind::ProbeReply
            | Kind::Pong
            | Kind::Registered
            | Kind::Challenge
            | Kind::KeepaliveReply
            | Kind::Unregistered
            | Kind::RelayedOffer
            | Kind::RelayedAnswer
            | Kind::RelayedCandidate
            | Kind::RelayedAck
            | Kind::PunchNow
            | Kind::Error => Err(DropReason::Reference),
        }
    }

    fn refused_blob(
        &mut self,
        kind: Kind,
        until: Option<Instant>,
        code: RefusalCode,
        cx: &mut Context<'_>,
    ) -> Result<Fate, DropReason> {
        match &mut self.role {
            Role::Caller(caller) if kind == Kind::Offer => match until {
                Some(until) => caller.hold(cx.now, until, &self.rtt),
                None if caller.is_unheard() => return Ok(self.fail(code.into(), cx)),
                // The answer is here or on its way: whatever the repeat of the offer met is of no account.
                None => return Err(DropReason::Phase),
            },
            Role::Callee(callee) if kind == Kind::Answer => match (callee.stage(), until) {
                (Stage::Answering | Stage::Delivered, Some(until)) => callee.hold(cx.now, until, &self.rtt),
                (Stage::Answering, None) => return Ok(self.fail(code.into(), cx)),
                (Stage::Receiving | Stage::Waiting, _) | (Stage::Delivered, None) => {
                    return Err(DropReason::Phase);
                }
            },
            Role::Caller(_) | Role::Callee(_) => return Err(DropReason::Reference),
        }
        Ok(Fate::Open)
    }

    /// An ERROR does not say what the ACK was for: all of this call's wait.
    fn refused_ack(&mut self, until: Option<Instant>, code: RefusalCode, cx: &mut Context<'_>) -> Fate {
        let blob = match &mut self.role {
            Role::Caller(caller) => caller.answer().map(|answer| &mut answer.ack),
            Role::Callee(callee) if callee.is_unanswered() && until.is_none() => {
                return self.fail(code.into(), cx);
            }
            Role::Callee(callee) => Some(&mut callee.offer.ack),
        };
        for ack in blob.into_iter().chain([&mut self.heard.ack]) {
            match until {
                Some(until) => ack.hold(until),
                None => ack.stop(),
            }
        }
        Fate::Open
    }
}
