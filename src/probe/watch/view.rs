//! What a second of a server looks like, as text. Knows no terminal.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

/// Characters of the longest bar.
const BAR: u64 = 40;

/// Two lines of statistics, one after the other.
pub(super) struct Second<'a> {
    pub(super) before: &'a Value,
    pub(super) now: &'a Value,
}

impl Second<'_> {
    fn total(&self, key: &str) -> u64 {
        self.now[key].as_u64().unwrap_or(0)
    }

    /// Growth a second.
    fn rate(&self, value: impl Fn(&Value) -> u64) -> u64 {
        let passed =
            self.now["uptime_s"].as_f64().unwrap_or(0.0) - self.before["uptime_s"].as_f64().unwrap_or(0.0);
        let grown = value(self.now).saturating_sub(value(self.before));
        if passed > 0.0 { (grown as f64 / passed).round() as u64 } else { 0 }
    }

    fn rate_of(&self, key: &str) -> u64 {
        self.rate(|line| line[key].as_u64().unwrap_or(0))
    }

    /// One line, for a file or a pipe.
    pub(super) fn line(&self) -> String {
        format!(
            "{} peers, {} calls under way; in {}/s {}/s, out {}/s {}/s; refused {}/s, dropped {}/s",
            self.total("peers"),
            self.total("offers"),
            self.rate_of("datagrams_in"),
            bytes(self.rate_of("bytes_in")),
            self.rate_of("datagrams_out"),
            bytes(self.rate_of("bytes_out")),
            self.rate(|line| sum(&line["refused"])),
            self.rate(|line| sum(&line["dropped"])),
        )
    }

    /// A whole screen.
    pub(super) fn screen(&self, round_trips: &[Duration]) -> String {
        let mut text = String::new();
        let up = self.now["uptime_s"].as_f64().unwrap_or(0.0) as u64;
        let server = self.now["server"].as_str().unwrap_or_default();
        // Writing into a String does not fail.
        let _ = writeln!(text, "{server}, up {} h {} min {} s\n", up / 3600, up / 60 % 60, up % 60);
        let _ = writeln!(
            text,
            "peers {}   registrations {}/s   moved {}   forgotten {}",
            self.total("peers"),
            self.rate_of("registrations"),
            self.total("moves"),
            self.total("forgotten")
        );
        let _ = writeln!(
            text,
            "calls under way {}   opened {}/s   answered {}   nobody answered {}",
            self.total("offers"),
            self.rate_of("offers_opened"),
            self.total("offers_answered"),
            self.total("offers_timed_out")
        );
        text += &self.traffic();
        text += &self.kinds();
        text += &self.table("refused, by code", "refused");
        text += &self.table("dropped, by reason", "dropped");
        let (full, filtered) = (self.total("queue_full"), self.total("filtered"));
        if full + filtered > 0 {
            let _ = writeln!(
                text,
                "\ndropped by the kernel: {full} the queue was full, {filtered} by the filter"
            );
        }
        text + &histogram(round_trips)
    }

    fn traffic(&self) -> String {
        let (bytes_in, bytes_out) = (self.total("bytes_in"), self.total("bytes_out"));
        let ratio = if bytes_in == 0 { 0.0 } else { bytes_out as f64 / bytes_in as f64 };
        format!(
            "in {}/s {}/s   out {}/s {}/s   out/in {ratio:.3} (below 1: nothing is amplified)\n",
            self.rate_of("datagrams_in"),
            bytes(self.rate_of("bytes_in")),
            self.rate_of("datagrams_out"),
            bytes(self.rate_of("bytes_out")),
        )
    }

    /// Frames a second by kind, in beside out.
    fn kinds(&self) -> String {
        let mut text =
            format!("\n{:<18} {:>9}   {:<18} {:>9}\n", "in, by kind", "a second", "out, by kind", "a second");
        let (received, sent) = (self.busiest("received"), self.busiest("sent"));
        for at in 0..received.len().max(sent.len()) {
            let cell = |rows: &[(String, u64)]| match rows.get(at) {
                Some((name, rate)) => format!("{name:<18} {rate:>9}"),
                None => " ".repeat(28),
            };
            let _ = writeln!(text, "{}   {}", cell(&received), cell(&sent));
        }
        text
    }

    /// The kinds with the highest rate first, then by name.
    fn busiest(&self, key: &str) -> Vec<(String, u64)> {
        let names = self.now[key].as_object().into_iter().flatten().map(|(name, _)| name.clone());
        let mut rows: Vec<_> = names
            .map(|name| {
                let rate = self.rate(|line| line[key][&name].as_u64().unwrap_or(0));
                (name, rate)
            })
            .collect();
        rows.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        rows
    }

    fn table(&self, title: &str, key: &str) -> String {
        let rows = self.busiest(key);
        if rows.is_empty() {
            return String::new();
        }
        let mut text = format!("\n{title:<18} {:>9} {:>12}\n", "a second", "in all");
        for (name, rate) in rows {
            let _ = writeln!(text, "{name:<18} {rate:>9} {:>12}", self.now[key][&name].as_u64().unwrap_or(0));
        }
        text
    }
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}

fn bytes(number: u64) -> String {
    match number {
        0..10_000 => format!("{number} B"),
        10_000..10_000_000 => format!("{} kB", number / 1000),
        _ => format!("{} MB", number / 1_000_000),
    }
}

/// Round trips of this program's own PINGs, each row twice as long as the one before.
fn histogram(round_trips: &[Duration]) -> String {
    if round_trips.is_empty() {
        return "\nno answer to PINGs\n".to_owned();
    }
    let row = |time: &Duration| (time.as_micros().max(1) as u64).ilog2();
    let rows: Vec<u32> = round_trips.iter().map(row).collect();
    let count = |row: u32| rows.iter().filter(|one| **one == row).count() as u64;
    let (first, last) = (rows.iter().min().copied().unwrap_or(0), rows.iter().max().copied().unwrap_or(0));
    let most = (first..=last).map(count).max().unwrap_or(1).max(1);
    let mut text = format!("\nround trips of the last {} PINGs of this program\n", round_trips.len());
    for row in first..=last {
        let bar = "#".repeat(usize::try_from(count(row) * BAR / most).unwrap_or(0));
        let _ = writeln!(text, "{:>9} us  {:>4}  {bar}", 1u64 << row, count(row));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(uptime: f64, datagrams: u64) -> Value {
        json!({
            "server": "[::]:1066", "uptime_s": uptime, "peers": 7, "offers": 2, "datagrams_in": datagrams,
            "bytes_in": datagrams * 1000, "datagrams_out": datagrams, "bytes_out": datagrams * 900,
            "received": { "PING": datagrams, "OFFER": 4 }, "sent": { "PONG": datagrams },
            "dropped": { "not_ours": datagrams / 2 },
        })
    }

    #[test]
    fn second_is_told_as_a_line_and_as_a_screen() {
        let (before, now) = (line(10.0, 100), line(12.0, 500));
        let second = Second { before: &before, now: &now };
        assert_eq!(
            second.line(),
            "7 peers, 2 calls under way; in 200/s 200 kB/s, out 200/s 180 kB/s; refused 0/s, dropped 100/s"
        );
        let screen = second.screen(&[
            Duration::from_micros(100),
            Duration::from_micros(120),
            Duration::from_micros(300),
        ]);
        for expected in [
            "[::]:1066, up 0 h 0 min 12 s\n",
            "out/in 0.900 (below 1",
            "PING                     200   PONG                     200\n",
            "OFFER                      0 ",
            "not_ours                 100          250\n",
            "       64 us     2  ########################################\n",
            "      128 us     0  \n",
            "      256 us     1  ####################\n",
        ] {
            assert!(screen.contains(expected), "{expected:?} is not in\n{screen}");
        }
        assert!(Second { before: &now, now: &now }.line().contains("in 0/s"));
    }
}
