//! Datagrams on their way out, in one stretch of memory, neighbours to one peer joined to trains.

use super::path::Path;
use crate::wire::{DATAGRAM_MAX, Frame};

/// Datagrams in one train, at most: what the kernel takes in one segmented send.
const TRAIN_MAX: usize = 60;
/// Bytes that may wait, at most. One received train of 64 datagrams always fits.
const WAITING_MAX: usize = 128 * DATAGRAM_MAX;

/// One or several datagrams to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Where they go.
    pub path: Path,
    /// The datagrams, one behind the other: all of `segment_size` bytes, the last of as many or fewer.
    pub contents: &'a [u8],
    /// Bytes of each datagram but the last.
    pub segment_size: usize,
}

impl<'a> Transmit<'a> {
    /// Goes through the datagrams one by one.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.contents.chunks(self.segment_size)
    }
}

struct Train {
    path: Path,
    start: usize,
    end: usize,
    segment_size: usize,
}

impl Train {
    /// Tells whether a datagram of `size` bytes to `path` may follow.
    fn takes(&self, path: &Path, size: usize) -> bool {
        let length = self.end - self.start;
        self.path == *path
            && size <= self.segment_size
            && length.is_multiple_of(self.segment_size)
            && length / self.segment_size < TRAIN_MAX
            && length + size <= usize::from(u16::MAX) - DATAGRAM_MAX
    }
}

#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    trains: Vec<Train>,
    /// Trains that were handed out.
    taken: usize,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::with_capacity(WAITING_MAX), trains: Vec::with_capacity(128), taken: 0 }
    }

    /// Tells whether two more datagrams, which is the most that one input causes, fit.
    pub(super) const fn has_room(&self) -> bool {
        self.bytes.len() + 2 * DATAGRAM_MAX <= WAITING_MAX
    }

    /// Appends a frame and returns its length.
    pub(super) fn push(&mut self, path: Path, frame: &Frame<'_>) -> usize {
        self.push_with(path, |bytes| frame.encode(bytes))
    }

    /// Appends the datagram that `encode` appends, of at most [`DATAGRAM_MAX`] bytes, and returns its length.
    pub(super) fn push_with(&mut self, path: Path, encode: impl FnOnce(&mut Vec<u8>)) -> usize {
        // So the last train is never one that was handed out.
        if self.taken == self.trains.len() {
            self.clear();
        }
        let start = self.bytes.len();
        encode(&mut self.bytes);
        let end = self.bytes.len();
        match self.trains.last_mut() {
            Some(train) if train.takes(&path, end - start) => train.end = end,
            _ => self.trains.push(Train { path, start, end, segment_size: end - start }),
        }
        end - start
    }

    /// Hands out the next train.
    pub(super) fn pop(&mut self) -> Option<Transmit<'_>> {
        let Some(train) = self.trains.get(self.taken) else {
            self.clear();
            return None;
        };
        self.taken += 1;
        Some(Transmit {
            path: train.path,
            contents: &self.bytes[train.start..train.end],
            segment_size: train.segment_size,
        })
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.trains.clear();
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Address, Keepalive, Pong, Session, TransactionId};

    fn path(port: u16) -> Path {
        Path::from(std::net::SocketAddr::from(([192, 0, 2, 1], port)))
    }

    fn pong() -> Frame<'static> {
        Frame::Pong(Pong { transaction: TransactionId([1; 16]), observed: Address::NONE })
    }

    fn reply() -> Frame<'static> {
        Frame::KeepaliveReply(Keepalive {
            session: Session([1; 16]),
            transaction: TransactionId([1; 16]),
            observed: Address::NONE,
        })
    }

    fn drained(outbox: &mut Outbox) -> Vec<(u16, Vec<usize>)> {
        let mut trains = Vec::new();
        while let Some(transmit) = outbox.pop() {
            trains.push((transmit.path.remote.port(), transmit.datagrams().map(<[u8]>::len).collect()));
        }
        trains
    }

    #[test]
    fn neighbours_of_one_length_to_one_peer_leave_as_a_train() {
        let mut outbox = Outbox::new();
        for frame in [reply(), reply(), pong(), pong()] {
            outbox.push(path(1), &frame);
        }
        outbox.push(path(2), &pong());
        // A shorter datagram may end a train, and then nothing follows in it.
        assert_eq!(drained(&mut outbox), [(1, vec![55, 55, 39]), (1, vec![39]), (2, vec![39])]);
        assert_eq!(drained(&mut outbox), []);
    }

    #[test]
    fn what_is_pushed_while_draining_is_not_joined_to_what_is_gone() {
        let mut outbox = Outbox::new();
        outbox.push(path(1), &pong());
        assert!(outbox.pop().is_some());
        outbox.push(path(1), &pong());
        assert_eq!(drained(&mut outbox), [(1, vec![39])]);
    }

    #[test]
    fn outbox_is_bounded() {
        let mut outbox = Outbox::new();
        let mut pushed = 0;
        while outbox.has_room() {
            pushed += outbox.push(path(1), &pong());
        }
        assert!(pushed <= WAITING_MAX);
        drained(&mut outbox);
        assert!(outbox.has_room());
    }
}
