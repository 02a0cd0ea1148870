//! Peers that do not answer, or not as they should.

use crate::golden::assert_printed;
use crate::peer::{Peer, Wrong};
use crate::program::{self, Ended, Rendezvous};
use crate::{BOB, PROBE};

/// Runs the probe; the server's address and the key's file are named alike in every run.
fn diagnose(server: &Rendezvous, peer: &str, further: &[&str]) -> (String, Ended) {
    let address = server.address.to_string();
    let words = [&["diagnose", "--peer", peer, "--server", &address][..], further].concat();
    let mut ended = program::start(PROBE, &words, b"").wait();
    ended.stdout = ended.stdout.replace(&address, "SERVER");
    (
        format!(
            "diagnose --peer PEER --server SERVER{}",
            if further.is_empty() { "" } else { " --key FILE" }
        ),
        ended,
    )
}

/// A young server asks for patience for half a minute: the peer may be about to come back.
#[test]
fn peer_that_is_not_there() {
    let server = Rendezvous::start(0, "");
    let (command, ended) = diagnose(&server, BOB, &[]);
    assert_printed("peer_that_is_not_there", &command, &ended, 5);
    server.stop();
}

#[test]
fn peer_that_does_not_pick_up() {
    let server = Rendezvous::start(0, "timeout: 1\n");
    let address = server.address.to_string();
    let mut deaf = program::start(PROBE, ["register", &address, "--id", BOB, "--stay", "60"], b"");
    deaf.line_with("registered");
    let (command, ended) = diagnose(&server, BOB, &[]);
    assert_printed("peer_that_does_not_pick_up", &command, &ended, 5);
}

#[test]
fn peer_that_declines() {
    let server = Rendezvous::start(0, "");
    let address = server.address.to_string();
    let mut listening = program::start(PROBE, ["listen", &address, "--id", BOB, "--decline"], b"");
    listening.line_with("listening");
    let (command, ended) = diagnose(&server, BOB, &[]);
    assert_printed("peer_that_declines", &command, &ended, 6);
}

fn keyed(name: &str, wrong: Wrong) {
    let server = Rendezvous::start(0, "timeout: 2\n");
    let peer = Peer::listen(server.address, wrong);
    let place = tempfile::tempdir().unwrap();
    let key = place.path().join("key");
    let made = program::start(PROBE, ["id", "--key", key.to_str().unwrap()], b"").wait();
    assert_eq!(made.code, Some(0), "{made:?}");
    let (command, ended) = diagnose(&server, &peer.identifier.to_string(), &["--key", key.to_str().unwrap()]);
    assert_printed(name, &command, &ended, 5);
}

#[test]
fn peer_whose_clock_is_ten_minutes_ahead() {
    keyed("peer_whose_clock_is_ten_minutes_ahead", Wrong::Clock(600));
}

#[test]
fn peer_that_seals_in_another_version() {
    keyed("peer_that_seals_in_another_version", Wrong::Seal(9));
}
