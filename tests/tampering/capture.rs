//! What somebody reads who captures every datagram of a call.

use roundtable_signalling::proto::wire::{BlobKind, OfferId, PeerId};

use crate::rig::Talk;

/// Descriptions of one fragment and of 58.
const CALLS: [(&[u8], &[u8]); 3] = [
    (include_bytes!("../data/pion3-audio-offer.sdp"), include_bytes!("../data/pion3-audio-answer.sdp")),
    (
        include_bytes!("../data/chromium-audio-video-offer.sdp"),
        include_bytes!("../data/chromium-audio-video-answer.sdp"),
    ),
    (
        include_bytes!("../data/aiortc-audio-x20-10if-offer.sdp"),
        include_bytes!("../data/aiortc-audio-x20-10if-answer.sdp"),
    ),
];

/// Lines that mean something: `s=-` stands in any random bytes, sooner or later.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| line.len() > 5)
}

fn contains(within: &[u8], line: &[u8]) -> bool {
    within.windows(line.len()).any(|window| window == line)
}

/// The blob, put together from its fragments.
fn whole(talk: &Talk, kind: BlobKind, offer: OfferId) -> Vec<u8> {
    let fragments = talk.server.relayed(kind, offer);
    let length = fragments[0].head.length as usize;
    let blob: Vec<u8> = fragments.into_iter().flat_map(|seen| seen.blob).collect();
    assert_eq!(blob.len(), length, "every fragment was seen");
    blob
}

#[tokio::test]
async fn capture_of_a_sealed_call_holds_no_line_of_its_descriptions() {
    for (offer, answer) in CALLS {
        let mut talk = Talk::keyed().await;
        let id = talk.whole_call(offer, answer).await;
        let mut read = talk.server.capture();
        assert!(read.len() > 10, "{} datagrams", read.len());
        read.extend([whole(&talk, BlobKind::Offer, id), whole(&talk, BlobKind::Answer, id)]);
        for line in lines(offer).chain(lines(answer)) {
            let holds = read.iter().any(|bytes| contains(bytes, line));
            assert!(!holds, "{}", String::from_utf8_lossy(line));
        }
    }
}

#[tokio::test]
async fn capture_of_a_call_between_plain_identifiers_holds_every_line() {
    for (offer, answer) in CALLS {
        let uuid = |key: &roundtable_signalling::proto::identity::SecretKey| {
            let mut uuid = [0; 16];
            uuid.copy_from_slice(&key.identifier().as_bytes()[..16]);
            PeerId::plain(uuid).unwrap().into()
        };
        let mut talk = Talk::of(uuid).await;
        let id = talk.whole_call(offer, answer).await;
        for (kind, text) in [(BlobKind::Offer, offer), (BlobKind::Answer, answer)] {
            let blob = whole(&talk, kind, id);
            assert!(blob == text);
            assert!(lines(text).all(|line| contains(&blob, line)));
        }
        // And in the datagrams each but those that a cut divides.
        let datagrams = talk.server.capture();
        let found = |line: &&[u8]| datagrams.iter().any(|datagram| contains(datagram, line));
        let (all, divided) = (lines(offer).count(), lines(offer).filter(|line| !found(line)).count());
        assert!(divided <= all / 4, "{divided} of {all} lines");
    }
}
