//! What came of it, as Markdown.

use std::fmt;
use std::time::Duration;

use crate::attackers::Kind;
use crate::honest::Figures;

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<(Kind, u64, [Figures; 3])>,
}

impl Table {
    pub(crate) fn add(&mut self, kind: Kind, per_second: u64, phases: [Figures; 3]) {
        self.rows.push((kind, per_second, phases));
    }
}

/// Gives the share that was answered and the 99th percentile of how long it took.
fn cell(answered: &[Option<Duration>]) -> String {
    let mut times: Vec<_> = answered.iter().flatten().copied().collect();
    times.sort_unstable();
    if answered.is_empty() {
        return "-".to_owned();
    }
    let share = 100.0 * times.len() as f64 / answered.len() as f64;
    let p99 = times.get((times.len() * 99).div_ceil(100).saturating_sub(1));
    p99.map_or_else(
        || format!("{share:.1} % of {}", answered.len()),
        |p99| format!("{share:.1} % of {}, {} ms", answered.len(), p99.as_millis()),
    )
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| flood | datagrams/s | | keepalives answered, p99 | calls answered, p99 | newcomers registered, p99 |"
        )?;
        writeln!(f, "|---|---:|---|---|---|---|")?;
        for (kind, per_second, phases) in &self.rows {
            for (name, figures) in ["before", "during", "after"].iter().zip(phases) {
                let [keepalives, calls, newcomers] = figures.each_ref().map(|samples| cell(samples));
                writeln!(
                    f,
                    "| {} | {per_second} | {name} | {keepalives} | {calls} | {newcomers} |",
                    kind.name()
                )?;
            }
        }
        Ok(())
    }
}
