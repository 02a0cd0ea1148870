//! The Python client, written from the specification alone, against the built server and the built probe, both ways.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "interop/keyed.rs"]
mod keyed;
#[path = "support/program.rs"]
mod program;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use program::{Ended, Rendezvous, Running};
use serde_json::Value;
use tempfile::TempDir;

const PROBE: &str = env!("CARGO_BIN_EXE_roundtable-probe");
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/client.py");
/// Exit code of a Python client upon SIGINT.
const INTERRUPTED: i32 = 130;
/// Seconds for a Python client altogether.
const PATIENCE: &str = "50";
/// Seconds that a Python client stays for what else belongs to a call: the other one may be slow.
const LINGER: &str = "2";
const RUST_ID: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
const PYTHON_ID: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";
/// Offers and answers: a small pair and a large one.
const PAIRS: [[&str; 2]; 2] = [
    ["pion3-audio-offer.sdp", "pion3-audio-answer.sdp"],
    ["aiortc-audio-x20-10if-offer.sdp", "aiortc-audio-x20-10if-answer.sdp"],
];

/// The Python to use: `make test` names one that has all that the client needs.
fn interpreter() -> String {
    env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// A server, and a directory for what is saved; none where there is no Python, which is said.
struct Ground {
    server: Rendezvous,
    place: TempDir,
}

impl Ground {
    fn new() -> Option<Self> {
        Self::needing("")
    }

    /// For tests that need these statements to run.
    fn needing(imports: &str) -> Option<Self> {
        let python = interpreter();
        let quiet = Command::new(&python).args(["-c", imports]).stderr(Stdio::null()).status();
        if !quiet.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: {python} is missing, or cannot {imports:?}: the Python client was not tried");
            return None;
        }
        Some(Self { server: Rendezvous::start(0, ""), place: tempfile::tempdir().unwrap() })
    }

    fn path(&self, name: &str) -> String {
        self.place.path().join(name).to_str().unwrap().to_owned()
    }

    fn python(&self, command: &str, further: &[&str]) -> Running {
        let port = self.server.address.port().to_string();
        let common = [CLIENT, command, "127.0.0.1", &port, "--timeout", PATIENCE];
        program::start(&interpreter(), [&common, further].concat(), b"")
    }

    fn python_listens(&self, further: &[&str]) -> Running {
        let mut running = self.python("listen", &[&["--id", PYTHON_ID], further].concat());
        running.line_with("\"registered\"");
        running
    }

    fn python_calls(&self, to: &str, offer: &str, further: &[&str]) -> Running {
        let saved = self.path("answer-to-python");
        let call = ["--id", PYTHON_ID, "--to", to, "--offer", offer, "--answer-out", &saved];
        self.python("call", &[&call, further].concat())
    }

    fn probe(&self, command: &str, further: &[&str]) -> Running {
        let server = self.server.address.to_string();
        program::start(PROBE, [&[command, &server, "--id", RUST_ID, "--json"], further].concat(), b"")
    }

    fn rust_listens(&self, further: &[&str]) -> Running {
        let mut running = self.probe("listen", &[&["--count", "1"], further].concat());
        running.line_with("\"listening\"");
        running
    }

    fn rust_calls(&self, to: &str, offer: &str, further: &[&str]) -> Running {
        self.probe("call", &[&[to, "--offer", offer], further].concat())
    }
}

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The only file in a directory.
fn only_file(directory: &str) -> PathBuf {
    let files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[track_caller]
fn assert_same(one: impl AsRef<Path>, other: impl AsRef<Path>) {
    let (one, other) = (one.as_ref(), other.as_ref());
    assert!(
        fs::read(one).unwrap() == fs::read(other).unwrap(),
        "{} is not {}",
        one.display(),
        other.display()
    );
}

/// What happened, of a program that ended well.
#[track_caller]
fn events(ended: Ended) -> Vec<Value> {
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The candidates that the probe shows, in the order of their numbers.
fn candidates(events: &[Value]) -> Vec<(u64, String)> {
    let mut found: Vec<_> = named(events, "candidate")
        .map(|event| (event["number"].as_u64().unwrap(), event["message"].as_str().unwrap().to_owned()))
        .collect();
    found.sort_unstable();
    found
}

/// The candidates that the Python client shows, by their lengths, in the order of their numbers.
fn candidate_lengths(events: &[Value]) -> Vec<(u64, u64)> {
    let mut found: Vec<_> = named(events, "candidate")
        .map(|event| (event["index"].as_u64().unwrap(), event["length"].as_u64().unwrap()))
        .collect();
    found.sort_unstable();
    found
}

fn named<'a>(events: &'a [Value], name: &'static str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["event"] == name)
}

/// What has happened by the time it is enough.
fn until(running: &mut Running, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let mut events = Vec::new();
    while !enough(&events) {
        events.push(serde_json::from_str(&running.line_with("\"event\"")).unwrap());
    }
    events
}

#[track_caller]
fn assert_has(events: &[Value], name: &'static str) {
    assert!(named(events, name).next().is_some(), "no {name} in {events:?}");
}

#[test]
fn python_client_pings_the_server() {
    let Some(ground) = Ground::new() else { return };
    let port = ground.server.address.port().to_string();
    let ping = program::start(&interpreter(), [CLIENT, "ping", "127.0.0.1", &port], b"");
    assert_has(&events(ping.wait()), "pong");
}

#[test]
fn python_clients_call_each_other() {
    let Some(ground) = Ground::new() else { return };
    for (number, [offer, answer]) in PAIRS.map(|pair| pair.map(data)).iter().enumerate() {
        let offers = ground.path(&format!("offers-{number}"));
        let listener = ground.python_listens(&[
            "--count",
            "1",
            "--answer",
            answer,
            "--offer-out",
            &offers,
            "--candidates",
            "2",
            "--linger",
            LINGER,
        ]);
        let saved = ground.path("answer");
        let call = ["--id", RUST_ID, "--to", PYTHON_ID, "--offer", offer, "--answer-out", &saved];
        let further = ["--punch", "--candidates", "3", "--linger", LINGER];
        let called = events(ground.python("call", &[&call[..], &further].concat()).wait());
        let listened = events(listener.wait());
        for (events, count) in [(called, 2), (listened, 3)] {
            assert_has(&events, "path");
            assert_eq!(candidate_lengths(&events).len(), count, "{events:?}");
        }
        assert_same(only_file(&offers), offer);
        assert_same(&saved, answer);
    }
    ground.server.stop();
}

#[test]
fn python_calls_rust() {
    let Some(ground) = Ground::new() else { return };
    for (number, [offer, answer]) in PAIRS.map(|pair| pair.map(data)).iter().enumerate() {
        let offers = ground.path(&format!("offers-{number}"));
        let listener = ground.rust_listens(&["--answer", answer, "--save", &offers, "--follow", "0"]);
        events(ground.python_calls(RUST_ID, offer, &["--linger", "0.2"]).wait());
        events(listener.wait());
        assert_same(only_file(&offers), offer);
        assert_same(ground.path("answer-to-python"), answer);
    }
}

#[test]
fn rust_calls_python() {
    let Some(ground) = Ground::new() else { return };
    for (number, [offer, answer]) in PAIRS.map(|pair| pair.map(data)).iter().enumerate() {
        let (offers, saved) = (ground.path(&format!("offers-{number}")), ground.path("answer-to-rust"));
        let listener = ground.python_listens(&[
            "--count",
            "1",
            "--answer",
            answer,
            "--offer-out",
            &offers,
            "--linger",
            "0.2",
        ]);
        events(ground.rust_calls(PYTHON_ID, offer, &["--save", &saved, "--follow", "0"]).wait());
        events(listener.wait());
        assert_same(only_file(&offers), offer);
        assert_same(&saved, answer);
    }
}

#[test]
fn python_asks_rust_for_a_path_and_sends_candidates() {
    let Some(ground) = Ground::new() else { return };
    let [offer, answer] = PAIRS[0].map(data);
    let listener = ground.rust_listens(&["--answer", &answer, "--follow", "1"]);
    let caller = ground.python_calls(RUST_ID, &offer, &["--punch", "--candidates", "3", "--linger", "0.5"]);
    assert_has(&events(caller.wait()), "path");
    let heard = events(listener.wait());
    assert_has(&heard, "path");
    let expected: Vec<_> =
        (0..3).map(|number| (number, format!("candidate {number} of the caller"))).collect();
    assert_eq!(candidates(&heard), expected);
}

#[test]
fn rust_asks_python_for_a_path_and_both_send_candidates() {
    let Some(ground) = Ground::new() else { return };
    let [offer, answer] = PAIRS[0].map(data);
    let mut listener = ground.python_listens(&["--answer", &answer, "--candidates", "3"]);
    let further = ["--punch", "--candidate", "one", "--candidate", "eleven", "--follow", "1"];
    let told = events(ground.rust_calls(PYTHON_ID, &offer, &further).wait());
    assert_has(&told, "path");
    let expected: Vec<_> =
        (0..3).map(|number| (number, format!("candidate {number} of the callee"))).collect();
    assert_eq!(candidates(&told), expected);
    let count = |events: &[_], name| named(events, name).count();
    let heard = until(&mut listener, |events| count(events, "candidate") == 2 && count(events, "path") == 1);
    assert_eq!(candidate_lengths(&heard), [(0, 3), (1, 6)]);
    listener.signal("INT");
    assert_eq!(listener.wait().code, Some(INTERRUPTED));
}

#[test]
fn each_understands_that_the_other_declines() {
    let Some(ground) = Ground::new() else { return };
    let [offer, _] = PAIRS[0].map(data);
    let listener = ground.rust_listens(&["--decline"]);
    let refused = ground.python_calls(RUST_ID, &offer, &["--linger", "0.2"]).wait();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("declined"), "{}", refused.stderr);
    assert_has(&events(listener.wait()), "declined");

    let listener = ground.python_listens(&["--count", "1", "--decline", "--linger", "0.2"]);
    let refused = ground.rust_calls(PYTHON_ID, &offer, &[]).wait();
    assert_eq!(refused.code, Some(6), "{refused:?}");
    events(listener.wait());
}
