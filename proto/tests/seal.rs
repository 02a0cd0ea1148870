//! Sealed calls as an application sees them: what is sealed opens at the other end, and nothing else does. SPEC 13

#![expect(clippy::unwrap_used, reason = "a test ends where its data is not as it should be")]

use proptest::prelude::*;
use roundtable_proto::identity::{IdentityError, SecretKey};
use roundtable_proto::seal::{
    Callee, Caller, Entropy, OpenError, OpenedOffer, PartyError, ReplayError, ReplayWindow, SEAL_VERSION,
    SealError, UnixSeconds, overhead,
};
use roundtable_proto::wire::{BLOB_MAX, BlobKind, FRAGMENT, OfferId, PeerId, fragment_count};

const NOW: UnixSeconds = UnixSeconds(1_750_000_000);
const SDP: &[u8] = b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 00:11:22\r\n";

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32]).unwrap()
}

fn entropy(number: u8) -> Entropy {
    Entropy::new([number; 32])
}

fn offer_id(number: u8) -> OfferId {
    OfferId::from_random([number; 16])
}

/// Peer 1 calls peer 2 under an offer id and a reply key of this number.
fn caller(number: u8) -> Caller {
    Caller::new(&key(1), key(2).identifier(), offer_id(number), entropy(100 + number)).unwrap()
}

fn offer(number: u8) -> Vec<u8> {
    caller(number).seal_offer(NOW, SDP, entropy(10 + number)).unwrap()
}

/// Peer `own` takes an OFFER that came from peer `from`, with an empty memory.
fn open_as(own: u8, from: PeerId, id: OfferId, sealed: &[u8]) -> Result<OpenedOffer, OpenError> {
    Callee::open_offer(&key(own), from, id, sealed, NOW, &mut ReplayWindow::default())
}

fn callee(number: u8) -> Callee {
    open_as(2, key(1).identifier(), offer_id(number), &offer(number)).unwrap().callee
}

#[test]
fn call_with_candidates_both_ways_opens_at_the_other_end() {
    let (caller, sealed) = (caller(1), offer(1));
    let opened = open_as(2, key(1).identifier(), offer_id(1), &sealed).unwrap();
    assert_eq!((opened.blob.as_slice(), opened.sent), (SDP, NOW));
    let callee = opened.callee;
    let answer = callee.seal_answer(b"v=0 answer", entropy(20)).unwrap();
    assert_eq!(caller.open_answer(&answer).unwrap(), b"v=0 answer");
    for number in [0, 1, 63] {
        let up = callee.seal_candidate(number, b"candidate:1", entropy(21)).unwrap();
        assert_eq!(caller.open_candidate(number, &up).unwrap(), b"candidate:1");
        let down = caller.seal_candidate(number, b"candidate:2", entropy(22)).unwrap();
        assert_eq!(callee.open_candidate(number, &down).unwrap(), b"candidate:2");
    }
}

#[test]
fn empty_answer_declines_and_nothing_else_may_be_empty() {
    let (caller, callee) = (caller(1), callee(1));
    let declined = callee.seal_answer(b"", entropy(20)).unwrap();
    assert_eq!(declined.len(), overhead(BlobKind::Answer));
    assert_eq!(caller.open_answer(&declined), Ok(Vec::new()));
    assert_eq!(caller.seal_offer(NOW, b"", entropy(21)), Err(SealError::Empty));
    assert_eq!(caller.seal_candidate(0, b"", entropy(22)), Err(SealError::Empty));
    assert_eq!(callee.seal_candidate(0, b"", entropy(23)), Err(SealError::Empty));
}

#[test]
fn sealed_blob_holds_no_line_of_the_description() {
    let sealed = offer(1);
    for line in SDP.split(|byte| *byte == b'\n').filter(|line| line.len() > 3) {
        assert!(!sealed.windows(line.len()).any(|window| window == line));
    }
}

#[test]
fn every_changed_byte_is_refused() {
    let sealed = offer(1);
    for at in 0..sealed.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut changed = sealed.clone();
            changed[at] ^= flip;
            let error = open_as(2, key(1).identifier(), offer_id(1), &changed).expect_err("a changed blob");
            let expected = if at > 0 { OpenError::Undecryptable } else { OpenError::NotSealed };
            assert_eq!(error, expected, "byte {at} ^ {flip:02x}");
        }
    }
}

#[test]
fn every_truncation_and_every_added_byte_is_refused() {
    let sealed = offer(1);
    let need = overhead(BlobKind::Offer);
    for length in 0..sealed.len() {
        let error =
            open_as(2, key(1).identifier(), offer_id(1), &sealed[..length]).expect_err("a short blob");
        let expected = match length {
            0 => OpenError::NotSealed,
            had if had < need => OpenError::Truncated { need, had },
            _ => OpenError::Undecryptable,
        };
        assert_eq!(error, expected, "{length} bytes");
    }
    let longer = [sealed.as_slice(), &[0]].concat();
    let error = open_as(2, key(1).identifier(), offer_id(1), &longer).expect_err("a long blob");
    assert_eq!(error, OpenError::Undecryptable);
}

#[test]
fn plain_description_and_other_versions_are_told_apart() {
    let caller = caller(1);
    assert_eq!(caller.open_answer(SDP), Err(OpenError::NotSealed));
    assert_eq!(caller.open_answer(b""), Err(OpenError::NotSealed), "a decline that is not sealed");
    for first in 0..=255 {
        let expected = match first {
            SEAL_VERSION => OpenError::Truncated { need: overhead(BlobKind::Answer), had: 40 },
            2..=15 => OpenError::Version { found: first },
            _ => OpenError::NotSealed,
        };
        assert_eq!(caller.open_answer(&[first; 40]), Err(expected));
    }
}

#[test]
fn blob_of_another_call_is_refused() {
    let from = key(1).identifier();
    assert_eq!(open_as(2, from, offer_id(2), &offer(1)).unwrap_err(), OpenError::Undecryptable);
    let answer = callee(1).seal_answer(b"v=0", entropy(20)).unwrap();
    assert_eq!(caller(2).open_answer(&answer), Err(OpenError::Undecryptable));
    // The same offer id, another OFFER: the answer belongs to its reply key.
    let again = Caller::new(&key(1), key(2).identifier(), offer_id(1), entropy(50)).unwrap();
    assert_eq!(again.open_answer(&answer), Err(OpenError::Undecryptable));
    let candidate = callee(1).seal_candidate(0, b"candidate:1", entropy(21)).unwrap();
    assert_eq!(caller(2).open_candidate(0, &candidate), Err(OpenError::Undecryptable));
    let candidate = caller(1).seal_candidate(0, b"candidate:1", entropy(22)).unwrap();
    assert_eq!(callee(2).open_candidate(0, &candidate), Err(OpenError::Undecryptable));
}

#[test]
fn blob_of_another_kind_or_number_is_refused() {
    let (caller, callee, from) = (caller(1), callee(1), key(1).identifier());
    let answer = callee.seal_answer(b"candidate:1", entropy(20)).unwrap();
    assert_eq!(caller.open_candidate(0, &answer), Err(OpenError::Undecryptable));
    let candidate = callee.seal_candidate(0, b"v=0", entropy(21)).unwrap();
    assert_eq!(caller.open_answer(&candidate), Err(OpenError::Undecryptable));
    assert_eq!(caller.open_candidate(1, &candidate), Err(OpenError::Undecryptable));
    assert_eq!(callee.open_candidate(0, &offer(1)), Err(OpenError::Undecryptable));
    let candidate = caller.seal_candidate(0, &[b'x'; 100], entropy(22)).unwrap();
    let error = open_as(2, from, offer_id(1), &candidate).unwrap_err();
    assert_eq!(error, OpenError::Truncated { need: 154, had: candidate.len() });
}

#[test]
fn blob_of_another_sender_or_for_another_receiver_is_refused() {
    let sealed = offer(1);
    let error = open_as(2, key(3).identifier(), offer_id(1), &sealed).unwrap_err();
    assert_eq!(error, OpenError::Undecryptable, "the server names another sender");
    let error = open_as(3, key(1).identifier(), offer_id(1), &sealed).unwrap_err();
    assert_eq!(error, OpenError::Undecryptable, "the server delivers it to another peer");
}

#[test]
fn reflected_blob_is_refused() {
    let error = open_as(1, key(2).identifier(), offer_id(1), &offer(1)).unwrap_err();
    assert_eq!(error, OpenError::Undecryptable, "as if the callee had sent the offer");
    let error = open_as(1, key(1).identifier(), offer_id(1), &offer(1)).unwrap_err();
    assert_eq!(error, OpenError::Party(PartyError::SamePeer), "as if it had come from the caller itself");
    let (caller, callee) = (caller(1), callee(1));
    let candidate = caller.seal_candidate(0, b"candidate:1", entropy(20)).unwrap();
    assert_eq!(caller.open_candidate(0, &candidate), Err(OpenError::Undecryptable));
    let candidate = callee.seal_candidate(0, b"candidate:1", entropy(21)).unwrap();
    assert_eq!(callee.open_candidate(0, &candidate), Err(OpenError::Undecryptable));
}

#[test]
fn replayed_and_old_offers_are_refused_by_name() {
    let (own, from, sealed) = (key(2), key(1).identifier(), offer(1));
    let mut seen = ReplayWindow::default();
    let mut open = |now: UnixSeconds, sealed: &[u8]| {
        Callee::open_offer(&own, from, offer_id(1), sealed, now, &mut seen).map(|opened| opened.blob)
    };
    let mut damaged = sealed.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(open(NOW, &damaged), Err(OpenError::Undecryptable), "takes no room in the memory");
    assert_eq!(open(UnixSeconds(NOW.0 - 300), &sealed), Ok(SDP.to_vec()));
    for now in [NOW.0 - 300, NOW.0, NOW.0 + 300] {
        assert_eq!(open(UnixSeconds(now), &sealed), Err(OpenError::Replay(ReplayError::Replayed)));
    }
    for now in [NOW.0 + 301, NOW.0 + 86_400].map(UnixSeconds) {
        let stale = OpenError::Replay(ReplayError::Stale { sent: NOW, now });
        assert_eq!(open(now, &sealed), Err(stale));
        assert_eq!(stale.name(), "stale");
    }
}

#[test]
fn peers_without_keys_cannot_seal() {
    let plain = PeerId::plain([7; 16]).unwrap();
    let call = |other| Caller::new(&key(1), other, offer_id(1), entropy(1)).map(|_| ()).unwrap_err();
    assert_eq!(call(plain), PartyError::Identity(IdentityError::PlainIdentifier));
    assert_eq!(call(PeerId::from_bytes([0xFF; 32]).unwrap()), PartyError::Identity(IdentityError::BadKey));
    assert_eq!(call(key(1).identifier()), PartyError::SamePeer);
    let error = open_as(2, plain, offer_id(1), &offer(1)).unwrap_err();
    assert_eq!(error, OpenError::Party(PartyError::Identity(IdentityError::PlainIdentifier)));
}

/// Bytes that do not shrink.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn blobs_fit_up_to_the_last_byte_and_not_beyond() {
    let (caller, callee) = (caller(1), callee(1));
    let most = BLOB_MAX - overhead(BlobKind::Offer);
    let sealed = caller.seal_offer(NOW, &noise(most), entropy(20)).unwrap();
    assert_eq!(sealed.len(), BLOB_MAX);
    let opened = open_as(2, key(1).identifier(), offer_id(1), &sealed).unwrap();
    assert_eq!(opened.blob, noise(most));
    let too_long = SealError::TooLong { limit: BLOB_MAX, size: BLOB_MAX + 1 };
    assert_eq!(caller.seal_offer(NOW, &noise(most + 1), entropy(21)), Err(too_long));

    let most = FRAGMENT - overhead(BlobKind::Candidate);
    assert_eq!(callee.seal_candidate(0, &noise(most), entropy(22)).unwrap().len(), FRAGMENT);
    let too_long = SealError::TooLong { limit: FRAGMENT, size: FRAGMENT + 1 };
    assert_eq!(callee.seal_candidate(0, &noise(most + 1), entropy(23)), Err(too_long));

    // What shrinks may be as long as it may be without sealing.
    let sealed = callee.seal_answer(&[b'a'; BLOB_MAX], entropy(24)).unwrap();
    assert_eq!(caller.open_answer(&sealed).unwrap(), [b'a'; BLOB_MAX]);
    let too_long = SealError::PayloadTooLong { limit: BLOB_MAX, size: BLOB_MAX + 1 };
    assert_eq!(callee.seal_answer(&[b'a'; BLOB_MAX + 1], entropy(25)), Err(too_long));
    let too_long = OpenError::TooLong { limit: FRAGMENT, size: FRAGMENT + 1 };
    assert_eq!(caller.open_candidate(0, &[1; FRAGMENT + 1]), Err(too_long));
}

/// `cargo test -p roundtable-proto --test seal sizes -- --nocapture` prints the table.
#[test]
fn sizes_of_real_descriptions_never_need_more_fragments() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sdp"));
    files.sort();
    assert!(files.len() >= 17, "{directory} has lost some");
    println!("{:37} {:>6} {:>7} {:>9} {:>9}", "file", "plain", "sealed", "fragments", "sealed");
    for path in files {
        let plain = std::fs::read(&path).unwrap();
        let sealed = caller(1).seal_offer(NOW, &plain, entropy(20)).unwrap();
        let fragments = [plain.len(), sealed.len()].map(fragment_count);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        println!("{name:37} {:6} {:7} {:9} {:9}", plain.len(), sealed.len(), fragments[0], fragments[1]);
        assert!(fragments[1] <= fragments[0], "{name}");
        let opened = open_as(2, key(1).identifier(), offer_id(1), &sealed).unwrap();
        assert_eq!(opened.blob, plain, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sealed_opens(
        seeds in prop::array::uniform4(any::<[u8; 32]>()),
        id: [u8; 16],
        blob in prop::collection::vec(any::<u8>(), 1..3000),
        number in 0u8..64,
    ) {
        prop_assume!(seeds[0] != seeds[1]);
        let [own, other] = [seeds[0], seeds[1]].map(|seed| SecretKey::from_seed(&seed).unwrap());
        let id = OfferId::from_random(id);
        let caller = Caller::new(&own, other.identifier(), id, Entropy::new(seeds[2])).unwrap();
        let sealed = caller.seal_offer(NOW, &blob, Entropy::new(seeds[3])).unwrap();
        prop_assert!(sealed.len() <= blob.len() + overhead(BlobKind::Offer));
        let mut seen = ReplayWindow::default();
        let opened = Callee::open_offer(&other, own.identifier(), id, &sealed, NOW, &mut seen).unwrap();
        prop_assert_eq!(&opened.blob, &blob);
        let answer = opened.callee.seal_answer(&blob, Entropy::new(seeds[3])).unwrap();
        prop_assert_eq!(caller.open_answer(&answer), Ok(blob.clone()));
        let short = &blob[..blob.len().min(900)];
        let candidate = opened.callee.seal_candidate(number, short, Entropy::new(seeds[2])).unwrap();
        prop_assert_eq!(caller.open_candidate(number, &candidate).unwrap(), short);
    }

    #[test]
    fn opening_is_total(bytes in prop::collection::vec(any::<u8>(), 0..400), version: bool) {
        let mut bytes = bytes;
        if let (true, Some(first)) = (version, bytes.first_mut()) {
            *first = SEAL_VERSION;
        }
        let (caller, callee) = (caller(1), callee(1));
        prop_assert!(caller.open_answer(&bytes).is_err());
        prop_assert!(caller.open_candidate(0, &bytes).is_err());
        prop_assert!(callee.open_candidate(0, &bytes).is_err());
        prop_assert!(open_as(2, key(1).identifier(), offer_id(1), &bytes).is_err());
    }
}
