//! The engine beside a plain model of it, written from SPEC.md sections 5, 6 and 8: after any history both say the same.
//!
//! Time passes in steps of seven seconds, so that no deadline falls into the slack that the specification grants (a silent
//! peer is forgotten after 60 to 62 s). Rates and keys have tests of their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use roundtable_proto::server::{ANSWERED_FACTOR, Config};
use roundtable_proto::wire::{self, BlobKind, Cookie, ErrorCode, Frame, Kind, Session};

use crate::rig::*;

const PLACES: [&str; 4] =
    ["198.51.100.7:40123", "198.51.100.7:40124", "[2001:db8::1]:40123", "203.0.113.9:5004"];
/// Seconds, as the specification has them.
const PEER_TTL: u64 = 60;
const COOKIE_LIFETIME: u64 = 60;
const OFFER_TIMEOUT: u64 = 30;
const STEP: u64 = 7;

const MAX_PEERS: usize = 3;
const MAX_OFFERS: usize = 4;
const MAX_WAITING: usize = 2;
const MAX_BLOB: usize = 2500;

/// What somebody does. `held` picks one of the latest sessions or cookies that anybody was given.
#[derive(Clone, Debug)]
enum Step {
    Cookie { at: usize },
    Register { at: usize, who: u8, cookie: usize, held: usize },
    Keepalive { at: usize, held: usize },
    Unregister { at: usize, held: usize },
    Offer { at: usize, held: usize, call: u8, target: u8, length: usize },
    Answer { at: usize, held: usize, call: u8, target: u8 },
    Candidate { at: usize, held: usize, call: u8, target: u8 },
    Ack { at: usize, held: usize, call: u8 },
    Punch { at: usize, held: usize, call: u8 },
    Pass { steps: u64 },
}

fn place(number: usize) -> SocketAddr {
    PLACES[number].parse().unwrap()
}

fn step() -> impl Strategy<Value = Step> {
    let (at, held, call, who) = (0..PLACES.len(), 0..6usize, 1..5u8, 1..6u8);
    let spoken = (at.clone(), held.clone(), call, who.clone());
    prop_oneof![
        2 => at.clone().prop_map(|at| Step::Cookie { at }),
        4 => (at.clone(), who, 0..4usize, held.clone())
            .prop_map(|(at, who, cookie, held)| Step::Register { at, who, cookie, held }),
        1 => (at.clone(), held.clone()).prop_map(|(at, held)| Step::Keepalive { at, held }),
        1 => (at, held).prop_map(|(at, held)| Step::Unregister { at, held }),
        5 => (spoken.clone(), prop_oneof![Just(3usize), Just(MAX_BLOB), Just(MAX_BLOB + 1)])
            .prop_map(|((at, held, call, target), length)| Step::Offer { at, held, call, target, length }),
        4 => spoken.clone().prop_map(|(at, held, call, target)| Step::Answer { at, held, call, target }),
        2 => spoken.clone().prop_map(|(at, held, call, target)| Step::Candidate { at, held, call, target }),
        2 => spoken.clone().prop_map(|(at, held, call, _)| Step::Ack { at, held, call }),
        2 => spoken.prop_map(|(at, held, call, _)| Step::Punch { at, held, call }),
        3 => prop_oneof![4 => 1..3u64, 1 => 4..12u64].prop_map(|steps| Step::Pass { steps }),
    ]
}

/// What is said to whom: a kind, and for an ERROR its code.
type Said = (SocketAddr, Kind, Option<u16>);

fn said(to: SocketAddr, kind: Kind) -> Said {
    (to, kind, None)
}

fn refused(to: SocketAddr, code: ErrorCode) -> Said {
    (to, Kind::Error, Some(code.number()))
}

struct Peer {
    at: SocketAddr,
    session: Session,
    heard: u64,
    /// When the cookie was issued that proved `at`.
    proved: u64,
}

struct Open {
    caller: u8,
    callee: u8,
    /// The callee's part belongs to its session. The caller's too, but the offer ends with that.
    session: Session,
    opened: u64,
    answered: Option<u64>,
    /// Where the caller's last OFFER fragment came from.
    payer: SocketAddr,
}

/// The server as the specification tells it, as plainly as can be.
#[derive(Default)]
struct Model {
    now: u64,
    peers: BTreeMap<u8, Peer>,
    offers: BTreeMap<u8, Open>,
    /// Every cookie that was issued: to whom and when.
    cookies: Vec<(Cookie, SocketAddr, u64)>,
}

impl Model {
    /// Who speaks, if the session is live and at that address.
    fn speaker(&mut self, at: SocketAddr, session: Session) -> Option<u8> {
        let now = self.now;
        let (who, peer) = self.peers.iter_mut().find(|(_, peer)| peer.session == session && peer.at == at)?;
        peer.heard = now;
        Some(*who)
    }

    fn register(&mut self, at: SocketAddr, who: u8, cookie: Cookie, held: Session) -> Said {
        let now = self.now;
        let good = |&&(known, to, issued): &&(Cookie, SocketAddr, u64)| {
            known == cookie && to == at && now - issued <= COOKIE_LIFETIME
        };
        let Some(&(_, _, issued)) = self.cookies.iter().find(good) else { return said(at, Kind::Challenge) };
        let is_full = self.peers.len() >= MAX_PEERS;
        let Some(peer) = self.peers.get_mut(&who) else {
            if is_full {
                return refused(at, ErrorCode::ServerFull);
            }
            // The session is the server's to choose; `play` fills it in.
            self.peers.insert(who, Peer { at, session: Session::NONE, heard: now, proved: issued });
            return said(at, Kind::Registered);
        };
        if peer.at != at {
            if peer.session != held {
                return refused(at, ErrorCode::IdentifierTaken);
            }
            if issued < peer.proved {
                return said(at, Kind::Challenge);
            }
        }
        (peer.at, peer.heard, peer.proved) = (at, now, peer.proved.max(issued));
        said(at, Kind::Registered)
    }

    fn end(&mut self, who: u8) {
        self.peers.remove(&who);
        self.offers.retain(|_, open| open.caller != who);
    }

    fn offer(&mut self, who: u8, call: u8, target: u8, length: usize) -> Result<Vec<Said>, ErrorCode> {
        if who == target {
            return Err(ErrorCode::OfferToSelf);
        }
        let &Peer { at: to, session, .. } = self.peers.get(&target).ok_or(ErrorCode::PeerUnknown)?;
        if length > MAX_BLOB {
            return Err(ErrorCode::BlobTooLarge);
        }
        let payer = self.peers[&who].at;
        if self.offers.get(&call).is_some_and(|open| self.callee(open).is_none()) {
            self.offers.remove(&call);
        }
        match self.offers.get_mut(&call) {
            Some(open) if (open.caller, open.callee) == (who, target) => open.payer = payer,
            Some(_) => return Err(ErrorCode::OfferConflict),
            None => {
                let own = || self.offers.values().filter(|open| open.caller == who);
                let waiting = own().filter(|open| open.answered.is_none()).count();
                if waiting >= MAX_WAITING || own().count() >= MAX_WAITING * usize::from(ANSWERED_FACTOR) {
                    return Err(ErrorCode::TooManyOffers);
                }
                if self.offers.len() >= MAX_OFFERS {
                    return Err(ErrorCode::ServerFull);
                }
                let (opened, answered) = (self.now, None);
                let open = Open { caller: who, callee: target, session, opened, answered, payer };
                self.offers.insert(call, open);
            }
        }
        Ok(vec![said(to, Kind::RelayedOffer)])
    }

    /// The callee of an offer, as long as its session lives.
    fn callee(&self, open: &Open) -> Option<&Peer> {
        self.peers.get(&open.callee).filter(|peer| peer.session == open.session)
    }

    /// Where the other peer of an open offer is, if `who` may speak in it, and which part `who` has.
    fn other(&self, who: u8, call: u8) -> Result<(u8, SocketAddr), ErrorCode> {
        let open = self.offers.get(&call).ok_or(ErrorCode::OfferUnknown)?;
        let (other, peer) = if who == open.caller {
            (open.callee, self.callee(open))
        } else if who == open.callee && self.callee(open).is_some() {
            (open.caller, self.peers.get(&open.caller))
        } else {
            return Err(ErrorCode::NotPermitted);
        };
        Ok((other, peer.ok_or(ErrorCode::PeerUnknown)?.at))
    }

    fn speak(&mut self, who: u8, step: &Step) -> Result<Vec<Said>, ErrorCode> {
        let here = self.peers[&who].at;
        match *step {
            Step::Keepalive { .. } => Ok(vec![said(here, Kind::KeepaliveReply)]),
            Step::Unregister { .. } => {
                self.end(who);
                Ok(vec![said(here, Kind::Unregistered)])
            }
            Step::Offer { call, target, length, .. } => self.offer(who, call, target, length),
            Step::Answer { call, target, .. } => {
                let (other, to) = self.other(who, call)?;
                let now = self.now;
                let open = self.offers.get_mut(&call).filter(|open| open.callee == who && target == other);
                open.ok_or(ErrorCode::NotPermitted)?.answered.get_or_insert(now);
                Ok(vec![said(to, Kind::RelayedAnswer)])
            }
            Step::Candidate { call, target, .. } => {
                let (other, to) = self.other(who, call)?;
                if target != other {
                    return Err(ErrorCode::NotPermitted);
                }
                Ok(vec![said(to, Kind::RelayedCandidate)])
            }
            Step::Ack { call, .. } => Ok(vec![said(self.other(who, call)?.1, Kind::RelayedAck)]),
            Step::Punch { call, .. } => {
                let (_, to) = self.other(who, call)?;
                if self.offers[&call].answered.is_none() {
                    return Err(ErrorCode::NotPermitted);
                }
                Ok(vec![said(here, Kind::PunchNow), said(to, Kind::PunchNow)])
            }
            Step::Cookie { .. } | Step::Register { .. } | Step::Pass { .. } => Ok(vec![]),
        }
    }

    /// Lets so many steps of time pass.
    fn pass(&mut self, steps: u64) -> Vec<Said> {
        let mut all = Vec::new();
        for _ in 0..steps {
            self.now += STEP;
            let over = |open: &Open| open.answered.unwrap_or(open.opened) + OFFER_TIMEOUT <= self.now;
            for (_, open) in self.offers.extract_if(.., |_, open| over(open)) {
                let caller = self.peers.get(&open.caller).map(|caller| caller.at);
                if open.answered.is_none() && caller == Some(open.payer) {
                    all.push(refused(open.payer, ErrorCode::Timeout));
                }
            }
            let silent: Vec<u8> = self
                .peers
                .iter()
                .filter(|(_, peer)| peer.heard + PEER_TTL <= self.now)
                .map(|(who, _)| *who)
                .collect();
            silent.into_iter().for_each(|who| self.end(who));
        }
        all
    }
}

/// Both, side by side.
struct Both {
    rig: Rig,
    model: Model,
    sessions: Vec<Session>,
}

impl Both {
    fn new() -> Self {
        let config = Config {
            max_peers: MAX_PEERS as u32,
            max_offers: MAX_OFFERS as u32,
            max_peer_offers: MAX_WAITING as u16,
            max_blob: MAX_BLOB as u32,
            ..small()
        };
        Self { rig: Rig::with(config), model: Model::default(), sessions: Vec::new() }
    }

    fn session(&self, held: usize) -> Session {
        self.sessions.iter().rev().nth(held).copied().unwrap_or(Session::NONE)
    }

    /// Takes a step with both and compares what they say.
    fn play(&mut self, step: &Step) {
        let (sent, expected) = match *step {
            Step::Pass { steps } => {
                // In steps, as the model does it, so that the order is the same.
                let sent = (0..steps).flat_map(|_| self.rig.pass(secs(STEP))).collect();
                (sent, self.model.pass(steps))
            }
            Step::Cookie { at } => {
                let at = place(at);
                let cookie = self.rig.cookie(at);
                self.model.cookies.push((cookie, at, self.model.now));
                return;
            }
            Step::Register { at, who, cookie, held } => return self.register(place(at), who, cookie, held),
            Step::Keepalive { at, held }
            | Step::Unregister { at, held }
            | Step::Offer { at, held, .. }
            | Step::Answer { at, held, .. }
            | Step::Candidate { at, held, .. }
            | Step::Ack { at, held, .. }
            | Step::Punch { at, held, .. } => {
                let (at, session) = (place(at), self.session(held));
                let sent = self.send(at, session, step);
                let expected = match self.model.speaker(at, session) {
                    None => vec![said(at, Kind::Challenge)],
                    Some(who) => self.model.speak(who, step).unwrap_or_else(|code| vec![refused(at, code)]),
                };
                (sent, expected)
            }
        };
        assert_eq!(what_was_said(&sent), sorted(expected), "{step:?}");
    }

    fn register(&mut self, at: SocketAddr, who: u8, cookie: usize, held: usize) {
        let cookie = self.model.cookies.iter().rev().nth(cookie).map_or(Cookie::NONE, |(cookie, ..)| *cookie);
        let session = self.session(held);
        let before = self.model.peers.get(&who).map(|peer| peer.session);
        let sent = self.rig.frame(at, &register(session, id(who), cookie));
        let expected = self.model.register(at, who, cookie, session);
        assert_eq!(what_was_said(&sent), [expected], "{who} at {at}");
        let Some(given) = session_in(&sent) else { return };
        match before {
            Some(before) => assert_eq!(given, before, "the session in force has changed"),
            None => assert!(!self.sessions.contains(&given), "a session was given twice"),
        }
        if let Some(peer) = self.model.peers.get_mut(&who) {
            peer.session = given;
        }
        self.sessions.push(given);
    }

    fn send(&mut self, at: SocketAddr, session: Session, step: &Step) -> Vec<Sent> {
        let blob;
        let frame = match *step {
            Step::Keepalive { .. } => keepalive(session),
            Step::Unregister { .. } => unregister(session),
            Step::Offer { call: number, target, length, .. } => {
                blob = vec![b'v'; length];
                fragment(BlobKind::Offer, session, call(number), id(target), &blob, 0)
            }
            Step::Answer { call: number, target, .. } => answer(session, call(number), id(target)),
            Step::Candidate { call: number, target, .. } => candidate(session, call(number), id(target)),
            Step::Ack { call: number, .. } => ack(session, call(number)),
            Step::Punch { call: number, .. } => punch(session, call(number)),
            Step::Cookie { .. } | Step::Register { .. } | Step::Pass { .. } => return vec![],
        };
        self.rig.frame(at, &frame)
    }
}

fn what_was_said(sent: &[Sent]) -> Vec<Said> {
    sorted(
        sent.iter()
            .map(|sent| match wire::decode(&sent.datagram) {
                Ok(Frame::Error(error)) => (sent.to, Kind::Error, Some(error.code)),
                Ok(frame) => (sent.to, frame.kind(), None),
                Err(error) => panic!("{error}"),
            })
            .collect(),
    )
}

/// The order within one step is the server's own.
fn sorted(mut said: Vec<Said>) -> Vec<Said> {
    said.sort_by_key(|(to, kind, code)| (*to, kind.number(), *code));
    said
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_says_what_the_model_of_the_specification_says(steps in vec(step(), 0..150)) {
        let mut both = Both::new();
        for step in &steps {
            both.play(step);
            prop_assert_eq!(both.rig.server.peers() as usize, both.model.peers.len());
            prop_assert_eq!(both.rig.server.offers() as usize, both.model.offers.len());
        }
    }
}
