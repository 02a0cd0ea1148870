//! What `doctor` says of broken networks and of servers that refuse.

use std::net::SocketAddr;

use roundtable_proto::server::{Config, Limits};
use roundtable_proto::vnet::{Behaviour, Dependence, INTERNET, Link, SERVER_V4};

use super::rig::{Place, config, home, ipv6, keyed, plain, secs};
use crate::client::Registration;
use crate::probe::examine::lengths::{Lengths, Longest, There};
use crate::probe::examine::visitor::Registering;
use crate::probe::examine::{doctor, mtu, nat, reach};
use crate::probe::failure::Failure;

/// Goes from step to step, as far as the doctor goes.
fn examine(place: &mut Place, server: SocketAddr) {
    let reach = place.reach(server);
    place.note(&reach::judge(&reach));
    if !reach.answered() {
        return;
    }
    place.note(&doctor::address(&reach).unwrap());
    if !register(place, config(keyed(1))) {
        return;
    }
    let (there, back) = lengths(place, reach.share());
    place.note(&mtu::judge(server, there, back));
}

/// Registers; tells whether the server lets it, and notes what it refuses.
fn register(place: &mut Place, config: roundtable_proto::client::Config) -> bool {
    let wait = doctor::REGISTRATION;
    let (_, state, refusals) = place.register(place.here.host, config, wait);
    let is_registered = matches!(state, Registration::Registered { .. });
    if !is_registered {
        place.note(&doctor::refused(&Failure::not_registered(SERVER_V4, wait, state)));
    } else if !refusals.is_empty() {
        place.note(&doctor::met(&refusals));
    }
    is_registered
}

fn lengths(place: &mut Place, share: f64) -> (Longest, Longest) {
    let host = place.here.host;
    let [sender, receiver] = [(); 2].map(|()| {
        let (port, mut registering) = (place.open(host), Registering::new(SERVER_V4).unwrap());
        place.ask(host, (port, port), SERVER_V4, &mut registering);
        (port, registering.outcome().unwrap())
    });
    let mut there = There::new(sender.1, share).unwrap();
    place.ask(host, (sender.0, sender.0), SERVER_V4, &mut there);
    if there.longest() != Longest::All {
        return (there.longest(), Longest::Unknown);
    }
    let mut back = Lengths::back(sender.1, receiver.1, share).unwrap();
    place.ask(host, (sender.0, receiver.0), SERVER_V4, &mut back);
    (Longest::All, back.longest())
}

#[test]
fn all_is_well() {
    let mut place = Place::new();
    examine(&mut place, SERVER_V4);
    place.assert_found("all_is_well");
}

#[test]
fn no_route() {
    let mut place = Place::new();
    place.here.host = place.world.network_mut().add_host(INTERNET, &[ipv6(1)], Link::after(secs(0)));
    examine(&mut place, SERVER_V4);
    place.assert_found("no_route");
}

/// Returns how many datagrams the server has got.
fn got(place: &Place) -> u64 {
    place.world.server().unwrap().counters().datagrams_in
}

#[test]
fn udp_blocked_on_the_way_out() {
    let mut place = Place::new();
    place.change_link(|link| link.up.open = false);
    examine(&mut place, SERVER_V4);
    assert_eq!(got(&place), 0);
    place.assert_found("udp_blocked_on_the_way_out");
}

#[test]
fn udp_blocked_on_the_way_back() {
    let mut place = Place::new();
    place.change_link(|link| link.down.open = false);
    examine(&mut place, SERVER_V4);
    assert_eq!(got(&place), 20);
    place.assert_found("udp_blocked_on_the_way_back");
}

#[test]
fn wrong_port() {
    let mut place = Place::new();
    examine(&mut place, SocketAddr::new(SERVER_V4.ip(), 1068));
    place.assert_found("wrong_port");
}

#[test]
fn sixty_percent_lost() {
    let mut place = Place::new();
    place.change_link(|link| link.up.loss = 0.6);
    let reach = place.reach(SERVER_V4);
    place.note(&reach::judge(&reach));
    place.assert_found("sixty_percent_lost");
}

#[test]
fn mtu_black_hole_at_1100() {
    let mut place = Place::new();
    place.change_link(|link| link.up.mtu = 1100);
    examine(&mut place, SERVER_V4);
    place.assert_found("mtu_black_hole_at_1100");
}

#[test]
fn mtu_black_hole_at_1100_on_the_way_back() {
    let mut place = Place::new();
    place.change_link(|link| link.down.mtu = 1100);
    examine(&mut place, SERVER_V4);
    place.assert_found("mtu_black_hole_at_1100_on_the_way_back");
}

#[test]
fn symmetric_nat_on_this_side_and_ones_that_two_ports_do_not_tell_apart() {
    let cone = Behaviour::port_restricted();
    for (name, behaviour) in [
        ("symmetric_nat_on_this_side", Behaviour::symmetric()),
        ("cone_or_nat_that_maps_by_address_on_this_side", cone),
        (
            "cone_or_nat_that_maps_by_address_on_this_side",
            Behaviour { mapping: Dependence::AddressDependent, ..cone },
        ),
    ] {
        let mut place = Place::with(Config::default(), behaviour);
        place.world.open_second_port();
        let found = place.behaviour();
        place.note(&nat::judge(Some(&found)));
        place.assert_found(name);
    }
}

#[test]
fn server_that_is_full() {
    let mut place = Place::with(Config { max_peers: 1, ..Config::default() }, Behaviour::port_restricted());
    let other = home(&mut place.world, 2, Behaviour::port_restricted());
    place.settle(other.host, 5000, config(plain(9)));
    place.world.run(secs(1));
    examine(&mut place, SERVER_V4);
    place.assert_found("server_that_is_full");
}

/// Ten at once is what it allows.
#[test]
fn server_that_limits_the_rate() {
    let limits = Limits { registrations: 1, ..Limits::default() };
    let mut place = Place::with(Config { limits, ..Config::default() }, Behaviour::port_restricted());
    let host = place.here.host;
    for _ in 0..10 {
        let (port, mut registering) = (place.open(host), Registering::new(SERVER_V4).unwrap());
        place.ask(host, (port, port), SERVER_V4, &mut registering);
        registering.outcome().unwrap();
    }
    register(&mut place, config(keyed(1)));
    place.assert_found("server_that_limits_the_rate");
}

#[test]
fn identifier_that_is_taken() {
    let mut place = Place::new();
    let other = home(&mut place.world, 2, Behaviour::port_restricted());
    place.settle(other.host, 5000, config(plain(9)));
    place.world.run(secs(1));
    register(&mut place, config(plain(9)));
    place.assert_found("identifier_that_is_taken");
}
