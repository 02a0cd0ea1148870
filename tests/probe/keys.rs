//! Keys, and what is handed out: `--key`, `id`, `inspect`.

use std::fs;

use super::program::Rendezvous;
use super::script::{events, names, only};
use super::{ALICE, BOB, SMALL, assert_told, done, run};

/// A peer address without its check.
const HANDED_OUT: &str =
    "roundtable:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a@signal.example.org";

/// Key files that are still to be made.
pub(crate) struct Keys(tempfile::TempDir);

impl Keys {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// The identifier of a key, which is made if need be.
    pub(crate) fn identifier(&self, name: &str) -> String {
        let told = events("id", &done(run(&["id", "--key", &self.path(name), "--json"])));
        assert_eq!(only(&told, "identity")["keyed"], true);
        only(&told, "identity")["id"].as_str().unwrap().to_owned()
    }
}

#[test]
fn id_shows_the_identifier_and_last_of_all_what_to_hand_out() {
    let keys = Keys::new();
    let servers = ["Signal.Example.ORG:1066", "2001:db8::1", "[2001:db8::2]:7000"];
    let text = done(run(&[&["id", "--key", &keys.path("mine")][..], &servers].concat()));
    let mine = keys.identifier("mine");
    let shown = "signal.example.org,[2001:db8::1],[2001:db8::2]:7000";
    let identifier = format!("identifier  {mine}");
    let hand_out = format!("roundtable:{mine}@{shown}#");
    assert_told(
        &text,
        &[&identifier, "kind        keyed: ", "servers     signal.example.org, [2001", &hand_out],
    );
    let handed_out = text.lines().last().unwrap();
    assert!(handed_out.starts_with(&hand_out), "{text}");

    for text in [handed_out, &format!(" {handed_out}\r\n")] {
        let told = events("inspect", &done(run(&["inspect", text, "--json"])));
        assert_eq!(names(&told), ["identity", "address"]);
        assert_eq!((&told[0]["id"], &told[0]["keyed"]), (&mine.as_str().into(), &true.into()));
        assert_eq!(told[1]["address"], handed_out);
        assert_eq!(told[1]["servers"][0], "signal.example.org");
    }
    let text = done(run(&["inspect", BOB]));
    assert_told(&text, &[&format!("identifier  {BOB}"), "kind        plain: "]);
    // Nothing is given: it is another one each time.
    let [one, other] = [(); 2].map(|()| done(run(&["id"])));
    assert!(one != other && one.contains("kind        plain: "), "{one}{other}");
}

#[test]
fn damage_to_what_was_handed_out_is_named() {
    let whole = events("id", &done(run(&["id", "--id", BOB, "signal.example.org", "--json"])));
    let whole = only(&whole, "address")["address"].as_str().unwrap();
    let (body, check) = whole.split_once('#').unwrap();
    for (text, name) in [
        (&whole.replace("signal", "singal"), "check_mismatch"),
        (&body.to_owned(), "check_missing"),
        (&whole[..whole.len() - 1].to_owned(), "bad_check"),
        (&whole[1..].to_owned(), "bad_scheme"),
        (&whole.replace('@', " @"), "bad_character"),
        (&format!("{body}{}#{check}", "x".repeat(1024)), "too_long"),
        (&format!("{HANDED_OUT}:1066#{check}"), "check_mismatch"),
    ] {
        for command in [&["inspect", text][..], &["call", text], &["call", "127.0.0.1:9", text]] {
            let ended = run(command);
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{command:?} {ended:?}");
            assert!(ended.stderr.starts_with("peer address: "), "{command:?}: {}", ended.stderr);
            assert!(ended.stderr.ends_with(&format!(" ({name})\n")), "{command:?}: {}", ended.stderr);
        }
        let told = events("inspect", &run(&["inspect", text, "--json"]).stdout);
        assert_eq!(only(&told, "failed")["kind"], "peer_address");
    }
    let ended = run(&["inspect", &BOB[1..]]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.starts_with(&format!("{}: an identifier is ", &BOB[1..])), "{}", ended.stderr);
    let ended = run(&["id", "h.example", "H.example:1066"]);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(2), "peer address: a server is named twice (duplicate_server)\n")
    );
}

#[test]
fn server_that_takes_no_plain_identifiers_takes_a_key() {
    let server = Rendezvous::start(0, "plainids: false\n");
    let keys = Keys::new();
    let told = run(&["register", &server.address.to_string(), "--key", &keys.path("new"), "--json"]);
    let told = events("register", &done(told));
    assert_eq!(names(&told), ["key_made", "registered", "unregistered"]);
    assert_eq!(only(&told, "key_made")["file"], keys.path("new"));
    assert_eq!(only(&told, "registered")["id"], keys.identifier("new"));
    server.stop();
}

#[test]
fn one_identity_is_enough() {
    let keys = Keys::new();
    let key = keys.path("key");
    for mut command in with_key(&key) {
        command.extend(["--id", ALICE]);
        let ended = run(&command);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        assert!(ended.stderr.starts_with("--id and --key exclude each other"), "{}", ended.stderr);
        assert!(!fs::exists(&key).unwrap(), "a key was made for nothing");
    }
}

/// Every command that uses a key, with a server that nobody needs to ask.
fn with_key(key: &str) -> [Vec<&str>; 4] {
    [
        vec!["id", "--key", key],
        vec!["register", "127.0.0.1:9", "--key", key],
        vec!["listen", "127.0.0.1:9", "--key", key],
        vec!["call", "127.0.0.1:9", BOB, "--offer", SMALL, "--key", key],
    ]
}

#[test]
fn key_file_that_is_damaged_is_refused_and_left_alone() {
    let keys = Keys::new();
    let key = &keys.path("key");
    keys.identifier("key");
    let good = fs::read_to_string(key).unwrap();
    for text in ["", &good[..50], &good.replace("secret-1", "secret-9")] {
        fs::write(key, text).unwrap();
        for command in with_key(key) {
            let ended = run(&command);
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{command:?} {ended:?}");
            assert!(ended.stderr.starts_with(&format!("{key}: not a secret file: ")), "{}", ended.stderr);
        }
        assert_eq!(fs::read_to_string(key).unwrap(), text);
    }
    let told = events("id", &run(&["id", "--key", key, "--json"]).stdout);
    assert_eq!(only(&told, "failed")["kind"], "key_file");
    let nowhere = keys.path("no/such/key");
    let ended = run(&["id", "--key", &nowhere]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with(&format!("{nowhere}: ")), "{}", ended.stderr);
}

#[test]
#[cfg(unix)]
fn key_file_is_made_for_its_owner_and_refused_when_others_can_read_it() {
    use std::os::unix::fs::PermissionsExt;

    let keys = Keys::new();
    let key = &keys.path("key");
    let identifier = keys.identifier("key");
    assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(keys.identifier("key"), identifier);
    for mode in [0o644, 0o640, 0o606] {
        fs::set_permissions(key, fs::Permissions::from_mode(mode)).unwrap();
        for command in with_key(key) {
            let ended = run(&command);
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{command:?} {ended:?}");
            let complaint =
                format!("{key}: others may read or write this secret (mode {mode:03o}): chmod 600");
            assert!(ended.stderr.starts_with(&complaint), "{}", ended.stderr);
        }
    }
    fs::set_permissions(key, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(keys.identifier("key"), identifier);
}
