//! What passes between the two peers of an open offer. SPEC 6

use super::config::ANSWERED_FACTOR;
use super::limits::OPENING;
use super::offers::{Links, Offer, OfferSlot, Stage};
use super::path::{Endpoint, Path};
use super::rate::Reserve;
use super::register::FULL_RETRY;
use super::registry::PeerSlot;
use super::{Event, Outcome, Refused, Sender, Server};
use crate::Instant;
use crate::wire::{
    Ack, Address, BlobKind, ErrorCode, Fragment, Frame, Kind, OfferId, PeerId, Punch, PunchNow, RelayedHead,
    Session, Token,
};

/// `detail` of SERVER_FULL: offers. SPEC 9
const FULL_OF_OFFERS: u8 = 2;
/// Domain of the punch token: see [`crate::keyed::Prf::tag`].
const TOKEN: u8 = 0;

/// The peer that a relayed frame goes to.
#[derive(Clone, Copy)]
struct Receiver {
    slot: PeerSlot,
    path: Path,
    session: Session,
}

/// A sender's part in an offer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Caller,
    Callee,
}

/// An open offer as one of its two peers sees it.
struct Party {
    offer: OfferSlot,
    stage: Stage,
    part: Part,
    other: Receiver,
}

impl Server {
    pub(super) fn relay_offer(
        &mut self,
        now: Instant,
        sender: Sender,
        fragment: &Fragment<'_>,
    ) -> Result<Outcome, Refused> {
        let head = fragment.head();
        let caller = self.identifier(sender);
        if caller == Some(head.target) {
            return Err(ErrorCode::OfferToSelf.into());
        }
        let open = self.offers.find(&head.offer).map(|(offer, _)| offer);
        // The fragment that opened it has found the callee.
        let known = open.and_then(|offer| self.callee(sender, offer, &head.target));
        let Some(callee) = known.or_else(|| self.receiver(&head.target)) else {
            return Err(self.unknown(now, ErrorCode::PeerUnknown));
        };
        if head.length > self.config.max_blob {
            return Err(ErrorCode::BlobTooLarge.into());
        }
        match open {
            Some(offer) if known.is_some() => self.go_on(now, sender, offer, fragment, callee)?,
            Some(offer) => {
                self.close_if_dead(offer)?;
                self.open(now, sender, fragment, callee)?;
            }
            None => self.open(now, sender, fragment, callee)?,
        }
        self.relay_fragment(BlobKind::Offer, sender, callee, fragment);
        Ok(Outcome::Relayed(Kind::Offer))
    }

    pub(super) fn relay_answer(
        &mut self,
        now: Instant,
        sender: Sender,
        fragment: &Fragment<'_>,
    ) -> Result<Outcome, Refused> {
        let head = fragment.head();
        let Party { offer, part, other: caller, .. } = self.party(now, sender, &head.offer)?;
        if part != Part::Callee || !self.is(caller, &head.target) {
            return Err(ErrorCode::NotPermitted.into());
        }
        if head.length > self.config.max_blob {
            return Err(ErrorCode::BlobTooLarge.into());
        }
        let deadline = now + self.config.offer_timeout;
        if let Some(calls) = self.registry.calls_mut(caller.slot)
            && self.offers.answered(offer, deadline, calls)
        {
            self.counters.offers_answered += 1;
            self.event(Event::OfferAnswered { offer: head.offer });
        }
        self.relay_fragment(BlobKind::Answer, sender, caller, fragment);
        Ok(Outcome::Relayed(Kind::Answer))
    }

    pub(super) fn relay_candidate(
        &mut self,
        now: Instant,
        sender: Sender,
        fragment: &Fragment<'_>,
    ) -> Result<Outcome, Refused> {
        let head = fragment.head();
        let Party { other, .. } = self.party(now, sender, &head.offer)?;
        if !self.is(other, &head.target) {
            return Err(ErrorCode::NotPermitted.into());
        }
        self.relay_fragment(BlobKind::Candidate, sender, other, fragment);
        Ok(Outcome::Relayed(Kind::Candidate))
    }

    pub(super) fn relay_ack(&mut self, now: Instant, sender: Sender, ack: &Ack) -> Result<Outcome, Refused> {
        let Party { other, .. } = self.party(now, sender, &ack.offer)?;
        self.send(other.path, &Frame::RelayedAck(Ack { session: other.session, ..*ack }));
        Ok(Outcome::Relayed(Kind::Ack))
    }

    /// Tells both peers, at the same moment, where to probe. SPEC 8
    pub(super) fn punch(&mut self, now: Instant, sender: Sender, punch: &Punch) -> Result<Outcome, Refused> {
        let Party { stage, other, .. } = self.party(now, sender, &punch.offer)?;
        // A server that was restarted knows an offer again before it has seen the answer again.
        if stage != Stage::Answered {
            return Err(self.unknown(now, ErrorCode::NotPermitted));
        }
        let token = self.token(&punch.offer);
        for (to, session, peer) in [
            (sender.path, sender.session, other.path.remote),
            (other.path, other.session, sender.path.remote),
        ] {
            let peer = Address::from(peer);
            self.send(to, &Frame::PunchNow(PunchNow { session, offer: punch.offer, peer, token }));
        }
        Ok(Outcome::Relayed(Kind::Punch))
    }

    /// Returns the live callee of an open offer, if that is the sender's to this target.
    fn callee(&self, sender: Sender, offer: OfferSlot, target: &PeerId) -> Option<Receiver> {
        let offer = self.offers.offer(offer).filter(|offer| offer.caller == sender.session)?;
        self.live(offer.callee).filter(|callee| self.is(*callee, target))
    }

    /// Makes sure that the callee has room for another fragment of an open offer.
    fn go_on(
        &mut self,
        now: Instant,
        sender: Sender,
        offer: OfferSlot,
        fragment: &Fragment<'_>,
        callee: Receiver,
    ) -> Result<(), Refused> {
        let rung = self.registry.ring(now, callee.slot, fragment.blob().len() as u64, Reserve::Whole);
        rung.map_err(|wait| self.rate_limited(wait))?;
        if let Some(offer) = self.offers.offer_mut(offer) {
            offer.payer = Endpoint::from(sender.path.remote);
        }
        Ok(())
    }

    /// Opens the offer between the two, if the callee has room for it.
    fn open(
        &mut self,
        now: Instant,
        sender: Sender,
        fragment: &Fragment<'_>,
        callee: Receiver,
    ) -> Result<(), Refused> {
        let (id, bytes) = (fragment.head().offer, fragment.blob().len() as u64);
        let calls = self.registry.peer(sender.slot).map(|peer| peer.calls).unwrap_or_default();
        let most = self.config.max_peer_offers;
        if calls.waiting >= most || calls.open >= most.saturating_mul(ANSWERED_FACTOR) {
            return Err(Refused { retry_after: FULL_RETRY, ..Refused::from(ErrorCode::TooManyOffers) });
        }
        if !self.offers.is_full() {
            let rung = self.registry.ring(now, callee.slot, OPENING + bytes, Reserve::Half);
            rung.map_err(|wait| self.rate_limited(wait))?;
        }
        let offer = Offer {
            id,
            caller: sender.session,
            callee: callee.session,
            deadline: now + self.config.offer_timeout,
            payer: Endpoint::from(sender.path.remote),
            stage: Stage::Pending,
            links: Links::default(),
        };
        let calls = self.registry.calls_mut(sender.slot);
        if calls.and_then(|calls| self.offers.insert(offer, calls)).is_none() {
            let refused = Refused::from(ErrorCode::ServerFull);
            return Err(Refused { detail: FULL_OF_OFFERS, retry_after: FULL_RETRY, ..refused });
        }
        self.counters.offers_opened += 1;
        if let Some(caller) = self.identifier(sender) {
            let callee = fragment.head().target;
            self.event(Event::OfferOpened { offer: id, caller, callee });
        }
        Ok(())
    }

    /// Closes an offer whose callee's session has ended, so that it can be opened anew; refuses otherwise.
    fn close_if_dead(&mut self, slot: OfferSlot) -> Result<(), Refused> {
        let Some(offer) = self.offers.offer(slot) else { return Ok(()) };
        if self.registry.by_session(offer.callee).is_some() {
            return Err(ErrorCode::OfferConflict.into());
        }
        let caller = self.registry.by_session(offer.caller).map(|(caller, _)| caller);
        if let Some(calls) = caller.and_then(|caller| self.registry.calls_mut(caller)) {
            self.offers.remove(slot, calls);
        }
        Ok(())
    }

    /// Finds the sender's part in an open offer.
    fn party(&self, now: Instant, sender: Sender, id: &OfferId) -> Result<Party, Refused> {
        let Some((slot, offer)) = self.offers.find(id) else {
            return Err(self.unknown(now, ErrorCode::OfferUnknown));
        };
        let (part, other) = if offer.caller == sender.session {
            (Part::Caller, offer.callee)
        } else if offer.callee == sender.session {
            (Part::Callee, offer.caller)
        } else {
            return Err(ErrorCode::NotPermitted.into());
        };
        let Some(other) = self.live(other) else {
            return Err(self.unknown(now, ErrorCode::PeerUnknown));
        };
        Ok(Party { offer: slot, stage: offer.stage, part, other })
    }

    fn relay_fragment(&mut self, kind: BlobKind, sender: Sender, to: Receiver, fragment: &Fragment<'_>) {
        let Some(source) = self.identifier(sender) else { return };
        let head = fragment.head();
        let relayed = fragment.relayed(RelayedHead {
            session: to.session,
            offer: head.offer,
            source,
            observed: Address::from(sender.path.remote),
            digest: head.digest,
            length: head.length,
            index: head.index,
        });
        let frame = match kind {
            BlobKind::Offer => Frame::RelayedOffer(relayed),
            BlobKind::Answer => Frame::RelayedAnswer(relayed),
            BlobKind::Candidate => Frame::RelayedCandidate(relayed),
        };
        self.send(to.path, &frame);
    }

    fn identifier(&self, sender: Sender) -> Option<PeerId> {
        self.registry.identifier(sender.slot).copied()
    }

    fn is(&self, peer: Receiver, identifier: &PeerId) -> bool {
        self.registry.identifier(peer.slot) == Some(identifier)
    }

    fn live(&self, session: Session) -> Option<Receiver> {
        let (slot, peer) = self.registry.by_session(session)?;
        Some(Receiver { slot, path: peer.path(), session })
    }

    fn receiver(&self, identifier: &PeerId) -> Option<Receiver> {
        let (slot, peer) = self.registry.by_identifier(identifier)?;
        Some(Receiver { slot, path: peer.path(), session: peer.session(slot) })
    }

    /// Makes the token of an offer: the same whenever it is asked for.
    fn token(&self, id: &OfferId) -> Token {
        Token(self.tokens.tag(TOKEN, id.as_bytes()))
    }
}
