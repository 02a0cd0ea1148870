//! What the datagrams of a received batch will touch, fetched before the first of them is handled.
//!
//! Among a million peers a slot that nobody has touched lately is 100 ns and more away, as are the places of the indexes
//! and the offers. One after the other these waits add up; here nothing waits for what it asks for, so that they pass
//! together. Nothing is decided here: bytes that are no frame fetch what nobody needs, and that is all.
//!
//! A processor looks only some hundred instructions past a read that has not come yet. So what a batch leads to is worked
//! out first, without touching a table, and then asked for in short loops, of which each needs what the one before it has
//! brought.

use super::Server;
use super::index::Hash;
use super::offers::OfferSlot;
use super::registry::PeerSlot;
use crate::wire::{Kind, Session, is_ours};

/// Datagrams that are looked at, at most: what one receive brings. Those after them wait as they come.
const AHEAD: usize = 64;

/// Where a batch will look things up.
pub(super) struct Foresight {
    /// The numbers of the senders' slots.
    senders: Vec<u32>,
    calls: Vec<Call>,
}

/// What a frame about a call looks up.
struct Call {
    sender: u32,
    offer: Hash,
    /// Of an OFFER, which may be the first of its call.
    target: Option<[u8; 32]>,
    lead: Lead,
}

/// What leads to the other peer of a call.
enum Lead {
    Offer(OfferSlot),
    Target(Hash),
    Nothing,
}

impl Foresight {
    pub(super) fn new() -> Self {
        Self { senders: Vec::with_capacity(AHEAD), calls: Vec::with_capacity(AHEAD) }
    }
}

impl Server {
    /// Takes a look at the datagrams of a received batch, in their order, so that the memory that they will need comes
    /// while others are handled. It changes nothing, and saves nothing where a batch is one datagram.
    pub fn foresee<'a>(&mut self, datagrams: impl IntoIterator<Item = &'a [u8]>) {
        self.foresight.senders.clear();
        self.foresight.calls.clear();
        let mut last: &[u8] = &[];
        for datagram in datagrams.into_iter().take(AHEAD) {
            // The fragments of a train touch the same.
            if call(datagram).is_none_or(|now| call(last) != Some(now)) {
                self.look_at(datagram);
            }
            last = datagram;
        }
        let Self { registry, offers, foresight: Foresight { senders, calls }, .. } = self;
        for sender in &*senders {
            registry.foresee(*sender);
        }
        for call in &*calls {
            registry.foresee_identifier(call.sender);
            offers.foresee_place(call.offer);
        }
        for call in &mut *calls {
            if let Some(offer) = offers.guess(call.offer) {
                offers.foresee(offer);
                call.lead = Lead::Offer(offer);
            } else if let Some(target) = &call.target {
                let place = registry.place(target);
                registry.foresee_place(place);
                call.lead = Lead::Target(place);
            }
        }
        for call in &*calls {
            match call.lead {
                Lead::Offer(offer) => {
                    let peers = offers.offer(offer).map(|offer| [offer.caller, offer.callee]);
                    for session in peers.into_iter().flatten() {
                        registry.foresee_peer(PeerSlot::of(session).number());
                    }
                }
                Lead::Target(place) => {
                    if let Some(number) = registry.guess(place) {
                        registry.foresee_peer(number);
                    }
                }
                Lead::Nothing => {}
            }
        }
    }

    /// Works out what a datagram alone leads to.
    fn look_at(&mut self, datagram: &[u8]) {
        let (Some(&kind), Some(session), true) = (datagram.get(3), bytes(datagram, 4), is_ours(datagram))
        else {
            return;
        };
        let sender = PeerSlot::of(Session(session)).number();
        self.foresight.senders.push(sender);
        let is_offer = kind == Kind::Offer.number();
        if !is_offer && !BETWEEN_PEERS.contains(&kind) {
            return;
        }
        let (Some(offer), target) = (bytes(datagram, 20), bytes(datagram, 36)) else { return };
        self.foresight.calls.push(Call {
            sender,
            offer: self.offers.place(&offer),
            target: target.filter(|_| is_offer),
            lead: Lead::Nothing,
        });
    }
}

/// The other kinds that name a call after the session. SPEC 4
const BETWEEN_PEERS: [u8; 4] =
    [Kind::Answer.number(), Kind::Candidate.number(), Kind::Ack.number(), Kind::Punch.number()];

/// Returns kind, session and call of what may be a fragment.
fn call(datagram: &[u8]) -> Option<&[u8]> {
    datagram.get(3..36)
}

fn bytes<const N: usize>(datagram: &[u8], offset: usize) -> Option<[u8; N]> {
    datagram.get(offset..)?.first_chunk().copied()
}
