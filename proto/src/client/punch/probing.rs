//! Looking for a path: whom to probe and when, what was heard, and which path the caller takes. SPEC 8

use std::net::SocketAddr;
use std::time::Duration;

use super::super::checks::Rank;
use super::super::constants::{
    NOMINATE_WAIT, OPENING_HOPS, OPENING_HOPS_FAR, OPENING_HOPS_NEAR, OPENING_TIME, PROBE_INTERVAL,
    PROBES_MAX, PUNCH_INTERVAL,
};
use super::super::counters::DropReason;
use super::super::event::{FailReason, PathKind};
use super::super::rtt::Rtt;
use super::{Over, Probing, Proved, Punch, Sent};
use crate::Instant;
use crate::keyed::Generator;
use crate::wire::{Flag, Frame, OfferId, Probe, Tag, TransactionId, Zeros};

impl Probing {
    /// Tells whether nine of ten PUNCHes have been heard of, this side's or the other's, but for those on their way.
    pub(super) fn is_told_of_most(&self, now: Instant, rtt: &Rtt) -> bool {
        let in_time = |time: Duration| (time.as_micros() / PUNCH_INTERVAL.as_micros()) as u32;
        let sent = match &self.asking {
            Some(asking) if rtt.is_measured() => asking.times.saturating_sub(in_time(rtt.mean()) + 1),
            Some(_) => return false,
            None => in_time(now.since(self.started)),
        };
        self.told * 10 >= sent * 9
    }

    /// Takes it that the other peer has started.
    pub(super) fn hear(&mut self) {
        (self.heard, self.fresh) = (true, None);
        // Who is elsewhere than before needs a PUNCH_NOW of its own.
        if !self.moved {
            self.asking = None;
        }
    }

    /// Takes it that a PROBE came from there. Returns the path, if that was the last word.
    pub(super) fn heard_from(&mut self, now: Instant, from: SocketAddr, nominates: bool) -> Option<Proved> {
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
    pub(super) fn answered(
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
    pub(super) fn choose(&mut self, now: Instant) {
        let Some(best) = self.checks.best().filter(|_| self.controlling && self.nominated.is_none()) else {
            return;
        };
        let choose = *self.choose.get_or_insert(now + NOMINATE_WAIT);
        if now >= choose || !self.may_be_better(best.peer) {
            (self.nominated, self.next, self.choose) = (Some(best.peer), Some(now), None);
        }
    }

    pub(super) fn may_be_better(&self, than: SocketAddr) -> bool {
        let unnamed = self.same_network && !self.hosts_known && Rank::of(than) != Rank::Local;
        unnamed || self.checks.may_be_better(than, self.same_network)
    }

    pub(super) fn best(&self) -> Option<Proved> {
        let chosen = self.nominated.and_then(|peer| self.checks.find(peer)).and_then(Proved::of);
        chosen.or_else(|| self.checks.best().as_ref().and_then(Proved::of))
    }

    pub(super) const fn why_none(&self) -> FailReason {
        if self.checks.is_empty() { FailReason::NoCommonFamily } else { FailReason::NoPath }
    }

    /// Returns whom to probe now, and whether that path is nominated.
    pub(super) fn poll(&mut self, now: Instant) -> Option<(SocketAddr, bool)> {
        if self.moved {
            return None;
        }
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
    pub(super) fn next(&self) -> Option<Instant> {
        if self.moved {
            return Some(self.until);
        }
        let probe =
            if self.nominated.is_some() && self.next.is_some() { self.next } else { self.checks.next() };
        probe.into_iter().chain(self.choose).chain(self.fresh).chain([self.until]).min()
    }

    /// Until the other peer is heard, the first PROBEs to a public IPv4 address only open the own NAT.
    pub(super) fn hops(&self, now: Instant, peer: SocketAddr) -> Option<u8> {
        let opens = !self.heard && now < self.opening && Rank::of(peer) == Rank::Ipv4;
        let first_half = now + OPENING_TIME < self.opening;
        opens.then_some(match (self.again, first_half) {
            (false, _) => OPENING_HOPS,
            (true, true) => OPENING_HOPS_NEAR,
            (true, false) => OPENING_HOPS_FAR,
        })
    }

    pub(super) fn probe(
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
        self.key.sign(Probe { offer, tag: Tag::NONE, transaction, nominate, zero: Zeros::ZERO })
    }

    pub(super) fn over(&mut self, now: Instant) -> Punch {
        let Self { token, same_network, ref key, observed, heard, .. } = *self;
        let seen = std::mem::take(&mut self.seen);
        let key = key.clone();
        Punch::Over(Over { token, same_network, key, peer: observed.into(), since: now, heard, seen })
    }
}
