//! What is counted and told to the operator.

use std::net::SocketAddr;

use roundtable_proto::server::{Config, DropReason, Event, Limits, Outcome, Pressure};
use roundtable_proto::wire::{Address, BlobKind, ErrorCode, Frame, Kind, Register, Session};

use crate::rig::*;

#[test]
fn every_refusal_that_this_server_can_give_is_counted_under_its_code() {
    let config = Config { max_peers: 3, max_offers: 2, max_peer_offers: 1, max_blob: 10, ..small() };
    let mut rig = Rig::with(config);
    let (alice, bob) = rig.ringing();
    let carol = rig.join(CAROL, id(3));
    let mut trailing = keepalive(alice).to_vec();
    trailing.push(0);
    rig.bytes(ALICE, &trailing);
    trailing[3] = 0x3F;
    rig.bytes(ALICE, &trailing);
    trailing[2] = 2;
    rig.bytes(ALICE, &trailing);
    for identifier in [id(1), keyed(1), id(4)] {
        let cookie = rig.cookie(CAFE);
        rig.frame(CAFE, &register(Session::NONE, identifier, cookie));
    }
    let cookie = rig.cookie(CAFE);
    let Frame::Register(nowhere) = register(Session::NONE, keyed(1), cookie) else { unreachable!() };
    rig.frame(CAFE, &Frame::Register(Register { server: Address::NONE, ..nowhere }));
    rig.frame(ALICE, &offer(alice, call(2), id(9)));
    rig.frame(ALICE, &ack(alice, call(9)));
    rig.frame(CAROL, &offer(carol, call(1), id(1)));
    rig.frame(CAROL, &ack(carol, call(1)));
    rig.frame(ALICE, &offer(alice, call(2), id(2)));
    rig.frame(BOB, &fragment(BlobKind::Answer, bob, call(1), id(1), &[0; 11], 0));
    rig.frame(BOB, &offer(bob, call(4), id(2)));
    let counters = rig.server.counters();
    for code in ErrorCode::ALL {
        // Plain identifiers are taken here, no signature is too many; a TIMEOUT answers no datagram.
        let expected = match code {
            ErrorCode::IdentifierRefused | ErrorCode::RateLimited | ErrorCode::Timeout => 0,
            _ => 1,
        };
        assert_eq!(counters.refused(*code), expected, "{code}");
    }
}

#[test]
fn every_drop_is_counted_under_its_reason() {
    let mut rig = Rig::with(Config { limits: Limits::default(), ..small() });
    let bad_version = [b'R', b'T', 9, 1];
    let unknown = [&[b'R', b'T', 1, 0x3F][..], &[1; 60]].concat();
    let malformed = [&keepalive(STRANGE).to_vec()[..], &[1]].concat();
    let not_for_server = [b'R', b'T', 1, 0x81];
    let stun_indication = [&[0, 0x11, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[1; 12]].concat();
    for datagram in [&b"hello"[..], &bad_version, &unknown, &malformed, &not_for_server, &stun_indication] {
        assert_eq!(rig.bytes(ALICE, datagram), []);
    }
    let ping = ping().to_vec();
    let hosts = || (0x0A09_0000u32..).take(30_000).map(|host| SocketAddr::from((host.to_be_bytes(), 9)));
    let once = |rig: &mut Rig, reason, drains| {
        assert!(hosts().any(|from| {
            let outcome = rig.server.handle_datagram(rig.now, from.into(), &ping);
            if drains {
                rig.drain();
            }
            outcome == Outcome::Dropped(reason)
        }));
        rig.drain();
        rig.now += secs(100);
    };
    once(&mut rig, DropReason::OutboxFull, false);
    rig.server.set_pressure(rig.now, Pressure::Saturated);
    once(&mut rig, DropReason::Overload, true);
    assert_eq!(rig.bytes(SocketAddr::new(ALICE.ip(), 0), &ping), []);
    let limited = Outcome::Dropped(DropReason::StrangerLimited);
    assert!((0..100).any(|_| rig.bytes(ALICE, &ping).is_empty()));
    assert_eq!(rig.outcome, limited);
    for reason in DropReason::ALL {
        assert_eq!(rig.server.counters().dropped(*reason), 1, "{}", reason.name());
    }
}

#[test]
fn frames_and_bytes_are_counted_by_kind_and_direction() {
    let mut rig = Rig::new();
    let (alice, _) = rig.answered();
    rig.frame(ALICE, &punch(alice, call(1)));
    let counters = rig.server.counters();
    let received = [(Kind::Register, 4), (Kind::Offer, 1), (Kind::Answer, 1), (Kind::Punch, 1)];
    let sent = [
        (Kind::Challenge, 2),
        (Kind::Registered, 2),
        (Kind::RelayedOffer, 1),
        (Kind::RelayedAnswer, 1),
        (Kind::PunchNow, 2),
    ];
    for kind in Kind::ALL {
        let expected = |table: &[(Kind, u64)]| table.iter().find(|row| row.0 == *kind).map_or(0, |row| row.1);
        assert_eq!(counters.received(*kind), expected(&received), "{}", kind.name());
        assert_eq!(counters.sent(*kind), expected(&sent), "{}", kind.name());
    }
    assert_eq!((counters.datagrams_in, counters.bytes_in), (7, 4 * 183 + 2 * 131 + 142));
    assert_eq!((counters.datagrams_out, counters.bytes_out), (8, 2 * 55 + 2 * 83 + 2 * 103 + 2 * 71));
    assert_eq!((counters.answered, counters.challenged, counters.relayed), (2, 2, 3));
}

#[test]
fn every_change_of_state_is_told_in_order() {
    let mut rig = Rig::with(Config { events: true, ..small() });
    let (alice, bob) = rig.answered();
    rig.frame(BOB, &offer(bob, call(2), id(1)));
    rig.frame(BOB, &offer(bob, call(2), id(1)));
    rig.pass(secs(1));
    rig.register(CAFE, alice, id(1));
    rig.join(CAFE, id(1));
    rig.pass(secs(40));
    rig.frame(CAFE, &unregister(alice));
    rig.pass(secs(40));
    let (one, two) = (id(1), id(2));
    assert_eq!(
        rig.events(),
        [
            Event::Registered { peer: one, observed: ALICE },
            Event::Registered { peer: two, observed: BOB },
            Event::OfferOpened { offer: call(1), caller: one, callee: two },
            Event::OfferAnswered { offer: call(1) },
            Event::OfferOpened { offer: call(2), caller: two, callee: one },
            Event::Moved { peer: one, observed: CAFE },
            Event::OfferTimedOut { offer: call(2) },
            Event::Unregistered { peer: one },
            Event::Forgotten { peer: two },
        ]
    );
    let counters = rig.server.counters();
    assert_eq!((counters.registrations, counters.moves, counters.forgotten), (2, 1, 1));
    assert_eq!((counters.offers_opened, counters.offers_answered, counters.offers_timed_out), (2, 1, 1));
}

#[test]
fn events_are_kept_only_where_asked_for() {
    let mut rig = Rig::new();
    rig.answered();
    assert_eq!(rig.events(), []);
}

#[test]
fn same_seed_and_inputs_give_the_same_outputs() {
    let script = |seed| {
        let mut rig = Rig::seeded(small(), seed);
        let (alice, _) = rig.answered();
        let mut all = rig.frame(ALICE, &punch(alice, call(1)));
        all.extend(rig.frame(ALICE, &keepalive(alice)));
        all.extend(rig.frame(CAROL, &keepalive(alice)));
        all
    };
    assert_eq!(script(1), script(1));
    assert_ne!(script(1), script(2));
}
