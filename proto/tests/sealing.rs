//! Sealed calls between two client engines, over the server engine and a relay that reads and changes what it likes.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::client::{
    CallError, Client, Config, Counters, DropReason, Event, FailReason, OfferError,
};
use roundtable_proto::identity::{Identity, IdentityError, SecretKey};
use roundtable_proto::seal::{Caller, Entropy, OpenError, PartyError, ReplayError, UnixSeconds};
use roundtable_proto::server::{self, Path, Server};
use roundtable_proto::wire::{
    self, Address, BLOB_MAX, BlobKind, Digest, ErrorCode, FRAGMENT, FragmentHead, Frame, OfferId, PeerId,
    Relayed, RelayedHead,
};
use roundtable_proto::{Instant, Seed};

const SERVER: &str = "192.0.2.1:1066";
const ADDRESSES: [&str; 2] = ["198.51.100.1:40000", "198.51.100.2:40000"];
const ALICE: usize = 0;
const BOB: usize = 1;
const NOW: u64 = 1_750_000_000;
const DAY: u64 = 86_400;
const OFFER: &[u8] = b"v=0\r\no=- 4611 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-ufrag:EsAw\r\n\
    a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=fingerprint:sha-256 D2:FA:0E:C3:22:59:5E:14:95:69:92:3D\r\n\
    a=setup:actpass\r\na=candidate:1 1 udp 2130706431 192.168.1.2 5000 typ host\r\n";
const ANSWER: &[u8] = b"v=0\r\no=- 9931 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-ufrag:kk3B\r\n\
    a=fingerprint:sha-256 77:1B:AA:63:0F:C4:88:0D:11:12:13:FE\r\na=setup:active\r\n";
const CANDIDATE: &[u8] = b"candidate:2 1 udp 1694498815 198.51.100.1 40000 typ srflx";

/// Changes a blob on its way, or keeps it back.
type Tamper = Box<dyn FnMut(BlobKind, &mut RelayedHead, &mut Vec<u8>) -> Passes>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Passes {
    Yes,
    No,
}

/// One fragment as a client sent it.
struct Seen {
    from: usize,
    kind: BlobKind,
    head: FragmentHead,
    blob: Vec<u8>,
}

struct Talk {
    now: Instant,
    server: Server,
    peers: [Client; 2],
    identifiers: [PeerId; 2],
    wire: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// All that went over the wire.
    capture: Vec<u8>,
    seen: Vec<Seen>,
    tamper: Tamper,
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn secret(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32]).unwrap()
}

fn keyed(number: u8) -> Identity {
    secret(number).into()
}

fn plain(number: u8) -> Identity {
    PeerId::plain([number; 16]).unwrap().into()
}

fn other_id(number: u16) -> OfferId {
    let [high, low] = number.to_be_bytes();
    OfferId::from_random([high, low, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9])
}

/// Bytes that do not shrink.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn contains(capture: &[u8], line: &[u8]) -> bool {
    capture.windows(line.len()).any(|window| window == line)
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| line.len() > 4)
}

impl Talk {
    /// Two keyed peers, registered.
    fn keyed() -> Self {
        Self::of([keyed(1), keyed(2)], [NOW, NOW], server::Config::default())
    }

    fn of(identities: [Identity; 2], dates: [u64; 2], config: server::Config) -> Self {
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
            tamper: Box::new(|_, _, _| Passes::Yes),
        };
        for who in [ALICE, BOB] {
            talk.peers[who].register(now);
            talk.run(1);
            assert!(matches!(talk.events(who)[..], [Event::Registered { .. }]));
        }
        talk
    }

    fn tamper(&mut self, tamper: impl FnMut(BlobKind, &mut RelayedHead, &mut Vec<u8>) -> Passes + 'static) {
        self.tamper = Box::new(tamper);
    }

    fn collect(&mut self) {
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
    fn run(&mut self, seconds: u64) {
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

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
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

    fn note(&mut self, from: SocketAddr, datagram: &[u8]) {
        let (kind, fragment) = match wire::decode(datagram) {
            Ok(Frame::Offer(fragment)) => (BlobKind::Offer, fragment),
            Ok(Frame::Answer(fragment)) => (BlobKind::Answer, fragment),
            Ok(Frame::Candidate(fragment)) => (BlobKind::Candidate, fragment),
            _ => return,
        };
        let from = usize::from(from == address(ADDRESSES[BOB]));
        self.seen.push(Seen { from, kind, head: *fragment.head(), blob: fragment.blob().to_vec() });
    }

    fn relay(&mut self, datagram: Vec<u8>) -> Option<Vec<u8>> {
        let (kind, relayed) = match wire::decode(&datagram) {
            Ok(Frame::RelayedOffer(relayed)) => (BlobKind::Offer, relayed),
            Ok(Frame::RelayedAnswer(relayed)) => (BlobKind::Answer, relayed),
            Ok(Frame::RelayedCandidate(relayed)) => (BlobKind::Candidate, relayed),
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
    fn inject(&mut self, to: usize, kind: BlobKind, from: usize, (offer, blob): (OfferId, &[u8])) {
        let own = self.seen.iter().find(|seen| seen.from == to);
        let session = own.expect("that peer has sent a fragment").head.session;
        let (source, observed) = (self.identifiers[from], Address::NONE);
        let head =
            RelayedHead { session, offer, source, observed, digest: Digest::of(blob), length: 0, index: 0 };
        let datagram = frame(kind, head, blob);
        self.peers[to].handle_datagram(self.now, address(SERVER), &datagram);
    }

    fn call(&mut self) -> OfferId {
        self.peers[ALICE].offer(self.now, self.identifiers[BOB], OFFER.to_vec()).unwrap()
    }

    fn events(&mut self, who: usize) -> Vec<Event> {
        std::iter::from_fn(|| self.peers[who].poll_event()).collect()
    }

    fn counters(&self, who: usize) -> &Counters {
        self.peers[who].counters()
    }

    /// The bytes of the blob that a peer sent, if it fits into one fragment.
    fn sent(&self, from: usize, kind: BlobKind, offer: OfferId) -> Vec<u8> {
        let is_it = |seen: &&Seen| seen.from == from && seen.kind == kind && seen.head.offer == offer;
        self.seen.iter().find(is_it).expect("sent").blob.clone()
    }
}

/// Makes the frame of a whole blob: digest and length are made to fit.
fn frame(kind: BlobKind, head: RelayedHead, blob: &[u8]) -> Vec<u8> {
    let head = RelayedHead { digest: Digest::of(blob), length: blob.len() as u32, ..head };
    let relayed = Relayed::new(kind, head, blob).unwrap();
    match kind {
        BlobKind::Offer => Frame::RelayedOffer(relayed),
        BlobKind::Answer => Frame::RelayedAnswer(relayed),
        BlobKind::Candidate => Frame::RelayedCandidate(relayed),
    }
    .to_vec()
}

fn offered(talk: &Talk, offer: OfferId, blob: &[u8]) -> Event {
    let observed = address(ADDRESSES[ALICE]).into();
    Event::Offered { offer, from: talk.identifiers[ALICE], observed, blob: blob.to_vec() }
}

fn answered(talk: &Talk, offer: OfferId, blob: &[u8]) -> Event {
    let observed = address(ADDRESSES[BOB]).into();
    Event::Answered { offer, from: talk.identifiers[BOB], observed, blob: blob.to_vec() }
}

fn failed(offer: OfferId, error: OpenError) -> Event {
    Event::Failed { offer, reason: FailReason::Sealed(error) }
}

/// A whole call, with candidates both ways.
fn whole_call(talk: &mut Talk, offer_blob: &[u8], answer_blob: &[u8]) {
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

/// Calls, with an offer that the relay changes, and returns why the callee refuses it.
fn refusal(change: impl Fn(&mut Vec<u8>) + 'static) -> OpenError {
    let mut talk = Talk::keyed();
    talk.tamper(move |kind, _, blob| {
        if kind == BlobKind::Offer {
            change(blob);
        }
        Passes::Yes
    });
    let offer = talk.call();
    talk.run(10);
    let events = talk.events(BOB);
    let [Event::OfferRefused { from, offer: refused, reason }] = events[..] else { panic!("{events:?}") };
    assert_eq!((from, refused), (talk.identifiers[ALICE], offer));
    assert_eq!(talk.counters(BOB).dropped(DropReason::Sealed), 1, "its repeats are not opened again");
    assert_eq!(talk.peers[BOB].answer(talk.now, offer, ANSWER.to_vec()), Err(CallError::Unknown));
    reason
}

#[test]
fn whole_call_is_sealed_and_exact_and_a_capture_of_it_holds_no_line() {
    let mut talk = Talk::keyed();
    whole_call(&mut talk, OFFER, ANSWER);
    for line in lines(OFFER).chain(lines(ANSWER)).chain(lines(CANDIDATE)) {
        assert!(!contains(&talk.capture, line), "{}", String::from_utf8_lossy(line));
    }
    assert!(talk.seen.iter().all(|seen| seen.blob[0] == 1), "each is of seal version 1");
}

#[test]
fn sealed_blobs_of_many_fragments_are_exact() {
    let (offer, answer) = (noise(BLOB_MAX - 154), noise(40_000));
    whole_call(&mut Talk::keyed(), &offer, &answer);
}

#[test]
fn with_a_plain_peer_nothing_is_sealed() {
    for identities in [[plain(1), plain(2)], [keyed(1), plain(2)], [plain(1), keyed(2)]] {
        let mut talk = Talk::of(identities, [NOW, NOW], server::Config::default());
        whole_call(&mut talk, OFFER, ANSWER);
        for line in lines(OFFER).chain(lines(ANSWER)).chain(lines(CANDIDATE)) {
            assert!(contains(&talk.capture, line), "{}", String::from_utf8_lossy(line));
        }
        let offer = talk.seen[0].head.offer;
        assert_eq!(talk.sent(ALICE, BlobKind::Offer, offer), OFFER);
    }
}

#[test]
fn declining_is_sealed_too() {
    let mut talk = Talk::keyed();
    let offer = talk.call();
    talk.run(1);
    talk.peers[BOB].decline(talk.now, offer).unwrap();
    talk.run(1);
    assert_eq!(talk.events(ALICE), [Event::OfferDelivered { offer }, Event::Declined { offer }]);
    assert_eq!(talk.events(BOB), [offered(&talk, offer, OFFER), Event::AnswerDelivered { offer }]);
    assert_eq!(talk.sent(BOB, BlobKind::Answer, offer).len(), 114);
    assert_eq!(talk.peers[BOB].candidate(talk.now, offer, vec![1]), Err(CallError::Unknown), "it is over");
}

#[test]
fn offer_with_a_flipped_byte_is_refused() {
    assert_eq!(refusal(|blob| blob[0] ^= 1), OpenError::NotSealed);
    assert_eq!(refusal(|blob| blob[0] = 2), OpenError::Version { found: 2 });
    assert_eq!(refusal(|blob| blob[1] ^= 1), OpenError::Undecryptable);
    assert_eq!(refusal(|blob| *blob.last_mut().unwrap() ^= 1), OpenError::Undecryptable);
    // The fingerprint is in the last two thirds.
    assert_eq!(refusal(|blob| *blob.iter_mut().nth_back(150).unwrap() ^= 1), OpenError::Undecryptable);
}

#[test]
fn truncated_offer_is_refused() {
    assert_eq!(refusal(|blob| blob.truncate(153)), OpenError::Truncated { need: 154, had: 153 });
    assert_eq!(refusal(|blob| blob.truncate(blob.len() - 1)), OpenError::Undecryptable);
}

#[test]
fn unsealed_offer_in_place_of_a_sealed_one_is_refused() {
    assert_eq!(refusal(|blob| *blob = OFFER.to_vec()), OpenError::NotSealed);
}

#[test]
fn offer_that_somebody_else_sealed_is_refused() {
    let bob = secret(2).identifier();
    let sealed = move |offer| {
        let mallory = Caller::new(&secret(3), bob, offer, Entropy::new([4; 32])).unwrap();
        mallory.seal_offer(UnixSeconds(NOW), OFFER, Entropy::new([5; 32])).unwrap()
    };
    let mut talk = Talk::keyed();
    talk.tamper(move |kind, head, blob| {
        if kind == BlobKind::Offer {
            *blob = sealed(head.offer);
        }
        Passes::Yes
    });
    let offer = talk.call();
    talk.run(1);
    let (from, reason) = (talk.identifiers[ALICE], OpenError::Undecryptable);
    assert_eq!(talk.events(BOB), [Event::OfferRefused { from, offer, reason }]);
}

#[test]
fn offer_of_yesterday_is_refused() {
    let mut yesterday = Talk::keyed();
    let old = yesterday.call();
    yesterday.run(1);
    let sealed = yesterday.sent(ALICE, BlobKind::Offer, old);
    let mut today = Talk::of([keyed(1), keyed(2)], [NOW + DAY; 2], server::Config::default());
    today.tamper(move |kind, head, blob| {
        if kind == BlobKind::Offer {
            head.offer = old;
            blob.clone_from(&sealed);
        }
        Passes::Yes
    });
    today.call();
    today.run(1);
    let events = today.events(BOB);
    let [Event::OfferRefused { offer, reason: OpenError::Replay(ReplayError::Stale { sent, now }), .. }] =
        events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((offer, sent.0 / 60, now.0 / 60), (old, NOW / 60, (NOW + DAY) / 60));
}

#[test]
fn date_runs_with_the_time_of_the_engine() {
    let mut talk = Talk::of([keyed(1), keyed(2)], [NOW, NOW + 300], server::Config::default());
    talk.run(1000);
    let offer = talk.call();
    talk.run(1);
    assert_eq!(talk.events(BOB), [offered(&talk, offer, OFFER)]);
    let mut talk = Talk::of([keyed(1), keyed(2)], [NOW, NOW + 310], server::Config::default());
    talk.run(1000);
    talk.call();
    talk.run(1);
    assert!(matches!(
        talk.events(BOB)[..],
        [Event::OfferRefused { reason: OpenError::Replay(ReplayError::Stale { .. }), .. }]
    ));
}

/// A host that sleeps stops the clock of its engine, but not its date.
#[test]
fn date_can_be_set_anew() {
    let mut talk = Talk::of([keyed(1), keyed(2)], [NOW, NOW + DAY], server::Config::default());
    let now = talk.now;
    talk.peers[ALICE].set_unix_time(now, NOW + DAY);
    let offer = talk.call();
    talk.run(1);
    assert_eq!(talk.events(BOB), [offered(&talk, offer, OFFER)]);
}

#[test]
fn offer_comes_once_though_the_calls_have_forgotten_it_and_refused_ones_take_no_room() {
    let mut talk = Talk::keyed();
    let offer = talk.call();
    talk.run(1);
    talk.peers[BOB].decline(talk.now, offer).unwrap();
    talk.run(1);
    talk.events(BOB);
    let sealed = talk.sent(ALICE, BlobKind::Offer, offer);
    talk.inject(BOB, BlobKind::Offer, ALICE, (offer, &sealed));
    assert_eq!(talk.events(BOB), [], "a repeat");
    let from = talk.identifiers[ALICE];
    for number in 0..300 {
        talk.inject(BOB, BlobKind::Offer, ALICE, (other_id(number), &sealed));
        let reason = OpenError::Undecryptable;
        assert_eq!(talk.events(BOB), [Event::OfferRefused { from, offer: other_id(number), reason }]);
        talk.run(0);
    }
    talk.inject(BOB, BlobKind::Offer, ALICE, (offer, &sealed));
    let reason = OpenError::Replay(ReplayError::Replayed);
    assert_eq!(talk.events(BOB), [Event::OfferRefused { from, offer, reason }]);
    talk.run(1);
    talk.events(ALICE);
    let next = talk.call();
    talk.run(1);
    assert_eq!(talk.events(BOB), [offered(&talk, next, OFFER)], "nothing is blocked");
}

#[test]
fn offer_reflected_to_its_sender_is_refused() {
    let mut talk = Talk::keyed();
    let offer = talk.call();
    talk.run(1);
    talk.peers[BOB].answer(talk.now, offer, ANSWER.to_vec()).unwrap();
    talk.run(1);
    talk.events(ALICE);
    let sealed = talk.sent(ALICE, BlobKind::Offer, offer);
    let [alice, bob] = talk.identifiers;
    talk.inject(ALICE, BlobKind::Offer, BOB, (offer, &sealed));
    assert_eq!(talk.events(ALICE), []);
    assert_eq!(talk.counters(ALICE).dropped(DropReason::Phase), 1);
    for (from, identifier, reason) in
        [(BOB, bob, OpenError::Undecryptable), (ALICE, alice, OpenError::Party(PartyError::SamePeer))]
    {
        let id = other_id(from as u16);
        talk.inject(ALICE, BlobKind::Offer, from, (id, &sealed));
        assert_eq!(talk.events(ALICE), [Event::OfferRefused { from: identifier, offer: id, reason }]);
    }
}

#[test]
fn answers_of_two_calls_swapped_end_both() {
    let mut talk = Talk::keyed();
    talk.tamper(|kind, _, _| if kind == BlobKind::Answer { Passes::No } else { Passes::Yes });
    let calls = [talk.call(), talk.call()];
    talk.run(1);
    for offer in calls {
        talk.peers[BOB].answer(talk.now, offer, ANSWER.to_vec()).unwrap();
    }
    talk.run(1);
    talk.events(ALICE);
    let answers = calls.map(|offer| talk.sent(BOB, BlobKind::Answer, offer));
    for (offer, other) in [(calls[0], &answers[1]), (calls[1], &answers[0])] {
        talk.inject(ALICE, BlobKind::Answer, BOB, (offer, other));
        assert_eq!(talk.events(ALICE), [failed(offer, OpenError::Undecryptable)]);
    }
    assert_eq!(talk.counters(ALICE).dropped(DropReason::Sealed), 2);
    talk.events(BOB);
    talk.run(60);
    let reason = FailReason::Refused(ErrorCode::OfferUnknown);
    let mut ends = calls.map(|offer| Event::Failed { offer, reason });
    ends.sort_by_key(|event| format!("{event:?}"));
    let mut events = talk.events(BOB);
    events.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(events, ends, "the callee is not told that its answers arrived");
    assert_eq!(talk.events(ALICE), []);
}

#[test]
fn tampered_answer_ends_the_call_by_name() {
    type Change = fn(&mut Vec<u8>);
    let cases: [(Change, OpenError); 4] = [
        (|blob| *blob.last_mut().unwrap() ^= 1, OpenError::Undecryptable),
        (|blob| blob.truncate(113), OpenError::Truncated { need: 114, had: 113 }),
        (|blob| *blob = ANSWER.to_vec(), OpenError::NotSealed),
        (Vec::clear, OpenError::NotSealed),
    ];
    for (change, error) in cases {
        let mut talk = Talk::keyed();
        talk.tamper(move |kind, _, blob| {
            if kind == BlobKind::Answer {
                change(blob);
            }
            Passes::Yes
        });
        let offer = talk.call();
        talk.run(1);
        talk.peers[BOB].answer(talk.now, offer, ANSWER.to_vec()).unwrap();
        talk.run(10);
        assert_eq!(talk.events(ALICE), [Event::OfferDelivered { offer }, failed(offer, error)]);
    }
}

#[test]
fn forged_decline_is_refused() {
    let mut talk = Talk::keyed();
    let offer = talk.call();
    talk.run(1);
    talk.events(ALICE);
    talk.inject(ALICE, BlobKind::Answer, BOB, (offer, &[]));
    assert_eq!(talk.events(ALICE), [failed(offer, OpenError::NotSealed)]);
}

#[test]
fn bad_candidate_is_counted_and_dropped_and_the_true_one_still_comes() {
    let mut talk = Talk::keyed();
    let offer = talk.call();
    talk.run(1);
    talk.peers[BOB].answer(talk.now, offer, ANSWER.to_vec()).unwrap();
    talk.run(1);
    talk.events(BOB);
    let mut left = 2;
    talk.tamper(move |kind, _, blob| {
        if kind == BlobKind::Candidate && left > 0 {
            left -= 1;
            blob[50] ^= 1;
        }
        Passes::Yes
    });
    talk.peers[ALICE].candidate(talk.now, offer, CANDIDATE.to_vec()).unwrap();
    talk.run(5);
    assert_eq!(talk.events(BOB), [Event::Candidate { offer, number: 0, message: CANDIDATE.to_vec() }]);
    assert_eq!(talk.counters(BOB).dropped(DropReason::Sealed), 2);
    let sealed = talk.sent(ALICE, BlobKind::Candidate, offer);
    talk.inject(BOB, BlobKind::Candidate, ALICE, (offer, &sealed));
    assert_eq!(talk.events(BOB), [], "each comes once");
}

#[test]
fn limits_apply_to_what_is_sent() {
    let config = server::Config { max_blob: 2000, ..server::Config::default() };
    let mut talk = Talk::of([keyed(1), keyed(2)], [NOW, NOW], config);
    let (now, bob) = (talk.now, talk.identifiers[BOB]);
    let mut offer = |blob| talk.peers[ALICE].offer(now, bob, blob);
    assert_eq!(offer(noise(1847)), Err(OfferError::SealedTooLarge { limit: 2000, had: 2001 }));
    assert_eq!(
        offer(vec![0; BLOB_MAX + 1]),
        Err(OfferError::TooLarge { limit: BLOB_MAX, had: BLOB_MAX + 1 })
    );
    assert!(offer(noise(1846)).is_ok());
    let long = offer(vec![0; 3000]).expect("what shrinks enough may be sent");
    talk.run(1);
    assert_eq!(talk.events(BOB).len(), 2);
    let now = talk.now;
    let callee = &mut talk.peers[BOB];
    let too_large = CallError::SealedTooLarge { limit: 2000, had: 2001 };
    assert_eq!(callee.answer(now, long, noise(1887)), Err(too_large));
    let too_large = CallError::SealedTooLarge { limit: FRAGMENT, had: FRAGMENT + 1 };
    assert_eq!(callee.candidate(now, long, noise(FRAGMENT - 113)), Err(too_large));
    assert_eq!(callee.candidate(now, long, noise(FRAGMENT - 114)), Ok(()));
    assert_eq!(callee.answer(now, long, noise(1886)), Ok(()));
}

#[test]
fn target_whose_identifier_is_no_key_is_refused_by_name() {
    let mut talk = Talk::keyed();
    let target = PeerId::from_bytes([0xFF; 32]).unwrap();
    let offer = talk.peers[ALICE].offer(talk.now, target, OFFER.to_vec());
    assert_eq!(offer, Err(OfferError::Target(IdentityError::BadKey)));
}
