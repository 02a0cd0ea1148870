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

/// Prints the table.
pub(crate) fn print(rows: &[Row]) {
    println!(
        "| class | attempts evaluated | answered with | signatures checked | calls completed | succeeded |"
    );
    println!("|---|---|---|---|---|---|");
    for Row { name, tally, signatures, calls } in rows {
        let answers: Vec<_> = tally.answers.iter().map(|(name, times)| format!("{times} {name}")).collect();
        let (answers, gains) = (answers.join(", "), tally.gains.len());
        println!("| {name} | {} | {answers} | {signatures} | {calls} | {gains} |", tally.evaluated);
    }
    let (all, gains) = totals(rows);
    println!("| all | {all} | | | | {gains} |");
}

/// Attempts that were evaluated, and those that succeeded.
pub(crate) fn totals(rows: &[Row]) -> (u64, usize) {
    let evaluated = rows.iter().map(|row| row.tally.evaluated).sum();
    (evaluated, rows.iter().map(|row| row.tally.gains.len()).sum())
}

/// The different gains of all classes.
pub(crate) fn gains(rows: &[Row]) -> Vec<String> {
    let named = |row: &Row| {
        let (name, mut gains) = (row.name, row.tally.gains.clone());
        gains.sort();
        gains.dedup();
        gains.into_iter().map(move |gain| format!("{name}: {gain}"))
    };
    rows.iter().flat_map(named).collect()
}
