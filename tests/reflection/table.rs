//! What was sent in the victim's name, and what came to it.

use std::fmt;

/// One row.
pub(crate) struct Line {
    name: String,
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    /// Datagrams that came as far as the server's socket.
    pub(crate) arrived: u64,
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    /// Fifths of a byte that may have come to it at most.
    pub(crate) allowed_fifths: u64,
}

impl Line {
    pub(crate) fn new(name: &str) -> Self {
        let name = name.to_owned();
        Self { name, sent: 0, sent_bytes: 0, arrived: 0, received: 0, received_bytes: 0, allowed_fifths: 0 }
    }

    /// Bytes out per byte in.
    fn ratio(&self) -> f64 {
        if self.sent_bytes == 0 { 0.0 } else { self.received_bytes as f64 / self.sent_bytes as f64 }
    }
}

pub(crate) struct Table(pub(crate) Vec<Line>);

impl Table {
    pub(crate) fn sent(&self) -> u64 {
        self.0.iter().map(|line| line.sent).sum()
    }

    /// Asserts what is promised, of every row.
    pub(crate) fn check(&self) {
        for Line { name, sent, sent_bytes, received, received_bytes, allowed_fifths, .. } in &self.0 {
            assert!(received <= sent, "{name}: {received} datagrams for {sent}");
            assert!(5 * received_bytes <= *allowed_fifths, "{name}: {received_bytes} bytes for {sent_bytes}");
        }
    }
}

impl Table {
    /// Asserts that the first row, of PINGs, was answered by as much, unless the server holds back: else nothing was
    /// measured.
    pub(crate) fn check_pings(&self) {
        let ping = &self.0[0];
        assert!(ping.arrived > 0 && ping.received_bytes == 39 * ping.received, "{self}");
        assert!(ping.received > 0, "no answer was counted");
    }

    /// Counts what came to the victim because of the rows whose name begins so.
    pub(crate) fn received(&self, name: &str) -> u64 {
        self.0.iter().filter(|line| line.name.starts_with(name)).map(|line| line.received).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "| datagrams in the victim's name | sent | bytes | reached the server | towards the victim | bytes | bytes out/in |"
        )?;
        writeln!(out, "|---|---:|---:|---:|---:|---:|---:|")?;
        let mut total = Line::new("in all");
        for line in &self.0 {
            writeln!(out, "{}", row(line))?;
            total.sent += line.sent;
            total.sent_bytes += line.sent_bytes;
            total.arrived += line.arrived;
            total.received += line.received;
            total.received_bytes += line.received_bytes;
        }
        writeln!(out, "{}", row(&total))?;
        let worst = self.0.iter().max_by(|a, b| a.ratio().total_cmp(&b.ratio())).ok_or(fmt::Error)?;
        write!(out, "\nworst: {:.3}, {}", worst.ratio(), worst.name)
    }
}

fn row(line: &Line) -> String {
    let Line { name, sent, sent_bytes, arrived, received, received_bytes, .. } = line;
    format!(
        "| {name} | {sent} | {sent_bytes} | {arrived} | {received} | {received_bytes} | {:.3} |",
        line.ratio()
    )
}
