//! What the datagrams of a received batch will touch, fetched before the first of them is handled.
//!
//! Among a million peers a slot that nobody has touched lately is 100 ns and more away, as are the places of the indexes
//! and the offers. One after the other these waits add up; here nothing waits for what it asks for, so that they pass
//! together. Nothing is decided here: bytes that are no frame fetch what nobody needs, and that is all.

use super::Server;
use super::index::Hash;
use crate::wire::{Kind, is_ours};

/// Datagrams that are looked at, at most: what one receive brings. Those after them wait as they come.
const AHEAD: usize = 64;

/// The places at which a batch will look things up.
pub(super) struct Foresight {
    places: Vec<Places>,
}

struct Places {
    offer: Hash,
    /// Of an OFFER's target.
    target: Option<Hash>,
}

impl Foresight {
    pub(super) fn new() -> Self {
        Self { places: Vec::with_capacity(AHEAD) }
    }
}

impl Server {
    /// Takes a look at the datagrams of a received batch, in their order, so that the memory that they will need comes
    /// while others are handled. It changes nothing, and saves nothing where a batch is one datagram.
    pub fn foresee<'a>(&mut self, datagrams: impl IntoIterator<Item = &'a [u8]>) {
        self.foresight.places.clear();
        let mut last: &[u8] = &[];
        for datagram in datagrams.into_iter().take(AHEAD) {
            // The fragments of a train touch the same.
            if call(datagram).is_none_or(|now| call(last) != Some(now)) {
                self.look_ahead(datagram);
            }
            last = datagram;
        }
        for places in &self.foresight.places {
            self.offers.foresee(places.offer);
            if let Some(number) = places.target.and_then(|hash| self.registry.guess(hash)) {
                self.registry.foresee(number);
                self.registry.foresee_identifier(number);
            }
        }
    }

    /// Asks for what a datagram alone leads to.
    fn look_ahead(&mut self, datagram: &[u8]) {
        // Magic, version, kind, and a session, which begins with the number of its slot. SPEC 2
        let Some(&[_, _, _, kind, a, b, c, d]) = datagram.first_chunk() else { return };
        if !is_ours(datagram) {
            return;
        }
        let slot = u32::from_be_bytes([a, b, c, d]);
        let is_offer = kind == Kind::Offer.number();
        self.registry.foresee(slot);
        if !is_offer && !BETWEEN_PEERS.contains(&kind) {
            return;
        }
        self.registry.foresee_identifier(slot);
        let (Some(offer), target) = (bytes(datagram, 20), bytes(datagram, 36)) else { return };
        let places = Places {
            offer: self.offers.foresee_place(&offer),
            target: target.filter(|_| is_offer).map(|target| self.registry.foresee_place(&target)),
        };
        self.foresight.places.push(places);
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
