//! Runs the built `signallingserver` through every row of the configuration, every spelling of its option, every
//! kind of bad input and every way to end.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "config/check.rs"]
mod check;
#[path = "config/command_line.rs"]
mod command_line;
#[path = "config/files.rs"]
mod files;
#[path = "config/keys.rs"]
mod keys;
#[path = "config/program.rs"]
mod program;
#[path = "config/surroundings.rs"]
mod surroundings;

use std::net::SocketAddr;

use program::Running;

/// A free port of the loopback interface, which every test uses that does not ask for another.
const LOCAL: &str = "localport: 0\nlocaladdress: '127.0.0.1'\n";
/// Exit code for a bad command line.
const USAGE: i32 = 2;
/// Exit code for a bad configuration.
const CONFIG: i32 = 78;

/// What the line starts with that says where the server listens.
const LISTENING: &str = "listening on ";
const NO_ARGUMENTS: [&str; 0] = [];

/// The address in a line that says where the server listens.
fn address_in(line: &str) -> SocketAddr {
    let (_, rest) = line.split_once(LISTENING).unwrap_or_else(|| panic!("no address in {line:?}"));
    rest.strip_suffix(" (udp)").unwrap().parse().unwrap()
}

/// Waits until the server listens.
fn listening(server: &mut Running) -> SocketAddr {
    address_in(&server.line_with(LISTENING))
}

/// The one log line with a message that starts so.
fn logged<'a>(lines: &'a [serde_json::Value], start: &str) -> &'a serde_json::Value {
    let starts = |line: &&serde_json::Value| line["message"].as_str().unwrap().starts_with(start);
    let found: Vec<_> = lines.iter().filter(starts).collect();
    assert_eq!(found.len(), 1, "{start:?} in {lines:?}");
    found[0]
}

fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}")))
        .collect()
}
