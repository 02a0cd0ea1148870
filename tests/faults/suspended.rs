//! The process stands still.

use std::time::Duration;

use crate::lab::inside;
use crate::rig::{Peer, Rig};

/// Seconds that the server stands still; `FAULTS_SUSPENDED=70` is longer than a silent peer is remembered.
fn standstill() -> Duration {
    let seconds = std::env::var("FAULTS_SUSPENDED").map_or(1, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

#[test]
fn peers_whose_keepalives_waited_are_not_forgotten() {
    inside("suspended::peers_whose_keepalives_waited_are_not_forgotten", || {
        let rig = Rig::start("");
        let peers = Peer::of_both_families();
        rig.program.signal("STOP");
        peers.iter().for_each(Peer::keep_alive);
        // Time that passes for the process, not a wait for anything.
        std::thread::sleep(standstill());
        rig.program.signal("CONT");
        peers.iter().for_each(Peer::is_served);
        let ended = rig.stop();
        assert!(!ended.stdout.contains("Forgotten"), "{}", ended.stdout);
        assert_eq!(ended.stderr, "");
    });
}
