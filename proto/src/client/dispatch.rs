//! Which frames are accepted, from where, and whose they are. Decides nothing beyond. SPEC 5

use std::net::SocketAddr;

use super::call::{Call, Context, Fate};
use super::{Client, DropReason};
use crate::Instant;
use crate::wire::{
    self, Address, BlobKind, Challenge, DecodeError, Direction, ErrorCode, Frame, MAGIC, OfferId, Refusal,
    Relayed, Session, VERSION,
};

impl Client {
    /// Takes a datagram of this protocol.
    pub(super) fn take(&mut self, from: SocketAddr, datagram: &[u8]) -> Result<(), DropReason> {
        if self.out.is_full() {
            return Err(DropReason::Undrained);
        }
        let is_server = Address::from(from) == Address::from(self.server);
        let frame = match wire::decode(datagram) {
            Ok(frame) => frame,
            Err(DecodeError::BadVersion { .. }) if is_server => return self.take_other_version(datagram),
            Err(_) => return Err(DropReason::Undecodable),
        };
        match (frame.kind().direction(), is_server) {
            (Direction::Out, true) => self.take_from_server(frame),
            (Direction::Out, false) if self.witness.is_at(from) => self.take_from_witness(&frame),
            (Direction::Out, false) => Err(DropReason::Source),
            (Direction::Peer, false) => self.take_from_peer(from, frame),
            (Direction::Peer, true) | (Direction::In, _) => Err(DropReason::Direction),
        }
    }

    fn take_from_server(&mut self, frame: Frame<'_>) -> Result<(), DropReason> {
        let Self { now, registration, random, out, .. } = self;
        let change = match frame {
            Frame::Pong(pong) => {
                let event = self.pinging.answered(*now, &pong).ok_or(DropReason::Reference)?;
                out.event(event);
                return Ok(());
            }
            Frame::Registered(answer) => registration.registered(*now, &answer, random, out)?,
            Frame::Challenge(challenge) => {
                let known = is_call(&self.calls, &challenge);
                registration.challenged(*now, &challenge, known, random, out)?
            }
            Frame::KeepaliveReply(answer) => {
                self.check(answer.session)?;
                let Self { now, registration, random, out, .. } = self;
                registration.kept_alive(*now, &answer, random, out)?
            }
            Frame::Unregistered(answer) => {
                self.check(answer.session)?;
                self.registration.unregistered(&answer, &mut self.out)?
            }
            Frame::RelayedOffer(relayed) => return self.take_relayed(BlobKind::Offer, &relayed),
            Frame::RelayedAnswer(relayed) => return self.take_relayed(BlobKind::Answer, &relayed),
            Frame::RelayedCandidate(relayed) => return self.take_relayed(BlobKind::Candidate, &relayed),
            Frame::RelayedAck(ack) => {
                self.check(ack.session)?;
                return self.with_call(ack.offer, |call, cx| call.acknowledged(&ack, cx));
            }
            Frame::PunchNow(order) => {
                self.check(order.session)?;
                return self.with_call(order.offer, |call, cx| call.punch_now(&order, cx));
            }
            Frame::Error(refusal) => return self.take_refusal(&refusal),
            Frame::Ping(_)
            | Frame::Register(_)
            | Frame::Keepalive(_)
            | Frame::Unregister(_)
            | Frame::Offer(_)
            | Frame::Answer(_)
            | Frame::Candidate(_)
            | Frame::Ack(_)
            | Frame::Punch(_)
            | Frame::Probe(_)
            | Frame::ProbeReply(_) => return Err(DropReason::Direction),
        };
        self.follow(change);
        Ok(())
    }

    fn take_from_witness(&mut self, frame: &Frame<'_>) -> Result<(), DropReason> {
        let Frame::Pong(pong) = frame else { return Err(DropReason::Source) };
        self.witness.answered(pong, self.registration.observed())?;
        let (calls, mut cx) = self.split();
        calls.tell_mapping(&mut cx);
        Ok(())
    }

    fn take_from_peer(&mut self, from: SocketAddr, frame: Frame<'_>) -> Result<(), DropReason> {
        match frame {
            Frame::Probe(probe) if self.is_on_path(&probe.offer) => {
                self.paths.probed(self.now, from, &probe, &mut self.out)
            }
            Frame::ProbeReply(reply) if self.is_on_path(&reply.offer) => {
                self.paths.answered(self.now, from, &reply)
            }
            Frame::Probe(probe) => {
                self.with_call(probe.offer, |call, cx| call.probed(from, &probe, cx).map(|()| Fate::Open))
            }
            Frame::ProbeReply(reply) => self.with_call(reply.offer, |call, cx| {
                call.probe_answered(from, &reply, cx).map(|()| Fate::Open)
            }),
            Frame::Ping(_)
            | Frame::Register(_)
            | Frame::Keepalive(_)
            | Frame::Unregister(_)
            | Frame::Offer(_)
            | Frame::Answer(_)
            | Frame::Candidate(_)
            | Frame::Ack(_)
            | Frame::Punch(_)
            | Frame::Pong(_)
            | Frame::Registered(_)
            | Frame::Challenge(_)
            | Frame::KeepaliveReply(_)
            | Frame::Unregistered(_)
            | Frame::RelayedOffer(_)
            | Frame::RelayedAnswer(_)
            | Frame::RelayedCandidate(_)
            | Frame::RelayedAck(_)
            | Frame::PunchNow(_)
            | Frame::Error(_) => Err(DropReason::Direction),
        }
    }

    fn take_relayed(&mut self, kind: BlobKind, relayed: &Relayed<'_>) -> Result<(), DropReason> {
        self.check(relayed.head().session)?;
        let (calls, mut cx) = self.split();
        calls.take(kind, relayed, &mut cx)
    }

    /// ERROR has the same layout in all versions: a server of another one can say that it is.
    fn take_other_version(&mut self, datagram: &[u8]) -> Result<(), DropReason> {
        let mut ours = datagram.to_vec();
        if let Some(version) = ours.get_mut(MAGIC.len()) {
            *version = VERSION;
        }
        match wire::decode(&ours) {
            Ok(Frame::Error(refusal)) if is_version(&refusal) => self.take_refusal(&refusal),
            Ok(_) | Err(_) => Err(DropReason::Undecodable),
        }
    }

    /// An ERROR has no session: it must refer to something that is outstanding.
    fn take_refusal(&mut self, refusal: &Refusal) -> Result<(), DropReason> {
        let Self { now, registration, random, out, .. } = self;
        if is_version(refusal) {
            return registration.misunderstood(*now, refusal, out).map(|_| ());
        }
        let retry_at = retry_at(*now, refusal);
        if self.pinging.refused(refusal.reference, retry_at).is_some() {
            return Ok(());
        }
        match registration.refused(*now, refusal, random, out) {
            Ok(change) => {
                self.follow(change);
                Ok(())
            }
            Err(DropReason::Reference) => {
                let offer =
                    OfferId::from_bytes(refusal.reference.0).filter(|offer| self.calls.is_open(offer));
                let offer = offer.ok_or(DropReason::Reference)?;
                self.with_call(offer, |call, cx| call.refused(refusal, cx))
            }
            Err(reason) => Err(reason),
        }
    }

    fn with_call(
        &mut self,
        offer: OfferId,
        act: impl FnOnce(&mut Call, &mut Context<'_>) -> Result<Fate, DropReason>,
    ) -> Result<(), DropReason> {
        let (calls, mut cx) = self.split();
        calls.with(offer, |call| act(call, &mut cx))
    }

    /// Tells whether probes of that call are about the path in use, and not about finding another.
    fn is_on_path(&self, offer: &OfferId) -> bool {
        self.paths.has(offer) && !self.calls.is_probing(offer)
    }

    fn check(&self, session: Session) -> Result<(), DropReason> {
        if self.registration.session() == Some(session) { Ok(()) } else { Err(DropReason::Session) }
    }
}

fn is_call(calls: &super::calls::Calls, challenge: &Challenge) -> bool {
    OfferId::from_bytes(challenge.reference.0).is_some_and(|offer| calls.is_known(&offer))
}

fn is_version(refusal: &Refusal) -> bool {
    refusal.code == ErrorCode::Version.number()
}

fn retry_at(now: Instant, refusal: &Refusal) -> Option<Instant> {
    (refusal.retry_after != 0).then(|| now + std::time::Duration::from_millis(refusal.retry_after.into()))
}
