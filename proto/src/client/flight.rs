//! What of a transfer is under way: window, loss, timeout, backoff. Knows numbers of pieces, neither bytes nor frames.
//!
//! A piece is a fragment of a blob, or a candidate. SPEC 7

use std::time::Duration;

use super::constants::{
    FEW_PIECES, REORDER_THRESHOLD, SILENT_TIMEOUTS, SILENT_TIMEOUTS_OF_FEW, WINDOW_INITIAL, WINDOW_MAX,
    WINDOW_MIN,
};
use super::rtt::Rtt;
use crate::Instant;
use crate::wire::{Arrived, FRAGMENTS_MAX};

/// The pieces of one transfer, and what is known of each.
#[derive(Debug)]
pub(super) struct Flight {
    pieces: Vec<Piece>,
    window: usize,
    /// Transmissions so far; the order of the last one.
    transmissions: u64,
    /// The orders of the latest transmissions that were acknowledged, ascending.
    latest: [u64; REORDER_THRESHOLD],
    /// Timeouts in a row that passed without any acknowledgement.
    silent: u32,
    silent_at: Instant,
    progress_at: Instant,
    halved_at: Option<Instant>,
    held_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Waiting,
    Flying { sent: Instant, order: u64, turn: Turn },
    Lost,
    Arrived { since: Instant },
}

/// Whether a piece goes out for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    First,
    Again,
}

impl Flight {
    /// Starts with `count` pieces, all waiting; at most 64.
    pub(super) fn new(count: usize) -> Self {
        Self {
            pieces: vec![Piece::Waiting; count.min(FRAGMENTS_MAX)],
            window: WINDOW_INITIAL,
            transmissions: 0,
            latest: [0; REORDER_THRESHOLD],
            silent: 0,
            silent_at: Instant::ORIGIN,
            progress_at: Instant::ORIGIN,
            halved_at: None,
            held_until: None,
        }
    }

    /// Adds a piece, and returns its number unless there are 64 already.
    pub(super) fn grow(&mut self) -> Option<u8> {
        let number =
            u8::try_from(self.pieces.len()).ok().filter(|&number| usize::from(number) < FRAGMENTS_MAX)?;
        self.pieces.push(Piece::Waiting);
        Some(number)
    }

    /// Tells whether every piece has been acknowledged.
    pub(super) fn is_complete(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Arrived { .. }))
    }

    /// Returns the bitmap of what has been acknowledged.
    pub(super) fn arrived(&self) -> Arrived {
        let mut arrived = Arrived::default();
        for (index, piece) in (0..).zip(&self.pieces) {
            if matches!(piece, Piece::Arrived { .. }) {
                arrived.insert(index);
            }
        }
        arrived
    }

    /// Tells whether nothing has been sent yet.
    pub(super) fn is_unsent(&self) -> bool {
        self.transmissions == 0
    }

    /// Returns the piece to send now, and takes it as sent.
    pub(super) fn poll(&mut self, now: Instant) -> Option<(u8, Turn)> {
        if self.held_until.is_some_and(|until| now < until) || self.flying().count() >= self.window {
            return None;
        }
        self.held_until = None;
        let index = self.pieces.iter().position(|piece| matches!(piece, Piece::Waiting | Piece::Lost))?;
        let piece = &mut self.pieces[index];
        let turn = if *piece == Piece::Waiting { Turn::First } else { Turn::Again };
        self.transmissions += 1;
        *piece = Piece::Flying { sent: now, order: self.transmissions, turn };
        // There are at most 64 pieces.
        Some((index as u8, turn))
    }

    /// Takes an acknowledgement: what the receiver has. Finds losses by the order of transmission.
    pub(super) fn acknowledge(&mut self, now: Instant, bitmap: Arrived, rtt: &mut Rtt) {
        // The acknowledged piece that was sent last, when, and for which time.
        let mut newest: Option<(u64, Instant, Turn)> = None;
        let forgotten_before = now - rtt.timeout();
        for (index, piece) in (0..).zip(&mut self.pieces) {
            match (*piece, bitmap.contains(index)) {
                (Piece::Flying { sent, order, turn }, true) => {
                    newest = newest.max(Some((order, sent, turn)));
                    *piece = Piece::Arrived { since: now };
                    self.window = (self.window + 1).min(WINDOW_MAX);
                    note_order(&mut self.latest, order);
                }
                (Piece::Lost, true) => {
                    newest = newest.max(Some((0, now, Turn::Again)));
                    *piece = Piece::Arrived { since: now };
                }
                // The receiver had it and has it no more: it began anew. An old acknowledgement that was overtaken
                // looks the same, but not for long.
                (Piece::Arrived { since }, false) if since < forgotten_before => *piece = Piece::Lost,
                (Piece::Arrived { .. } | Piece::Waiting, _) | (Piece::Flying { .. } | Piece::Lost, false) => {
                }
            }
        }
        let Some((_, sent, turn)) = newest else { return };
        if turn == Turn::First {
            rtt.measure(now.since(sent));
        }
        self.progress_at = now;
        // Unmeasured, the backed-off timeout is all that is known of a path slower than the initial one.
        if rtt.is_measured() {
            self.silent = 0;
        }
        self.find_overtaken(now, rtt);
    }

    /// Takes what has been under way for longer than the retransmission timeout as lost.
    pub(super) fn expire(&mut self, now: Instant, rtt: &Rtt) {
        let timeout = self.timeout(rtt);
        let mut first_sent: Option<Instant> = None;
        for piece in &mut self.pieces {
            if let Piece::Flying { sent, .. } = *piece
                && sent + timeout <= now
            {
                first_sent = Some(first_sent.map_or(sent, |first| first.min(sent)));
                *piece = Piece::Lost;
            }
        }
        let Some(first_sent) = first_sent else { return };
        // All that was under way at once counts once, and not at all where anything got through.
        if self.progress_at <= first_sent && self.silent_at <= first_sent {
            self.silent += 1;
            self.silent_at = now;
        }
        self.halve(now, rtt);
    }

    /// Holds everything back until then, as the server asked. SPEC 6
    pub(super) fn hold(&mut self, now: Instant, until: Instant, rtt: &Rtt) {
        self.held_until = self.held_until.max(Some(until));
        self.take_flying_as_lost();
        self.halve(now, rtt);
    }

    /// Sends at once what is not acknowledged: the server knows this client again.
    pub(super) fn resume(&mut self) {
        self.silent = 0;
        self.take_flying_as_lost();
    }

    /// Takes every piece as done: none will be sent again.
    pub(super) fn abandon(&mut self) {
        self.pieces.fill(Piece::Arrived { since: Instant::from_micros(u64::MAX) });
    }

    /// Returns when [`poll`](Self::poll) or [`expire`](Self::expire) will next have something to do.
    pub(super) fn next(&self, now: Instant, rtt: &Rtt) -> Option<Instant> {
        if let Some(until) = self.held_until.filter(|&until| now < until) {
            return Some(until);
        }
        self.flying().map(|sent| sent + self.timeout(rtt)).min()
    }

    fn timeout(&self, rtt: &Rtt) -> Duration {
        let unheeded = if self.pieces.len() <= FEW_PIECES { SILENT_TIMEOUTS_OF_FEW } else { SILENT_TIMEOUTS };
        rtt.backed_off(self.silent.saturating_sub(unheeded))
    }

    fn flying(&self) -> impl Iterator<Item = Instant> {
        self.pieces.iter().filter_map(|piece| match *piece {
            Piece::Flying { sent, .. } => Some(sent),
            Piece::Waiting | Piece::Lost | Piece::Arrived { .. } => None,
        })
    }

    fn find_overtaken(&mut self, now: Instant, rtt: &Rtt) {
        let [bound, ..] = self.latest;
        let mut any = false;
        for piece in &mut self.pieces {
            if let Piece::Flying { order, .. } = *piece
                && order < bound
            {
                *piece = Piece::Lost;
                any = true;
            }
        }
        if any {
            self.halve(now, rtt);
        }
    }

    fn take_flying_as_lost(&mut self) {
        for piece in &mut self.pieces {
            if matches!(piece, Piece::Flying { .. }) {
                *piece = Piece::Lost;
            }
        }
    }

    fn halve(&mut self, now: Instant, rtt: &Rtt) {
        if self.halved_at.is_none_or(|at| at + rtt.mean() <= now) {
            self.halved_at = Some(now);
            self.window = (self.window / 2).max(WINDOW_MIN);
        }
    }
}

/// Keeps the latest orders, ascending.
fn note_order(latest: &mut [u64; REORDER_THRESHOLD], order: u64) {
    if order > latest[0] {
        latest[0] = order;
        latest.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::super::constants::RTO_INITIAL;
    use super::super::constants::RTO_MAX;
    use super::*;

    const START: Instant = Instant::from_micros(1_000_000);
    const TRIP: Duration = Duration::from_millis(100);

    fn sent(flight: &mut Flight, now: Instant) -> Vec<u8> {
        std::iter::from_fn(|| flight.poll(now)).map(|(index, _)| index).collect()
    }

    #[test]
    fn window_opens_by_one_for_each_piece_acknowledged() {
        let (mut flight, mut rtt) = (Flight::new(64), Rtt::default());
        assert_eq!(sent(&mut flight, START), (0..16).collect::<Vec<_>>());
        flight.acknowledge(START + TRIP, Arrived(0xFFFF), &mut rtt);
        assert_eq!(sent(&mut flight, START + TRIP), (16..48).collect::<Vec<_>>());
        flight.acknowledge(START + TRIP * 2, Arrived(0xFFFF_FFFF_FFFF), &mut rtt);
        assert_eq!(sent(&mut flight, START + TRIP * 2), (48..64).collect::<Vec<_>>());
        flight.acknowledge(START + TRIP * 3, Arrived::all(64), &mut rtt);
        assert!(flight.is_complete());
        assert_eq!(rtt.mean(), TRIP);
    }

    #[test]
    fn loss_halves_the_window_once_a_round_trip_and_not_below_its_least() {
        let (mut flight, mut rtt) = (Flight::new(64), Rtt::default());
        sent(&mut flight, START);
        flight.expire(START + RTO_INITIAL, &rtt);
        flight.expire(START + RTO_INITIAL, &rtt);
        assert_eq!(flight.window, 8);
        sent(&mut flight, START + RTO_INITIAL);
        flight.expire(START + RTO_INITIAL * 3, &rtt);
        assert_eq!(flight.window, WINDOW_MIN);
        sent(&mut flight, START + RTO_INITIAL * 3);
        flight.acknowledge(START + RTO_INITIAL * 3 + TRIP, Arrived(0b1111_0000), &mut rtt);
        assert_eq!(flight.window, WINDOW_MIN + 4, "overtaken, but within the same round trip");
    }

    #[test]
    fn pieces_sent_again_are_not_measured() {
        let (mut flight, mut rtt) = (Flight::new(2), Rtt::default());
        sent(&mut flight, START);
        flight.expire(START + RTO_INITIAL, &rtt);
        assert_eq!(flight.poll(START + RTO_INITIAL), Some((0, Turn::Again)));
        flight.acknowledge(START + RTO_INITIAL + TRIP, Arrived(0b11), &mut rtt);
        assert!(flight.is_complete() && !rtt.is_measured());
    }

    #[test]
    fn pieces_never_sent_cannot_be_acknowledged() {
        let (mut flight, mut rtt) = (Flight::new(3), Rtt::default());
        flight.acknowledge(START, Arrived(u64::MAX), &mut rtt);
        assert_eq!(sent(&mut flight, START), [0, 1, 2]);
        assert!(!rtt.is_measured());
    }

    #[test]
    fn piece_that_the_receiver_has_lost_is_sent_again_but_not_for_an_overtaken_acknowledgement() {
        let (mut flight, mut rtt) = (Flight::new(2), Rtt::default());
        sent(&mut flight, START);
        flight.acknowledge(START + TRIP, Arrived(0b11), &mut rtt);
        flight.acknowledge(START + TRIP, Arrived(0b01), &mut rtt);
        assert!(flight.is_complete());
        let later = START + TRIP + rtt.timeout() * 2;
        flight.acknowledge(later, Arrived(0b10), &mut rtt);
        assert_eq!(sent(&mut flight, later), [0]);
    }

    #[test]
    fn timeout_doubles_from_the_second_silent_one_and_an_acknowledgement_restores_it() {
        let (mut flight, mut rtt) = (Flight::new(FEW_PIECES + 1), Rtt::default());
        rtt.measure(TRIP);
        let timeout = rtt.timeout();
        let mut now = START;
        for factor in [1, 1, 2, 4] {
            let wait = (timeout * factor).min(RTO_MAX);
            sent(&mut flight, now);
            assert_eq!(flight.next(now, &rtt), Some(now + wait));
            now += wait;
            flight.expire(now, &rtt);
        }
        sent(&mut flight, now);
        flight.acknowledge(now + TRIP, Arrived(0b01), &mut rtt);
        assert_eq!(flight.next(now + TRIP, &rtt), Some(now + rtt.timeout()));
    }

    #[test]
    fn timeout_of_few_pieces_doubles_from_the_seventeenth_silent_one() {
        let (mut flight, mut rtt) = (Flight::new(FEW_PIECES), Rtt::default());
        rtt.measure(TRIP);
        let mut now = START;
        for silent in 0..=SILENT_TIMEOUTS_OF_FEW + 1 {
            sent(&mut flight, now);
            let factor = if silent <= SILENT_TIMEOUTS_OF_FEW { 1 } else { 2 };
            assert_eq!(flight.next(now, &rtt), Some(now + rtt.timeout() * factor), "{silent}");
            now += rtt.timeout() * factor;
            flight.expire(now, &rtt);
        }
    }

    #[test]
    fn held_back_nothing_goes_out_before_the_time_and_everything_then() {
        let (mut flight, rtt) = (Flight::new(2), Rtt::default());
        sent(&mut flight, START);
        let until = START + TRIP;
        flight.hold(START, until, &rtt);
        flight.hold(START, until - TRIP / 2, &rtt);
        assert_eq!((sent(&mut flight, START), flight.next(START, &rtt)), (vec![], Some(until)));
        assert_eq!(sent(&mut flight, until), [0, 1]);
    }

    #[test]
    fn resumed_it_sends_at_once_what_is_not_acknowledged() {
        let (mut flight, mut rtt) = (Flight::new(3), Rtt::default());
        sent(&mut flight, START);
        flight.acknowledge(START + TRIP, Arrived(0b010), &mut rtt);
        flight.resume();
        assert_eq!(sent(&mut flight, START + TRIP), [0, 2]);
    }

    #[test]
    fn it_grows_to_64_pieces_and_no_further() {
        let mut flight = Flight::new(0);
        assert!(flight.is_complete() && flight.is_unsent());
        for number in 0..64 {
            assert_eq!(flight.grow(), Some(number));
        }
        assert_eq!(flight.grow(), None);
    }
}
