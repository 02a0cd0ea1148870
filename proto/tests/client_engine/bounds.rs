//! Whatever arrives: memory is bounded, forgeries are ignored, nothing panics, no timer lies in the past.

use std::time::Duration;

use roundtable_proto::client::{
    CALLS_MAX, CANDIDATES_MAX, CallError, DropReason, EVENTS_MAX, Event, Handled, INCOMING_CALLS_MAX,
    OfferError, REASSEMBLIES_MAX, REASSEMBLIES_PER_PEER,
};
use roundtable_proto::wire::{
    Ack, Arrived, BlobKind, FRAGMENT, Frame, Kind, OfferId, PunchNow, Session, Token,
};

use crate::rig::{Rig, SESSION, head, identifier, offer_id};
use crate::world::Dice;

const NO_ROOM: Handled = Handled::Dropped(DropReason::Room);

fn numbered(number: u16) -> OfferId {
    let mut bytes = [1; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    OfferId::from_random(bytes)
}

#[test]
fn one_source_fills_no_more_than_its_share_of_reassemblies() {
    let mut rig = Rig::registered(1);
    let mut kept = 0;
    for number in 0..1000 {
        match rig.hear_blob(BlobKind::Offer, (numbered(number), identifier(9)), &[1; 65_536], 0) {
            Handled::Ours => kept += 1,
            other => assert_eq!(other, NO_ROOM),
        }
    }
    assert_eq!(kept, REASSEMBLIES_PER_PEER);
    assert_eq!(rig.client.counters().dropped(DropReason::Room), 1000 - 4);
    let other = rig.hear_blob(BlobKind::Offer, (numbered(1001), identifier(8)), b"x", 0);
    assert_eq!(other, Handled::Ours, "another source is not shut out");
}

#[test]
fn many_sources_fill_no_more_than_all_reassemblies() {
    let mut rig = Rig::registered(1);
    let mut kept = 0;
    for number in 0..200 {
        let call = (numbered(number), identifier(number as u8 + 10));
        if rig.hear_blob(BlobKind::Offer, call, &[1; 65_536], 0) == Handled::Ours {
            kept += 1;
        }
    }
    assert_eq!(kept, REASSEMBLIES_MAX);
    // Their time over, there is room again.
    rig.pass(Duration::from_secs(33));
    assert_eq!(rig.hear_blob(BlobKind::Offer, (numbered(500), identifier(9)), &[1; 2000], 0), Handled::Ours);
}

#[test]
fn unanswered_offers_of_one_source_count_until_they_are_answered() {
    let mut rig = Rig::registered(1);
    for number in 0..4 {
        rig.offered(number);
    }
    assert_eq!(rig.hear_blob(BlobKind::Offer, (offer_id(4), identifier(9)), b"theirs", 0), NO_ROOM);
    rig.client.answer(rig.now, offer_id(0), vec![1]).unwrap();
    rig.sent(|_| ());
    rig.offered(4);
}

#[test]
fn calls_of_others_leave_room_for_own_ones_and_all_are_bounded() {
    let mut rig = Rig::registered(1);
    for number in 0..INCOMING_CALLS_MAX as u16 {
        let call = (numbered(number), identifier(number as u8 + 10));
        assert_eq!(rig.hear_blob(BlobKind::Offer, call, b"theirs", 0), Handled::Ours);
    }
    assert_eq!(rig.hear_blob(BlobKind::Offer, (numbered(900), identifier(9)), b"theirs", 0), NO_ROOM);
    for _ in INCOMING_CALLS_MAX..CALLS_MAX {
        rig.offer(b"ours");
    }
    assert_eq!(rig.client.offer(rig.now, identifier(9), vec![1]), Err(OfferError::TooMany));
}

#[test]
fn candidates_of_a_call_are_bounded() {
    let mut rig = Rig::registered(1);
    let offer = rig.offer(b"ours");
    assert_eq!(rig.client.candidate(rig.now, offer, vec![]), Err(CallError::Empty));
    let had = FRAGMENT + 1;
    let long = rig.client.candidate(rig.now, offer, vec![1; had]);
    assert_eq!(long, Err(CallError::TooLarge { limit: FRAGMENT, had }));
    for _ in 0..CANDIDATES_MAX {
        rig.client.candidate(rig.now, offer, vec![1; FRAGMENT]).unwrap();
    }
    assert_eq!(rig.client.candidate(rig.now, offer, vec![1]), Err(CallError::TooMany));
}

#[test]
fn datagrams_are_dropped_while_the_application_does_not_take_its_events() {
    let mut rig = Rig::registered(1);
    let mut taken = 0;
    for number in 0..3000 {
        let call = (numbered(number), identifier(9));
        if rig.hear_blob(BlobKind::Offer, call, b"theirs", 0) == Handled::Ours {
            rig.client.decline(rig.now, numbered(number)).unwrap();
            taken += 1;
        }
        rig.sent(|_| ());
        rig.hear_ack(numbered(number), BlobKind::Answer, Arrived(1));
    }
    assert_eq!(taken, EVENTS_MAX / 2, "each gives two events");
    assert!(rig.client.counters().dropped(DropReason::Undrained) > 0);
    assert_eq!(rig.events().len(), EVENTS_MAX);
    assert_eq!(rig.hear_blob(BlobKind::Offer, (numbered(4000), identifier(9)), b"theirs", 0), Handled::Ours);
}

#[test]
fn frames_of_another_session_are_ignored() {
    let mut rig = Rig::registered(1);
    let offer = rig.offer(b"ours");
    rig.sent(|_| ());
    let session = Session([6; 16]);
    let ignored = Handled::Dropped(DropReason::Session);
    let ack = Ack::new(session, offer, BlobKind::Offer, Arrived(1));
    assert_eq!(rig.hear(&Frame::RelayedAck(ack)), ignored);
    let token = Token([1; 16]);
    let order = PunchNow { session, offer, peer: "203.0.113.7:7".parse().unwrap(), token };
    assert_eq!(rig.hear(&Frame::PunchNow(order)), ignored);
    for (kind, id) in
        [(BlobKind::Offer, offer_id(3)), (BlobKind::Answer, offer), (BlobKind::Candidate, offer)]
    {
        let mut head = head(id, identifier(9), b"theirs", 0);
        head.session = session;
        assert_eq!(rig.hear_head(kind, head, b"theirs"), ignored);
    }
    assert_eq!((rig.kinds(), rig.events()), (vec![], vec![]));
}

#[test]
fn client_without_a_session_accepts_none_not_even_zero() {
    let mut rig = Rig::new(1);
    let mut head = head(offer_id(3), identifier(9), b"theirs", 0);
    head.session = Session::NONE;
    let handled = rig.hear_head(BlobKind::Offer, head, b"theirs");
    assert_eq!(handled, Handled::Dropped(DropReason::Session));
}

/// Frames that a client knows how to take, to be bent.
fn samples(rig: &mut Rig) -> Vec<Vec<u8>> {
    let offer = rig.ringing(b"ours");
    let mut samples = vec![
        Frame::RelayedAck(Ack::new(SESSION, offer, BlobKind::Offer, Arrived(1))).to_vec(),
        Frame::PunchNow(PunchNow {
            session: SESSION,
            offer,
            peer: "203.0.113.7:7".parse().unwrap(),
            token: Token([1; 16]),
        })
        .to_vec(),
    ];
    for (kind, id) in
        [(BlobKind::Offer, offer_id(3)), (BlobKind::Answer, offer), (BlobKind::Candidate, offer)]
    {
        let head = head(id, identifier(9), &[3; 700], 0);
        let relayed = roundtable_proto::wire::Relayed::new(kind, head, &[3; 700]).unwrap();
        samples.push(
            match kind {
                BlobKind::Offer => Frame::RelayedOffer(relayed),
                BlobKind::Answer => Frame::RelayedAnswer(relayed),
                BlobKind::Candidate => Frame::RelayedCandidate(relayed),
            }
            .to_vec(),
        );
    }
    for kind in [Kind::Offer, Kind::Answer, Kind::Ack, Kind::Candidate, Kind::Punch] {
        let refusal = roundtable_proto::wire::Refusal {
            reference: roundtable_proto::wire::TransactionId(*offer.as_bytes()),
            code: 8,
            kind: kind.number(),
            detail: 0,
            retry_after: 3,
        };
        samples.push(Frame::Error(refusal).to_vec());
    }
    samples
}

#[test]
fn bent_frames_never_panic_nor_leave_a_timer_in_the_past() {
    for seed in 0..40 {
        println!("seed {seed}");
        let mut dice = Dice(seed);
        let mut rig = Rig::registered(1 + (seed % 2) as u8 * 19);
        let samples = samples(&mut rig);
        for _ in 0..2000 {
            let mut bytes = samples[dice.below(samples.len() as u64) as usize].clone();
            for _ in 0..dice.below(4) {
                let at = dice.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << dice.below(8);
            }
            bytes.truncate(if dice.below(8) == 0 {
                dice.below(bytes.len() as u64) as usize
            } else {
                bytes.len()
            });
            let from = if dice.below(4) == 0 { "203.0.113.7:7" } else { crate::rig::SERVER };
            rig.client.handle_datagram(rig.now, crate::rig::address(from), &bytes);
            while let Some(transmit) = rig.client.poll_transmit() {
                assert!(roundtable_proto::wire::decode(&transmit.contents).is_ok());
            }
            for event in rig.events() {
                if let Event::Offered { offer, .. } = event
                    && dice.below(2) == 0
                {
                    let _ = rig.client.answer(rig.now, offer, vec![1; 3000]);
                    let _ = rig.client.candidate(rig.now, offer, vec![1; 30]);
                    let _ = rig.client.punch(rig.now, offer);
                }
            }
            rig.pass(Duration::from_millis(dice.below(200)));
        }
    }
}
