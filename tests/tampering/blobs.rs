//! Blobs that were changed, swapped, replayed, cut, reflected or unsealed on their way: refused by name.

use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use roundtable_signalling::client::{CallEvent, ClientError, FailReason, RefusedOffer};
use roundtable_signalling::proto::client::DropReason;
use roundtable_signalling::proto::identity::SecretKey;
use roundtable_signalling::proto::seal::{Caller, Entropy, OpenError, PartyError, ReplayError, UnixSeconds};
use roundtable_signalling::proto::wire::{BlobKind, OfferId};

use crate::rig::{ANSWER, OFFER, Talk, now, within};
use crate::server::Passes;

const DAY: u64 = 86_400;
const CANDIDATE: &[u8] = b"candidate:2 1 udp 1694498815 198.51.100.1 40000 typ srflx";
const LARGE: &[u8] = include_bytes!("../data/aiortc-audio-x20-10if-answer.sdp");

/// The offer with another DTLS fingerprint: the attacker's.
static SWAPPED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let text = std::str::from_utf8(OFFER).unwrap();
    let swapped: String = text
        .split_inclusive('\n')
        .map(|line| match line.split_once("a=fingerprint:sha-256 ") {
            Some(("", print)) => format!("a=fingerprint:sha-256 00:{}", &print[3..]),
            _ => line.to_owned(),
        })
        .collect();
    assert_ne!(swapped.as_bytes(), OFFER, "it has a fingerprint");
    swapped.into_bytes()
});

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Seals the swapped offer to Bob at this date.
fn sealed(by: &SecretKey, talk: &Talk, offer: OfferId, date: u64) -> Vec<u8> {
    let caller = Caller::new(by, talk.bob.id, offer, Entropy::new([4; 32])).unwrap();
    caller.seal_offer(UnixSeconds(date), &SWAPPED, Entropy::new([5; 32])).unwrap()
}

type Change = fn(&mut Vec<u8>);

fn flip_in_the_middle(blob: &mut [u8]) {
    let middle = blob.len() / 2;
    blob[middle] ^= 1;
}

#[tokio::test]
async fn changed_cut_and_unsealed_offers_are_refused_by_name_and_never_ring() {
    let cases: [(Change, OpenError); 7] = [
        // The fingerprint lies somewhere in the middle.
        (|blob| flip_in_the_middle(blob), OpenError::Undecryptable),
        (|blob| blob[1] ^= 1, OpenError::Undecryptable),
        (|blob| *blob.last_mut().unwrap() ^= 1, OpenError::Undecryptable),
        (|blob| blob[0] = 2, OpenError::Version { found: 2 }),
        (|blob| blob.truncate(153), OpenError::Truncated { need: 154, had: 153 }),
        (|blob| blob.truncate(blob.len() - 1), OpenError::Undecryptable),
        // The downgrade.
        (|blob| *blob = SWAPPED[..1000].to_vec(), OpenError::NotSealed),
    ];
    for (change, error) in cases {
        let mut talk = Talk::keyed().await;
        talk.server.change(BlobKind::Offer, change);
        let call = talk.call(OFFER).await;
        talk.offer_is_refused(call.id(), error).await;
    }
}

#[tokio::test]
async fn offer_whose_fingerprint_the_server_swapped_and_sealed_itself_is_refused() {
    let mut talk = Talk::keyed().await;
    let offer = OfferId::from_random([9; 16]);
    let forged = sealed(&SecretKey::from_seed(&[66; 32]).unwrap(), &talk, offer, unix_time());
    talk.server.inject(talk.bob.address, BlobKind::Offer, (offer, talk.alice.id), &forged).await;
    talk.offer_is_refused(offer, OpenError::Undecryptable).await;
}

#[tokio::test]
async fn changed_cut_and_unsealed_answers_end_the_call_by_name() {
    let cases: [(Change, OpenError); 5] = [
        (|blob| flip_in_the_middle(blob), OpenError::Undecryptable),
        (|blob| blob.truncate(113), OpenError::Truncated { need: 114, had: 113 }),
        (|blob| blob.truncate(blob.len() - 1), OpenError::Undecryptable),
        (|blob| *blob = SWAPPED[..1000].to_vec(), OpenError::NotSealed),
        // A decline that the callee did not say.
        (Vec::clear, OpenError::NotSealed),
    ];
    for (change, error) in cases {
        let mut talk = Talk::keyed().await;
        talk.server.change(BlobKind::Answer, change);
        let mut call = talk.call(OFFER).await;
        let ringing = talk.rings().await;
        talk.answer(ringing, ANSWER);
        let failed = ClientError::Failed(FailReason::Sealed(error));
        assert_eq!(within(call.answered()).await.unwrap_err(), failed);
    }
}

#[tokio::test]
async fn one_bent_fragment_of_many_ends_the_call_as_damaged() {
    let mut talk = Talk::keyed().await;
    let mut call = talk.call(OFFER).await;
    let ringing = talk.rings().await;
    talk.server.tamper(|kind, head, blob| {
        if kind == BlobKind::Answer && head.index == 1 {
            blob[0] ^= 1;
        }
        Passes::Yes
    });
    talk.answer(ringing, LARGE);
    assert_eq!(within(call.answered()).await.unwrap_err(), ClientError::Failed(FailReason::Damaged));
}

#[tokio::test]
async fn answers_swapped_between_two_offers_end_both_calls() {
    let mut talk = Talk::keyed().await;
    let kept = Arc::new(Mutex::new(Vec::<(OfferId, Vec<u8>)>::new()));
    talk.server.tamper(move |kind, head, blob| {
        if kind != BlobKind::Answer {
            return Passes::Yes;
        }
        let mut kept = kept.lock();
        if !kept.iter().any(|(offer, _)| *offer == head.offer) {
            kept.push((head.offer, blob.clone()));
        }
        // What is kept back is repeated, and then the other is there to take its place.
        match kept.iter().find(|(offer, _)| *offer != head.offer) {
            Some((_, other)) => blob.clone_from(other),
            None => return Passes::No,
        }
        Passes::Yes
    });
    let mut calls = [talk.call(OFFER).await, talk.call(OFFER).await];
    for _ in 0..2 {
        let ringing = talk.rings().await;
        talk.answer(ringing, ANSWER);
    }
    for call in &mut calls {
        let failed = ClientError::Failed(FailReason::Sealed(OpenError::Undecryptable));
        assert_eq!(within(call.answered()).await.unwrap_err(), failed);
    }
}

#[tokio::test]
async fn yesterdays_offer_is_refused_as_stale() {
    let mut talk = Talk::keyed().await;
    let offer = OfferId::from_random([7; 16]);
    // What Alice's client sent yesterday, byte for byte: only its clock was another.
    let recorded = sealed(&talk.alice.key, &talk, offer, unix_time() - DAY);
    talk.server.inject(talk.bob.address, BlobKind::Offer, (offer, talk.alice.id), &recorded).await;
    let RefusedOffer { offer: refused, from, reason } = talk.bob.refusal().await;
    assert_eq!((refused, from, reason.name()), (offer, talk.alice.id, "stale"));
    let OpenError::Replay(ReplayError::Stale { sent, now }) = reason else { panic!("{reason}") };
    assert!((DAY..DAY + 100).contains(&(now.0 - sent.0)), "{reason}");
    // The very same offer, of today: so it was the date.
    let mut talk = Talk::keyed().await;
    let fresh = sealed(&talk.alice.key, &talk, offer, unix_time());
    talk.server.inject(talk.bob.address, BlobKind::Offer, (offer, talk.alice.id), &fresh).await;
    assert!(talk.rings().await.offer == *SWAPPED);
}

#[tokio::test]
async fn offer_replayed_at_once_does_not_ring_again() {
    let mut talk = Talk::keyed().await;
    let offer = talk.whole_call(OFFER, ANSWER).await;
    let [seen] = &talk.server.relayed(BlobKind::Offer, offer)[..] else { panic!("one fragment") };
    talk.server.inject(talk.bob.address, BlobKind::Offer, (offer, talk.alice.id), &seen.blob).await;
    // Under another name it does not open.
    let renamed = OfferId::from_random([8; 16]);
    talk.server.inject(talk.bob.address, BlobKind::Offer, (renamed, talk.alice.id), &seen.blob).await;
    talk.offer_is_refused(renamed, OpenError::Undecryptable).await;
    assert_ne!(talk.whole_call(OFFER, ANSWER).await, offer, "the next that rings is the next call");
}

#[tokio::test]
async fn offer_reflected_to_its_sender_is_refused() {
    let mut talk = Talk::keyed().await;
    let offer = talk.whole_call(OFFER, ANSWER).await;
    let [seen] = &talk.server.relayed(BlobKind::Offer, offer)[..] else { panic!("one fragment") };
    for (number, source, error) in [
        (1, talk.bob.id, OpenError::Undecryptable),
        (2, talk.alice.id, OpenError::Party(PartyError::SamePeer)),
    ] {
        let reflected = OfferId::from_random([0xA0 + number; 16]);
        talk.server.inject(talk.alice.address, BlobKind::Offer, (reflected, source), &seen.blob).await;
        let refused = RefusedOffer { offer: reflected, from: source, reason: error };
        assert_eq!(talk.alice.refusal().await, refused);
    }
    // Under its own name it is no offer to Alice at all.
    talk.server.inject(talk.alice.address, BlobKind::Offer, (offer, talk.bob.id), &seen.blob).await;
    let phase = async {
        while talk.alice.client.counters().await.unwrap().dropped(DropReason::Phase) == 0 {
            tokio::task::yield_now().await;
        }
    };
    within(phase).await;
    assert!(now(talk.alice.incoming.next()).await.is_none(), "it rings");
}

#[tokio::test]
async fn changed_candidate_is_dropped_and_the_true_one_comes() {
    let mut talk = Talk::keyed().await;
    let mut left = 2;
    talk.server.tamper(move |kind, _, blob| {
        if kind == BlobKind::Candidate && left > 0 {
            left -= 1;
            blob[50] ^= 1;
        }
        Passes::Yes
    });
    let call = talk.call(OFFER).await;
    let mut ringing = talk.rings().await;
    within(call.candidate(Bytes::from_static(CANDIDATE))).await.unwrap();
    let event = within(ringing.call().next()).await;
    assert_eq!(event, Some(CallEvent::Candidate { number: 0, message: Bytes::from_static(CANDIDATE) }));
    let counters = within(talk.bob.client.counters()).await.unwrap();
    assert_eq!(counters.dropped(DropReason::Sealed), 2);
}
