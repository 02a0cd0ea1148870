//! What an ERROR does: it holds back exactly what was refused, or it is final. SPEC 6 and 9

use std::time::Duration;

use roundtable_proto::client::{DropReason, Event, FailReason, Handled};
use roundtable_proto::wire::{Arrived, BlobKind, ErrorCode, Frame, Kind, Refusal, TransactionId};

use crate::rig::{ROUND_TRIP, Rig, identifier};

#[test]
fn retry_after_holds_exactly_that_transfer_back() {
    let mut rig = Rig::registered(1);
    let held = rig.offer(&[1; 3000]);
    assert_eq!(rig.indices(), [0, 1, 2]);
    let free = rig.client.offer(rig.now, identifier(8), vec![2; 2000]).unwrap();
    assert_eq!(rig.indices(), [0, 1]);
    for _ in 0..3 {
        rig.hear_error(*held.as_bytes(), (Kind::Offer, ErrorCode::PeerUnknown), 1200);
    }
    assert_eq!((rig.kinds(), rig.events()), (vec![], vec![]));
    let offers = |rig: &mut Rig| {
        rig.sent(|frames| {
            let offer = |frame: &Frame<'_>| match frame {
                Frame::Offer(fragment) => (fragment.head().offer, fragment.head().index),
                other => panic!("sent {other:?}"),
            };
            frames.iter().map(offer).collect::<Vec<_>>()
        })
    };
    assert_eq!(rig.pass_to_timeout(), Duration::from_millis(500));
    assert_eq!(offers(&mut rig), [(free, 0), (free, 1)]);
    rig.hear_ack(free, BlobKind::Offer, Arrived(0b11));
    rig.events();
    assert_eq!(rig.pass_to_timeout(), Duration::from_millis(700));
    assert_eq!(offers(&mut rig), [(held, 0), (held, 1), (held, 2)]);
}

#[test]
fn refused_repeat_while_ringing_is_tried_again_when_the_server_says() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(&[1; 3000]);
    rig.pass_to_timeout();
    assert_eq!(rig.indices(), [2]);
    for _ in 0..3 {
        rig.hear_error(*offer.as_bytes(), (Kind::Offer, ErrorCode::PeerUnknown), 500);
        assert_eq!(rig.pass_to_timeout(), Duration::from_millis(500));
        assert_eq!((rig.indices(), rig.events()), (vec![2], vec![]));
    }
}

#[test]
fn final_refusal_of_an_offer_names_its_reason() {
    let cases = [
        (ErrorCode::PeerUnknown.number(), FailReason::Refused(ErrorCode::PeerUnknown)),
        (ErrorCode::Timeout.number(), FailReason::Timeout),
        (999, FailReason::RefusedUnknown(999)),
    ];
    for (code, reason) in cases {
        let mut rig = Rig::registered(1);
        let offer = rig.ringing(b"ours");
        let reference = TransactionId(*offer.as_bytes());
        let kind = Kind::Offer.number();
        let refusal = Frame::Error(Refusal { reference, code, kind, detail: 0, retry_after: 0 });
        assert_eq!(rig.hear(&refusal), Handled::Ours);
        assert_eq!((rig.events(), rig.kinds()), (vec![Event::Failed { offer, reason }], vec![]));
        assert_eq!(rig.hear(&refusal), Handled::Dropped(DropReason::Reference));
    }
}

#[test]
fn errors_about_an_offer_are_ignored_once_the_answer_is_there() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(b"ours");
    rig.hear_blob(BlobKind::Answer, (offer, identifier(9)), b"theirs", 0);
    rig.events();
    let timeout = rig.hear_error(*offer.as_bytes(), (Kind::Offer, ErrorCode::Timeout), 0);
    assert_eq!((timeout, rig.events()), (Handled::Dropped(DropReason::Phase), vec![]));
}

#[test]
fn answer_waits_for_the_offer_to_be_opened_again() {
    let mut rig = Rig::registered(1);
    let offer = rig.offered(3);
    rig.client.answer(rig.now, offer, vec![1; 2000]).unwrap();
    for _ in 0..3 {
        assert_eq!(rig.indices(), [0, 1]);
        rig.hear_error(*offer.as_bytes(), (Kind::Answer, ErrorCode::OfferUnknown), 500);
        rig.hear_error(*offer.as_bytes(), (Kind::Answer, ErrorCode::OfferUnknown), 500);
        assert_eq!(rig.pass_to_timeout(), Duration::from_millis(500));
    }
    rig.sent(|_| ());
    rig.hear_error(*offer.as_bytes(), (Kind::Answer, ErrorCode::OfferUnknown), 0);
    let reason = FailReason::Refused(ErrorCode::OfferUnknown);
    assert_eq!(rig.events(), [Event::Failed { offer, reason }]);
}

#[test]
fn caller_opens_the_offer_again_when_its_acknowledgement_finds_it_unknown() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(&[1; 3000]);
    rig.hear_blob(BlobKind::Answer, (offer, identifier(9)), &[2; 3000], 0);
    rig.pass(Duration::from_millis(10));
    assert_eq!(rig.kinds(), [Kind::Ack]);
    rig.hear_error(*offer.as_bytes(), (Kind::Ack, ErrorCode::OfferUnknown), 500);
    assert_eq!(rig.indices(), [2]);
    assert_eq!(rig.pass_to_timeout(), Duration::from_millis(500));
    assert_eq!(rig.kinds(), [Kind::Ack]);
}

#[test]
fn final_refusal_of_an_acknowledgement_ends_an_offer_that_is_not_answered() {
    let mut rig = Rig::registered(1);
    let offer = rig.offered(3);
    rig.hear_error(*offer.as_bytes(), (Kind::Ack, ErrorCode::OfferUnknown), 0);
    let reason = FailReason::Refused(ErrorCode::OfferUnknown);
    assert_eq!(rig.events(), [Event::Failed { offer, reason }]);
}

#[test]
fn final_refusal_of_candidates_ends_only_these() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(b"ours");
    rig.client.candidate(rig.now, offer, vec![1]).unwrap();
    assert_eq!(rig.indices(), [0]);
    rig.hear_error(*offer.as_bytes(), (Kind::Candidate, ErrorCode::OfferUnknown), 0);
    let reason = FailReason::Refused(ErrorCode::OfferUnknown);
    assert_eq!(rig.events(), [Event::CandidatesFailed { offer, reason }]);
    rig.pass(ROUND_TRIP);
    assert_eq!(rig.kinds(), []);
    rig.hear_blob(BlobKind::Answer, (offer, identifier(9)), b"theirs", 0);
    assert_eq!(rig.events().len(), 1);
}

#[test]
fn error_about_something_never_sent_is_ignored() {
    let mut rig = Rig::registered(1);
    let offer = rig.offered(3);
    let ignored = |kind| (kind, ErrorCode::NotPermitted);
    let reference = *offer.as_bytes();
    assert_eq!(rig.hear_error([1; 16], ignored(Kind::Offer), 0), Handled::Dropped(DropReason::Reference));
    assert_eq!(rig.hear_error(reference, ignored(Kind::Offer), 0), Handled::Dropped(DropReason::Reference));
    assert_eq!(rig.hear_error(reference, ignored(Kind::Answer), 0), Handled::Dropped(DropReason::Phase));
    assert_eq!(
        rig.hear_error(reference, ignored(Kind::Register), 0),
        Handled::Dropped(DropReason::Reference)
    );
    assert_eq!(rig.events(), []);
}
