//! `listen` and `call`, one against the other.

use std::fs;
use std::net::{SocketAddr, UdpSocket};

use serde_json::Value;

use super::program::{self, Rendezvous};
use super::script::{events, names, only};
use super::{ALICE, BOB, LARGE, PROBE, SMALL, assert_told, done, listen, run};

#[test]
fn who_calls_after_the_last_call_that_was_wanted_is_declined_and_does_not_ring_on() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let listener = listen(&[address, "--id", BOB, "--count", "1", "--follow", "3"]);
    let calls = [0, 6].map(|code| (run(&["call", address, BOB, "--offer", SMALL, "--follow", "0"]), code));
    for (ended, code) in calls {
        assert_eq!(ended.code, Some(code), "{ended:?}");
    }
    done(listener.wait());
    server.stop();
}

#[test]
fn call_shows_each_step_and_the_answer() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let listener = listen(&[address, "--id", BOB, "--count", "1", "--follow", "0"]);
    let text = done(run(&["call", address, BOB, "--offer", SMALL, "--id", ALICE, "--follow", "0"]));
    let registered = format!("registered as {ALICE}, seen at 127.0.0.1:");
    let to_bob = format!(": 1033 bytes to {BOB}");
    let answered = ": 1033 bytes from a peer seen at 127.0.0.1:";
    assert_told(&text, &[&registered, &to_bob, "delivered after ", answered, "v=0"]);
    // Nothing was said of an answer: the listener echoes.
    let description = fs::read_to_string(SMALL).unwrap();
    assert!(text.ends_with(&format!("{description}\n")), "{text}");

    let heard = done(listener.wait());
    let from_alice = format!(": 1033 bytes from {ALICE}, seen at 127.0.0.1:");
    assert_told(&heard, &[&from_alice, "answered with 1033 bytes, all there after ", "unregistered"]);
    server.stop();
}

#[test]
fn call_and_listen_tell_scripts_everything() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let listener = listen(&[address, "--id", BOB, "--count", "1", "--follow", "1", "--json"]);
    let said = run(&[
        "call",
        address,
        BOB,
        "--offer",
        SMALL,
        "--id",
        ALICE,
        "--json",
        "--punch",
        "--candidate",
        "candidate:one",
        "--candidate",
        "candidate:two",
        "--follow",
        "1",
    ]);
    let told = events("call", &done(said));
    assert_eq!(names(&told), ["registered", "offering", "delivered", "answered", "path"]);
    let offer = &only(&told, "offering")["offer"];
    let answered = only(&told, "answered");
    assert_eq!(answered["answer"].as_str().unwrap(), fs::read_to_string(SMALL).unwrap());
    assert_eq!((&answered["offer"], &answered["bytes"]), (offer, &1033.into()));

    let heard = events("listen", &done(listener.wait()));
    assert_eq!(
        (&names(&heard)[..3], *names(&heard).last().unwrap()),
        (&["listening", "offered", "answered"][..], "unregistered")
    );
    let offered = only(&heard, "offered");
    assert_eq!((&offered["offer"], &offered["from"]), (offer, &ALICE.into()));
    assert_reaches(&only(&heard, "path")["peer"], &offered["observed"]);
    assert_reaches(&only(&told, "path")["peer"], &answered["observed"]);
    let mut candidates: Vec<_> = heard
        .iter()
        .filter(|event| event["event"] == "candidate")
        .map(|event| (event["number"].as_u64().unwrap(), event["message"].as_str().unwrap()))
        .collect();
    candidates.sort_unstable();
    assert_eq!(candidates, [(0, "candidate:one"), (1, "candidate:two")]);
    server.stop();
}

#[test]
fn large_files_pass_through_files_unchanged() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let place = tempfile::tempdir().unwrap();
    let (saved, offers) = (place.path().join("answer.sdp"), place.path().join("not/there/yet"));
    let listener = listen(&[
        address,
        "--id",
        BOB,
        "--count",
        "1",
        "--follow",
        "0",
        "--answer",
        SMALL,
        "--save",
        offers.to_str().unwrap(),
        "--json",
    ]);
    let text = done(run(&[
        "call",
        address,
        BOB,
        "--offer",
        LARGE,
        "--save",
        saved.to_str().unwrap(),
        "--follow",
        "0",
    ]));
    assert_told(&text, &[": 58454 bytes to ", ": 1033 bytes from a peer seen at "]);
    assert!(!text.contains("v=0"), "{text}");
    assert!(fs::read(&saved).unwrap() == fs::read(SMALL).unwrap());

    let heard = events("listen", &done(listener.wait()));
    let offer = only(&heard, "offered")["offer"].as_str().unwrap();
    assert!(fs::read(offers.join(format!("{offer}.sdp"))).unwrap() == fs::read(LARGE).unwrap());
    server.stop();
}

#[test]
fn offer_and_answer_may_come_from_standard_input() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let from_input =
        ["listen", address, "--id", BOB, "--count", "1", "--follow", "0", "--answer", "-", "--json"];
    let mut listener = program::start(PROBE, from_input, b"the answer");
    listener.line_with("listening");
    let calling = ["call", address, BOB, "--json", "--follow", "0"];
    let told = events("call", &done(program::start(PROBE, calling, b"the offer").wait()));
    assert_eq!(only(&told, "answered")["answer"], "the answer");
    assert_eq!(only(&events("listen", &done(listener.wait())), "offered")["bytes"], 9);
    server.stop();
}

#[test]
fn declined_call_ends_with_its_own_exit_code() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let listener = listen(&[address, "--id", BOB, "--count", "2", "--decline", "--json"]);
    let ended = run(&["call", address, BOB, "--offer", SMALL]);
    assert_eq!((ended.code, ended.stderr), (Some(6), format!("{BOB} declined\n")));
    let ended = run(&["call", address, BOB, "--offer", SMALL, "--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(6), ""));
    let told = events("call", &ended.stdout);
    assert_eq!(names(&told), ["registered", "offering", "delivered", "failed"]);
    assert_eq!(told[3]["kind"], "declined");
    let heard = events("listen", &done(listener.wait()));
    assert_eq!(names(&heard), ["listening", "offered", "declined", "offered", "declined", "unregistered"]);
    server.stop();
}

#[test]
fn listener_answers_a_call_while_it_follows_another() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let mut listener = listen(&[address, "--id", BOB, "--count", "3", "--follow", "1", "--json"]);
    let calls: Vec<_> = ["first", "second", "third"]
        .map(|offer| {
            program::start(
                PROBE,
                ["call", address, BOB, "--punch", "--follow", "0", "--json"],
                offer.as_bytes(),
            )
        })
        .into();
    for call in calls {
        assert!(names(&events("call", &done(call.wait()))).contains(&"path"));
    }
    for _ in 0..3 {
        listener.line_with("\"path\"");
    }
    done(listener.wait());
    server.stop();
}

/// Asserts that a path leads to the peer that the server sees there: to that address, or to another of this host.
#[track_caller]
fn assert_reaches(path: &Value, observed: &Value) {
    let read = |address: &Value| address.as_str().unwrap().parse::<SocketAddr>().unwrap();
    let (path, observed) = (read(path), read(observed));
    assert_eq!(path.port(), observed.port());
    let is_own = UdpSocket::bind((path.ip(), 0)).is_ok();
    assert!(path.ip() == observed.ip() || is_own, "{path} is not of this host");
}
