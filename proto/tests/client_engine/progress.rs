//! How far offers and answers have come: what is told, when, and that nothing is kept for who does not ask.

use roundtable_proto::client::{
    Arriving, Event, Handled, OFFER_MARGIN, Progress, REASSEMBLIES_MAX, Transfer,
};
use roundtable_proto::wire::{Arrived, BlobKind, FRAGMENT, OfferId};

use crate::rig::{ROUND_TRIP, Rig, head, identifier, offer_id};

/// Three fragments, of which the last has 500 bytes.
const LENGTH: usize = 2 * FRAGMENT + 500;

fn of_three(transfer: Transfer, fragments: usize, bytes: usize) -> Progress {
    Progress { transfer, fragments, of_fragments: 3, bytes, of_bytes: LENGTH }
}

/// All that a client has to say of progress.
fn told(rig: &mut Rig) -> Vec<(OfferId, Progress)> {
    std::iter::from_fn(|| rig.client.poll_progress()).collect()
}

fn arriving(rig: &mut Rig) -> Option<Vec<Arriving>> {
    let arriving = rig.client.poll_arriving().map(<[Arriving]>::to_vec);
    assert_eq!(rig.client.poll_arriving(), None, "told once");
    arriving
}

#[test]
fn caller_learns_what_is_acknowledged_of_its_offer_and_what_arrives_of_the_answer() {
    let mut rig = Rig::registered(1);
    let offer = rig.offer(&[1; LENGTH]);
    let call = (offer, identifier(9));
    assert_eq!(told(&mut rig), [(offer, of_three(Transfer::Offer, 0, 0))]);
    rig.sent(|_| ());
    assert_eq!(told(&mut rig), [], "what was sent may be lost");
    rig.now += ROUND_TRIP;
    rig.hear_ack(offer, BlobKind::Offer, Arrived(0b100));
    assert_eq!(told(&mut rig), [(offer, of_three(Transfer::Offer, 1, 500))]);
    assert_eq!(told(&mut rig), []);
    rig.hear_ack(offer, BlobKind::Offer, Arrived(0b111));
    assert_eq!(told(&mut rig), [(offer, of_three(Transfer::Offer, 3, LENGTH))]);

    rig.hear_blob(BlobKind::Answer, call, &[2; LENGTH], 1);
    assert_eq!(told(&mut rig), [(offer, of_three(Transfer::Answer, 1, FRAGMENT))]);
    rig.hear_blob(BlobKind::Answer, call, &[2; LENGTH], 1);
    assert_eq!(told(&mut rig), [], "it was there already");
    rig.hear_blob(BlobKind::Answer, call, &[2; LENGTH], 2);
    rig.hear_blob(BlobKind::Answer, call, &[2; LENGTH], 0);
    assert_eq!(told(&mut rig), [(offer, of_three(Transfer::Answer, 3, LENGTH))], "the latest alone");
}

#[test]
fn callee_learns_what_arrives_of_an_offer_and_what_is_acknowledged_of_its_answer() {
    let mut rig = Rig::registered(1);
    let (offer, from) = (offer_id(3), identifier(9));
    let so_far = |fragments, bytes| {
        Some(vec![Arriving { offer, from, progress: of_three(Transfer::Offer, fragments, bytes) }])
    };
    assert_eq!(arriving(&mut rig), None);
    rig.hear_blob(BlobKind::Offer, (offer, from), &[1; LENGTH], 2);
    assert_eq!(arriving(&mut rig), so_far(1, 500));
    rig.hear_blob(BlobKind::Offer, (offer, from), &[1; LENGTH], 0);
    assert_eq!(arriving(&mut rig), so_far(2, 500 + FRAGMENT));
    rig.hear_blob(BlobKind::Offer, (offer, from), &[1; LENGTH], 0);
    assert_eq!((arriving(&mut rig), rig.events()), (None, vec![]));
    rig.hear_blob(BlobKind::Offer, (offer, from), &[1; LENGTH], 1);
    assert_eq!((arriving(&mut rig), rig.events().len()), (Some(vec![]), 1), "now it rings");
    assert_eq!(told(&mut rig), []);

    rig.client.answer(rig.now, offer, vec![2; LENGTH]).unwrap();
    rig.sent(|_| ());
    assert_eq!(told(&mut rig), [(offer, of_three(Transfer::Answer, 0, 0))]);
    rig.now += ROUND_TRIP;
    rig.hear_ack(offer, BlobKind::Answer, Arrived(0b011));
    assert_eq!(told(&mut rig), [(offer, of_three(Transfer::Answer, 2, 2 * FRAGMENT))]);
    rig.hear_ack(offer, BlobKind::Answer, Arrived(0b111));
    assert_eq!(told(&mut rig), [(offer, of_three(Transfer::Answer, 3, LENGTH))]);
    assert_eq!(rig.events(), [Event::AnswerDelivered { offer }]);
}

#[test]
fn blobs_of_one_fragment_are_no_news() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(&[1; FRAGMENT]);
    rig.hear_blob(BlobKind::Answer, (offer, identifier(9)), &[2; FRAGMENT], 0);
    rig.sent(|_| ());
    assert_eq!(rig.events().len(), 1);
    let theirs = rig.offered(3);
    rig.client.answer(rig.now, theirs, vec![3; FRAGMENT]).unwrap();
    rig.sent(|_| ());
    rig.hear_ack(theirs, BlobKind::Answer, Arrived(1));
    assert_eq!((told(&mut rig), arriving(&mut rig)), (vec![], None));
}

#[test]
fn answer_of_one_fragment_stands_for_the_lost_acknowledgement() {
    let mut rig = Rig::registered(1);
    let offer = rig.offer(&[1; LENGTH]);
    rig.sent(|_| ());
    assert_eq!(told(&mut rig), [(offer, of_three(Transfer::Offer, 0, 0))]);
    rig.hear_blob(BlobKind::Answer, (offer, identifier(9)), b"theirs", 0);
    assert_eq!(told(&mut rig), [(offer, of_three(Transfer::Offer, 3, LENGTH))]);
}

#[test]
fn callee_that_has_lost_the_offer_makes_it_fall_back() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(&[1; LENGTH]);
    assert_eq!(told(&mut rig), [(offer, of_three(Transfer::Offer, 3, LENGTH))]);
    rig.pass_to_timeout();
    rig.sent(|_| ());
    rig.now += ROUND_TRIP;
    rig.hear_ack(offer, BlobKind::Offer, Arrived(0b100));
    assert_eq!(told(&mut rig), [(offer, of_three(Transfer::Offer, 1, 500))]);
}

#[test]
fn offer_that_comes_to_nothing_leaves_the_list_without_an_event() {
    let mut rig = Rig::registered(1);
    let call = (offer_id(3), identifier(9));
    rig.hear_blob(BlobKind::Offer, call, &[1; LENGTH], 0);
    assert_eq!(arriving(&mut rig).unwrap().len(), 1);
    rig.pass(std::time::Duration::from_secs(30) + OFFER_MARGIN);
    rig.sent(|_| ());
    assert_eq!((arriving(&mut rig), rig.events()), (Some(vec![]), vec![]));

    // It is not what was announced.
    for index in 0..3 {
        rig.hear_head(BlobKind::Offer, head(call.0, call.1, &[1; LENGTH], index), &[7; LENGTH]);
        let left = arriving(&mut rig).map(|arriving| arriving.len());
        assert_eq!(left, [Some(1), Some(1), Some(0)][usize::from(index)]);
    }
    assert_eq!(rig.events(), []);
}

#[test]
fn offers_that_arrive_are_listed_up_to_the_bound_and_in_order() {
    let mut rig = Rig::registered(1);
    for number in (0..200).rev() {
        let call = (offer_id(number), identifier(number.saturating_add(10)));
        rig.hear_blob(BlobKind::Offer, call, &[1; LENGTH], 0);
    }
    let arriving = arriving(&mut rig).unwrap();
    assert_eq!(arriving.len(), REASSEMBLIES_MAX);
    assert!(arriving.is_sorted_by_key(|arriving| arriving.offer));
}

#[test]
fn fragments_of_strangers_to_the_call_are_no_progress() {
    let mut rig = Rig::registered(1);
    let offer = rig.ringing(b"ours");
    rig.hear_blob(BlobKind::Answer, (offer, identifier(9)), &[2; LENGTH], 0);
    assert_eq!(told(&mut rig), [(offer, of_three(Transfer::Answer, 1, FRAGMENT))]);
    for (source, blob) in [(identifier(8), [2; LENGTH]), (identifier(9), [3; LENGTH])] {
        let dropped = rig.hear_blob(BlobKind::Answer, (offer, source), &blob, 1);
        assert!(matches!(dropped, Handled::Dropped(_)), "{dropped:?}");
    }
    assert_eq!(told(&mut rig), []);
}
