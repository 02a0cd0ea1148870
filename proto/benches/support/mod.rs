//! What the benchmarks of the engine share: a server full of peers, and what they send.

#![allow(dead_code, clippy::allow_attributes, reason = "each benchmark uses a part of it")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use roundtable_proto::identity::{Binding, SecretKey};
use roundtable_proto::proxy::{Gate, Protocol, spp};
use roundtable_proto::server::{Config, Limits, Outcome, Path, Server, Via};
use roundtable_proto::wire::{
    self, Address, BlobKind, Cookie, Digest, FRAGMENT, Fragment, FragmentHead, Frame, Keepalive, OfferId,
    PeerId, Register, Session, Signature, Ticket, TransactionId, Zeros,
};
use roundtable_proto::{Instant, Seed};

/// Where the clients reach the server.
pub(crate) const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1)), 1066);
/// The transaction of every request.
pub(crate) const ASKED: TransactionId = TransactionId([7; 16]);

/// A server and the sessions of its peers.
pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) now: Instant,
    pub(crate) sessions: Vec<Session>,
    random: u64,
}

impl Rig {
    /// Makes a server with `peers` plain peers, registered in random order.
    pub(crate) fn with_peers(peers: u32) -> Self {
        let config = Config {
            max_peers: peers.max(1024) * 2,
            max_offers: peers.max(1024) * 2,
            signature_checks: 1_000_000,
            // What peers send is accounted for, and is never too much.
            limits: Limits { peer_kib: 16_384, offers_to_peer: 10_000, ..Limits::NONE },
            ..Config::default()
        };
        let now = Instant::from_micros(1_000_000_000);
        let mut server = Server::new(now, config, Seed::from_number(1));
        server.learn_local_address(Via::default(), SERVER);
        let mut rig = Self {
            server,
            now,
            sessions: vec![Session::NONE; peers as usize],
            random: 0x9E37_79B9_7F4A_7C15,
        };
        for number in rig.order(peers) {
            rig.sessions[number as usize] = rig.join(number);
        }
        rig
    }

    /// Returns the numbers below `count` in random order.
    pub(crate) fn order(&mut self, count: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count).collect();
        for place in (1..order.len()).rev() {
            let other = (self.random() % (place as u64 + 1)) as usize;
            order.swap(place, other);
        }
        order
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Hands a datagram to the server and drops what it sends.
    pub(crate) fn hand(&mut self, from: Path, datagram: &[u8]) {
        self.server.handle_datagram(self.now, from, datagram);
        self.server.poll_transmits().for_each(|transmit| {
            std::hint::black_box(transmit);
        });
    }

    /// Plays both round trips of a plain peer.
    fn join(&mut self, number: u32) -> Session {
        let second = self.second_register(number, None);
        self.server.handle_datagram(self.now, path(number), &second);
        match answer(&mut self.server) {
            Some(Frame::Registered(registered)) => registered.session,
            other => unreachable!("no REGISTERED: {other:?}"),
        }
    }

    /// Returns a REGISTER with the cookie that the server gives to peer `number`, signed if there is a key.
    pub(crate) fn second_register(&mut self, number: u32, key: Option<&SecretKey>) -> Vec<u8> {
        let identifier = key.map_or_else(|| identifier(number), SecretKey::identifier);
        self.server.handle_datagram(self.now, path(number), &first_register(identifier));
        let Some(Frame::Challenge(challenge)) = answer(&mut self.server) else {
            unreachable!("no CHALLENGE")
        };
        let (cookie, observed, server) = (challenge.cookie, challenge.observed, Address::from(SERVER));
        let sign = |key: &SecretKey| key.sign_register(&Binding { cookie, observed, server });
        let signature = key.map_or(Signature::NONE, sign);
        register(identifier, cookie, Ticket::NONE, signature)
    }

    /// Registers a keyed peer, and returns a REGISTER that shows its ticket in place of a session and a signature.
    pub(crate) fn ticket_register(&mut self, number: u32, key: &SecretKey) -> Vec<u8> {
        let second = self.second_register(number, Some(key));
        self.server.handle_datagram(self.now, path(number), &second);
        let Some(Frame::Registered(registered)) = answer(&mut self.server) else {
            unreachable!("no REGISTERED")
        };
        let Ok(Frame::Register(signed)) = wire::decode(&second) else { unreachable!("no REGISTER") };
        register(key.identifier(), signed.cookie, registered.ticket, Signature::NONE)
    }

    pub(crate) fn keepalive(&self, number: u32) -> Vec<u8> {
        keepalive(self.sessions[number as usize]).to_vec()
    }

    /// A full fragment from `number` to the peer half-way round.
    pub(crate) fn fragment(&self, number: u32, kind: BlobKind, caller: u32) -> Vec<u8> {
        let peers = self.sessions.len() as u32;
        let mut id = [1; 16];
        id[..4].copy_from_slice(&caller.to_be_bytes());
        let head = FragmentHead {
            session: self.sessions[number as usize],
            offer: OfferId::from_random(id),
            target: identifier((number + peers / 2) % peers),
            digest: Digest::of(b"blob"),
            length: FRAGMENT as u32,
            index: 0,
            zero: Zeros::ZERO,
        };
        let Ok(fragment) = Fragment::new(kind, head, &[b'v'; FRAGMENT]) else {
            unreachable!("a full fragment")
        };
        match kind {
            BlobKind::Offer => Frame::Offer(fragment),
            BlobKind::Answer => Frame::Answer(fragment),
            BlobKind::Candidate => Frame::Candidate(fragment),
        }
        .to_vec()
    }
}

/// A gate before the server, for proxies of which each has one port.
pub(crate) fn gate() -> Gate {
    let trusted = ["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"]
        .map(|one| one.parse().unwrap_or_else(|_| unreachable!("a network")));
    Gate::new(Protocol::Spp, &trusted, Via(1), 16_000_000, &Seed::from_number(3))
}

/// Puts the header of a proxy before a peer's datagram, which then comes from end number `end` of the proxies.
pub(crate) fn headed(from: Path, end: u32, datagram: &[u8]) -> (Path, Vec<u8>) {
    let header = spp::Header { client: from.remote, proxy: SERVER };
    let source = SocketAddr::from(([192, 0, 2, (end / 1000) as u8], (end % 1000 + 1024) as u16));
    (Path::from(source), [&header.to_bytes()[..], datagram].concat())
}

/// Datagrams that one receive brings, at most; what they cause leaves at once.
pub(crate) const BATCH: usize = 32;

/// Hands a received batch to the server through the gate, as the driver does, and drops what is sent. Counts the datagrams
/// that were of use.
pub(crate) fn hand_at_gate(
    gate: &mut Gate,
    server: &mut Server,
    now: Instant,
    batch: &[(Path, Vec<u8>)],
) -> usize {
    let mut used = 0;
    for (from, datagram) in batch {
        let Ok(admitted) = gate.admit(now, *from, datagram) else { continue };
        if let Some(asked) = admitted.opened {
            server.open_way(admitted.path.via, asked);
        }
        let outcome = server.handle_datagram(now, admitted.path, admitted.datagram);
        used += usize::from(!matches!(outcome, Outcome::Dropped(_)));
    }
    server.poll_transmits().for_each(|transmit| gate.push(&transmit));
    gate.poll_transmits().for_each(|transmit| {
        std::hint::black_box(transmit);
    });
    gate.settle(now, |via| server.is_held(via));
    used
}

/// Hands a received batch to the server, as the driver does, and drops what is sent. Counts the datagrams that were of use.
pub(crate) fn hand(server: &mut Server, now: Instant, batch: &[(Path, Vec<u8>)]) -> usize {
    let mut used = 0;
    for (from, datagram) in batch {
        let outcome = server.handle_datagram(now, *from, datagram);
        used += usize::from(!matches!(outcome, Outcome::Dropped(_)));
    }
    server.poll_transmits().for_each(|transmit| {
        std::hint::black_box(transmit);
    });
    used
}

fn answer(server: &mut Server) -> Option<Frame<'_>> {
    server.poll_transmit().and_then(|transmit| wire::decode(transmit.contents).ok())
}

/// Where peer `number` is: 1000 ports of an address.
pub(crate) fn path(number: u32) -> Path {
    let ip = Ipv4Addr::from_bits(0x0A00_0000 + number / 1000);
    // At most 2023.
    Path::from(SocketAddr::from((ip, (number % 1000 + 1024) as u16)))
}

pub(crate) fn identifier(number: u32) -> PeerId {
    let mut uuid = [7; 16];
    uuid[..4].copy_from_slice(&number.to_be_bytes());
    let Some(identifier) = PeerId::plain(uuid) else { unreachable!("it is not nil") };
    identifier
}

pub(crate) fn key(number: u32) -> SecretKey {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    let Ok(key) = SecretKey::from_seed(&seed) else { unreachable!("one seed in 2^128") };
    key
}

pub(crate) fn first_register(identifier: PeerId) -> Vec<u8> {
    register(identifier, Cookie::NONE, Ticket::NONE, Signature::NONE)
}

fn register(identifier: PeerId, cookie: Cookie, ticket: Ticket, signature: Signature) -> Vec<u8> {
    let (session, transaction, server) = (Session::NONE, ASKED, Address::from(SERVER));
    Frame::Register(Register { session, transaction, identifier, cookie, ticket, server, signature }).to_vec()
}

/// A KEEPALIVE with a session that nobody has.
pub(crate) fn stale() -> Vec<u8> {
    keepalive(Session([0xEE; 16])).to_vec()
}

/// A stale KEEPALIVE that is one byte short.
pub(crate) fn malformed() -> Vec<u8> {
    let mut bytes = stale();
    bytes.pop();
    bytes
}

/// Looks like RTP.
pub(crate) fn foreign() -> Vec<u8> {
    let mut bytes = stale();
    bytes[0] = 0x80;
    bytes
}

fn keepalive(session: Session) -> Frame<'static> {
    Frame::Keepalive(Keepalive { session, transaction: ASKED, observed: Address::NONE })
}
