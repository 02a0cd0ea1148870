//! Only the two peers of an open offer reach each other through it, and unaltered. SPEC 6

use std::collections::BTreeMap;
use std::time::Duration;

use super::holders::Holders;
use super::{Breach, Handled, SLACK, receiver, session};
use crate::Instant;
use crate::server::{ANSWERED_FACTOR, Outcome};
use crate::wire::{Address, Fragment, Frame, Kind, OfferId, Relayed, Session};

pub(super) struct Calls {
    timeout: Duration,
    /// Offers of one caller that may wait for their answer.
    limit: u16,
    open: BTreeMap<OfferId, Call>,
}

struct Call {
    caller: Session,
    callee: Session,
    deadline: Instant,
    answered: bool,
}

impl Calls {
    pub(super) const fn new(timeout: Duration, limit: u16) -> Self {
        Self { timeout, limit, open: BTreeMap::new() }
    }

    /// Forgets the offers whose time is over for good.
    pub(super) fn forget_over(&mut self, now: Instant) {
        self.open.retain(|_, call| now <= call.deadline + SLACK);
    }

    pub(super) fn relayed(
        &mut self,
        handled: &Handled<'_>,
        frame: Option<&Frame<'_>>,
        frames: &[Frame<'_>],
        holders: &Holders,
        opened: bool,
    ) -> Result<(), Breach> {
        let Outcome::Relayed(kind) = handled.outcome else { return Ok(()) };
        let unfit = Breach::OutcomeUnfit { outcome: handled.outcome };
        let (Some(frame), Some(last)) = (frame, frames.last()) else { return Err(unfit) };
        let (Some(from), Some(to), Some(offer)) = (session(frame), receiver(last), offer(frame)) else {
            return Err(unfit);
        };
        if frame.kind() != kind {
            return Err(unfit);
        }
        if kind == Kind::Offer {
            self.opens(handled.now, offer, (from, to), opened, holders)?;
            self.within_limit(handled.now, from, holders)?;
        } else {
            self.passes(handled.now, kind, offer, from, to)?;
        }
        if is_same(frame, last, handled, from, to, holders) { Ok(()) } else { Err(Breach::Altered { offer }) }
    }

    fn opens(
        &mut self,
        now: Instant,
        offer: OfferId,
        (caller, callee): (Session, Session),
        opened: bool,
        holders: &Holders,
    ) -> Result<(), Breach> {
        let before = self.open.get(&offer);
        let known = before.is_some_and(|call| (call.caller, call.callee) == (caller, callee));
        let others = before.filter(|_| !known).is_some_and(|call| {
            now < call.deadline && [call.caller, call.callee].iter().all(|peer| holders.must_live(now, *peer))
        });
        if others {
            return Err(Breach::Trespass { offer });
        }
        if opened || !known {
            let deadline = now + self.timeout;
            self.open.insert(offer, Call { caller, callee, deadline, answered: false });
        }
        Ok(())
    }

    /// Counts the offers of a caller that must be open: those to whoever has left may have been closed.
    fn within_limit(&self, now: Instant, caller: Session, holders: &Holders) -> Result<(), Breach> {
        let is_open = |call: &&Call| {
            call.caller == caller && now < call.deadline && holders.must_live(now, call.callee)
        };
        let open = self.open.values().filter(is_open).count();
        let waiting = self.open.values().filter(is_open).filter(|call| !call.answered).count();
        let (limit, factor) = (usize::from(self.limit), usize::from(ANSWERED_FACTOR));
        if waiting > limit || open > limit * factor {
            return Err(Breach::TooManyOffers { caller, open });
        }
        Ok(())
    }

    /// Checks that no more offers are open than are in the books with a caller who lives.
    pub(super) fn fit_count(&self, offers: u32, holders: &Holders) -> Result<(), Breach> {
        let most = self.open.values().filter(|call| holders.may_live(call.caller)).count();
        if offers as usize > most { Err(Breach::OffersLeftOpen { most, offers }) } else { Ok(()) }
    }

    fn passes(
        &mut self,
        now: Instant,
        kind: Kind,
        offer: OfferId,
        from: Session,
        to: Session,
    ) -> Result<(), Breach> {
        let trespass = Breach::Trespass { offer };
        let call = self.open.get_mut(&offer).ok_or(trespass)?;
        let from_callee = (call.callee, call.caller) == (from, to);
        let from_caller = (call.caller, call.callee) == (from, to);
        let may_pass = from_callee || from_caller && kind != Kind::Answer;
        if !may_pass || kind == Kind::Punch && !call.answered {
            return Err(trespass);
        }
        if kind == Kind::Answer && !call.answered {
            call.answered = true;
            call.deadline = now + self.timeout;
        }
        Ok(())
    }
}

fn offer(frame: &Frame<'_>) -> Option<OfferId> {
    if let Frame::Ack(ack) = frame {
        Some(ack.offer)
    } else if let Frame::Punch(punch) = frame {
        Some(punch.offer)
    } else {
        fragment(frame).map(|fragment| fragment.head().offer)
    }
}

fn fragment<'f, 'a>(frame: &'f Frame<'a>) -> Option<&'f Fragment<'a>> {
    if let Frame::Offer(fragment) | Frame::Answer(fragment) | Frame::Candidate(fragment) = frame {
        return Some(fragment);
    }
    None
}

fn relayed<'f, 'a>(frame: &'f Frame<'a>) -> Option<&'f Relayed<'a>> {
    if let Frame::RelayedOffer(relayed) | Frame::RelayedAnswer(relayed) | Frame::RelayedCandidate(relayed) =
        frame
    {
        return Some(relayed);
    }
    None
}

/// Tells whether what went out is what came in, from whom it came, to whom it was meant for.
fn is_same(
    came: &Frame<'_>,
    went: &Frame<'_>,
    handled: &Handled<'_>,
    from: Session,
    to: Session,
    holders: &Holders,
) -> bool {
    if let (Frame::Ack(came), Frame::RelayedAck(went)) = (came, went) {
        return (came.offer, came.kind, came.bitmap) == (went.offer, went.kind, went.bitmap);
    }
    if let (Frame::Punch(came), Frame::PunchNow(went)) = (came, went) {
        return came.offer == went.offer;
    }
    let (Some(came), Some(went)) = (fragment(came), relayed(went)) else { return false };
    let (a, b) = (came.head(), went.head());
    (a.offer, a.digest, a.length, a.index) == (b.offer, b.digest, b.length, b.index)
        && came.blob() == went.blob()
        && b.observed == Address::from(handled.from)
        && holders.identifier(from) == Some(b.source)
        && holders.identifier(to) == Some(a.target)
}
