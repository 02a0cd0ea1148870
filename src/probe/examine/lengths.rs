//! Datagrams of several lengths, to see which of them pass.
//!
//! There: a frame of a live session that is too long is answered `MALFORMED`, whatever its length (SPEC 9). Back: an
//! offer to oneself comes as long as wanted, less 28 bytes.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use roundtable_proto::Instant;
use roundtable_proto::wire::{
    self, Address, BlobKind, DATAGRAM_MAX, Digest, FRAGMENT, Fragment, FragmentHead, Frame, Keepalive, Kind,
    OfferId, Zeros,
};

use super::asking::Asking;
use super::visitor::{Standing, drawn};

/// Lengths that are tried first on the way there.
const LENGTHS: [usize; 7] = [DATAGRAM_MAX, 1100, 1000, 900, 700, 400, 100];
/// Of the blobs that are to come back.
const BLOBS: [usize; 5] = [FRAGMENT, 900, 700, 500, 100];
/// From one try to the next, of all that has not been answered.
const ROUND: Duration = Duration::from_millis(200);
/// Tries without a loss, and with one.
const ROUNDS: (u32, u32) = (4, 12);
/// Steps in which the gap between what passes and what does not is closed.
const STEPS: usize = 16;
/// That none of several answers came by chance alone: above this nothing is concluded.
const CHANCE: f64 = 0.01;

/// What is known of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Longest {
    /// All lengths pass.
    All,
    /// So many bytes pass, and these do not.
    Between(usize, usize),
    /// Nothing, or not enough, came back.
    Unknown,
}

/// The way there: first lengths far apart; then, between what passes and what does not, more of them.
pub(super) struct There {
    standing: Standing,
    share: f64,
    lengths: Lengths,
    /// What the first ones have shown, once the second ones are tried.
    coarse: Option<(usize, usize)>,
}

impl There {
    /// `share` of all datagrams come back.
    pub(super) fn new(standing: Standing, share: f64) -> io::Result<Self> {
        let lengths = Lengths::there(standing, &LENGTHS, share)?;
        Ok(Self { standing, share, lengths, coarse: None })
    }

    pub(super) fn longest(&self) -> Longest {
        let found = self.lengths.longest();
        let Some((passes, fails)) = self.coarse else { return found };
        let first = self.lengths.sent.first().map_or(passes, |sent| sent.length);
        let last = self.lengths.sent.last().map_or(fails, |sent| sent.length);
        match found {
            Longest::All => Longest::Between(first, fails),
            Longest::Between(passes, fails) => Longest::Between(passes, fails),
            Longest::Unknown => Longest::Between(passes, last),
        }
    }

    /// Goes on to the second ones, if there are to be any.
    fn refine(&mut self) {
        let (None, Longest::Between(passes, fails)) = (self.coarse, self.lengths.longest()) else { return };
        let step = (fails - passes).div_ceil(STEPS).max(1);
        let between: Vec<_> = (passes + step..fails).step_by(step).rev().collect();
        if let Ok(lengths) = Lengths::there(self.standing, &between, self.share) {
            (self.lengths, self.coarse) = (lengths, Some((passes, fails)));
        }
    }
}

impl Asking for There {
    fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        let polled = self.lengths.poll(now);
        if self.lengths.next().is_none() && self.coarse.is_none() {
            self.refine();
            return self.lengths.poll(now);
        }
        polled
    }

    fn take(&mut self, now: Instant, come: io::Result<&[u8]>) {
        self.lengths.take(now, come);
    }

    fn next(&self) -> Option<Instant> {
        self.lengths.next()
    }
}

/// Some lengths, of which each is sent again and again until it has passed, or chance is ruled out.
pub(super) struct Lengths {
    /// The longest first.
    sent: Vec<Sent>,
    share: f64,
    rounds: u32,
    /// Of this round, by place.
    queue: VecDeque<usize>,
    /// When the next round begins; none once it is over.
    next: Option<Instant>,
}

struct Sent {
    /// What comes back names it so.
    reference: [u8; 16],
    /// Bytes on the way that is measured.
    length: usize,
    datagram: Vec<u8>,
    has_passed: bool,
}

impl Lengths {
    /// Of datagrams to the server.
    fn there(standing: Standing, lengths: &[usize], share: f64) -> io::Result<Self> {
        let sent = lengths.iter().map(|length| {
            let (session, transaction) = (standing.session, drawn()?);
            let mut datagram =
                Frame::Keepalive(Keepalive { session, transaction, observed: Address::NONE }).to_vec();
            datagram.resize(*length, 0);
            Ok(Sent { reference: transaction.0, length: *length, datagram, has_passed: false })
        });
        Ok(Self::new(sent.collect::<io::Result<_>>()?, share))
    }

    /// Of datagrams from the server to the receiver.
    pub(super) fn back(sender: Standing, receiver: Standing, share: f64) -> io::Result<Self> {
        let sent = BLOBS.iter().map(|bytes| {
            let offer = OfferId::from_random(drawn()?.0);
            let blob = vec![b'.'; *bytes];
            let head = FragmentHead {
                session: sender.session,
                offer,
                target: receiver.identifier,
                digest: Digest::of(&blob),
                length: u32::try_from(*bytes).map_err(io::Error::other)?,
                index: 0,
                zero: Zeros::ZERO,
            };
            let fragment = Fragment::new(BlobKind::Offer, head, &blob).map_err(io::Error::other)?;
            let datagram = Frame::Offer(fragment).to_vec();
            Ok(Sent { reference: *offer.as_bytes(), length: relayed(*bytes), datagram, has_passed: false })
        });
        Ok(Self::new(sent.collect::<io::Result<_>>()?, share))
    }

    fn new(sent: Vec<Sent>, share: f64) -> Self {
        Self { sent, share, rounds: 0, queue: VecDeque::new(), next: Some(Instant::ORIGIN) }
    }

    pub(super) fn longest(&self) -> Longest {
        let of = |has_passed: bool| {
            let sent = self.sent.iter().filter(move |sent| sent.has_passed == has_passed);
            sent.map(|sent| sent.length).collect::<Vec<_>>()
        };
        conclude(&of(true), &of(false), self.rounds, self.share)
    }

    fn open(&self) -> impl Iterator<Item = usize> {
        self.sent.iter().enumerate().filter(|(_, sent)| !sent.has_passed).map(|(place, _)| place)
    }
}

impl Asking for Lengths {
    fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.next.is_some_and(|next| next <= now) {
            let more = self.rounds < rounds(self.share) && self.open().next().is_some();
            self.next = more.then_some(now + ROUND);
            if more {
                self.rounds += 1;
                self.queue = self.open().collect();
            }
        }
        let place = self.queue.pop_front()?;
        Some(self.sent[place].datagram.clone())
    }

    /// That the link itself takes less is no news: such a one does not pass.
    fn take(&mut self, _: Instant, come: io::Result<&[u8]>) {
        let Ok(datagram) = come else { return };
        let reference = match wire::decode(datagram) {
            Ok(Frame::Error(refusal)) => refusal.reference.0,
            Ok(Frame::RelayedOffer(relayed)) => *relayed.head().offer.as_bytes(),
            Ok(_) | Err(_) => return,
        };
        self.sent
            .iter_mut()
            .filter(|sent| sent.reference == reference)
            .for_each(|sent| sent.has_passed = true);
        if self.open().next().is_none() {
            self.next = None;
        }
    }

    fn next(&self) -> Option<Instant> {
        self.next
    }
}

/// Tells what follows, if it is not by chance.
fn conclude(passed: &[usize], failed: &[usize], rounds: u32, share: f64) -> Longest {
    let Some(passes) = passed.iter().copied().max() else { return Longest::Unknown };
    let Some(fails) = failed.iter().copied().filter(|length| *length > passes).min() else {
        return Longest::All;
    };
    let chance = (1.0 - share).powi(i32::try_from(rounds).unwrap_or(i32::MAX));
    if chance > CHANCE { Longest::Unknown } else { Longest::Between(passes, fails) }
}

const fn rounds(share: f64) -> u32 {
    if share >= 1.0 { ROUNDS.0 } else { ROUNDS.1 }
}

/// Bytes of a relayed offer with so long a blob.
pub(super) const fn relayed(blob: usize) -> usize {
    Kind::RelayedOffer.size() + blob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_concluded_from_what_may_be_chance() {
        assert_eq!(conclude(&[1100, 400], &[1180], 4, 1.0), Longest::Between(1100, 1180));
        assert_eq!(conclude(&[400], &[1180, 1100], 12, 0.5), Longest::Between(400, 1100));
        assert_eq!(conclude(&[400], &[1180, 1100], 12, 0.16), Longest::Unknown);
        // A short one that is lost beside long ones that pass is a loss.
        assert_eq!(conclude(&[1180, 1100], &[400], 4, 0.9), Longest::All);
        assert_eq!(conclude(&[], &[1180, 1100, 400], 4, 1.0), Longest::Unknown);
    }
}
