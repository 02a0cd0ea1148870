//! Calls through real NATs: the real server and two real probes on hosts of their own, with the kernel's NATs between them.
//!
//! `matrix` tries every pair of access networks; `make nat-matrix` runs it at length and prints the table that stands in
//! `tests/nat_lab/MATRIX.md`. A cell by hand: `make lab LAB='cone symmetric --input accept' RUN='...'`.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "support/lab.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod lab;
#[path = "nat_lab/matrix.rs"]
mod matrix;
#[path = "support/nat/mod.rs"]
#[expect(dead_code, reason = "by hand one does more with it")]
mod nat;
#[path = "support/program.rs"]
#[expect(dead_code, reason = "these servers stand on hosts of their own")]
mod program;
#[path = "nat_lab/proxied.rs"]
mod proxied;
#[path = "nat_lab/slow.rs"]
mod slow;
#[path = "nat_lab/trapped.rs"]
mod trapped;
#[path = "nat_lab/trial.rs"]
mod trial;
#[path = "nat_lab/troubles.rs"]
mod troubles;
#[path = "nat_lab/truth.rs"]
mod truth;
#[path = "nat_lab/verdict.rs"]
mod verdict;
