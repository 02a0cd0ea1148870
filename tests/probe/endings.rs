//! Signals and pipes: a registration does not outlive the program, and a reader that has gone does no harm.

use std::io::pipe;
use std::process::{Command, Stdio};

use super::program::{Rendezvous, Running};
use super::script::{events, names};
use super::{ALICE, BOB, PROBE, SMALL, done, listen, run, start};

/// Sends the signal, waits for the end, and asserts that the identifier is free again.
fn interrupted(running: Running, signal: &str, address: &str, identifier: &str) -> super::Ended {
    running.signal(signal);
    let ended = running.wait();
    assert_eq!(run(&["register", address, "--id", identifier]).code, Some(0), "{ended:?}");
    ended
}

#[test]
fn interrupted_listen_unregisters_and_ends_well() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    for signal in ["INT", "TERM"] {
        let ended = interrupted(listen(&[address, "--id", BOB, "--json"]), signal, address, BOB);
        assert_eq!(names(&events("listen", &done(ended))), ["listening", "unregistered"]);
    }
    server.stop();
}

#[test]
fn interrupted_listen_unregisters_while_it_follows_a_call() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let mut listener = listen(&[address, "--id", BOB, "--follow", "60"]);
    let caller = start(&["call", address, BOB, "--offer", SMALL, "--follow", "0"]);
    listener.line_with("answered with");
    done(interrupted(listener, "INT", address, BOB));
    done(caller.wait());
    server.stop();
}

/// Two with one key take the place of each other: who was thrown out, and is back, says so.
#[test]
fn listener_whose_place_another_had_taken_says_so() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let place = tempfile::tempdir().unwrap();
    let key = place.path().join("key");
    let words = [address, "--key", key.to_str().unwrap()];
    let mut first = listen(&words);
    done(run(&[&["register"], &words[..]].concat()));
    let again = first.line_with("registered again, seen at ");
    assert!(again.ends_with(
        ": the server was started anew, or another client of this identifier had taken its place"
    ));
    first.signal("INT");
    done(first.wait());
    server.stop();
}

#[test]
fn interrupted_register_unregisters_and_ends_well() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let mut staying = start(&["register", address, "--id", BOB, "--stay", "60"]);
    staying.line_with("registered at");
    assert!(done(interrupted(staying, "INT", address, BOB)).ends_with("unregistered\n"));
    server.stop();
}

#[test]
fn interrupted_call_unregisters_and_says_so() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let mut deaf = start(&["register", address, "--id", BOB, "--stay", "60"]);
    deaf.line_with("registered at");
    let mut calling = start(&["call", address, BOB, "--id", ALICE, "--offer", SMALL]);
    calling.line_with("delivered");
    let ended = interrupted(calling, "INT", address, ALICE);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), "ended by SIGINT\n"));
    server.stop();
}

#[test]
fn reader_that_has_gone_is_no_reason_to_fail() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["ping", "--help"], 0),
        (&["--version"], 0),
        (&["ping", address, "--count", "1"], 0),
        (&["demo"], 0),
        (&["demo", "--json"], 0),
        (&["nonsense"], 2),
        (&["ping", "127.0.0.1:port"], 2),
    ] {
        let closed = || {
            let (reader, writer) = pipe().unwrap();
            drop(reader);
            Stdio::from(writer)
        };
        let status = Command::new(PROBE).args(arguments).stdout(closed()).stderr(closed()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
    server.stop();
}
