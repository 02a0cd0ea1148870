//! SPEC 6: when an offer opens, when it closes, and what the caller is told.

use roundtable_proto::server::{Config, Outcome, Path, Via};
use roundtable_proto::wire::{BlobKind, ErrorCode, Kind, Session};

use crate::rig::*;

fn refused(
    rig: &mut Rig,
    from: std::net::SocketAddr,
    frame: &roundtable_proto::wire::Frame<'_>,
) -> ErrorCode {
    rig.frame(from, frame);
    match rig.outcome {
        Outcome::Refused(code) => code,
        other => panic!("{other:?}"),
    }
}

fn timed_out() -> Sent {
    to(ALICE, &error(call(1), ErrorCode::Timeout, Kind::Offer))
}

#[test]
fn offer_to_oneself_is_refused() {
    let mut rig = Rig::new();
    let (alice, _) = rig.couple();
    let expected = error(call(1), ErrorCode::OfferToSelf, Kind::Offer);
    assert_eq!(rig.frame(ALICE, &offer(alice, call(1), id(1))), [to(ALICE, &expected)]);
    assert_eq!(rig.server.offers(), 0);
}

#[test]
fn unknown_target_is_refused_for_now_just_after_the_start_and_for_good_later() {
    let mut rig = Rig::with(small());
    let alice = rig.join(ALICE, id(1));
    let later = error_with(call(1), ErrorCode::PeerUnknown, Kind::Offer, 0, 500);
    assert_eq!(rig.frame(ALICE, &offer(alice, call(1), id(2))), [to(ALICE, &later)]);
    rig.pass(millis(29_999));
    assert_eq!(rig.frame(ALICE, &offer(alice, call(1), id(2))), [to(ALICE, &later)]);
    rig.pass(millis(1));
    let never = error(call(1), ErrorCode::PeerUnknown, Kind::Offer);
    assert_eq!(rig.frame(ALICE, &offer(alice, call(1), id(2))), [to(ALICE, &never)]);
    assert_eq!(rig.server.offers(), 0);
}

#[test]
fn blob_longer_than_maxblob_is_refused_by_name() {
    let mut rig = Rig::with(Config { max_blob: 2000, ..small() });
    let (alice, bob) = rig.couple();
    let (fits, long) = (vec![1; 2000], vec![1; 2001]);
    let expected = error(call(1), ErrorCode::BlobTooLarge, Kind::Offer);
    let frame = fragment(BlobKind::Offer, alice, call(1), id(2), &long, 0);
    assert_eq!(rig.frame(ALICE, &frame), [to(ALICE, &expected)]);
    assert_eq!(rig.server.offers(), 0);
    let frame = fragment(BlobKind::Offer, alice, call(1), id(2), &fits, 0);
    assert_eq!(rig.frame(ALICE, &frame), [to(BOB, &relayed(&frame, bob, id(1), ALICE))]);

    let expected = error(call(1), ErrorCode::BlobTooLarge, Kind::Answer);
    let frame = fragment(BlobKind::Answer, bob, call(1), id(1), &long, 1);
    assert_eq!(rig.frame(BOB, &frame), [to(BOB, &expected)]);
    assert_eq!(rig.server.counters().offers_answered, 0);
    let frame = fragment(BlobKind::Answer, bob, call(1), id(1), &fits, 1);
    assert_eq!(rig.frame(BOB, &frame), [to(ALICE, &relayed(&frame, alice, id(2), BOB))]);
}

#[test]
fn refusals_of_an_offer_come_in_the_order_of_the_specification() {
    let mut rig = Rig::with(Config { max_blob: 10, max_peer_offers: 0, ..small() });
    rig.pass(secs(31));
    let (alice, _) = rig.couple();
    let long = [1; 11];
    let to_target = |target| fragment(BlobKind::Offer, alice, call(1), target, &long, 0);
    assert_eq!(refused(&mut rig, ALICE, &to_target(id(1))), ErrorCode::OfferToSelf);
    assert_eq!(refused(&mut rig, ALICE, &to_target(id(3))), ErrorCode::PeerUnknown);
    assert_eq!(refused(&mut rig, ALICE, &to_target(id(2))), ErrorCode::BlobTooLarge);
    assert_eq!(refused(&mut rig, ALICE, &offer(alice, call(1), id(2))), ErrorCode::TooManyOffers);
}

#[test]
fn caller_has_so_many_open_offers_and_no_more_until_one_closes() {
    let mut rig = Rig::with(Config { max_peer_offers: 2, ..small() });
    let (alice, bob) = rig.couple();
    let carol = rig.join(CAROL, id(3));
    rig.frame(ALICE, &offer(alice, call(1), id(2)));
    rig.pass(secs(1));
    rig.frame(ALICE, &offer(alice, call(2), id(2)));
    let expected = error_with(call(3), ErrorCode::TooManyOffers, Kind::Offer, 0, 5000);
    assert_eq!(rig.frame(ALICE, &offer(alice, call(3), id(2))), [to(ALICE, &expected)]);
    // Fragments of open offers, others' offers and offers to the caller still pass.
    assert_eq!(rig.frame(ALICE, &offer(alice, call(2), id(2)))[0].to, BOB);
    assert_eq!(rig.frame(CAROL, &offer(carol, call(4), id(2)))[0].to, BOB);
    assert_eq!(rig.frame(BOB, &offer(bob, call(5), id(1)))[0].to, ALICE);
    assert_eq!(rig.pass(millis(29_300)), [timed_out()]);
    assert_eq!(rig.frame(ALICE, &offer(alice, call(3), id(2)))[0].to, BOB);
    assert_eq!(rig.server.offers(), 4);
}

#[test]
fn answered_offer_leaves_room_for_the_next_up_to_eight_for_each() {
    let mut rig = Rig::with(Config { max_peer_offers: 1, ..small() });
    let (alice, bob) = rig.answered();
    for number in 2..=8 {
        assert_eq!(rig.frame(ALICE, &offer(alice, call(number), id(2)))[0].to, BOB);
        assert_eq!(refused(&mut rig, ALICE, &offer(alice, call(99), id(2))), ErrorCode::TooManyOffers);
        assert_eq!(rig.frame(BOB, &answer(bob, call(number), id(1)))[0].to, ALICE);
        // A repeat of the answer makes no more room.
        assert_eq!(rig.frame(BOB, &answer(bob, call(number), id(1)))[0].to, ALICE);
    }
    assert_eq!(refused(&mut rig, ALICE, &offer(alice, call(99), id(2))), ErrorCode::TooManyOffers);
    rig.pass_alive(secs(31), &[(ALICE, alice), (BOB, bob)]);
    assert_eq!(rig.frame(ALICE, &offer(alice, call(99), id(2)))[0].to, BOB);
    assert_eq!(rig.server.offers(), 1);
}

#[test]
fn server_has_so_many_open_offers_and_no_more_until_one_closes() {
    let mut rig = Rig::with(Config { max_offers: 2, ..small() });
    let (alice, bob) = rig.ringing();
    rig.pass(secs(1));
    rig.frame(BOB, &offer(bob, call(2), id(1)));
    let carol = rig.join(CAROL, id(3));
    let expected = error_with(call(3), ErrorCode::ServerFull, Kind::Offer, 2, 5000);
    assert_eq!(rig.frame(CAROL, &offer(carol, call(3), id(2))), [to(CAROL, &expected)]);
    assert_eq!(rig.frame(ALICE, &offer(alice, call(1), id(2)))[0].to, BOB);
    assert_eq!(rig.pass(millis(29_300)), [timed_out()]);
    assert_eq!(rig.frame(CAROL, &offer(carol, call(3), id(2)))[0].to, BOB);
}

#[test]
fn offer_id_belongs_to_its_two_peers_while_both_live() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.ringing();
    let carol = rig.join(CAROL, id(3));
    let conflict = error(call(1), ErrorCode::OfferConflict, Kind::Offer);
    for (from, frame) in [
        (CAROL, offer(carol, call(1), id(2))),
        (CAROL, offer(carol, call(1), id(1))),
        (BOB, offer(bob, call(1), id(1))),
        (BOB, offer(bob, call(1), id(3))),
        (ALICE, offer(alice, call(1), id(3))),
    ] {
        assert_eq!(rig.frame(from, &frame), [to(from, &conflict)]);
    }
    assert_eq!(rig.frame(ALICE, &offer(alice, call(1), id(2)))[0].to, BOB);
    assert_eq!(rig.frame(BOB, &answer(bob, call(1), id(1)))[0].to, ALICE);
}

#[test]
fn offer_whose_callee_came_back_with_a_new_session_opens_anew() {
    let mut rig = Rig::with(Config { max_peer_offers: 1, ..small() });
    let (alice, bob) = rig.answered();
    rig.frame(BOB, &unregister(bob));
    let bob = rig.join(BOB, id(2));
    let frame = offer(alice, call(1), id(2));
    assert_eq!(rig.frame(ALICE, &frame), [to(BOB, &relayed(&frame, bob, id(1), ALICE))]);
    assert_eq!(rig.server.offers(), 1);
    assert_eq!(refused(&mut rig, BOB, &punch(bob, call(1))), ErrorCode::NotPermitted);
    assert_eq!(rig.frame(BOB, &answer(bob, call(1), id(1)))[0].to, ALICE);
}

#[test]
fn offer_whose_caller_came_back_with_a_new_session_opens_anew() {
    let mut rig = Rig::with(Config { max_peer_offers: 1, ..small() });
    let (alice, bob) = rig.ringing();
    rig.frame(ALICE, &unregister(alice));
    let alice = rig.join(ALICE, id(1));
    let frame = offer(alice, call(1), id(2));
    assert_eq!(rig.frame(ALICE, &frame), [to(BOB, &relayed(&frame, bob, id(1), ALICE))]);
    assert_eq!(rig.server.offers(), 1);
    let frame = answer(bob, call(1), id(1));
    assert_eq!(rig.frame(BOB, &frame), [to(ALICE, &relayed(&frame, alice, id(2), BOB))]);
}

#[test]
fn id_of_a_dead_offer_is_free_for_others() {
    let mut rig = Rig::new();
    let (alice, _) = rig.ringing();
    let (carol, dora) = (rig.join(CAROL, id(3)), rig.join(CAFE, id(4)));
    rig.frame(ALICE, &unregister(alice));
    let frame = offer(carol, call(1), id(4));
    assert_eq!(rig.frame(CAROL, &frame), [to(CAFE, &relayed(&frame, dora, id(3), CAROL))]);
    assert_eq!(rig.server.offers(), 1);
}

#[test]
fn offer_that_nobody_answers_is_told_to_its_caller_once_and_is_closed() {
    for (offset, timeout) in [(0, 30_000), (100, 30_000), (249, 1000), (777, 123_456)] {
        let mut rig = Rig::with(Config { offer_timeout: millis(timeout), ..small() });
        rig.pass(millis(40_000 + offset));
        let (alice, bob) = rig.ringing();
        let alive = [(ALICE, alice), (BOB, bob)];
        assert_eq!(rig.pass_alive(millis(timeout - 1), &alive), []);
        assert_eq!(rig.pass_alive(millis(251), &alive), [timed_out()], "offset {offset}");
        assert_eq!(rig.server.offers(), 0);
        assert_eq!(rig.pass_alive(secs(300), &alive), []);
        assert_eq!(refused(&mut rig, BOB, &answer(bob, call(1), id(1))), ErrorCode::OfferUnknown);
        assert_eq!(rig.server.counters().offers_timed_out, 1);
    }
}

#[test]
fn repeats_do_not_put_the_timeout_off() {
    let mut rig = Rig::new();
    let (alice, _) = rig.ringing();
    for _ in 0..14 {
        assert_eq!(rig.pass(secs(2)), []);
        rig.frame(ALICE, &offer(alice, call(1), id(2)));
    }
    assert_eq!(rig.pass(millis(2250)), [timed_out()]);
}

#[test]
fn caller_that_moved_gets_no_notice_that_the_new_address_did_not_pay_for() {
    let mut rig = Rig::new();
    let (alice, _) = rig.ringing();
    rig.pass(secs(1));
    rig.register(CAFE, alice, id(1));
    assert_eq!(rig.pass(secs(40)), []);
    assert_eq!(rig.server.offers(), 0);
    let counters = rig.server.counters();
    assert_eq!((counters.offers_timed_out, counters.notices_withheld), (1, 1));
}

#[test]
fn caller_that_moved_and_repeated_gets_the_notice_at_the_new_address() {
    let mut rig = Rig::new();
    let (alice, _) = rig.ringing();
    rig.pass(secs(1));
    let there = Path { remote: CAFE, via: Via(9) };
    rig.register(there, alice, id(1));
    rig.frame(there, &offer(alice, call(1), id(2)));
    let mut notice = timed_out();
    (notice.to, notice.via) = (CAFE, Via(9));
    assert_eq!(rig.pass(secs(40)), [notice]);
}

#[test]
fn caller_back_at_the_address_that_paid_gets_its_notice() {
    let mut rig = Rig::new();
    let (alice, _) = rig.ringing();
    for address in [CAFE, ALICE] {
        rig.pass(secs(1));
        rig.register(address, alice, id(1));
    }
    assert_eq!(rig.pass(secs(40)), [timed_out()]);
}

#[test]
fn caller_that_registered_again_at_the_same_address_gets_its_notice() {
    let mut rig = Rig::new();
    let (alice, _) = rig.ringing();
    rig.pass(secs(1));
    assert_eq!(rig.register(ALICE, alice, id(1)), alice);
    assert_eq!(rig.pass(secs(40)), [timed_out()]);
}

#[test]
fn offers_end_with_the_session_of_their_caller_and_no_notice_is_owed() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.answered();
    rig.frame(ALICE, &offer(alice, call(2), id(2)));
    rig.frame(BOB, &offer(bob, call(3), id(1)));
    rig.frame(ALICE, &unregister(alice));
    assert_eq!((rig.server.offers(), rig.server.counters().offers_closed), (1, 2));
    rig.join(ALICE, id(1));
    assert_eq!(refused(&mut rig, BOB, &answer(bob, call(2), id(1))), ErrorCode::OfferUnknown);
    assert_eq!(rig.pass(secs(40)), [to(BOB, &error(call(3), ErrorCode::Timeout, Kind::Offer))]);
    assert_eq!((rig.server.offers(), rig.server.counters().notices_withheld), (0, 0));
}

#[test]
fn offers_of_a_caller_that_fell_silent_end_with_it() {
    let mut rig = Rig::with(Config { offer_timeout: secs(3600), ..small() });
    let (_, bob) = rig.ringing();
    assert_eq!(rig.pass_alive(secs(59), &[(BOB, bob)]), []);
    assert_eq!(rig.server.offers(), 1);
    assert_eq!(rig.pass_alive(secs(5), &[(BOB, bob)]), []);
    assert_eq!((rig.server.offers(), rig.server.counters().offers_closed), (0, 1));
}

#[test]
fn coming_and_going_does_not_fill_the_table() {
    let mut rig = Rig::with(Config { max_offers: 20, ..small() });
    rig.join(BOB, id(2));
    for round in 0..20u8 {
        let alice = rig.join(ALICE, id(1));
        for number in 0..16 {
            rig.frame(ALICE, &offer(alice, call(1 + number), id(2)));
            assert_eq!(rig.outcome, Outcome::Relayed(Kind::Offer), "round {round}");
        }
        rig.frame(ALICE, &unregister(alice));
        assert_eq!(rig.server.offers(), 0);
    }
}

#[test]
fn callee_that_left_changes_nothing_about_the_notice() {
    let mut rig = Rig::new();
    let (_, bob) = rig.ringing();
    rig.frame(BOB, &unregister(bob));
    assert_eq!(rig.pass(secs(40)), [timed_out()]);
}

#[test]
fn answered_offer_closes_silently_its_timeout_after_the_first_answer_fragment() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.ringing();
    let alive = [(ALICE, alice), (BOB, bob)];
    assert_eq!(rig.pass_alive(secs(29), &alive), []);
    rig.frame(BOB, &answer(bob, call(1), id(1)));
    assert_eq!(rig.pass_alive(secs(15), &alive), []);
    // Neither a repeat of the answer nor one of the offer puts the end off, or makes the offer pending again.
    assert_eq!(rig.frame(BOB, &answer(bob, call(1), id(1)))[0].to, ALICE);
    assert_eq!(rig.frame(ALICE, &offer(alice, call(1), id(2)))[0].to, BOB);
    assert_eq!(rig.pass_alive(millis(14_999), &alive), []);
    assert_eq!(rig.frame(ALICE, &candidate(alice, call(1), id(2)))[0].to, BOB);
    assert_eq!(rig.frame(BOB, &ack(bob, call(1)))[0].to, ALICE);
    assert_eq!(rig.frame(ALICE, &punch(alice, call(1))).len(), 2);
    assert_eq!(rig.pass_alive(millis(251), &alive), []);
    assert_eq!(rig.server.offers(), 0);
    for frame in [candidate(alice, call(1), id(2)), ack(alice, call(1)), punch(alice, call(1))] {
        assert_eq!(refused(&mut rig, ALICE, &frame), ErrorCode::OfferUnknown);
    }
    let counters = rig.server.counters();
    assert_eq!((counters.offers_answered, counters.offers_timed_out, counters.notices_withheld), (1, 0, 0));
}

#[test]
fn offer_that_timed_out_can_be_opened_again() {
    let mut rig = Rig::new();
    let (alice, _) = rig.ringing();
    assert_eq!(rig.pass(secs(31)), [timed_out()]);
    assert_eq!(rig.frame(ALICE, &offer(alice, call(1), id(2)))[0].to, BOB);
    assert_eq!(rig.pass(secs(31)), [timed_out()]);
}

#[test]
fn every_offer_has_its_own_end() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.couple();
    for number in 1..=10 {
        rig.frame(ALICE, &offer(alice, call(number), id(2)));
        rig.pass(secs(1));
    }
    for number in (1..=10).step_by(2) {
        rig.frame(BOB, &answer(bob, call(number), id(1)));
    }
    let told = rig.pass_alive(secs(60), &[(ALICE, alice), (BOB, bob)]);
    let expected: Vec<_> = (2..=10)
        .step_by(2)
        .map(|number| to(ALICE, &error(call(number), ErrorCode::Timeout, Kind::Offer)))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(rig.server.offers(), 0);
}

#[test]
fn offer_without_a_live_session_opens_nothing() {
    let mut rig = Rig::new();
    rig.couple();
    for session in [Session::NONE, STRANGE] {
        rig.frame(ALICE, &offer(session, call(1), id(2)));
        assert_eq!(rig.outcome, Outcome::Challenged);
    }
    assert_eq!(rig.server.offers(), 0);
}
