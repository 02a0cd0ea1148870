//! What was printed, held against what was printed before.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::program::Ended;

/// Ports that the tests choose. All others are drawn, by the system or by a NAT, which may draw any from 1024 on.
const CHOSEN: [u16; 2] = [1066, 1067];

/// Asserts that the command has printed what is kept under this name, and that it ended with this code.
#[track_caller]
pub(crate) fn assert_printed(name: &str, command: &str, ended: &Ended, code: i32) {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(code), ""), "{}", ended.stdout);
    let printed = format!("$ roundtable-probe {command}\n{}", settled(&ended.stdout));
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/silences/{name}.txt"));
    if std::env::var_os("GOLDEN").is_some() {
        std::fs::write(&path, &printed).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(printed, kept, "{}; printed:\n{}", path.display(), ended.stdout);
}

/// Leaves out what differs from run to run: times, drawn ports and identifiers, dates, counts of what was repeated.
fn settled(text: &str) -> String {
    text.lines().map(|line| settled_line(line) + "\n").collect()
}

fn settled_line(line: &str) -> String {
    let words: Vec<_> = line.split(' ').collect();
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    let settled = (0..words.len()).map(|at| {
        let waits = word(at.wrapping_sub(1)) == "in" && word(at + 1).starts_with("s.");
        if waits { "#".to_owned() } else { settled_word(word(at), word(at + 1)) }
    });
    settled.collect::<Vec<_>>().join(" ")
}

fn settled_word(word: &str, next: &str) -> String {
    let bare = word.trim_end_matches([',', ';', ':', '.']);
    let tail = &word[bare.len()..];
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_uuid = bare.len() == 36 && bare.split('-').all(is_hex) && bare != crate::BOB;
    let put = if bare.parse::<f64>().is_ok() && (next.starts_with("ms") || next == "datagrams") {
        "#".to_owned()
    } else if is_uuid {
        "IDENTIFIER".to_owned()
    } else if bare.len() == 64 && is_hex(bare) {
        "KEY".to_owned()
    } else if bare.starts_with("20") && bare.ends_with('Z') && bare.contains('T') {
        "DATE".to_owned()
    } else if let Ok(address) = bare.parse::<SocketAddr>()
        && !CHOSEN.contains(&address.port())
    {
        bare.replace(&format!(":{}", address.port()), ":PORT")
    } else {
        bare.to_owned()
    };
    put + tail
}
