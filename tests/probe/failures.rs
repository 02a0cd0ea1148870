//! What goes wrong, the exit code for it, and the words that help.

use std::net::UdpSocket;

use super::program::{self, Rendezvous};
use super::script::{events, names, only};
use super::{ALICE, BOB, LARGE, PROBE, SMALL, run, start};

#[test]
fn silence_is_explained() {
    // It listens and says nothing.
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (address, port) = (&nobody.local_addr().unwrap().to_string(), nobody.local_addr().unwrap().port());
    let message = format!(
        "no answer from {address} in 1 s: is UDP {port} open, and does a server run there? roundtable-probe doctor \
             {address} says"
    );
    for command in [
        &["ping", address, "--count", "1"][..],
        &["register", address],
        &["listen", address],
        &["call", address, BOB, "--offer", SMALL],
    ] {
        let ended = run(&[command, &["--timeout", "1"]].concat());
        assert_eq!((ended.code, ended.stderr), (Some(3), format!("{message}\n")), "{command:?}");

        let ended = run(&[command, &["--timeout", "1", "--json"]].concat());
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(3), ""), "{command:?}");
        let told = events(command[0], &ended.stdout);
        let failed = only(&told, "failed");
        assert_eq!((&failed["kind"], &failed["message"]), (&"no_answer".into(), &message.as_str().into()));
        assert_eq!(names(&told).last(), Some(&"failed"));
    }
}

#[test]
fn server_that_is_none_is_named() {
    for server in ["127.0.0.1:port", "127.0.0.1:70000", "no such host", ""] {
        let ended = run(&["ping", server]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.starts_with(&format!("{server}: no such server: ")), "{}", ended.stderr);
    }
}

#[test]
fn files_that_cannot_be_offered_are_named() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: usize| {
        let path = place.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(&path, vec![b'x'; bytes]).unwrap();
        path
    };
    let (empty, large) = (file("empty", 0), file("large", 65_537));
    let missing = place.path().join("missing").to_str().unwrap().to_owned();
    // Nobody needs to be asked: there is no server here.
    let call = |path: &str, input: &[u8]| {
        program::start(PROBE, ["call", "127.0.0.1:9", BOB, "--offer", path], input).wait()
    };
    for (path, input, code, complaint) in [
        (missing.as_str(), &b""[..], 1, format!("{missing}: No such file or directory")),
        (place.path().to_str().unwrap(), b"", 1, format!("{}: Is a directory", place.path().display())),
        (&empty, b"", 2, format!("{empty}: empty; a description has 1 to 65536 bytes")),
        (&large, b"", 2, format!("{large}: more than 65536 bytes; a description has 1 to 65536 bytes")),
        ("-", b"", 2, "standard input: empty; a description has 1 to 65536 bytes".to_owned()),
        ("-", &[b'x'; 70_000], 2, "standard input: more than 65536 bytes; ".to_owned()),
    ] {
        let ended = call(path, input);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{ended:?}");
        assert!(ended.stderr.starts_with(&complaint), "{} for {complaint}", ended.stderr);
    }
    let ended = run(&["listen", "127.0.0.1:9", "--answer", &missing]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with(&format!("{missing}: ")), "{}", ended.stderr);
    // A file where a directory is to be.
    let ended = run(&["listen", "127.0.0.1:9", "--save", &empty]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with(&format!("{empty}: ")), "{}", ended.stderr);
}

#[test]
fn answer_that_cannot_be_saved_is_an_error_and_the_listener_unregisters() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let place = tempfile::tempdir().unwrap();
    let saved = place.path().join("missing/answer").to_str().unwrap().to_owned();
    let directory = place.path().join("offers");
    let save_there = ["--save", directory.to_str().unwrap()];
    let listener = super::listen(&[&[address, "--id", BOB, "--follow", "0"][..], &save_there].concat());
    let ended = run(&["call", address, BOB, "--offer", SMALL, "--save", &saved]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.starts_with(&format!("{saved}: ")), "{}", ended.stderr);

    std::fs::remove_dir_all(&directory).unwrap();
    let mut caller = start(&["call", address, BOB, "--offer", SMALL]);
    caller.line_with("delivered");
    let ended = listener.wait();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.starts_with(directory.to_str().unwrap()), "{}", ended.stderr);
    assert_eq!(run(&["register", address, "--id", BOB]).code, Some(0));
}

#[test]
fn offer_beyond_the_servers_limit_is_refused_with_the_limit() {
    let server = Rendezvous::start(0, "maxblob: 2000\n");
    let ended = run(&["call", &server.address.to_string(), BOB, "--offer", LARGE]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for number in ["58454", "2000"] {
        assert!(ended.stderr.contains(number), "{}", ended.stderr);
    }
    let ended = run(&["call", &server.address.to_string(), ALICE, "--id", ALICE, "--offer", SMALL]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

/// A young server asks for patience for half a minute: the peer may be about to come back.
#[test]
fn peer_that_is_not_there_is_named() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let text = start(&["call", address, BOB, "--offer", SMALL]);
    let json = start(&["call", address, BOB, "--offer", SMALL, "--json"]);
    let message = format!("{BOB} is not registered: is its client running, and does it use the same server?");
    let ended = text.wait();
    assert_eq!((ended.code, ended.stderr), (Some(5), format!("{message}\n")));
    let ended = json.wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(5), ""));
    let told = events("call", &ended.stdout);
    let failed = only(&told, "failed");
    assert_eq!((&failed["kind"], &failed["message"]), (&"call".into(), &message.as_str().into()));
}

#[test]
fn peer_that_does_not_answer_is_told_from_one_that_is_not_there() {
    let server = Rendezvous::start(0, "timeout: 1\n");
    let address = &server.address.to_string();
    let mut deaf = start(&["register", address, "--id", BOB, "--stay", "60"]);
    deaf.line_with("registered");
    let ended = run(&["call", address, BOB, "--offer", SMALL]);
    let message =
        format!("{BOB} is registered but did not answer in time: nobody is there, or its client hangs\n");
    assert_eq!((ended.code, ended.stderr), (Some(5), message));
    assert!(ended.stdout.contains("delivered after "), "{}", ended.stdout);
}
