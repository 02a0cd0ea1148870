//! What makes `listen` and `call` good for every day: contacts, and a program that answers.

use std::process::{Command, Stdio};

use super::program::Rendezvous;
use super::{ALICE, BOB, LARGE, PROBE, SMALL, done, listen, run};

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
fn program_declines_by_its_exit_code_its_silence_or_its_length_and_the_listener_says_which() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    for (command, why) in [
        ("cat; exit 3", "it declines: the program ended with exit status: 3"),
        ("cat > /dev/null", "it declines: the program wrote nothing"),
        ("no-such-program", "it declines: the program ended with exit status: 127"),
        ("yes", "it declines: the program wrote more than 65536 bytes"),
    ] {
        let listening = listen(&[address, "--id", BOB, "--count", "1", "--exec", command]);
        let ended = run(&["call", address, BOB, "--offer", SMALL]);
        assert_eq!(ended.code, Some(6), "{command}: {ended:?}");
        let ended = listening.wait();
        assert_eq!(ended.code, Some(0));
        assert!(ended.stdout.contains(why), "{command}: {ended:?}");
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
    let hint = format!("or call NAME, where {} has a line NAME ADDRESS\n", contacts.display());
    assert!(
        text.starts_with("carol is no peer address, and no peer is named") && text.ends_with(&hint),
        "{text}"
    );
    done(listening.wait());
    server.stop();
}

#[test]
fn diagnose_offers_no_more_than_the_server_relays() {
    let server = Rendezvous::start(0, "maxblob: 1024\n");
    let address = &server.address.to_string();
    let place = tempfile::tempdir().unwrap();
    let key = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let plain = listen(&[address, "--id", BOB, "--count", "1", "--follow", "1"]);
    let text = done(run(&["diagnose", "--server", address, "--peer", BOB]));
    assert!(text.contains("acknowledged all of an offer of 1001 bytes, not sealed"), "{text}");
    done(plain.wait());

    let shown = done(run(&["id", "--key", &key("bob"), address]));
    let keyed = listen(&[address, "--key", &key("bob"), "--count", "1", "--follow", "1"]);
    let text = done(run(&["diagnose", "--peer", shown.lines().last().unwrap(), "--key", &key("alice")]));
    assert!(text.contains("acknowledged all of an offer of 845 bytes, sealed"), "{text}");
    done(keyed.wait());
    server.stop();
}

#[test]
fn listener_says_the_name_of_a_contact_that_has_a_key() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let place = tempfile::tempdir().unwrap();
    let key = place.path().join("alice.key");
    let (contacts, key) = (place.path().join("contacts"), key.to_str().unwrap());
    let alice = done(run(&["id", "--key", key, address]));
    let unkeyed = done(run(&["id", "--id", ALICE, address]));
    let [alice, unkeyed] = [&alice, &unkeyed].map(|shown| shown.lines().last().unwrap());
    std::fs::write(&contacts, format!("alice {alice}\nanybody {unkeyed}\n")).unwrap();
    let words = ["listen", address, "--id", BOB, "--count", "2", "--follow", "0"];
    let listening = Command::new(PROBE)
        .args(words)
        .env("ROUNDTABLE_CONTACTS", &contacts)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let call = |own: &[&str]| {
        let words = [&["call", address, BOB, "--offer", SMALL, "--follow", "0"], own].concat();
        done(run(&words));
    };
    call(&["--key", key]);
    call(&["--id", ALICE]);
    let heard = String::from_utf8(listening.wait_with_output().unwrap().stdout).unwrap();
    let of =
        |who: &str| heard.lines().find(|line| line.contains(" bytes from ") && line.contains(who)).unwrap();
    assert!(of(" (alice), seen at ").contains("1033 bytes from "), "{heard}");
    assert!(of(ALICE).contains(&format!("{ALICE}, seen at ")), "who has no key may be anybody: {heard}");
    server.stop();
}
