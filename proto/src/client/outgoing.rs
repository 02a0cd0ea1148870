//! A blob that is being sent in fragments. Knows nothing of calls. SPEC 7

use super::flight::Flight;
use super::progress::{Progress, Transfer};
use crate::wire::{BlobKind, Digest, Fragment, FragmentHead, Frame, OfferId, PeerId, Session, Zeros};
use crate::wire::{fragment_count, fragment_range};

/// An offer or an answer on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    kind: BlobKind,
    blob: Vec<u8>,
    digest: Digest,
    /// Which fragments are under way.
    pub(super) flight: Flight,
}

/// Where fragments of a call go, and in whose name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) session: Session,
    pub(super) offer: OfferId,
    pub(super) target: PeerId,
}

impl Outgoing {
    /// Takes a blob of at most 65536 bytes; empty only for an answer that declines.
    pub(super) fn new(kind: BlobKind, blob: Vec<u8>) -> Self {
        let digest = Digest::of(&blob);
        let flight = Flight::new(fragment_count(blob.len()));
        Self { kind, blob, digest, flight }
    }

    /// Returns the number of the last fragment.
    pub(super) fn last(&self) -> u8 {
        // There are 1 to 64 fragments.
        (fragment_count(self.blob.len()) - 1) as u8
    }

    /// Says how much of it has been acknowledged.
    pub(super) fn progress(&self, transfer: Transfer) -> Option<Progress> {
        Progress::new(transfer, self.blob.len(), self.flight.arrived())
    }

    /// Says that the other peer has all of it, whatever was acknowledged.
    pub(super) fn delivered(&self, transfer: Transfer) -> Option<Progress> {
        Progress::whole(transfer, self.blob.len())
    }

    /// Returns the datagram of fragment `index`.
    pub(super) fn datagram(&self, route: &Route, index: u8) -> Vec<u8> {
        let range = fragment_range(self.blob.len(), index);
        encode(self.kind, route, self.digest, (self.blob.len(), index), self.blob.get(range))
    }
}

/// Returns the datagram of one candidate.
pub(super) fn candidate_datagram(route: &Route, number: u8, message: &[u8]) -> Vec<u8> {
    encode(BlobKind::Candidate, route, Digest::of(message), (message.len(), number), Some(message))
}

fn encode(
    kind: BlobKind,
    route: &Route,
    digest: Digest,
    (length, index): (usize, u8),
    bytes: Option<&[u8]>,
) -> Vec<u8> {
    let head = FragmentHead {
        session: route.session,
        offer: route.offer,
        target: route.target,
        digest,
        // A blob has at most 65536 bytes.
        length: length as u32,
        index,
        zero: Zeros::ZERO,
    };
    let fragment = Fragment::new(kind, head, bytes.unwrap_or_default());
    debug_assert!(fragment.is_ok(), "lengths are checked before a blob is taken");
    let Ok(fragment) = fragment else { return Vec::new() };
    match kind {
        BlobKind::Offer => Frame::Offer(fragment),
        BlobKind::Answer => Frame::Answer(fragment),
        BlobKind::Candidate => Frame::Candidate(fragment),
    }
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FRAGMENT, decode};

    fn route() -> Route {
        Route {
            session: Session([5; 16]),
            offer: OfferId::from_random([3; 16]),
            target: PeerId::plain([9; 16]).unwrap(),
        }
    }

    #[test]
    fn each_fragment_carries_its_bytes_and_the_head_of_the_whole() {
        let blob: Vec<u8> = (0..2500).map(|at| at as u8).collect();
        let outgoing = Outgoing::new(BlobKind::Answer, blob.clone());
        assert_eq!(outgoing.last(), 2);
        for index in 0..3 {
            let datagram = outgoing.datagram(&route(), index);
            let Ok(Frame::Answer(fragment)) = decode(&datagram) else { panic!("an ANSWER") };
            let head = fragment.head();
            assert_eq!(
                (head.session, head.offer, head.target),
                (route().session, route().offer, route().target)
            );
            assert_eq!((head.digest, head.length, head.index), (Digest::of(&blob), 2500, index));
            let start = usize::from(index) * FRAGMENT;
            assert_eq!(fragment.blob(), &blob[start..2500.min(start + FRAGMENT)]);
        }
    }

    #[test]
    fn empty_answer_is_one_fragment_of_no_bytes() {
        let outgoing = Outgoing::new(BlobKind::Answer, Vec::new());
        let datagram = outgoing.datagram(&route(), 0);
        let Ok(Frame::Answer(fragment)) = decode(&datagram) else { panic!("an ANSWER") };
        assert_eq!((outgoing.last(), fragment.blob()), (0, &[][..]));
    }

    #[test]
    fn candidate_is_one_frame_under_its_number() {
        let datagram = candidate_datagram(&route(), 63, b"candidate");
        let Ok(Frame::Candidate(fragment)) = decode(&datagram) else { panic!("a CANDIDATE") };
        assert_eq!((fragment.head().index, fragment.blob()), (63, &b"candidate"[..]));
    }
}
