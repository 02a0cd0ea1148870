//! All calls: which there are, how many there may be, and whose offer yields. Knows nothing of registering. SPEC 6

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::call::{Call, Context, Fate, Role};
use super::callee::Stage;
use super::constants::{CALLS_MAX, INCOMING_CALLS_MAX, REASSEMBLIES_MAX, REASSEMBLIES_PER_PEER};
use super::counters::DropReason;
use super::event::{Event, FailReason, OfferError};
use super::finished::{Finished, Past};
use super::progress::{Arriving, Progress};
use super::sealing::Seal;
use super::sending::Sent;
use crate::Instant;
use crate::wire::{Ack, Arrived, BlobKind, Frame, OfferId, PeerId, Relayed, fragment_count};

/// The calls under way, and those that are over.
#[derive(Debug)]
pub(super) struct Calls {
    identifier: PeerId,
    open: BTreeMap<OfferId, Call>,
    finished: Finished,
    /// The offers on their way in that the application was last told of.
    arriving: Vec<Arriving>,
}

impl Calls {
    pub(super) fn new(identifier: PeerId) -> Self {
        Self { identifier, open: BTreeMap::new(), finished: Finished::default(), arriving: Vec::new() }
    }

    /// Starts a call of this client's own.
    pub(super) fn offer(
        &mut self,
        target: PeerId,
        blob: Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Result<OfferId, OfferError> {
        if target == self.identifier {
            return Err(OfferError::ToSelf);
        }
        let theirs = self.unanswered_from(target);
        if let Some(&offer) = theirs.first()
            && self.identifier < target
        {
            return Err(OfferError::TargetIsCalling(offer));
        }
        if self.open.len() >= CALLS_MAX {
            return Err(OfferError::TooMany);
        }
        let (offer, had) = (OfferId::from_random(cx.random.bytes()), blob.len());
        let (seal, blob) = cx.sealing.seal_offer(cx.now, (target, offer), blob)?;
        check_length(&seal, (had, blob.len()), cx.blob_max)?;
        let rival = theirs.into_iter().filter_map(|theirs| self.supersede(theirs, cx)).last();
        self.open.insert(offer, Call::to(offer, target, (seal, blob), rival, cx));
        Ok(offer)
    }

    fn unanswered_from(&self, peer: PeerId) -> Vec<OfferId> {
        let is_it = |call: &&Call| match &call.role {
            Role::Caller(_) => false,
            Role::Callee(callee) => call.peer == peer && callee.is_unanswered(),
        };
        self.open.values().filter(is_it).map(|call| call.offer).collect()
    }

    /// Drops an offer that yields. Returns it, if the application does not know of it, so that it may come again.
    fn supersede(&mut self, offer: OfferId, cx: &mut Context<'_>) -> Option<OfferId> {
        let mut call = self.open.remove(&offer)?;
        let peer = call.peer;
        match call.fail(FailReason::Superseded, cx) {
            Fate::Over(Some(_)) => {
                self.finished.insert(offer, Past { peer, whole: None });
                None
            }
            Fate::Open | Fate::Over(None) => Some(offer),
        }
    }

    /// Returns a call under way.
    pub(super) fn find(&mut self, offer: OfferId) -> Option<&mut Call> {
        self.open.get_mut(&offer)
    }

    /// The own addresses are others now: each call tells them anew.
    pub(super) fn hosts_changed(&mut self) {
        self.open.values_mut().for_each(|call| call.hosts_told = false);
    }

    /// Tells whether a path of that call is being looked for.
    pub(super) fn is_probing(&self, offer: &OfferId) -> bool {
        self.open.get(offer).is_some_and(|call| call.punch.is_probing())
    }

    /// Tells whether a call is under way.
    pub(super) fn is_open(&self, offer: &OfferId) -> bool {
        self.open.contains_key(offer)
    }

    /// Tells whether an offer id is one of a call under way, or of one that is remembered.
    pub(super) fn is_known(&self, offer: &OfferId) -> bool {
        self.open.contains_key(offer) || self.finished.find(offer).is_some()
    }

    /// Does something with a call under way, and closes it if that was its end.
    pub(super) fn with(
        &mut self,
        offer: OfferId,
        act: impl FnOnce(&mut Call) -> Result<Fate, DropReason>,
    ) -> Result<(), DropReason> {
        let call = self.open.get_mut(&offer).ok_or(DropReason::Offer)?;
        let peer = call.peer;
        match act(call)? {
            Fate::Open => {}
            Fate::Over(whole) => self.close(offer, Past { peer, whole }),
        }
        Ok(())
    }

    fn close(&mut self, offer: OfferId, past: Past) {
        self.open.remove(&offer);
        self.finished.insert(offer, past);
    }

    /// Takes a relayed fragment or candidate.
    pub(super) fn take(
        &mut self,
        kind: BlobKind,
        relayed: &Relayed<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let offer = relayed.head().offer;
        if self.open.contains_key(&offer) {
            if kind == BlobKind::Answer {
                self.bury_rival(offer, relayed.head().source);
            }
            return self.with(offer, |call| call.take(kind, relayed, cx));
        }
        if let Some(past) = self.finished.find(&offer) {
            return repeat(kind, relayed, past, cx);
        }
        match kind {
            BlobKind::Offer => self.take_new(relayed, cx),
            BlobKind::Answer | BlobKind::Candidate => Err(DropReason::Offer),
        }
    }

    /// Once the own offer is being answered, what is left of the one that yielded to it must not ring any more.
    fn bury_rival(&mut self, offer: OfferId, source: PeerId) {
        let Some(call) = self.open.get_mut(&offer).filter(|call| call.peer == source) else { return };
        if let Role::Caller(caller) = &mut call.role
            && let Some(rival) = caller.rival.take()
        {
            self.finished.insert(rival, Past { peer: source, whole: None });
        }
    }

    fn take_new(&mut self, relayed: &Relayed<'_>, cx: &mut Context<'_>) -> Result<(), DropReason> {
        let head = relayed.head();
        let unheard = self.unheard_to(head.source);
        if self.identifier > head.source
            && let Some(Role::Caller(caller)) =
                unheard.first().and_then(|own| self.open.get_mut(own)).map(role)
        {
            caller.rival = Some(head.offer);
            return Err(DropReason::Glare);
        }
        self.check_room(head.source)?;
        for own in unheard {
            cx.out.event(Event::Yielded { offer: own, to: head.offer });
            self.close(own, Past { peer: head.source, whole: None });
        }
        self.open.insert(head.offer, Call::from(relayed, cx));
        self.with(head.offer, |call| call.take(BlobKind::Offer, relayed, cx))
    }

    fn unheard_to(&self, peer: PeerId) -> Vec<OfferId> {
        let is_unheard = |call: &&Call| match &call.role {
            Role::Caller(caller) => call.peer == peer && caller.is_unheard(),
            Role::Callee(_) => false,
        };
        self.open.values().filter(is_unheard).map(|call| call.offer).collect()
    }

    fn check_room(&self, source: PeerId) -> Result<(), DropReason> {
        let (mut incoming, mut arriving, mut of_source) = (0, 0, 0);
        for call in self.open.values() {
            let Role::Callee(callee) = &call.role else { continue };
            incoming += 1;
            arriving += usize::from(callee.stage() == Stage::Receiving);
            of_source += usize::from(callee.is_unanswered() && call.peer == source);
        }
        let is_full = self.open.len() >= CALLS_MAX
            || incoming >= INCOMING_CALLS_MAX
            || arriving >= REASSEMBLIES_MAX
            || of_source >= REASSEMBLIES_PER_PEER;
        if is_full { Err(DropReason::Room) } else { Ok(()) }
    }

    /// Tells the other peers that a path is looked for with how this host's NAT maps.
    pub(super) fn tell_mapping(&mut self, cx: &mut Context<'_>) {
        self.open
            .values_mut()
            .filter(|call| call.punch.is_under_way())
            .for_each(|call| call.tell_mapping(cx));
    }

    /// The socket is another one, or its network is.
    pub(super) fn rebound(&mut self) {
        self.open.values_mut().for_each(|call| call.punch.rebound());
    }

    /// Sends again what is not acknowledged: the server knows this client again.
    pub(super) fn resume(&mut self, now: Instant, observed: Option<SocketAddr>) {
        self.open.values_mut().for_each(|call| call.resume(now, observed));
    }

    /// Ends every call.
    pub(super) fn fail_all(&mut self, reason: FailReason, cx: &mut Context<'_>) {
        self.close_where(|call, cx| call.fail(reason, cx), cx);
    }

    /// Does what time alone demands.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) {
        self.close_where(Call::expire, cx);
    }

    fn close_where(&mut self, act: impl Fn(&mut Call, &mut Context<'_>) -> Fate, cx: &mut Context<'_>) {
        let Self { open, finished, .. } = self;
        open.retain(|offer, call| match act(call, cx) {
            Fate::Open => true,
            Fate::Over(whole) => {
                // An offer that never became whole may come again, and is not acknowledged until it is.
                if whole.is_some() || matches!(call.role, Role::Caller(_)) {
                    finished.insert(*offer, Past { peer: call.peer, whole });
                }
                false
            }
        });
    }

    /// Returns the datagram to send now, and takes it as sent.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Sent> {
        self.open.values_mut().find_map(|call| call.poll(cx))
    }

    /// Returns a call whose offer or answer has come farther than was last told.
    pub(super) fn poll_progress(&mut self) -> Option<(OfferId, Progress)> {
        self.open.values_mut().find_map(|call| Some((call.offer, call.poll_progress()?)))
    }

    /// Returns the offers on their way in, if these are not what was last told.
    pub(super) fn poll_arriving(&mut self) -> Option<&[Arriving]> {
        let arriving = self.open.values().filter_map(Call::arriving);
        if arriving.clone().eq(self.arriving.iter().copied()) {
            return None;
        }
        self.arriving.clear();
        self.arriving.extend(arriving);
        Some(&self.arriving)
    }

    /// Returns the moments at which there will be something to do.
    pub(super) fn next(&self, now: Instant, link: super::link::Link) -> impl Iterator<Item = Instant> {
        self.open.values().flat_map(move |call| call.next(now, link))
    }
}

/// Holds an offer, as it would be sent, against what the server relays.
fn check_length(seal: &Seal, (had, sent): (usize, usize), limit: usize) -> Result<(), OfferError> {
    if sent <= limit {
        return Ok(());
    }
    Err(match seal {
        Seal::Plain => OfferError::TooLarge { limit, had },
        Seal::Unopened | Seal::Caller(_) | Seal::Callee(_) => OfferError::SealedTooLarge { limit, had: sent },
    })
}

fn role(call: &mut Call) -> &mut Role {
    &mut call.role
}

/// Acknowledges a repeat of what had arrived whole; anything else is of no account any more.
fn repeat(kind: BlobKind, relayed: &Relayed<'_>, past: Past, cx: &mut Context<'_>) -> Result<(), DropReason> {
    let head = relayed.head();
    if head.source != past.peer {
        return Err(DropReason::Peer);
    }
    if past.whole != Some(kind) {
        return Err(DropReason::Offer);
    }
    if let Some(session) = cx.link.session() {
        let arrived = Arrived::all(fragment_count(head.length as usize));
        cx.out.reply_to_server(&Frame::Ack(Ack::new(session, head.offer, kind, arrived)));
    }
    Ok(())
}
