//! What lines of statistics say together: counts, their growth a second, and the growth of the last minutes. Knows no
//! terminal.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use roundtable_proto::server::DropReason;
use roundtable_proto::wire::ErrorCode;
use serde::Deserialize;

/// Seconds that are remembered: as many as the widest graph has columns.
const HISTORY: usize = 600;

/// Counts under their names, without those that are zero.
pub(super) type Counts = BTreeMap<String, u64>;

/// One line of a server's statistics. What an older server does not tell is zero.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Line {
    pub(super) server: String,
    uptime_s: f64,
    pub(super) peers: u64,
    /// Open offers, answered ones included.
    pub(super) offers: u64,
    pub(super) offers_answered: u64,
    pub(super) offers_timed_out: u64,
    pub(super) offers_closed: u64,
    pub(super) registrations: u64,
    pub(super) moves: u64,
    pub(super) forgotten: u64,
    datagrams_in: u64,
    bytes_in: u64,
    datagrams_out: u64,
    bytes_out: u64,
    pub(super) queue_full: u64,
    pub(super) filtered: u64,
    pub(super) send_errors: u64,
    pub(super) receive_errors: u64,
    pub(super) way_gone: u64,
    pub(super) received: Counts,
    pub(super) sent: Counts,
    pub(super) refused: Counts,
    pub(super) dropped: Counts,
}

/// Datagrams and bytes of one direction in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) datagrams: u64,
    pub(super) bytes: u64,
}

/// Both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) inward: Flow,
    pub(super) outward: Flow,
}

/// One count: how fast it grows, if that is known yet, and what it has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) rate: Option<u64>,
    pub(super) total: u64,
    /// Whether it counts how often a limit was hit.
    pub(super) is_limit: bool,
}

/// What is known of a server since its first line.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) now: Line,
    before: Option<Line>,
    /// The newest first.
    history: VecDeque<Traffic>,
}

impl Facts {
    pub(super) const fn new(first: Line) -> Self {
        Self { now: first, before: None, history: VecDeque::new() }
    }

    /// Takes the next line.
    pub(super) fn add(&mut self, line: Line) {
        self.before = Some(std::mem::replace(&mut self.now, line));
        let rate = |value: fn(&Line) -> u64| self.rate(value).unwrap_or(0);
        let traffic = Traffic {
            inward: Flow { datagrams: rate(|line| line.datagrams_in), bytes: rate(|line| line.bytes_in) },
            outward: Flow { datagrams: rate(|line| line.datagrams_out), bytes: rate(|line| line.bytes_out) },
        };
        self.history.push_front(traffic);
        self.history.truncate(HISTORY);
    }

    /// Returns the growth a second; none after the first line.
    pub(super) fn rate(&self, value: impl Fn(&Line) -> u64) -> Option<u64> {
        let before = self.before.as_ref()?;
        let passed = self.now.uptime_s - before.uptime_s;
        let grown = value(&self.now).saturating_sub(value(before));
        Some(if passed > 0.0 { (grown as f64 / passed).round() as u64 } else { 0 })
    }

    /// Returns the traffic of each second, the newest first.
    pub(super) fn history(&self) -> impl Iterator<Item = &Traffic> {
        self.history.iter()
    }

    pub(super) fn uptime(&self) -> Duration {
        Duration::try_from_secs_f64(self.now.uptime_s).unwrap_or_default()
    }

    /// Returns the bytes sent for each byte received; none before there is one.
    pub(super) fn ratio(&self) -> Option<f64> {
        (self.now.bytes_in > 0).then(|| self.now.bytes_out as f64 / self.now.bytes_in as f64)
    }

    /// Returns how often limits were hit.
    pub(super) fn limits(&self) -> Row {
        self.row("limits hit", |line| {
            let all = line.refused.iter().chain(&line.dropped);
            all.filter(|(name, _)| is_limit(name)).map(|(_, count)| count).sum()
        })
    }

    /// Returns one count.
    pub(super) fn row(&self, name: &str, value: impl Fn(&Line) -> u64) -> Row {
        Row {
            name: name.to_owned(),
            rate: self.rate(&value),
            total: value(&self.now),
            is_limit: is_limit(name),
        }
    }

    /// Returns the busiest first. Rates of about one size stay in the order of their totals, so that rows do not jump.
    pub(super) fn rows(&self, counts: impl Fn(&Line) -> &Counts) -> Vec<Row> {
        let count = |line: &Line, name: &String| counts(line).get(name).copied().unwrap_or(0);
        let names = counts(&self.now).keys();
        let mut rows: Vec<_> = names.map(|name| self.row(name, |line| count(line, name))).collect();
        let size = |row: &Row| row.rate.unwrap_or(0).checked_ilog2();
        rows.sort_by(|one, other| {
            (size(other), other.total).cmp(&(size(one), one.total)).then_with(|| one.name.cmp(&other.name))
        });
        rows
    }

    /// Tells the last second in one line, for a file or a pipe.
    pub(super) fn line(&self) -> String {
        let rate = |value: fn(&Line) -> u64| self.rate(value).unwrap_or(0);
        format!(
            "{} peers, {} calls under way; in {}/s {}/s, out {}/s {}/s; refused {}/s, dropped {}/s",
            self.now.peers,
            self.now.offers,
            rate(|line| line.datagrams_in),
            bytes(rate(|line| line.bytes_in)),
            rate(|line| line.datagrams_out),
            bytes(rate(|line| line.bytes_out)),
            rate(|line| line.refused.values().sum()),
            rate(|line| line.dropped.values().sum()),
        )
    }
}

/// Bytes for people.
pub(super) fn bytes(number: u64) -> String {
    match number {
        0..10_000 => format!("{number} B"),
        10_000..10_000_000 => format!("{} kB", number / 1000),
        _ => format!("{} MB", number / 1_000_000),
    }
}

/// Tells whether this is the name of a refusal or a drop for a limit. A name that this version does not know is none.
fn is_limit(name: &str) -> bool {
    let refused = ErrorCode::ALL.iter().find(|code| code.name() == name);
    let dropped = DropReason::ALL.iter().find(|reason| reason.name() == name);
    refused.is_some_and(|code| refuses_for_a_limit(*code))
        || dropped.is_some_and(|reason| drops_for_a_limit(*reason))
}

const fn refuses_for_a_limit(code: ErrorCode) -> bool {
    match code {
        ErrorCode::ServerFull
        | ErrorCode::TooManyOffers
        | ErrorCode::BlobTooLarge
        | ErrorCode::RateLimited => true,
        ErrorCode::Malformed
        | ErrorCode::UnknownKind
        | ErrorCode::Version
        | ErrorCode::IdentifierTaken
        | ErrorCode::IdentifierRefused
        | ErrorCode::BadSignature
        | ErrorCode::PeerUnknown
        | ErrorCode::OfferUnknown
        | ErrorCode::OfferConflict
        | ErrorCode::NotPermitted
        | ErrorCode::Timeout
        | ErrorCode::OfferToSelf
        | ErrorCode::WrongServer => false,
    }
}

const fn drops_for_a_limit(reason: DropReason) -> bool {
    match reason {
        DropReason::OutboxFull | DropReason::StrangerLimited | DropReason::Overload => true,
        DropReason::NotOurs
        | DropReason::Version
        | DropReason::UnknownKind
        | DropReason::Malformed
        | DropReason::NotForServer
        | DropReason::BadSource
        | DropReason::Stun => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(uptime: f64, datagrams: u64) -> Line {
        serde_json::from_value(json!({
            "server": "[::]:1066", "uptime_s": uptime, "peers": 7, "offers": 2, "datagrams_in": datagrams,
            "bytes_in": datagrams * 1000, "datagrams_out": datagrams, "bytes_out": datagrams * 900,
            "received": { "PING": datagrams, "OFFER": 4 }, "sent": { "PONG": datagrams },
            "refused": { "RATE_LIMITED": datagrams / 4, "PEER_UNKNOWN": 9 },
            "dropped": { "not_ours": datagrams / 2, "stranger_limited": 3 },
        }))
        .unwrap()
    }

    fn facts() -> Facts {
        let mut facts = Facts::new(line(10.0, 100));
        facts.add(line(12.0, 500));
        facts
    }

    fn row(name: &str, rate: u64, total: u64, is_limit: bool) -> Row {
        Row { name: name.to_owned(), rate: Some(rate), total, is_limit }
    }

    #[test]
    fn two_lines_give_the_growth_a_second() {
        let facts = facts();
        let traffic = Traffic {
            inward: Flow { datagrams: 200, bytes: 200_000 },
            outward: Flow { datagrams: 200, bytes: 180_000 },
        };
        assert_eq!(facts.history().collect::<Vec<_>>(), [&traffic]);
        assert_eq!(
            facts.rows(|line| &line.received),
            [row("PING", 200, 500, false), row("OFFER", 0, 4, false)]
        );
        assert_eq!((facts.ratio(), facts.uptime()), (Some(0.9), Duration::from_secs(12)));
        assert_eq!(
            facts.line(),
            "7 peers, 2 calls under way; in 200/s 200 kB/s, out 200/s 180 kB/s; refused 50/s, dropped 100/s"
        );
    }

    #[test]
    fn one_line_gives_totals_and_no_rate() {
        let facts = Facts::new(line(10.0, 100));
        assert_eq!(facts.rate(|line| line.datagrams_in), None);
        assert_eq!(facts.history().count(), 0);
        assert_eq!((facts.limits().rate, facts.limits().total), (None, 28));
        assert_eq!(Facts::new(Line::default()).ratio(), None);
    }

    #[test]
    fn limits_are_told_apart_from_other_refusals_and_drops() {
        let facts = facts();
        let refused = [row("RATE_LIMITED", 50, 125, true), row("PEER_UNKNOWN", 0, 9, false)];
        assert_eq!(facts.rows(|line| &line.refused), refused);
        let dropped = [row("not_ours", 100, 250, false), row("stranger_limited", 0, 3, true)];
        assert_eq!(facts.rows(|line| &line.dropped), dropped);
        assert_eq!((facts.limits().rate, facts.limits().total), (Some(50), 128));
    }

    #[test]
    fn rows_with_rates_of_one_size_keep_the_order_of_their_totals() {
        let line = |uptime: f64, ping: u64, offer: u64, answer: u64| -> Line {
            let received = json!({ "PING": ping, "OFFER": offer, "ANSWER": answer });
            serde_json::from_value(json!({ "uptime_s": uptime, "received": received })).unwrap()
        };
        let mut facts = Facts::new(line(1.0, 5000, 1000, 0));
        facts.add(line(2.0, 5070, 1090, 1000));
        let names: Vec<_> = facts.rows(|line| &line.received).into_iter().map(|row| row.name).collect();
        assert_eq!(names, ["ANSWER", "PING", "OFFER"]);
    }

    #[test]
    fn as_much_is_remembered_as_a_graph_is_wide() {
        let mut facts = Facts::new(line(0.0, 0));
        for second in 1..=HISTORY as u64 + 7 {
            facts.add(line(second as f64, second * second));
        }
        assert_eq!(facts.history().count(), HISTORY);
        // (607² - 606²), the newest.
        assert_eq!(facts.history().next().map(|traffic| traffic.inward.datagrams), Some(1213));
    }

    #[test]
    fn clock_that_stands_gives_no_growth() {
        let mut facts = Facts::new(line(10.0, 100));
        facts.add(line(10.0, 500));
        assert_eq!(facts.rate(|line| line.datagrams_in), Some(0));
    }
}
