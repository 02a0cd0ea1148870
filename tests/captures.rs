//! What the server and the probe write of their own datagrams: complete, cut to size, and read by others without complaint.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[path = "support/program.rs"]
mod program;

use program::Rendezvous;

const PROBE: &str = env!("CARGO_BIN_EXE_roundtable-probe");
const LUA: &str = concat!("lua_script:", env!("CARGO_MANIFEST_DIR"), "/proto/roundtable.lua");
const BOB: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";
const OFFER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/aiortc-audio-x20-10if-offer.sdp");
/// A line of the offer.
const LINE: &[u8] = b"a=rtpmap:96 opus/48000/2";

/// Makes a whole call, with captures of the server and of the caller in this directory; `further` goes into the server's
/// configuration, `words` to the caller.
fn call(directory: &Path, further: &str, words: &[&str]) {
    let (of_server, of_caller) = (directory.join("server"), directory.join("caller"));
    let server = Rendezvous::start(0, &format!("capturefile: {}\n{further}", of_server.display()));
    let address = server.address.to_string();
    let mut listening = program::start(PROBE, ["listen", &address, "--id", BOB, "--count", "1"], b"");
    listening.line_with("listening");
    let calling =
        ["call", &address, BOB, "--offer", OFFER, "--punch", "--capture", of_caller.to_str().unwrap()];
    let called = program::start(PROBE, [&calling, words].concat(), b"").wait();
    assert_eq!((called.code, called.stderr.as_str()), (Some(0), ""), "{}", called.stdout);
    assert_eq!(listening.wait().code, Some(0));
    server.stop();
}

fn decoded(path: &Path) -> Vec<Value> {
    let ended = program::start(PROBE, ["--json", "decode", path.to_str().unwrap()], b"").wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn holds(path: &Path, text: &[u8]) -> bool {
    fs::read(path).unwrap().windows(text.len()).any(|window| window == text)
}

/// Kind, length and what tells one of it from the next.
fn datagrams(told: &[Value], key: &str, address: &str) -> BTreeSet<String> {
    let of_address = told.iter().filter(|one| one[key] == address);
    of_address.map(|one| format!("{} {} {}", one["kind"], one["bytes"], one["fields"])).collect()
}

#[test]
fn capture_has_every_datagram_of_a_call_and_no_blob() {
    let place = tempfile::tempdir().unwrap();
    call(place.path(), "", &[]);
    let (server, caller) = (place.path().join("server"), place.path().join("caller"));
    let (of_server, of_caller) = (decoded(&server), decoded(&caller));
    let address = of_caller[0]["from"].as_str().unwrap();
    let sent = datagrams(&of_caller, "from", address);
    let arrived = datagrams(&of_server, "from", address);
    assert!(arrived.len() > 60 && arrived.is_subset(&sent), "{arrived:?} {sent:?}");
    let answered = datagrams(&of_server, "to", address);
    assert!(answered.len() > 60 && answered.is_subset(&datagrams(&of_caller, "to", address)));
    let kinds: BTreeSet<_> = of_server.iter().filter_map(|one| one["kind"].as_str()).collect();
    for kind in ["REGISTER", "CHALLENGE", "OFFER", "RELAYED_OFFER", "ANSWER", "RELAYED_ACK", "PUNCH_NOW"] {
        assert!(kinds.contains(kind), "{kind} is not in {kinds:?}");
    }
    assert!(!holds(&server, LINE) && !holds(&caller, LINE));
    // Sessions stand in it.
    #[cfg(unix)]
    for path in [&server, &caller] {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn blobs_are_captured_where_that_is_asked_for() {
    let place = tempfile::tempdir().unwrap();
    call(place.path(), "captureblobs: true\n", &["--capture-blobs"]);
    for name in ["server", "caller"] {
        assert!(holds(&place.path().join(name), LINE), "{name}");
        decoded(&place.path().join(name));
    }
}

/// Every frame under its name, none malformed, whether blobs were cut or not.
#[test]
fn tshark_reads_both_captures_without_complaint() {
    let tshark = |arguments: &[&str]| {
        let ran = Command::new("tshark")
            .args(["-n", "-X", LUA, "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"])
            .args(arguments)
            .output()
            .ok()?;
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        Some(String::from_utf8(ran.stdout).unwrap())
    };
    if tshark(&["-v"]).is_none() {
        eprintln!("SKIPPED tshark_reads_both_captures_without_complaint: tshark is not installed");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    for (further, words) in [("", &[][..]), ("captureblobs: true\n", &["--capture-blobs"])] {
        call(place.path(), further, words);
        for name in ["server", "caller"] {
            let path = place.path().join(name);
            let file = path.to_str().unwrap();
            let read = |filter: &str| tshark(&["-r", file, "-Y", filter]).unwrap();
            let odd = "roundtable.invalid || _ws.malformed || _ws.short || udp.checksum.status == \"Bad\" || ip.checksum.status == \"Bad\"";
            assert_eq!(read(odd), "", "{name} {further}");
            let frames = decoded(&path).len() - 1;
            assert_eq!(read("roundtable").lines().count(), frames, "{name} {further}");
            assert!(
                read("roundtable.type == 0x87 && roundtable.length == 58454").lines().count() > 50,
                "{name}"
            );
        }
    }
}

#[test]
fn capture_ends_at_its_size_and_the_server_goes_on() {
    let place = tempfile::tempdir().unwrap();
    // Twelve calls of 58 KB there and back, each in twice, are more than a mebibyte of whole datagrams.
    let file = place.path().join("server");
    let further = format!("capturefile: {}\ncapturesize: 1\ncaptureblobs: true\n", file.display());
    let server = Rendezvous::start(0, &further);
    let address = server.address.to_string();
    let mut listening =
        program::start(PROBE, ["listen", &address, "--id", BOB, "--count", "12", "--follow", "0"], b"");
    listening.line_with("listening");
    for _ in 0..12 {
        let words = ["call", &address, BOB, "--offer", OFFER, "--follow", "0"];
        let called = program::start(PROBE, words, b"").wait();
        assert_eq!(called.code, Some(0), "{called:?}");
    }
    assert_eq!(listening.wait().code, Some(0));
    server.stop();
    let size = fs::metadata(&file).unwrap().len();
    assert!((1 << 20) - 2000 < size && size <= 1 << 20, "{size}");
    decoded(&file);
}

#[test]
fn file_that_cannot_be_made_is_named() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("missing/capture");
    let config = place.path().join("config.yaml");
    fs::write(&config, format!("localport: 0\ncapturefile: {}\n", file.display())).unwrap();
    let words = ["--config-file-path", config.to_str().unwrap()];
    let ended = program::start(env!("CARGO_BIN_EXE_signallingserver"), words, b"").wait();
    assert_eq!(ended.code, Some(78), "{ended:?}");
    let named = format!("{}:2: capturefile: {}: ", config.display(), file.display());
    assert!(ended.stderr.starts_with(&named), "{}", ended.stderr);
    let words = ["ping", "127.0.0.1", "--capture", file.to_str().unwrap()];
    let ended = program::start(PROBE, words, b"").wait();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.starts_with(file.to_str().unwrap()), "{}", ended.stderr);
}
