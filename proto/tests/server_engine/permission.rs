//! SPEC 6: ANSWER, CANDIDATE, ACK and PUNCH pass only between the two peers of an open offer.

use std::net::SocketAddr;

use roundtable_proto::wire::{ErrorCode, Frame, Session};

use crate::rig::*;

/// Asserts that nothing but this refusal comes of the frame.
fn assert_refused(rig: &mut Rig, from: SocketAddr, frame: &Frame<'_>, code: ErrorCode, retry_after: u32) {
    let expected = error_with(call(1), code, frame.kind(), 0, retry_after);
    assert_eq!(rig.frame(from, frame), [to(from, &expected)], "{frame:?}");
}

fn about_a_call(session: Session) -> [Frame<'static>; 4] {
    [
        answer(session, call(1), id(1)),
        candidate(session, call(1), id(1)),
        ack(session, call(1)),
        punch(session, call(1)),
    ]
}

#[test]
fn offer_that_is_not_open_is_unknown_for_now_just_after_the_start_and_for_good_later() {
    let mut rig = Rig::with(small());
    let (_, bob) = rig.couple();
    for frame in about_a_call(bob) {
        assert_refused(&mut rig, BOB, &frame, ErrorCode::OfferUnknown, 500);
    }
    rig.pass(secs(30));
    for frame in about_a_call(bob) {
        assert_refused(&mut rig, BOB, &frame, ErrorCode::OfferUnknown, 0);
    }
}

/// A server that was restarted may know the offer again, and not the answer yet.
#[test]
fn punch_before_the_answer_is_not_permitted_for_now_just_after_the_start_and_for_good_later() {
    let mut rig = Rig::with(small());
    let (alice, bob) = rig.ringing();
    for (from, session) in [(ALICE, alice), (BOB, bob)] {
        assert_refused(&mut rig, from, &punch(session, call(1)), ErrorCode::NotPermitted, 500);
    }
    let mut rig = Rig::new();
    let (alice, bob) = rig.ringing();
    for (from, session) in [(ALICE, alice), (BOB, bob)] {
        assert_refused(&mut rig, from, &punch(session, call(1)), ErrorCode::NotPermitted, 0);
    }
}

#[test]
fn third_party_passes_nothing_on_an_offer_and_changes_nothing() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.ringing();
    let carol = rig.join(CAROL, id(3));
    for frame in about_a_call(carol) {
        assert_refused(&mut rig, CAROL, &frame, ErrorCode::NotPermitted, 0);
    }
    // Its ANSWER has not answered the offer.
    assert_refused(&mut rig, BOB, &punch(bob, call(1)), ErrorCode::NotPermitted, 0);
    assert_eq!(rig.server.counters().offers_answered, 0);
    rig.frame(BOB, &answer(bob, call(1), id(1)));
    for frame in about_a_call(carol) {
        assert_refused(&mut rig, CAROL, &frame, ErrorCode::NotPermitted, 0);
    }
    assert_eq!(rig.frame(ALICE, &ack(alice, call(1)))[0].to, BOB);
}

#[test]
fn caller_cannot_answer_its_own_offer() {
    let mut rig = Rig::new();
    let (alice, _) = rig.ringing();
    for target in [id(1), id(2)] {
        let frame = answer(alice, call(1), target);
        assert_refused(&mut rig, ALICE, &frame, ErrorCode::NotPermitted, 0);
    }
    assert_refused(&mut rig, ALICE, &punch(alice, call(1)), ErrorCode::NotPermitted, 0);
}

#[test]
fn answer_and_candidate_to_anybody_but_the_other_peer_are_refused() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.ringing();
    rig.join(CAROL, id(3));
    for target in [id(2), id(3), id(4)] {
        assert_refused(&mut rig, BOB, &answer(bob, call(1), target), ErrorCode::NotPermitted, 0);
        assert_refused(&mut rig, BOB, &candidate(bob, call(1), target), ErrorCode::NotPermitted, 0);
    }
    for target in [id(1), id(3), id(4)] {
        assert_refused(&mut rig, ALICE, &candidate(alice, call(1), target), ErrorCode::NotPermitted, 0);
    }
    assert_eq!(rig.server.counters().offers_answered, 0);
}

#[test]
fn other_peer_gone_is_peer_unknown_for_now_just_after_the_start_and_for_good_later() {
    let mut rig = Rig::with(small());
    let (alice, bob) = rig.ringing();
    rig.frame(BOB, &unregister(bob));
    for frame in [candidate(alice, call(1), id(2)), ack(alice, call(1))] {
        assert_refused(&mut rig, ALICE, &frame, ErrorCode::PeerUnknown, 500);
    }

    let mut rig = Rig::new();
    let (alice, bob) = rig.answered();
    rig.frame(BOB, &unregister(bob));
    for frame in [candidate(alice, call(1), id(2)), ack(alice, call(1)), punch(alice, call(1))] {
        assert_refused(&mut rig, ALICE, &frame, ErrorCode::PeerUnknown, 0);
    }
}

#[test]
fn part_in_an_offer_ends_with_the_session() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.answered();
    rig.frame(BOB, &unregister(bob));
    let bob = rig.join(BOB, id(2));
    for frame in about_a_call(bob) {
        assert_refused(&mut rig, BOB, &frame, ErrorCode::NotPermitted, 0);
    }
    assert!(rig.is_live(ALICE, alice));
}

#[test]
fn punch_before_the_answer_is_refused_to_both() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.ringing();
    assert_refused(&mut rig, ALICE, &punch(alice, call(1)), ErrorCode::NotPermitted, 0);
    assert_refused(&mut rig, BOB, &punch(bob, call(1)), ErrorCode::NotPermitted, 0);
    // Candidates and acknowledgements of the callee do not answer either.
    rig.frame(BOB, &ack(bob, call(1)));
    rig.frame(BOB, &candidate(bob, call(1), id(1)));
    assert_refused(&mut rig, ALICE, &punch(alice, call(1)), ErrorCode::NotPermitted, 0);
}
