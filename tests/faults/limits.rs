//! Too little of what the system gives: descriptors, memory, somebody who reads.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use crate::rig::configuration;

/// Runs the server under a shell that has set a limit, until it ends by itself or listens. Tells whether it did.
fn run(limit: &str) -> (bool, Output) {
    run_with(limit, "")
}

/// The same, with these lines after the first two.
fn run_with(limit: &str, yaml: &str) -> (bool, Output) {
    let directory = tempfile::tempdir().unwrap();
    let file = configuration(directory.path(), &format!("localaddress: '127.0.0.1'\nlocalport: 0\n{yaml}"));
    let mut child = Command::new("sh")
        .args(["-c", &format!("{limit}; exec \"$0\" --config-file-path \"$1\"")])
        .arg(env!("CARGO_BIN_EXE_signallingserver"))
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = stdout.lines();
    let serves = lines.any(|line| line.unwrap().contains("listening on "));
    term(child.id());
    lines.for_each(drop);
    (serves, child.wait_with_output().unwrap())
}

/// It may have ended already.
fn term(process: u32) {
    drop(Command::new("sh").args(["-c", &format!("kill -TERM {process} 2>/dev/null")]).status());
}

#[test]
fn too_few_descriptors_end_the_start_with_the_systems_reason() {
    let mut least = None;
    for descriptors in 3..=16 {
        let (serves, ended) = run(&format!("ulimit -n {descriptors}"));
        let error = String::from_utf8_lossy(&ended.stderr);
        println!("{descriptors}: {serves} {}", error.trim());
        if serves {
            least = least.or(Some(descriptors));
            assert_eq!(error, "");
        } else {
            assert!(error.contains("Too many open files") || error.contains("Error 24"), "{error:?}");
            assert!(!error.contains("panicked"), "{descriptors}: {error}");
            assert_eq!(least, None, "{descriptors} are too few, but fewer were enough");
        }
    }
    assert!(least.is_some());
}

/// Address space, in KiB. The tables of the default limits take some 150 MB.
const LIMITS: [u32; 11] =
    [1_000, 3_000, 4_000, 5_000, 6_000, 8_000, 10_000, 30_000, 100_000, 150_000, 1_000_000];
/// The program is loaded and its threads have their stacks.
const ENOUGH_TO_LOAD: u32 = 30_000;

#[test]
fn too_little_memory_ends_the_start_and_says_so() {
    let mut refused = 0;
    for kilobytes in LIMITS {
        let (serves, ended) = run(&format!("ulimit -v {kilobytes}"));
        let error = String::from_utf8_lossy(&ended.stderr);
        println!("{kilobytes}: {serves} {:?} {}", ended.status.code(), error.trim());
        // Below some size the kernel cannot load the program at all, and ends it by a signal.
        assert!(serves || kilobytes < 3_000 || !error.is_empty(), "{kilobytes}: silence");
        refused += u32::from(!serves);
        if !serves && kilobytes >= ENOUGH_TO_LOAD {
            assert!(error.contains("maxpeers and maxoffers reserve"), "{kilobytes}: {error}");
            assert_eq!(ended.status.code(), Some(78), "{kilobytes}");
        }
    }
    assert!((1..LIMITS.len() as u32).contains(&refused));
}

#[test]
fn memory_that_is_not_to_be_had_is_told_with_the_line_that_asks_for_most_of_it() {
    for (yaml, line) in [
        ("maxoffers: 4000000\n", ":3: "),
        ("maxpeers: 10\nmaxoffers: 4000000\n", ":4: "),
        ("maxpeers: 16000000\nmaxoffers: 10\n", ":3: "),
    ] {
        let (serves, ended) = run_with("ulimit -v 300000", yaml);
        let error = String::from_utf8_lossy(&ended.stderr);
        let told = format!("config.yaml{line}maxpeers and maxoffers reserve ");
        assert!(!serves && error.contains(&told), "{yaml}: {error}");
    }
}

#[test]
fn nobody_to_print_for_is_no_reason_to_end() {
    for limit in ["exec >&-", "exec >&- 2>&-", "exec >/dev/full", "exec <&- >&- 2>&-"] {
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("out.log");
        let yaml = format!("localaddress: '127.0.0.1'\nlocalport: 0\nlogfile: {}\n", log.display());
        let file = configuration(place.path(), &yaml);
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limit}; exec \"$0\" --config-file-path \"$1\"")])
            .arg(env!("CARGO_BIN_EXE_signallingserver"))
            .arg(file)
            .spawn()
            .unwrap();
        // The file says it, whoever listens.
        while !std::fs::read_to_string(&log).is_ok_and(|text| text.contains("listening on ")) {
            assert!(child.try_wait().unwrap().is_none(), "{limit}: has ended");
            std::thread::yield_now();
        }
        term(child.id());
        child.wait().unwrap();
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(text.contains("ending upon SIGTERM"), "{limit}: {text}");
    }
}
