//! What came of each class of attack, as a table.

use crate::attacker::Tally;

/// One class.
pub(crate) struct Row {
    name: &'static str,
    pub(crate) tally: Tally,
    /// Signatures that the server checked meanwhile.
    signatures: u64,
    /// The victims' calls that completed meanwhile.
    calls: u64,
}

impl Row {
    pub(crate) const fn new(name: &'static str, tally: Tally, signatures: u64, calls: u64) -> Self {
        Self { name, tally, signatures, calls }
    }
}

/// The table, printed line by line.
pub(crate) struct Report(Vec<Row>);

impl Report {
    pub(crate) fn start() -> Self {
        println!(
            "| class | attempts evaluated | answered with | signatures checked | calls completed | succeeded |"
        );
        println!("|---|---|---|---|---|---|");
        Self(Vec::new())
    }

    pub(crate) fn push(&mut self, row: Row) {
        let Row { name, tally, signatures, calls } = &row;
        let answers: Vec<_> = tally.answers.iter().map(|(name, times)| format!("{times} {name}")).collect();
        let (answers, gains) = (answers.join(", "), tally.gains.len());
        println!("| {name} | {} | {answers} | {signatures} | {calls} | {gains} |", tally.evaluated);
        self.0.push(row);
    }

    /// Attempts that were evaluated, and those that succeeded.
    pub(crate) fn totals(&self) -> (u64, usize) {
        let evaluated = self.0.iter().map(|row| row.tally.evaluated).sum();
        let totals = (evaluated, self.0.iter().map(|row| row.tally.gains.len()).sum());
        println!("| all | {} | | | | {} |", totals.0, totals.1);
        totals
    }

    /// The different gains of all classes.
    pub(crate) fn gains(&self) -> Vec<String> {
        let named = |row: &Row| {
            let (name, mut gains) = (row.name, row.tally.gains.clone());
            gains.sort();
            gains.dedup();
            gains.into_iter().map(move |gain| format!("{name}: {gain}"))
        };
        self.0.iter().flat_map(named).collect()
    }
}
