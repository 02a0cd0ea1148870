//! SPEC 5: a peer at another address than before.

use std::net::SocketAddr;

use roundtable_proto::server::Outcome;
use roundtable_proto::wire::{self, Challenge, Cookie, Frame, Kind, Session};

use crate::rig::*;

/// Cookies are stamped in ticks of 1/64 s.
const TICK: std::time::Duration = std::time::Duration::from_micros(15_625);

#[test]
fn peer_that_moved_is_back_after_two_round_trips_with_its_session() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    rig.pass(secs(1));
    let sent = rig.frame(CAFE, &keepalive(session));
    let Ok(Frame::Challenge(Challenge { cookie, .. })) = wire::decode(&sent[0].datagram) else {
        panic!("{sent:?}")
    };
    assert_eq!(session_in(&rig.frame(CAFE, &register(session, id(1), cookie))), Some(session));
    assert!(rig.is_live(CAFE, session));
    assert_eq!((rig.server.peers(), rig.server.counters().moves), (1, 1));
}

#[test]
fn old_address_gets_nothing_more() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.couple();
    rig.pass(secs(1));
    rig.register(CAFE, bob, id(2));
    let offered = offer(alice, call(1), id(2));
    assert_eq!(rig.frame(ALICE, &offered), [to(CAFE, &relayed(&offered, bob, id(1), ALICE))]);
    assert!(!rig.is_live(BOB, bob));
}

#[test]
fn earlier_register_replayed_after_a_move_cannot_move_the_peer_back() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    rig.pass(secs(1));
    let cookie = rig.cookie(ALICE);
    let earlier = register(session, id(1), cookie);
    assert_eq!(session_in(&rig.frame(ALICE, &earlier)), Some(session));
    rig.pass(secs(1));
    rig.register(CAFE, session, id(1));
    rig.pass(secs(1));
    assert_eq!(rig.frame(ALICE, &earlier).len(), 1);
    assert_eq!(rig.outcome, Outcome::Challenged);
    assert!(rig.is_live(CAFE, session));
    assert!(!rig.is_live(ALICE, session));
}

#[test]
fn cookie_fetched_before_a_move_cannot_move_the_peer_after_it() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    rig.pass(secs(1));
    let elsewhere = rig.cookie(CAROL);
    rig.pass(secs(1));
    rig.register(CAFE, session, id(1));
    rig.frame(CAROL, &register(session, id(1), elsewhere));
    assert_eq!(rig.outcome, Outcome::Challenged);
    assert!(rig.is_live(CAFE, session));
}

#[test]
fn proof_renewed_at_the_same_address_counts_against_older_cookies() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    rig.pass(secs(1));
    let elsewhere = rig.cookie(CAROL);
    rig.pass(secs(1));
    rig.register(ALICE, session, id(1));
    rig.frame(CAROL, &register(session, id(1), elsewhere));
    assert_eq!(rig.outcome, Outcome::Challenged);
    assert!(rig.is_live(ALICE, session));
}

#[test]
fn older_cookie_at_the_same_address_does_not_weaken_the_proof() {
    let mut rig = Rig::new();
    let old = rig.cookie(ALICE);
    rig.pass(secs(1));
    let elsewhere = rig.cookie(CAROL);
    rig.pass(secs(1));
    let session = rig.join(ALICE, id(1));
    assert_eq!(session_in(&rig.frame(ALICE, &register(session, id(1), old))), Some(session));
    rig.frame(CAROL, &register(session, id(1), elsewhere));
    assert_eq!(rig.outcome, Outcome::Challenged);
    assert!(rig.is_live(ALICE, session));
}

#[test]
fn cookie_of_the_same_tick_moves_and_an_older_one_cannot() {
    let mut rig = Rig::new();
    let stale = rig.cookie(CAROL);
    rig.pass(TICK);
    let (here, there) = (rig.cookie(ALICE), rig.cookie(CAFE));
    assert_eq!(here.0[..4], there.0[..4]);
    let sent = rig.frame(ALICE, &register(Session::NONE, id(1), here));
    let session = session_in(&sent).unwrap();
    rig.frame(CAROL, &register(session, id(1), stale));
    assert_eq!(rig.outcome, Outcome::Challenged);
    // A client on the same network moves within a tick; it must not be challenged until the tick is over.
    assert_eq!(session_in(&rig.frame(CAFE, &register(session, id(1), there))), Some(session));
    assert!(rig.is_live(CAFE, session));
}

#[test]
fn peer_can_move_back_with_a_new_proof() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    for address in [CAFE, ALICE, CAROL, ALICE] {
        rig.pass(TICK);
        assert_eq!(rig.register(address, session, id(1)), session);
        assert!(rig.is_live(address, session));
    }
    assert_eq!(rig.server.counters().moves, 4);
}

#[test]
fn session_alone_moves_nobody() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    rig.pass(secs(1));
    rig.frame(CAFE, &register(session, id(1), Cookie::NONE));
    assert_eq!(rig.outcome, Outcome::Challenged);
    assert!(rig.is_live(ALICE, session));
}

#[test]
fn moving_renews() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    rig.pass(secs(50));
    rig.register(CAFE, session, id(1));
    rig.pass(secs(50));
    assert!(rig.is_live(CAFE, session));
}

#[test]
fn pending_offers_stay_when_either_peer_moves() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.ringing();
    let home: SocketAddr = "[2001:db8::5]:777".parse().unwrap();
    rig.pass(secs(1));
    rig.register(CAFE, bob, id(2));
    rig.register(home, alice, id(1));
    let answered = answer(bob, call(1), id(1));
    assert_eq!(rig.frame(CAFE, &answered), [to(home, &relayed(&answered, alice, id(2), CAFE))]);
    assert_eq!(rig.outcome, Outcome::Relayed(Kind::Answer));
}
