//! Datagrams on their way out, in one stretch of memory, neighbours to one peer joined to trains.

use crate::server::Path;
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
    fn lend<'a>(&self, bytes: &'a [u8]) -> Transmit<'a> {
        Transmit { path: self.path, contents: &bytes[self.start..self.end], segment_size: self.segment_size }
    }

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
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    trains: Vec<Train>,
    /// Trains that were handed out.
    taken: usize,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(WAITING_MAX), trains: Vec::with_capacity(128), taken: 0 }
    }

    /// Tells whether two more datagrams, which is the most that one input causes, fit.
    pub(crate) const fn has_room(&self) -> bool {
        self.is_empty() || self.bytes.len() + 2 * DATAGRAM_MAX <= WAITING_MAX
    }

    /// Tells whether more waits than may wait when the next received train is handled.
    pub(crate) const fn is_half_full(&self) -> bool {
        !self.is_empty() && self.bytes.len() > WAITING_MAX / 2
    }

    const fn is_empty(&self) -> bool {
        self.taken == self.trains.len()
    }

    /// Appends a frame and returns its length.
    pub(crate) fn push(&mut self, path: Path, frame: &Frame<'_>) -> usize {
        self.push_with(path, |bytes| frame.encode(bytes))
    }

    /// Appends the datagram that `encode` appends, of at most [`DATAGRAM_MAX`] bytes and a proxy's header, and returns its length.
    pub(crate) fn push_with(&mut self, path: Path, encode: impl FnOnce(&mut Vec<u8>)) -> usize {
        // So the last train is never one that was handed out.
        if self.is_empty() {
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
    pub(crate) fn pop(&mut self) -> Option<Transmit<'_>> {
        let train = self.trains.get(self.taken)?;
        self.taken += 1;
        Some(train.lend(&self.bytes))
    }

    /// Hands out all trains that wait.
    pub(crate) fn pop_all(&mut self) -> impl Iterator<Item = Transmit<'_>> {
        let from = std::mem::replace(&mut self.taken, self.trains.len());
        self.trains[from..].iter().map(|train| train.lend(&self.bytes))
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
    fn all_that_waits_is_handed_out_once() {
        let mut outbox = Outbox::new();
        let ports = |outbox: &mut Outbox| -> Vec<u16> {
            outbox.pop_all().map(|transmit| transmit.path.remote.port()).collect()
        };
        for port in 1..4 {
            outbox.push(path(port), &pong());
        }
        assert!(outbox.pop().is_some());
        assert_eq!(ports(&mut outbox), [2, 3]);
        outbox.push(path(3), &pong());
        assert_eq!(ports(&mut outbox), [3]);
        assert!(ports(&mut outbox).is_empty());
    }

    #[test]
    fn outbox_is_bounded_and_says_in_time_that_it_fills() {
        for all_at_once in [false, true] {
            let mut outbox = Outbox::new();
            let (mut pushed, mut half) = (0, None);
            while outbox.has_room() {
                pushed += outbox.push(path(1), &pong());
                if outbox.is_half_full() {
                    half.get_or_insert(pushed);
                }
            }
            assert!(pushed <= WAITING_MAX);
            // What one received train of 64 may cause fits into the rest.
            assert!(half.is_some_and(|half| half + 63 * DATAGRAM_MAX <= WAITING_MAX));
            if all_at_once {
                assert!(outbox.pop_all().count() > 0);
            } else {
                drained(&mut outbox);
            }
            assert!(outbox.has_room() && !outbox.is_half_full());
        }
    }
}
