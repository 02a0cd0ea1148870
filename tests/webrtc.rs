//! Voice calls by real WebRTC stacks, each behind its own NAT: signalled over this protocol, media on the socket of the signalling.
//! And what such stacks, a browser among them, learn of their own address from the server by STUN.
//!
//! `make webrtc` builds what they run (`examples/webrtc`, by str0m, and `tests/webrtc`, by aiortc) and says where it is.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "support/lab.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod lab;
#[path = "support/nat/mod.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod nat;
#[path = "support/program.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod program;

use lab::inside_with;
use nat::plan::{Access, Input};
use nat::{Lab, PORT, PROGRAMS, Plan, SERVER_V4, SERVER_V6};
use program::{Ended, Running};

const SERVER: &str = env!("CARGO_BIN_EXE_signallingserver");
const AIORTC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/webrtc/aiortc_peer.py");
/// Packets that each side of a call sends, and how many of them are to arrive.
const SENT: u32 = 500;
const LEAST: u32 = 475;

/// Runs the body with the built example, and with a Python that has aiortc.
fn with_programs(test: &str, body: impl FnOnce(&str, &str)) {
    let programs = ["WEBRTC_CALL", "AIORTC_PYTHON"].map(|name| std::env::var(name).unwrap_or_default());
    let [call, python] = &programs;
    if call.is_empty() || python.is_empty() {
        eprintln!(
            "SKIPPED {test}: WEBRTC_CALL or AIORTC_PYTHON is not set; make webrtc builds them and runs this"
        );
        return;
    }
    inside_with(test, &PROGRAMS, || body(call, python));
}

/// Lets alice call whom `bob` has said to be, and asserts that each has heard the other.
fn calls(lab: &Lab, call: &str, mut bob: Running) -> [Ended; 2] {
    let line = bob.line_with("identifier ");
    let (_, identifier) = line.split_once("identifier ").unwrap();
    let [server, _] = lab.servers();
    let alice = lab.start("alice", [call, "call", &server, identifier]);
    let ended = [alice.wait(), bob.wait()];
    for side in &ended {
        println!("{}", side.stdout);
        assert_eq!((side.code, side.stderr.as_str()), (Some(0), ""), "{side:?}");
        let line = side.stdout.lines().find(|line| line.starts_with("sent ")).unwrap();
        let numbers: Vec<u32> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [sent, received, _] = numbers[..] else { panic!("{line}") };
        assert!(sent >= SENT && received >= LEAST, "{line}");
    }
    ended
}

fn rust_with_rust(test: &str, alice: Access, bob: Access) {
    with_programs(test, |call, _| {
        let lab = Lab::build(Plan::new(alice, bob, Input::Drop));
        let directory = tempfile::tempdir().unwrap();
        let server = lab.serve(SERVER.as_ref(), directory.path(), "");
        let [_, address] = lab.servers();
        let bob = lab.start("bob", [call, "listen", &address]);
        let ended = calls(&lab, call, bob);
        for side in ended {
            assert!(side.stdout.contains("direct path to "), "{}", side.stdout);
        }
        drop(server);
    });
}

#[test]
fn str0m_speaks_with_str0m_behind_cones() {
    rust_with_rust("str0m_speaks_with_str0m_behind_cones", Access::Cone, Access::Cone);
}

#[test]
fn str0m_speaks_with_str0m_behind_a_carrier() {
    rust_with_rust("str0m_speaks_with_str0m_behind_a_carrier", Access::Carrier, Access::Cone);
}

#[test]
fn str0m_speaks_with_str0m_over_ipv6() {
    rust_with_rust("str0m_speaks_with_str0m_over_ipv6", Access::Ipv6, Access::Ipv6);
}

/// The media of aiortc has a socket of its own, whose public address nobody knows: so alice's NAT takes what comes.
#[test]
fn str0m_speaks_with_aiortc() {
    with_programs("str0m_speaks_with_aiortc", |call, python| {
        let lab = Lab::build(Plan::new(Access::FullCone, Access::Cone, Input::Drop));
        let directory = tempfile::tempdir().unwrap();
        let server = lab.serve(SERVER.as_ref(), directory.path(), "");
        let bob = lab.start("bob", [python, AIORTC, SERVER_V4[0], &PORT.to_string()]);
        calls(&lab, call, bob);
        drop(server);
    });
}

/// Where alice's NATs let her appear, by family.
const PUBLIC: [&str; 2] = ["198.51.100.1", "2001:db8:a::1"];

/// Lets a program on alice's host ask the server over both families, each behind a NAT, and asserts the lines that it
/// prints.
fn asks(test: &str, programs: &[(&str, &str)], words: Vec<String>, expected: &[String]) {
    let programs = [&PROGRAMS[..], programs].concat();
    inside_with(test, &programs, || {
        let lab = Lab::build(Plan::new(Access::Dual, Access::Public, Input::Drop));
        // NATs of IPv6 are rare, but without one there is nothing to learn.
        let rules = "table ip6 translation { chain outward {
                       type nat hook postrouting priority srcnat
                       oifname out masquerade
                     }
                     }";
        lab::on("alice-nat", &format!("nft -f - <<'RULES'\n{rules}\nRULES"));
        let directory = tempfile::tempdir().unwrap();
        let _server = lab.serve(SERVER.as_ref(), directory.path(), "");
        let ended = lab.start("alice", &words).wait();
        println!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.code, Some(0));
        let mut lines: Vec<&str> = ended.stdout.lines().collect();
        // Their ports are the system's choice.
        for line in &mut lines {
            *line =
                line.rsplit_once(' ').filter(|_| line.starts_with("candidate ")).map_or(*line, |two| two.0);
        }
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines, *expected);
    });
}

/// Its connections ask over IPv4 only; its STUN is asked for both.
#[test]
fn aiortc_learns_its_public_address() {
    let test = "aiortc_learns_its_public_address";
    let Ok(python) = std::env::var("AIORTC_PYTHON") else {
        eprintln!("SKIPPED {test}: AIORTC_PYTHON is not set; make webrtc makes it and runs this");
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/webrtc/aiortc_candidates.py");
    let servers = [SERVER_V4[0], SERVER_V6[0]].map(|host| [host.to_owned(), PORT.to_string()]);
    let words = [python, script.to_owned()].into_iter().chain(servers.into_iter().flatten()).collect();
    let expected = [("candidate", PUBLIC[0]), ("mapped", PUBLIC[0]), ("mapped", PUBLIC[1])];
    asks(test, &[], words, &expected.map(|(what, address)| format!("{what} {address}")));
}

/// Its STUN asks with a FINGERPRINT, and wants one.
#[test]
fn webrtc_rs_learns_its_public_address() {
    let test = "webrtc_rs_learns_its_public_address";
    let Ok(stun) = std::env::var("WEBRTC_STUN") else {
        eprintln!("SKIPPED {test}: WEBRTC_STUN is not set; make webrtc builds it and runs this");
        return;
    };
    let servers = [format!("{}:{PORT}", SERVER_V4[0]), format!("[{}]:{PORT}", SERVER_V6[0])];
    let words = std::iter::once(stun).chain(servers).collect();
    asks(test, &[], words, &PUBLIC.map(|address| format!("mapped {address}")));
}

#[test]
fn chromium_learns_its_public_address() {
    let test = "chromium_learns_its_public_address";
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/webrtc/chromium_candidates.py");
    let urls = [format!("stun:{}:{PORT}", SERVER_V4[0]), format!("stun:[{}]:{PORT}", SERVER_V6[0])];
    let words = ["python3", script, "chromium"].map(str::to_owned).into_iter().chain(urls).collect();
    let programs = [("python3", "--version"), ("chromium", "--version")];
    asks(test, &programs, words, &PUBLIC.map(|address| format!("candidate {address}")));
}
