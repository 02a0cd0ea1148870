//! What the crowd has done and met.

use std::fmt;
use std::time::Duration;

use crate::remote::Stats;

#[derive(Default)]
pub(crate) struct Report {
    /// Datagrams that were sent to the server.
    sent: u64,
    flooded: u64,
    vanished: u64,
    visits: u64,
    moves: u64,
    /// How long each call took from the offer to the answer, in milliseconds, sorted into powers of two.
    calls: [u64; 24],
    glares: u64,
    failures: Vec<String>,
}

impl Report {
    pub(crate) const fn count_sent(&mut self) {
        self.sent += 1;
    }

    pub(crate) const fn count_flood(&mut self) {
        self.sent += 1;
        self.flooded += 1;
    }

    pub(crate) const fn count_vanished(&mut self) {
        self.vanished += 1;
    }

    pub(crate) const fn count_visit(&mut self) {
        self.visits += 1;
    }

    pub(crate) const fn count_move(&mut self) {
        self.moves += 1;
    }

    pub(crate) const fn count_glare(&mut self) {
        self.glares += 1;
    }

    pub(crate) fn count_call(&mut self, took: Duration) {
        let millis = took.as_millis().max(1);
        self.calls[(millis.ilog2() as usize).min(23)] += 1;
    }

    pub(crate) fn fail(&mut self, what: String) {
        println!("FAILED: {what}");
        self.failures.push(what);
    }

    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) const fn flooded(&self) -> u64 {
        self.flooded
    }

    pub(crate) const fn vanished(&self) -> u64 {
        self.vanished
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.iter().sum()
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Prints how things stand.
    pub(crate) fn row(&self, at: Duration, server: &Stats) {
        println!(
            "{:6} s: {} peers, {} offers, {} datagrams in, {} queue full, {} KiB resident, {} calls",
            at.as_secs(),
            server.peers,
            server.offers,
            server.datagrams,
            server.queue_full,
            server.resident >> 10,
            self.calls()
        );
    }

    /// The time within which such a share of the calls was answered, to the next power of two.
    fn quantile(&self, share: f64) -> u64 {
        let wanted = share * self.calls() as f64;
        let mut so_far = 0;
        for (power, count) in self.calls.iter().enumerate() {
            so_far += count;
            if so_far as f64 >= wanted {
                return 2 << power;
            }
        }
        0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls answered (half within {} ms, 99 % within {} ms), {} glares, {} new mappings, {} visits, of which \
             {} left without a word; {} datagrams sent, {} of them floods; {} failures",
            self.calls(),
            self.quantile(0.5),
            self.quantile(0.99),
            self.glares,
            self.moves,
            self.visits,
            self.vanished,
            self.sent,
            self.flooded,
            self.failures.len()
        )
    }
}
