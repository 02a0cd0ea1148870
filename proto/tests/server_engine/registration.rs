//! SPEC 5: cookie before state, and who holds an identifier.

use std::net::SocketAddr;

use roundtable_proto::server::{COOKIE_LIFETIME, Config, Outcome, PEER_TTL, PEER_TTL_SLACK};
use roundtable_proto::wire::{
    self, Address, BENCHMARK_ID, Challenge, Cookie, ErrorCode, Frame, Keepalive, Kind, Registered, Session,
    Ticket, TransactionId, Zeros,
};

use crate::rig::*;

fn registered(session: Session, observed: SocketAddr) -> Frame<'static> {
    Frame::Registered(Registered {
        session,
        transaction: ASKED,
        observed: Address::from(observed),
        ttl: 60_000,
        timeout: 30_000,
        maxblob: 65_536,
        ticket: Ticket::NONE,
    })
}

/// Asserts that the one answer is a CHALLENGE, no longer than the question, with its bytes 20..36.
fn assert_challenged(rig: &mut Rig, from: SocketAddr, frame: &Frame<'_>) {
    let sent = rig.frame(from, frame);
    let [Sent { to, datagram, .. }] = &sent[..] else { panic!("{sent:?}") };
    let Ok(Frame::Challenge(Challenge { reference, .. })) = wire::decode(datagram) else {
        panic!("{sent:?}")
    };
    assert_eq!((*to, &reference.0[..]), (from, &frame.to_vec()[20..36]));
    assert_eq!(rig.outcome, Outcome::Challenged);
}

#[test]
fn first_contact_gets_exactly_a_challenge_and_changes_no_size() {
    let mut rig = Rig::new();
    for port in 1..=500 {
        let from = SocketAddr::from(([192, 0, 2, 77], port));
        assert_challenged(&mut rig, from, &register(Session::NONE, id(1), Cookie::NONE));
        for frame in with_session(Session::NONE) {
            assert_challenged(&mut rig, from, &frame);
        }
    }
    assert_eq!((rig.server.peers(), rig.server.offers(), rig.server.poll_timeout()), (0, 0, None));
}

#[test]
fn valid_cookie_registers() {
    let mut rig = Rig::new();
    let cookie = rig.cookie(ALICE);
    let sent = rig.frame(ALICE, &register(Session::NONE, id(1), cookie));
    let session = session_in(&sent).unwrap();
    assert_eq!(sent, [to(ALICE, &registered(session, ALICE))]);
    assert_eq!(rig.server.peers(), 1);
    assert_eq!(rig.frame(ALICE, &keepalive(session)), [to(ALICE, &keepalive_reply(session, ALICE))]);
}

#[test]
fn registered_tells_the_configured_limits() {
    let config = Config { max_blob: 5000, offer_timeout: millis(7500), ..small() };
    let mut rig = Rig::with(config);
    let cookie = rig.cookie(ALICE);
    let sent = rig.frame(ALICE, &register(Session::NONE, id(1), cookie));
    let Ok(Frame::Registered(registered)) = wire::decode(&sent[0].datagram) else { panic!("{sent:?}") };
    assert_eq!((registered.ttl, registered.timeout, registered.maxblob), (60_000, 7500, 5000));
}

#[test]
fn cookie_is_good_only_at_the_address_and_port_it_was_sent_to() {
    let mut rig = Rig::new();
    let cookie = rig.cookie(ALICE);
    let neighbour = SocketAddr::new(ALICE.ip(), ALICE.port() + 1);
    let other = SocketAddr::new(BOB.ip(), ALICE.port());
    for from in [neighbour, other] {
        assert_challenged(&mut rig, from, &register(Session::NONE, id(1), cookie));
    }
    assert_eq!(rig.server.peers(), 0);
}

#[test]
fn cookie_is_good_for_its_lifetime_and_no_longer() {
    for offset in [0, 13, 777, 31_000, 50_001] {
        let mut rig = Rig::new();
        rig.pass(millis(offset));
        let cookie = rig.cookie(ALICE);
        rig.pass(COOKIE_LIFETIME);
        assert!(session_in(&rig.frame(ALICE, &register(Session::NONE, id(1), cookie))).is_some());
        rig.pass(millis(50));
        assert_challenged(&mut rig, ALICE, &register(Session::NONE, id(2), cookie));
        rig.pass(secs(1_000_000));
        assert_challenged(&mut rig, ALICE, &register(Session::NONE, id(2), cookie));
    }
}

#[test]
fn forged_cookie_gets_a_challenge() {
    let mut rig = Rig::new();
    let cookie = rig.cookie(ALICE);
    for bit in 0..128 {
        let mut forged = cookie;
        forged.0[bit / 8] ^= 1 << (bit % 8);
        assert_challenged(&mut rig, ALICE, &register(Session::NONE, id(1), forged));
    }
    assert_eq!(rig.server.peers(), 0);
}

#[test]
fn cookie_of_any_time_is_refused_without_a_panic() {
    let mut rig = Rig::new();
    let cookie = rig.cookie(ALICE);
    let now = u32::from_be_bytes([cookie.0[0], cookie.0[1], cookie.0[2], cookie.0[3]]);
    for distance in [1, 4095, 4096, i32::MAX as u32, i32::MIN as u32, i32::MIN as u32 + 1, u32::MAX] {
        let mut forged = cookie;
        forged.0[..4].copy_from_slice(&now.wrapping_add(distance).to_be_bytes());
        assert_challenged(&mut rig, ALICE, &register(Session::NONE, id(1), forged));
    }
}

#[test]
fn cookie_of_another_server_is_worth_nothing() {
    let mut rig = Rig::seeded(small(), 1);
    let foreign = Rig::seeded(small(), 2).cookie(ALICE);
    assert_challenged(&mut rig, ALICE, &register(Session::NONE, id(1), foreign));
}

#[test]
fn lost_registered_is_repeated_with_the_session_in_force() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    let cookie = rig.cookie(ALICE);
    for held in [Session::NONE, session, STRANGE] {
        let sent = rig.frame(ALICE, &register(held, id(1), cookie));
        assert_eq!(sent, [to(ALICE, &registered(session, ALICE))]);
    }
    assert_eq!((rig.server.peers(), rig.server.counters().registrations), (1, 1));
}

#[test]
fn registering_again_renews() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    rig.pass(secs(50));
    assert_eq!(rig.join(ALICE, id(1)), session);
    rig.pass(secs(50));
    assert!(rig.is_live(ALICE, session));
}

#[test]
fn session_that_the_server_does_not_know_gives_a_new_one() {
    let mut rig = Rig::new();
    let first = rig.join(ALICE, id(1));
    rig.frame(ALICE, &unregister(first));
    let second = rig.register(ALICE, first, id(1));
    assert_ne!(first, second);
    assert!(!rig.is_live(ALICE, first));
    assert!(rig.is_live(ALICE, second));
}

#[test]
fn identifier_held_elsewhere_is_taken_until_retry_after_has_passed() {
    for (offset, silence) in [(0, 0), (1, 8), (499, 15_625), (500, 30_001), (985, 59_999)] {
        let mut rig = Rig::new();
        rig.pass(millis(offset));
        rig.join(ALICE, id(1));
        rig.pass(millis(silence));
        let cookie = rig.cookie(BOB);
        let sent = rig.frame(BOB, &register(Session::NONE, id(1), cookie));
        let Ok(Frame::Error(told)) = wire::decode(&sent[0].datagram) else { panic!("{sent:?}") };
        let expected = error_with(ASKED, ErrorCode::IdentifierTaken, Kind::Register, 0, told.retry_after);
        assert_eq!(sent, [to(BOB, &expected)]);
        let retry_after = millis(told.retry_after.into());
        assert!(retry_after + millis(silence) <= PEER_TTL + PEER_TTL_SLACK + millis(32));
        rig.pass(retry_after);
        rig.join(BOB, id(1));
    }
}

#[test]
fn only_the_identifiers_own_session_takes_it_along() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.couple();
    let mut near = alice;
    near.0[15] ^= 1;
    for held in [Session::NONE, STRANGE, bob, near] {
        let cookie = rig.cookie(CAROL);
        let sent = rig.frame(CAROL, &register(held, id(1), cookie));
        assert_eq!(rig.outcome, Outcome::Refused(ErrorCode::IdentifierTaken));
        assert_eq!((sent.len(), sent[0].to), (1, CAROL));
    }
    assert!(rig.is_live(ALICE, alice));
    assert_eq!(rig.server.counters().moves, 0);
}

#[test]
fn plain_identifiers_are_refused_where_the_operator_says_so() {
    let mut rig = Rig::with(Config { plain_ids: false, ..small() });
    let cookie = rig.cookie(ALICE);
    let expected = error_with(ASKED, ErrorCode::IdentifierRefused, Kind::Register, 2, 0);
    assert_eq!(rig.frame(ALICE, &register(Session::NONE, id(1), cookie)), [to(ALICE, &expected)]);
    assert_eq!(rig.server.peers(), 0);
}

#[test]
fn reserved_identifier_is_nobodys_and_tells_whether_benchmarks_are_agreed() {
    for (benchmarks, plain_ids, detail) in [(false, true, 1), (true, true, 3), (true, false, 3)] {
        let mut rig = Rig::with(Config { benchmarks, plain_ids, ..small() });
        assert_challenged(&mut rig, ALICE, &register(Session::NONE, BENCHMARK_ID, Cookie::NONE));
        let cookie = rig.cookie(ALICE);
        let expected = error_with(ASKED, ErrorCode::IdentifierRefused, Kind::Register, detail, 0);
        assert_eq!(rig.frame(ALICE, &register(Session::NONE, BENCHMARK_ID, cookie)), [to(ALICE, &expected)]);
        assert_eq!(rig.server.peers(), 0);
    }
}

#[test]
fn no_identifier_is_judged_before_the_address_is_proved() {
    let mut rig = Rig::with(Config { plain_ids: false, ..small() });
    assert_challenged(&mut rig, ALICE, &register(Session::NONE, id(1), Cookie::NONE));
    assert_challenged(&mut rig, ALICE, &register(Session::NONE, keyed(1), Cookie::NONE));
}

#[test]
fn full_server_takes_no_newcomer_and_keeps_whom_it_has() {
    let mut rig = Rig::with(Config { max_peers: 2, ..small() });
    let (alice, bob) = rig.couple();
    let cookie = rig.cookie(CAROL);
    let full = error_with(ASKED, ErrorCode::ServerFull, Kind::Register, 1, 5000);
    assert_eq!(rig.frame(CAROL, &register(Session::NONE, id(3), cookie)), [to(CAROL, &full)]);
    assert_eq!(rig.join(ALICE, id(1)), alice);
    rig.pass(secs(1));
    assert_eq!(rig.register(CAFE, bob, id(2)), bob);
    rig.frame(ALICE, &unregister(alice));
    rig.join(CAROL, id(3));
    assert_eq!(rig.server.peers(), 2);
}

#[test]
fn unknown_session_is_challenged_on_every_kind() {
    let mut rig = Rig::new();
    rig.couple();
    for session in [Session::NONE, STRANGE, Session([0xFF; 16])] {
        for frame in with_session(session) {
            assert_challenged(&mut rig, ALICE, &frame);
        }
    }
    assert_eq!((rig.server.peers(), rig.server.offers()), (2, 0));
}

#[test]
fn session_of_a_known_slot_with_any_other_bit_is_unknown() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    for bit in 0..128 {
        let mut near = session;
        near.0[bit / 8] ^= 1 << (bit % 8);
        assert!(!rig.is_live(ALICE, near), "bit {bit}");
    }
}

#[test]
fn known_session_from_elsewhere_is_challenged_on_every_kind() {
    let mut rig = Rig::new();
    let (alice, _) = rig.couple();
    let neighbour = SocketAddr::new(ALICE.ip(), ALICE.port() + 1);
    let same_port = SocketAddr::new(CAROL.ip(), ALICE.port());
    for from in [neighbour, same_port, BOB] {
        for frame in with_session(alice) {
            assert_challenged(&mut rig, from, &frame);
        }
    }
    assert_eq!((rig.server.peers(), rig.server.offers()), (2, 0));
    assert!(rig.is_live(ALICE, alice));
}

#[test]
fn incomplete_frame_with_an_unknown_session_is_not_even_challenged() {
    let mut rig = Rig::new();
    for frame in with_session(STRANGE) {
        let datagram = frame.to_vec();
        assert_eq!(rig.bytes(CAROL, &datagram[..datagram.len() - 1]), []);
    }
}

#[test]
fn keepalive_is_answered_with_the_observed_address_whatever_it_says() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    let transaction = TransactionId([3; 16]);
    let observed = Address::from(CAROL);
    let sent = rig.frame(ALICE, &Frame::Keepalive(Keepalive { session, transaction, observed }));
    let reply = Keepalive { session, transaction, observed: Address::from(ALICE) };
    assert_eq!(sent, [to(ALICE, &Frame::KeepaliveReply(reply))]);
}

#[test]
fn ipv4_and_the_same_address_mapped_are_one_peer() {
    let mut rig = Rig::new();
    let mapped: SocketAddr = "[::ffff:198.51.100.7]:40123".parse().unwrap();
    let session = rig.join(ALICE, id(1));
    assert_eq!(rig.frame(mapped, &keepalive(session)), [to(mapped, &keepalive_reply(session, ALICE))]);
    let cookie = rig.cookie(ALICE);
    let sent = rig.frame(mapped, &register(Session::NONE, id(1), cookie));
    assert_eq!(sent, [to(mapped, &registered(session, ALICE))]);
}

#[test]
fn link_local_addresses_on_two_links_are_two() {
    let mut rig = Rig::new();
    let on = |scope| std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 0, scope).into();
    let session = rig.join(on(1), id(1));
    assert_challenged(&mut rig, on(2), &keepalive(session));
    assert!(rig.is_live(on(1), session));
}

#[test]
fn unregister_ends_the_session_at_once_and_frees_the_identifier() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    let unregistered =
        Frame::Unregistered(wire::Unregister { session, transaction: ASKED, zero: Zeros::ZERO });
    assert_eq!(rig.frame(ALICE, &unregister(session)), [to(ALICE, &unregistered)]);
    assert_eq!(rig.server.peers(), 0);
    assert_challenged(&mut rig, ALICE, &unregister(session));
    rig.join(BOB, id(1));
}

#[test]
fn nobody_else_can_unregister_a_peer() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.couple();
    assert_challenged(&mut rig, BOB, &unregister(alice));
    let unregistered =
        Frame::Unregistered(wire::Unregister { session: bob, transaction: ASKED, zero: Zeros::ZERO });
    assert_eq!(rig.frame(BOB, &unregister(bob)), [to(BOB, &unregistered)]);
    assert!(rig.is_live(ALICE, alice));
}

#[test]
fn session_of_a_former_peer_in_the_same_slot_opens_nothing() {
    let mut rig = Rig::new();
    let former = rig.join(ALICE, id(1));
    rig.frame(ALICE, &unregister(former));
    let present = rig.join(ALICE, id(2));
    assert_eq!(former.0[..4], present.0[..4]);
    for frame in with_session(former) {
        assert_challenged(&mut rig, ALICE, &frame);
    }
    assert!(rig.is_live(ALICE, present));
}
