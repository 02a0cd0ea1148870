//! The lab is what it says it is: each NAT behaves as it is called, and the core delays, loses and doubles.

use std::time::{Duration, Instant};

use crate::lab::{inside_with, on};
use crate::nat::frame::{self, Traffic};
use crate::nat::plan::{Access, Input};
use crate::nat::{Lab, PROGRAMS, Plan, SERVER_V4, SERVER_V6, Site};

const BEHAVIOUR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nat_lab/behaviour.py");

/// Asserts mapping and filtering, in the terms of RFC 4787, of both hosts' ways out.
fn behave(test: &str, (alice, of_alice): (Access, &str), (bob, of_bob): (Access, &str)) {
    let programs = [PROGRAMS[0], PROGRAMS[1], ("python3", "--version")];
    inside_with(&format!("truth::{test}"), &programs, || {
        let lab = Lab::build(Plan::new(alice, bob, Input::Drop));
        for (access, host, expected) in [(alice, "alice", of_alice), (bob, "bob", of_bob)] {
            let [one, other] = if access.has_v4() { SERVER_V4 } else { SERVER_V6 };
            let mut server = lab.start("server", ["python3", BEHAVIOUR, "serve", one, other]);
            server.line_with("serving");
            let found = on(host, &format!("python3 {BEHAVIOUR} ask {one} {other}"));
            assert_eq!(found.trim(), expected, "{access}: mapping, filtering");
        }
    });
}

#[test]
fn cones_keep_the_port_and_filter_as_they_are_called() {
    behave(
        "cones_keep_the_port_and_filter_as_they_are_called",
        (Access::Cone, "independent port"),
        (Access::FullCone, "independent independent"),
    );
}

#[test]
fn restricted_cone_filters_by_address_and_symmetric_maps_by_port() {
    behave(
        "restricted_cone_filters_by_address_and_symmetric_maps_by_port",
        (Access::Restricted, "independent address"),
        (Access::Symmetric, "port port"),
    );
}

#[test]
fn carriers_nat_is_a_cone_behind_a_cone_and_a_public_host_has_none() {
    behave(
        "carriers_nat_is_a_cone_behind_a_cone_and_a_public_host_has_none",
        (Access::Carrier, "independent port"),
        (Access::Public, "independent independent"),
    );
}

#[test]
fn firewall_of_ipv6_filters_by_port_and_a_silent_network_lets_nothing_pass() {
    behave(
        "firewall_of_ipv6_filters_by_port_and_a_silent_network_lets_nothing_pass",
        (Access::Ipv6, "independent port"),
        (Access::Silent, "silent silent"),
    );
}

#[test]
fn mapping_ends_when_it_is_flushed_or_its_time_is_over() {
    inside_with("truth::mapping_ends_when_it_is_flushed_or_its_time_is_over", &PROGRAMS, || {
        let lab = Lab::build(Plan::new(Access::Cone, Access::Symmetric, Input::Drop));
        let directory = tempfile::tempdir().unwrap();
        let _server = lab.serve(crate::trial::SERVER.as_ref(), directory.path(), "");
        let mappings = || on("alice-nat", "conntrack -L -p udp 2>/dev/null").lines().count();
        let ping = || on("alice", &format!("{} ping 192.0.2.1 --count 1", crate::trial::PROBE));
        ping();
        assert_eq!(mappings(), 1);
        lab.flush("alice");
        assert_eq!(mappings(), 0);
        lab.shorten("alice", 1);
        ping();
        let start = Instant::now();
        while mappings() > 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "the mapping lives on");
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}

#[test]
fn core_delays_loses_and_doubles() {
    inside_with("truth::core_delays_loses_and_doubles", &PROGRAMS, || {
        let lab = Lab::build(Plan::new(Access::Public, Access::Public, Input::Drop));
        let directory = tempfile::tempdir().unwrap();
        let _server = lab.serve(crate::trial::SERVER.as_ref(), directory.path(), "");
        let ping =
            || on("alice", &format!("{} --json ping 192.0.2.1 --count 3 --timeout 1", crate::trial::PROBE));
        let trips: Vec<_> =
            ping().lines().filter_map(|line| crate::trial::json(line)["round_trip_ms"].as_f64()).collect();
        assert!(trips.len() == 3 && trips.iter().all(|trip| *trip >= 40.0), "{trips:?}");

        let heard = || {
            on("server", "cat /proc/net/snmp")
                .lines()
                .filter(|line| line.starts_with("Udp:"))
                .nth(1)
                .map_or(0, |line| line.split(' ').nth(1).and_then(|count| count.parse::<u32>().ok()).unwrap())
        };
        lab.change(Site::Alice, Site::Server, |way| way.duplication = 1.0);
        let before = heard();
        ping();
        assert_eq!(heard() - before, 6);

        lab.change(Site::Alice, Site::Server, |way| way.loss = 1.0);
        let before = heard();
        on("alice", &format!("{} ping 192.0.2.1 --count 5 --timeout 1 || true", crate::trial::PROBE));
        assert_eq!(heard() - before, 0);
    });
}

/// A UDP datagram from 192.0.2.1:1 to 192.0.2.2:2 with the payload "x", and its checksum as RFC 768 makes it.
#[test]
fn frames_are_told_apart_and_their_checksum_is_made() {
    let mut frame = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 0, 0x08, 0x00];
    frame.extend([0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    frame.extend([0, 1, 0, 2, 0, 9, 0xab, 0xcd, b'x']);
    assert_eq!(frame::traffic(&frame), Some(Traffic::Datagram));
    assert_eq!(frame::port_of(&frame), Some(1));
    frame::finish_checksum(&mut frame);
    // c000 + 0201 + c000 + 0202 + 0011 + 0009 + 0001 + 0002 + 0009 + 7800 = 1fc29, folded fc2a, inverted 03d5.
    assert_eq!(frame[40..42], [0x03, 0xd5]);

    let mut arp = vec![0xff; 6];
    arp.extend([0x02, 0, 0, 0, 0, 1, 0x08, 0x06, 0, 1]);
    assert_eq!(frame::traffic(&arp), Some(Traffic::Neighbours));
    assert_eq!(frame::port_of(&arp), None);
    assert_eq!(frame::traffic(&arp[..12]), None);
}
