//! One call: its two roles, candidates, punching, and how it ends. Knows nothing of other calls or of registering.
//! SPEC 6

mod direct;

use std::net::SocketAddr;
use std::time::Duration;

use super::callee::{Callee, Delivered, Received, Stage};
use super::caller::{Caller, Heard as Answer};
use super::candidates::{Heard, Spoken};
use super::counters::DropReason;
use super::event::{CallError, Event, FailReason};
use super::hosts;
use super::link::Link;
use super::output::Output;
use super::paths::Paths;
use super::progress::{Arriving, Progress};
use super::punch::Punch;
use super::rtt::Rtt;
use super::sealing::{Seal, Sealing};
use super::witness::{self, Mapping, Witness};
use crate::Instant;
use crate::keyed::Generator;
use crate::probe_key::ProbeSecret;
use crate::seal::OpenError;
use crate::wire::{Ack, Arrived, BlobKind, Frame, OfferId, PeerId, Relayed, fragment_count};

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) offer: OfferId,
    pub(super) peer: PeerId,
    pub(super) role: Role,
    pub(super) seal: Seal,
    pub(super) deadline: Instant,
    /// Round trips to the other peer.
    pub(super) rtt: Rtt,
    pub(super) spoken: Spoken,
    pub(super) heard: Heard,
    pub(super) punch: Punch,
    /// What the application was last told of offer and answer.
    told: Option<Progress>,
    /// What probes are proved by, once the answer is given or taken: before, nobody is probed.
    secret: Option<ProbeSecret>,
    /// Whether the other peer has been told this host's own addresses.
    pub(super) hosts_told: bool,
    /// How the NAT of the other side maps, once it has told, and what it has been told of this side's.
    peer_mapping: Option<Mapping>,
    told_mapping: Option<Mapping>,
    /// The other host's own addresses, once it has told them.
    peer_hosts: Option<Vec<SocketAddr>>,
}

/// Which side of the call this client is.
#[derive(Debug)]
pub(super) enum Role {
    Caller(Caller),
    Callee(Callee),
}

/// What a call needs of the rest of the engine.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    /// Who this client is.
    pub(super) own: PeerId,
    pub(super) link: Link,
    /// How long an offer waits for its answer, and the margin.
    pub(super) patience: Duration,
    /// Bytes of the largest blob that the server relays.
    pub(super) blob_max: usize,
    pub(super) server_rtt: Rtt,
    /// Where the server sees this client.
    pub(super) observed: Option<SocketAddr>,
    /// Where this host can be reached directly.
    pub(super) hosts: &'a [SocketAddr],
    pub(super) paths: &'a mut Paths,
    pub(super) witness: &'a mut Witness,
    pub(super) sealing: &'a mut Sealing,
    pub(super) out: &'a mut Output,
    pub(super) random: &'a mut Generator,
}

/// Whether a call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on.
    Open,
    /// It is over; repeats of this blob are still acknowledged.
    Over(Option<BlobKind>),
}

impl Call {
    /// Starts a call of this client's own, to which an offer of the other peer's may yield.
    pub(super) fn to(
        offer: OfferId,
        peer: PeerId,
        (seal, blob): (Seal, Vec<u8>),
        rival: Option<OfferId>,
        cx: &Context<'_>,
    ) -> Self {
        Self::new(offer, peer, (Role::Caller(Caller::new(blob, rival)), seal), cx)
    }

    /// Starts a call of the other peer's, of which a first fragment has arrived.
    pub(super) fn from(relayed: &Relayed<'_>, cx: &Context<'_>) -> Self {
        let head = relayed.head();
        let seal = cx.sealing.awaiting(&head.source);
        Self::new(head.offer, head.source, (Role::Callee(Callee::new(head)), seal), cx)
    }

    fn new(offer: OfferId, peer: PeerId, (role, seal): (Role, Seal), cx: &Context<'_>) -> Self {
        Self {
            offer,
            peer,
            role,
            seal,
            deadline: cx.now + cx.patience,
            rtt: Rtt::default(),
            spoken: Spoken::new(),
            heard: Heard::new(),
            punch: Punch::Idle,
            told: None,
            secret: None,
            hosts_told: false,
            peer_mapping: None,
            told_mapping: None,
            peer_hosts: None,
        }
    }

    /// Returns how far offer or answer have come, unless the application has been told that.
    pub(super) fn poll_progress(&mut self) -> Option<Progress> {
        let progress = match &self.role {
            Role::Caller(caller) => caller.progress(),
            Role::Callee(callee) => callee.progress(),
        };
        let news = progress.filter(|_| progress != self.told)?;
        self.told = progress;
        Some(news)
    }

    /// Returns how far an offer of the other peer's has come that the application does not know of.
    pub(super) fn arriving(&self) -> Option<Arriving> {
        let Role::Callee(callee) = &self.role else { return None };
        Some(Arriving { offer: self.offer, from: self.peer, progress: callee.arriving()? })
    }

    /// Answers an offer of the other peer's; an empty blob declines it.
    pub(super) fn answer(&mut self, blob: Vec<u8>, cx: &mut Context<'_>) -> Result<(), CallError> {
        let Role::Callee(callee) = &mut self.role else { return Err(CallError::NotAnswerable) };
        if callee.stage() != Stage::Waiting {
            return Err(CallError::NotAnswerable);
        }
        let (limit, had, declines) = (cx.blob_max, blob.len(), blob.is_empty());
        let (blob, secret) = self.seal.seal_answer(blob, cx.sealing)?;
        if blob.len() > limit {
            return Err(match self.seal {
                Seal::Plain => CallError::TooLarge { limit, had },
                Seal::Unopened | Seal::Caller(_) | Seal::Callee(_) => {
                    CallError::SealedTooLarge { limit, had: blob.len() }
                }
            });
        }
        callee.answer(blob, declines)?;
        self.secret = (!declines).then_some(secret);
        self.deadline = cx.now + cx.patience;
        Ok(())
    }

    /// Takes a candidate of the application's.
    pub(super) fn speak(&mut self, message: Vec<u8>, cx: &mut Context<'_>) -> Result<(), CallError> {
        if hosts::is_marked(&message) {
            return Err(CallError::Reserved);
        }
        self.push_candidate(message, cx)?;
        self.spoken.applications += 1;
        Ok(())
    }

    /// Tells the other peer this host's own addresses, once.
    pub(super) fn tell_hosts(&mut self, cx: &mut Context<'_>) {
        if self.hosts_told {
            return;
        }
        if let Some(message) = hosts::write(cx.hosts) {
            // A call that has had all its candidates is punched without these.
            self.hosts_told = self.push_candidate(message, cx).is_ok();
        }
    }

    /// Tells the other peer how this host's NAT maps, once for each that it is found to do.
    pub(super) fn tell_mapping(&mut self, cx: &mut Context<'_>) {
        let Some(mapping) = cx.witness.mapping() else { return };
        if self.told_mapping != Some(mapping) && self.push_candidate(witness::write(mapping), cx).is_ok() {
            self.told_mapping = Some(mapping);
        }
    }

    fn push_candidate(&mut self, message: Vec<u8>, cx: &mut Context<'_>) -> Result<(), CallError> {
        let seal = &self.seal;
        self.spoken.push(message, |number, message| seal.seal_candidate(number, message, cx.sealing))
    }

    /// Takes a fragment or a candidate of the other peer's.
    pub(super) fn take(
        &mut self,
        kind: BlobKind,
        relayed: &Relayed<'_>,
        cx: &mut Context<'_>,
    ) -> Result<Fate, DropReason> {
        if relayed.head().source != self.peer {
            return Err(DropReason::Peer);
        }
        match (&mut self.role, kind) {
            (Role::Caller(_), BlobKind::Offer) | (Role::Callee(_), BlobKind::Answer) => {
                Err(DropReason::Phase)
            }
            (Role::Callee(callee), BlobKind::Offer) => match callee.take(cx.now, relayed)? {
                Received::More => Ok(Fate::Open),
                Received::Whole(blob) => Ok(self.ring(blob, relayed, cx)),
                Received::Damaged => Ok(self.fail_damaged(cx)),
            },
            (Role::Caller(_), BlobKind::Answer) => self.take_answer(relayed, cx),
            (Role::Caller(_) | Role::Callee(_), BlobKind::Candidate) => self.take_candidate(relayed, cx),
        }
    }

    /// Presents the offer, if it opens. Of one that does not, repeats are acknowledged and nothing is kept.
    fn ring(&mut self, blob: Vec<u8>, relayed: &Relayed<'_>, cx: &mut Context<'_>) -> Fate {
        let (offer, from, observed) = (self.offer, self.peer, relayed.head().observed);
        match self.seal.open_offer(cx.now, (from, offer), blob, cx.sealing) {
            Ok(blob) => {
                cx.out.event(Event::Offered { offer, from, observed, blob });
                self.deadline = cx.now + cx.patience;
                Fate::Open
            }
            Err(reason) => {
                cx.out.counters.count_drop(DropReason::Sealed);
                cx.out.event(Event::OfferRefused { from, offer, reason });
                let arrived = Arrived::all(fragment_count(relayed.head().length as usize));
                self.acknowledge_at_once(BlobKind::Offer, arrived, cx);
                self.end(Some(BlobKind::Offer), cx)
            }
        }
    }

    fn take_answer(&mut self, relayed: &Relayed<'_>, cx: &mut Context<'_>) -> Result<Fate, DropReason> {
        let Role::Caller(caller) = &mut self.role else { return Err(DropReason::Phase) };
        let (unheard, delivered) = (caller.is_unheard(), caller.is_delivered());
        let taken = caller.take(cx.now, relayed);
        let offer = self.offer;
        if unheard {
            self.deadline = cx.now + cx.patience;
            if !delivered {
                cx.out.event(Event::OfferDelivered { offer });
            }
        }
        match taken? {
            Answer::First | Answer::More => Ok(Fate::Open),
            Answer::Damaged => Ok(self.fail_damaged(cx)),
            Answer::Whole(blob) => match self.seal.open_answer(blob) {
                Ok((blob, _)) if blob.is_empty() => {
                    cx.out.event(Event::Declined { offer });
                    self.acknowledge_at_once(BlobKind::Answer, Arrived::all(1), cx);
                    Ok(self.end(Some(BlobKind::Answer), cx))
                }
                Ok((blob, secret)) => {
                    self.secret = Some(secret);
                    let (from, observed) = (self.peer, relayed.head().observed);
                    cx.out.event(Event::Answered { offer, from, observed, blob });
                    Ok(Fate::Open)
                }
                Err(error) => Ok(self.fail_sealed(error, cx)),
            },
        }
    }

    /// Ends the call over an answer that does not open. It is not acknowledged: nobody has got it.
    fn fail_sealed(&mut self, error: OpenError, cx: &mut Context<'_>) -> Fate {
        cx.out.counters.count_drop(DropReason::Sealed);
        cx.out.event(Event::Failed { offer: self.offer, reason: FailReason::Sealed(error) });
        self.end(None, cx)
    }

    fn fail_damaged(&mut self, cx: &mut Context<'_>) -> Fate {
        cx.out.counters.count_drop(DropReason::Digest);
        self.fail(FailReason::Damaged, cx)
    }

    fn take_candidate(&mut self, relayed: &Relayed<'_>, cx: &mut Context<'_>) -> Result<Fate, DropReason> {
        let ready = match &self.role {
            Role::Caller(caller) => caller.is_answered(),
            Role::Callee(callee) => callee.stage() != Stage::Receiving,
        };
        if !ready {
            return Err(DropReason::Phase);
        }
        let (offer, number) = (self.offer, relayed.head().index);
        if let Some(message) =
            self.heard.take(cx.now, relayed, |blob| self.seal.open_candidate(number, blob))?
        {
            if hosts::is_marked(&message) {
                return self.take_own(&message, cx);
            }
            cx.out.event(Event::Candidate { offer, number, message });
        }
        Ok(Fate::Open)
    }

    /// Takes a message of the other peer's library.
    fn take_own(&mut self, message: &[u8], cx: &Context<'_>) -> Result<Fate, DropReason> {
        if let Some(mapping) = witness::read(message) {
            self.peer_mapping = Some(mapping);
            return Ok(Fate::Open);
        }
        let peers = hosts::read(message)?;
        self.punch.take_hosts(cx.now, &peers, cx.hosts, cx.observed);
        self.peer_hosts = Some(peers);
        Ok(Fate::Open)
    }

    fn acknowledge_at_once(&self, kind: BlobKind, arrived: Arrived, cx: &mut Context<'_>) {
        if let Some(session) = cx.link.session() {
            cx.out.reply_to_server(&Frame::Ack(Ack::new(session, self.offer, kind, arrived)));
        }
    }

    /// Takes an acknowledgement of the other peer's.
    pub(super) fn acknowledged(&mut self, ack: &Ack, cx: &mut Context<'_>) -> Result<Fate, DropReason> {
        let (offer, bitmap) = (self.offer, ack.bitmap);
        match (ack.kind.kind(), &mut self.role) {
            (Some(BlobKind::Offer), Role::Caller(caller)) => {
                if caller.acknowledged(cx.now, bitmap, &mut self.rtt) {
                    cx.out.event(Event::OfferDelivered { offer });
                }
                Ok(Fate::Open)
            }
            (Some(BlobKind::Answer), Role::Callee(callee)) => {
                let delivered = callee.acknowledged(cx.now, bitmap, &mut self.rtt)?;
                if delivered != Delivered::NotYet {
                    cx.out.event(Event::AnswerDelivered { offer });
                }
                match delivered {
                    Delivered::NotYet | Delivered::Accepted => Ok(Fate::Open),
                    Delivered::Declined => Ok(self.end(Some(BlobKind::Offer), cx)),
                }
            }
            (Some(BlobKind::Candidate), Role::Caller(_) | Role::Callee(_)) => {
                self.spoken.flight.acknowledge(cx.now, bitmap, &mut self.rtt);
                Ok(Fate::Open)
            }
            (Some(BlobKind::Offer), Role::Callee(_))
            | (Some(BlobKind::Answer), Role::Caller(_))
            | (None, _) => Err(DropReason::Phase),
        }
    }

    /// Sends again what is not acknowledged: the server knows this client again.
    pub(super) fn resume(&mut self, now: Instant, observed: Option<SocketAddr>) {
        match &mut self.role {
            Role::Caller(caller) => caller.resume(now),
            Role::Callee(callee) => callee.resume(now),
        }
        self.spoken.flight.resume();
        self.punch.resume(now, observed);
    }

    /// Ends the call for a reason that the application is told, if it waits for an outcome.
    pub(super) fn fail(&mut self, reason: FailReason, cx: &mut Context<'_>) -> Fate {
        let (told, whole) = match &self.role {
            Role::Caller(caller) => (!caller.is_answered(), caller.is_answered().then_some(BlobKind::Answer)),
            Role::Callee(callee) => match callee.stage() {
                Stage::Receiving => (false, None),
                Stage::Waiting | Stage::Answering => (true, Some(BlobKind::Offer)),
                Stage::Delivered => (false, Some(BlobKind::Offer)),
            },
        };
        if told {
            cx.out.event(Event::Failed { offer: self.offer, reason });
        }
        self.end(whole, cx)
    }

    /// Ends the call.
    fn end(&mut self, whole: Option<BlobKind>, cx: &mut Context<'_>) -> Fate {
        if self.is_settled() && self.spoken.give_up() {
            cx.out.event(Event::CandidatesFailed { offer: self.offer, reason: FailReason::CallOver });
        }
        if self.punch.is_under_way() {
            cx.out.event(Event::PunchFailed { offer: self.offer, reason: FailReason::CallOver });
        }
        Fate::Over(whole)
    }

    /// Does what time alone demands.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) -> Fate {
        if self.punch.wants_fresh_port(cx.now, &cx.server_rtt) {
            cx.out.event(Event::FreshPort { offer: self.offer });
        }
        match self.punch.expire(cx.now) {
            Ok(proved) => self.tell_path(proved, cx),
            Err(reason) => {
                let reason = if reason == FailReason::NoPath { self.why_no_path(cx) } else { reason };
                cx.out.event(Event::PunchFailed { offer: self.offer, reason });
            }
        }
        if self.deadline <= cx.now && !(self.punch.is_probing() && self.is_settled()) {
            let reason = match &self.role {
                Role::Caller(_) => FailReason::NoAnswer,
                Role::Callee(callee) => match callee.stage() {
                    Stage::Receiving | Stage::Waiting => FailReason::NoAnswer,
                    Stage::Answering | Stage::Delivered => FailReason::NotAcknowledged,
                },
            };
            return self.fail(cx.link.blame(reason), cx);
        }
        if cx.link.session().is_some() {
            match &mut self.role {
                Role::Caller(caller) => caller.expire(cx.now, &self.rtt),
                Role::Callee(callee) => callee.expire(cx.now, &self.rtt),
            }
            self.spoken.flight.expire(cx.now, &self.rtt);
        }
        Fate::Open
    }

    /// Tells whether offer and answer have both been delivered, as far as this side knows.
    pub(super) fn is_settled(&self) -> bool {
        match &self.role {
            Role::Caller(caller) => caller.is_answered(),
            Role::Callee(callee) => callee.stage() == Stage::Delivered,
        }
    }
}
