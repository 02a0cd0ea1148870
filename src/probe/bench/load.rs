//! One round: sends at a pace, takes the answers, and tells what became of them.

use std::io;
use std::time::{Duration, Instant};

use roundtable_proto::wire::{self, BlobKind, DATAGRAM_MAX, ErrorCode, FRAGMENT, Frame, OfferId};

use super::arguments::Kind;
use super::crew::{Crew, TRAIN, offer_id, partner};
use super::histogram::Histogram;
use super::sockets::{Arrivals, Sockets};
use super::tag::{Tag, Task};

/// Unanswered datagrams while peers register, and while they are kept alive.
const REGISTER_WINDOW: u64 = 256;
const REFRESH_WINDOW: u64 = 1024;
/// Peers that register in a row.
const REGISTER_SLICE: usize = 50_000;
/// Within so long every peer is heard: a third of what the server allows.
const REFRESH: Duration = Duration::from_secs(20);
/// Without any answer for so long, what is under way is lost.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of a datagram with a full fragment.
const FRAGMENT_DATAGRAM: usize = BlobKind::Offer.sent().size() + FRAGMENT;
/// Datagrams that open loop sends in a row, so that answers are taken in time.
const BURST: u64 = 32;
/// Datagrams of a batch that ends with a PING, where nothing else is answered.
const BATCH: u64 = 64;
/// Of so many tasks of `mixed`, each in one hour of a peer (180 keepalives every 20 s), ...
const HOUR: u64 = 185;
/// ... one is a login, and up to here they are calls. The rest are keepalives.
const CALLS: u64 = 4;

/// How fast to send.
#[derive(Clone, Copy)]
pub(super) enum Pace {
    /// So many unanswered at any time.
    Window(u64),
    /// So many a second, come what may.
    Rate(u64),
}

/// What a round does.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) fresh: bool,
    pub(super) count: u64,
    pub(super) limit: Option<Duration>,
    pub(super) pace: Pace,
    /// Whether the target echoes.
    pub(super) is_floor: bool,
}

/// What became of a round.
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) refused: u64,
    pub(super) received: u64,
    pub(super) took: Duration,
    pub(super) latencies: Histogram,
}

impl Tally {
    /// Counts what was neither answered nor refused.
    pub(super) const fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.answered + self.refused)
    }
}

/// Runs one round after the other over the same peers.
pub(super) struct Load {
    pub(super) crew: Crew,
    order: Vec<u32>,
    /// Who of `order` speaks next: rounds go on where the last one ended.
    next: usize,
    /// When all peers were last heard.
    refreshed: Instant,
    arrivals: Arrivals,
    out: Vec<u8>,
    round: u16,
    random: u64,
}

/// A round under way.
struct Run<'a> {
    load: &'a mut Load,
    sockets: &'a Sockets,
    plan: Plan,
    start: Instant,
    tally: Tally,
}

impl Load {
    pub(super) fn new(crew: Crew) -> Self {
        Self {
            crew,
            order: Vec::new(),
            next: 0,
            refreshed: Instant::now(),
            arrivals: Arrivals::new(),
            out: Vec::with_capacity(usize::from(TRAIN) * DATAGRAM_MAX),
            round: 0,
            random: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// Takes `count` new peers, who will speak in random order, each once before one speaks again.
    pub(super) fn muster(&mut self, count: u32) {
        self.crew.muster(count);
        self.next = 0;
        self.order = (0..count).collect();
        for place in (1..count as usize).rev() {
            let other = (self.next_random() % (place as u64 + 1)) as usize;
            self.order.swap(place, other);
        }
    }

    /// Registers all who are not, both round trips each, in slices, so that the first do not lapse before the last come.
    pub(super) fn register(&mut self, sockets: &Sockets) -> io::Result<()> {
        let missing: Vec<u32> =
            self.order.iter().copied().filter(|peer| !self.crew.is_registered(*peer)).collect();
        for slice in missing.chunks(REGISTER_SLICE) {
            self.run_over(slice.to_vec(), sockets, Kind::Register, REGISTER_WINDOW)?;
            self.refresh(sockets)?;
        }
        Ok(())
    }

    /// Sends a KEEPALIVE for each registered peer, if the last one is long ago.
    pub(super) fn refresh(&mut self, sockets: &Sockets) -> io::Result<()> {
        if self.refreshed.elapsed() < REFRESH {
            return Ok(());
        }
        let known = self.order.iter().copied().filter(|peer| self.crew.is_registered(*peer)).collect();
        self.refreshed = Instant::now();
        self.run_over(known, sockets, Kind::Keepalive, REFRESH_WINDOW).map(drop)
    }

    /// Lets just these peers speak, once each.
    fn run_over(&mut self, peers: Vec<u32>, sockets: &Sockets, kind: Kind, window: u64) -> io::Result<Tally> {
        let (count, pace) = (peers.len() as u64, Pace::Window(window));
        let (order, next) = (std::mem::replace(&mut self.order, peers), std::mem::take(&mut self.next));
        let tally = self.run(sockets, Plan { kind, fresh: false, count, limit: None, pace, is_floor: false });
        (self.order, self.next) = (order, next);
        tally
    }

    /// Runs one round.
    pub(super) fn run(&mut self, sockets: &Sockets, plan: Plan) -> io::Result<Tally> {
        self.round = self.round.wrapping_add(1).max(1);
        let mut arrivals = std::mem::replace(&mut self.arrivals, Arrivals::new());
        let tally = Tally {
            sent: 0,
            answered: 0,
            refused: 0,
            received: 0,
            took: Duration::ZERO,
            latencies: Histogram::new(),
        };
        let run = Run { load: self, sockets, plan, start: Instant::now(), tally };
        let tally = run.until_over(&mut arrivals);
        self.arrivals = arrivals;
        tally
    }

    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Run<'_> {
    fn until_over(mut self, arrivals: &mut Arrivals) -> io::Result<Tally> {
        let mut heard = Instant::now();
        // What PATIENCE has given up.
        let mut given_up = 0;
        loop {
            let done = self.tally.answered + self.tally.refused + given_up;
            let is_over = !self.send(done)?;
            if self.receive(arrivals)? {
                heard = Instant::now();
            } else if heard.elapsed() > PATIENCE {
                given_up = self.tally.lost();
                heard = Instant::now();
            }
            if is_over && self.tally.answered + self.tally.refused + given_up >= self.tally.sent {
                // The last answer ends the round, not the wait for those that never came.
                self.tally.took = heard.duration_since(self.start);
                return Ok(self.tally);
            }
        }
    }

    /// Sends what is due, and tells whether there will be more.
    fn send(&mut self, done: u64) -> io::Result<bool> {
        let now = self.start.elapsed();
        if self.tally.sent >= self.plan.count || self.plan.limit.is_some_and(|limit| now >= limit) {
            return Ok(false);
        }
        match self.plan.pace {
            Pace::Window(window) => {
                while self.tally.sent < self.plan.count && self.tally.sent.saturating_sub(done) < window {
                    let nanos = self.nanos();
                    self.issue(nanos)?;
                }
            }
            Pace::Rate(rate) => {
                let until = self.plan.count.min(self.tally.sent + BURST);
                while self.tally.sent < until {
                    let due = (u128::from(self.tally.sent) * 1_000_000_000 / u128::from(rate)) as u64;
                    if due > self.nanos() {
                        break;
                    }
                    self.issue(due)?;
                }
            }
        }
        Ok(true)
    }

    fn nanos(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Sends what comes next.
    fn issue(&mut self, nanos: u64) -> io::Result<()> {
        let peer = self.load.order[self.load.next];
        self.load.next = (self.load.next + 1) % self.load.order.len();
        let tag = |task| Tag { round: self.load.round, task, peer, nanos };
        match self.plan.kind {
            Kind::Register => self.one(peer, &self.load.crew.first_register(tag(Task::Register))),
            Kind::Keepalive => self.keepalive(tag(Task::Keepalive)),
            Kind::Offer => self.offer(tag(Task::Offer), 1),
            Kind::Train => self.offer(tag(Task::Offer), TRAIN),
            Kind::Mixed => {
                let register = tag(Task::Register);
                let (keepalive, call) = (tag(Task::Keepalive), tag(Task::Call));
                match self.load.next_random() % HOUR {
                    0 => self.one(peer, &self.load.crew.first_register(register)),
                    1..=CALLS => self.offer(call, 1),
                    _ => self.keepalive(keepalive),
                }
            }
            Kind::Ping => self.one(peer, &Crew::ping(tag(Task::Ping))),
            Kind::Stun => {
                self.tally.sent += 1;
                self.sockets.send(peer, &tag(Task::Stun).to_binding())
            }
            Kind::Stale => self.one(peer, &Crew::stale(tag(Task::Stale))),
            Kind::Foreign => {
                // Looks like RTP.
                let mut bytes = Crew::stale(tag(Task::Stale)).to_vec();
                bytes[0] = 0x80;
                self.batch(tag(Task::Batch), &bytes)
            }
            Kind::Malformed => {
                let mut bytes = Crew::stale(tag(Task::Stale)).to_vec();
                bytes.pop();
                self.batch(tag(Task::Batch), &bytes)
            }
        }
    }

    fn one(&mut self, peer: u32, frame: &Frame<'_>) -> io::Result<()> {
        self.tally.sent += 1;
        self.follow_up(peer, frame)
    }

    /// Sends without counting.
    fn follow_up(&mut self, peer: u32, frame: &Frame<'_>) -> io::Result<()> {
        let mut out = std::mem::take(&mut self.load.out);
        out.clear();
        frame.encode(&mut out);
        let sent = self.sockets.send(peer, &out);
        self.load.out = out;
        sent
    }

    fn keepalive(&mut self, tag: Tag) -> io::Result<()> {
        self.one(tag.peer, &self.load.crew.keepalive(tag))
    }

    fn offer(&mut self, tag: Tag, fragments: u8) -> io::Result<()> {
        // Not the ids of an earlier run, whose offers may still be open.
        let again = Tag { round: 0, nanos: self.load.crew.salt(), ..tag };
        let is_fresh = self.plan.fresh || tag.task == Task::Call;
        let id = offer_id(if is_fresh { tag } else { again });
        self.tally.sent += u64::from(fragments);
        self.fragments(tag.peer, id, BlobKind::Offer, fragments, tag)
    }

    fn fragments(&mut self, peer: u32, id: OfferId, kind: BlobKind, count: u8, tag: Tag) -> io::Result<()> {
        let mut out = std::mem::take(&mut self.load.out);
        out.clear();
        for index in 0..count {
            self.load.crew.fragment(peer, id, kind, (index, count), tag, &mut out);
        }
        let sent = self.sockets.send_train(peer, &out, FRAGMENT_DATAGRAM);
        self.load.out = out;
        sent
    }

    /// Sends datagrams that are not answered, and a PING that says when they have been taken.
    fn batch(&mut self, tag: Tag, datagram: &[u8]) -> io::Result<()> {
        self.tally.sent += BATCH;
        for _ in 1..BATCH {
            self.sockets.send(tag.peer, datagram)?;
        }
        self.follow_up(tag.peer, &Crew::ping(tag))
    }

    /// Takes what has come, and tells whether anything has.
    fn receive(&mut self, arrivals: &mut Arrivals) -> io::Result<bool> {
        let mut any = false;
        for number in 0..self.sockets.len() {
            if !self.sockets.receive(number, arrivals)? {
                continue;
            }
            any = true;
            let nanos = self.nanos();
            for datagram in arrivals.datagrams() {
                self.tally.received += 1;
                if let Some((kind, tag)) = Tag::read(datagram) {
                    self.take(nanos, datagram, kind, tag)?;
                }
            }
        }
        Ok(any)
    }

    fn take(&mut self, nanos: u64, datagram: &[u8], kind: u8, tag: Tag) -> io::Result<()> {
        let is_error = kind == wire::Kind::Error.number();
        if is_error && datagram.get(20..22) != Some(&ErrorCode::Timeout.number().to_be_bytes()) {
            self.tally.refused += 1;
            return Ok(());
        }
        if tag.round != self.load.round || is_error {
            return Ok(());
        }
        if self.plan.is_floor {
            self.finish(nanos, tag);
            return Ok(());
        }
        match tag.task {
            Task::Register => self.registering(nanos, datagram, tag),
            Task::Call => self.calling(nanos, datagram, kind, tag),
            // A peer that the server does not know any more is lost.
            Task::Keepalive | Task::Offer if kind == wire::Kind::Challenge.number() => {
                self.tally.refused += 1;
                Ok(())
            }
            Task::Keepalive | Task::Offer | Task::Ping | Task::Batch | Task::Stale | Task::Stun => {
                self.finish(nanos, tag);
                Ok(())
            }
        }
    }

    fn registering(&mut self, nanos: u64, datagram: &[u8], tag: Tag) -> io::Result<()> {
        match wire::decode(datagram) {
            Ok(Frame::Challenge(challenge)) => {
                let server = self.sockets.target();
                self.follow_up(tag.peer, &self.load.crew.second_register(tag, &challenge, server))
            }
            Ok(Frame::Registered(registered)) => {
                if let Some(session) = self.load.crew.sessions.get_mut(tag.peer as usize) {
                    *session = registered.session;
                }
                self.finish(nanos, tag);
                Ok(())
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Plays both sides of a call, from offer to the acknowledgement of the answer.
    fn calling(&mut self, nanos: u64, datagram: &[u8], kind: u8, tag: Tag) -> io::Result<()> {
        let (caller, callee, id) = (tag.peer, partner(tag.peer), offer_id(tag));
        match wire::decode(datagram) {
            Ok(Frame::RelayedOffer(_)) => {
                self.follow_up(callee, &self.load.crew.ack(callee, id, BlobKind::Offer))?;
                self.fragments(callee, id, BlobKind::Answer, 1, tag)
            }
            Ok(Frame::RelayedAnswer(_)) => {
                self.follow_up(caller, &self.load.crew.ack(caller, id, BlobKind::Answer))?;
                self.finish(nanos, tag);
                Ok(())
            }
            Ok(_) | Err(_) => {
                if kind == wire::Kind::Challenge.number() {
                    self.tally.refused += 1;
                }
                Ok(())
            }
        }
    }

    fn finish(&mut self, nanos: u64, tag: Tag) {
        self.tally.answered += if tag.task == Task::Batch { BATCH } else { 1 };
        self.tally.latencies.add(nanos.saturating_sub(tag.nanos));
    }
}
