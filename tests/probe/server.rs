//! `ping` and `register`: what the server says of itself and of this host; and `demo`.

use super::program::Rendezvous;
use super::script::{events, names, only};
use super::{ALICE, BOB, assert_told, done, run};

#[test]
fn ping_shows_round_trips_and_the_observed_address() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let text = done(run(&["ping", address, "--count", "2"]));
    let pong = format!("{address} answers in ");
    assert_told(&text, &[&pong, &pong, "2 of 2 answered, "]);
    assert_eq!(text.matches(", sees you at 127.0.0.1:").count(), 2, "{text}");

    let told = events("ping", &done(run(&["ping", address, "--count", "2", "--json"])));
    assert_eq!(names(&told), ["pong", "pong", "done"]);
    assert!(told[0]["observed"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(told[0]["round_trip_ms"].as_f64().unwrap() > 0.0);
    assert_eq!((&told[0]["number"], &told[1]["number"]), (&1.into(), &2.into()));
    assert_eq!((&told[2]["sent"], &told[2]["answered"]), (&2.into(), &2.into()));
    server.stop();
}

#[test]
fn register_shows_the_terms_and_leaves() {
    let server = Rendezvous::start(0, "timeout: 17\nmaxblob: 2000\n");
    let address = &server.address.to_string();
    let text = done(run(&["register", address, "--id", ALICE]));
    let registered = format!("registered at {address} as {ALICE}, seen at 127.0.0.1:");
    assert_told(&text, &[&registered, "offers wait 17 s, blobs up to 2000 bytes", "unregistered"]);

    // The identifier is free again for another address.
    let told = events("register", &done(run(&["--json", "register", address, "--id", ALICE])));
    assert_eq!(names(&told), ["registered", "unregistered"]);
    let registered = only(&told, "registered");
    assert_eq!(registered["id"], ALICE);
    assert_eq!((&registered["timeout_s"], &registered["maxblob"]), (&17.into(), &2000.into()));
    assert_eq!(registered["server"], address.as_str());
    server.stop();
}

#[test]
fn refusals_say_why_and_what_to_do() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let _holder = super::listen(&[address, "--id", BOB]);
    let ended = run(&["register", address, "--id", BOB]);
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let taken =
        "the server refuses the registration: the identifier is held from another address. Try again in ";
    assert!(ended.stderr.starts_with(taken), "{}", ended.stderr);

    let ended = run(&["register", address, "--id", BOB, "--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(4), ""));
    assert_eq!(only(&events("register", &ended.stdout), "failed")["kind"], "refused");

    let server = Rendezvous::start(0, "plainids: false\n");
    let ended = run(&["register", &server.address.to_string()]);
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let refused = "the server refuses the registration: it takes no plain identifiers (plainids: false): use --key FILE.\n";
    assert_eq!(ended.stderr, refused);
}

#[test]
fn demo_shows_both_calls_and_ends_well() {
    let text = done(run(&["demo"]));
    assert_told(
        &text,
        &[
            "server   listening on 127.0.0.1:",
            "alice    registered as ",
            "bob      registered as ",
            "pion, one audio track: 1033 bytes offered, 1032 answered",
            "alice    offers 1033 bytes in 2 fragments, not sealed: neither side has a key",
            "bob      has the offer after ",
            "alice    has the answer after ",
            "both     have a direct path: 127.0.0.1:",
            "server   in ",
            "aiortc, 20 audio tracks on 10 interfaces: 58454 bytes offered, 58438 answered",
            "alice    offers 58454 bytes in 58 fragments",
            "alice    has the answer after ",
            "both     have a direct path: 127.0.0.1:",
            "outcome  OK: 2 calls, every byte as it was sent; server in ",
        ],
    );

    let told = events("demo", &done(run(&["demo", "--json"])));
    let call = ["offering", "offered", "answered", "path", "cost"];
    let expected = [&["listening", "registered", "registered"][..], &call, &call, &["outcome"]].concat();
    assert_eq!(names(&told), expected);
    assert_eq!(only(&told, "outcome")["outcome"], "ok");
    for cost in told.iter().filter(|event| event["event"] == "cost") {
        assert!(cost["bytes_out"].as_u64() <= cost["bytes_in"].as_u64(), "{cost}");
    }
}
