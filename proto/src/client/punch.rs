//! Opening a direct path: PUNCH to the server, PROBE and PROBE_REPLY with the peer. Knows nothing of blobs. SPEC 8

mod probing;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::checks::{Check, Checks, Rank};
use super::constants::{
    FRESH_PORT_TIME, OPENING_TIME, PROBE_TIME, PROBE_TIME_MIN, PROBES_MAX, PUNCH_INTERVAL,
};
use super::counters::DropReason;
use super::event::{FailReason, PathKind};
use super::flight::Turn;
use super::output::Output;
use super::rtt::Rtt;
use crate::Instant;
use crate::keyed::Generator;
use crate::probe_key::ProbeKey;
use crate::wire::{Address, Frame, OfferId, Probe, ProbeReply, PunchNow, Token, TransactionId};

/// The life of one call's direct path.
#[expect(clippy::large_enum_variant, reason = "one to a call, of which there are few, and all of them probe")]
#[derive(Debug)]
pub(super) enum Punch {
    /// Nobody has asked.
    Idle,
    /// PUNCH is under way.
    Asking(Asking),
    /// Looking for a path.
    Probing(Probing),
    /// A path was proved, or none was found. The peer's probes are answered on.
    Over(Over),
}

/// What is left of punching: enough to answer the other peer.
#[derive(Debug)]
pub(super) struct Over {
    token: Token,
    same_network: bool,
    key: ProbeKey,
    peer: Address,
    since: Instant,
    heard: bool,
    seen: Seen,
}

/// PUNCH and its repeats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    times: u32,
    next: Instant,
    /// Set with the first PUNCH.
    until: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Probing {
    token: Token,
    key: ProbeKey,
    seen: Seen,
    /// What the PUNCH_NOW named.
    observed: SocketAddr,
    /// Where the server saw this client then.
    own: Option<SocketAddr>,
    /// It sees this client elsewhere since: all begins anew with the next PUNCH_NOW.
    moved: bool,
    /// When the PUNCH_NOW came, and how many more of it have.
    started: Instant,
    told: u32,
    /// Either peer was elsewhere before: it is not the first attempt.
    again: bool,
    /// When to ask for a fresh port.
    fresh: Option<Instant>,
    /// The caller chooses the path.
    controlling: bool,
    /// Both peers may be behind one NAT.
    same_network: bool,
    /// The other peer has named its own addresses.
    hosts_known: bool,
    /// PROBEs have a low hop limit until then, or until the other peer is heard.
    opening: Instant,
    heard: bool,
    until: Instant,
    checks: Checks,
    /// The path that the caller has chosen.
    nominated: Option<SocketAddr>,
    /// When the caller chooses, at the latest.
    choose: Option<Instant>,
    /// When the nominated path is probed next.
    next: Option<Instant>,
    sent: VecDeque<Sent>,
    /// Goes on until the other peer is heard, if this side asked: its PUNCH_NOW may have been lost.
    asking: Option<Asking>,
}

/// The last PROBEs of the other peer, and where each came from. Who has read one on its way cannot show it elsewhere again.
#[derive(Debug, Default)]
struct Seen(VecDeque<(TransactionId, SocketAddr)>);

impl Seen {
    /// Takes a PROBE, unless the same has come from another address.
    fn admit(&mut self, transaction: TransactionId, from: SocketAddr) -> bool {
        if let Some((_, before)) = self.0.iter().find(|(seen, _)| *seen == transaction) {
            return *before == from;
        }
        if self.0.len() >= PROBES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((transaction, from));
        true
    }
}

/// A PROBE that may still be answered.
#[derive(Clone, Copy, Debug)]
struct Sent {
    transaction: TransactionId,
    at: Instant,
    nominates: bool,
}

/// What this side knows when a PUNCH_NOW comes.
pub(super) struct Order<'a> {
    /// Proves probes, with the token of the PUNCH_NOW in it.
    pub(super) key: ProbeKey,
    /// This side is the caller.
    pub(super) controlling: bool,
    /// How long PROBEs have a low hop limit.
    pub(super) opening: Duration,
    /// Where the server sees this client.
    pub(super) observed: Option<SocketAddr>,
    /// This host's own addresses.
    pub(super) hosts: &'a [SocketAddr],
}

/// A proved path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proved {
    pub(super) peer: SocketAddr,
    pub(super) kind: PathKind,
    pub(super) round_trip: Duration,
}

/// What a PUNCH_NOW has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Started {
    /// Probes are going out.
    Yes,
    /// It repeats an earlier one.
    Before,
    /// It names no address that this host can reach: punching has failed.
    Nowhere,
}

impl Punch {
    /// Asks the server to start both peers, unless that is under way.
    pub(super) fn ask(&mut self, now: Instant) {
        match self {
            Self::Idle | Self::Over(_) => *self = Self::Asking(Asking { times: 0, next: now, until: None }),
            Self::Asking(_) | Self::Probing(_) => {}
        }
    }

    /// Tells whether the application waits for an outcome.
    pub(super) fn is_under_way(&self) -> bool {
        match self {
            Self::Idle | Self::Over(_) => false,
            Self::Asking(_) | Self::Probing(_) => true,
        }
    }

    /// Tells whether probes are going out.
    pub(super) fn is_probing(&self) -> bool {
        matches!(self, Self::Probing(_))
    }

    /// Takes a PUNCH_NOW: starts probing at once.
    pub(super) fn start(
        &mut self,
        now: Instant,
        order: &PunchNow,
        ours: Order<'_>,
    ) -> Result<Started, DropReason> {
        let Some(peer) = order.peer.socket_addr().filter(|peer| peer.port() != 0) else {
            if !self.is_under_way() {
                return Err(DropReason::Phase);
            }
            *self = Self::Idle;
            return Ok(Started::Nowhere);
        };
        let (mut until, mut again, mut fresh, mut told) = (now + PROBE_TIME, false, None, 1);
        let (before, asking) = match self {
            Self::Probing(probing) if probing.token == order.token => {
                if probing.observed == peer && !probing.moved {
                    probing.told += 1;
                    return Ok(Started::Before);
                }
                if probing.moved {
                    // What was proved was so of the old port.
                    probing.checks = Checks::default();
                }
                (again, fresh) = (true, Some(probing.fresh));
                until = probing.until.max(now + PROBE_TIME_MIN);
                let asking = probing.asking;
                let Probing { sent, checks, seen, .. } = probing;
                (Some((std::mem::take(sent), std::mem::take(checks), std::mem::take(seen))), asking)
            }
            Self::Over(over)
                if over.token == order.token && over.peer == order.peer && now < over.since + PROBE_TIME =>
            {
                return Ok(Started::Before);
            }
            Self::Asking(asking) => {
                until = asking.until.unwrap_or(until).max(now + PROBE_TIME_MIN);
                (None, Some(*asking))
            }
            // Of a restarted server, which may have told this side alone.
            Self::Probing(probing) => {
                until = probing.until.max(now + PROBE_TIME_MIN);
                (fresh, told) = (Some(probing.fresh), probing.told + 1);
                (None, probing.asking)
            }
            Self::Idle | Self::Over(_) => (None, None),
        };
        let (sent, mut checks, seen) = before.unwrap_or_default();
        checks.replace_observed();
        if is_usable(peer, ours.observed, ours.hosts) {
            checks.add(now, peer, PathKind::Observed);
        }
        // Either side may be the one whose NAT has taken the flow, and neither knows: each changes its port once.
        let fresh = fresh.unwrap_or_else(|| fresh_at(now, until, peer));
        *self = Self::Probing(Probing {
            token: order.token,
            key: ours.key,
            seen,
            observed: peer,
            own: ours.observed,
            moved: false,
            started: now,
            told,
            again,
            fresh,
            controlling: ours.controlling,
            same_network: ours.observed.is_some_and(|own| own.ip() == peer.ip()),
            hosts_known: false,
            opening: now + if again { OPENING_TIME * 2 } else { ours.opening },
            heard: false,
            until,
            checks,
            nominated: None,
            choose: None,
            next: None,
            sent,
            asking,
        });
        Ok(Started::Yes)
    }

    /// Takes the other peer's own addresses: those that this host may reach are tried, too.
    pub(super) fn take_hosts(
        &mut self,
        now: Instant,
        peers: &[SocketAddr],
        own: &[SocketAddr],
        observed: Option<SocketAddr>,
    ) {
        let Self::Probing(probing) = self else { return };
        probing.hosts_known = true;
        for &peer in peers {
            // Behind NATs of the same make, the other peer may well have this host's own address.
            if is_usable(peer, observed, own) && !own.contains(&peer) {
                probing.checks.add(now, peer, PathKind::Host);
            }
        }
        if probing.checks.is_empty() {
            probing.until = now;
        }
    }

    /// Tells whether the server sees both peers at one address.
    pub(super) fn is_of_one_network(&self) -> bool {
        match self {
            Self::Idle | Self::Asking(_) => false,
            Self::Probing(probing) => probing.same_network,
            Self::Over(over) => over.same_network,
        }
    }

    /// Tells whether anything came from the other peer directly.
    pub(super) fn is_heard(&self) -> bool {
        match self {
            Self::Idle | Self::Asking(_) => false,
            Self::Probing(probing) => probing.heard,
            Self::Over(over) => over.heard,
        }
    }

    /// Takes an ERROR to the PUNCH. Returns whether punching has failed with it.
    pub(super) fn refused(&mut self, retry_at: Option<Instant>) -> bool {
        match (&mut *self, retry_at) {
            (Self::Asking(asking) | Self::Probing(Probing { asking: Some(asking), .. }), Some(at)) => {
                asking.next = at;
                false
            }
            (Self::Asking(_), None) => {
                *self = Self::Idle;
                true
            }
            (Self::Probing(probing), None) => {
                probing.asking = None;
                false
            }
            (Self::Idle | Self::Probing(_) | Self::Over(_), _) => false,
        }
    }

    /// Stops until both start anew: from another port, one PROBE before the other peer's first would do the same harm again.
    pub(super) fn rebound(&mut self) {
        if let Self::Probing(probing) = self {
            (probing.moved, probing.fresh) = (true, None);
        }
    }

    /// Asks anew at once: the server knows this client again, and sees it there.
    pub(super) fn resume(&mut self, now: Instant, observed: Option<SocketAddr>) {
        match self {
            Self::Asking(asking) => (asking.times, asking.next) = (0, now),
            Self::Probing(probing) if probing.moved || !probing.heard && probing.own != observed => {
                probing.moved = true;
                probing.asking = Some(Asking { times: 0, next: now, until: Some(probing.until) });
            }
            Self::Idle | Self::Probing(_) | Self::Over(_) => {}
        }
    }

    /// Tells, once, whether another local port is worth trying: not where PUNCHes are lost, since then probes are, too, and
    /// the new registration would be.
    pub(super) fn wants_fresh_port(&mut self, now: Instant, rtt: &Rtt) -> bool {
        let Self::Probing(probing) = self else { return false };
        probing.fresh.take_if(|at| *at <= now).is_some() && probing.is_told_of_most(now, rtt)
    }

    /// Returns what probes are proved by.
    pub(super) fn key(&self) -> Option<&ProbeKey> {
        match self {
            Self::Idle | Self::Asking(_) => None,
            Self::Probing(Probing { key, .. }) | Self::Over(Over { key, .. }) => Some(key),
        }
    }

    /// Answers a PROBE where it came from. An address that is not probed anyway is probed once for each PROBE that comes
    /// from there: never more, so that nobody is flooded.
    pub(super) fn probed(
        &mut self,
        now: Instant,
        from: SocketAddr,
        probe: &Probe,
        out: &mut Output,
    ) -> Result<Option<Proved>, DropReason> {
        let &Probe { transaction, nominate, .. } = probe;
        let (key, seen) = match self {
            Self::Idle | Self::Asking(_) => return Err(DropReason::Tag),
            Self::Probing(Probing { key, seen, .. }) | Self::Over(Over { key, seen, .. }) => (key, seen),
        };
        if !key.is_others(probe) {
            return Err(DropReason::Tag);
        }
        if !seen.admit(transaction, from) {
            return Err(DropReason::Reference);
        }
        out.reply(from, &key.reply(probe, from.into()));
        let Self::Probing(probing) = self else { return Ok(None) };
        let path = probing.heard_from(now, from, nominate.is_set());
        Ok(self.settle(now, path))
    }

    /// Takes a PROBE_REPLY: the path is proved, if it answers a PROBE that was sent.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        from: SocketAddr,
        reply: &ProbeReply,
    ) -> Result<Option<Proved>, DropReason> {
        if !self.key().is_some_and(|key| key.is_others_reply(reply)) {
            return Err(DropReason::Tag);
        }
        let Self::Probing(probing) = self else { return Ok(None) };
        let path = probing.answered(now, from, reply.transaction)?;
        Ok(self.settle(now, path))
    }

    /// Takes a path that both sides know for the outcome.
    fn settle(&mut self, now: Instant, path: Option<Proved>) -> Option<Proved> {
        if let (Self::Probing(probing), Some(_)) = (&mut *self, path) {
            *self = probing.over(now);
        }
        path
    }

    /// Does what time demands: chooses a path, or gives up with the reason why there is none.
    pub(super) fn expire(&mut self, now: Instant) -> Result<Option<Proved>, FailReason> {
        match self {
            Self::Probing(probing) if probing.until <= now => {
                // A path that was proved holds, though the other peer's choice was lost.
                let (path, none) = (probing.best(), probing.why_none());
                *self = probing.over(now);
                path.map(Some).ok_or(none)
            }
            Self::Probing(probing) => {
                probing.choose(now);
                Ok(None)
            }
            Self::Asking(Asking { until: Some(until), .. }) if *until <= now => {
                *self = Self::Idle;
                Err(FailReason::ServerSilent)
            }
            Self::Idle | Self::Asking(_) | Self::Over(_) => Ok(None),
        }
    }

    /// Tells whether to send PUNCH now, and takes it as sent.
    pub(super) fn poll_punch(&mut self, now: Instant) -> Option<Turn> {
        let (Self::Asking(asking) | Self::Probing(Probing { asking: Some(asking), .. })) = self else {
            return None;
        };
        if now < asking.next {
            return None;
        }
        let turn = if asking.times == 0 { Turn::First } else { Turn::Again };
        asking.next = now + PUNCH_INTERVAL;
        asking.times += 1;
        asking.until = asking.until.or(Some(now + PROBE_TIME));
        Some(turn)
    }

    /// Returns the PROBE to send now with its hop limit, and takes it as sent.
    pub(super) fn poll_probe(
        &mut self,
        now: Instant,
        offer: OfferId,
        random: &mut Generator,
    ) -> Option<(SocketAddr, Option<u8>, Frame<'static>)> {
        let Self::Probing(probing) = self else { return None };
        let (peer, nominates) = probing.poll(now)?;
        Some((peer, probing.hops(now, peer), probing.probe(now, (offer, nominates), random)))
    }

    /// Returns when PUNCH goes out next.
    pub(super) fn next_punch(&self) -> Option<Instant> {
        match self {
            Self::Asking(asking) | Self::Probing(Probing { asking: Some(asking), .. }) => Some(asking.next),
            Self::Idle | Self::Probing(_) | Self::Over(_) => None,
        }
    }

    /// Returns when there will next be something to do that needs no server.
    pub(super) fn next(&self) -> Option<Instant> {
        match self {
            Self::Idle | Self::Over(_) => None,
            Self::Asking(asking) => asking.until,
            Self::Probing(probing) => probing.next(),
        }
    }
}

impl Proved {
    fn of(check: &Check) -> Option<Self> {
        Some(Self { peer: check.peer, kind: check.kind, round_trip: check.proved? })
    }
}

/// Returns when to ask for a fresh port, if there will be time for it, and NATs on the way.
fn fresh_at(now: Instant, until: Instant, peer: SocketAddr) -> Option<Instant> {
    let at = now + FRESH_PORT_TIME;
    (Rank::of(peer) == Rank::Ipv4 && at + PROBE_TIME_MIN <= until).then_some(at)
}

/// Tells whether this host has an address of that family.
fn is_usable(peer: SocketAddr, observed: Option<SocketAddr>, own: &[SocketAddr]) -> bool {
    // Who names no address of its own does not know: the socket will say.
    own.is_empty() || own.iter().chain(&observed).any(|own| own.is_ipv4() == peer.is_ipv4())
}
