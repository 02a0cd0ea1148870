//! SPEC 5: who is forgotten, and when.

use roundtable_proto::server::{Outcome, PEER_TTL, PEER_TTL_SLACK};
use roundtable_proto::wire::Session;

use crate::rig::*;

#[test]
fn silent_peer_is_forgotten_not_before_the_ttl_and_at_most_two_seconds_later() {
    for offset in (0..2000).step_by(97) {
        let mut rig = Rig::new();
        rig.pass(millis(offset));
        rig.join(ALICE, id(1));
        assert_eq!(rig.pass(PEER_TTL - millis(1)), []);
        assert_eq!(rig.server.peers(), 1, "{offset}");
        assert_eq!(rig.pass(PEER_TTL_SLACK + millis(1)), []);
        assert_eq!((rig.server.peers(), rig.server.counters().forgotten), (0, 1), "{offset}");
        assert_eq!(rig.server.poll_timeout(), None);
    }
}

#[test]
fn peer_heard_in_the_last_millisecond_of_its_ttl_stays() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    for _ in 0..10 {
        rig.pass(PEER_TTL - millis(1));
        assert!(rig.is_live(ALICE, session));
    }
}

#[test]
fn every_frame_of_a_session_renews_it_even_one_that_is_refused() {
    for number in 0..with_session(Session::NONE).len() {
        let mut rig = Rig::new();
        let session = rig.join(ALICE, id(1));
        let frame = with_session(session)[number];
        if matches!(frame, roundtable_proto::wire::Frame::Unregister(_)) {
            continue;
        }
        rig.pass(secs(50));
        rig.frame(ALICE, &frame);
        rig.pass(secs(50));
        assert!(rig.is_live(ALICE, session), "{frame:?}");
    }
}

#[test]
fn ping_and_frames_from_elsewhere_renew_nothing() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    for _ in 0..31 {
        rig.pass(secs(2));
        rig.frame(ALICE, &ping());
        rig.frame(CAROL, &keepalive(session));
        let cookie = rig.cookie(CAROL);
        rig.frame(CAROL, &register(Session::NONE, id(1), cookie));
    }
    assert!(!rig.is_live(ALICE, session));
}

#[test]
fn forgotten_session_is_unknown_and_its_identifier_free() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    rig.pass(PEER_TTL + PEER_TTL_SLACK);
    for frame in with_session(session) {
        assert_eq!(rig.frame(ALICE, &frame).len(), 1);
        assert_eq!(rig.outcome, Outcome::Challenged);
    }
    rig.join(BOB, id(1));
}

#[test]
fn slot_taken_over_lives_its_own_ttl() {
    let mut rig = Rig::new();
    let former = rig.join(ALICE, id(1));
    rig.pass(secs(30));
    rig.frame(ALICE, &unregister(former));
    let present = rig.join(BOB, id(2));
    rig.pass(PEER_TTL - millis(1));
    assert!(rig.is_live(BOB, present));
}

#[test]
fn slot_taken_over_takes_no_other_peer_off_the_wheel() {
    for leaving in 0..3 {
        let mut rig = Rig::new();
        let peers = [ALICE, BOB, CAROL];
        let sessions = [rig.join(ALICE, id(1)), rig.join(BOB, id(2)), rig.join(CAROL, id(3))];
        rig.pass(secs(30));
        rig.frame(peers[leaving], &unregister(sessions[leaving]));
        rig.join(CAFE, id(4));
        rig.pass(secs(30) + PEER_TTL_SLACK);
        assert_eq!((rig.server.peers(), rig.server.counters().forgotten), (1, 2));
        rig.pass(secs(30));
        assert_eq!((rig.server.peers(), rig.server.poll_timeout()), (0, None));
    }
}

#[test]
fn server_that_nobody_uses_wants_no_waking() {
    let mut rig = Rig::with(small());
    assert_eq!(rig.server.poll_timeout(), None);
    rig.join(ALICE, id(1));
    let due = rig.server.poll_timeout().unwrap();
    assert!(due >= rig.now + PEER_TTL - millis(1) && due <= rig.now + PEER_TTL + PEER_TTL_SLACK);
}

#[test]
fn years_without_a_peer_cost_the_first_one_no_sweeping() {
    let mut rig = Rig::with(small());
    rig.pass(secs(3 * 365 * 86_400));
    let (alice, bob) = rig.ringing();
    let mut calls = 0;
    while rig.server.poll_timeout().is_some_and(|due| due <= rig.now) {
        rig.server.handle_timeout(rig.now);
        calls += 1;
    }
    assert!(calls <= 1, "{calls}");
    assert!(rig.is_live(ALICE, alice) && rig.is_live(BOB, bob));
    assert_eq!(rig.pass(secs(31)).len(), 1);
}
