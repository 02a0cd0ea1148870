//! Every command of the built `roundtable-probe` against the built server: what it prints for people and for
//! scripts, how it ends, and what it says then.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "probe/bench.rs"]
mod bench;
#[path = "probe/calls.rs"]
mod calls;
#[path = "probe/command_line.rs"]
mod command_line;
#[path = "probe/daily.rs"]
mod daily;
#[path = "probe/datagrams.rs"]
mod datagrams;
#[path = "probe/endings.rs"]
mod endings;
#[path = "probe/failures.rs"]
mod failures;
#[path = "probe/keys.rs"]
mod keys;
#[path = "probe/papers.rs"]
mod papers;
#[path = "support/program.rs"]
mod program;
#[path = "probe/script.rs"]
mod script;
#[path = "probe/sealed_calls.rs"]
mod sealed_calls;
#[path = "probe/server.rs"]
mod server;

#[cfg(target_os = "linux")]
#[path = "probe/dashboard.rs"]
mod dashboard;
#[cfg(target_os = "linux")]
#[path = "support/terminal.rs"]
mod terminal;
#[cfg(unix)]
#[path = "probe/watch.rs"]
mod watch;

use program::{Ended, Running};

const PROBE: &str = env!("CARGO_BIN_EXE_roundtable-probe");
/// Identifiers as people write them.
const ALICE: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
const BOB: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";
/// A small and a large description, with their paths.
const SMALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/pion3-audio-offer.sdp");
const LARGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/aiortc-audio-x20-10if-offer.sdp");

fn start(arguments: &[&str]) -> Running {
    program::start(PROBE, arguments, b"")
}

fn run(arguments: &[&str]) -> Ended {
    start(arguments).wait()
}

/// Starts a `listen` and waits until it is registered.
fn listen(arguments: &[&str]) -> Running {
    let mut running = start(&[&["listen"], arguments].concat());
    running.line_with("listening");
    running
}

/// Asserts the exit code, and that it said nothing but what was asked for.
#[track_caller]
fn done(ended: Ended) -> String {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    ended.stdout
}

/// Asserts that the text has lines with these, in this order.
#[track_caller]
fn assert_told(text: &str, steps: &[&str]) {
    let mut lines = text.lines();
    for step in steps {
        assert!(
            lines.any(|line| line.contains(step)),
            "{step:?} is missing, or comes too early, in:\n{text}"
        );
    }
}
