//! Shows how far a long transfer has come while something else is waited for: in place on a terminal, else a line a second.
//! Says nothing of short ones.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use roundtable_proto::wire::{OfferId, PeerId};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::report::{Report, millis};
use crate::client::{Arriving, Latest, Progress, Transfer};

/// What is over before this is not worth a word.
const LONG: Duration = Duration::from_secs(1);
/// Between two lines.
const BETWEEN_LINES: Duration = Duration::from_secs(1);
/// Between two states of the line on a terminal.
const BETWEEN_FRAMES: Duration = Duration::from_millis(100);

/// Shows the transfers of one call.
pub(super) struct Shown {
    report: Report,
    offer: OfferId,
    /// Whose offer it is, unless it is the own one.
    from: Option<PeerId>,
    latest: Latest<Option<Progress>>,
    meter: Option<Meter>,
}

/// Shows the offers that come in.
pub(super) struct Arrivals {
    report: Report,
    latest: Latest<Vec<Arriving>>,
    meters: BTreeMap<OfferId, (PeerId, Meter)>,
}

/// When to show how far one transfer has come. Knows no clock.
#[derive(Clone, Copy)]
struct Meter {
    began: Instant,
    progress: Progress,
    /// What was shown last.
    told: Option<Progress>,
    next: Instant,
}

impl Shown {
    pub(super) const fn new(
        report: Report,
        (offer, from): (OfferId, Option<PeerId>),
        latest: Latest<Option<Progress>>,
    ) -> Self {
        Self { report, offer, from, latest, meter: None }
    }

    /// Waits for that, and shows meanwhile how far the call's transfers have come.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    self.report.passed(self.offer);
                    return done;
                }
                Some(Some(progress)) = self.latest.changed() => self.note(Instant::now(), progress),
                () = reached(self.meter.as_ref().and_then(Meter::due)) => self.show(Instant::now()),
            }
        }
    }

    fn note(&mut self, now: Instant, progress: Progress) {
        match &mut self.meter {
            Some(meter) if meter.progress.transfer == progress.transfer => meter.progress = progress,
            Some(_) | None => self.meter = Some(Meter::new(now, progress)),
        }
    }

    fn show(&mut self, now: Instant) {
        if let Some(meter) = &mut self.meter {
            meter.show(now, &self.report, (self.offer, self.from));
        }
    }
}

impl Arrivals {
    pub(super) const fn new(report: Report, latest: Latest<Vec<Arriving>>) -> Self {
        Self { report, latest, meters: BTreeMap::new() }
    }

    /// Shows them, until it is cancelled.
    pub(super) async fn show(&mut self) {
        loop {
            let due = self.meters.values().filter_map(|(_, meter)| meter.due()).min();
            tokio::select! {
                Some(arriving) = self.latest.changed() => self.note(Instant::now(), &arriving),
                () = reached(due) => self.show_due(Instant::now()),
            }
        }
    }

    /// Takes an offer for whole: it has been announced.
    pub(super) fn arrived(&mut self, offer: &OfferId) {
        self.meters.remove(offer);
        self.report.passed(*offer);
    }

    fn note(&mut self, now: Instant, arriving: &[Arriving]) {
        for &Arriving { offer, from, progress } in arriving {
            let (_, meter) = self.meters.entry(offer).or_insert_with(|| (from, Meter::new(now, progress)));
            meter.progress = progress;
        }
        let report = self.report;
        self.meters.retain(|offer, (from, meter)| {
            let stays = arriving.iter().any(|arriving| arriving.offer == *offer);
            if !stays && let Some(told) = meter.told {
                report.passed(*offer);
                tell_incomplete(&report, *offer, *from, told);
            }
            stays
        });
    }

    fn show_due(&mut self, now: Instant) {
        for (offer, (from, meter)) in &mut self.meters {
            if meter.due().is_some_and(|due| due <= now) {
                meter.show(now, &self.report, (*offer, Some(*from)));
            }
        }
    }
}

impl Meter {
    fn new(now: Instant, progress: Progress) -> Self {
        Self { began: now, progress, told: None, next: now + LONG }
    }

    /// Returns when to show it, unless it is over.
    fn due(&self) -> Option<Instant> {
        (!self.progress.is_complete()).then_some(self.next)
    }

    fn show(&mut self, now: Instant, report: &Report, (offer, from): (OfferId, Option<PeerId>)) {
        let took = now - self.began;
        if report.is_live() {
            self.next = now + BETWEEN_FRAMES;
            self.told = Some(self.progress);
            // Two lines of a narrow terminal could not be taken back.
            let from = from.map(|from| format!("{:.8}…", from.to_string()));
            report.passing(offer, text(&self.progress, from.as_deref(), took));
        } else if self.is_news(now) {
            report.step(
                "progress",
                fields(&self.progress, (offer, from), took),
                &text(&self.progress, from.map(|from| from.to_string()).as_deref(), took),
            );
        }
    }

    /// Tells whether there is something to say in a line of its own.
    fn is_news(&mut self, now: Instant) -> bool {
        self.next = now + BETWEEN_LINES;
        self.told.replace(self.progress) != Some(self.progress)
    }
}

/// Waits for that moment, or for ever.
async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn fields(progress: &Progress, (offer, from): (OfferId, Option<PeerId>), took: Duration) -> Value {
    let mut fields = json!({
        "offer": offer.to_string(), "transfer": progress.transfer.name(), "fragments": progress.fragments,
        "of_fragments": progress.of_fragments, "bytes": progress.bytes, "of_bytes": progress.of_bytes,
        "took_ms": millis(took),
    });
    if let Some(from) = from {
        fields["from"] = from.to_string().into();
    }
    fields
}

fn text(progress: &Progress, from: Option<&str>, took: Duration) -> String {
    let Progress { transfer, fragments, of_fragments, .. } = progress;
    let other = match (from, transfer) {
        (None, Transfer::Offer | Transfer::Answer) => String::new(),
        (Some(from), Transfer::Offer) => format!(", from {from}"),
        (Some(from), Transfer::Answer) => format!(", to {from}"),
    };
    let (name, seconds) = (transfer.name(), took.as_secs_f64());
    format!("{name}: {fragments} of {of_fragments} fragments, {seconds:.1} s{other}")
}

/// Says that an offer that was shown has come to nothing.
fn tell_incomplete(report: &Report, offer: OfferId, from: PeerId, told: Progress) {
    let Progress { fragments, of_fragments, .. } = told;
    let fields = json!({
        "offer": offer.to_string(), "from": from.to_string(), "fragments": fragments, "of_fragments": of_fragments,
    });
    let text = format!("offer {offer} of {from} has not come whole: {fragments} of {of_fragments} fragments");
    report.step("offer_incomplete", fields, &text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(fragments: usize) -> Progress {
        let (bytes, of_bytes) = (fragments * 1024, 58 * 1024);
        Progress { transfer: Transfer::Offer, fragments, of_fragments: 58, bytes, of_bytes }
    }

    #[test]
    fn meter_waits_a_second_and_says_the_same_once() {
        let began = Instant::now();
        let mut meter = Meter::new(began, progress(0));
        assert_eq!(meter.due(), Some(began + LONG));
        let first = began + LONG;
        assert!(meter.is_news(first));
        assert_eq!(meter.due(), Some(first + BETWEEN_LINES));
        assert!(!meter.is_news(first + BETWEEN_LINES));
        meter.progress = progress(1);
        assert!(meter.is_news(first + BETWEEN_LINES * 2));
        meter.progress = progress(58);
        assert_eq!(meter.due(), None);
    }

    #[test]
    fn text_says_whose_it_is_where_there_are_several() {
        let took = Duration::from_millis(1234);
        assert_eq!(text(&progress(34), None, took), "offer: 34 of 58 fragments, 1.2 s");
        let (offer, answer) = (progress(34), Progress { transfer: Transfer::Answer, ..progress(34) });
        assert_eq!(text(&offer, Some("bob"), took), "offer: 34 of 58 fragments, 1.2 s, from bob");
        assert_eq!(text(&answer, Some("bob"), took), "answer: 34 of 58 fragments, 1.2 s, to bob");
    }
}
