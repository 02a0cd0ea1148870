//! The server engine under sequences of datagrams from several addresses, and time: bytes are conserved, the engine's parts
//! agree, every datagram has one outcome, and what it says is a frame.

use std::net::SocketAddr;

use roundtable_proto::identity::Binding;
use roundtable_proto::server::{Config, Limits, Path, Server, Stun};
use roundtable_proto::wire::{
    self, Address, BlobKind, Cookie, Digest, Fragment, FragmentHead, Frame, Kind, Register, Session,
    Signature, Ticket, TransactionId, Zeros,
};
use roundtable_proto::{Instant, Seed, stun};

use super::script::{ADDRESSES, IDENTIFIERS, OFFERS, Script, address, identifier, key, offer};

/// What an address has been given.
#[derive(Clone, Copy)]
struct Granted {
    cookie: Cookie,
    session: Session,
    ticket: Ticket,
    /// Bytes that came from it, less those that went to it on its own account.
    balance: i64,
}

struct Play {
    server: Server,
    now: Instant,
    granted: [Granted; ADDRESSES],
    last: Vec<u8>,
    total: i64,
}

pub(super) fn server(input: &[u8]) {
    let mut script = Script::new(input);
    let mut play = Play::new(&mut script);
    while let Some(step) = script.byte() {
        play.step(step, &mut script);
    }
}

impl Play {
    fn new(script: &mut Script<'_>) -> Self {
        let limits = match script.below(3) {
            0 => Limits::NONE,
            1 => Limits::default(),
            _ => Limits {
                stranger_answers: 2,
                registrations: 1,
                registrations_in_all: 3,
                peer_kib: 1,
                offers_to_peer: 1,
            },
        };
        let config = Config {
            max_peers: 4,
            max_offers: 3,
            max_peer_offers: 2,
            max_blob: 5000,
            // Bytes are conserved then, too.
            stun: Stun::Strict,
            limits,
            ..Config::default()
        };
        let now = Instant::from_micros(1_000_000);
        let nothing =
            Granted { cookie: Cookie::NONE, session: Session::NONE, ticket: Ticket::NONE, balance: 0 };
        Self {
            server: Server::new(now, config, Seed::from_number(7)),
            now,
            granted: [nothing; ADDRESSES],
            last: Vec::new(),
            total: 0,
        }
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        if step.is_multiple_of(8) {
            return self.pass(script);
        }
        let from = script.below(ADDRESSES);
        let datagram = match step % 8 {
            1 => script.bytes(1300).to_vec(),
            2 | 3 => self.register(from, script),
            4 => self.fragment(from, script),
            5 => std::mem::take(&mut self.last),
            _ => self.spoken(from, script),
        };
        let mut datagram = datagram;
        if step & 0x80 != 0 {
            script.patch(&mut datagram);
        }
        self.hand_in(from, &datagram);
        self.last = datagram;
    }

    fn pass(&mut self, script: &mut Script<'_>) {
        self.now += script.time();
        while self.server.poll_timeout().is_some_and(|at| at <= self.now) {
            self.server.handle_timeout(self.now);
            self.take_out(None);
        }
    }

    /// Somebody's session: mostly that of the address itself.
    fn session(&self, from: usize, script: &mut Script<'_>) -> Session {
        let whose = script.below(4 * ADDRESSES);
        self.granted[if whose < ADDRESSES { whose } else { from }].session
    }

    fn register(&self, from: usize, script: &mut Script<'_>) -> Vec<u8> {
        let who = script.below(IDENTIFIERS);
        let whose = script.below(2 * ADDRESSES);
        let granted = self.granted[if whose < ADDRESSES { whose } else { from }];
        let server = Address::from(SocketAddr::from(([192, 0, 2, 1], 1066)));
        let observed = Address::from(address(from));
        let signature = key(who).filter(|_| script.is_odd()).map_or(Signature::NONE, |key| {
            key.sign_register(&Binding { cookie: granted.cookie, observed, server })
        });
        let session = if script.is_odd() { granted.session } else { Session::NONE };
        let ticket = if script.is_odd() { granted.ticket } else { Ticket::NONE };
        let register = Register {
            session,
            transaction: TransactionId([5; 16]),
            identifier: identifier(who),
            cookie: granted.cookie,
            ticket,
            server,
            signature,
        };
        Frame::Register(register).to_vec()
    }

    fn fragment(&self, from: usize, script: &mut Script<'_>) -> Vec<u8> {
        let kind = [BlobKind::Offer, BlobKind::Answer, BlobKind::Candidate][script.below(3)];
        let (session, call) = (self.session(from, script), offer(script.below(OFFERS)));
        let target = identifier(script.below(IDENTIFIERS));
        let length = [1, 1024, 1025, 4999, 5001, 65_536][script.below(6)];
        let (index, size) = match kind {
            BlobKind::Offer | BlobKind::Answer => {
                let index = script.below(wire::fragment_count(length)) as u8;
                (index, wire::fragment_range(length, index).len())
            }
            BlobKind::Candidate => (script.below(64) as u8, length.min(1024)),
        };
        let length = if kind == BlobKind::Candidate { size } else { length };
        let (blob, digest) = (vec![7; size], Digest::from_bytes([3; 8]));
        let head = FragmentHead {
            session,
            offer: call,
            target,
            digest,
            length: length as u32,
            index,
            zero: Zeros::ZERO,
        };
        Fragment::new(kind, head, &blob).map_or_else(
            |_| Vec::new(),
            |fragment| match kind {
                BlobKind::Offer => Frame::Offer(fragment).to_vec(),
                BlobKind::Answer => Frame::Answer(fragment).to_vec(),
                BlobKind::Candidate => Frame::Candidate(fragment).to_vec(),
            },
        )
    }

    /// Any other kind, with a session and an offer where most kinds have them.
    fn spoken(&self, from: usize, script: &mut Script<'_>) -> Vec<u8> {
        let kind = Kind::ALL[script.below(Kind::ALL.len())];
        let mut datagram = script.blank(kind);
        let (session, call) = (self.session(from, script), offer(script.below(OFFERS)));
        for (at, bytes) in [(4, session.0), (20, *call.as_bytes())] {
            if let Some(place) = datagram.get_mut(at..at + 16) {
                place.copy_from_slice(&bytes);
            }
        }
        datagram
    }

    fn hand_in(&mut self, from: usize, datagram: &[u8]) {
        self.granted[from].balance += datagram.len() as i64;
        self.total += datagram.len() as i64;
        self.server.handle_datagram(self.now, Path::from(address(from)), datagram);
        self.take_out(Some(from));
    }

    /// Takes what the server sends; what goes back to `from` is on its account.
    fn take_out(&mut self, from: Option<usize>) {
        while let Some(transmit) = self.server.poll_transmit() {
            let to = (0..ADDRESSES).find(|number| address(*number) == transmit.path.remote);
            let to = to.expect("somebody gets a datagram who has never sent one");
            for datagram in transmit.datagrams() {
                self.total -= datagram.len() as i64;
                if from.is_none_or(|from| from == to) {
                    self.granted[to].balance -= datagram.len() as i64;
                }
                self.granted[to].learn(datagram);
            }
        }
        assert!(self.total >= 0, "more bytes were sent than received");
        assert!(self.granted.iter().all(|granted| granted.balance >= 0), "an address got more than it gave");
        let counters = self.server.counters();
        assert_eq!(counters.outcomes(), counters.datagrams_in, "a datagram has no outcome, or two");
        assert_eq!(self.server.check_invariants(), Ok(()));
    }
}

impl Granted {
    fn learn(&mut self, datagram: &[u8]) {
        // An answer to STUN is no frame, and grants nothing.
        if stun::is_stun(datagram) {
            return;
        }
        match wire::decode(datagram) {
            Ok(Frame::Challenge(challenge)) => self.cookie = challenge.cookie,
            Ok(Frame::Registered(registered)) => {
                (self.session, self.ticket) = (registered.session, registered.ticket);
            }
            Ok(_) => {}
            Err(error) => panic!("the server sends what is no frame: {error}"),
        }
    }
}
