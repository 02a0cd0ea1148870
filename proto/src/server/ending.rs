//! How sessions and offers end, and what that ends with them.

use super::offers::{Offer, OfferSlot, Stage};
use super::registry::{Peer, PeerSlot};
use super::{Event, Outcome, Sender, Server};
use crate::wire::{ErrorCode, Frame, Kind, PeerId, Unregister};

impl Server {
    pub(super) fn handle_unregister(&mut self, sender: Sender, unregister: &Unregister) -> Outcome {
        if let Some(peer) = self.end_session(sender.slot) {
            self.event(Event::Unregistered { peer });
        }
        self.send(sender.path, &Frame::Unregistered(*unregister));
        Outcome::Answered(Kind::Unregistered)
    }

    /// Ends an offer whose time is over. The notice goes to the address that paid for it, or nowhere. SPEC 11
    pub(super) fn handle_offer_over(&mut self, slot: OfferSlot, offer: &Offer) {
        let caller =
            self.registry.by_session(offer.caller).map(|(slot, peer)| (slot, peer.path(), peer.endpoint));
        if let Some(calls) = caller.and_then(|(caller, ..)| self.registry.calls_mut(caller)) {
            self.offers.remove(slot, calls);
        }
        match offer.stage {
            Stage::Answered => {}
            Stage::Pending => {
                self.counters.offers_timed_out += 1;
                self.event(Event::OfferTimedOut { offer: offer.id });
                match caller {
                    Some((_, path, endpoint)) if endpoint == offer.payer => {
                        let kind = Kind::Offer.number();
                        self.refuse(path, kind, offer.id.reference(), ErrorCode::Timeout.into());
                    }
                    Some(_) | None => self.counters.notices_withheld += 1,
                }
            }
        }
    }

    /// Ends a session and all offers of which its peer is the caller. No notice is owed to somebody who has gone.
    pub(super) fn end_session(&mut self, slot: PeerSlot) -> Option<PeerId> {
        let (identifier, peer) = self.registry.remove(slot)?;
        self.close_calls(&peer);
        Some(identifier)
    }

    /// Closes what a peer had open that is no longer registered, and says how many offers that were.
    pub(super) fn close_calls(&mut self, peer: &Peer) -> usize {
        let closed = self.offers.end(peer.calls);
        self.counters.offers_closed += closed as u64;
        closed
    }
}
