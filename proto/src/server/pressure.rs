//! What to leave undone when the loop cannot keep up, and when to say so. SPEC 12
//!
//! Peers' frames always come first: they are never shed here. Registrations have their total budget at all times. Of
//! strangers only a bounded number is answered while the pressure lasts.

use std::time::Duration;

use super::budget::Budget;
use super::crowd::Place;
use crate::Instant;

/// Whether the driver keeps up with what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Its receive queue runs empty.
    Calm,
    /// Its receive queue has not been empty for some time.
    Saturated,
}

/// How long strangers stay limited after the last sign of saturation, so that it does not flutter.
const HOLD: Duration = Duration::from_secs(1);
/// From the start of an episode until it is told: what the figures are taken from.
const MEASURED: Duration = Duration::from_secs(1);
/// An episode is over after so much calm. A filter in front of the engine makes it calm too, and looks every 16 s at most
/// whether the flood goes on.
const OVER: Duration = Duration::from_secs(30);
/// Places of the bitmap that estimates how many prefixes there are.
const PLACES: usize = 4096;

/// What an episode has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Flood { per_second: u64, prefixes: u32 },
    Over { lasted: Duration, shed: u64 },
}

struct Episode {
    began: Instant,
    /// The last sign of saturation.
    last: Instant,
    /// Datagrams and shed ones that had been counted when it began.
    datagrams: u64,
    shed: u64,
    is_told: bool,
}

pub(super) struct Gauge {
    episode: Option<Episode>,
    /// Strangers that may be answered while the pressure lasts.
    strangers: Budget,
    /// Prefixes of strangers seen in this episode, by linear counting.
    seen: Box<[u64; PLACES / 64]>,
}

impl Gauge {
    /// Answers `strangers` a second under pressure.
    pub(super) fn new(strangers: u32) -> Self {
        Self { episode: None, strangers: Budget::new(strangers), seen: Box::new([0; PLACES / 64]) }
    }

    /// Takes the driver's judgement. `datagrams` and `shed` are what has been counted so far.
    pub(super) fn set(
        &mut self,
        now: Instant,
        pressure: Pressure,
        datagrams: u64,
        shed: u64,
    ) -> Option<News> {
        match (pressure, &mut self.episode) {
            (Pressure::Calm, None) => return None,
            (Pressure::Saturated, None) => {
                self.seen.fill(0);
                self.episode = Some(Episode { began: now, last: now, datagrams, shed, is_told: false });
                return None;
            }
            (Pressure::Saturated, Some(episode)) => episode.last = now,
            (Pressure::Calm, Some(_)) => {}
        }
        let prefixes = self.prefixes();
        let episode = self.episode.as_mut()?;
        let lasted = episode.last.since(episode.began);
        if !episode.is_told && lasted >= MEASURED {
            episode.is_told = true;
            let millis = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX).max(1);
            return Some(News::Flood {
                per_second: (datagrams - episode.datagrams) * 1000 / millis,
                prefixes,
            });
        }
        if now.since(episode.last) < OVER {
            return None;
        }
        let news = episode
            .is_told
            .then(|| News::Over { lasted: episode.last.since(episode.began), shed: shed - episode.shed });
        self.episode = None;
        news
    }

    /// Tells whether strangers are limited now.
    pub(super) fn is_high(&self, now: Instant) -> bool {
        self.episode.as_ref().is_some_and(|episode| now.since(episode.last) < HOLD)
    }

    /// Tells whether a stranger may be answered.
    pub(super) fn take_stranger(&mut self, now: Instant, place: Place) -> bool {
        let bit = (place.0 as usize) % PLACES;
        self.seen[bit / 64] |= 1 << (bit % 64);
        self.strangers.take(now)
    }

    /// Estimates how many prefixes were seen: of n places z are left empty by about n ln(n / z) of them.
    fn prefixes(&self) -> u32 {
        let full: u32 = self.seen.iter().map(|word| word.count_ones()).sum();
        let empty = (PLACES as u32 - full).max(1);
        let estimate = PLACES as f64 * (PLACES as f64 / f64::from(empty)).ln();
        estimate.round() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyed::Seed;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn episode_is_told_once_with_its_figures_and_once_when_it_is_over() {
        let positions = Seed::from_number(1).key(b'x');
        let mut gauge = Gauge::new(10);
        let mut news = Vec::new();
        for milli in (0..50_000).step_by(50) {
            let pressure = if (5000..9000).contains(&milli) { Pressure::Saturated } else { Pressure::Calm };
            if gauge.is_high(at(milli)) {
                for prefix in 0..300u32 {
                    gauge.take_stranger(at(milli), Place(positions.position(&prefix.to_be_bytes())));
                }
            }
            news.extend(gauge.set(at(milli), pressure, milli * 400, milli));
        }
        let [News::Flood { per_second, prefixes }, over] = news[..] else { panic!("{news:?}") };
        assert_eq!(
            (per_second, over),
            (400_000, News::Over { lasted: Duration::from_millis(3950), shed: 33_950 })
        );
        assert!((270..330).contains(&prefixes), "{prefixes}");
    }

    #[test]
    fn short_saturation_is_not_told() {
        let mut gauge = Gauge::new(10);
        for milli in (0..50_000).step_by(50) {
            let pressure = if milli < 500 { Pressure::Saturated } else { Pressure::Calm };
            assert_eq!(gauge.set(at(milli), pressure, milli, 0), None);
            assert_eq!(gauge.is_high(at(milli)), milli < 450 + 1000, "{milli}");
        }
    }
}
