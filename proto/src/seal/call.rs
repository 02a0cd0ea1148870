//! The two sides of a sealed call: which blob is sealed to which key. SPEC 13
//!
//! ```text
//!             kind        encrypted to
//! caller ->   OFFER       the callee's identifier
//!        <-   ANSWER      the reply key of the OFFER
//!        <-   CANDIDATE   the reply key of the OFFER
//! caller ->   CANDIDATE   the callee's identifier
//! ```

use std::fmt;

use super::envelope::{self, Context, OfferHead};
use super::keys::{OpeningKey, SealingKey};
use super::{Entropy, OpenError, PartyError, ReplayWindow, SealError, UnixSeconds};
use crate::identity::SecretKey;
use crate::probe_key::ProbeSecret;
use crate::wire::{BlobKind, OfferId, PeerId};

/// The caller's side: seals the OFFER, opens the ANSWER.
///
/// Its reply key lives nowhere else: once it is dropped, nobody can read the ANSWER any more.
pub struct Caller {
    parties: Parties,
    callee: SealingKey,
    reply: OpeningKey,
}

/// The callee's side: comes out of an OFFER that opened, seals the ANSWER.
pub struct Callee {
    parties: Parties,
    opening: OpeningKey,
    reply: SealingKey,
}

/// What an OFFER said.
#[derive(Debug)]
pub struct OpenedOffer {
    /// The caller's description.
    pub blob: Vec<u8>,
    /// When the caller sealed it, by its clock.
    pub sent: UnixSeconds,
    /// The side that answers it.
    pub callee: Callee,
}

/// Who seals for whom in which call; the two are never the same, and both have keys.
struct Parties {
    own: SecretKey,
    other: PeerId,
    offer: OfferId,
}

impl Parties {
    /// Also returns the key of the other one's identifier.
    fn new(own: &SecretKey, other: PeerId, offer: OfferId) -> Result<(Self, SealingKey), PartyError> {
        if other == own.identifier() {
            return Err(PartyError::SamePeer);
        }
        let key = SealingKey::of(&other).map_err(PartyError::Identity)?;
        Ok((Self { own: own.clone(), other, offer }, key))
    }

    fn outgoing(&self, kind: BlobKind, number: u8) -> Context {
        Context { kind, number, offer: self.offer, sender: self.own.identifier(), receiver: self.other }
    }

    fn incoming(&self, kind: BlobKind, number: u8) -> Context {
        Context { kind, number, offer: self.offer, sender: self.other, receiver: self.own.identifier() }
    }

    fn seal(
        &self,
        (kind, number): (BlobKind, u8),
        to: &SealingKey,
        blob: &[u8],
        entropy: Entropy,
    ) -> Result<Vec<u8>, SealError> {
        envelope::seal(&self.outgoing(kind, number), &self.own, to, blob, entropy).map(|(sealed, _)| sealed)
    }

    fn open(
        &self,
        (kind, number): (BlobKind, u8),
        key: &OpeningKey,
        sealed: &[u8],
    ) -> Result<Vec<u8>, OpenError> {
        envelope::open(&self.incoming(kind, number), key, sealed).map(|(blob, _)| blob)
    }
}

impl fmt::Debug for Parties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {}, offer {}", self.own.identifier(), self.other, self.offer)
    }
}

impl Caller {
    /// Makes the caller's side of the call named `offer`; `reply` becomes its reply key.
    ///
    /// # Errors
    /// [`PartyError`] if the callee has no usable key, or is the caller.
    pub fn new(own: &SecretKey, callee: PeerId, offer: OfferId, reply: Entropy) -> Result<Self, PartyError> {
        let (parties, callee) = Parties::new(own, callee, offer)?;
        Ok(Self { parties, callee, reply: OpeningKey::from_entropy(reply) })
    }

    /// Seals the OFFER. `now` is what the callee holds against its own clock.
    ///
    /// # Errors
    /// [`SealError`] if `blob` is empty or too long, before sealing or after.
    pub fn seal_offer(&self, now: UnixSeconds, blob: &[u8], entropy: Entropy) -> Result<Vec<u8>, SealError> {
        let context = self.parties.outgoing(BlobKind::Offer, 0);
        let head = OfferHead { sent: now, reply: *self.reply.public() };
        envelope::seal_offer(&context, &self.parties.own, &self.callee, head, blob, entropy)
    }

    /// Seals CANDIDATE `number`.
    ///
    /// # Errors
    /// [`SealError`] if `blob` is empty or too long, before sealing or after.
    pub fn seal_candidate(&self, number: u8, blob: &[u8], entropy: Entropy) -> Result<Vec<u8>, SealError> {
        self.parties.seal((BlobKind::Candidate, number), &self.callee, blob, entropy)
    }

    /// Opens the ANSWER. An empty one declines.
    ///
    /// # Errors
    /// [`OpenError`] if it is not the callee's, not for this OFFER, or damaged.
    pub fn open_answer(&self, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.take_answer(sealed).map(|(blob, _)| blob)
    }

    /// Opens the ANSWER, and returns with it what the probes of the call are proved by. SPEC 8
    ///
    /// # Errors
    /// As [`Caller::open_answer`].
    pub fn take_answer(&self, sealed: &[u8]) -> Result<(Vec<u8>, ProbeSecret), OpenError> {
        envelope::open(&self.parties.incoming(BlobKind::Answer, 0), &self.reply, sealed)
    }

    /// Opens CANDIDATE `number` of the callee.
    ///
    /// # Errors
    /// [`OpenError`] if it is not the callee's, not for this OFFER, not of this number, or damaged.
    pub fn open_candidate(&self, number: u8, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.parties.open((BlobKind::Candidate, number), &self.reply, sealed)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({:?})", self.parties)
    }
}

impl Callee {
    /// Opens an OFFER that came from `caller`, as the server says, under the id `offer`. Takes each just once.
    ///
    /// # Errors
    /// [`OpenError`] if it is not that caller's, not for this peer, not of now, or damaged. Only what opens takes
    /// room in `seen`.
    pub fn open_offer(
        own: &SecretKey,
        caller: PeerId,
        offer: OfferId,
        sealed: &[u8],
        now: UnixSeconds,
        seen: &mut ReplayWindow,
    ) -> Result<OpenedOffer, OpenError> {
        let (parties, _) = Parties::new(own, caller, offer)?;
        let opening = OpeningKey::of(own);
        let context = parties.incoming(BlobKind::Offer, 0);
        let (head, blob) = envelope::open_offer(&context, &opening, sealed)?;
        seen.admit(now, head.sent, caller, offer)?;
        Ok(OpenedOffer { blob, sent: head.sent, callee: Self { parties, opening, reply: head.reply } })
    }

    /// Seals the ANSWER; an empty one declines.
    ///
    /// # Errors
    /// [`SealError`] if `blob` is too long, before sealing or after.
    pub fn seal_answer(&self, blob: &[u8], entropy: Entropy) -> Result<Vec<u8>, SealError> {
        self.give_answer(blob, entropy).map(|(sealed, _)| sealed)
    }

    /// Seals the ANSWER, and returns with it what the probes of the call are proved by. SPEC 8
    ///
    /// # Errors
    /// As [`Callee::seal_answer`].
    pub fn give_answer(&self, blob: &[u8], entropy: Entropy) -> Result<(Vec<u8>, ProbeSecret), SealError> {
        let Parties { own, .. } = &self.parties;
        envelope::seal(&self.parties.outgoing(BlobKind::Answer, 0), own, &self.reply, blob, entropy)
    }

    /// Seals CANDIDATE `number`.
    ///
    /// # Errors
    /// [`SealError`] if `blob` is empty or too long, before sealing or after.
    pub fn seal_candidate(&self, number: u8, blob: &[u8], entropy: Entropy) -> Result<Vec<u8>, SealError> {
        self.parties.seal((BlobKind::Candidate, number), &self.reply, blob, entropy)
    }

    /// Opens CANDIDATE `number` of the caller.
    ///
    /// # Errors
    /// [`OpenError`] if it is not the caller's, not for this call, not of this number, or damaged.
    pub fn open_candidate(&self, number: u8, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.parties.open((BlobKind::Candidate, number), &self.opening, sealed)
    }
}

impl fmt::Debug for Callee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callee({:?})", self.parties)
    }
}
