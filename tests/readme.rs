//! Every command of README.md is run, in order, as a newcomer would run it.
//!
//! They run in a network namespace of their own, so that port 1066 is free and nothing else is reached. Blocks marked
//! `sh background` keep running until the end.

#![expect(clippy::unwrap_used, reason = "a test ends where its surroundings are not as they should be")]

use std::env;
use std::ffi::OsString;
use std::fmt::Write;
use std::process::{Command, Stdio};

const README: &str = include_str!("../README.md");
/// Seconds for all commands together, of which building takes the most.
const PATIENCE: &str = "900";

#[derive(Debug, PartialEq, Eq)]
enum Block {
    Run(String),
    Background(String),
}

/// Returns the README's shell blocks in order.
fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for part in README.split("\n```").skip(1).step_by(2) {
        let (mark, body) = part.split_once('\n').unwrap();
        match mark {
            "sh" => blocks.push(Block::Run(body.to_owned())),
            "sh background" => blocks.push(Block::Background(body.to_owned())),
            "text" | "rust" => {}
            other => panic!("README.md has a block of the unknown kind {other:?}"),
        }
    }
    blocks
}

fn has(tool: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {tool}")])
        .stdout(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// Makes one script of the blocks. What would run this test again is only looked at.
fn script() -> String {
    let mut script = String::from(
        "set -eu\nip link set lo up\nstarted=''\ntrap 'kill $started 2>/dev/null || true' EXIT\n\
         ready() { for _ in $(seq 200); do grep -q listening \"$1\" && return; sleep 0.05; done; cat \"$1\"; exit 1; }\n",
    );
    for (number, block) in blocks().into_iter().enumerate() {
        match block {
            Block::Run(command) if command.contains("nc -u") && !has("nc") => {
                eprintln!("SKIPPED: nc is not installed: {command}");
            }
            // nc waits for its input for a second, in which a loaded machine may not have started a program.
            Block::Run(command) if command.contains("nc -u") => {
                let once = format!("{{\n{command}\n}}");
                writeln!(script, "echo '== block {number}'\n{once} || {once} || {once}").unwrap();
            }
            Block::Run(command) => {
                let command = command.replace("make test", "make --dry-run test");
                writeln!(script, "echo '== block {number}'\n{command}").unwrap();
            }
            Block::Background(command) => {
                let (log, command) = (format!("\"$logs/{number}\""), command.trim());
                writeln!(script, "{command} > {log} 2>&1 &\nstarted=\"$started $!\"\nready {log}").unwrap();
            }
        }
    }
    script.push_str("echo '== all done'\n");
    script
}

/// Where a tool keeps its things: as the environment says, or in the home directory.
fn tools(variable: &str, default: &str) -> OsString {
    env::var_os(variable).unwrap_or_else(|| env::home_dir().unwrap().join(default).into())
}

#[test]
fn every_command_of_the_readme_works() {
    if !has("unshare") || !Command::new("unshare").args(["-rn", "true"]).status().unwrap().success() {
        eprintln!("SKIPPED: network namespaces are not to be had here (unshare -rn)");
        return;
    }
    let (logs, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ran = Command::new("timeout")
        .args([PATIENCE, "unshare", "-rn", "bash", "-c", &script()])
        .env("logs", logs.path())
        // The keys that a newcomer makes are not to lie about; the tools stay where they are.
        .env("CARGO_HOME", tools("CARGO_HOME", ".cargo"))
        .env("RUSTUP_HOME", tools("RUSTUP_HOME", ".rustup"))
        .env("HOME", home.path())
        // The README's builds are those of a user, wherever this test was built.
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && out.contains("== all done"), "{out}\n{err}");
    for expected in [
        "outcome  OK",
        "4 of 4 answered",
        "registered at",
        "answered after",
        "direct path to 127.0.0.1",
        "kind        keyed",
        ", sealed\n",
        "nothing stands between this machine and the server",
        "the two can talk",
        "2 datagrams, 2 frames, 0 not valid",
    ] {
        assert!(out.contains(expected), "{expected:?} is not in\n{out}\n{err}");
    }
    // The address in the answer to the hand-made PING.
    assert!(!has("nc") || out.contains("04 7f 00 00 01"), "{out}\n{err}");
}

/// What the README shows of the probe is what tests have seen it print.
#[test]
fn output_in_the_readme_is_real() {
    let kept: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/silences"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let parts = README.split("\n```").skip(1).step_by(2).filter_map(|part| part.strip_prefix("text\n"));
    let mut shown = 0;
    for part in parts.filter(|part| part.starts_with("$ roundtable-probe")) {
        shown += 1;
        let is_real = |file: &String| {
            let mut lines = file.lines();
            part.lines().filter(|line| *line != "...").all(|line| lines.any(|kept| kept == line))
        };
        assert!(kept.iter().any(is_real), "nothing in tests/silences has printed:\n{part}");
    }
    assert!(shown > 3, "{shown}");
}

#[test]
fn the_readme_names_what_exists() {
    let links = README.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    for link in links.filter(|link| !link.starts_with("http")) {
        assert!(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(link).exists(),
            "README.md links to {link}"
        );
    }
}

#[test]
fn the_readme_lists_every_configuration_key_with_its_default() {
    let shipped = include_str!("../config.yaml");
    let keys = shipped.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
    for (key, default) in keys {
        let default = if default.trim().is_empty() { "unset" } else { default.trim() };
        let default = if key == "loglevel" { format!("`{default}`") } else { default.to_owned() };
        assert!(
            README.contains(&format!("| `{key}` | {default} |")),
            "README.md has no row for {key}: {default}"
        );
    }
}
