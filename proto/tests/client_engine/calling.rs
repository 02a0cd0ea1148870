//! The caller's side: sending, ringing, the answer. SPEC 6 and 7

use std::time::Duration;

use roundtable_proto::client::{
    CallError, DropReason, Event, FEW_PIECES, FailReason, Handled, OFFER_LINGER, OFFER_MARGIN, OFFER_REPEAT,
    OfferError, SILENT_TIMEOUTS_OF_FEW,
};
use roundtable_proto::wire::{
    Ack, Arrived, BLOB_MAX, BlobKind, Challenge, Cookie, Digest, Frame, Kind, Session, TransactionId,
};

use crate::rig::{ROUND_TRIP, Rig, SESSION, head, identifier, observed, offer_id};

const ACK_DELAY: Duration = Duration::from_millis(10);

/// The only frame to be sent is this acknowledgement.
fn acknowledges(rig: &mut Rig, expected: Ack) {
    rig.sent(|frames| assert_eq!(frames, [Frame::Ack(expected)]));
}

#[test]
fn offer_goes_out_as_fragments_of_one_digest_within_the_window() {
    let mut rig = Rig::registered(1);
    let blob: Vec<u8> = (0..20_000).map(|at| at as u8).collect();
    let offer = rig.offer(&blob);
    rig.sent(|frames| {
        assert_eq!(frames.len(), 16);
        for (index, frame) in (0..).zip(frames) {
            let Frame::Offer(fragment) = frame else { panic!("sent {frame:?}") };
            let head = fragment.head();
            assert_eq!((head.session, head.offer, head.target), (SESSION, offer, identifier(9)));
            assert_eq!((head.digest, head.length, head.index), (Digest::of(&blob), 20_000, index));
            assert_eq!(fragment.blob(), &blob[usize::from(index) * 1024..][..1024]);
        }
    });
    assert_eq!((rig.kinds(), rig.events()), (vec![], vec![]));
    // Each acknowledged fragment opens the window by two: itself and one more.
    rig.now += ROUND_TRIP;
    rig.hear_ack(offer, BlobKind::Offer, Arrived(0b11));
    assert_eq!(rig.indices(), [16, 17, 18, 19]);
}

#[test]
fn fragments_overtaken_by_three_are_sent_again_at_once() {
    let mut rig = Rig::registered(1);
    let offer = rig.offer(&[1; 10 * 1024]);
    assert_eq!(rig.indices().len(), 10);
    rig.now += ROUND_TRIP;
    // Beyond fragment 0 three have arrived, beyond all others two.
    rig.hear_ack(offer, BlobKind::Offer, Arrived(0b11_0000_0010));
    assert_eq!(rig.indices(), [0]);
    rig.hear_ack(offer, BlobKind::Offer, Arrived(0b11_1000_0010));
    assert_eq!(rig.indices(), [2, 3, 4, 5, 6]);
    assert_eq!(rig.client.counters().retransmissions, 6);
}

#[test]
fn unacknowledged_fragments_are_sent_again_after_the_timeout() {
    let mut rig = Rig::registered(1);
    rig.offer(&[1; 5 * 1024]);
    assert_eq!(rig.indices(), [0, 1, 2, 3, 4]);
    for millis in [500, 500, 1000, 1000, 1000] {
        assert_eq!(rig.pass_to_timeout(), Duration::from_millis(millis));
        assert_eq!(rig.indices(), [0, 1, 2, 3, 4]);
    }
}

#[test]
fn few_unacknowledged_fragments_are_sent_again_at_an_even_pace() {
    let mut rig = Rig::registered(1);
    rig.offer(&[1; FEW_PIECES * 1024]);
    assert_eq!(rig.indices(), [0, 1, 2, 3]);
    for silent in 0..20 {
        let millis = if silent <= SILENT_TIMEOUTS_OF_FEW { 500 } else { 1000 };
        assert_eq!(rig.pass_to_timeout(), Duration::from_millis(millis), "{silent}");
        assert_eq!(rig.indices(), [0, 1, 2, 3]);
    }
}

#[test]
fn whole_acknowledgement_rings_and_the_last_fragment_repeats_every_two_seconds() {
    let mut rig = Rig::registered(1);
    rig.ringing(&[1; 3000]);
    for _ in 0..5 {
        assert_eq!(rig.pass_to_timeout(), OFFER_REPEAT);
        assert_eq!((rig.indices(), rig.events()), (vec![2], vec![]));
    }
}

#[test]
fn answer_is_delivered_once_and_its_repeats_are_acknowledged() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(b"ours");
    let answer = [7; 2000];
    let call = (offer, identifier(9));
    let ack = |bits| Ack::new(SESSION, offer, BlobKind::Answer, Arrived(bits));
    assert_eq!(rig.hear_blob(BlobKind::Answer, call, &answer, 1), Handled::Ours);
    assert_eq!((rig.kinds(), rig.events()), (vec![], vec![]));
    assert_eq!(rig.pass_to_timeout(), ACK_DELAY);
    acknowledges(&mut rig, ack(0b10));
    rig.hear_blob(BlobKind::Answer, call, &answer, 0);
    acknowledges(&mut rig, ack(0b11));
    let observed = "203.0.113.7:7".parse().unwrap();
    let event = Event::Answered { offer, from: identifier(9), observed, blob: answer.to_vec() };
    assert_eq!(rig.events(), [event]);
    rig.hear_blob(BlobKind::Answer, call, &answer, 0);
    rig.pass(ACK_DELAY);
    acknowledges(&mut rig, ack(0b11));
    assert_eq!(rig.events(), []);
}

#[test]
fn first_answer_wins() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(b"ours");
    let call = (offer, identifier(9));
    rig.hear_blob(BlobKind::Answer, call, &[7; 2000], 0);
    let other = rig.hear_blob(BlobKind::Answer, call, &[8; 2000], 1);
    assert_eq!(other, Handled::Dropped(DropReason::Mismatch));
    let stranger = rig.hear_blob(BlobKind::Answer, (offer, identifier(8)), &[7; 2000], 1);
    assert_eq!(stranger, Handled::Dropped(DropReason::Peer));
    assert_eq!(rig.events(), []);
    rig.hear_blob(BlobKind::Answer, call, &[7; 2000], 1);
    assert_eq!(rig.events().len(), 1);
    assert_eq!(rig.hear_blob(BlobKind::Answer, call, b"late", 0), Handled::Dropped(DropReason::Mismatch));
    assert_eq!(rig.events(), []);
}

#[test]
fn answer_stands_for_the_lost_acknowledgement_of_the_offer() {
    let mut rig = Rig::registered(1);
    let offer = rig.offer(&[1; 5000]);
    assert_eq!(rig.indices().len(), 5);
    rig.hear_blob(BlobKind::Answer, (offer, identifier(9)), &[7; 2000], 0);
    assert_eq!(rig.events(), [Event::OfferDelivered { offer }]);
    rig.pass(Duration::from_secs(1));
    assert!(rig.indices().is_empty(), "the offer is not sent again");
}

#[test]
fn last_fragment_repeats_a_little_beyond_the_answer() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(b"ours");
    rig.hear_blob(BlobKind::Answer, (offer, identifier(9)), b"theirs", 0);
    rig.sent(|_| ());
    let answered = rig.now;
    let mut repeats = Vec::new();
    while rig.now.since(answered) < Duration::from_secs(15) {
        rig.pass(Duration::from_millis(100));
        if rig.kinds().contains(&Kind::Offer) {
            repeats.push(rig.now.since(answered));
        }
    }
    assert_eq!(repeats.len(), 2, "{repeats:?}");
    assert!(repeats.iter().all(|at| *at <= OFFER_LINGER));
}

#[test]
fn empty_answer_declines_and_is_acknowledged_at_once_and_again() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(b"ours");
    let ack = Ack::new(SESSION, offer, BlobKind::Answer, Arrived(1));
    for events in [vec![Event::Declined { offer }], vec![]] {
        assert_eq!(rig.hear_blob(BlobKind::Answer, (offer, identifier(9)), b"", 0), Handled::Ours);
        acknowledges(&mut rig, ack);
        assert_eq!(rig.events(), events);
    }
    assert_eq!(rig.client.punch(rig.now, offer), Err(CallError::Unknown));
}

#[test]
fn damaged_answer_fails_the_call() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(b"ours");
    let head = head(offer, identifier(9), b"intact", 0);
    rig.hear_head(BlobKind::Answer, head, b"broken");
    assert_eq!(rig.events(), [Event::Failed { offer, reason: FailReason::Damaged }]);
    assert_eq!(rig.kinds(), []);
    assert_eq!(rig.client.counters().dropped(DropReason::Digest), 1);
}

#[test]
fn callee_that_has_lost_the_offer_gets_it_again_while_it_rings() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(&[1; 4000]);
    rig.pass_to_timeout();
    assert_eq!(rig.indices(), [3]);
    rig.now += ROUND_TRIP;
    // The application of the callee was started anew: it has but the fragment that was repeated.
    rig.hear_ack(offer, BlobKind::Offer, Arrived(0b1000));
    assert_eq!(rig.indices(), [0, 1, 2]);
    rig.hear_ack(offer, BlobKind::Offer, Arrived(0b1111));
    assert_eq!((rig.indices(), rig.events()), (vec![], vec![]));
}

#[test]
fn challenge_in_mid_transfer_is_answered_and_the_rest_sent_at_once_in_the_new_session() {
    let mut rig = Rig::registered(1);
    let offer = rig.offer(&[1; 4096]);
    assert_eq!(rig.indices().len(), 4);
    rig.now += ROUND_TRIP;
    rig.hear_ack(offer, BlobKind::Offer, Arrived(0b0001));
    rig.now += ROUND_TRIP;
    let reference = TransactionId(*offer.as_bytes());
    rig.hear(&Frame::Challenge(Challenge { reference, cookie: Cookie([9; 16]), observed: observed() }));
    rig.answer_proof(Session([6; 16]));
    rig.sent(|frames| {
        let sessions: Vec<_> = frames
            .iter()
            .map(|frame| match frame {
                Frame::Offer(fragment) => (fragment.head().session, fragment.head().index),
                other => panic!("sent {other:?}"),
            })
            .collect();
        assert_eq!(sessions, [1, 2, 3].map(|index| (Session([6; 16]), index)));
    });
}

#[test]
fn ringing_call_is_opened_again_at_once_when_the_server_knows_this_client_again() {
    let mut rig = Rig::registered(1);
    rig.ringing(&[1; 3000]);
    rig.client.rebind(rig.now);
    rig.answer_registers(Session([6; 16]));
    assert_eq!(rig.indices(), [2]);
}

#[test]
fn own_timer_runs_from_the_first_fragment() {
    let mut rig = Rig::new(1);
    rig.client.register(rig.now);
    rig.client.offer(rig.now, identifier(9), b"ours".to_vec()).unwrap();
    rig.sent(|_| ());
    rig.pass(Duration::from_secs(20));
    rig.answer_registers(SESSION);
    assert_eq!(rig.kinds(), [Kind::Offer]);
    rig.pass(Duration::from_secs(31));
    let failed = |rig: &mut Rig| rig.events().iter().any(|event| matches!(event, Event::Failed { .. }));
    assert!(!failed(&mut rig));
    rig.pass(Duration::from_secs(1));
    assert!(failed(&mut rig));
}

#[test]
fn nobody_answering_fails_by_the_own_timer() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(b"ours");
    let mut keepalives = 0;
    let start = rig.now;
    loop {
        rig.pass_to_timeout();
        rig.sent(|frames| frames.iter().map(Frame::to_vec).collect::<Vec<_>>()).into_iter().for_each(
            |bytes| {
                if let Ok(Frame::Keepalive(keepalive)) = roundtable_proto::wire::decode(&bytes) {
                    keepalives += 1;
                    rig.hear(&Frame::KeepaliveReply(keepalive));
                }
            },
        );
        let events = rig.events();
        if !events.is_empty() {
            assert_eq!(events, [Event::Failed { offer, reason: FailReason::NoAnswer }]);
            let waited = Duration::from_secs(30) + OFFER_MARGIN - ROUND_TRIP;
            assert_eq!((rig.now.since(start), keepalives), (waited, 1));
            return;
        }
    }
}

#[test]
fn silent_server_does_not_fail_a_call_before_its_own_timer_but_is_named_then() {
    let mut rig = Rig::registered(1);
    let start = rig.now;
    let offer = rig.offer(b"ours");
    loop {
        rig.sent(|_| ());
        rig.pass_to_timeout();
        let events = rig.events();
        if let Some(Event::Failed { offer: failed, reason }) = events.last() {
            assert_eq!((*failed, *reason), (offer, FailReason::ServerSilent));
            assert_eq!(rig.now.since(start), Duration::from_secs(32));
            return;
        }
    }
}

#[test]
fn offer_before_registering_is_complete_waits_for_it() {
    let mut rig = Rig::new(1);
    rig.client.register(rig.now);
    let offer = rig.client.offer(rig.now, identifier(9), b"ours".to_vec()).unwrap();
    rig.answer_registers(SESSION);
    rig.sent(|frames| assert!(matches!(frames, [Frame::Offer(f)] if f.head().offer == offer)));
}

#[test]
fn offers_that_cannot_be_made_are_refused_at_once() {
    let mut rig = Rig::new(1);
    let refused = rig.client.offer(rig.now, identifier(9), vec![1]);
    assert_eq!(refused, Err(OfferError::NotRegistered));
    let mut rig = Rig::registered(1);
    assert_eq!(rig.client.offer(rig.now, identifier(1), vec![1]), Err(OfferError::ToSelf));
    assert_eq!(rig.client.offer(rig.now, identifier(9), vec![]), Err(OfferError::Empty));
    let had = BLOB_MAX + 1;
    let large = rig.client.offer(rig.now, identifier(9), vec![1; had]);
    assert_eq!(large, Err(OfferError::TooLarge { limit: BLOB_MAX, had }));
    assert_eq!((rig.kinds(), rig.events()), (vec![], vec![]));
}

#[test]
fn commands_on_calls_that_are_not_there_are_refused() {
    let mut rig = Rig::registered(1);
    let (now, unknown) = (rig.now, offer_id(3));
    assert_eq!(rig.client.answer(now, unknown, vec![1]), Err(CallError::Unknown));
    assert_eq!(rig.client.answer(now, unknown, vec![]), Err(CallError::Empty));
    assert_eq!(rig.client.decline(now, unknown), Err(CallError::Unknown));
    assert_eq!(rig.client.candidate(now, unknown, vec![1]), Err(CallError::Unknown));
    assert_eq!(rig.client.punch(now, unknown), Err(CallError::Unknown));
    let own = rig.offer(b"ours");
    assert_eq!(rig.client.answer(now, own, vec![1]), Err(CallError::NotAnswerable));
}

#[test]
fn candidates_wait_for_the_offer_and_are_repeated_until_acknowledged() {
    let mut rig = Rig::registered(1);
    let offer = rig.offer(b"ours");
    rig.client.candidate(rig.now, offer, b"first".to_vec()).unwrap();
    rig.client.candidate(rig.now, offer, b"second".to_vec()).unwrap();
    assert_eq!(rig.kinds(), [Kind::Offer]);
    rig.now += ROUND_TRIP;
    rig.hear_ack(offer, BlobKind::Offer, Arrived(1));
    assert_eq!(rig.indices(), [0, 1]);
    rig.now += ROUND_TRIP;
    rig.hear_ack(offer, BlobKind::Candidate, Arrived(0b10));
    rig.pass_to_timeout();
    assert_eq!((rig.kinds(), rig.indices()), (vec![Kind::Candidate], vec![]));
    rig.hear_ack(offer, BlobKind::Candidate, Arrived(0b11));
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.kinds(), []);
}
