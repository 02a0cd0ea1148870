//! Which blobs of a call are sealed, and with what. Knows nothing of fragments or frames. SPEC 13

use super::event::{CallError, OfferError};
use crate::Instant;
use crate::identity::{Identity, IdentityError, SecretKey};
use crate::keyed::Generator;
use crate::probe_key::ProbeSecret;
use crate::seal::{Callee, Caller, Entropy, OpenError, PartyError, ReplayWindow, SealError, UnixSeconds};
use crate::wire::{OfferId, PeerId};

/// What all sealed calls share: the own key, the date, the offers that were taken.
#[derive(Debug)]
pub(super) struct Sealing {
    key: Option<Box<SecretKey>>,
    start: Instant,
    start_date: u64,
    seen: ReplayWindow,
    /// Draws nothing but entropy: none of it is ever sent.
    random: Generator,
}

/// What seals and opens the blobs of one call.
#[derive(Debug)]
pub(super) enum Seal {
    /// Nothing does: one of the two peers is plain.
    Plain,
    /// The offer of another keyed peer has not come, or does not open.
    Unopened,
    Caller(Box<Caller>),
    Callee(Box<Callee>),
}

impl Sealing {
    pub(super) fn new(now: Instant, identity: &Identity, unix_time: u64, random: Generator) -> Self {
        let key = match identity {
            Identity::Plain(_) => None,
            Identity::Keyed(key) => Some(key.clone()),
        };
        Self { key, start: now, start_date: unix_time, seen: ReplayWindow::default(), random }
    }

    /// Sets the date anew: it has run with the engine's time since.
    pub(super) fn set_date(&mut self, now: Instant, unix_time: u64) {
        (self.start, self.start_date) = (now, unix_time);
    }

    /// Returns the own key, if blobs between this client and `other` are sealed: both have keys.
    fn key_with(&self, other: &PeerId) -> Option<&SecretKey> {
        self.key.as_deref().filter(|_| !other.is_plain())
    }

    /// Returns what an offer of `caller` is to be opened with.
    pub(super) fn awaiting(&self, caller: &PeerId) -> Seal {
        if self.key_with(caller).is_some() { Seal::Unopened } else { Seal::Plain }
    }

    /// Seals an offer of this client's own, unless the callee is plain.
    pub(super) fn seal_offer(
        &mut self,
        now: Instant,
        (callee, offer): (PeerId, OfferId),
        blob: Vec<u8>,
    ) -> Result<(Seal, Vec<u8>), OfferError> {
        let Some(key) = self.key_with(&callee).cloned() else { return Ok((Seal::Plain, blob)) };
        let (date, reply, entropy) = (self.date(now), self.entropy(), self.entropy());
        let caller = Caller::new(&key, callee, offer, reply)?;
        let sealed = caller.seal_offer(date, &blob, entropy)?;
        Ok((Seal::Caller(Box::new(caller)), sealed))
    }

    /// Opens an offer of another keyed peer.
    fn open_offer(
        &mut self,
        now: Instant,
        (caller, offer): (PeerId, OfferId),
        sealed: &[u8],
    ) -> Result<(Seal, Vec<u8>), OpenError> {
        let date = self.date(now);
        // Without a key no call is ever `Unopened`.
        let Some(key) = self.key.as_deref() else { return Err(OpenError::NotSealed) };
        let opened = Callee::open_offer(key, caller, offer, sealed, date, &mut self.seen)?;
        Ok((Seal::Callee(Box::new(opened.callee)), opened.blob))
    }

    fn date(&self, now: Instant) -> UnixSeconds {
        UnixSeconds(self.start_date.saturating_add(now.since(self.start).as_secs()))
    }

    fn entropy(&mut self) -> Entropy {
        let mut bytes = [0; 32];
        let (low, high) = bytes.split_at_mut(16);
        low.copy_from_slice(&self.random.bytes());
        high.copy_from_slice(&self.random.bytes());
        Entropy::new(bytes)
    }
}

impl Seal {
    /// Tells whether blobs are sealed.
    fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    /// Opens the offer, once.
    pub(super) fn open_offer(
        &mut self,
        now: Instant,
        call: (PeerId, OfferId),
        blob: Vec<u8>,
        sealing: &mut Sealing,
    ) -> Result<Vec<u8>, OpenError> {
        if self.is_plain() {
            return Ok(blob);
        }
        let (opened, blob) = sealing.open_offer(now, call, &blob)?;
        *self = opened;
        Ok(blob)
    }

    /// Seals the answer; an empty one declines. Also returns what the probes of the call are proved by.
    pub(super) fn seal_answer(
        &self,
        blob: Vec<u8>,
        sealing: &mut Sealing,
    ) -> Result<(Vec<u8>, ProbeSecret), CallError> {
        match self {
            Self::Plain => Ok((blob, ProbeSecret::none())),
            Self::Callee(callee) => Ok(callee.give_answer(&blob, sealing.entropy())?),
            Self::Unopened | Self::Caller(_) => Err(CallError::NotAnswerable),
        }
    }

    /// Opens the answer; an empty one declines. Also returns what the probes of the call are proved by.
    pub(super) fn open_answer(&self, blob: Vec<u8>) -> Result<(Vec<u8>, ProbeSecret), OpenError> {
        match self {
            Self::Plain => Ok((blob, ProbeSecret::none())),
            Self::Caller(caller) => caller.take_answer(&blob),
            Self::Unopened | Self::Callee(_) => Err(OpenError::Undecryptable),
        }
    }

    /// Seals candidate `number`. Until its offer has opened, the application knows of no such call.
    pub(super) fn seal_candidate(
        &self,
        number: u8,
        blob: Vec<u8>,
        sealing: &mut Sealing,
    ) -> Result<Vec<u8>, CallError> {
        match self {
            Self::Plain => Ok(blob),
            Self::Caller(caller) => Ok(caller.seal_candidate(number, &blob, sealing.entropy())?),
            Self::Callee(callee) => Ok(callee.seal_candidate(number, &blob, sealing.entropy())?),
            Self::Unopened => Err(CallError::Unknown),
        }
    }

    /// Opens candidate `number`.
    pub(super) fn open_candidate(&self, number: u8, blob: &[u8]) -> Result<Vec<u8>, OpenError> {
        match self {
            Self::Plain => Ok(blob.to_vec()),
            Self::Caller(caller) => caller.open_candidate(number, blob),
            Self::Callee(callee) => callee.open_candidate(number, blob),
            Self::Unopened => Err(OpenError::Undecryptable),
        }
    }
}

impl From<PartyError> for OfferError {
    fn from(error: PartyError) -> Self {
        match error {
            PartyError::SamePeer => Self::ToSelf,
            PartyError::Identity(error) => Self::Target(error),
        }
    }
}

impl From<SealError> for OfferError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Empty => Self::Empty,
            SealError::PayloadTooLong { limit, size } => Self::TooLarge { limit, had: size },
            SealError::TooLong { limit, size } => Self::SealedTooLarge { limit, had: size },
            SealError::BadKey => Self::Target(IdentityError::BadKey),
        }
    }
}

impl From<SealError> for CallError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Empty => Self::Empty,
            SealError::PayloadTooLong { limit, size } => Self::TooLarge { limit, had: size },
            SealError::TooLong { limit, size } => Self::SealedTooLarge { limit, had: size },
            SealError::BadKey => Self::BadKey,
        }
    }
}
