//! Interfaces and addresses that go and come back: the server serves again, and knows its peers.

use crate::lab::{self, inside, on};
use crate::rig::{Peer, Rig, SERVER};

/// What another host must know again after the interface was down; and IPv6 addresses go with it.
const AGAIN: &str = "ip address replace 192.0.2.1/24 dev s0; ip address replace 2001:db8:a::1/64 dev s0 nodad; \
     for one in 192.0.2.2 2001:db8:a::2; do \
     ip neigh replace $one lladdr 02:00:00:00:0a:02 dev s0 nud permanent; done";

fn goes_and_comes_back(further: &str, peers: &[&str], go: &str, come: &str) {
    let rig = Rig::start(further);
    let peers: Vec<_> =
        peers.iter().zip(1..).map(|(server, number)| Peer::join(server.parse().unwrap(), number)).collect();
    for _ in 0..3 {
        on("server", go);
        for peer in &peers {
            peer.ping();
            peer.keep_alive();
        }
        on("server", &format!("{come}; {AGAIN}"));
        peers.iter().for_each(Peer::is_served);
    }
    assert_eq!(rig.stop().stderr, "");
}

#[test]
fn interface_that_was_down_serves_again() {
    inside("interface::interface_that_was_down_serves_again", || {
        goes_and_comes_back("", &SERVER, "ip link set s0 down", "ip link set s0 up");
    });
}

#[test]
fn address_that_was_removed_serves_again() {
    inside("interface::address_that_was_removed_serves_again", || {
        goes_and_comes_back("", &SERVER, "ip address flush dev s0", "true");
    });
}

#[test]
fn the_one_address_that_is_listened_on_serves_again() {
    inside("interface::the_one_address_that_is_listened_on_serves_again", || {
        let one = "localaddress: '192.0.2.1'\n";
        goes_and_comes_back(one, &SERVER[..1], "ip address flush dev s0", "true");
    });
}

/// Tells whether the server has a socket for this address alone.
fn has_socket(address: &str) -> bool {
    on("server", "ss -Hlun").contains(&format!(" {address}:1066 "))
}

#[test]
fn addresses_that_come_while_it_runs_get_sockets_in_the_place_of_those_that_have_gone() {
    let test = "addresses_that_come_while_it_runs_get_sockets_in_the_place_of_those_that_have_gone";
    inside(&format!("interface::{test}"), || {
        let rig = Rig::start("");
        let stays = Peer::of_both_families();
        // More than there are sockets for.
        for number in 10..18 {
            let [v4, v6] = [format!("192.0.2.{number}"), format!("[2001:db8:a::{number}]")];
            let plain = v6.trim_matches(['[', ']']);
            on("server", &format!("ip address add {v4}/24 dev s0; ip address add {plain}/64 dev s0 nodad"));
            for one in [&v4, plain] {
                lab::ip(&format!("neigh replace {one} lladdr 02:00:00:00:0a:01 dev c0 nud permanent"));
            }
            for (address, number) in [&v4, &v6].into_iter().zip(2 * number..) {
                let peer = Peer::join(format!("{address}:1066").parse().unwrap(), number);
                assert!(has_socket(address), "{address}");
                peer.is_served();
            }
            on("server", &format!("ip address del {v4}/24 dev s0; ip address del {plain}/64 dev s0"));
            stays.iter().for_each(Peer::is_served);
        }
        // One that comes back after another took its place.
        on("server", "ip address add 192.0.2.10/24 dev s0");
        let back = Peer::join("192.0.2.10:1066".parse().unwrap(), 100);
        assert!(!has_socket("192.0.2.10"));
        back.is_served();
        for address in ["192.0.2.1", "[2001:db8:a::1]"] {
            assert!(has_socket(address), "{address}");
        }
        assert_eq!(rig.stop().stderr, "");
    });
}

#[test]
fn datagram_meets_no_route_back_while_the_address_it_came_to_is_gone() {
    inside("interface::datagram_meets_no_route_back_while_the_address_it_came_to_is_gone", || {
        let mut rig = Rig::start("");
        let peers = Peer::of_both_families();
        // What waits in the socket came to an address that is gone when it is answered.
        rig.program.signal("STOP");
        peers[0].ping();
        on("server", "ip address del 192.0.2.1/24 dev s0");
        rig.program.signal("CONT");
        println!("{}", rig.program.line_with("39 bytes to "));
        on("server", AGAIN);
        peers.iter().for_each(Peer::is_served);
        assert_eq!(rig.stop().stderr, "");
    });
}
