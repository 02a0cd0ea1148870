//! Nothing is kept for an address that has not proved itself; only its owner holds an identifier. SPEC 5

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Breach, Handled, SLACK, Sizes, receiver, session};
use crate::Instant;
use crate::server::{COOKIE_LIFETIME, DropReason, Outcome, PEER_TTL};
use crate::wire::{Address, Cookie, Direction, Frame, Kind, PeerId, Register, Registered, Session, VERSION};

/// Bytes that a frame must have to be told what is wrong with it. SPEC 9
const REFERENCE_END: usize = 36;
/// The server counts the time of a cookie in steps of 1/64 s; those of one step are of the same age to it. SPEC 5
const TICK: Duration = Duration::from_micros(15_625);

/// Answers that a port that has proved nothing gets at once, if its address has as many left. SPEC 12
const STRANGER_BURST: u32 = 64;

#[derive(Default)]
pub(super) struct Holders {
    /// When each cookie was first sent to an address.
    cookies: BTreeMap<(SocketAddr, [u8; 16]), Instant>,
    /// The last time that old cookies were cleared away.
    cleared: Instant,
    sessions: BTreeMap<Session, Holder>,
    /// Answers that each host got without having proved anything.
    strangers: BTreeMap<IpAddr, u32>,
    /// Of these, what everybody gets at once.
    stranger_burst: u32,
    by_identifier: BTreeMap<PeerId, Session>,
}

struct Holder {
    identifier: PeerId,
    at: SocketAddr,
    heard: Instant,
    /// When the cookie was sent that proved the address.
    proved: Instant,
    live: bool,
}

impl Holder {
    /// Tells whether the server has no right to have forgotten it.
    fn must_live(&self, now: Instant) -> bool {
        self.live && now.since(self.heard) < PEER_TTL
    }
}

impl Holders {
    /// Opens the books where an address gets `answers` a second without a proof.
    pub(super) fn new(answers: u32) -> Self {
        Self { stranger_burst: STRANGER_BURST.min(2 * answers), ..Self::default() }
    }

    pub(super) fn identifier(&self, session: Session) -> Option<PeerId> {
        self.sessions.get(&session).map(|holder| holder.identifier)
    }

    /// Tells whether the server has no right to have forgotten the session.
    pub(super) fn must_live(&self, now: Instant, session: Session) -> bool {
        self.sessions.get(&session).is_some_and(|holder| holder.must_live(now))
    }

    /// Tells whether the session has not certainly ended.
    pub(super) fn may_live(&self, session: Session) -> bool {
        self.sessions.get(&session).is_some_and(|holder| holder.live)
    }

    fn at(&self, session: Session, address: SocketAddr) -> Option<&Holder> {
        self.sessions.get(&session).filter(|holder| holder.live && holder.at == address)
    }

    fn proof(&self, handled: &Handled<'_>, cookie: &Cookie) -> Option<Instant> {
        let sent = *self.cookies.get(&(handled.from, cookie.0))?;
        (handled.now.since(sent) <= COOKIE_LIFETIME + 2 * TICK).then_some(sent)
    }

    /// Tells whether the sender has proved, in this datagram or before, that it receives at its address.
    fn is_proved(&self, handled: &Handled<'_>, frame: Option<&Frame<'_>>) -> bool {
        if let Some(Frame::Register(register)) = frame {
            return self.proof(handled, &register.cookie).is_some();
        }
        let session = match frame {
            Some(frame) => session(frame),
            None => undecodable_session(handled.contents),
        };
        session.is_some_and(|session| self.at(session, handled.from).is_some())
    }

    pub(super) fn stored_only_for_the_proved(
        &self,
        handled: &Handled<'_>,
        frame: Option<&Frame<'_>>,
        after: Sizes,
    ) -> Result<(), Breach> {
        if self.is_proved(handled, frame) {
            return Ok(());
        }
        let (address, before, outcome) = (handled.from, handled.before, handled.outcome);
        if before != after {
            return Err(Breach::StoredForUnproved { address, before, after });
        }
        match outcome {
            Outcome::Answered(Kind::Pong)
            | Outcome::Challenged
            | Outcome::Refused(crate::wire::ErrorCode::Version)
            | Outcome::Dropped(_) => Ok(()),
            Outcome::Answered(_) | Outcome::Relayed(_) | Outcome::Refused(_) | Outcome::Stun => {
                Err(Breach::ServedUnproved { address, outcome })
            }
        }
    }

    /// Checks that a live peer at its address is neither met with silence nor asked to prove itself anew, and that
    /// no frame towards the server is dropped.
    pub(super) fn fit_standing(
        &self,
        handled: &Handled<'_>,
        frame: Option<&Frame<'_>>,
    ) -> Result<(), Breach> {
        let session = match frame {
            Some(frame) if frame.kind().direction() != Direction::In => return Ok(()),
            Some(frame) => session(frame),
            None => undecodable_session(handled.contents),
        };
        let live = session
            .and_then(|session| self.at(session, handled.from))
            .is_some_and(|holder| holder.must_live(handled.now));
        let fits = match handled.outcome {
            // What another version says of sessions is not known.
            Outcome::Dropped(DropReason::StrangerLimited) => {
                let foreign = handled.contents.get(2).is_some_and(|version| *version != VERSION);
                (!live || foreign) && self.had_enough(handled.from)
            }
            Outcome::Dropped(DropReason::BadSource) => handled.from.port() == 0 && !live,
            Outcome::Dropped(
                DropReason::NotOurs
                | DropReason::Version
                | DropReason::UnknownKind
                | DropReason::Malformed
                | DropReason::NotForServer
                | DropReason::OutboxFull
                | DropReason::Overload
                | DropReason::Stun,
            ) => frame.is_none() && !live,
            Outcome::Challenged => !live,
            Outcome::Answered(_) | Outcome::Relayed(_) | Outcome::Refused(_) | Outcome::Stun => true,
        };
        if fits { Ok(()) } else { Err(Breach::Silence { address: handled.from, outcome: handled.outcome }) }
    }

    /// Enters an answer to somebody who has proved nothing.
    pub(super) fn answered_stranger(&mut self, address: SocketAddr) {
        *self.strangers.entry(address.ip()).or_default() += 1;
    }

    /// Tells whether a host has had as many answers as everybody gets at once.
    fn had_enough(&self, address: SocketAddr) -> bool {
        self.strangers.get(&address.ip()).is_some_and(|answers| *answers >= self.stranger_burst)
    }

    /// Checks that what goes elsewhere than back goes to where its receiver is now, and that observed addresses are
    /// true.
    pub(super) fn reach_their_receivers(
        &self,
        handled: &Handled<'_>,
        frames: &[Frame<'_>],
    ) -> Result<(), Breach> {
        for (sent, out) in handled.sent.iter().zip(frames) {
            let address = sent.to;
            match receiver(out) {
                Some(session) if self.at(session, address).is_none() => {
                    return Err(Breach::WrongReceiver { address });
                }
                Some(_) => {}
                None if address != handled.from => return Err(Breach::WrongReceiver { address }),
                None => {}
            }
            if observed(out).is_some_and(|observed| observed != Address::from(handled.from)) {
                return Err(Breach::WrongObserved { address });
            }
        }
        let ([first, second], [Frame::PunchNow(a), Frame::PunchNow(b)]) = (handled.sent, frames) else {
            return Ok(());
        };
        if a.token != b.token || a.peer != Address::from(second.to) || b.peer != Address::from(first.to) {
            return Err(Breach::WrongObserved { address: second.to });
        }
        Ok(())
    }

    /// Checks that a notice goes to an address at which somebody is registered.
    pub(super) fn is_somebodys(&self, address: SocketAddr) -> Result<(), Breach> {
        let registered = self.sessions.values().any(|holder| holder.live && holder.at == address);
        if registered { Ok(()) } else { Err(Breach::WrongReceiver { address }) }
    }

    /// Enters what a datagram changed, unless it must not have.
    pub(super) fn enter(
        &mut self,
        handled: &Handled<'_>,
        frame: Option<&Frame<'_>>,
        frames: &[Frame<'_>],
    ) -> Result<(), Breach> {
        if handled.sent.len() == 1
            && matches!(
                handled.outcome,
                Outcome::Answered(Kind::Pong)
                    | Outcome::Challenged
                    | Outcome::Refused(crate::wire::ErrorCode::Version)
            )
        {
            self.answered_stranger(handled.from);
        }
        if let [Frame::Challenge(challenge)] = frames {
            self.clear_cookies(handled.now);
            self.cookies.entry((handled.from, challenge.cookie.0)).or_insert(handled.now);
        }
        if let (Some(Frame::Register(register)), [Frame::Registered(registered)]) = (frame, frames) {
            return self.registered(handled, register, registered);
        }
        let Some(session) = frame.and_then(session) else { return Ok(()) };
        let Some(holder) = self.sessions.get_mut(&session) else { return Ok(()) };
        if holder.live && holder.at == handled.from && handled.outcome != Outcome::Challenged {
            holder.heard = handled.now;
            holder.live = handled.outcome != Outcome::Answered(Kind::Unregistered);
        } else if holder.at == handled.from && handled.outcome == Outcome::Challenged {
            // It was silent for too long, which the standing allowed.
            holder.live = false;
        }
        Ok(())
    }

    fn registered(
        &mut self,
        handled: &Handled<'_>,
        register: &Register,
        registered: &Registered,
    ) -> Result<(), Breach> {
        let (now, at, identifier, session) =
            (handled.now, handled.from, register.identifier, registered.session);
        let unproved = Breach::ServedUnproved { address: at, outcome: handled.outcome };
        let proved = self.proof(handled, &register.cookie).ok_or(unproved)?;
        let before = self.by_identifier.insert(identifier, session);
        let former = before.filter(|before| *before != session);
        if let Some(holder) = former.and_then(|former| self.sessions.get_mut(&former)) {
            // A keyed identifier is taken over by whoever signs for it: its owner.
            if holder.must_live(now) && identifier.is_plain() {
                return Err(Breach::HolderChanged { identifier });
            }
            holder.live = false;
        }
        let Some(holder) = self.sessions.get_mut(&session) else {
            let holder = Holder { identifier, at, heard: now, proved, live: true };
            self.sessions.insert(session, holder);
            return Ok(());
        };
        let moved = holder.at != at;
        let may_move = register.session == session && proved + TICK > holder.proved;
        if !holder.live || holder.identifier != identifier || moved && !may_move {
            return Err(Breach::SessionMoved { session });
        }
        holder.at = at;
        holder.heard = now;
        holder.proved = holder.proved.max(proved);
        Ok(())
    }

    /// Forgets the peers that the server must have forgotten when it has done all that is due.
    pub(super) fn forget_silent(&mut self, now: Instant) {
        for holder in self.sessions.values_mut() {
            if now.since(holder.heard) > PEER_TTL + SLACK {
                holder.live = false;
            }
        }
        // Nothing in flight speaks of those any more.
        self.sessions.retain(|_, holder| holder.live || now.since(holder.heard) < 10 * PEER_TTL);
    }

    pub(super) fn fit_count(&self, now: Instant, peers: u32) -> Result<(), Breach> {
        let count =
            |is: &dyn Fn(&Holder) -> bool| self.sessions.values().filter(|holder| is(holder)).count() as u32;
        let (least, most) = (count(&|holder| holder.must_live(now)), count(&|holder| holder.live));
        if (least..=most).contains(&peers) { Ok(()) } else { Err(Breach::WrongCount { least, most, peers }) }
    }

    fn clear_cookies(&mut self, now: Instant) {
        if now.since(self.cleared) > COOKIE_LIFETIME {
            self.cleared = now;
            self.cookies.retain(|_, sent| now.since(*sent) <= COOKIE_LIFETIME + 2 * TICK);
        }
    }
}

/// Returns the session in a datagram that does not decode, if it is to be told so: it is long enough, and of a kind
/// towards the server.
fn undecodable_session(datagram: &[u8]) -> Option<Session> {
    if datagram.len() < REFERENCE_END || !datagram.starts_with(&crate::wire::MAGIC) || datagram[3] >= 0x40 {
        return None;
    }
    datagram.get(4..20)?.try_into().ok().map(Session)
}

/// Returns what an answer tells its receiver to be its address.
const fn observed(frame: &Frame<'_>) -> Option<Address> {
    if let Frame::Pong(pong) = frame {
        Some(pong.observed)
    } else if let Frame::Registered(registered) = frame {
        Some(registered.observed)
    } else if let Frame::KeepaliveReply(reply) = frame {
        Some(reply.observed)
    } else if let Frame::Challenge(challenge) = frame {
        Some(challenge.observed)
    } else {
        None
    }
}
