//! The callee's side: reassembly, acknowledgement, the application's answer. SPEC 6 and 7

use std::time::Duration;

use roundtable_proto::client::{CallError, DropReason, Event, FailReason, Handled, NUDGE, OFFER_MARGIN};
use roundtable_proto::wire::{Ack, Arrived, BlobKind, Digest, Frame, Kind, OfferId};

use crate::rig::{ROUND_TRIP, Rig, SESSION, head, identifier, offer_id};

const ACK_DELAY: Duration = Duration::from_millis(10);
const CALL: fn() -> (OfferId, roundtable_proto::wire::PeerId) = || (offer_id(3), identifier(9));

fn acknowledged(rig: &mut Rig, kind: BlobKind, bits: u64) {
    let ack = Ack::new(SESSION, offer_id(3), kind, Arrived(bits));
    rig.sent(|frames| assert_eq!(frames, [Frame::Ack(ack)]));
}

fn hear(rig: &mut Rig, blob: &[u8], index: u8) -> Handled {
    rig.hear_blob(BlobKind::Offer, CALL(), blob, index)
}

#[test]
fn train_is_acknowledged_together_and_the_whole_offer_at_once() {
    let mut rig = Rig::registered(1);
    let blob: Vec<u8> = (0..4000).map(|at| at as u8).collect();
    hear(&mut rig, &blob, 3);
    hear(&mut rig, &blob, 0);
    assert_eq!(rig.kinds(), []);
    assert_eq!(rig.pass_to_timeout(), ACK_DELAY);
    acknowledged(&mut rig, BlobKind::Offer, 0b1001);
    hear(&mut rig, &blob, 1);
    assert_eq!(rig.events(), []);
    hear(&mut rig, &blob, 2);
    acknowledged(&mut rig, BlobKind::Offer, 0b1111);
    let observed = "203.0.113.7:7".parse().unwrap();
    assert_eq!(rig.events(), [Event::Offered { offer: offer_id(3), from: identifier(9), observed, blob }]);
}

#[test]
fn eight_fragments_are_acknowledged_without_delay() {
    let mut rig = Rig::registered(1);
    for index in 0..7 {
        hear(&mut rig, &[1; 20 * 1024], index);
        assert_eq!(rig.kinds(), []);
    }
    hear(&mut rig, &[1; 20 * 1024], 7);
    acknowledged(&mut rig, BlobKind::Offer, 0xFF);
    hear(&mut rig, &[1; 20 * 1024], 8);
    assert_eq!(rig.kinds(), []);
}

#[test]
fn incomplete_offer_is_acknowledged_again_ever_more_rarely() {
    let mut rig = Rig::registered(1);
    hear(&mut rig, &[1; 2000], 0);
    rig.pass(ACK_DELAY);
    acknowledged(&mut rig, BlobKind::Offer, 1);
    for times in 0..5 {
        assert_eq!(rig.pass_to_timeout(), NUDGE * (1 << times));
        acknowledged(&mut rig, BlobKind::Offer, 1);
    }
}

#[test]
fn incomplete_offer_is_forgotten_in_silence_and_may_come_again() {
    let mut rig = Rig::registered(1);
    hear(&mut rig, &[1; 2000], 0);
    rig.pass(Duration::from_secs(30) + OFFER_MARGIN);
    rig.sent(|_| ());
    rig.events();
    hear(&mut rig, &[1; 2000], 1);
    rig.pass(ACK_DELAY);
    rig.sent(|frames| {
        let acks: Vec<_> = frames.iter().filter(|frame| frame.kind() == Kind::Ack).collect();
        assert_eq!(acks, [&Frame::Ack(Ack::new(SESSION, offer_id(3), BlobKind::Offer, Arrived(0b10)))]);
    });
}

#[test]
fn fragments_of_another_blob_are_ignored() {
    let mut rig = Rig::registered(1);
    hear(&mut rig, &[1; 2000], 0);
    let mismatch = Handled::Dropped(DropReason::Mismatch);
    assert_eq!(hear(&mut rig, &[2; 2000], 1), mismatch, "digest");
    let mut other = head(offer_id(3), identifier(9), &[1; 2001], 1);
    other.digest = Digest::of(&[1; 2000]);
    assert_eq!(rig.hear_head(BlobKind::Offer, other, &[1; 2001]), mismatch, "length");
    let stranger = rig.hear_blob(BlobKind::Offer, (offer_id(3), identifier(8)), &[1; 2000], 1);
    assert_eq!(stranger, Handled::Dropped(DropReason::Peer), "source");
    assert_eq!(rig.events(), []);
}

#[test]
fn damaged_offer_never_rings_and_is_not_acknowledged() {
    let mut rig = Rig::registered(1);
    let head = head(offer_id(3), identifier(9), b"intact", 0);
    rig.hear_head(BlobKind::Offer, head, b"broken");
    rig.pass(Duration::from_secs(1));
    assert_eq!((rig.kinds(), rig.events()), (vec![], vec![]));
    assert_eq!(rig.client.counters().dropped(DropReason::Digest), 1);
}

#[test]
fn repeats_of_an_offer_are_acknowledged_and_do_not_ring_again_before_or_after_its_end() {
    let mut rig = Rig::registered(1);
    let offer = rig.offered(3);
    hear(&mut rig, b"theirs", 0);
    rig.pass(ACK_DELAY);
    acknowledged(&mut rig, BlobKind::Offer, 1);
    rig.client.decline(rig.now, offer).unwrap();
    assert_eq!(rig.kinds(), [Kind::Answer]);
    rig.hear_ack(offer, BlobKind::Answer, Arrived(1));
    assert_eq!(rig.events(), [Event::AnswerDelivered { offer }]);
    for _ in 0..3 {
        assert_eq!(hear(&mut rig, b"theirs", 0), Handled::Ours);
        acknowledged(&mut rig, BlobKind::Offer, 1);
    }
    assert_eq!(rig.events(), []);
}

#[test]
fn declining_is_one_answer_of_no_bytes() {
    let mut rig = Rig::registered(1);
    let offer = rig.offered(3);
    rig.client.decline(rig.now, offer).unwrap();
    rig.sent(|frames| {
        let [Frame::Answer(answer)] = frames else { panic!("sent {frames:?}") };
        assert_eq!((answer.head().length, answer.head().index, answer.blob()), (0, 0, &[][..]));
        assert_eq!((answer.head().digest, answer.head().target), (Digest::of(b""), identifier(9)));
    });
    assert_eq!(rig.client.decline(rig.now, offer), Err(CallError::NotAnswerable));
}

#[test]
fn answer_is_repeated_until_acknowledged_and_then_delivered_once() {
    let mut rig = Rig::registered(1);
    let offer = rig.offered(3);
    rig.client.answer(rig.now, offer, vec![1; 2000]).unwrap();
    assert_eq!(rig.client.answer(rig.now, offer, vec![2]), Err(CallError::NotAnswerable));
    assert_eq!(rig.indices(), [0, 1]);
    rig.now += ROUND_TRIP;
    rig.hear_ack(offer, BlobKind::Answer, Arrived(0b01));
    rig.pass_to_timeout();
    assert_eq!((rig.indices(), rig.events()), (vec![1], vec![]));
    rig.hear_ack(offer, BlobKind::Answer, Arrived(0b11));
    assert_eq!(rig.events(), [Event::AnswerDelivered { offer }]);
    rig.hear_ack(offer, BlobKind::Answer, Arrived(0b11));
    assert_eq!((rig.kinds(), rig.events()), (vec![], vec![]));
}

/// Runs to the first outcome, with a server that answers keepalives only if `alive`.
fn outcome(rig: &mut Rig, alive: bool) -> (Duration, Vec<Event>) {
    let start = rig.now;
    loop {
        rig.pass_to_timeout();
        let keepalives = rig.sent(|frames| {
            let keepalive = |frame: &Frame<'_>| match frame {
                Frame::Keepalive(keepalive) => Some(*keepalive),
                _ => None,
            };
            frames.iter().filter_map(keepalive).collect::<Vec<_>>()
        });
        for keepalive in keepalives.into_iter().filter(|_| alive) {
            rig.hear(&Frame::KeepaliveReply(keepalive));
        }
        let mut events = rig.events();
        events.retain(|event| *event != Event::ServerSilent);
        if !events.is_empty() {
            return (rig.now.since(start), events);
        }
    }
}

#[test]
fn offer_that_the_application_never_answers_fails_when_its_time_is_over() {
    let mut rig = Rig::registered(1);
    let offer = rig.offered(3);
    let (after, events) = outcome(&mut rig, true);
    assert_eq!(after, Duration::from_secs(32));
    assert_eq!(events, [Event::Failed { offer, reason: FailReason::NoAnswer }]);
    assert_eq!(rig.client.answer(rig.now, offer, vec![1]), Err(CallError::Unknown));
}

#[test]
fn answer_that_is_never_acknowledged_fails_when_its_time_is_over() {
    for (alive, reason) in [(true, FailReason::NotAcknowledged), (false, FailReason::ServerSilent)] {
        let mut rig = Rig::registered(1);
        let offer = rig.offered(3);
        rig.client.answer(rig.now, offer, vec![1]).unwrap();
        rig.sent(|_| ());
        let (after, events) = outcome(&mut rig, alive);
        assert_eq!(after, Duration::from_secs(32));
        assert_eq!(events, [Event::Failed { offer, reason }]);
    }
}

#[test]
fn each_candidate_is_delivered_once_and_acknowledged_a_little_later() {
    let mut rig = Rig::registered(1);
    let offer = rig.offered(3);
    for number in [5, 0, 5] {
        let message = [number; 3];
        assert_eq!(rig.hear_blob(BlobKind::Candidate, CALL(), &message, number), Handled::Ours);
    }
    let event = |number| Event::Candidate { offer, number, message: vec![number; 3] };
    assert_eq!((rig.events(), rig.kinds()), (vec![event(5), event(0)], vec![]));
    assert_eq!(rig.pass_to_timeout(), ACK_DELAY);
    acknowledged(&mut rig, BlobKind::Candidate, 0b10_0001);
    let head = head(offer, identifier(9), b"intact", 1);
    let damaged = rig.hear_head(BlobKind::Candidate, head, b"broken");
    assert_eq!(damaged, Handled::Dropped(DropReason::Digest));
}

#[test]
fn candidate_before_the_offer_is_whole_is_ignored() {
    let mut rig = Rig::registered(1);
    hear(&mut rig, &[1; 2000], 0);
    let early = rig.hear_blob(BlobKind::Candidate, CALL(), b"early", 0);
    assert_eq!(early, Handled::Dropped(DropReason::Phase));
    assert_eq!(rig.events(), []);
}

#[test]
fn unregistering_fails_every_call_at_once() {
    let mut rig = Rig::registered(1);
    let theirs = rig.offered(3);
    let ours = rig.client.offer(rig.now, identifier(8), vec![1]).unwrap();
    rig.sent(|_| ());
    rig.client.unregister(rig.now);
    let mut failed: Vec<_> = rig
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Failed { offer, reason: FailReason::Unregistered } => offer,
            other => panic!("{other:?}"),
        })
        .collect();
    failed.sort_unstable();
    let mut expected = [theirs, ours];
    expected.sort_unstable();
    assert_eq!(failed, expected);
    assert_eq!(rig.kinds(), [Kind::Unregister]);
}
