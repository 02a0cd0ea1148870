//! What a sealed call promises, and by which name each change on the way is refused.

use roundtable_proto::client::{CallError, DropReason, Event, FailReason, OfferError};
use roundtable_proto::identity::IdentityError;
use roundtable_proto::seal::{Caller, Entropy, OpenError, PartyError, ReplayError, UnixSeconds};
use roundtable_proto::server;
use roundtable_proto::wire::{BLOB_MAX, BlobKind, ErrorCode, FRAGMENT, PeerId};

use crate::talk::*;
/// Calls, with an offer that the relay changes, and returns why the callee refuses it.
fn refusal(change: impl Fn(&mut Vec<u8>) + 'static) -> OpenError {
    let mut talk = Talk::keyed();
    talk.tamper(move |kind, _, blob| {
        if kind == BlobKind::Offer {
            change(blob);
        }
        Passes::Yes
    });
    let offer = talk.call();
    talk.run(10);
    let events = talk.events(BOB);
    let [Event::OfferRefused { from, offer: refused, reason }] = events[..] else { panic!("{events:?}") };
    assert_eq!((from, refused), (talk.identifiers[ALICE], offer));
    assert_eq!(talk.counters(BOB).dropped(DropReason::Sealed), 1, "its repeats are not opened again");
    assert_eq!(talk.peers[BOB].answer(talk.now, offer, ANSWER.to_vec()), Err(CallError::Unknown));
    reason
}

#[test]
fn whole_call_is_sealed_and_exact_and_a_capture_of_it_holds_no_line() {
    let mut talk = Talk::keyed();
    whole_call(&mut talk, OFFER, ANSWER);
    for line in lines(OFFER).chain(lines(ANSWER)).chain(lines(CANDIDATE)) {
        assert!(!contains(&talk.capture, line), "{}", String::from_utf8_lossy(line));
    }
    assert!(talk.seen.iter().all(|seen| seen.blob[0] == 1), "each is of seal version 1");
}

#[test]
fn sealed_blobs_of_many_fragments_are_exact() {
    let (offer, answer) = (noise(BLOB_MAX - 154), noise(40_000));
    whole_call(&mut Talk::keyed(), &offer, &answer);
}

#[test]
fn with_a_plain_peer_nothing_is_sealed() {
    for identities in [[plain(1), plain(2)], [keyed(1), plain(2)], [plain(1), keyed(2)]] {
        let mut talk = Talk::of(identities, [NOW, NOW], server::Config::default());
        whole_call(&mut talk, OFFER, ANSWER);
        for line in lines(OFFER).chain(lines(ANSWER)).chain(lines(CANDIDATE)) {
            assert!(contains(&talk.capture, line), "{}", String::from_utf8_lossy(line));
        }
        let offer = talk.seen[0].head.offer;
        assert_eq!(talk.sent(ALICE, BlobKind::Offer, offer), OFFER);
    }
}

#[test]
fn declining_is_sealed_too() {
    let mut talk = Talk::keyed();
    let offer = talk.call();
    talk.run(1);
    talk.peers[BOB].decline(talk.now, offer).unwrap();
    talk.run(1);
    assert_eq!(talk.events(ALICE), [Event::OfferDelivered { offer }, Event::Declined { offer }]);
    assert_eq!(talk.events(BOB), [offered(&talk, offer, OFFER), Event::AnswerDelivered { offer }]);
    assert_eq!(talk.sent(BOB, BlobKind::Answer, offer).len(), 114);
    assert_eq!(talk.peers[BOB].candidate(talk.now, offer, vec![1]), Err(CallError::Unknown), "it is over");
}

#[test]
fn offer_with_a_flipped_byte_is_refused() {
    assert_eq!(refusal(|blob| blob[0] ^= 1), OpenError::NotSealed);
    assert_eq!(refusal(|blob| blob[0] = 2), OpenError::Version { found: 2 });
    assert_eq!(refusal(|blob| blob[1] ^= 1), OpenError::Undecryptable);
    assert_eq!(refusal(|blob| *blob.last_mut().unwrap() ^= 1), OpenError::Undecryptable);
    // The fingerprint is in the last two thirds.
    assert_eq!(refusal(|blob| *blob.iter_mut().nth_back(150).unwrap() ^= 1), OpenError::Undecryptable);
}

#[test]
fn truncated_offer_is_refused() {
    assert_eq!(refusal(|blob| blob.truncate(153)), OpenError::Truncated { need: 154, had: 153 });
    assert_eq!(refusal(|blob| blob.truncate(blob.len() - 1)), OpenError::Undecryptable);
}

#[test]
fn unsealed_offer_in_place_of_a_sealed_one_is_refused() {
    assert_eq!(refusal(|blob| *blob = OFFER.to_vec()), OpenError::NotSealed);
}

#[test]
fn offer_that_somebody_else_sealed_is_refused() {
    let bob = secret(2).identifier();
    let sealed = move |offer| {
        let mallory = Caller::new(&secret(3), bob, offer, Entropy::new([4; 32])).unwrap();
        mallory.seal_offer(UnixSeconds(NOW), OFFER, Entropy::new([5; 32])).unwrap()
    };
    let mut talk = Talk::keyed();
    talk.tamper(move |kind, head, blob| {
        if kind == BlobKind::Offer {
            *blob = sealed(head.offer);
        }
        Passes::Yes
    });
    let offer = talk.call();
    talk.run(1);
    let (from, reason) = (talk.identifiers[ALICE], OpenError::Undecryptable);
    assert_eq!(talk.events(BOB), [Event::OfferRefused { from, offer, reason }]);
}

#[test]
fn offer_of_yesterday_is_refused() {
    let mut yesterday = Talk::keyed();
    let old = yesterday.call();
    yesterday.run(1);
    let sealed = yesterday.sent(ALICE, BlobKind::Offer, old);
    let mut today = Talk::of([keyed(1), keyed(2)], [NOW + DAY; 2], server::Config::default());
    today.tamper(move |kind, head, blob| {
        if kind == BlobKind::Offer {
            head.offer = old;
            blob.clone_from(&sealed);
        }
        Passes::Yes
    });
    today.call();
    today.run(1);
    let events = today.events(BOB);
    let [Event::OfferRefused { offer, reason: OpenError::Replay(ReplayError::Stale { sent, now }), .. }] =
        events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((offer, sent.0 / 60, now.0 / 60), (old, NOW / 60, (NOW + DAY) / 60));
}

#[test]
fn date_runs_with_the_time_of_the_engine() {
    let mut talk = Talk::of([keyed(1), keyed(2)], [NOW, NOW + 300], server::Config::default());
    talk.run(1000);
    let offer = talk.call();
    talk.run(1);
    assert_eq!(talk.events(BOB), [offered(&talk, offer, OFFER)]);
    let mut talk = Talk::of([keyed(1), keyed(2)], [NOW, NOW + 310], server::Config::default());
    talk.run(1000);
    talk.call();
    talk.run(1);
    assert!(matches!(
        talk.events(BOB)[..],
        [Event::OfferRefused { reason: OpenError::Replay(ReplayError::Stale { .. }), .. }]
    ));
}

/// A host that sleeps stops the clock of its engine, but not its date.
#[test]
fn date_can_be_set_anew() {
    let mut talk = Talk::of([keyed(1), keyed(2)], [NOW, NOW + DAY], server::Config::default());
    let now = talk.now;
    talk.peers[ALICE].set_unix_time(now, NOW + DAY);
    let offer = talk.call();
    talk.run(1);
    assert_eq!(talk.events(BOB), [offered(&talk, offer, OFFER)]);
}

#[test]
fn offer_comes_once_though_the_calls_have_forgotten_it_and_refused_ones_take_no_room() {
    let mut talk = Talk::keyed();
    let offer = talk.call();
    talk.run(1);
    talk.peers[BOB].decline(talk.now, offer).unwrap();
    talk.run(1);
    talk.events(BOB);
    let sealed = talk.sent(ALICE, BlobKind::Offer, offer);
    talk.inject(BOB, BlobKind::Offer, ALICE, (offer, &sealed));
    assert_eq!(talk.events(BOB), [], "a repeat");
    let from = talk.identifiers[ALICE];
    for number in 0..300 {
        talk.inject(BOB, BlobKind::Offer, ALICE, (other_id(number), &sealed));
        let reason = OpenError::Undecryptable;
        assert_eq!(talk.events(BOB), [Event::OfferRefused { from, offer: other_id(number), reason }]);
        talk.run(0);
    }
    talk.inject(BOB, BlobKind::Offer, ALICE, (offer, &sealed));
    let reason = OpenError::Replay(ReplayError::Replayed);
    assert_eq!(talk.events(BOB), [Event::OfferRefused { from, offer, reason }]);
    talk.run(1);
    talk.events(ALICE);
    let next = talk.call();
    talk.run(1);
    assert_eq!(talk.events(BOB), [offered(&talk, next, OFFER)], "nothing is blocked");
}

#[test]
fn offer_reflected_to_its_sender_is_refused() {
    let mut talk = Talk::keyed();
    let offer = talk.call();
    talk.run(1);
    talk.peers[BOB].answer(talk.now, offer, ANSWER.to_vec()).unwrap();
    talk.run(1);
    talk.events(ALICE);
    let sealed = talk.sent(ALICE, BlobKind::Offer, offer);
    let [alice, bob] = talk.identifiers;
    talk.inject(ALICE, BlobKind::Offer, BOB, (offer, &sealed));
    assert_eq!(talk.events(ALICE), []);
    assert_eq!(talk.counters(ALICE).dropped(DropReason::Phase), 1);
    for (from, identifier, reason) in
        [(BOB, bob, OpenError::Undecryptable), (ALICE, alice, OpenError::Party(PartyError::SamePeer))]
    {
        let id = other_id(from as u16);
        talk.inject(ALICE, BlobKind::Offer, from, (id, &sealed));
        assert_eq!(talk.events(ALICE), [Event::OfferRefused { from: identifier, offer: id, reason }]);
    }
}

#[test]
fn answers_of_two_calls_swapped_end_both() {
    let mut talk = Talk::keyed();
    talk.tamper(|kind, _, _| if kind == BlobKind::Answer { Passes::No } else { Passes::Yes });
    let calls = [talk.call(), talk.call()];
    talk.run(1);
    for offer in calls {
        talk.peers[BOB].answer(talk.now, offer, ANSWER.to_vec()).unwrap();
    }
    talk.run(1);
    talk.events(ALICE);
    let answers = calls.map(|offer| talk.sent(BOB, BlobKind::Answer, offer));
    for (offer, other) in [(calls[0], &answers[1]), (calls[1], &answers[0])] {
        talk.inject(ALICE, BlobKind::Answer, BOB, (offer, other));
        assert_eq!(talk.events(ALICE), [failed(offer, OpenError::Undecryptable)]);
    }
    assert_eq!(talk.counters(ALICE).dropped(DropReason::Sealed), 2);
    talk.events(BOB);
    talk.run(60);
    let reason = FailReason::Refused(ErrorCode::OfferUnknown);
    let mut ends = calls.map(|offer| Event::Failed { offer, reason });
    ends.sort_by_key(|event| format!("{event:?}"));
    let mut events = talk.events(BOB);
    events.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(events, ends, "the callee is not told that its answers arrived");
    assert_eq!(talk.events(ALICE), []);
}

#[test]
fn tampered_answer_ends_the_call_by_name() {
    type Change = fn(&mut Vec<u8>);
    let cases: [(Change, OpenError); 4] = [
        (|blob| *blob.last_mut().unwrap() ^= 1, OpenError::Undecryptable),
        (|blob| blob.truncate(113), OpenError::Truncated { need: 114, had: 113 }),
        (|blob| *blob = ANSWER.to_vec(), OpenError::NotSealed),
        (Vec::clear, OpenError::NotSealed),
    ];
    for (change, error) in cases {
        let mut talk = Talk::keyed();
        talk.tamper(move |kind, _, blob| {
            if kind == BlobKind::Answer {
                change(blob);
            }
            Passes::Yes
        });
        let offer = talk.call();
        talk.run(1);
        talk.peers[BOB].answer(talk.now, offer, ANSWER.to_vec()).unwrap();
        talk.run(10);
        assert_eq!(talk.events(ALICE), [Event::OfferDelivered { offer }, failed(offer, error)]);
    }
}

#[test]
fn forged_decline_is_refused() {
    let mut talk = Talk::keyed();
    let offer = talk.call();
    talk.run(1);
    talk.events(ALICE);
    talk.inject(ALICE, BlobKind::Answer, BOB, (offer, &[]));
    assert_eq!(talk.events(ALICE), [failed(offer, OpenError::NotSealed)]);
}

#[test]
fn bad_candidate_is_counted_and_dropped_and_the_true_one_still_comes() {
    let mut talk = Talk::keyed();
    let offer = talk.call();
    talk.run(1);
    talk.peers[BOB].answer(talk.now, offer, ANSWER.to_vec()).unwrap();
    talk.run(1);
    talk.events(BOB);
    let mut left = 2;
    talk.tamper(move |kind, _, blob| {
        if kind == BlobKind::Candidate && left > 0 {
            left -= 1;
            blob[50] ^= 1;
        }
        Passes::Yes
    });
    talk.peers[ALICE].candidate(talk.now, offer, CANDIDATE.to_vec()).unwrap();
    talk.run(5);
    assert_eq!(talk.events(BOB), [Event::Candidate { offer, number: 0, message: CANDIDATE.to_vec() }]);
    assert_eq!(talk.counters(BOB).dropped(DropReason::Sealed), 2);
    let sealed = talk.sent(ALICE, BlobKind::Candidate, offer);
    talk.inject(BOB, BlobKind::Candidate, ALICE, (offer, &sealed));
    assert_eq!(talk.events(BOB), [], "each comes once");
}

#[test]
fn limits_apply_to_what_is_sent() {
    let config = server::Config { max_blob: 2000, ..server::Config::default() };
    let mut talk = Talk::of([keyed(1), keyed(2)], [NOW, NOW], config);
    let (now, bob) = (talk.now, talk.identifiers[BOB]);
    let mut offer = |blob| talk.peers[ALICE].offer(now, bob, blob);
    assert_eq!(offer(noise(1847)), Err(OfferError::SealedTooLarge { limit: 2000, had: 2001 }));
    assert_eq!(
        offer(vec![0; BLOB_MAX + 1]),
        Err(OfferError::TooLarge { limit: BLOB_MAX, had: BLOB_MAX + 1 })
    );
    assert!(offer(noise(1846)).is_ok());
    let long = offer(vec![0; 3000]).expect("what shrinks enough may be sent");
    talk.run(1);
    assert_eq!(talk.events(BOB).len(), 2);
    let now = talk.now;
    let callee = &mut talk.peers[BOB];
    let too_large = CallError::SealedTooLarge { limit: 2000, had: 2001 };
    assert_eq!(callee.answer(now, long, noise(1887)), Err(too_large));
    let too_large = CallError::SealedTooLarge { limit: FRAGMENT, had: FRAGMENT + 1 };
    assert_eq!(callee.candidate(now, long, noise(FRAGMENT - 113)), Err(too_large));
    assert_eq!(callee.candidate(now, long, noise(FRAGMENT - 114)), Ok(()));
    assert_eq!(callee.answer(now, long, noise(1886)), Ok(()));
}

#[test]
fn target_whose_identifier_is_no_key_is_refused_by_name() {
    let mut talk = Talk::keyed();
    let target = PeerId::from_bytes([0xFF; 32]).unwrap();
    let offer = talk.peers[ALICE].offer(talk.now, target, OFFER.to_vec());
    assert_eq!(offer, Err(OfferError::Target(IdentityError::BadKey)));
}
