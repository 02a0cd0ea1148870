//! Broken networks, in namespaces: two hosts and a server, with routers between.

use tempfile::TempDir;

use crate::golden::assert_printed;
use crate::lab::{inside_with, on, run};
use crate::nat::plan::{Access, Input};
use crate::nat::{Lab, PROGRAMS, Plan, Site};
use crate::program::{Ended, Running};
use crate::{BOB, PROBE, SERVER};

const DOCTOR: &str = "doctor 192.0.2.1";
/// Has the server tell how NATs map.
const ALTPORT: &str = "altport: 1067\n";
/// Has a client ask the server's second address, too.
const WITNESS: &str = " --witness 192.0.2.2";

/// A lab with a server.
struct Place {
    lab: Lab,
    _server: Running,
    directory: TempDir,
}

impl Place {
    /// `further` stands in the server's configuration.
    fn new(alice: Access, bob: Access, further: &str) -> Self {
        let lab = Lab::build(Plan::new(alice, bob, Input::Drop));
        let directory = tempfile::tempdir().unwrap();
        let server = lab.serve(SERVER.as_ref(), directory.path(), further);
        Self { lab, _server: server, directory }
    }

    /// Runs the probe on alice's host.
    fn probe(&self, command: &str) -> Ended {
        self.start("alice", command).wait()
    }

    fn start(&self, host: &str, command: &str) -> Running {
        self.lab.start(host, std::iter::once(PROBE).chain(command.split(' ')))
    }

    /// Lets bob listen, and alice diagnose, with these words more.
    fn diagnose(&self, listen: &str, diagnose: &str) -> (String, Ended) {
        let [_, of_bob] = self.lab.servers();
        let mut listening = self.start("bob", &format!("listen {of_bob} --id {BOB}{listen}"));
        listening.line_with("listening");
        let command = format!("diagnose --peer {BOB} --server 192.0.2.1{diagnose}");
        let ended = self.probe(&command);
        (command, ended)
    }
}

/// Adds a rule for what passes through a router.
fn filter(router: &str, rule: &str) {
    let table = "table inet broken { chain through { type filter hook forward priority filter - 1; ";
    on(router, &format!("nft '{table}{rule}; }}; }}'"));
}

fn examined(test: &str, alice: Access, breaking: impl FnOnce(&Place), command: &str, code: i32) {
    inside_with(&format!("networks::{test}"), &PROGRAMS, || {
        let place = Place::new(alice, Access::Cone, "");
        breaking(&place);
        assert_printed(test, command, &place.probe(command), code);
    });
}

#[test]
fn all_is_well_behind_a_nat() {
    examined("all_is_well_behind_a_nat", Access::Cone, |_| {}, DOCTOR, 0);
}

/// Gives the server a name with an address of each family.
fn name_it(place: &Place) {
    let hosts = place.directory.path().join("hosts");
    std::fs::write(&hosts, "192.0.2.1 rendezvous\n2001:db8:5::1 rendezvous\n").unwrap();
    run("mount", &["--bind", hosts.to_str().unwrap(), "/etc/hosts"]);
}

#[test]
fn all_is_well_over_both_families() {
    examined("all_is_well_over_both_families", Access::Dual, name_it, "doctor rendezvous", 0);
}

/// One of its addresses is dead: who calls or waits for calls takes the other one.
#[test]
fn name_has_an_address_where_nobody_is() {
    inside_with("networks::name_has_an_address_where_nobody_is", &PROGRAMS, || {
        let place = Place::new(Access::Dual, Access::Cone, "");
        let hosts = place.directory.path().join("hosts");
        std::fs::write(&hosts, "2001:db8:5::99 rendezvous\n192.0.2.1 rendezvous\n").unwrap();
        run("mount", &["--bind", hosts.to_str().unwrap(), "/etc/hosts"]);
        let ended = place.probe("register rendezvous");
        assert!(ended.stdout.contains("registered at 192.0.2.1:1066 as "), "{ended:?}");
        let command = "doctor rendezvous";
        assert_printed("name_has_an_address_where_nobody_is", command, &place.probe(command), 7);
    });
}

#[test]
fn server_has_both_families_and_this_host_has_one() {
    examined("server_has_both_families_and_this_host_has_one", Access::Cone, name_it, "doctor rendezvous", 0);
}

#[test]
fn one_of_two_families_is_blocked() {
    let break_it = |place: &Place| {
        name_it(place);
        filter("alice-isp", "meta nfproto ipv6 meta l4proto udp drop");
    };
    examined("one_of_two_families_is_blocked", Access::Dual, break_it, "doctor rendezvous", 7);
}

#[test]
fn no_route() {
    let break_it = |_: &Place| drop(on("alice", "ip route del default"));
    examined("no_route", Access::Cone, break_it, DOCTOR, 1);
}

#[test]
fn udp_blocked_on_the_way_out() {
    let break_it = |_: &Place| filter("alice-nat", "oifname out meta l4proto udp drop");
    examined("udp_blocked_on_the_way_out", Access::Cone, break_it, DOCTOR, 3);
}

/// The first router takes no UDP at all.
fn close_first_router() {
    on(
        "alice-nat",
        "nft 'table inet first { chain taken { type filter hook prerouting priority filter - 1; iifname != out meta l4proto udp \
         drop; }; }'",
    );
}

#[test]
fn udp_blocked_at_the_first_router() {
    examined("udp_blocked_at_the_first_router", Access::Cone, |_| close_first_router(), DOCTOR, 3);
}

/// Then it cannot be known where.
#[test]
fn udp_blocked_where_no_router_says_anything() {
    let break_it = |_: &Place| {
        close_first_router();
        on(
            "alice",
            "nft 'table inet own { chain input { type filter hook input priority filter; icmp type time-exceeded drop; }; }'",
        );
    };
    examined("udp_blocked_where_no_router_says_anything", Access::Cone, break_it, DOCTOR, 3);
}

#[test]
fn udp_blocked_on_the_way_back() {
    let break_it = |_: &Place| filter("alice-isp", "iifname core meta l4proto udp drop");
    examined("udp_blocked_on_the_way_back", Access::Cone, break_it, DOCTOR, 3);
}

#[test]
fn udp_forbidden_by_this_host() {
    let break_it = |_: &Place| {
        on(
            "alice",
            "nft 'table inet own { chain output { type filter hook output priority filter; meta l4proto udp drop; }; }'",
        );
    };
    examined("udp_forbidden_by_this_host", Access::Cone, break_it, DOCTOR, 1);
}

#[test]
fn wrong_port() {
    examined("wrong_port", Access::Cone, |_| {}, "doctor 192.0.2.1:1067", 3);
}

#[test]
fn nobody_at_that_address() {
    examined("nobody_at_that_address", Access::Cone, |_| {}, "doctor 192.0.2.99", 3);
}

#[test]
fn server_has_ipv6_and_this_host_has_not() {
    examined("server_has_ipv6_and_this_host_has_not", Access::Cone, |_| {}, "doctor 2001:db8:5::1", 1);
}

#[test]
fn mtu_black_hole_at_1100() {
    let break_it = |_: &Place| filter("alice-isp", "ip length > 1100 drop");
    examined("mtu_black_hole_at_1100", Access::Cone, break_it, DOCTOR, 5);
}

#[test]
fn mtu_black_hole_at_1100_on_the_way_back() {
    let break_it = |_: &Place| filter("alice-isp", "iifname core ip length > 1100 drop");
    examined("mtu_black_hole_at_1100_on_the_way_back", Access::Cone, break_it, DOCTOR, 5);
}

/// How many are lost is drawn: the cause is always named.
#[test]
fn sixty_percent_lost() {
    inside_with("networks::sixty_percent_lost", &PROGRAMS, || {
        let place = Place::new(Access::Cone, Access::Cone, "");
        place.lab.change(Site::Alice, Site::Server, |way| way.loss = 0.6);
        let ended = place.probe(DOCTOR);
        assert_eq!(ended.code, Some(3), "{ended:?}");
        let is_cause = |line: &str| line.starts_with("failed   udp          192.0.2.1:1066 answers ");
        let cause = ended.stdout.lines().find(|line| is_cause(line)).unwrap();
        assert!(cause.ends_with(" % are lost, calls take long or fail"), "{}", ended.stdout);
        assert_eq!(ended.stdout.lines().last(), Some("failed at udp"), "{}", ended.stdout);
        assert!(ended.stdout.contains("-> the line loses too much"), "{}", ended.stdout);
    });
}

fn diagnosed(test: &str, (alice, bob): (Access, Access), code: i32) {
    inside_with(&format!("networks::{test}"), &PROGRAMS, || {
        let (command, ended) = Place::new(alice, bob, "").diagnose("", "");
        assert_printed(test, &command, &ended, code);
    });
}

/// The server has a second port to tell it by.
#[test]
fn symmetric_nat_on_this_side() {
    inside_with("networks::symmetric_nat_on_this_side", &PROGRAMS, || {
        let place = Place::new(Access::Symmetric, Access::Cone, ALTPORT);
        assert_printed("symmetric_nat_on_this_side", DOCTOR, &place.probe(DOCTOR), 7);
    });
}

/// Nobody finds a path: in the server's configuration, and to the words of bob's and alice's commands, stands what tells why.
fn pathless(test: &str, (alice, bob): (Access, Access), further: &str, listen: &str, diagnose: &str) {
    inside_with(&format!("networks::{test}"), &PROGRAMS, || {
        let (command, ended) = Place::new(alice, bob, further).diagnose(listen, diagnose);
        assert_printed(test, &command, &ended, 5);
    });
}

const BOTH_SYMMETRIC: (Access, Access) = (Access::Symmetric, Access::Symmetric);

#[test]
fn symmetric_nats_on_both_sides() {
    pathless("symmetric_nats_on_both_sides", BOTH_SYMMETRIC, ALTPORT, WITNESS, "");
}

#[test]
fn symmetric_nats_on_both_sides_and_a_witness_of_each() {
    pathless("symmetric_nats_on_both_sides_and_a_witness_of_each", BOTH_SYMMETRIC, "", WITNESS, WITNESS);
}

#[test]
fn symmetric_nats_on_both_sides_and_the_other_sides_verdict() {
    let with =
        " --with nat1/203.0.113.1/yes/address-and-port-dependent/address-and-port-dependent/no/no/unknown";
    pathless("symmetric_nats_on_both_sides_and_the_other_sides_verdict", BOTH_SYMMETRIC, ALTPORT, "", with);
}

#[test]
fn symmetric_nats_on_both_sides_of_which_this_one_is_known() {
    pathless("symmetric_nats_on_both_sides_of_which_this_one_is_known", BOTH_SYMMETRIC, ALTPORT, "", "");
}

#[test]
fn symmetric_nats_on_both_sides_that_nobody_can_tell() {
    pathless("symmetric_nats_on_both_sides_that_nobody_can_tell", BOTH_SYMMETRIC, "", "", "");
}

#[test]
fn symmetric_nat_on_the_other_side_that_says_nothing() {
    let test = "symmetric_nat_on_the_other_side_that_says_nothing";
    pathless(test, (Access::Cone, Access::Symmetric), "", "", WITNESS);
}

#[test]
fn network_of_the_other_side_lets_udp_pass_to_the_server_alone() {
    let test = "network_of_the_other_side_lets_udp_pass_to_the_server_alone";
    pathless(test, (Access::Cone, Access::Blocked), "", WITNESS, WITNESS);
}

#[test]
fn both_are_behind_one_nat_in_networks_apart() {
    let test = "both_are_behind_one_nat_in_networks_apart";
    pathless(test, (Access::Cone, Access::Isolated), "", "", "");
}

/// The witness is another server, at the provider of the unused access.
#[test]
fn this_network_lets_udp_pass_to_the_server_alone() {
    let test = "this_network_lets_udp_pass_to_the_server_alone";
    inside_with(&format!("networks::{test}"), &PROGRAMS, || {
        let place = Place::new(Access::Blocked, Access::Cone, "");
        let file = place.directory.path().join("second.yaml");
        std::fs::write(&file, "localport: 1066\n").unwrap();
        let second = [SERVER, "--config-file-path", file.to_str().unwrap()];
        let mut second = place.lab.start("elsewhere-isp", second);
        second.line_with("listening on ");
        let (command, ended) = place.diagnose("", " --witness 198.51.100.254");
        assert_printed(test, &command, &ended, 5);
    });
}

#[test]
fn peer_that_is_well() {
    diagnosed("peer_that_is_well", (Access::Cone, Access::Cone), 0);
}

#[test]
fn peer_has_ipv6_alone_and_this_host_has_it_not() {
    diagnosed("peer_has_ipv6_alone_and_this_host_has_it_not", (Access::Cone, Access::Ipv6), 5);
}

/// `rule` drops long datagrams at bob's NAT, where only a call of several fragments meets it.
fn long_ones_lost(test: &str, rule: &str) {
    inside_with(&format!("networks::{test}"), &PROGRAMS, || {
        let place = Place::new(Access::Cone, Access::Cone, "timeout: 3\n");
        filter("bob-nat", &format!("meta l4proto udp {rule} ip length > 1100 drop"));
        let (command, ended) = place.diagnose("", "");
        assert_printed(test, &command, &ended, 5);
    });
}

#[test]
fn mtu_black_hole_before_the_peer() {
    long_ones_lost("mtu_black_hole_before_the_peer", "iifname out");
}

#[test]
fn mtu_black_hole_behind_the_peer() {
    long_ones_lost("mtu_black_hole_behind_the_peer", "oifname out");
}

/// It ends without a word, as when a cable is pulled.
#[test]
fn peer_has_gone_without_a_word() {
    inside_with("networks::peer_has_gone_without_a_word", &PROGRAMS, || {
        let place = Place::new(Access::Cone, Access::Cone, "");
        let mut listening = place.start("bob", &format!("listen 192.0.2.1 --id {BOB}"));
        listening.line_with("listening");
        place.lab.unplug("bob");
        let command = format!("diagnose --peer {BOB} --server 192.0.2.1");
        assert_printed("peer_has_gone_without_a_word", &command, &place.probe(&command), 5);
    });
}
