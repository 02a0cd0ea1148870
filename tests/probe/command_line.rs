//! Help, version, and what is no command line.

use super::{BOB, done, run};

/// RFC 8032, 7.1, test 1.
const KEYED: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

#[test]
fn help_and_version_are_everywhere() {
    let help = done(run(&["--help"]));
    for command in [
        "ping", "register", "listen", "call", "id", "inspect", "doctor", "diagnose", "encode", "decode",
        "papers", "demo", "bench",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in {help}");
        let own = done(run(&[command, "--help"]));
        assert!(own.starts_with(&format!("Usage: roundtable-probe {command}")), "{own}");
        assert!(own.contains("With --json:"), "{own}");
        assert_eq!(done(run(&[command, "-h"])), own);
    }
    for code in 0..=7 {
        assert!(help.contains(&format!("{code} ")), "exit code {code} is not in {help}");
    }
    assert_eq!(done(run(&["--version"])), concat!("roundtable-probe ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn wrong_usage_is_named() {
    let last = "Run roundtable-probe --help for what there is.\n";
    for (arguments, complaint) in [
        (
            &[][..],
            "a command is missing: one of ping, nat, register, listen, call, id, inspect, doctor, diagnose, encode, decode, watch, papers, demo, bench",
        ),
        (&["dance"], "dance"),
        (&["ping"], "server"),
        (&["ping", "localhost", "--wait", "1"], "--wait"),
        (&["ping", "localhost", "--count"], "--count"),
        (&["ping", "localhost", "--count", "0"], "0 is not allowed, 1 to 1000 is"),
        (&["ping", "localhost", "--count", "many"], "many is not allowed, 1 to 1000 is"),
        (&["ping", "localhost", "--timeout", "61"], "61 is not allowed, 1 to 60 is"),
        (&["register", "localhost", "--stay", "3601"], "3601 is not allowed, 0 to 3600 is"),
        (&["register", "localhost", "--id", "me"], "--id"),
        (&["listen", "localhost", "--count", "0"], "0 is not allowed, 1 to 1000000 is"),
        (&["listen", "localhost", "--follow", "-1"], "-1 is not allowed, 0 to 3600 is"),
        (&["register", "localhost", "--id", KEYED], "this identifier belongs to a key: --id takes a UUID"),
        (&["register", "localhost", "--key", "-"], "a key is kept in a file"),
        (&["call"], "server-or-address"),
        (&["id", "no_host"], "a server is a host name, an IPv4 address, or an IPv6 address in brackets"),
        (&["id", "host:0"], "a port is a number from 1 to 65535"),
        (&["inspect"], "text"),
        (&["call", "localhost", BOB, "--offer", "a", "--offer", "b"], "offer"),
        (&["demo", "now"], "now"),
        (
            &["bench", "localhost", "--kind", "nonsense"],
            "one of register, keepalive, offer, train, mixed, ping",
        ),
        (&["bench", "localhost", "--peers", "1"], "1 is not allowed, 2 to 16000000 is"),
        (
            &["bench", "localhost", "--floor", "192.0.2.1:7"],
            "ADDRESS:PORT or ADDRESS:PORT/PID of this machine is",
        ),
    ] {
        let ended = run(arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(complaint), "{complaint:?} is not in {}", ended.stderr);
        assert!(ended.stderr.ends_with(last), "{}", ended.stderr);
    }
}

#[test]
fn call_without_anybody_to_call_is_named() {
    for (arguments, complaint) in [
        (
            &["localhost"][..],
            "localhost is no peer address, and no peer is named: call SERVER PEER, or call ",
        ),
        (&["127.0.0.1:4000"], "127.0.0.1:4000 is no peer address, and no peer is named: "),
        (&[BOB], " is no peer address, and no peer is named: "),
        (&["localhost", "nobody"], "nobody: an identifier is a UUID "),
    ] {
        let ended = run(&[&["call"], arguments].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(complaint), "{complaint:?} is not in {}", ended.stderr);
    }
}

#[test]
#[cfg(unix)]
fn argument_that_is_not_utf8_is_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let ended = super::program::start(super::PROBE, [OsStr::from_bytes(b"pi\xffng")], b"").wait();
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.starts_with("Argument is not UTF-8: pi\u{fffd}ng\n"), "{}", ended.stderr);
}
