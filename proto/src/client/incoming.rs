//! A blob that arrives in fragments. Knows nothing of calls, nor how many others there are. SPEC 7

use super::ack::{AckTimer, Missing};
use super::constants::ACK_EVERY;
use super::progress::{Progress, Transfer};
use crate::Instant;
use crate::wire::{Arrived, Digest, Relayed, RelayedHead, fragment_count, fragment_range};

/// One offer or answer on its way in, and its acknowledgement.
#[derive(Debug)]
pub(super) struct Incoming {
    digest: Digest,
    length: u32,
    body: Body,
    /// Fragments that have come since the last acknowledgement.
    unacknowledged: u32,
    /// When to acknowledge.
    pub(super) ack: AckTimer,
}

#[derive(Debug)]
enum Body {
    Partial { buffer: Vec<u8>, arrived: Arrived },
    Whole,
}

/// What a fragment has done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is kept, or was there already.
    Kept,
    /// It made the blob whole: here it is.
    Whole(Vec<u8>),
    /// It made the blob whole, but not the one that was announced.
    Damaged,
    /// It is of another blob.
    Mismatch,
}

impl Incoming {
    /// Makes room for the blob that a first fragment announces.
    pub(super) fn new(head: &RelayedHead) -> Self {
        let buffer = vec![0; head.length as usize];
        Self {
            digest: head.digest,
            length: head.length,
            body: Body::Partial { buffer, arrived: Arrived::default() },
            unacknowledged: 0,
            ack: AckTimer::Idle,
        }
    }

    /// Tells whether the blob is whole.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.body, Body::Whole)
    }

    /// Takes a fragment.
    pub(super) fn take(&mut self, now: Instant, relayed: &Relayed<'_>) -> Taken {
        let head = relayed.head();
        if head.digest != self.digest || head.length != self.length {
            return Taken::Mismatch;
        }
        self.ack.soon(now);
        let Body::Partial { buffer, arrived } = &mut self.body else { return Taken::Kept };
        // The decoder holds the bytes and the range equal in length.
        let range = fragment_range(buffer.len(), head.index);
        if let Some(place) = buffer.get_mut(range).filter(|place| place.len() == relayed.blob().len()) {
            place.copy_from_slice(relayed.blob());
            arrived.insert(head.index);
        }
        if *arrived != Arrived::all(fragment_count(buffer.len())) {
            self.unacknowledged += 1;
            if self.unacknowledged >= ACK_EVERY {
                self.ack.at_once(now);
            }
            return Taken::Kept;
        }
        if Digest::of(buffer) != self.digest {
            self.ack.stop();
            return Taken::Damaged;
        }
        let blob = std::mem::take(buffer);
        self.body = Body::Whole;
        self.ack.at_once(now);
        Taken::Whole(blob)
    }

    /// Returns what to acknowledge now, and takes it as done.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Arrived> {
        let missing = if self.is_whole() { Missing::Nothing } else { Missing::Some };
        let arrived = self.arrived();
        if arrived.count() == 0 || !self.ack.poll(now, missing) {
            return None;
        }
        self.unacknowledged = 0;
        Some(arrived)
    }

    /// Acknowledges at once what has arrived of an incomplete blob: the server knows this client again.
    pub(super) fn resume(&mut self, now: Instant) {
        if !self.is_whole() && self.arrived().count() > 0 {
            self.ack.at_once(now);
        }
    }

    /// Says how much of it has arrived.
    pub(super) fn progress(&self, transfer: Transfer) -> Option<Progress> {
        Progress::new(transfer, self.length as usize, self.arrived())
    }

    /// Returns the bitmap of what has arrived.
    pub(super) fn arrived(&self) -> Arrived {
        match &self.body {
            Body::Partial { arrived, .. } => *arrived,
            Body::Whole => Arrived::all(fragment_count(self.length as usize)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Address, BlobKind, OfferId, PeerId, Session};

    const START: Instant = Instant::from_micros(1_000_000);

    fn head(blob: &[u8], index: u8) -> RelayedHead {
        RelayedHead {
            session: Session([5; 16]),
            offer: OfferId::from_random([3; 16]),
            source: PeerId::plain([9; 16]).unwrap(),
            observed: Address::NONE,
            digest: Digest::of(blob),
            length: blob.len() as u32,
            index,
        }
    }

    fn take(incoming: &mut Incoming, head: RelayedHead, blob: &[u8]) -> Taken {
        let bytes = &blob[fragment_range(blob.len(), head.index)];
        incoming.take(START, &Relayed::new(BlobKind::Offer, head, bytes).unwrap())
    }

    #[test]
    fn fragments_in_any_order_and_twice_make_the_blob_once() {
        let blob: Vec<u8> = (0..2500).map(|at| at as u8).collect();
        let mut incoming = Incoming::new(&head(&blob, 2));
        for index in [2, 0, 2, 0] {
            assert_eq!(take(&mut incoming, head(&blob, index), &blob), Taken::Kept);
        }
        assert_eq!((incoming.arrived(), incoming.is_whole()), (Arrived(0b101), false));
        assert_eq!(take(&mut incoming, head(&blob, 1), &blob), Taken::Whole(blob.clone()));
        assert_eq!(take(&mut incoming, head(&blob, 1), &blob), Taken::Kept);
        assert_eq!((incoming.poll(START), incoming.poll(START)), (Some(Arrived(0b111)), None));
    }

    #[test]
    fn fragments_of_another_blob_change_nothing() {
        let (blob, other) = (vec![1; 2500], vec![2; 2500]);
        let mut incoming = Incoming::new(&head(&blob, 0));
        assert_eq!(take(&mut incoming, head(&other, 0), &other), Taken::Mismatch);
        assert_eq!((incoming.arrived(), incoming.ack), (Arrived(0), AckTimer::Idle));
    }

    #[test]
    fn blob_without_its_digest_is_damaged_and_not_acknowledged() {
        let (announced, sent) = (vec![1; 1500], vec![2; 1500]);
        let mut incoming = Incoming::new(&head(&announced, 0));
        assert_eq!(take(&mut incoming, head(&announced, 0), &sent), Taken::Kept);
        assert_eq!(take(&mut incoming, head(&announced, 1), &sent), Taken::Damaged);
        assert_eq!(
            (incoming.poll(START + super::super::constants::ACK_DELAY), incoming.is_whole()),
            (None, false)
        );
    }

    #[test]
    fn blob_of_no_bytes_is_whole_with_its_one_fragment() {
        let mut incoming = Incoming::new(&head(b"", 0));
        let relayed = Relayed::new(BlobKind::Answer, head(b"", 0), b"").unwrap();
        assert_eq!(incoming.take(START, &relayed), Taken::Whole(vec![]));
        assert_eq!(incoming.poll(START), Some(Arrived(1)));
    }
}
