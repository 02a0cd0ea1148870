//! Servers that refuse, or are none.

use std::net::UdpSocket;

use crate::golden::assert_printed;
use crate::program::{self, Ended, Rendezvous};
use crate::{BOB, PROBE};

fn doctor(address: &str, further: &[&str]) -> Ended {
    let words = [&["doctor", address][..], further].concat();
    let mut ended = program::start(PROBE, &words, b"").wait();
    ended.stdout = ended.stdout.replace(address, "SERVER");
    ended
}

/// Something that answers each datagram with these bytes.
fn answering(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // The test may be over.
            drop(socket.send_to(&answer(&buffer[..length]), from));
        }
    });
    address
}

#[test]
fn server_that_is_well() {
    let server = Rendezvous::start(0, "");
    let ended = doctor(&server.address.to_string(), &[]);
    assert_printed("server_that_is_well", "doctor SERVER", &ended, 0);
    server.stop();
}

#[test]
fn server_that_is_full() {
    let server = Rendezvous::start(0, "maxpeers: 1\n");
    let address = server.address.to_string();
    let mut first = program::start(PROBE, ["register", &address, "--stay", "60"], b"");
    first.line_with("registered");
    assert_printed("server_that_is_full", "doctor SERVER", &doctor(&address, &[]), 4);
}

#[test]
fn server_that_limits_the_rate() {
    let server = Rendezvous::start(0, "registerrate: 1\n");
    let address = server.address.to_string();
    // Ten at once is what it allows.
    for _ in 0..10 {
        let registered = program::start(PROBE, ["register", &address], b"").wait();
        assert!(matches!(registered.code, Some(0 | 4)), "{registered:?}");
    }
    // Whom of its registrations the limit meets is a matter of moments.
    let ended = doctor(&address, &[]);
    assert!(matches!(ended.code, Some(4 | 7)), "{ended:?}");
    let limits = "warning  limits       the server refused ";
    let is_named = |line: &str| line.starts_with(limits) && line.ends_with(": RATE_LIMITED");
    let is_refused =
        |line: &str| line.starts_with("failed   registration ") && line.contains("(RATE_LIMITED)");
    assert!(ended.stdout.lines().any(|line| is_named(line) || is_refused(line)), "{}", ended.stdout);
    assert!(ended.stdout.contains("may raise registerrate"), "{}", ended.stdout);
}

#[test]
fn identifier_that_is_taken() {
    let server = Rendezvous::start(0, "");
    let address = server.address.to_string();
    let mut holder = program::start(PROBE, ["listen", &address, "--id", BOB], b"");
    holder.line_with("listening");
    let command = format!("doctor SERVER --id {BOB}");
    assert_printed("identifier_that_is_taken", &command, &doctor(&address, &["--id", BOB]), 4);
}

/// A server that speaks version 2, and says so to whoever does not.
fn of_another_version() -> String {
    answering(|asked| {
        let (kind, reference) = (asked[3], if asked[3] == PING { 4..20 } else { 20..36 });
        [b"RT\x02\x8f", &asked[reference], &[0, VERSION, kind, 2, 0, 0, 0, 0]].concat()
    })
}

/// Kinds and a code of SPEC 4 and 9.
const PING: u8 = 1;
const VERSION: u8 = 3;

#[test]
fn server_of_another_version() {
    let address = of_another_version();
    assert_printed("server_of_another_version", "doctor SERVER", &doctor(&address, &[]), 4);
}

/// It cannot register, so that others find it not there; but it knows why.
#[test]
fn peer_of_another_version_is_told_so() {
    let address = of_another_version();
    let listened = program::start(PROBE, ["listen", &address, "--timeout", "2"], b"").wait();
    let told =
        "the server refuses the registration: it speaks version 2 of the protocol, this probe 1 (VERSION).\n";
    assert_eq!((listened.code, listened.stderr.as_str()), (Some(4), told));
}

#[test]
fn another_program_has_the_port() {
    let address = answering(|_| b"HTTP/1.1 400 Bad Request".to_vec());
    assert_printed("another_program_has_the_port", "doctor SERVER", &doctor(&address, &[]), 3);
}

#[test]
fn name_that_leads_nowhere() {
    let ended = program::start(PROBE, ["doctor", "nowhere.invalid"], b"").wait();
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.stdout.starts_with("failed   name         nowhere.invalid:1066: no such server: ")
            || ended.stdout.starts_with("failed   name         nowhere.invalid: no such server: "),
        "{}",
        ended.stdout
    );
}
