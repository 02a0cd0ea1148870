//! SPEC 12: how much anybody may ask. An honest load passes, an attack is bounded, and everything is counted.

use std::net::SocketAddr;

use roundtable_proto::server::{Config, DropReason, Event, Limits, Outcome, Path, Pressure, Via};
use roundtable_proto::wire::{
    self, BlobKind, Challenge, Cookie, ErrorCode, Frame, Kind, OfferId, PeerId, Refusal, Session,
};

use crate::rig::*;

fn limited() -> Rig {
    with(Limits::default())
}

fn with(limits: Limits) -> Rig {
    Rig::with(Config { limits, max_peers: 8000, max_offers: 8000, events: true, ..small() })
}

/// A port of one address.
fn port(port: u16) -> SocketAddr {
    SocketAddr::new(ALICE.ip(), port)
}

/// An address of its own.
fn host(number: u32) -> SocketAddr {
    SocketAddr::from(((0x5000_0000 + number).to_be_bytes(), 4000))
}

fn numbered(number: u32) -> PeerId {
    let mut uuid = [0xAB; 16];
    uuid[..4].copy_from_slice(&number.to_be_bytes());
    PeerId::plain(uuid).unwrap()
}

fn numbered_call(number: u32) -> OfferId {
    let mut bytes = [0xCD; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    OfferId::from_random(bytes)
}

fn cookie(rig: &mut Rig, from: SocketAddr) -> Cookie {
    rig.cookie(from)
}

/// Counts the outcomes that are `expected`.
fn count(outcomes: impl IntoIterator<Item = Outcome>, expected: Outcome) -> usize {
    outcomes.into_iter().filter(|outcome| *outcome == expected).count()
}

fn outcome(rig: &mut Rig, from: SocketAddr, frame: &Frame<'_>) -> Outcome {
    rig.frame(from, frame);
    rig.outcome
}

/// The wait, in milliseconds, that the only datagram asks for, which must be RATE_LIMITED.
fn retry_after(sent: &[Sent]) -> u32 {
    let [Sent { datagram, .. }] = sent else { panic!("{sent:?}") };
    match wire::decode(datagram) {
        Ok(Frame::Error(Refusal { code: 15, retry_after, .. })) => retry_after,
        other => panic!("{other:?}"),
    }
}

const LIMITED: Outcome = Outcome::Refused(ErrorCode::RateLimited);
const SILENT: Outcome = Outcome::Dropped(DropReason::StrangerLimited);

#[test]
fn port_of_a_stranger_gets_one_train_of_answers_and_then_eight_a_second() {
    let mut rig = limited();
    let frames = [ping(), keepalive(STRANGE), register(Session::NONE, id(1), Cookie::NONE)];
    let mut silent = 0;
    let all: Vec<_> = (0..300).map(|number| outcome(&mut rig, ALICE, &frames[number % 3])).collect();
    silent += count(all.clone(), SILENT);
    assert_eq!((silent, all.iter().position(|outcome| *outcome == SILENT)), (300 - 64, Some(64)));
    for _ in 0..5 {
        rig.pass(secs(1));
        let missed = count((0..50).map(|_| outcome(&mut rig, ALICE, &keepalive(STRANGE))), SILENT);
        assert_eq!(missed, 50 - 8);
        silent += missed;
    }
    assert_eq!(rig.server.counters().dropped(DropReason::StrangerLimited), silent as u64);
    assert_eq!(rig.server.counters().outcomes(), 300 + 250);
}

#[test]
fn version_errors_count_as_answers_to_strangers() {
    let mut rig = limited();
    let mut other = ping().to_vec();
    other[2] = 2;
    let told = (0..100).filter(|_| !rig.bytes(ALICE, &other).is_empty()).count();
    assert_eq!((told, rig.outcome), (64, SILENT));
}

#[test]
fn address_with_many_ports_is_bounded_and_others_do_not_notice() {
    let mut rig = limited();
    let ports = |rig: &mut Rig| count((1000..4000).map(|n| outcome(rig, port(n), &ping())), SILENT);
    assert_eq!(ports(&mut rig), 2000);
    assert_eq!(outcome(&mut rig, BOB, &ping()), Outcome::Answered(Kind::Pong));
    rig.pass(secs(1));
    assert_eq!(ports(&mut rig), 2500);
}

#[test]
fn many_sources_that_each_ask_little_are_all_answered() {
    let mut rig = limited();
    let silent = count((0..40_000).map(|n| outcome(&mut rig, host(n), &keepalive(STRANGE))), SILENT);
    assert_eq!(silent, 0);
    assert_eq!((rig.server.peers(), rig.server.poll_timeout()), (0, None));
}

#[test]
fn port_registers_sixteen_identifiers_and_then_one_a_second_and_its_neighbour_does_not_notice() {
    let mut rig = limited();
    let proof = cookie(&mut rig, ALICE);
    let mut who = 0;
    let mut tries = |rig: &mut Rig| {
        count(
            (0..50).map(|_| {
                who += 1;
                outcome(rig, ALICE, &register(Session::NONE, numbered(who), proof))
            }),
            LIMITED,
        )
    };
    assert_eq!(tries(&mut rig), 50 - 16);
    rig.pass(secs(1));
    assert_eq!(tries(&mut rig), 49);
    assert_eq!(rig.server.peers(), 17);
    assert_eq!(rig.server.counters().refused(ErrorCode::RateLimited), 34 + 49);
    rig.join(port(5), id(1));
    let sent = rig.frame(ALICE, &register(Session::NONE, id(2), proof));
    assert!((500..4000).contains(&retry_after(&sent)));
}

#[test]
fn registrations_from_one_address_are_bounded_and_others_do_not_notice() {
    let limits = Limits { stranger_answers: 0, ..Limits::default() };
    let mut rig = with(limits);
    let mut refused = 0;
    for number in 0..3000 {
        let from = port(1000 + number);
        let proof = cookie(&mut rig, from);
        let frame = register(Session::NONE, numbered(number.into()), proof);
        refused += usize::from(outcome(&mut rig, from, &frame) == LIMITED);
        // In all, 2000 may come at once.
        rig.pass(millis(1));
    }
    // Ten seconds' worth, and what was earned in three.
    assert!((3000 - 2000 - 600..=3000 - 2000 - 598).contains(&refused), "{refused}");
    rig.join(BOB, id(1));
}

#[test]
fn rush_is_let_in_one_by_one_as_each_was_told() {
    let mut rig = with(Limits { registrations_in_all: 50, ..Limits::default() });
    let start = rig.now;
    let mut waiting: Vec<(u64, u32)> = (0..400).map(|number| (0, number)).collect();
    let mut tries = 0;
    while !waiting.is_empty() {
        waiting.sort_unstable();
        let (at, number) = waiting.remove(0);
        let passed = rig.now.since(start);
        rig.pass(millis(at).saturating_sub(passed));
        let proof = cookie(&mut rig, host(number));
        let sent = rig.frame(host(number), &register(Session::NONE, numbered(number), proof));
        tries += 1;
        if rig.outcome == LIMITED {
            waiting.push((rig.now.since(start).as_millis() as u64 + u64::from(retry_after(&sent)), number));
        }
    }
    let took = rig.now.since(start);
    assert!(took < secs(16), "400 at 50 a second took {took:?}");
    assert!(tries < 400 * 4, "{tries} tries");
}

#[test]
fn whole_call_of_64_kib_with_retransmissions_passes_at_once() {
    let mut rig = limited();
    let (alice, bob) = rig.couple();
    let blob = vec![7; 65_536];
    for _ in 0..3 {
        for index in 0..64 {
            let frame = fragment(BlobKind::Offer, alice, call(1), id(2), &blob, index);
            assert_eq!(outcome(&mut rig, ALICE, &frame), Outcome::Relayed(Kind::Offer));
            assert_eq!(outcome(&mut rig, BOB, &ack(bob, call(1))), Outcome::Relayed(Kind::Ack));
        }
        for index in 0..64 {
            let frame = fragment(BlobKind::Answer, bob, call(1), id(1), &blob, index);
            assert_eq!(outcome(&mut rig, BOB, &frame), Outcome::Relayed(Kind::Answer));
            assert_eq!(outcome(&mut rig, ALICE, &ack(alice, call(1))), Outcome::Relayed(Kind::Ack));
        }
    }
}

#[test]
fn peer_that_floods_is_told_to_wait_stays_registered_and_hurts_nobody_else() {
    let mut rig = limited();
    let (alice, bob) = rig.couple();
    rig.pass(secs(1));
    let flood = |rig: &mut Rig| {
        count(
            (0..12_000).map(|_| outcome(rig, ALICE, &keepalive(alice))),
            Outcome::Answered(Kind::KeepaliveReply),
        )
    };
    let (at_once, each) = (1 << 20, 55 + 128);
    let first = flood(&mut rig);
    assert!((at_once / each - 50..=at_once / each).contains(&first), "{first}");
    assert_eq!(rig.server.counters().refused(ErrorCode::RateLimited), 12_000 - first as u64);
    let wait = retry_after(&rig.frame(ALICE, &keepalive(alice)));
    assert!((500..2600).contains(&wait), "{wait}");
    let malformed = [&keepalive(alice).to_vec()[..], &[0]].concat();
    assert_eq!(rig.bytes(ALICE, &malformed).len(), 1);
    assert_eq!(rig.outcome, LIMITED);
    assert!(rig.is_live(BOB, bob));
    // What it goes on sending keeps it registered; Bob falls silent.
    for _ in 0..70 {
        rig.pass(secs(1));
        let more = flood(&mut rig);
        assert!((262_144 / each - 25..=262_144 / each).contains(&more), "{more}");
    }
    rig.frame(ALICE, &unregister(alice));
    assert_eq!((rig.outcome, rig.server.peers()), (Outcome::Answered(Kind::Unregistered), 0));
}

#[test]
fn callee_is_offered_so_much_whoever_sends_it_and_open_calls_go_on() {
    let mut rig = limited();
    let bob = rig.join(BOB, id(2));
    let dora = rig.join(CAFE, id(4));
    let callers: Vec<_> = (0..30).map(|n| (host(n), rig.join(host(n), numbered(n)))).collect();
    let spam = |rig: &mut Rig, round: u32, to: PeerId| {
        let mut opened = 0;
        for (number, (from, session)) in (0..).zip(&callers) {
            for each in 0..4 {
                let id = numbered_call(round * 1000 + number * 4 + each);
                let outcome = outcome(rig, *from, &offer(*session, id, to));
                opened += usize::from(outcome == Outcome::Relayed(Kind::Offer));
                assert!([Outcome::Relayed(Kind::Offer), LIMITED].contains(&outcome), "{outcome:?}");
            }
        }
        opened
    };
    assert_eq!(spam(&mut rig, 1, id(2)), 63, "64, less the bytes of the offers");
    // Nobody else is concerned, and what is open goes on: repeats, answers, candidates.
    assert_eq!(spam(&mut rig, 2, id(4)), 63);
    assert!(rig.is_live(BOB, bob) && rig.is_live(CAFE, dora));
    let (from, session) = callers[0];
    let blob = vec![7; 65_536];
    let whole: Vec<_> = (0..64)
        .map(|index| fragment(BlobKind::Offer, session, numbered_call(1000), id(2), &blob, index))
        .collect();
    assert_eq!(count(whole.iter().map(|frame| outcome(&mut rig, from, frame)), LIMITED), 0);
    assert_eq!(
        outcome(&mut rig, BOB, &answer(bob, numbered_call(1000), numbered(0))),
        Outcome::Relayed(Kind::Answer)
    );
    rig.pass(secs(2));
    assert!((18..=20).contains(&spam(&mut rig, 3, id(2))));
    let refused = rig.frame(callers[9].0, &offer(callers[9].1, numbered_call(9999), id(2)));
    assert!((500..4600).contains(&retry_after(&refused)));
}

#[test]
fn zero_switches_every_rate_off() {
    let mut rig = with(Limits::NONE);
    let proof = cookie(&mut rig, ALICE);
    for number in 0..2500 {
        assert_eq!(outcome(&mut rig, ALICE, &ping()), Outcome::Answered(Kind::Pong));
        let frame = register(Session::NONE, numbered(number), proof);
        assert_eq!(outcome(&mut rig, ALICE, &frame), Outcome::Answered(Kind::Registered));
    }
}

#[test]
fn under_pressure_peers_come_first_then_registrations_then_some_strangers() {
    let mut rig = with(Limits { registrations_in_all: 1000, ..Limits::default() });
    let alice = rig.join(ALICE, id(1));
    let proofs: Vec<_> = (0..60).map(|n| cookie(&mut rig, host(n))).collect();
    let mut answered = Vec::new();
    for round in 0..40u32 {
        rig.server.set_pressure(rig.now, Pressure::Saturated);
        let from = |n| host(1_000_000 + round * 1000 + n);
        let shed = Outcome::Dropped(DropReason::Overload);
        answered.push(1000 - count((0..1000).map(|n| outcome(&mut rig, from(n), &keepalive(STRANGE))), shed));
        assert!(rig.is_live(ALICE, alice));
        if let Some(proof) = proofs.get(round as usize) {
            let frame = register(Session::NONE, numbered(round), *proof);
            assert_eq!(outcome(&mut rig, host(round), &frame), Outcome::Answered(Kind::Registered));
        }
        rig.pass(millis(100));
    }
    // Half as many strangers as registrations in all: 500 a second, a tenth of a second's worth at once.
    assert_eq!(answered, [50; 40]);
    assert_eq!(rig.server.counters().dropped(DropReason::Overload), 40 * 950);
    // It lasts a second longer than its cause, and the episode is told once.
    rig.pass(millis(1000));
    assert_eq!(outcome(&mut rig, BOB, &ping()), Outcome::Answered(Kind::Pong));
    rig.server.set_pressure(rig.now, Pressure::Calm);
    rig.pass(secs(32));
    rig.server.set_pressure(rig.now, Pressure::Calm);
    let told: Vec<_> = rig
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::Flooded { .. } | Event::Relieved { .. }))
        .collect();
    let [Event::Flooded { per_second, prefixes }, Event::Relieved { lasted, shed }] = told[..] else {
        panic!("{told:?}")
    };
    assert!((9000..11_000).contains(&per_second) && (8000..14_000).contains(&prefixes), "{told:?}");
    assert_eq!((lasted, shed), (millis(3900), 40 * 950));
}

#[test]
fn peer_beyond_its_limit_is_not_told_under_pressure() {
    let mut rig = limited();
    let alice = rig.join(ALICE, id(1));
    while outcome(&mut rig, ALICE, &keepalive(alice)) != LIMITED {}
    rig.server.set_pressure(rig.now, Pressure::Saturated);
    assert_eq!(outcome(&mut rig, ALICE, &keepalive(alice)), Outcome::Dropped(DropReason::Overload));
    assert_eq!(rig.server.peers(), 1);
}

#[test]
fn episode_is_told_whatever_the_configuration_says() {
    let mut rig = Rig::new();
    for _ in 0..30 {
        rig.server.set_pressure(rig.now, Pressure::Saturated);
        rig.pass(millis(50));
    }
    assert_eq!(rig.events(), [Event::Flooded { per_second: 0, prefixes: 0 }]);
}

#[test]
fn sources_that_can_be_nobodys_get_nothing() {
    let me: SocketAddr = "203.0.113.1:1066".parse().unwrap();
    let public: SocketAddr = "203.0.113.2:1066".parse().unwrap();
    let mut rig = Rig::with(Config { public_addresses: vec![public], ..small() });
    rig.server.learn_local_address(Via(1), me);
    rig.server.learn_local_address(Via(2), "127.0.0.1:1066".parse().unwrap());
    let mut dropped = 0;
    for (source, via, refused) in [
        ("198.51.100.7:0", 1, true),
        ("0.0.0.0:7", 1, true),
        ("255.255.255.255:7", 2, true),
        ("239.1.2.3:7", 1, true),
        ("[ff02::1]:7", 1, true),
        ("[::]:7", 1, true),
        ("203.0.113.1:1066", 1, true),
        ("203.0.113.2:1066", 1, true),
        ("[::ffff:203.0.113.1]:1066", 1, true),
        ("127.0.0.1:7", 1, true),
        ("10.0.0.1:7", 1, true),
        ("[fe80::1]:7", 1, true),
        ("127.0.0.1:7", 2, false),
        ("203.0.113.1:7", 1, false),
        ("198.51.100.7:7", 1, false),
    ] {
        let path = Path { remote: source.parse().unwrap(), via: Via(via) };
        let mut other = ping().to_vec();
        other[2] = 9;
        for datagram in [
            ping().to_vec(),
            register(Session::NONE, id(1), Cookie::NONE).to_vec(),
            keepalive(STRANGE).to_vec(),
            other,
        ] {
            let sent = rig.bytes(path, &datagram);
            assert_eq!(sent.is_empty(), refused, "{source}");
            dropped += u64::from(refused);
        }
    }
    assert_eq!(rig.server.counters().dropped(DropReason::BadSource), dropped);
}

#[test]
fn identifier_of_all_zeros_is_no_identifier() {
    let mut rig = Rig::new();
    let proof = cookie(&mut rig, ALICE);
    let mut datagram = register(Session::NONE, id(1), proof).to_vec();
    datagram[36..68].fill(0);
    assert_eq!(rig.bytes(ALICE, &datagram), []);
    assert_eq!(rig.outcome, Outcome::Dropped(DropReason::Malformed));
}

#[test]
fn cookies_of_limited_sources_stay_good() {
    let mut rig = limited();
    let sent = rig.frame(ALICE, &keepalive(STRANGE));
    let Ok(Frame::Challenge(Challenge { cookie, .. })) = wire::decode(&sent[0].datagram) else {
        panic!("{sent:?}")
    };
    while outcome(&mut rig, ALICE, &ping()) != SILENT {}
    let frame = register(Session::NONE, id(1), cookie);
    assert_eq!(outcome(&mut rig, ALICE, &frame), Outcome::Answered(Kind::Registered));
}
