//! Two peers that call each other at once: the smaller identifier's offer yields. SPEC 6

use roundtable_proto::client::{DropReason, Event, FailReason, Handled, OfferError};
use roundtable_proto::wire::{BlobKind, Frame, Kind};

use crate::rig::{Rig, identifier, offer_id};

/// The other peer of these tests has identifier 9: 1 is smaller, 20 larger.
const SMALLER: u8 = 1;
const LARGER: u8 = 20;

#[test]
fn smaller_identifier_yields_on_the_first_fragment_and_goes_on_as_callee() {
    let mut rig = Rig::registered(SMALLER);
    let ours = rig.offer(&[1; 3000]);
    rig.sent(|_| ());
    let theirs = offer_id(3);
    rig.hear_blob(BlobKind::Offer, (theirs, identifier(9)), &[2; 2000], 1);
    assert_eq!(rig.events(), [Event::Yielded { offer: ours, to: theirs }]);
    rig.hear_blob(BlobKind::Offer, (theirs, identifier(9)), &[2; 2000], 0);
    let events = rig.events();
    assert!(matches!(events.as_slice(), [Event::Offered { offer, .. }] if *offer == theirs));
    rig.pass_to_timeout();
    assert!(!rig.kinds().contains(&Kind::Offer), "the own offer is not sent any more");
}

#[test]
fn larger_identifier_ignores_the_other_offer_without_acknowledging_it() {
    let mut rig = Rig::registered(LARGER);
    let ours = rig.ringing(b"ours");
    let theirs = offer_id(3);
    for _ in 0..3 {
        let handled = rig.hear_blob(BlobKind::Offer, (theirs, identifier(9)), b"theirs", 0);
        assert_eq!(handled, Handled::Dropped(DropReason::Glare));
    }
    assert_eq!((rig.kinds(), rig.events()), (vec![], vec![]));
    rig.hear_blob(BlobKind::Answer, (ours, identifier(9)), b"answer", 0);
    assert_eq!(rig.events().len(), 1);
    rig.sent(|_| ());
    // What is left of it in the network must not ring after the answer.
    let late = rig.hear_blob(BlobKind::Offer, (theirs, identifier(9)), b"theirs", 0);
    assert_eq!(late, Handled::Dropped(DropReason::Offer));
    assert_eq!((rig.kinds(), rig.events()), (vec![], vec![]));
}

#[test]
fn ignored_offer_may_ring_once_the_own_one_has_failed() {
    let mut rig = Rig::registered(LARGER);
    let ours = rig.ringing(b"ours");
    let theirs = offer_id(3);
    rig.hear_blob(BlobKind::Offer, (theirs, identifier(9)), b"theirs", 0);
    let refused = (Kind::Offer, roundtable_proto::wire::ErrorCode::PeerUnknown);
    rig.hear_error(*ours.as_bytes(), refused, 0);
    assert_eq!(rig.events().len(), 1);
    rig.hear_blob(BlobKind::Offer, (theirs, identifier(9)), b"theirs", 0);
    let events = rig.events();
    assert!(matches!(events.as_slice(), [Event::Offered { offer, .. }] if *offer == theirs));
}

#[test]
fn smaller_identifier_does_not_yield_once_it_is_being_answered() {
    let mut rig = Rig::registered(SMALLER);
    let ours = rig.ringing(b"ours");
    rig.hear_blob(BlobKind::Answer, (ours, identifier(9)), &[1; 2000], 0);
    rig.hear_blob(BlobKind::Offer, (offer_id(3), identifier(9)), b"theirs", 0);
    let events = rig.events();
    assert!(matches!(events.as_slice(), [Event::Offered { .. }]), "{events:?}");
    rig.hear_blob(BlobKind::Answer, (ours, identifier(9)), &[1; 2000], 1);
    assert_eq!(rig.events().len(), 1);
}

#[test]
fn offer_of_a_third_peer_is_no_glare() {
    for number in [SMALLER, LARGER] {
        let mut rig = Rig::registered(number);
        rig.ringing(b"ours");
        rig.hear_blob(BlobKind::Offer, (offer_id(3), identifier(8)), b"theirs", 0);
        let events = rig.events();
        assert!(matches!(events.as_slice(), [Event::Offered { .. }]), "{events:?}");
    }
}

#[test]
fn smaller_identifier_cannot_call_whoever_calls_it() {
    for fragments in [1, 2] {
        let mut rig = Rig::registered(SMALLER);
        let theirs = offer_id(3);
        for index in 0..fragments {
            rig.hear_blob(BlobKind::Offer, (theirs, identifier(9)), &[2; 2000], index);
        }
        let refused = rig.client.offer(rig.now, identifier(9), vec![1]);
        assert_eq!(refused, Err(OfferError::TargetIsCalling(theirs)));
    }
}

#[test]
fn larger_identifier_that_calls_whoever_calls_it_supersedes_that_call() {
    let mut rig = Rig::registered(LARGER);
    let theirs = rig.offered(3);
    let ours = rig.offer(b"ours");
    assert_eq!(rig.events(), [Event::Failed { offer: theirs, reason: FailReason::Superseded }]);
    rig.sent(|frames| assert!(matches!(frames, [Frame::Offer(f)] if f.head().offer == ours)));
    let repeat = rig.hear_blob(BlobKind::Offer, (theirs, identifier(9)), b"theirs", 0);
    assert_eq!(repeat, Handled::Dropped(DropReason::Offer));
    assert_eq!((rig.kinds(), rig.events()), (vec![], vec![]));
}
