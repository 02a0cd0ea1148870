//! Honest peers before, during and after floods of ten times what the server can serve, on the built server.
//!
//! The server may use a twentieth of a core where control groups are to be had, so that a flood of this size fits on any
//! machine; what it can serve is measured first. `FLOOD_SECONDS` is how long each flood lasts (`make flood`: 60, and it
//! prints the table). Asserted is what needs no clock: nobody loses a registration, every call is answered in the end.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "flood/attackers.rs"]
mod attackers;
#[path = "flood/frames.rs"]
mod frames;
#[path = "flood/honest.rs"]
mod honest;
#[path = "support/lab.rs"]
#[expect(dead_code, reason = "one host is enough here")]
mod lab;
#[path = "support/program.rs"]
#[expect(dead_code, reason = "this server stands on a host of its own")]
mod program;
#[path = "flood/quota.rs"]
mod quota;
#[path = "flood/table.rs"]
mod table;

use std::thread;
use std::time::Duration;

use attackers::{Flood, Kind};
use honest::{Honest, Phase};
use table::Table;

const TEST: &str = "honest_peers_outlast_floods";
/// Seconds of each flood in an ordinary test run.
const SECONDS: u64 = 2;
/// How many times what the server can serve is sent.
const FACTOR: u64 = 10;

#[test]
fn honest_peers_outlast_floods() {
    lab::inside(TEST, || {
        let seconds = std::env::var("FLOOD_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
        attackers::add_addresses();
        let quota = quota::Quota::new();
        let server = attackers::start_server(quota.as_ref());
        let capacity = attackers::capacity();
        println!("the server answers {capacity} keepalives a second ({})", quota::describe(quota.as_ref()));
        let honest = Honest::start();
        let mut table = Table::default();
        for kind in Kind::ALL {
            honest.measure(Phase::Before, Duration::from_secs(seconds.min(10)));
            let flood = Flood::start(kind, FACTOR * capacity, honest.victim());
            honest.measure(Phase::During, Duration::from_secs(seconds));
            let per_second = flood.stop();
            // What is queued is worked off first.
            thread::sleep(Duration::from_secs(1));
            honest.measure(Phase::After, Duration::from_secs(seconds.min(10)));
            table.add(kind, per_second, honest.figures());
        }
        println!("{table}");
        let lost = honest.stop();
        server.signal("TERM");
        let log = server.wait().stdout;
        let told: Vec<_> =
            log.lines().filter(|line| line.contains("flood") || line.contains("datagrams in")).collect();
        println!("{}", told.join("\n"));
        let [registrations, calls] = lost;
        assert_eq!(registrations, 0, "registrations lost");
        // A longer flood may outlast an offer.
        assert!(seconds > SECONDS || calls == 0, "{calls} calls were not answered when the flood was over");
        if quota.is_some() {
            let warnings = told.iter().filter(|line| line.contains("under flood")).count();
            // Measuring what the server can serve is an episode, too.
            assert!((1..=Kind::ALL.len() + 1).contains(&warnings), "not once for each episode: {told:#?}");
        }
    });
}
