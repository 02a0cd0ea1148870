//! `encode` and `decode`: every golden vector, through the programs and through `nc`.

use std::process::Command;

use serde_json::Value;

use super::program::{self, Ended, Rendezvous};
use super::script::{events, names, only};
use super::{PROBE, assert_told, done, run};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proto/vectors/frames.json");
const MUST_FAIL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proto/vectors/must-fail.json");
const CALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/call.pcap");

fn vectors(path: &str) -> Vec<Value> {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Runs the probe with this on standard input.
fn fed(arguments: &[&str], input: &[u8]) -> Ended {
    program::start(PROBE, arguments, input).wait()
}

fn hex(vectors: &[Value]) -> String {
    vectors.iter().map(|vector| vector["hex"].as_str().unwrap().to_owned() + "\n").collect()
}

#[test]
fn every_golden_vector_is_encoded_from_its_fields() {
    let expected = hex(&vectors(VECTORS));
    assert_eq!(done(run(&["encode", "--fields", VECTORS, "--output", "hex"])), expected);
    let base64 = done(run(&["encode", "--fields", VECTORS, "--output", "base64"]));
    let told = events("decode", &done(fed(&["decode", "--json"], base64.as_bytes())));
    assert_eq!(only(&told, "read")["frames"], expected.lines().count());
}

#[test]
fn every_golden_vector_decodes_to_its_fields_and_comes_back() {
    let vectors = vectors(VECTORS);
    let printed = done(fed(&["decode", "--json"], hex(&vectors).as_bytes()));
    let told = events("decode", &printed);
    // Identifiers and offer ids are told as people write them.
    let plain = |value: &Value| {
        let digits = value.as_str().map(|text| text.replace('-', ""));
        digits.map_or_else(|| value.clone(), |digits| format!("{digits:0<64}").into())
    };
    for (vector, told) in vectors.iter().zip(&told) {
        let name = &vector["name"];
        assert_eq!((&told["event"], &told["kind"]), (&"frame".into(), &vector["kind"]), "{name}");
        let (fields, expected) = (told["fields"].as_object().unwrap(), vector["fields"].as_object().unwrap());
        assert!(fields.keys().eq(expected.keys()), "{name}: {fields:?}");
        for (field, value) in fields {
            assert_eq!(plain(value), plain(&expected[field]), "{name}: {field}");
        }
    }
    let again = done(fed(&["encode", "--fields", "-", "--output", "hex"], printed.as_bytes()));
    assert_eq!(again, hex(&vectors));
}

#[test]
fn every_datagram_that_must_fail_is_told_where_and_why() {
    // An empty line is no datagram.
    let vectors: Vec<_> = vectors(MUST_FAIL).into_iter().filter(|vector| vector["hex"] != "").collect();
    let ended = fed(&["decode", "--json"], hex(&vectors).as_bytes());
    assert_eq!(ended.code, Some(7), "{}", ended.stderr);
    let told = events("decode", &ended.stdout);
    for (vector, told) in vectors.iter().zip(&told) {
        let name = &vector["name"];
        assert_eq!((&told["event"], &told["error"]), (&"invalid".into(), &vector["error"]), "{name}");
        assert_eq!(told["field"], vector["field"], "{name}");
        let (offset, length) = (told["offset"].as_u64().unwrap(), told["bytes"].as_u64().unwrap());
        assert!(offset <= length, "{name}: {told}");
        if let (Some(field), "bad_field") = (told["field"].as_str(), told["error"].as_str().unwrap()) {
            assert!(offset >= told["offsets"][field].as_u64().unwrap(), "{name}: {told}");
        }
    }
    assert_eq!(told[vectors.len()]["invalid"], vectors.len());
    assert_eq!(told.last().unwrap()["kind"], "not_valid");
}

#[test]
fn table_shows_every_byte_with_its_offset() {
    let set = ["--set", "transaction=00112233445566778899aabbccddeeff", "--output", "hex"];
    let ping = done(run(&[&["encode", "ping"][..], &set].concat()));
    let table = done(fed(&["decode"], ping.as_bytes()));
    assert_eq!(
        table,
        "1  PING  39 bytes\n  offset size field\n       0    2 magic       52 54 \"RT\"\n       \
         2    1 version     1\n       3    1 kind        0x01 PING\n       \
         4   16 transaction 00112233445566778899aabbccddeeff\n      20   19 zero        -\n\n"
    );
    let bent = ping.replace("00\n", "07\n");
    let ended = fed(&["decode"], bent.as_bytes());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(7), "1 of 1 datagrams are not valid\n"));
    assert!(
        ended.stdout.ends_with("  not valid at byte 38: a byte of zero is not zero (bad_field)\n\n"),
        "{}",
        ended.stdout
    );
}

#[test]
fn pipe_of_several_frames_is_cut_where_each_ends() {
    let blob = "x".repeat(1500);
    let mut stream = Vec::new();
    let of_two = ["--set", &format!("blob={blob}"), "--set", "target=0f0e0d0c-0b0a-4908-8706-050403020100"];
    let mut add = |line: String| {
        let digits = line.trim_end();
        stream.extend(
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()),
        );
    };
    add(done(run(&["encode", "ping", "--output", "hex"])));
    for index in ["index=0", "index=1"] {
        add(done(run(&[&["encode", "offer", "--output", "hex", "--set", index][..], &of_two].concat())));
    }
    add(done(run(&[
        "encode",
        "error",
        "--output",
        "hex",
        "--set",
        "code=PEER_UNKNOWN",
        "--set",
        "kind=offer",
    ])));
    let told = done(fed(&["decode"], &stream));
    assert_told(
        &told,
        &[
            "1  PING  39 bytes",
            "2  OFFER  1152 bytes",
            "1500 bytes",
            "1024 bytes: \"xxx",
            "3  OFFER  604 bytes",
            "476 bytes: \"xxx",
            "4  ERROR  28 bytes",
            "8 PEER_UNKNOWN",
            "6 OFFER",
            "4 datagrams, 4 frames, 0 not valid",
        ],
    );
    let told = events("decode", &done(fed(&["decode", "--json"], &stream)));
    assert_eq!(names(&told), ["frame", "frame", "frame", "frame", "read"]);
}

/// What does not begin another frame belongs to the one before.
#[test]
fn frame_with_more_bytes_behind_it_is_one_that_is_too_long() {
    let mut ping = [&b"RT\x01\x01"[..], &[7; 16], &[0; 19]].concat();
    ping.extend(b"more");
    let ended = fed(&["decode", "--json"], &ping);
    assert_eq!(ended.code, Some(7), "{}", ended.stderr);
    let told = events("decode", &ended.stdout);
    let invalid = only(&told, "invalid");
    assert_eq!((&invalid["error"], &invalid["offset"]), (&"trailing".into(), &39.into()));
}

#[test]
fn capture_of_a_call_is_shown_with_its_ways() {
    let told = events("decode", &done(run(&["decode", CALL, "--json"])));
    let read = only(&told, "read");
    assert_eq!((&read["frames"], &read["datagrams"]), (&read["datagrams"], &(told.len() - 1).into()));
    assert!(told.iter().any(|event| event["kind"] == "RELAYED_ANSWER"));
    assert!(told[0]["to"].as_str().unwrap().ends_with(":1066"), "{}", told[0]);
}

#[test]
fn what_cannot_be_encoded_says_what_can() {
    for (arguments, complaint) in [
        (&["dance"][..], "dance is no kind; kinds are ping, register, "),
        (&[], "either KIND, with --set FIELD=VALUE, or --fields FILE"),
        (
            &["ping", "--set", "tune=4"],
            "PING has no field tune; its fields are transaction (32 hexadecimal digits",
        ),
        (&["ping", "--set", "transaction=7"], "transaction: \"7\" is not 32 hexadecimal digits"),
        (
            &["pong", "--set", "observed=here"],
            "observed: \"here\" is not an address: IP:PORT, [IP]:PORT, or none",
        ),
        (&["register"], "REGISTER needs --set identifier=a UUID or 64 hexadecimal digits"),
        (&["probe", "--set", "nominate=2"], "that is no PROBE: byte 52: nominate is 2; allowed: 0 or 1"),
        (&["error", "--set", "code=65536"], "code: \"65536\" is not a number from 0 to 65535"),
        (&["ping", "--set", "zero"], "\"zero\" is not FIELD=VALUE"),
    ] {
        let ended = run(&[&["encode"], arguments].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(complaint), "{complaint:?} is not in {}", ended.stderr);
    }
    let ended = run(&["encode", "--fields", VECTORS]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("a pipe does not keep datagrams apart"), "{}", ended.stderr);
}

#[test]
fn nothing_to_decode_is_no_answer() {
    let ended = run(&["decode"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.starts_with("nothing came in: behind nc that means that there was no answer"));
    let ended = fed(&["decode", "--from", "hex"], b"52 54 0q\n");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(2), "-: line 1 is not hexadecimal digits\n"));
}

/// The line of the README, with Debian's netcat-openbsd.
#[test]
fn ping_by_nc_is_answered_over_both_families() {
    let has_nc = Command::new("sh").args(["-c", "command -v nc"]).output().unwrap().status.success();
    if !has_nc {
        eprintln!("SKIPPED ping_by_nc_is_answered_over_both_families: nc is not installed");
        return;
    }
    for (host, observed) in [("127.0.0.1", "127.0.0.1:"), ("::1", "[::1]:")] {
        let server = Rendezvous::start_at(host, 0, "");
        let port = server.address.port();
        let line = format!("{PROBE} encode ping | nc -u -w1 {host} {port} | {PROBE} decode");
        // nc waits for its input for a second, in which a loaded machine may not have started a program.
        let mut tries = (0..5).map(|_| program::start("sh", ["-c", &line], b"").wait());
        let shown = done(tries.find(|ended| ended.code == Some(0)).unwrap());
        assert_told(&shown, &["1  PONG  39 bytes", "observed    "]);
        assert!(shown.contains(observed), "{shown}");
        server.stop();
    }
}
