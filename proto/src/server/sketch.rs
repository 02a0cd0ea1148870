//! Accounts of very many, in a table whose size never changes. Knows neither addresses nor what is limited.
//!
//! Two rows; a keyed hash gives everybody one account in each. What counts is the better of the two, and spending draws
//! both up to that and no further. So nobody is refused unless others share both of his accounts and use them up. If k
//! others are at their limit, that happens to somebody with probability (k / n)^2 for rows of n accounts, anew under
//! each seed; without the key nobody can aim at it. To use all accounts up takes n times the rate.

use std::time::Duration;

use super::rate::{Rate, Reserve, Stamp};

pub(super) struct Sketch {
    // Plain numbers, so that untouched pages take no memory.
    rows: [Box<[u32]>; 2],
    mask: u32,
}

impl Sketch {
    /// Makes a sketch with rows of 2^`bits` accounts.
    pub(super) fn new(bits: u32) -> Self {
        let row = || vec![0; 1 << bits].into_boxed_slice();
        Self { rows: [row(), row()], mask: (1 << bits) - 1 }
    }

    /// Tells whether one piece can be spent.
    ///
    /// # Errors
    /// How long it takes until it can.
    pub(super) fn admits(&self, hash: u64, now: Stamp, rate: &Rate) -> Result<(), Duration> {
        let [a, b] = self.ahead(hash, now, rate);
        rate.after(now, a.min(b), rate.price(1), Reserve::Whole).map(drop)
    }

    /// Spends one piece that [`Sketch::admits`].
    pub(super) fn spend(&mut self, hash: u64, now: Stamp, rate: &Rate) {
        let ahead = self.ahead(hash, now, rate);
        let spent = ahead[0].min(ahead[1]).saturating_add(rate.price(1));
        let places = self.places(hash);
        for ((row, place), ahead) in self.rows.iter_mut().zip(places).zip(ahead) {
            row[place] = now.0.wrapping_add(ahead.max(spent));
        }
    }

    fn ahead(&self, hash: u64, now: Stamp, rate: &Rate) -> [u32; 2] {
        let [a, b] = self.places(hash);
        [rate.ahead(now, Stamp(self.rows[0][a])), rate.ahead(now, Stamp(self.rows[1][b]))]
    }

    const fn places(&self, hash: u64) -> [usize; 2] {
        [(hash as u32 & self.mask) as usize, ((hash >> 32) as u32 & self.mask) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyed::Seed;

    #[test]
    fn few_are_silenced_by_chance_and_as_many_as_the_formula_says() {
        const BITS: u32 = 10;
        let rate = Rate::new(1, 4).unwrap();
        let positions = Seed::from_number(3).key(b'x');
        let hash = |number: u32| positions.position(&number.to_be_bytes());
        let mut sketch = Sketch::new(BITS);
        let now = Stamp(1_000_000);
        for busy in 0..100 {
            while sketch.admits(hash(busy), now, &rate).is_ok() {
                sketch.spend(hash(busy), now, &rate);
            }
        }
        let honest = 1000..101_000;
        let silenced = honest.clone().filter(|n| sketch.admits(hash(*n), now, &rate).is_err()).count();
        // (100 / 1024)^2 of 100,000 is 953; somewhat fewer, as some of the hundred share accounts.
        assert!((600..1000).contains(&silenced), "{silenced}");
    }

    #[test]
    fn one_alone_has_just_its_rate() {
        let rate = Rate::new(10, 3).unwrap();
        let mut sketch = Sketch::new(4);
        let mut taken = 0;
        for milli in 0..10_000u32 {
            let now = Stamp(milli * 250);
            if sketch.admits(77 << 32 | 5, now, &rate).is_ok() {
                sketch.spend(77 << 32 | 5, now, &rate);
                taken += 1;
            }
        }
        assert_eq!(taken, 3 + 100 - 1);
    }
}
