//! `watch` before a terminal: what is on it, what keys do, and that it is left as it was found.

use std::path::Path;

use super::program::Rendezvous;
use super::terminal::{Left, Terminal};
use super::{PROBE, done, run};

/// A server, a socket with its statistics, and a terminal of this size that shows them.
fn watched(place: &Path, columns: u16, rows: u16) -> (Rendezvous, Terminal) {
    let socket = place.join("stats");
    let socket = socket.to_str().unwrap();
    let server = Rendezvous::start(0, &format!("statssocket: {socket}\n"));
    done(run(&["ping", &server.address.to_string(), "--count", "3"]));
    let terminal = Terminal::start(PROBE, &["watch", socket], columns, rows);
    // The second line has come: there are rates.
    terminal.wait_for("the dashboard", |rows| {
        rows.iter().any(|row| row.contains(" the last ") && !row.contains(" the last 0 s"))
    });
    (server, terminal)
}

/// As it was found, but for this text.
fn restored(text: &[&str]) -> Left {
    let text = text.iter().map(|&line| line.to_owned()).collect();
    Left { code: Some(0), same_settings: true, other_screen: false, cursor: true, text }
}

fn has_foot(rows: &[String]) -> bool {
    rows.last().is_some_and(|row| row == "q, Esc, Ctrl-C end   p pause")
}

#[test]
fn dashboard_fills_the_terminal_and_gives_it_back() {
    let place = tempfile::tempdir().unwrap();
    let (server, mut terminal) = watched(place.path(), 100, 30);
    let rows = terminal.wait_for("an answered PING", |rows| {
        let is_answered = rows.iter().any(|row| row.contains(" us ") && row.contains('█'));
        is_answered && has_foot(rows) && rows[0].ends_with(" live")
    });
    assert!(rows[0].starts_with(&format!("{}   up ", server.address)), "{rows:#?}");
    assert_eq!(rows[0].chars().count(), 100, "{rows:#?}");
    for part in [
        "peers 0 ",
        "calls under way 0 ",
        "answered 0 ",
        "out/in 1.000",
        "limits hit* 0",
        "─ traffic ─",
        "─ in, by kind ─",
        "─ out, by kind ─",
        "─ refused, by code ─",
        "─ dropped, by reason ─",
        "─ round trips ─",
        "─ kernel and socket ─",
        "queue full ",
        "PING ",
        "PONG ",
    ] {
        assert!(rows.iter().any(|row| row.contains(part)), "{part:?} is not in {rows:#?}");
    }
    terminal.press("q");
    assert_eq!(terminal.wait(), restored(&[]));
    server.stop();
}

#[test]
fn terminal_is_given_back_whatever_ends_the_dashboard() {
    let place = tempfile::tempdir().unwrap();
    for (number, end) in ["\x1b", "\x03", "TERM", "INT", "HUP"].into_iter().enumerate() {
        let place = place.path().join(number.to_string());
        std::fs::create_dir(&place).unwrap();
        let (_server, mut terminal) = watched(&place, 80, 24);
        match end {
            "TERM" | "INT" | "HUP" => terminal.signal(end),
            keys => terminal.press(keys),
        }
        assert_eq!(terminal.wait(), restored(&[]), "{end:?}");
    }
}

#[test]
fn end_of_the_server_ends_the_dashboard_and_is_told() {
    let place = tempfile::tempdir().unwrap();
    let (server, terminal) = watched(place.path(), 80, 24);
    let address = server.address;
    server.stop();
    assert_eq!(terminal.wait(), restored(&[&format!("{address} has ended")]));
}

#[test]
fn dashboard_follows_the_size_of_the_terminal_and_can_be_held() {
    let place = tempfile::tempdir().unwrap();
    let (_server, mut terminal) = watched(place.path(), 100, 30);
    terminal.resize(80, 24);
    terminal.wait_for("80x24", |rows| rows.len() == 24 && has_foot(rows) && rows[0].chars().count() == 80);
    terminal.resize(132, 43);
    terminal.wait_for("132x43", |rows| rows.len() == 43 && has_foot(rows) && rows[0].chars().count() == 132);
    terminal.press("p");
    let held = terminal.wait_for("that it is held", |rows| rows[0].ends_with(" paused"));
    // Others see a second pass.
    let socket = place.path().join("stats");
    done(run(&["watch", socket.to_str().unwrap(), "--count", "1"]));
    terminal.resize(80, 24);
    let smaller = terminal
        .wait_for("80x24, held", |rows| rows[0].ends_with(" paused") && rows[0].chars().count() == 80);
    let since = |rows: &[String]| rows[0].trim_end_matches("paused").trim_end().to_owned();
    assert_eq!(since(&smaller), since(&held));
    terminal.press("p");
    terminal.wait_for("that it goes on", |rows| rows[0].ends_with(" live"));
    terminal.press("q");
    assert_eq!(terminal.wait(), restored(&[]));
}

#[test]
fn server_that_tells_nothing_more_is_seen_to_be_silent() {
    let place = tempfile::tempdir().unwrap();
    let (server, mut terminal) = watched(place.path(), 80, 24);
    server.program.signal("STOP");
    terminal.wait_for("that it is silent", |rows| rows[0].contains("   no news for "));
    server.program.signal("CONT");
    terminal.wait_for("that it is back", |rows| rows[0].ends_with(" live"));
    terminal.press("q");
    assert_eq!(terminal.wait(), restored(&[]));
}

#[test]
fn server_that_was_started_at_a_terminal_ends_with_it() {
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("config.yaml");
    std::fs::write(&config, "localport: 0\nlocaladdress: '127.0.0.1'\nloglevel: warn\n").unwrap();
    let words = ["--config-file-path", config.to_str().unwrap()];
    let server = Terminal::start(env!("CARGO_BIN_EXE_signallingserver"), &words, 100, 30);
    let rows = server.wait_for("the address", |rows| rows[0].starts_with("listening on 127.0.0.1:"));
    server.signal("HUP");
    assert_eq!(server.wait(), restored(&[&rows[0]]));
}

#[test]
fn server_that_is_to_ignore_that_its_terminal_ends_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("config.yaml");
    std::fs::write(&config, "localport: 0\nlocaladdress: '127.0.0.1'\n").unwrap();
    let ignoring = "trap '' HUP; exec \"$0\" --config-file-path \"$1\"";
    let words = ["-c", ignoring, env!("CARGO_BIN_EXE_signallingserver"), config.to_str().unwrap()];
    let server = Terminal::start("sh", &words, 150, 30);
    server.wait_for("the address", |rows| rows.iter().any(|row| row.contains("listening on 127.0.0.1:")));
    server.signal("HUP");
    server.signal("TERM");
    let left = server.wait();
    assert_eq!(left.code, Some(0), "{left:?}");
    assert!(left.text.iter().any(|row| row.ends_with("ending upon SIGTERM")), "{left:?}");
}

#[test]
fn lines_are_told_on_a_terminal_that_wants_them_or_has_no_keys() {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("stats");
    let socket = socket.to_str().unwrap();
    let _server = Rendezvous::start(0, &format!("statssocket: {socket}\n"));
    let words = ["watch", socket, "--count", "1"];
    for terminal in [
        Terminal::start(PROBE, &[&words[..], &["--plain"]].concat(), 100, 30),
        Terminal::start("env", &[&["TERM=dumb", PROBE], &words[..]].concat(), 100, 30),
        Terminal::start_without_keys(PROBE, &words, 100, 30),
    ] {
        let left = terminal.wait();
        let [line] = &left.text[..] else { panic!("{left:?}") };
        assert!(line.starts_with("0 peers, 0 calls under way; in "), "{line}");
        assert_eq!(left, restored(&[line]));
    }
}
