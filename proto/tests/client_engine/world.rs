//! Clients, a tiny server and lossy hops between them, in virtual time. The server follows SPEC 5 to 8 as far as the
//! tests need it, and bounds nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::client::{Client, Config, Event};
use roundtable_proto::wire::{
    self, Address, BlobKind, Challenge, Cookie, ErrorCode, Fragment, FragmentHead, Frame, Keepalive, Kind,
    OfferId, PeerId, PunchNow, Refusal, Registered, Relayed, RelayedHead, Session, Signature, Ticket, Token,
    TransactionId, Unregister, Zeros,
};
use roundtable_proto::{Instant, Seed};

pub(crate) const SERVER: &str = "192.0.2.1:1066";

/// What the hops do to datagrams.
#[derive(Clone, Copy)]
pub(crate) struct Hops {
    pub(crate) loss_percent: u64,
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
}

/// Splitmix64, so that a run replays from its seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

pub(crate) struct Host {
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    pub(crate) events: Vec<(Instant, Event)>,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) hosts: Vec<Host>,
    pub(crate) server: Server,
    pub(crate) hops: Hops,
    dice: Dice,
    flying: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
}

pub(crate) fn identifier(number: u8) -> PeerId {
    PeerId::plain([number; 16]).unwrap()
}

impl World {
    /// Makes `count` hosts with the identifiers 1, 2 and so on.
    pub(crate) fn new(count: u8, hops: Hops, seed: u64) -> Self {
        println!("seed {seed}");
        let now = Instant::ORIGIN;
        let server: SocketAddr = SERVER.parse().unwrap();
        let host = |number: u8| Host {
            client: Client::new(
                now,
                Config::new(server, identifier(number), 0),
                Seed::from_number(seed << 8 | u64::from(number)),
            ),
            address: SocketAddr::new([198, 51, 100, number].into(), 40_000),
            events: Vec::new(),
        };
        let hosts = (1..=count).map(host).collect();
        Self {
            now,
            hosts,
            server: Server::new(server, now),
            hops,
            dice: Dice(seed),
            flying: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Gives a command to one host's client.
    pub(crate) fn tell<T>(&mut self, host: usize, command: impl FnOnce(&mut Client, Instant) -> T) -> T {
        let done = command(&mut self.hosts[host].client, self.now);
        self.drain(host);
        done
    }

    pub(crate) fn register_all(&mut self) {
        for host in 0..self.hosts.len() {
            self.tell(host, |client, now| client.register(now));
        }
        self.run(Duration::from_secs(60), |world| {
            world.hosts.iter().all(|host| host.has(|event| matches!(event, Event::Registered { .. })))
        });
    }

    /// Runs until `done`, and returns whether that came within `limit`.
    pub(crate) fn run(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            let timer = self.hosts.iter().filter_map(|host| host.client.poll_timeout()).min();
            let arrival = self.flying.keys().next().map(|key| key.0);
            let Some(next) = timer.into_iter().chain(arrival).min().filter(|&next| next <= end) else {
                self.now = end;
                return false;
            };
            assert!(next >= self.now, "time runs forward");
            self.now = next;
            while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= next) {
                let (from, to, bytes) = entry.remove();
                self.arrive(from, to, &bytes);
            }
            for host in 0..self.hosts.len() {
                if self.hosts[host].client.poll_timeout().is_some_and(|at| at <= next) {
                    self.hosts[host].client.handle_timeout(next);
                    self.drain(host);
                    let after = self.hosts[host].client.poll_timeout();
                    assert!(
                        after.is_none_or(|at| at > next),
                        "a timer lies in the future once it was handled"
                    );
                }
            }
        }
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if to == self.server.address {
            for (to, bytes) in self.server.take(self.now, from, bytes) {
                self.send(self.server.address, to, bytes);
            }
        } else if let Some(host) = self.hosts.iter().position(|host| host.address == to) {
            self.hosts[host].client.handle_datagram(self.now, from, bytes);
            self.drain(host);
        }
    }

    fn drain(&mut self, host: usize) {
        while let Some(transmit) = self.hosts[host].client.poll_transmit() {
            self.send(self.hosts[host].address, transmit.to, transmit.contents);
        }
        while let Some(event) = self.hosts[host].client.poll_event() {
            self.hosts[host].events.push((self.now, event));
        }
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        assert!(bytes.len() <= wire::DATAGRAM_MAX && !bytes.is_empty());
        if self.dice.below(100) < self.hops.loss_percent {
            return;
        }
        let jitter = Duration::from_micros(self.dice.below(self.hops.jitter.as_micros() as u64 + 1));
        self.sent += 1;
        self.flying.insert((self.now + self.hops.delay + jitter, self.sent), (from, to, bytes));
    }
}

impl Host {
    pub(crate) fn has(&self, is: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(_, event)| is(event))
    }

    pub(crate) fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| is(event)).count()
    }

    pub(crate) fn offered(&self) -> Option<(OfferId, &[u8])> {
        self.events.iter().find_map(|(_, event)| match event {
            Event::Offered { offer, blob, .. } => Some((*offer, blob.as_slice())),
            _ => None,
        })
    }
}

pub(crate) struct Server {
    address: SocketAddr,
    life: u8,
    born: Instant,
    peers: BTreeMap<PeerId, (Session, SocketAddr)>,
    offers: BTreeMap<OfferId, (PeerId, PeerId)>,
}

type Out = Vec<(SocketAddr, Vec<u8>)>;

impl Server {
    fn new(address: SocketAddr, now: Instant) -> Self {
        Self { address, life: 1, born: now, peers: BTreeMap::new(), offers: BTreeMap::new() }
    }

    /// Forgets everything, as if killed and started again.
    pub(crate) fn restart(&mut self, now: Instant) {
        *self = Self { life: self.life + 1, ..Self::new(self.address, now) };
    }

    fn take(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Out {
        let frame = wire::decode(bytes).expect("clients send valid frames");
        let answer = match frame {
            Frame::Ping(ping) => {
                Frame::Pong(wire::Pong { transaction: ping.transaction, observed: from.into() })
            }
            Frame::Register(register) => self.register(from, &register),
            Frame::Keepalive(Keepalive { session, transaction, .. }) => match self.peer(session, from) {
                Some(_) => Frame::KeepaliveReply(Keepalive { session, transaction, observed: from.into() }),
                None => self.challenge(from, transaction.0),
            },
            Frame::Unregister(Unregister { session, transaction, zero: Zeros::ZERO }) => {
                match self.peer(session, from) {
                    Some(peer) => {
                        self.peers.remove(&peer);
                        Frame::Unregistered(Unregister { session, transaction, zero: Zeros::ZERO })
                    }
                    None => self.challenge(from, transaction.0),
                }
            }
            Frame::Offer(fragment) => return self.relay(now, from, BlobKind::Offer, &fragment),
            Frame::Answer(fragment) => return self.relay(now, from, BlobKind::Answer, &fragment),
            Frame::Candidate(fragment) => return self.relay(now, from, BlobKind::Candidate, &fragment),
            Frame::Ack(ack) => {
                return self.between(now, from, (ack.session, ack.offer, Kind::Ack), |session| {
                    Frame::RelayedAck(wire::Ack { session, ..ack }).to_vec()
                });
            }
            Frame::Punch(punch) => return self.punch(now, from, &punch),
            other => panic!("a client sends {:?} to the server", other.kind()),
        };
        vec![(from, answer.to_vec())]
    }

    fn cookie(&self, from: SocketAddr) -> Cookie {
        let mut cookie = [self.life; 16];
        cookie[..8].copy_from_slice(&Address::from(from).to_string().as_bytes()[..8]);
        cookie[8..10].copy_from_slice(&from.port().to_be_bytes());
        Cookie(cookie)
    }

    fn challenge(&self, from: SocketAddr, reference: [u8; 16]) -> Frame<'static> {
        Frame::Challenge(Challenge {
            reference: TransactionId(reference),
            cookie: self.cookie(from),
            observed: from.into(),
        })
    }

    fn register(&mut self, from: SocketAddr, register: &wire::Register) -> Frame<'static> {
        assert_eq!(register.signature, Signature::NONE);
        if register.cookie != self.cookie(from) {
            return self.challenge(from, register.transaction.0);
        }
        let session = match self.peers.get(&register.identifier) {
            Some(&(session, at)) if session == register.session || at == from => session,
            Some(_) => {
                return refusal(register.transaction.0, ErrorCode::IdentifierTaken, Kind::Register, 1000);
            }
            None => {
                let mut session = [self.life; 16];
                session[1] = register.identifier.as_bytes()[0];
                Session(session)
            }
        };
        self.peers.insert(register.identifier, (session, from));
        Frame::Registered(Registered {
            session,
            transaction: register.transaction,
            observed: from.into(),
            ttl: 60_000,
            timeout: 30_000,
            maxblob: 65_536,
            ticket: Ticket::NONE,
        })
    }

    fn peer(&self, session: Session, from: SocketAddr) -> Option<PeerId> {
        self.peers.iter().find(|(_, held)| **held == (session, from)).map(|(peer, _)| *peer)
    }

    fn retry(&self, now: Instant) -> u32 {
        if now.since(self.born) < Duration::from_secs(30) { 500 } else { 0 }
    }

    fn relay(&mut self, now: Instant, from: SocketAddr, kind: BlobKind, fragment: &Fragment<'_>) -> Out {
        let &FragmentHead { session, offer, target, digest, length, index, .. } = fragment.head();
        if kind == BlobKind::Offer
            && let Some(source) = self.peer(session, from)
            && self.peers.contains_key(&target)
        {
            self.offers.entry(offer).or_insert((source, target));
        }
        let source = self.peer(session, from);
        self.between(now, from, (session, offer, kind.sent()), |session| {
            let source = source.expect("the sender was found");
            let head = RelayedHead { session, offer, source, observed: from.into(), digest, length, index };
            let relayed = Relayed::new(kind, head, fragment.blob()).unwrap();
            match kind {
                BlobKind::Offer => Frame::RelayedOffer(relayed),
                BlobKind::Answer => Frame::RelayedAnswer(relayed),
                BlobKind::Candidate => Frame::RelayedCandidate(relayed),
            }
            .to_vec()
        })
    }

    fn between(
        &self,
        now: Instant,
        from: SocketAddr,
        (session, offer, kind): (Session, OfferId, Kind),
        relayed: impl FnOnce(Session) -> Vec<u8>,
    ) -> Out {
        let reference = *offer.as_bytes();
        let Some(sender) = self.peer(session, from) else {
            return vec![(from, self.challenge(from, reference).to_vec())];
        };
        let Some(&(caller, callee)) = self.offers.get(&offer) else {
            let code = if kind == Kind::Offer { ErrorCode::PeerUnknown } else { ErrorCode::OfferUnknown };
            return vec![(from, refusal(reference, code, kind, self.retry(now)).to_vec())];
        };
        let other = if sender == caller { callee } else { caller };
        match self.peers.get(&other) {
            Some(&(session, to)) => vec![(to, relayed(session))],
            None => vec![(from, refusal(reference, ErrorCode::PeerUnknown, kind, self.retry(now)).to_vec())],
        }
    }

    fn punch(&self, now: Instant, from: SocketAddr, punch: &wire::Punch) -> Out {
        let order = |session, peer: SocketAddr| {
            let token = Token(*punch.offer.as_bytes());
            Frame::PunchNow(PunchNow { session, offer: punch.offer, peer: peer.into(), token }).to_vec()
        };
        let mut out = self
            .between(now, from, (punch.session, punch.offer, Kind::Punch), |session| order(session, from));
        if let Some(&(to, _)) = out.first()
            && to != from
        {
            out.push((from, order(punch.session, to)));
        }
        out
    }
}

fn refusal(reference: [u8; 16], code: ErrorCode, kind: Kind, retry_after: u32) -> Frame<'static> {
    Frame::Error(Refusal {
        reference: TransactionId(reference),
        code: code.number(),
        kind: kind.number(),
        detail: 0,
        retry_after,
    })
}
