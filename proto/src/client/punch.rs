//! Opening a direct path: PUNCH to the server, PROBE and PROBE_REPLY with the peer. Knows nothing of blobs. SPEC 8

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::checks::{Check, Checks, Rank};
use super::constants::{
    NOMINATE_WAIT, OPENING_HOPS, PROBE_INTERVAL, PROBE_TIME, PROBE_TIME_MIN, PROBES_MAX, PUNCH_INTERVAL,
};
use super::counters::DropReason;
use super::event::{FailReason, PathKind};
use super::flight::Turn;
use super::output::Output;
use crate::Instant;
use crate::keyed::Generator;
use crate::wire::{Address, Flag, Frame, OfferId, Probe, ProbeReply, PunchNow, Token, TransactionId, Zeros};

/// The life of one call's direct path.
#[derive(Debug)]
pub(super) enum Punch {
    /// Nobody has asked.
    Idle,
    /// PUNCH is under way.
    Asking(Asking),
    /// Looking for a path.
    Probing(Probing),
    /// A path was proved, or none was found. The peer's probes are answered on.
    Over { token: Token, peer: Address, since: Instant, heard: bool },
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
    /// What the PUNCH_NOW named.
    observed: SocketAddr,
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

/// A PROBE that may still be answered.
#[derive(Clone, Copy, Debug)]
struct Sent {
    transaction: TransactionId,
    at: Instant,
    nominates: bool,
}

/// What this side knows when a PUNCH_NOW comes.
pub(super) struct Order<'a> {
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
            Self::Idle | Self::Over { .. } => {
                *self = Self::Asking(Asking { times: 0, next: now, until: None })
            }
            Self::Asking(_) | Self::Probing(_) => {}
        }
    }

    /// Tells whether the application waits for an outcome.
    pub(super) fn is_under_way(&self) -> bool {
        match self {
            Self::Idle | Self::Over { .. } => false,
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
        ours: &Order<'_>,
    ) -> Result<Started, DropReason> {
        let Some(peer) = order.peer.socket_addr().filter(|peer| peer.port() != 0) else {
            if !self.is_under_way() {
                return Err(DropReason::Phase);
            }
            *self = Self::Idle;
            return Ok(Started::Nowhere);
        };
        let mut until = now + PROBE_TIME;
        let (before, asking) = match self {
            Self::Probing(probing) if probing.token == order.token => {
                if probing.observed == peer {
                    return Ok(Started::Before);
                }
                until = probing.until.max(now + PROBE_TIME_MIN);
                let asking = probing.asking;
                (Some((std::mem::take(&mut probing.sent), std::mem::take(&mut probing.checks))), asking)
            }
            Self::Over { token, peer, since, .. }
                if *token == order.token && *peer == order.peer && now < *since + PROBE_TIME =>
            {
                return Ok(Started::Before);
            }
            Self::Asking(asking) => {
                until = asking.until.unwrap_or(until).max(now + PROBE_TIME_MIN);
                (None, Some(*asking))
            }
            Self::Idle | Self::Probing(_) | Self::Over { .. } => (None, None),
        };
        let (sent, mut checks) = before.unwrap_or_default();
        checks.replace_observed();
        if is_usable(peer, ours.observed, ours.hosts) {
            checks.add(now, peer, PathKind::Observed);
        }
        *self = Self::Probing(Probing {
            token: order.token,
            observed: peer,
            controlling: ours.controlling,
            same_network: ours.observed.is_some_and(|own| own.ip() == peer.ip()),
            hosts_known: false,
            opening: now + ours.opening,
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

    /// Tells whether anything came from the other peer directly.
    pub(super) fn is_heard(&self) -> bool {
        match self {
            Self::Idle | Self::Asking(_) => false,
            Self::Probing(probing) => probing.heard,
            Self::Over { heard, .. } => *heard,
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
            (Self::Idle | Self::Probing(_) | Self::Over { .. }, _) => false,
        }
    }

    /// Asks anew at once: the server knows this client again.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Self::Asking(asking) = self {
            (asking.times, asking.next) = (0, now);
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
        if self.token() != Some(probe.token) {
            return Err(DropReason::Token);
        }
        let &Probe { offer, token, transaction, nominate, .. } = probe;
        if let Self::Probing(probing) = self
            && probing.sent.iter().any(|sent| sent.transaction == transaction)
        {
            // An own one: the other peer's address is this host's, too.
            return Err(DropReason::Reference);
        }
        out.reply(from, &Frame::ProbeReply(ProbeReply { offer, token, transaction, observed: from.into() }));
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
        if self.token() != Some(reply.token) {
            return Err(DropReason::Token);
        }
        let Self::Probing(probing) = self else { return Ok(None) };
        let path = probing.answered(now, from, reply.transaction)?;
        Ok(self.settle(now, path))
    }

    /// Takes a path that both sides know for the outcome.
    fn settle(&mut self, now: Instant, path: Option<Proved>) -> Option<Proved> {
        if let (Self::Probing(probing), Some(_)) = (&*self, path) {
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
            Self::Idle | Self::Asking(_) | Self::Over { .. } => Ok(None),
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
            Self::Idle | Self::Probing(_) | Self::Over { .. } => None,
        }
    }

    /// Returns when there will next be something to do that needs no server.
    pub(super) fn next(&self) -> Option<Instant> {
        match self {
            Self::Idle | Self::Over { .. } => None,
            Self::Asking(asking) => asking.until,
            Self::Probing(probing) => probing.next(),
        }
    }

    fn token(&self) -> Option<Token> {
        match self {
            Self::Idle | Self::Asking(_) => None,
            Self::Probing(probing) => Some(probing.token),
            Self::Over { token, .. } => Some(*token),
        }
    }
}

impl Probing {
    /// Takes it that the other peer has started.
    fn hear(&mut self) {
        self.heard = true;
        self.asking = None;
    }

    /// Takes it that a PROBE came from there. Returns the path, if that was the last word.
    fn heard_from(&mut self, now: Instant, from: SocketAddr, nominates: bool) -> Option<Proved> {
        self.hear();
        let check = self.checks.add(now, from, PathKind::Learned)?;
        if check.proved.is_none() && check.kind == PathKind::Learned {
            check.next = Some(now);
        }
        if !nominates || self.controlling {
            return None;
        }
        self.nominated = Some(from);
        if check.proved.is_none() {
            self.next = Some(now);
        }
        Proved::of(check)
    }

    /// Takes the answer to a PROBE. Returns the path, if that was the last word.
    fn answered(
        &mut self,
        now: Instant,
        from: SocketAddr,
        transaction: TransactionId,
    ) -> Result<Option<Proved>, DropReason> {
        let sent = self.sent.iter().find(|sent| sent.transaction == transaction);
        let sent = *sent.ok_or(DropReason::Reference)?;
        self.hear();
        let check = self.checks.add(now, from, PathKind::Learned).ok_or(DropReason::Room)?;
        check.proved = check.proved.or(Some(now.since(sent.at)));
        check.next = None;
        let (path, chosen) = (Proved::of(check), self.nominated == Some(from));
        if chosen && (sent.nominates || !self.controlling) {
            return Ok(path);
        }
        self.choose(now);
        Ok(None)
    }

    /// Lets the caller choose the best path, once there is one and no better is to be expected.
    fn choose(&mut self, now: Instant) {
        let Some(best) = self.checks.best().filter(|_| self.controlling && self.nominated.is_none()) else {
            return;
        };
        let choose = *self.choose.get_or_insert(now + NOMINATE_WAIT);
        if now >= choose || !self.may_be_better(best.peer) {
            (self.nominated, self.next, self.choose) = (Some(best.peer), Some(now), None);
        }
    }

    fn may_be_better(&self, than: SocketAddr) -> bool {
        let unnamed = self.same_network && !self.hosts_known && Rank::of(than) != Rank::Local;
        unnamed || self.checks.may_be_better(than, self.same_network)
    }

    fn best(&self) -> Option<Proved> {
        let chosen = self.nominated.and_then(|peer| self.checks.find(peer)).and_then(Proved::of);
        chosen.or_else(|| self.checks.best().as_ref().and_then(Proved::of))
    }

    const fn why_none(&self) -> FailReason {
        if self.checks.is_empty() { FailReason::NoCommonFamily } else { FailReason::NoPath }
    }

    /// Returns whom to probe now, and whether that path is nominated.
    fn poll(&mut self, now: Instant) -> Option<(SocketAddr, bool)> {
        if let (Some(peer), Some(next)) = (self.nominated, self.next) {
            if now < next {
                return None;
            }
            self.next = Some(now + PROBE_INTERVAL);
            return Some((peer, self.controlling));
        }
        self.checks.poll(now).map(|check| (check.peer, false))
    }

    /// Returns when there will next be something to do.
    fn next(&self) -> Option<Instant> {
        let probe =
            if self.nominated.is_some() && self.next.is_some() { self.next } else { self.checks.next() };
        probe.into_iter().chain(self.choose).chain([self.until]).min()
    }

    /// Until the other peer is heard, the first PROBEs to a public IPv4 address only open the own NAT.
    fn hops(&self, now: Instant, peer: SocketAddr) -> Option<u8> {
        let opens = !self.heard && now < self.opening && Rank::of(peer) == Rank::Ipv4;
        opens.then_some(OPENING_HOPS)
    }

    fn probe(
        &mut self,
        now: Instant,
        (offer, nominates): (OfferId, bool),
        random: &mut Generator,
    ) -> Frame<'static> {
        let transaction = TransactionId(random.bytes());
        if self.sent.len() >= PROBES_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { transaction, at: now, nominates });
        let nominate = if nominates { Flag::YES } else { Flag::NO };
        Frame::Probe(Probe { offer, token: self.token, transaction, nominate, zero: Zeros::ZERO })
    }

    fn over(&self, now: Instant) -> Punch {
        Punch::Over { token: self.token, peer: self.observed.into(), since: now, heard: self.heard }
    }
}

impl Proved {
    fn of(check: &Check) -> Option<Self> {
        Some(Self { peer: check.peer, kind: check.kind, round_trip: check.proved? })
    }
}

/// Tells whether this host has an address of that family.
fn is_usable(peer: SocketAddr, observed: Option<SocketAddr>, own: &[SocketAddr]) -> bool {
    // Who names no address of its own does not know: the socket will say.
    own.is_empty() || own.iter().chain(&observed).any(|own| own.is_ipv4() == peer.is_ipv4())
}
