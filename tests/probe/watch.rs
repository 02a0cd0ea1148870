//! `watch`: what a server tells of itself on its socket, to whom, and what is shown of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

use super::program::Rendezvous;
use super::script::{events, names};
use super::{BOB, SMALL, assert_told, done, listen, run};

#[test]
fn watch_shows_peers_and_traffic_of_a_server_that_allows_it() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("stats");
    let socket = path.to_str().unwrap();
    // A killed server has left its socket.
    drop(UnixListener::bind(&path).unwrap());
    let server = Rendezvous::start(0, &format!("statssocket: {socket}\n"));
    let address = &server.address.to_string();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let _listening = listen(&[address, "--id", BOB]);
    done(run(&["call", address, BOB, "--offer", SMALL, "--follow", "0"]));

    let line = done(run(&["watch", socket, "--count", "1"]));
    assert!(line.starts_with("1 peers, 0 calls under way; in "), "{line}");
    let told = events("watch", &done(run(&["watch", socket, "--count", "2", "--json"])));
    assert_eq!(names(&told), ["second", "second"]);
    assert_eq!((&told[0]["peers"], &told[0]["offers_answered"]), (&1.into(), &1.into()));
    assert_eq!(told[0]["received"]["OFFER"], told[0]["sent"]["RELAYED_OFFER"]);
    assert!(told[0]["bytes_out"].as_u64() <= told[0]["bytes_in"].as_u64());
    let screen = done(run(&["watch", socket, "--count", "1", "--screens"]));
    let steps = ["peers 1 ", "out/in 0.", "─ traffic ─", "─ in, by kind ─", "─ round trips ─"];
    assert_told(&screen, &[&[address.as_str()][..], &steps].concat());
    server.stop();
    assert!(!path.exists());
}

#[test]
fn watch_shows_what_is_refused_for_the_header_of_a_proxy() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("stats");
    let proxies = "proxyprotocol: spp\ntrustedproxies: '127.0.0.2'\n";
    let server = Rendezvous::start(0, &format!("statssocket: {}\n{proxies}", path.display()));
    // A forged header, and none where one has to be.
    for (from, datagram) in [("127.0.0.1:0", &b"\x56\xEC"[..]), ("127.0.0.2:0", b"RT")] {
        let socket = UdpSocket::bind(from).unwrap();
        socket.send_to(datagram, ("127.0.0.1", server.address.port())).unwrap();
    }
    let told = || events("watch", &done(run(&["watch", path.to_str().unwrap(), "--count", "1", "--json"])));
    let dropped = std::iter::repeat_with(|| told()[0]["dropped"].clone());
    // Both are there within the first few seconds.
    let last =
        dropped.take(20).find(|dropped| dropped.as_object().is_some_and(|all| all.len() == 2)).unwrap();
    assert_eq!((&last["header_untrusted"], &last["header_missing"]), (&1.into(), &1.into()));
    server.stop();
}

#[test]
fn socket_in_use_and_no_socket_are_named() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("stats");
    let ended = run(&["watch", path.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.starts_with(path.to_str().unwrap()), "{}", ended.stderr);

    let _used = UnixListener::bind(&path).unwrap();
    let config = place.path().join("config.yaml");
    fs::write(&config, format!("localport: 0\nstatssocket: {}\n", path.display())).unwrap();
    let words = ["--config-file-path", config.to_str().unwrap()];
    let ended = super::program::start(env!("CARGO_BIN_EXE_signallingserver"), words, b"").wait();
    assert_eq!(ended.code, Some(78), "{ended:?}");
    let named = format!("{}:2: statssocket: {}: ", config.display(), path.display());
    assert!(ended.stderr.starts_with(&named), "{}", ended.stderr);
}

#[test]
fn server_that_hangs_is_given_up_by_who_wants_so_many_seconds() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("stats");
    let path = path.to_str().unwrap();
    let server = Rendezvous::start(0, &format!("statssocket: {path}\n"));
    server.program.signal("STOP");
    let ended = run(&["watch", path, "--count", "1", "--json"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let told = events("watch", &ended.stdout);
    assert_eq!((names(&told), &told[0]["kind"]), (vec!["failed"], &"no_answer".into()));
    server.program.signal("CONT");
    server.stop();
}

#[test]
fn server_that_is_watched_by_too_many_is_named() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("stats");
    let server = Rendezvous::start(0, &format!("statssocket: {}\n", path.display()));
    let watchers: Vec<_> = (0..8)
        .map(|_| {
            let mut watcher = BufReader::new(UnixStream::connect(&path).unwrap());
            assert!(watcher.read_line(&mut String::new()).unwrap() > 0);
            watcher
        })
        .collect();
    let ended = run(&["watch", path.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("too many watch it already"), "{}", ended.stderr);
    drop(watchers);
    server.stop();
}
