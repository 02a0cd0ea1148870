//! Behind a proxy: the vectors, the specification's tables, and an engine behind the gate.

#![expect(clippy::unwrap_used, reason = "a test ends where its data is not as it should be")]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use roundtable_proto::identity::{Binding, SecretKey};
use roundtable_proto::proxy::{Admitted, Gate, Protocol, Refusal, spp, v2};
use roundtable_proto::server::{Config, Limits, PEER_TTL, PEER_TTL_SLACK, Path, Server, Via};
use roundtable_proto::stun;
use roundtable_proto::wire::{
    self, Address, BlobKind, Cookie, Digest, ErrorCode, Fragment, FragmentHead, Frame, OfferId, PeerId,
    Punch, Register, Session, Signature, Ticket, TransactionId, Unregister, Zeros,
};
use roundtable_proto::{Instant, Seed};
use serde_json::Value;

const SPEC: &str = include_str!("../SPEC.md");
const NOW: Instant = Instant::from_micros(1_000_000_000);
const FIRST: Via = Via(100);
/// Where clients reach the proxy, its end towards the server, and another proxy's.
const PROXY: &str = "203.0.113.9:1066";
const END: &str = "192.0.2.9:5000";
const OTHER_END: &str = "192.0.2.10:6000";
const ALICE: &str = "198.51.100.7:40123";
const BOB: &str = "198.51.100.8:50321";
const CAROL: &str = "198.51.100.9:7777";

fn text<'a>(vector: &'a Value, key: &str) -> &'a str {
    vector[key].as_str().unwrap_or_else(|| panic!("{key} is no text in {vector}"))
}

fn bytes(vector: &Value, key: &str) -> Vec<u8> {
    let hex = text(vector, key);
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> Path {
    Path { remote: address(text), via: Via(1) }
}

fn gate(protocol: Protocol) -> Gate {
    Gate::new(protocol, &["192.0.2.0/24".parse().unwrap()], FIRST, 100, &Seed::from_number(1))
}

fn protocol(vector: &Value) -> Protocol {
    match text(vector, "protocol") {
        "spp" => Protocol::Spp,
        "v2" => Protocol::V2,
        other => panic!("{other}"),
    }
}

fn vectors(part: &str) -> Vec<Value> {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/proxy.json")).unwrap();
    vectors[part].as_array().unwrap().clone()
}

#[test]
fn valid_headers_say_what_the_vectors_say() {
    for vector in vectors("valid") {
        let (name, datagram) = (text(&vector, "name"), bytes(&vector, "hex"));
        let mut gate = gate(protocol(&vector));
        let Admitted { path, datagram: payload, opened } = gate.admit(NOW, at(END), &datagram).unwrap();
        assert_eq!(payload, bytes(&vector, "payload"), "{name}");
        if text(&vector, "client") == "none" {
            assert_eq!((path, opened), (at(END), None), "{name}");
            continue;
        }
        let (client, proxy) = (address(text(&vector, "client")), address(text(&vector, "proxy")));
        assert_eq!((path.remote, opened), (client, Some(proxy)), "{name}");
        if protocol(&vector) == Protocol::Spp {
            assert_eq!(spp::Header { client, proxy }.to_bytes(), datagram[..spp::HEADER], "{name}");
        }
        let mut elsewhere = self::gate(protocol(&vector));
        assert_eq!(elsewhere.admit(NOW, at(ALICE), &datagram), Err(Refusal::Untrusted), "{name}");
    }
}

#[test]
fn datagrams_that_must_fail_do_so_by_name() {
    let mut errors = BTreeSet::new();
    for vector in vectors("must_fail") {
        let mut gate = gate(protocol(&vector));
        let refusal = gate.admit(NOW, at(END), &bytes(&vector, "hex")).unwrap_err();
        assert_eq!(refusal.name(), text(&vector, "error"), "{}", text(&vector, "name"));
        assert_eq!((gate.refusals().of(refusal), gate.refusals().total()), (1, 1));
        errors.insert(refusal.name());
    }
    let without: Vec<_> =
        Refusal::ALL.iter().map(|one| one.name()).filter(|one| !errors.contains(one)).collect();
    assert_eq!(
        without,
        ["header_untrusted", "ways_full", "way_gone", "way_disputed"],
        "a refusal has no vector"
    );
}

/// Returns the rows of the first table under a heading.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, after) = SPEC.split_once(&format!("\n{heading}\n")).unwrap();
    let rows =
        after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2).map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn tables_of_the_specification_are_the_code() {
    let names: Vec<_> = table("### Refusals").iter().map(|row| row[0]).collect();
    assert_eq!(names, Refusal::ALL.map(Refusal::name));
    let mut offset = 0;
    for row in table("### Simple Proxy Protocol") {
        assert_eq!(row[0], offset.to_string(), "{row:?}");
        offset += row[1].parse::<usize>().unwrap_or_default();
    }
    assert_eq!(offset, spp::HEADER);
    assert!(table("### Simple Proxy Protocol")[0][3].contains("0x56 0xEC") && spp::MAGIC == [0x56, 0xEC]);
    let signature: Vec<_> = v2::SIGNATURE.iter().map(|byte| format!("{byte:02X}")).collect();
    assert!(table("### PROXY protocol, version 2")[0][3].contains(&signature.join(" ")));
}

/// An engine behind a gate, as the driver has them.
struct Rig {
    gate: Gate,
    server: Server,
    now: Instant,
}

/// What left the socket: where to, and the bytes.
type Sent = Vec<(SocketAddr, Vec<u8>)>;

impl Rig {
    fn new(protocol: Protocol) -> Self {
        let config = Config { limits: Limits::NONE, ..Config::default() };
        let mut server = Server::new(NOW, config, Seed::from_number(2));
        server.learn_local_address(Via(1), address("192.0.2.1:1066"));
        Self { gate: gate(protocol), server, now: NOW }
    }

    /// Hands in what the socket has received.
    fn hand(&mut self, source: &str, datagram: &[u8]) -> Sent {
        if let Ok(admitted) = self.gate.admit(self.now, at(source), datagram) {
            if let Some(asked) = admitted.opened {
                self.server.open_way(admitted.path.via, asked);
            }
            self.server.handle_datagram(self.now, admitted.path, admitted.datagram);
        }
        self.drain()
    }

    fn drain(&mut self) -> Sent {
        self.server.poll_transmits().for_each(|transmit| self.gate.push(&transmit));
        let mut sent = Vec::new();
        for one in self.gate.poll_transmits() {
            sent.extend(one.datagrams().map(|datagram| (one.path.remote, datagram.to_vec())));
        }
        self.gate.settle(self.now, |via| self.server.is_held(via));
        self.server.check_invariants().unwrap();
        sent
    }

    /// Registers through a proxy's end, or directly where there is none, and returns the session.
    fn register(&mut self, client: &str, end: Option<&str>, number: u8) -> Session {
        let mut register = register(number);
        let challenge = self.ask(client, end, &Frame::Register(register));
        let Ok(Frame::Challenge(challenge)) = wire::decode(&challenge) else { panic!("{challenge:?}") };
        assert_eq!(challenge.observed.to_string(), client);
        register.cookie = challenge.cookie;
        let registered = self.ask(client, end, &Frame::Register(register));
        let Ok(Frame::Registered(registered)) = wire::decode(&registered) else { panic!("{registered:?}") };
        assert_eq!(registered.observed.to_string(), client);
        registered.session
    }

    /// Sends one frame and returns the one answer that the client gets.
    fn ask(&mut self, client: &str, end: Option<&str>, frame: &Frame<'_>) -> Vec<u8> {
        let sent = self.say(client, end, &frame.to_vec());
        let [(to, answer)] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!(*to, address(end.unwrap_or(client)));
        unwrapped(answer, client, end)
    }

    fn say(&mut self, client: &str, end: Option<&str>, payload: &[u8]) -> Sent {
        match end {
            Some(end) => self.hand(end, &[&header(client), payload].concat()),
            None => self.hand(client, payload),
        }
    }
}

fn header(client: &str) -> [u8; spp::HEADER] {
    spp::Header { client: address(client), proxy: address(PROXY) }.to_bytes()
}

/// Takes the header off what went to a proxy, which has to be that of this client.
fn unwrapped(datagram: &[u8], client: &str, end: Option<&str>) -> Vec<u8> {
    if end.is_none() {
        return datagram.to_vec();
    }
    assert_eq!(datagram[..spp::HEADER], header(client));
    datagram[spp::HEADER..].to_vec()
}

fn register(number: u8) -> Register {
    Register {
        session: Session::NONE,
        transaction: TransactionId([7; 16]),
        identifier: id(number),
        cookie: Cookie::NONE,
        ticket: Ticket::NONE,
        server: Address::from(address(PROXY)),
        signature: Signature::NONE,
    }
}

fn id(number: u8) -> PeerId {
    PeerId::plain([number; 16]).unwrap()
}

fn call(number: u8) -> OfferId {
    OfferId::from_random([number; 16])
}

fn fragment(kind: BlobKind, session: Session, offer: OfferId, target: u8) -> Vec<u8> {
    let head = FragmentHead {
        session,
        offer,
        target: id(target),
        digest: Digest::of(b"blob"),
        length: 4,
        index: 0,
        zero: Zeros::ZERO,
    };
    let fragment = Fragment::new(kind, head, b"blob").unwrap();
    match kind {
        BlobKind::Offer => Frame::Offer(fragment),
        BlobKind::Answer => Frame::Answer(fragment),
        BlobKind::Candidate => Frame::Candidate(fragment),
    }
    .to_vec()
}

#[test]
fn relays_go_by_the_way_of_their_receiver_between_direct_and_proxied_peers() {
    let mut rig = Rig::new(Protocol::Spp);
    let ways = [(ALICE, Some(END)), (BOB, None), (CAROL, Some(OTHER_END))];
    let sessions: Vec<_> =
        ways.iter().zip(1..).map(|((client, end), number)| rig.register(client, *end, number)).collect();
    for (number, (from, to)) in (1..).zip([(0, 1), (1, 0), (0, 2), (2, 1)]) {
        let ((caller, caller_end), (callee, callee_end)) = (ways[from], ways[to]);
        let offer = fragment(BlobKind::Offer, sessions[from], call(number), to as u8 + 1);
        let sent = rig.say(caller, caller_end, &offer);
        let [(at, relayed)] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!(*at, address(callee_end.unwrap_or(callee)));
        let relayed = unwrapped(relayed, callee, callee_end);
        let Ok(Frame::RelayedOffer(relayed)) = wire::decode(&relayed) else { panic!("{relayed:?}") };
        assert_eq!(relayed.head().observed.to_string(), caller, "the caller's true address");

        let answer = fragment(BlobKind::Answer, sessions[to], call(number), from as u8 + 1);
        assert_eq!(rig.say(callee, callee_end, &answer)[0].0, address(caller_end.unwrap_or(caller)));
        let punch = Frame::Punch(Punch { session: sessions[to], offer: call(number), zero: Zeros::ZERO });
        let sent = rig.say(callee, callee_end, &punch.to_vec());
        assert_eq!(sent.len(), 2);
        for (client, end, other) in [(callee, callee_end, caller), (caller, caller_end, callee)] {
            let (_, told) = sent.iter().find(|(at, _)| *at == address(end.unwrap_or(client))).unwrap();
            let told = unwrapped(told, client, end);
            let Ok(Frame::PunchNow(told)) = wire::decode(&told) else { panic!("{told:?}") };
            assert_eq!(told.peer.to_string(), other);
        }
    }
}

#[test]
fn way_is_held_by_its_peers_until_the_last_has_gone() {
    let mut rig = Rig::new(Protocol::Spp);
    assert!(!rig.server.is_held(FIRST));
    let goodbye = |session| {
        let (transaction, zero) = (TransactionId([8; 16]), Zeros::ZERO);
        Frame::Unregister(Unregister { session, transaction, zero })
    };
    let alice = rig.register(ALICE, Some(END), 1);
    rig.register(BOB, Some(END), 2);
    rig.register(CAROL, Some(OTHER_END), 3);
    let ways = |rig: &Rig| [0, 1].map(|number| rig.server.is_held(Via(FIRST.0 + number)));
    assert_eq!(ways(&rig), [true, true]);
    rig.ask(ALICE, Some(END), &goodbye(alice));
    assert_eq!(ways(&rig), [true, true], "Bob is still there");
    rig.now += PEER_TTL + PEER_TTL_SLACK;
    rig.server.handle_timeout(rig.now);
    assert_eq!((rig.server.peers(), ways(&rig)), (0, [false, false]));
}

#[test]
fn who_only_asks_leaves_nothing_behind() {
    let mut rig = Rig::new(Protocol::Spp);
    for port in 1..2000_u16 {
        let end = format!("192.0.2.9:{port}");
        let answer = rig.ask(ALICE, Some(&end), &Frame::Register(register(1)));
        assert!(matches!(wire::decode(&answer), Ok(Frame::Challenge(_))));
        assert!(!rig.server.is_held(FIRST) && !rig.server.is_held(Via(FIRST.0 + 1)));
    }
}

#[test]
fn stun_through_a_proxy_tells_the_true_address() {
    let mut rig = Rig::new(Protocol::Spp);
    let request = b"\0\x01\0\0\x21\x12\xA4\x42twelve bytes";
    assert!(stun::is_stun(request));
    let sent = rig.say(ALICE, Some(END), request);
    let [(to, answer)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(*to, address(END));
    let answer = unwrapped(answer, ALICE, Some(END));
    // XOR-MAPPED-ADDRESS of 198.51.100.7:40123. RFC 8489, 14.2
    let port = 40123 ^ 0x2112_u16;
    let ip = u32::from_be_bytes([198, 51, 100, 7]) ^ 0x2112_A442;
    assert_eq!(answer[24..], [&[0, 1][..], &port.to_be_bytes(), &ip.to_be_bytes()].concat());
}

#[test]
fn impossible_clients_in_a_header_get_nothing() {
    let mut rig = Rig::new(Protocol::Spp);
    for client in [
        "198.51.100.7:0",
        "0.0.0.0:9",
        "224.0.0.1:9",
        "255.255.255.255:9",
        "127.0.0.1:9",
        "10.0.0.1:9",
        "[::]:9",
        "[ff02::1]:9",
        "[fe80::1]:9",
        PROXY,
        "192.0.2.1:1066",
    ] {
        assert_eq!(rig.say(client, Some(END), &Frame::Register(register(1)).to_vec()), [], "{client}");
    }
    let counters = rig.server.counters();
    assert_eq!(counters.dropped(roundtable_proto::server::DropReason::BadSource), 11);
}

/// A header of version 2.
fn flow(client: &str) -> Vec<u8> {
    flow_to(client, PROXY)
}

/// That of a client who has sent to this address of the proxy.
fn flow_to(client: &str, proxy: &str) -> Vec<u8> {
    let [SocketAddr::V4(client), SocketAddr::V4(proxy)] = [client, proxy].map(address) else { panic!() };
    let ips = [client.ip().octets(), proxy.ip().octets()].concat();
    let ports = [client.port().to_be_bytes(), proxy.port().to_be_bytes()].concat();
    [&v2::SIGNATURE[..], &[0x21, 0x12, 0, 12], &ips, &ports].concat()
}

#[test]
fn client_that_names_another_in_its_flow_gets_no_cookie_for_it() {
    let mut rig = Rig::new(Protocol::V2);
    let ping = Frame::Ping(wire::Ping { transaction: TransactionId([9; 16]), zero: Zeros::ZERO }).to_vec();
    assert_eq!(rig.hand(END, &[&flow(ALICE)[..], &ping].concat()).len(), 1);
    // What Alice sends, the proxy passes on as it is: it looks like a header.
    let register = Frame::Register(register(1)).to_vec();
    for datagram in [&[&flow(CAROL)[..], &register].concat(), &register] {
        assert_eq!(rig.hand(END, datagram), []);
    }
    assert_eq!(rig.gate.refusals().of(Refusal::Disputed), 2);
    assert_eq!(rig.server.counters().challenged, 0);
}

/// A malicious server hands the cookie that it got through the proxy to its own client, and takes the signature there.
#[test]
fn registration_that_was_signed_for_another_server_is_not_taken_whatever_header_its_sender_puts_before_it() {
    const ELSEWHERE: &str = "203.0.113.77:1066";
    let owner = SecretKey::from_seed(&[5; 32]).unwrap();
    let nothing: &[u8] = b"";
    for (signed_for, forged, refused) in [
        (PROXY, nothing, None),
        (PROXY, &flow(ALICE), None),
        (ELSEWHERE, nothing, Some(ErrorCode::WrongServer)),
        (ELSEWHERE, &flow(ALICE), Some(ErrorCode::WrongServer)),
    ] {
        let (rig, answer) = attempt(&owner, signed_for, forged);
        let answer = wire::decode(&answer[0].1).unwrap();
        match (answer, refused) {
            (Frame::Registered(_), None) => assert_eq!(rig.server.peers(), 1),
            (Frame::Error(error), Some(code)) => {
                assert_eq!((error.code, rig.server.peers()), (code.number(), 0));
            }
            (answer, _) => panic!("{answer:?}"),
        }
    }
    for forged in [flow_to(ALICE, ELSEWHERE), flow_to(ALICE, "0.0.0.0:0"), flow_to(CAROL, ELSEWHERE)] {
        let (rig, answer) = attempt(&owner, ELSEWHERE, &forged);
        assert_eq!((answer.len(), rig.server.peers(), rig.gate.refusals().of(Refusal::Disputed)), (0, 0, 1));
    }
}

/// Registers a key from Alice's flow, with a cookie of that flow and a signature for this server, behind what she puts before it.
fn attempt(owner: &SecretKey, signed_for: &str, forged: &[u8]) -> (Rig, Sent) {
    let mut rig = Rig::new(Protocol::V2);
    let server = Address::from(address(signed_for));
    let mut request = Register { identifier: owner.identifier(), server, ..register(1) };
    let first = rig.hand(END, &[&flow(ALICE)[..], &Frame::Register(request).to_vec()].concat());
    let Ok(Frame::Challenge(challenge)) = wire::decode(&first[0].1) else { panic!("{first:?}") };
    let (cookie, observed) = (challenge.cookie, challenge.observed);
    request.cookie = cookie;
    request.signature = owner.sign_register(&Binding { cookie, observed, server });
    let answer = rig.hand(END, &[forged, &Frame::Register(request).to_vec()].concat());
    (rig, answer)
}

#[test]
fn peer_whose_flow_the_proxy_has_given_away_is_told_nothing_until_it_is_heard_again() {
    let mut rig = Rig::new(Protocol::V2);
    let bob = rig.register(BOB, None, 2);
    let mut request = register(1);
    let first = rig.hand(END, &[&flow(ALICE)[..], &Frame::Register(request).to_vec()].concat());
    let Ok(Frame::Challenge(challenge)) = wire::decode(&first[0].1) else { panic!("{first:?}") };
    assert_eq!((first[0].0, challenge.observed.to_string()), (address(END), ALICE.to_owned()));
    request.cookie = challenge.cookie;
    let second = rig.hand(END, &Frame::Register(request).to_vec());
    let Ok(Frame::Registered(alice)) = wire::decode(&second[0].1) else { panic!("{second:?}") };

    let offer = fragment(BlobKind::Offer, bob, call(1), 1);
    assert_eq!(rig.hand(BOB, &offer)[0].0, address(END));
    // The proxy closes Alice's flow, and Carol gets its port.
    let ping = Frame::Ping(wire::Ping { transaction: TransactionId([9; 16]), zero: Zeros::ZERO }).to_vec();
    assert_eq!(rig.hand(END, &[&flow(CAROL)[..], &ping].concat()), []);
    assert_eq!(rig.hand(BOB, &offer), [], "Carol gets nothing of Alice's");
    assert_eq!(rig.gate.refusals().of(Refusal::Gone), 1);

    let keepalive = wire::Keepalive {
        session: alice.session,
        transaction: TransactionId([9; 16]),
        observed: Address::NONE,
    };
    let keepalive = Frame::Keepalive(keepalive).to_vec();
    let heard = rig.hand(OTHER_END, &[&flow(ALICE)[..], &keepalive].concat());
    assert!(matches!(wire::decode(&heard[0].1), Ok(Frame::KeepaliveReply(_))), "{heard:?}");
    assert_eq!(rig.hand(BOB, &offer)[0].0, address(OTHER_END));
}
