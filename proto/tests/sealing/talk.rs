//! Two client engines, the server engine, and a relay between them that reads and changes what it likes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::client::{Client, Config, Counters, DropReason, Event, FailReason};
use roundtable_proto::identity::{Identity, SecretKey};
use roundtable_proto::seal::OpenError;
use roundtable_proto::server::{self, Path, Server};
use roundtable_proto::wire::{
    self, Address, BlobKind, Digest, FragmentHead, Frame, OfferId, PeerId, Relayed, RelayedHead, Ticket,
};
use roundtable_proto::{Instant, Seed};

pub(crate) const SERVER: &str = "192.0.2.1:1066";
pub(crate) const ADDRESSES: [&str; 2] = ["198.51.100.1:40000", "198.51.100.2:40000"];
pub(crate) const ALICE: usize = 0;
pub(crate) const BOB: usize = 1;
pub(crate) const NOW: u64 = 1_750_000_000;
pub(crate) const DAY: u64 = 86_400;
pub(crate) const OFFER: &[u8] = b"v=0\r\no=- 4611 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-ufrag:EsAw\r\n\
    a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=fingerprint:sha-256 D2:FA:0E:C3:22:59:5E:14:95:69:92:3D\r\n\
    a=setup:actpass\r\na=candidate:1 1 udp 2130706431 192.168.1.2 5000 typ host\r\n";
pub(crate) const ANSWER: &[u8] =
    b"v=0\r\no=- 9931 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-ufrag:kk3B\r\n\
    a=fingerprint:sha-256 77:1B:AA:63:0F:C4:88:0D:11:12:13:FE\r\na=setup:active\r\n";
pub(crate) const CANDIDATE: &[u8] = b"candidate:2 1 udp 1694498815 198.51.100.1 40000 typ srflx";

/// Changes a blob on its way, or keeps it back.
pub(crate) type Tamper = Box<dyn FnMut(BlobKind, &mut RelayedHead, &mut Vec<u8>) -> Passes>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passes {
    Yes,
    No,
}

/// One fragment as a client sent it.
pub(crate) struct Seen {
    pub(crate) from: usize,
    pub(crate) kind: BlobKind,
    pub(crate) head: FragmentHead,
    pub(crate) blob: Vec<u8>,
}

pub(crate) struct Talk {
    pub(crate) now: Instant,
    pub(crate) server: Server,
    pub(crate) peers: [Client; 2],
    pub(crate) identifiers: [PeerId; 2],
    pub(crate) wire: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// All that went over the wire.
    pub(crate) capture: Vec<u8>,
    pub(crate) seen: Vec<Seen>,
    /// Every REGISTER that was sent, and the ticket in every REGISTERED.
    pub(crate) registers: Vec<Vec<u8>>,
    pub(crate) tickets: Vec<Ticket>,
    pub(crate) tamper: Tamper,
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn secret(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32]).unwrap()
}

pub(crate) fn keyed(number: u8) -> Identity {
    secret(number).into()
}

pub(crate) fn plain(number: u8) -> Identity {
    PeerId::plain([number; 16]).unwrap().into()
}

pub(crate) fn other_id(number: u16) -> OfferId {
    let [high, low] = number.to_be_bytes();
    OfferId::from_random([high, low, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9])
}

/// Bytes that do not shrink.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

pub(crate) fn contains(capture: &[u8], line: &[u8]) -> bool {
    capture.windows(line.len()).any(|window| window == line)
}

pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| line.len() > 4)
}

impl Talk {
    /// Two keyed peers, registered.
    pub(crate) fn keyed() -> Self {
        Self::of([keyed(1), keyed(2)], [NOW, NOW], server::Config::default())
    }

    pub(crate) fn of(identities: [Identity; 2], dates: [u64; 2], config: server::Config) -> Self {
        let now = Instant::from_micros(1_000_000);
        let identifiers = [identities[0].identifier(), identities[1].identifier()];
        let [alice, bob] = identities;
        let peer = |identity: Identity, date, seed| {
            Client::new(now, Config::new(address(SERVER), identity, date), Seed::from_number(seed))
        };
        let mut talk = Self {
            now,
            server: Server::new(now, config, Seed::from_number(1)),
            peers: [peer(alice, dates[0], dates[0] + 2), peer(bob, dates[1], dates[1] + 3)],
            identifiers,
            wire: VecDeque::new(),
            capture: Vec::new(),
            seen: Vec::new(),
            registers: Vec::new(),
            tickets: Vec::new(),
            tamper: Box::new(|_, _, _| Passes::Yes),
        };
        for who in [ALICE, BOB] {
            talk.peers[who].register(now);
            talk.run(1);
            assert!(matches!(talk.events(who)[..], [Event::Registered { .. }]));
        }
        talk
    }

    pub(crate) fn tamper(
        &mut self,
        tamper: impl FnMut(BlobKind, &mut RelayedHead, &mut Vec<u8>) -> Passes + 'static,
    ) {
        self.tamper = Box::new(tamper);
    }

    pub(crate) fn collect(&mut self) {
        for (who, peer) in self.peers.iter_mut().enumerate() {
            while let Some(sent) = peer.poll_transmit() {
                self.wire.push_back((address(ADDRESSES[who]), sent.to, sent.contents));
            }
        }
        while let Some(sent) = self.server.poll_transmit() {
            for datagram in sent.datagrams() {
                self.wire.push_back((address(SERVER), sent.path.remote, datagram.to_vec()));
            }
        }
    }

    /// Lets so many seconds pass.
    pub(crate) fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            self.collect();
            if let Some((from, to, datagram)) = self.wire.pop_front() {
                self.now += Duration::from_micros(500);
                self.deliver(from, to, datagram);
                continue;
            }
            let timers = self.peers.iter().map(Client::poll_timeout).chain([self.server.poll_timeout()]);
            let Some(due) = timers.flatten().min().filter(|&due| due <= end) else { break };
            self.now = due.max(self.now);
            self.peers.iter_mut().for_each(|peer| peer.handle_timeout(self.now));
            self.server.handle_timeout(self.now);
        }
        self.now = self.now.max(end);
    }

    pub(crate) fn deliver(&mut self, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        self.capture.extend_from_slice(&datagram);
        if to == address(SERVER) {
            self.note(from, &datagram);
            self.server.handle_datagram(self.now, Path::from(from), &datagram);
            return;
        }
        let who = ADDRESSES.iter().position(|&own| address(own) == to).expect("one of the peers");
        if let Some(datagram) = self.relay(datagram) {
            self.peers[who].handle_datagram(self.now, from, &datagram);
        }
    }

    pub(crate) fn note(&mut self, from: SocketAddr, datagram: &[u8]) {
        let (kind, fragment) = match wire::decode(datagram) {
            Ok(Frame::Offer(fragment)) => (BlobKind::Offer, fragment),
            Ok(Frame::Answer(fragment)) => (BlobKind::Answer, fragment),
            Ok(Frame::Candidate(fragment)) => (BlobKind::Candidate, fragment),
            Ok(Frame::Register(_)) => return self.registers.push(datagram.to_vec()),
            _ => return,
        };
        let from = usize::from(from == address(ADDRESSES[BOB]));
        self.seen.push(Seen { from, kind, head: *fragment.head(), blob: fragment.blob().to_vec() });
    }

    pub(crate) fn relay(&mut self, datagram: Vec<u8>) -> Option<Vec<u8>> {
        let (kind, relayed) = match wire::decode(&datagram) {
            Ok(Frame::RelayedOffer(relayed)) => (BlobKind::Offer, relayed),
            Ok(Frame::RelayedAnswer(relayed)) => (BlobKind::Answer, relayed),
            Ok(Frame::RelayedCandidate(relayed)) => (BlobKind::Candidate, relayed),
            Ok(Frame::Registered(registered)) => {
                self.tickets.push(registered.ticket);
                return Some(datagram);
            }
            _ => return Some(datagram),
        };
        let (mut head, mut blob) = (*relayed.head(), relayed.blob().to_vec());
        let (same_head, same_blob) = (head, blob.clone());
        if (self.tamper)(kind, &mut head, &mut blob) == Passes::No {
            return None;
        }
        if head == same_head && blob == same_blob {
            return Some(datagram);
        }
        Some(frame(kind, head, &blob))
    }

    /// Gives a peer a frame that the server never sent: a whole blob in one fragment.
    pub(crate) fn inject(&mut self, to: usize, kind: BlobKind, from: usize, (offer, blob): (OfferId, &[u8])) {
        let own = self.seen.iter().find(|seen| seen.from == to);
        let session = own.expect("that peer has sent a fragment").head.session;
        let (source, observed) = (self.identifiers[from], Address::NONE);
        let head =
            RelayedHead { session, offer, source, observed, digest: Digest::of(blob), length: 0, index: 0 };
        let datagram = frame(kind, head, blob);
        self.peers[to].handle_datagram(self.now, address(SERVER), &datagram);
    }

    pub(crate) fn call(&mut self) -> OfferId {
        self.peers[ALICE].offer(self.now, self.identifiers[BOB], OFFER.to_vec()).unwrap()
    }

    pub(crate) fn events(&mut self, who: usize) -> Vec<Event> {
        std::iter::from_fn(|| self.peers[who].poll_event()).collect()
    }

    pub(crate) fn counters(&self, who: usize) -> &Counters {
        self.peers[who].counters()
    }

    /// The bytes of the blob that a peer sent, if it fits into one fragment.
    pub(crate) fn sent(&self, from: usize, kind: BlobKind, offer: OfferId) -> Vec<u8> {
        let is_it = |seen: &&Seen| seen.from == from && seen.kind == kind && seen.head.offer == offer;
        self.seen.iter().find(is_it).expect("sent").blob.clone()
    }
}

/// Makes the frame of a whole blob: digest and length are made to fit.
pub(crate) fn frame(kind: BlobKind, head: RelayedHead, blob: &[u8]) -> Vec<u8> {
    let head = RelayedHead { digest: Digest::of(blob), length: blob.len() as u32, ..head };
    let relayed = Relayed::new(kind, head, blob).unwrap();
    match kind {
        BlobKind::Offer => Frame::RelayedOffer(relayed),
        BlobKind::Answer => Frame::RelayedAnswer(relayed),
        BlobKind::Candidate => Frame::RelayedCandidate(relayed),
    }
    .to_vec()
}

pub(crate) fn offered(talk: &Talk, offer: OfferId, blob: &[u8]) -> Event {
    let observed = address(ADDRESSES[ALICE]).into();
    Event::Offered { offer, from: talk.identifiers[ALICE], observed, blob: blob.to_vec() }
}

pub(crate) fn answered(talk: &Talk, offer: OfferId, blob: &[u8]) -> Event {
    let observed = address(ADDRESSES[BOB]).into();
    Event::Answered { offer, from: talk.identifiers[BOB], observed, blob: blob.to_vec() }
}

pub(crate) fn failed(offer: OfferId, error: OpenError) -> Event {
    Event::Failed { offer, reason: FailReason::Sealed(error) }
}

/// A whole call, with candidates both ways.
pub(crate) fn whole_call(talk: &mut Talk, offer_blob: &[u8], answer_blob: &[u8]) {
    let target = talk.identifiers[BOB];
    let offer = talk.peers[ALICE].offer(talk.now, target, offer_blob.to_vec()).unwrap();
    talk.run(1);
    assert_eq!(talk.events(BOB), [offered(talk, offer, offer_blob)]);
    assert_eq!(talk.events(ALICE), [Event::OfferDelivered { offer }]);
    talk.peers[BOB].answer(talk.now, offer, answer_blob.to_vec()).unwrap();
    talk.run(1);
    assert_eq!(talk.events(ALICE), [answered(talk, offer, answer_blob)]);
    assert_eq!(talk.events(BOB), [Event::AnswerDelivered { offer }]);
    for who in [ALICE, BOB] {
        for number in 0..2 {
            let message = [CANDIDATE, &[number]].concat();
            talk.peers[who].candidate(talk.now, offer, message).unwrap();
        }
    }
    talk.run(1);
    let candidates =
        [0, 1].map(|number| Event::Candidate { offer, number, message: [CANDIDATE, &[number]].concat() });
    assert_eq!(talk.events(ALICE), candidates);
    assert_eq!(talk.events(BOB), candidates);
    for who in [ALICE, BOB] {
        assert_eq!(talk.counters(who).dropped(DropReason::Sealed), 0);
    }
}
