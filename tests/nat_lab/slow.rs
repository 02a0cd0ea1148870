//! What `listen` and `call` show of a long transfer on a slow path: a line a second for scripts and files, one that is
//! overwritten on a terminal, and of a short one nothing. And when a caller leaves.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::inside_with;
use crate::nat::plan::{Access, Input};
use crate::nat::{Lab, PROGRAMS, Plan};
use crate::program::{Ended, Running};
use crate::trial::{PROBE, SERVER, json};

const BOB: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";
const SMALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/pion3-audio-offer.sdp");
const LARGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/aiortc-audio-x20-10if-offer.sdp");
/// One way from a peer to the server: the large one takes some seconds, the small one less than one.
const SLOW: Duration = Duration::from_millis(200);
/// Of the large one.
const FRAGMENTS: u64 = 58;
const BYTES: u64 = 58_454;
/// To the start of a line on a terminal, which is cleared.
const CLEAR: &str = "\r\x1b[K";

/// Seconds that a caller stays there, less what passes before a line is read.
const STAYS: Duration = Duration::from_millis(4_500);

struct Place {
    lab: Lab,
    _server: Running,
    _directory: tempfile::TempDir,
}

impl Place {
    fn new(further: &str) -> Self {
        let mut plan = Plan::new(Access::Cone, Access::Cone, Input::Drop);
        plan.way.delay = SLOW;
        let lab = Lab::build(plan);
        let directory = tempfile::tempdir().unwrap();
        let server = lab.serve(SERVER.as_ref(), directory.path(), further);
        Self { lab, _server: server, _directory: directory }
    }

    /// Lets bob listen for so many calls.
    fn listen(&self, count: u8) -> Running {
        let words = format!("{PROBE} --json listen 192.0.2.1 --id {BOB} --count {count} --follow 0");
        let mut running = self.lab.start("bob", words.split(' '));
        running.line_with("listening");
        running
    }

    fn call(&self, offer: &str, words: &str) -> Running {
        self.lab.start("alice", calling(offer, words).split(' '))
    }

    /// Calls on a terminal.
    fn call_on_terminal(&self, offer: &str) -> Ended {
        let call = format!("stty cols 60; {}", calling(offer, "--follow 0"));
        self.lab.start("alice", ["script", "-qec", &call, "/dev/null"]).wait()
    }
}

fn calling(offer: &str, words: &str) -> String {
    format!("{PROBE} call 192.0.2.1 {BOB} --offer {offer} --save /dev/null {words}")
}

fn told(ended: &Ended) -> Vec<Value> {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    ended.stdout.lines().map(json).collect()
}

/// Asserts that a transfer goes forward at a second's pace, and is not told of when it is over.
#[track_caller]
fn assert_paced(told: &[Value], transfer: &str) {
    let is_it = |line: &&Value| line["event"] == "progress" && line["transfer"] == transfer;
    let steps: Vec<_> = told.iter().filter(is_it).collect();
    assert!(!steps.is_empty(), "nothing of the {transfer} in {told:?}");
    let number = |step: &Value, key: &str| step[key].as_f64().unwrap();
    for step in &steps {
        assert_eq!((&step["of_fragments"], &step["of_bytes"]), (&FRAGMENTS.into(), &BYTES.into()), "{step}");
        assert!(step["fragments"].as_u64() < Some(FRAGMENTS) && number(step, "took_ms") >= 1000.0, "{step}");
        let last = if number(step, "bytes") % 1024.0 == 0.0 { 0.0 } else { 1.0 };
        assert_eq!((number(step, "bytes") / 1024.0).floor() + last, number(step, "fragments"), "{step}");
    }
    for pair in steps.windows(2) {
        assert!(number(pair[0], "fragments") < number(pair[1], "fragments"), "{pair:?}");
        // Less what passes between timer and line.
        assert!(number(pair[1], "at_ms") - number(pair[0], "at_ms") > 900.0, "{pair:?}");
    }
}

#[test]
fn scripts_are_told_of_long_transfers_once_a_second_and_of_short_ones_nothing() {
    let test = "slow::scripts_are_told_of_long_transfers_once_a_second_and_of_short_ones_nothing";
    inside_with(test, &PROGRAMS, || {
        let place = Place::new("");
        let listening = place.listen(3);
        let small = told(&place.call(SMALL, "--json --follow 0").wait());
        assert!(small.iter().all(|line| line["event"] != "progress"), "{small:?}");
        let large = told(&place.call(LARGE, "--json --follow 0").wait());
        // What became of the large one shows while the next is waited for.
        told(&place.call(SMALL, "--json --follow 0").wait());
        let heard = told(&listening.wait());
        for told in [&large, &heard] {
            assert_paced(told, "offer");
            assert_paced(told, "answer");
        }
        assert!(heard.iter().all(|line| line["event"] != "offer_incomplete"), "{heard:?}");
        let of_small: Vec<_> = heard.iter().take_while(|line| line["event"] != "answered").collect();
        assert!(of_small.iter().all(|line| line["event"] != "progress"), "{heard:?}");
        let is_large = |line: &&Value| line["event"] == "offered" && line["bytes"] == BYTES;
        let offered = heard.iter().find(is_large).unwrap();
        let progress: Vec<_> = heard.iter().filter(|line| line["event"] == "progress").collect();
        assert!(progress.iter().all(|line| line["offer"] == offered["offer"]), "{progress:?}");
        assert!(progress.iter().all(|line| line["from"] == offered["from"]), "{progress:?}");
    });
}

#[test]
fn terminal_has_one_line_that_passes() {
    let programs = [&PROGRAMS[..], &[("script", "--version"), ("stty", "--version")]].concat();
    inside_with("slow::terminal_has_one_line_that_passes", &programs, || {
        let place = Place::new("");
        let listening = place.listen(2);
        let small = place.call_on_terminal(SMALL);
        assert!(small.code == Some(0) && !small.stdout.contains(CLEAR), "{small:?}");
        let large = place.call_on_terminal(LARGE);
        assert_eq!(large.code, Some(0), "{large:?}");
        let states: Vec<_> = large.stdout.split(CLEAR).filter(|state| state.contains(" of 58 ")).collect();
        for transfer in ["  offer: ", "  answer: "] {
            // Ten in each second after the first.
            let shown = states.iter().filter(|state| state.contains(transfer)).count();
            assert!(shown > 5, "{transfer:?} {shown} times in {large:?}");
        }
        // What is still there at the end: each line from where it was cleared last.
        let left = large.stdout.lines().map(|line| line.rsplit(CLEAR).next().unwrap_or_default());
        let left: Vec<_> = left.collect();
        assert!(left.iter().all(|line| !line.contains("fragments")), "{left:?}");
        assert!(left.iter().any(|line| line.contains("delivered after ")), "{left:?}");
        drop(listening.wait());
    });
}

#[test]
fn offer_that_does_not_come_whole_is_said_once_it_was_shown() {
    inside_with("slow::offer_that_does_not_come_whole_is_said_once_it_was_shown", &PROGRAMS, || {
        let place = Place::new("timeout: 4\n");
        let mut listening = place.listen(1);
        let calling = place.call(LARGE, "--json");
        let shown = json(&listening.line_with("\"progress\""));
        // Killed, as with a laptop whose lid is closed.
        drop(calling);
        let incomplete = json(&listening.line_with("\"offer_incomplete\""));
        assert_eq!((&incomplete["offer"], &incomplete["from"]), (&shown["offer"], &shown["from"]));
        assert!(incomplete["fragments"].as_u64() >= shown["fragments"].as_u64(), "{incomplete}");
        assert_eq!(incomplete["of_fragments"], FRAGMENTS);
    });
}

/// A round trip takes longer than a client waits at first, so the offer is repeated.
#[test]
fn caller_stays_where_its_offer_had_to_be_repeated() {
    inside_with("slow::caller_stays_where_its_offer_had_to_be_repeated", &PROGRAMS, || {
        let place = Place::new("");
        let listening = place.listen(1);
        let mut calling = place.call(SMALL, "--json --follow 1");
        calling.line_with("\"answered\"");
        let answered = Instant::now();
        told(&calling.wait());
        assert!(answered.elapsed() > STAYS, "{:?}", answered.elapsed());
        told(&listening.wait());
    });
}
