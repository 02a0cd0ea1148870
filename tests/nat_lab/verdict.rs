//! What the hosts find out about their NATs before they call, and whether the forecast is right: verdict beside outcome, for
//! every pair of access networks. And what coturn's client finds out by the same server.

use roundtable_signalling::proto::nat::{Forecast, Verdict, Why};
use serde_json::Value;

use crate::lab::{inside_with, on};
use crate::nat::plan::{Access, Input};
use crate::nat::{Lab, PORT, PROGRAMS, Plan, SERVER_V4, SERVER_V6};
use crate::program::Running;
use crate::trial::{self, PROBE, SERVER};

/// The server's second port.
const ALTPORT: u16 = 1067;
/// Another server, on a network that is neither the server's nor a host's: at the provider of the unused access.
const SECOND: [&str; 2] = ["198.51.100.254", "2001:db8:e::fe"];
const SECOND_HOST: &str = "elsewhere-isp";
/// Calls of a pair.
const CALLS: usize = 2;

/// Lets both servers run, the first with a second port and a second address.
fn serve(lab: &Lab, directory: &std::path::Path, second_address: &str) -> [Running; 2] {
    let further = format!("altport: {ALTPORT}\naltaddress: '{second_address}'\n");
    let first = lab.serve(SERVER.as_ref(), directory, &further);
    let file = directory.join("second.yaml");
    std::fs::write(&file, format!("localport: {PORT}\n")).unwrap();
    let mut second = lab.start(SECOND_HOST, [SERVER, "--config-file-path", file.to_str().unwrap()]);
    second.line_with("listening on ");
    [first, second]
}

/// Starts the examination of a host.
fn examine(lab: &Lab, host: &str, access: Access) -> Running {
    let server = Lab::server_for(access);
    let second =
        if access.has_v4() { format!("{}:{PORT}", SECOND[0]) } else { format!("[{}]:{PORT}", SECOND[1]) };
    lab.start(host, [PROBE, "--json", "nat", &server, "--second", &second])
}

fn verdict(examined: Running) -> (Verdict, Value) {
    let ended = examined.wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    let told = trial::json(ended.stdout.lines().next().unwrap());
    (told["verdict"].as_str().unwrap().parse().unwrap(), told)
}

/// Asserts what alice and bob find out: mapping, filtering, whether there is a NAT, its hairpin, and the second server.
fn behaves(test: &str, (alice, of_alice): (Access, &str), (bob, of_bob): (Access, &str)) {
    inside_with(&format!("verdict::{test}"), &PROGRAMS, || {
        let lab = Lab::build(Plan::new(alice, bob, Input::Drop));
        let directory = tempfile::tempdir().unwrap();
        let second_address = if alice.has_v4() && bob.has_v4() { SERVER_V4[1] } else { SERVER_V6[1] };
        let _servers = serve(&lab, directory.path(), second_address);
        let way_of_bob = if bob.is_inside() { alice } else { bob };
        let both = [examine(&lab, "alice", alice), examine(&lab, "bob", way_of_bob)];
        for (examined, (access, expected)) in both.into_iter().zip([(alice, of_alice), (bob, of_bob)]) {
            let (found, told) = verdict(examined);
            let text = found.to_string();
            let (_, behaviour) = text.split_once('/').unwrap();
            assert_eq!(behaviour, expected, "{access}: {told}");
        }
    });
}

macro_rules! behaviours {
    ($($test:ident: $alice:ident $of_alice:literal, $bob:ident $of_bob:literal;)*) => {
        $(#[test]
        fn $test() {
            behaves(stringify!($test), (Access::$alice, $of_alice), (Access::$bob, $of_bob));
        })*
    };
}

// Public address, NAT or not, mapping, filtering, port kept, hairpin, second server.
behaviours! {
    cones_map_by_nothing_and_filter_as_they_are_called:
        Cone "198.51.100.1/yes/endpoint-independent/address-and-port-dependent/yes/no/yes",
        FullCone "203.0.113.1/yes/endpoint-independent/endpoint-independent/yes/no/yes";
    restricted_cone_filters_by_address_and_symmetric_nat_maps_by_port:
        Restricted "198.51.100.1/yes/endpoint-independent/address-dependent/yes/no/yes",
        Symmetric "203.0.113.1/yes/address-and-port-dependent/address-and-port-dependent/no/no/yes";
    carriers_nat_is_a_cone_and_a_public_host_is_open:
        Carrier "198.51.100.1/yes/endpoint-independent/address-and-port-dependent/yes/no/yes",
        Public "203.0.113.10/no/endpoint-independent/endpoint-independent/yes/unknown/yes";
    network_that_lets_udp_pass_to_the_server_alone_and_one_that_lets_none_pass:
        Blocked "198.51.100.1/yes/endpoint-independent/address-and-port-dependent/yes/no/no",
        Silent "no-udp";
    firewalls_of_ipv6_map_nothing_and_filter_by_port:
        Ipv6 "2001:db8:a:1::2/no/endpoint-independent/address-and-port-dependent/yes/unknown/yes",
        Ipv6 "2001:db8:b:1::2/no/endpoint-independent/address-and-port-dependent/yes/unknown/yes";
    nat_that_lets_its_hosts_meet_outside_is_told_from_one_that_does_not:
        Cone "198.51.100.1/yes/endpoint-independent/address-and-port-dependent/yes/yes/yes",
        Hairpin "198.51.100.1/yes/endpoint-independent/address-and-port-dependent/yes/yes/yes";
}

/// A NAT that gives each address another public address, and is a cone else: the ports of one server do not tell it from a
/// cone, a second address does.
#[test]
fn ports_of_one_address_do_not_tell_a_nat_that_maps_by_address_from_a_cone() {
    let test = "ports_of_one_address_do_not_tell_a_nat_that_maps_by_address_from_a_cone";
    inside_with(&format!("verdict::{test}"), &PROGRAMS, || {
        let lab = Lab::build(Plan::new(Access::Cone, Access::Restricted, Input::Drop));
        let directory = tempfile::tempdir().unwrap();
        let _server = lab.serve(SERVER.as_ref(), directory.path(), &format!("altport: {ALTPORT}\n"));
        let found = |host: &str, second: &[&str]| {
            let words = [&[PROBE, "--json", "nat", "192.0.2.1"], second].concat();
            verdict(lab.start(host, words)).0.to_string()
        };
        let (one_address, second) = (
            "nat1/198.51.100.1/yes/port-independent/address-and-port-dependent/yes/no/",
            ["--second", SERVER_V4[1]],
        );
        assert_eq!(found("alice", &[]), format!("{one_address}unknown"));
        let cone = "nat1/198.51.100.1/yes/endpoint-independent/address-and-port-dependent/yes/no/yes";
        assert_eq!(found("alice", &second), cone);

        on("alice-nat", "ip address add 198.51.100.2/25 dev out");
        let by_address = "oifname out ip daddr != 192.0.2.1 snat to 198.51.100.2";
        on(
            "alice-nat",
            &format!(
                "nft 'table ip apart {{ chain outward {{ type nat hook postrouting priority srcnat - 1; {by_address}; }}; }}'"
            ),
        );
        assert_eq!(found("alice", &[]), format!("{one_address}unknown"));
        let by_address = "nat1/198.51.100.1/yes/address-dependent/address-and-port-dependent/yes/no/yes";
        assert_eq!(found("alice", &second), by_address);

        assert_eq!(
            found("bob", &[]),
            "nat1/203.0.113.1/yes/port-independent/port-independent/yes/no/unknown"
        );
    });
}

/// Its firewall lets the first port pass alone: what does not answer there tells nothing of the NAT.
#[test]
fn second_port_that_a_firewall_closes_is_as_none() {
    let test = "second_port_that_a_firewall_closes_is_as_none";
    inside_with(&format!("verdict::{test}"), &PROGRAMS, || {
        let lab = Lab::build(Plan::new(Access::FullCone, Access::Cone, Input::Drop));
        let directory = tempfile::tempdir().unwrap();
        let _server = lab.serve(SERVER.as_ref(), directory.path(), &format!("altport: {ALTPORT}\n"));
        on(
            "server",
            &format!(
                "nft 'table inet own {{ chain input {{ type filter hook input priority filter; udp dport {ALTPORT} drop; }}; \
                 chain output {{ type filter hook output priority filter; udp sport {ALTPORT} drop; }}; }}'"
            ),
        );
        let (found, told) = verdict(lab.start("alice", [PROBE, "--json", "nat", "192.0.2.1"]));
        assert_eq!(found.to_string(), "nat1/198.51.100.1/yes/unknown/unknown/yes/no/unknown", "{told}");
    });
}

/// A second address of a server that has no second port does not tell by what else the mapping changes.
#[test]
fn second_address_alone_tells_no_more_than_that_the_mapping_changes() {
    let test = "second_address_alone_tells_no_more_than_that_the_mapping_changes";
    inside_with(&format!("verdict::{test}"), &PROGRAMS, || {
        let lab = Lab::build(Plan::new(Access::Symmetric, Access::Cone, Input::Drop));
        let directory = tempfile::tempdir().unwrap();
        let _server = lab.serve(SERVER.as_ref(), directory.path(), "");
        let words = [PROBE, "--json", "nat", "192.0.2.1", "--second", SERVER_V4[1]];
        let (found, told) = verdict(lab.start("alice", words));
        assert_eq!(found.to_string(), "nat1/198.51.100.1/yes/dependent/unknown/no/no/yes");
        assert_eq!(told["mapping"], "dependent");
    });
}

/// Examines both hosts, lets them call each other, and asserts that the forecast was right.
fn forecasts(test: &str, alice: Access, bob: Access, input: Input) {
    let (_, test) = test.split_once("::").unwrap();
    inside_with(&format!("{test}::{input}"), &PROGRAMS, || {
        let lab = Lab::build(Plan::new(alice, bob, input));
        let directory = tempfile::tempdir().unwrap();
        let _servers = serve(&lab, directory.path(), SERVER_V4[1]);
        let way_of_bob = if bob.is_inside() { alice } else { bob };
        let both = [examine(&lab, "alice", alice), examine(&lab, "bob", way_of_bob)];
        let [of_alice, of_bob] = both.map(|examined| verdict(examined).0);
        let forecast = of_alice.forecast(&of_bob);
        let worked = if is_silent(forecast) {
            // Without UDP there is no signalling either.
            0
        } else {
            trial::many(&lab, CALLS).iter().filter(|outcome| outcome.succeeded()).count()
        };
        println!("| {alice} - {bob} | {input} | {forecast:?} | {worked}/{CALLS} |");
        match forecast {
            Forecast::Direct | Forecast::DirectIfStarts(_) => {
                assert_eq!(worked, CALLS, "{of_alice} and {of_bob}")
            }
            Forecast::RelayNeeded(_) => assert_eq!(worked, 0, "{of_alice} and {of_bob}"),
            Forecast::OnLocalNetwork => assert!(bob.is_inside(), "{of_alice} and {of_bob}"),
            Forecast::DirectUnlessMappedByAddress | Forecast::Unknown(_) => {
                panic!("{of_alice} and {of_bob}")
            }
        }
    });
}

const fn is_silent(forecast: Forecast) -> bool {
    matches!(forecast, Forecast::RelayNeeded(Why::NoUdp(_)))
}

macro_rules! pairs {
    ($($pair:ident: $alice:ident, $bob:ident;)*) => {
        $(mod $pair {
            use super::{Access, Input, forecasts};

            #[test]
            fn drop() {
                forecasts(module_path!(), Access::$alice, Access::$bob, Input::Drop);
            }

            #[test]
            fn accept() {
                forecasts(module_path!(), Access::$alice, Access::$bob, Input::Accept);
            }
        })*
    };
}

pairs! {
    cone_with_cone: Cone, Cone;
    cone_with_full_cone: Cone, FullCone;
    cone_with_restricted: Cone, Restricted;
    cone_with_carrier: Cone, Carrier;
    carrier_with_carrier: Carrier, Carrier;
    full_cone_with_symmetric: FullCone, Symmetric;
    restricted_with_symmetric: Restricted, Symmetric;
    cone_with_symmetric: Cone, Symmetric;
    symmetric_with_symmetric: Symmetric, Symmetric;
    cone_with_blocked: Cone, Blocked;
    full_cone_with_blocked: FullCone, Blocked;
    cone_with_silent: Cone, Silent;
    hosts_of_one_network: Cone, Neighbour;
    hosts_of_one_network_that_meet_outside: Cone, Hairpin;
    hosts_of_one_network_that_meet_nowhere: Cone, Isolated;
    ipv6_firewalls: Ipv6, Ipv6;
    both_families: Dual, Dual;
    ipv4_with_ipv6: Cone, Ipv6;
    public_with_symmetric: Public, Symmetric;
}

const PROVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nat_lab/prove.py");
/// The program of coturn.
const DISCOVERY: &str = "turnutils_natdiscovery";

/// Asserts what coturn's client says of alice's access, from ports that have proved their address.
fn discovers(test: &str, access: Access, mapping: &str, filtering: &str) {
    let programs = [PROGRAMS[0], PROGRAMS[1], ("python3", "--version"), ("which", DISCOVERY)];
    inside_with(&format!("verdict::{test}"), &programs, || {
        let lab = Lab::build(Plan::new(access, Access::Public, Input::Drop));
        let directory = tempfile::tempdir().unwrap();
        let _servers = serve(&lab, directory.path(), SERVER_V4[1]);
        let own = on("alice", "ip -4 -o address show dev eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/'");
        let (own, server) = (own.trim(), SERVER_V4[0]);
        for (words, port, expected) in [("-m", 40_001, mapping), ("-f", 40_002, filtering)] {
            on("alice", &format!("python3 {PROVE} {own} {port} {server} {PORT}"));
            let asks = format!("{} {words} -L {own} -l {port} -p {PORT} {server}", DISCOVERY);
            let found = on("alice", &asks);
            assert!(found.contains(expected), "{access}: {expected:?} is not in\n{found}");
        }
    });
}

macro_rules! discoveries {
    ($($test:ident: $access:ident, $mapping:literal, $filtering:literal;)*) => {
        $(#[test]
        fn $test() {
            discovers(stringify!($test), Access::$access, $mapping, $filtering);
        })*
    };
}

discoveries! {
    coturn_discovers_a_cone: Cone, "NAT with Endpoint Independent Mapping!",
        "NAT with Address and Port Dependent Filtering!";
    coturn_discovers_a_full_cone: FullCone, "NAT with Endpoint Independent Mapping!",
        "NAT with Endpoint Independent Filtering!";
    coturn_discovers_a_restricted_cone: Restricted, "NAT with Endpoint Independent Mapping!",
        "NAT with Address Dependent Filtering!";
    coturn_discovers_a_symmetric_nat: Symmetric, "NAT with Address and Port Dependent Mapping!",
        "NAT with Address and Port Dependent Filtering!";
    coturn_discovers_that_there_is_none: Public, "No NAT! (Endpoint Independent Mapping)",
        "NAT with Endpoint Independent Filtering!";
}
