//! Attacks with what has expired. A cookie lives for a minute and a ticket for an hour, so these run against the engine of the
//! server, in virtual time, by its public interface; the victims are the engines of two clients.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use roundtable_signalling::proto::client::{self, Client, Event};
use roundtable_signalling::proto::identity::SecretKey;
use roundtable_signalling::proto::server::{
    COOKIE_LIFETIME, Config, Limits, Outcome, PEER_TTL, PEER_TTL_SLACK, Path, Server, TICKET_LIFETIME,
};
use roundtable_signalling::proto::wire::{self, Cookie, Frame, OfferId, Registered, Ticket, TransactionId};
use roundtable_signalling::proto::{Instant, Seed};

use crate::attacker::Tally;
use crate::frames::Claim;
use crate::random::Random;
use crate::report::{Report, Row};

const SERVER: &str = "192.0.2.1:1066";
const VICTIMS: [&str; 2] = ["198.51.100.1:40000", "198.51.100.2:40000"];
/// Who was registered once, and has gone.
const GONE: &str = "198.51.100.3:40000";
const ATTACKER: &str = "203.0.113.1:40000";
const UNIX_TIME: u64 = 1_800_000_000;
/// Attempts between two steps of time.
const VOLLEY: usize = 200;

pub(crate) fn run(random: &mut Random, rows: &mut Report) {
    rows.push(row("cookie past its lifetime (virtual time)", 4_000, random, stale_cookies));
    rows.push(row("old signature after its cookie's expiry (virtual time)", 4_000, random, old_signatures));
    rows.push(row("ticket past its lifetime (virtual time)", 4_000, random, old_tickets));
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A server, and two peers that talk to it without a network between.
struct Timeline {
    now: Instant,
    server: Server,
    peers: [Client; 2],
    ids: [wire::PeerId; 2],
    events: [Vec<Event>; 2],
}

impl Timeline {
    fn new(random: &mut Random) -> Self {
        let now = Instant::from_micros(1_000_000);
        let offer_timeout = Duration::from_secs(100_000);
        let config =
            Config { signature_checks: 1_000_000, limits: Limits::NONE, offer_timeout, ..Config::default() };
        let keys = [0, 1].map(|_| SecretKey::from_seed(&random.bytes()).unwrap());
        let ids = keys.each_ref().map(SecretKey::identifier);
        let peers = keys.map(|key| {
            let config = client::Config::new(address(SERVER), key, UNIX_TIME);
            Client::new(now, config, Seed(random.bytes()))
        });
        let server = Server::new(now, config, Seed(random.bytes()));
        let mut timeline = Self { now, server, peers, ids, events: [vec![], vec![]] };
        timeline.peers.iter_mut().for_each(|peer| peer.register(now));
        timeline.pass(Duration::from_secs(1));
        timeline.events = [vec![], vec![]];
        timeline
    }

    /// Hands a datagram in and returns what goes back to its source; victims get what is theirs.
    fn send(&mut self, from: SocketAddr, datagram: &[u8]) -> (Outcome, Vec<Vec<u8>>) {
        let outcome = self.server.handle_datagram(self.now, Path::from(from), datagram);
        (outcome, self.drain(from))
    }

    fn drain(&mut self, from: SocketAddr) -> Vec<Vec<u8>> {
        let (mut back, mut theirs) = (Vec::new(), Vec::new());
        while let Some(sent) = self.server.poll_transmit() {
            for datagram in sent.datagrams() {
                match VICTIMS.iter().position(|victim| address(victim) == sent.path.remote) {
                    Some(victim) => theirs.push((victim, datagram.to_vec())),
                    None if sent.path.remote == from => back.push(datagram.to_vec()),
                    None => panic!("a datagram to {}", sent.path.remote),
                }
            }
        }
        for (victim, datagram) in theirs {
            self.peers[victim].handle_datagram(self.now, address(SERVER), &datagram);
        }
        back
    }

    /// Lets the victims say what they have to, until all are silent.
    fn settle(&mut self) {
        loop {
            let said: Vec<_> = (0..2)
                .flat_map(|who| {
                    std::iter::from_fn(|| self.peers[who].poll_transmit())
                        .map(move |t| (who, t))
                        .collect::<Vec<_>>()
                })
                .collect();
            for who in 0..2 {
                self.events[who].extend(std::iter::from_fn(|| self.peers[who].poll_event()));
            }
            if said.is_empty() {
                return;
            }
            for (who, transmit) in said {
                self.send(address(VICTIMS[who]), &transmit.contents);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            let timers = self.peers.iter().map(Client::poll_timeout).chain([self.server.poll_timeout()]);
            let Some(due) = timers.flatten().min().filter(|&due| due <= end) else { break };
            self.now = due.max(self.now);
            self.peers.iter_mut().for_each(|peer| peer.handle_timeout(self.now));
            self.server.handle_timeout(self.now);
            self.drain(address(SERVER));
        }
        self.now = end;
    }

    fn cookie(&mut self, from: SocketAddr) -> Cookie {
        let asked = Claim::of(self.ids[0], Cookie::NONE, address(SERVER)).frame(TransactionId([1; 16]));
        match wire::decode(&self.send(from, &asked).1[0]) {
            Ok(Frame::Challenge(challenge)) => challenge.cookie,
            other => panic!("{other:?}"),
        }
    }

    /// Somebody registers by hand and is forgotten. Returns what a witness has read.
    fn gone(&mut self, random: &mut Random) -> (Claim, Registered) {
        let from = address(GONE);
        let key = SecretKey::from_seed(&random.bytes()).unwrap();
        let claim = Claim::of(key.identifier(), self.cookie(from), address(SERVER)).signed(&key, from);
        let (_, sent) = self.send(from, &claim.frame(TransactionId([1; 16])));
        let Ok(Frame::Registered(registered)) = wire::decode(&sent[0]) else { panic!("{sent:?}") };
        self.pass(PEER_TTL + PEER_TTL_SLACK);
        assert_eq!(self.server.peers(), 2, "forgotten");
        (claim, registered)
    }

    fn attempt(&mut self, from: SocketAddr, datagram: &[u8], tally: &mut Tally) {
        let (outcome, _) = self.send(from, datagram);
        match outcome {
            Outcome::Challenged => tally.count("CHALLENGE", 1),
            Outcome::Refused(code) => tally.count(code.name(), 1),
            other => tally.gain(&format!("{other:?}")),
        }
    }
}

/// Attacks while a call rings, for hours; then it is answered.
fn row(
    name: &'static str,
    plan: u64,
    random: &mut Random,
    attack: impl FnOnce(&mut Timeline, u64, &mut Random) -> Tally,
) -> Row {
    let mut timeline = Timeline::new(random);
    let [alice, bob] = timeline.ids;
    let offer = timeline.peers[0].offer(timeline.now, bob, b"offer".to_vec()).unwrap();
    timeline.settle();
    let before = timeline.server.counters().clone();
    let mut tally = attack(&mut timeline, plan, random);
    let checked = timeline.server.counters().signatures_checked - before.signatures_checked;
    timeline.peers[1].answer(timeline.now, offer, b"answer".to_vec()).unwrap();
    timeline.pass(Duration::from_secs(1));
    // Every half an hour a client renews its ticket, under the same session.
    for events in &mut timeline.events {
        events.retain(|event| !matches!(event, Event::Registered { resumed: true, .. }));
    }
    assert_eq!(timeline.events, expected(offer, [alice, bob]));
    if timeline.server.counters().moves != before.moves || timeline.server.peers() != 2 {
        tally.gain("a registration has changed");
    }
    Row::new(name, tally, checked, 1)
}

fn expected(offer: OfferId, [alice, bob]: [wire::PeerId; 2]) -> [Vec<Event>; 2] {
    let [at_alice, at_bob] = VICTIMS.map(|victim| address(victim).into());
    let answered = Event::Answered { offer, from: bob, observed: at_bob, blob: b"answer".to_vec() };
    let offered = Event::Offered { offer, from: alice, observed: at_alice, blob: b"offer".to_vec() };
    [vec![Event::OfferDelivered { offer }, answered], vec![offered, Event::AnswerDelivered { offer }]]
}

/// Good cookies of the attacker's own addresses, for a victim that is there and for one that has gone.
fn stale_cookies(timeline: &mut Timeline, plan: u64, random: &mut Random) -> Tally {
    let key = SecretKey::from_seed(&random.bytes()).unwrap();
    let (claim, _) = timeline.gone(random);
    let mut tally = Tally::default();
    while tally.evaluated < plan && tally.gains.is_empty() {
        let IpAddr::V4(ip) = address(ATTACKER).ip() else { panic!("IPv4") };
        let held: Vec<_> = (0..VOLLEY)
            .map(|_| {
                let from = SocketAddr::from((ip, 1024 + random.below(60_000) as u16));
                (from, timeline.cookie(from))
            })
            .collect();
        // Two ticks of 1/64 s, or much later.
        let late = Duration::from_millis(32 + (random.below(2) * random.below(300_000)) as u64);
        timeline.pass(COOKIE_LIFETIME + late);
        for (from, cookie) in held {
            let identifier = *random.pick(&[timeline.ids[0], timeline.ids[1], claim.identifier]);
            let stale =
                Claim { signature: claim.signature, ..Claim::of(identifier, cookie, address(SERVER)) };
            let stale = if random.below(2) == 0 { stale } else { stale.signed(&key, from) };
            timeline.attempt(from, &stale.attempt(random), &mut tally);
        }
    }
    tally.challenged()
}

/// A true REGISTER, from the very address, once its owner has gone and its cookie has expired.
fn old_signatures(timeline: &mut Timeline, plan: u64, random: &mut Random) -> Tally {
    let (claim, _) = timeline.gone(random);
    let mut tally = Tally::default();
    while tally.evaluated < plan {
        let fresh = timeline.cookie(address(GONE));
        for _ in 0..VOLLEY {
            // With its own cookie, or under a good one that it was not made for.
            let cookie = *random.pick(&[claim.cookie, fresh]);
            timeline.attempt(address(GONE), &Claim { cookie, ..claim }.attempt(random), &mut tally);
        }
        timeline.pass(Duration::from_millis(random.below(100_000) as u64));
    }
    tally
}

/// A true ticket: at its own address once it has expired, elsewhere before.
fn old_tickets(timeline: &mut Timeline, plan: u64, random: &mut Random) -> Tally {
    let (claim, registered) = timeline.gone(random);
    let mut tally = Tally::default();
    let mut volley = |timeline: &mut Timeline, from, plan| {
        let cookie = timeline.cookie(from);
        for _ in 0..plan {
            let ticket = match random.below(3) {
                0 => Ticket(random.flip(registered.ticket.0, 0)),
                _ => registered.ticket,
            };
            let stolen = Claim { ticket, ..Claim::of(claim.identifier, cookie, address(SERVER)) };
            timeline.attempt(from, &stolen.attempt(random), &mut tally);
        }
    };
    volley(timeline, address(ATTACKER), plan / 2);
    timeline.pass(TICKET_LIFETIME);
    volley(timeline, address(GONE), plan / 2);
    tally
}
