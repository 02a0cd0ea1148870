//! What makes `listen` and `call` good for every day: contacts, and a program that answers.

use std::process::Command;

use super::program::Rendezvous;
use super::{BOB, LARGE, PROBE, SMALL, done, listen, run};

#[test]
fn program_answers_with_its_output() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let place = tempfile::tempdir().unwrap();
    let saved = place.path().join("answer");
    // More than a pipe holds, both ways.
    let command = "test -n \"$ROUNDTABLE_FROM\" && test -n \"$ROUNDTABLE_OBSERVED\" && tr a-z A-Z";
    let listening = listen(&[address, "--id", BOB, "--count", "1", "--follow", "0", "--exec", command]);
    let words = ["call", address, BOB, "--offer", LARGE, "--follow", "0", "--save", saved.to_str().unwrap()];
    done(run(&words));
    let expected = std::fs::read_to_string(LARGE).unwrap().to_ascii_uppercase();
    assert!(std::fs::read_to_string(saved).unwrap() == expected);
    done(listening.wait());
    server.stop();
}

#[test]
fn program_declines_by_its_exit_code_or_its_silence() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    for command in ["cat; exit 3", "cat > /dev/null", "no-such-program"] {
        let listening = listen(&[address, "--id", BOB, "--count", "1", "--exec", command]);
        let ended = run(&["call", address, BOB, "--offer", SMALL]);
        assert_eq!(ended.code, Some(6), "{command}: {ended:?}");
        assert_eq!(listening.wait().code, Some(0));
    }
    server.stop();
}

#[test]
fn contact_is_called_by_its_name() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let place = tempfile::tempdir().unwrap();
    let contacts = place.path().join("contacts");
    let shown = done(run(&["id", "--id", BOB, address]));
    std::fs::write(&contacts, format!("# friends\nbob {}\n", shown.lines().last().unwrap())).unwrap();
    let probe = |words: &[&str]| {
        let mut command = Command::new(PROBE);
        let ran = command.args(words).env("ROUNDTABLE_CONTACTS", &contacts).output().unwrap();
        let text = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        (ran.status.code(), text)
    };
    let listening = listen(&[address, "--id", BOB, "--count", "3", "--follow", "1"]);
    for words in [
        &["call", "bob", "--offer", SMALL, "--follow", "0"][..],
        &["call", address, "bob", "--offer", SMALL, "--follow", "0"],
        &["diagnose", "--peer", "bob"],
    ] {
        let (code, text) = probe(words);
        assert_eq!(code, Some(0), "{words:?}: {text}");
    }
    let (code, text) = probe(&["call", "carol", "--offer", SMALL]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("carol is no peer address, and no peer is named"), "{text}");
    done(listening.wait());
    server.stop();
}
