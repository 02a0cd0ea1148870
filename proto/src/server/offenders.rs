//! Which registered peers go on sending far beyond their limit while the server cannot keep up. A table of fixed size.
//!
//! Each slot number has one place, which others share. A place counts for whoever takes most of it (majority vote of Boyer
//! and Moore), so one that floods is found among any number that do not.

use super::registry::PeerSlot;

/// Places, a power of two.
const PLACES: usize = 256;

/// A peer that floods: the first four bytes of its session, which no other live session has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offender(pub u32);

#[derive(Clone, Copy, Default)]
struct Place {
    slot: u32,
    votes: u32,
}

pub(super) struct Offenders {
    places: Box<[Place; PLACES]>,
}

impl Offenders {
    pub(super) fn new() -> Self {
        Self { places: Box::new([Place::default(); PLACES]) }
    }

    /// Counts a frame beyond the limit.
    pub(super) fn note(&mut self, slot: PeerSlot) {
        let slot = slot.number();
        let place = &mut self.places[slot as usize % PLACES];
        if place.slot == slot {
            place.votes = place.votes.saturating_add(1);
        } else if place.votes == 0 {
            *place = Place { slot, votes: 1 };
        } else {
            place.votes -= 1;
        }
    }

    /// Gives those with at least so many frames since the last time.
    pub(super) fn take(&mut self, least: u32) -> impl Iterator<Item = Offender> {
        self.places.iter_mut().filter_map(move |place| {
            let Place { slot, votes } = std::mem::take(place);
            (votes >= least.max(1)).then_some(Offender(slot))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u32) -> PeerSlot {
        PeerSlot::at(number)
    }

    #[test]
    fn who_floods_is_found_among_those_who_do_not_and_once() {
        let mut offenders = Offenders::new();
        for round in 0..100 {
            offenders.note(slot(7));
            // Who shares its place, and everybody else.
            offenders.note(slot(7));
            offenders.note(slot(7 + PLACES as u32 * (1 + round)));
            offenders.note(slot(1000 + round));
        }
        assert_eq!(offenders.take(90).collect::<Vec<_>>(), [Offender(7)]);
        assert_eq!(offenders.take(1).count(), 0);
    }
}
