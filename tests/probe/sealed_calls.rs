//! Keyed peers, plain ones, and one of each: how they call each other, and whether that is sealed.

use std::fs;
use std::net::UdpSocket;

use super::keys::Keys;
use super::program::Rendezvous;
use super::script::{events, names, only};
use super::{ALICE, BOB, LARGE, SMALL, assert_told, done, listen, run, start};

/// An identifier that is the encoding of no public key.
const NO_KEY: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// What comes after this on the line that has it.
fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.split_once(mark))
        .unwrap_or_else(|| panic!("{mark:?} is not in {text}"))
        .1
}

#[test]
fn keyed_peers_call_by_what_is_handed_out_and_say_that_it_is_sealed() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let keys = Keys::new();
    let (alice, bob) = (keys.path("alice"), keys.path("bob"));
    let (saved, offers) = (keys.path("answer.sdp"), keys.path("offers"));
    let mut listener = start(&[
        "listen", address, "--key", &bob, "--count", "1", "--follow", "0", "--answer", LARGE, "--save",
        &offers,
    ]);
    let handed_out = listener.line_with("hand out: ");
    let handed_out = handed_out.split_once("hand out: ").unwrap().1;
    let bob = keys.identifier("bob");
    assert!(handed_out.starts_with(&format!("roundtable:{bob}@{address}#")), "{handed_out}");

    let text = done(run(&[
        "call", handed_out, "--key", &alice, "--offer", SMALL, "--save", &saved, "--follow", "0",
    ]));
    let made = format!("a new key is made: {alice}");
    let alice = keys.identifier("alice");
    let registered = format!("registered as {alice}, seen at 127.0.0.1:");
    let to_bob = format!(": 1033 bytes to {bob}, sealed");
    let answered = ": 58454 bytes from a peer seen at 127.0.0.1:";
    assert_told(&text, &[&made, &registered, &to_bob, "delivered after ", answered]);
    assert!(fs::read(&saved).unwrap() == fs::read(LARGE).unwrap());

    let heard = done(listener.wait());
    let from_alice = format!(": 1033 bytes from {alice}, seen at 127.0.0.1:");
    assert_told(&heard, &[&from_alice, "answered with 58454 bytes", "unregistered"]);
    assert!(after(&heard, &from_alice).ends_with(", sealed"), "{heard}");
    let offer = fs::read_dir(&offers).unwrap().next().unwrap().unwrap().path();
    assert!(fs::read(offer).unwrap() == fs::read(SMALL).unwrap());
    server.stop();
}

#[test]
fn only_two_keys_make_a_sealed_call_and_both_sides_say_so() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let keys = Keys::new();
    let key_of_bob = keys.identifier("bob");
    let (alice, bob) = (keys.path("alice"), keys.path("bob"));
    keys.identifier("alice");
    let (sealed, neither) = ("sealed", "not sealed: neither side has a key");
    let (own, other) = ("not sealed: this side has no key", "not sealed: the other side has no key");
    for (caller, listener, target, to_caller, to_listener) in [
        (["--key", &alice], ["--key", &bob], key_of_bob.as_str(), sealed, sealed),
        (["--id", ALICE], ["--key", &bob], &key_of_bob, own, other),
        (["--key", &alice], ["--id", BOB], BOB, other, own),
        (["--id", ALICE], ["--id", BOB], BOB, neither, neither),
    ] {
        let is_sealed = to_caller == sealed;
        let calling = [&["call", address, target, "--offer", SMALL, "--follow", "0"][..], &caller].concat();
        let listening = [&[address, "--count", "1", "--follow", "0"][..], &listener].concat();

        let hearing = listen(&[&listening[..], &["--json"]].concat());
        let text = done(run(&calling));
        assert!(text.contains(&format!(" bytes to {target}, {to_caller}\n")), "{text}");
        assert_eq!(only(&events("listen", &done(hearing.wait())), "offered")["sealed"], is_sealed);

        let hearing = listen(&listening);
        let told = events("call", &done(run(&[&calling[..], &["--json"]].concat())));
        assert_eq!(only(&told, "offering")["sealed"], is_sealed);
        assert_eq!(only(&told, "answered")["answer"], fs::read_to_string(SMALL).unwrap());
        let heard = done(hearing.wait());
        assert!(after(&heard, " bytes from ").ends_with(&format!(", {to_listener}")), "{heard}");
    }
    server.stop();
}

/// What is sealed is packed first: the server relays what it would refuse in the clear.
#[test]
fn sealed_description_passes_where_a_plain_one_is_too_large() {
    let server = Rendezvous::start(0, "maxblob: 20000\n");
    let address = &server.address.to_string();
    let keys = Keys::new();
    let bob = keys.identifier("bob");
    let (alice, key) = (keys.path("alice"), keys.path("bob"));
    let listener = listen(&[address, "--key", &key, "--count", "1", "--follow", "0"]);
    let plain = run(&["call", address, &bob, "--offer", LARGE]);
    assert_eq!(plain.code, Some(1), "{plain:?}");
    let sealed = run(&["call", address, &bob, "--offer", LARGE, "--key", &alice, "--follow", "0"]);
    assert!(done(sealed).contains(": 58454 bytes from a peer"));
    done(listener.wait());
    server.stop();
}

#[test]
fn call_goes_to_the_next_server_where_one_does_not_answer() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = &silent.local_addr().unwrap().to_string();
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let listener = listen(&[address, "--id", BOB, "--count", "1", "--follow", "0"]);
    let shown = events("id", &done(run(&["id", "--id", BOB, silent, address, "--json"])));
    let handed_out = only(&shown, "address")["address"].as_str().unwrap();
    let called = run(&["call", handed_out, "--offer", SMALL, "--timeout", "1", "--follow", "0", "--json"]);
    let told = events("call", &done(called));
    assert_eq!(names(&told), ["skipped", "registered", "offering", "delivered", "answered"]);
    assert_eq!(only(&told, "skipped")["server"], silent.as_str());
    done(listener.wait());

    // A server that is named goes before those of the address.
    let listener = listen(&[address, "--id", BOB, "--count", "1", "--follow", "0"]);
    let elsewhere = done(run(&["id", "--id", BOB, silent]));
    let handed_out = elsewhere.lines().last().unwrap();
    let text = done(run(&["call", address, handed_out, "--offer", SMALL, "--follow", "0"]));
    assert!(!text.contains("not at "), "{text}");
    done(listener.wait());
    server.stop();
}

#[test]
fn peer_whose_identifier_is_no_key_is_named() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let alice = Keys::new();
    let call = ["call", address, NO_KEY, "--offer", SMALL, "--key", &alice.path("alice")];
    let ended = run(&call);
    let message = format!(
        "nothing can be sealed to {NO_KEY}: the identifier is not a usable Ed25519 public key (bad_key)\n"
    );
    assert_eq!((ended.code, ended.stderr), (Some(5), message));
    let told = events("call", &run(&[&call[..], &["--json"]].concat()).stdout);
    assert_eq!(only(&told, "failed")["kind"], "sealing");
    server.stop();
}

#[test]
fn sealed_call_that_nobody_answers_hints_at_the_clocks() {
    let server = Rendezvous::start(0, "timeout: 1\n");
    let address = &server.address.to_string();
    let keys = Keys::new();
    let bob = keys.identifier("bob");
    let mut deaf = start(&["register", address, "--key", &keys.path("bob"), "--stay", "60"]);
    deaf.line_with("registered");
    let ended = run(&["call", address, &bob, "--offer", SMALL, "--key", &keys.path("alice")]);
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert!(ended.stderr.ends_with("or it refuses the sealed offer (are both clocks right?)\n"), "{ended:?}");
}
