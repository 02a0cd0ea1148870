//! What a call sends, in which order, and when it next wants to. Decides nothing about the call. SPEC 6 to 8

use std::net::SocketAddr;

use super::call::{Call, Context, Role};
use super::callee::Stage;
use super::flight::Turn;
use super::link::Link;
use super::outgoing::{Route, candidate_datagram};
use crate::Instant;
use crate::wire::{Ack, Arrived, BlobKind, Frame, Punch, Session, Zeros};

/// Where a datagram of a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Server,
    /// With this hop limit, if any.
    Peer(SocketAddr, Option<u8>),
}

/// A datagram of a call.
pub(super) type Sent = (To, Vec<u8>, Turn);

impl Call {
    /// Returns the datagram to send now, and takes it as sent.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Sent> {
        if let Some((peer, hops, frame)) = self.punch.poll_probe(cx.now, self.offer, cx.random) {
            return Some((To::Peer(peer, hops), frame.to_vec(), Turn::First));
        }
        let session = cx.link.session()?;
        let route = Route { session, offer: self.offer, target: self.peer };
        let (contents, turn) = self
            .poll_ack(cx.now, session)
            .or_else(|| self.poll_punch(cx, session))
            .or_else(|| self.poll_blob(cx, &route))
            .or_else(|| self.poll_candidate(cx.now, &route))?;
        Some((To::Server, contents, turn))
    }

    fn poll_ack(&mut self, now: Instant, session: Session) -> Option<(Vec<u8>, Turn)> {
        let (kind, blob) = match &mut self.role {
            Role::Caller(caller) => (BlobKind::Answer, caller.answer().and_then(|answer| answer.poll(now))),
            Role::Callee(callee) => (BlobKind::Offer, callee.offer.poll(now)),
        };
        let datagram =
            |kind, arrived: Arrived| Frame::Ack(Ack::new(session, self.offer, kind, arrived)).to_vec();
        if let Some(arrived) = blob {
            return Some((datagram(kind, arrived), Turn::First));
        }
        let arrived = self.heard.poll(now)?;
        Some((datagram(BlobKind::Candidate, arrived), Turn::First))
    }

    fn poll_punch(&mut self, cx: &Context<'_>, session: Session) -> Option<(Vec<u8>, Turn)> {
        // The server refuses PUNCH before the answer; the callee takes a PUNCH_NOW for the caller's having it all. SPEC 8
        if !self.is_settled() {
            return None;
        }
        let turn = self.punch.poll_punch(cx.now)?;
        Some((Frame::Punch(Punch { session, offer: self.offer, zero: Zeros::ZERO }).to_vec(), turn))
    }

    fn poll_blob(&mut self, cx: &Context<'_>, route: &Route) -> Option<(Vec<u8>, Turn)> {
        match &mut self.role {
            Role::Caller(caller) => {
                let unsent = caller.is_unsent();
                let sent = caller.poll(cx.now, route);
                if unsent && sent.is_some() {
                    // The call's own timer runs from its first fragment.
                    self.deadline = cx.now + cx.patience;
                }
                sent
            }
            Role::Callee(callee) => callee.poll(cx.now, route),
        }
    }

    /// Candidates wait until the own offer or answer has been delivered.
    fn poll_candidate(&mut self, now: Instant, route: &Route) -> Option<(Vec<u8>, Turn)> {
        if !self.speaks() {
            return None;
        }
        let (number, turn) = self.spoken.flight.poll(now)?;
        Some((candidate_datagram(route, number, self.spoken.message(number)), turn))
    }

    fn speaks(&self) -> bool {
        match &self.role {
            Role::Caller(caller) => caller.is_delivered(),
            Role::Callee(callee) => callee.stage() == Stage::Delivered,
        }
    }

    /// Returns when there will next be something to do.
    pub(super) fn next(&self, now: Instant, link: Link) -> impl Iterator<Item = Instant> + use<> {
        let [blob, ring, ack] = match &self.role {
            Role::Caller(caller) => caller.next(now, &self.rtt),
            Role::Callee(callee) => callee.next(now, &self.rtt),
        };
        let candidates = self.spoken.flight.next(now, &self.rtt).filter(|_| self.speaks());
        let punch = self.punch.next_punch().filter(|_| self.is_settled());
        let through_server = [blob, ring, ack, candidates, punch, self.heard.ack.next()];
        let own = [Some(self.deadline), self.punch.next()];
        let waits = if link.session().is_some() { through_server } else { [None; 6] };
        waits.into_iter().chain(own).flatten()
    }
}
