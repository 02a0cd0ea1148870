//! `bench`: every kind against the built server, in small. Figures are not looked at, only that all is answered.

use super::program::Rendezvous;
use super::script::{events, names, only};
use super::{assert_told, done, run};

#[test]
fn every_kind_is_answered_in_full() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    for (options, count) in [
        (&["--kind", "register"][..], 100),
        (&["--kind", "register", "--keyed"], 100),
        (&["--kind", "keepalive"], 100),
        (&["--kind", "keepalive", "--rate", "100000"], 100),
        (&["--kind", "keepalive", "--keyed"], 100),
        (&["--kind", "offer"], 100),
        (&["--kind", "offer", "--fresh"], 100),
        (&["--kind", "train"], 104),
        (&["--kind", "mixed"], 100),
        (&["--kind", "ping"], 100),
        (&["--kind", "foreign"], 128),
        (&["--kind", "malformed"], 128),
        (&["--kind", "stale"], 100),
    ] {
        let own = [
            "bench", address, "--json", "--peers", "20", "--count", "100", "--rounds", "2", "--window", "20",
        ];
        let told = events("bench", &done(run(&[&own, options].concat())));
        let rounds: Vec<_> = told.iter().filter(|event| event["event"] == "round").collect();
        assert_eq!(rounds.len(), 2, "{options:?}");
        for round in rounds {
            assert_eq!(
                (&round["sent"], &round["answered"]),
                (&count.into(), &count.into()),
                "{options:?}: {round}"
            );
            assert_eq!((&round["lost"], &round["refused"]), (&0.into(), &0.into()), "{options:?}: {round}");
        }
        assert_eq!(names(&told).last(), Some(&"done"));
    }
    server.stop();
}

#[test]
fn server_behind_a_proxy_is_loaded_behind_its_header() {
    let server = Rendezvous::start(0, "proxyprotocol: spp\ntrustedproxies: 127.0.0.0/8\n");
    let address = &server.address.to_string();
    for kind in ["register", "keepalive", "train", "mixed"] {
        let arguments = [
            "bench",
            address,
            "--json",
            "--proxied",
            "--kind",
            kind,
            "--peers",
            "20",
            "--count",
            "104",
            "--rounds",
            "1",
            "--window",
            "20",
        ];
        let told = events("bench", &done(run(&arguments)));
        let round = only(&told, "round");
        assert_eq!((&round["answered"], &round["lost"]), (&104.into(), &0.into()), "{kind}: {round}");
    }
    server.stop();
}

#[test]
fn floor_is_measured_in_turns_and_processes_are_looked_at() {
    let server = Rendezvous::start(0, "");
    let address = &server.address.to_string();
    let own = std::process::id().to_string();
    // Any server will do as an echo of PINGs: the answer has the same length.
    let arguments =
        ["bench", address, "--kind", "ping", "--count", "50", "--rounds", "2", "--floor", address];
    let text = done(run(&arguments));
    assert_told(&text, &["server ", "floor 1", "floor 1", "server ", "server: ", "floor 1: "]);
    if cfg!(target_os = "linux") {
        let told = events("bench", &done(run(&[&arguments[..], &["--server-pid", &own, "--json"]].concat())));
        assert!(only(&told, "done")["resident"].as_u64().unwrap() > 0);
    }
    server.stop();
}
