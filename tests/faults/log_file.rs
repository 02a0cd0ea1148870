//! The disk under the log file fills up, and log rotation takes the file away.

use std::fs;
use std::path::Path;

use crate::lab::{inside, run};
use crate::rig::{Peer, Rig, SERVER};

/// Joins peers until the log file has a line that it had not: each joining is a line at debug.
fn says_more(path: &Path, numbers: &mut std::ops::Range<u8>) -> String {
    for number in numbers {
        Peer::join(SERVER[0].parse().unwrap(), number);
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.ends_with('\n') {
            return text;
        }
    }
    panic!("nothing in {}", path.display());
}

#[test]
fn full_disk_loses_lines_and_nothing_else_until_there_is_room() {
    inside("log_file::full_disk_loses_lines_and_nothing_else_until_there_is_room", || {
        let place = tempfile::tempdir().unwrap();
        let disk = place.path().to_str().unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=8k", "none", disk]);
        let ballast = place.path().join("ballast");
        fs::write(&ballast, [0; 4096]).unwrap();
        let rig = Rig::start(&format!("logfile: {disk}/out.log\n"));
        let peers = Peer::of_both_families();
        // Far more than a page.
        (3..100).for_each(|number| drop(Peer::join(peers[0].server, number)));
        fs::remove_file(&ballast).unwrap();
        (100..110).for_each(|number| drop(Peer::join(peers[0].server, number)));
        peers.iter().for_each(Peer::is_served);
        let ended = rig.stop();
        let lines: Vec<&str> = ended.stderr.lines().collect();
        assert!(lines[0].starts_with("log lines are lost until they can be written again: "), "{lines:?}");
        assert!(lines[1].starts_with("log lines are written again, "), "{lines:?}");
    });
}

#[test]
fn log_file_that_was_moved_is_begun_anew_and_no_line_is_lost() {
    inside("log_file::log_file_that_was_moved_is_begun_anew_and_no_line_is_lost", || {
        let place = tempfile::tempdir().unwrap();
        let (log, old) = (place.path().join("out.log"), place.path().join("out.log.1"));
        let rig = Rig::start(&format!("logfile: {}\n", log.display()));
        let mut numbers = 1..200;
        says_more(&log, &mut numbers);
        fs::rename(&log, &old).unwrap();
        let after = says_more(&log, &mut numbers);
        assert_eq!(rig.stop().stderr, "");
        let all = fs::read_to_string(&old).unwrap() + &fs::read_to_string(&log).unwrap();
        let whole = all.lines().all(|line| line.starts_with("{\"time\"") && line.ends_with('}'));
        assert!(whole && !after.contains("listening on"), "{all}");
        // As many as have joined.
        let joined = usize::from(numbers.start - 1);
        assert_eq!(all.lines().filter(|line| line.contains("\"Registered {")).count(), joined, "{all}");
    });
}

#[test]
fn log_file_that_was_emptied_goes_on_at_its_start() {
    inside("log_file::log_file_that_was_emptied_goes_on_at_its_start", || {
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("out.log");
        let rig = Rig::start(&format!("logfile: {}\n", log.display()));
        let mut numbers = 1..200;
        says_more(&log, &mut numbers);
        let copy = place.path().join("copy");
        fs::copy(&log, &copy).unwrap();
        fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(0).unwrap();
        let after = says_more(&log, &mut numbers);
        assert!(after.starts_with("{\"time\"") && !after.contains('\0'), "{after:?}");
        assert_eq!(rig.stop().stderr, "");
    });
}
