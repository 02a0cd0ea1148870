//! The direct path of a call: when both start, what probes have found, and why there is none. SPEC 8

use std::net::SocketAddr;
use std::time::Duration;

use super::super::constants::{OPENING_MARGIN, OPENING_TIME};
use super::super::counters::DropReason;
use super::super::event::{Event, FailReason};
use super::super::punch::{Order, Proved, Started};
use super::super::witness::Mapping;
use super::{Call, Context, Fate, Role};
use crate::probe_key::{self, Parties, ProbeKey};
use crate::wire::{PeerId, Probe, ProbeReply, PunchNow};

impl Call {
    /// Takes a PUNCH_NOW.
    pub(in super::super) fn punch_now(
        &mut self,
        order: &PunchNow,
        cx: &mut Context<'_>,
    ) -> Result<Fate, DropReason> {
        let own = match self.role {
            Role::Caller(_) => probe_key::Role::Caller,
            Role::Callee(_) => probe_key::Role::Callee,
        };
        let secret = self.secret.as_ref().ok_or(DropReason::Phase)?;
        let key = ProbeKey::new(secret, &self.parties(cx.own), own, order.token);
        if let Role::Callee(callee) = &mut self.role
            && callee.confirm()
        {
            cx.out.event(Event::AnswerDelivered { offer: self.offer });
        }
        let opening = self.opening(cx);
        let controlling = own == probe_key::Role::Caller;
        let ours = Order { key, controlling, opening, observed: cx.observed, hosts: cx.hosts };
        match self.punch.start(cx.now, order, ours)? {
            Started::Yes => {
                if let Some(peers) = &self.peer_hosts {
                    self.punch.take_hosts(cx.now, peers, cx.hosts, cx.observed);
                }
                cx.witness.ask(cx.now);
                self.tell_hosts(cx);
            }
            Started::Before => {}
            Started::Nowhere => {
                let reason = FailReason::NoCommonFamily;
                cx.out.event(Event::PunchFailed { offer: self.offer, reason });
            }
        }
        Ok(Fate::Open)
    }

    fn parties(&self, own: PeerId) -> Parties {
        let (caller, callee) = match self.role {
            Role::Caller(_) => (own, self.peer),
            Role::Callee(_) => (self.peer, own),
        };
        Parties { offer: self.offer, caller, callee }
    }

    /// Returns how long PROBEs have a low hop limit: longer than the other peer's PUNCH_NOW may come later, which is at
    /// most its round trip to the server. SPEC 8
    fn opening(&self, cx: &Context<'_>) -> Duration {
        if !self.rtt.is_measured() || !cx.server_rtt.is_measured() {
            return OPENING_TIME;
        }
        (self.rtt.mean().saturating_sub(cx.server_rtt.mean()) + OPENING_MARGIN).min(OPENING_TIME)
    }

    /// Takes a PROBE.
    pub(in super::super) fn probed(
        &mut self,
        from: SocketAddr,
        probe: &Probe,
        cx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let proved = self.punch.probed(cx.now, from, probe, cx.out)?;
        self.tell_path(proved, cx);
        Ok(())
    }

    /// Takes a PROBE_REPLY.
    pub(in super::super) fn probe_answered(
        &mut self,
        from: SocketAddr,
        reply: &ProbeReply,
        cx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let proved = self.punch.answered(cx.now, from, reply)?;
        self.tell_path(proved, cx);
        Ok(())
    }

    pub(super) fn tell_path(&self, proved: Option<Proved>, cx: &mut Context<'_>) {
        if let Some(Proved { peer, kind, round_trip }) = proved {
            if let Some(key) = self.punch.key() {
                cx.paths.open(cx.now, self.offer, (key.clone(), peer), cx.random);
            }
            cx.out.event(Event::Path { offer: self.offer, peer, kind, round_trip });
        }
    }

    /// Says why no PROBE was answered, as far as is known.
    pub(super) fn why_no_path(&self, cx: &Context<'_>) -> FailReason {
        if self.is_peer_silent() {
            return FailReason::PeerGone;
        }
        let (Some(own), Some(peers)) = (cx.witness.mapping(), self.peer_mapping) else {
            return FailReason::NoPath;
        };
        match (own, peers) {
            (Mapping::Dependent, Mapping::Dependent) => FailReason::BothSymmetric,
            (Mapping::Dependent, Mapping::Independent | Mapping::PortIndependent) => {
                FailReason::SymmetricHere
            }
            (Mapping::Independent | Mapping::PortIndependent, Mapping::Dependent) => {
                FailReason::SymmetricThere
            }
            (Mapping::Independent, Mapping::Independent) if self.punch.is_of_one_network() => {
                FailReason::SameNat
            }
            (Mapping::Independent, Mapping::Independent) => FailReason::UdpBlocked,
            // Either NAT may give each address another port.
            (Mapping::PortIndependent, Mapping::Independent | Mapping::PortIndependent)
            | (Mapping::Independent, Mapping::PortIndependent) => FailReason::NoPath,
        }
    }

    /// Tells whether the other peer has neither acknowledged nor sent addresses: a client with addresses does both.
    fn is_peer_silent(&self) -> bool {
        self.hosts_told
            && !self.spoken.flight.is_complete()
            && self.peer_hosts.is_none()
            && !self.punch.is_heard()
    }
}
