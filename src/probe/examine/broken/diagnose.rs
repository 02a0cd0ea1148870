//! What `diagnose` says of peers that are not there, not well or not to be reached.

use std::io;
use std::time::Duration;

use roundtable_proto::Instant;
use roundtable_proto::client;
use roundtable_proto::vnet::{
    Arrival, Behaviour, Dependence, INTERNET, Link, SERVER_V4, SERVER_V6, UNIX_TIME,
};
use roundtable_proto::wire::{self, ErrorCode, FRAGMENT, Frame, HEADER, Kind};

use super::rig::{Home, Place, home, home_in, ipv6, keyed, plain, secs};
use super::two::{Knows, Two};
use crate::probe::examine::asking::Asking;
use crate::probe::examine::pings::Pings;
use crate::probe::examine::reach;
use crate::probe::examine::visitor::Registering;

const CONE: Behaviour = Behaviour::port_restricted();
const SYMMETRIC: Behaviour = Behaviour::symmetric();

/// Asserts what is found of two peers behind such NATs.
#[track_caller]
fn found(name: &str, nats: [Behaviour; 2], knows: Knows) {
    let mut two = Two::new(nats, knows);
    two.diagnose(plain(1));
    two.place.assert_found(name);
}

#[test]
fn peer_that_is_well() {
    found("peer_that_is_well", [CONE, CONE], Knows::default());
}

#[test]
fn symmetric_nats_on_both_sides() {
    let knows = Knows { own: true, peer_asks: true, other: None };
    found("symmetric_nats_on_both_sides", [SYMMETRIC; 2], knows);
}

#[test]
fn symmetric_nats_on_both_sides_of_which_this_one_is_known() {
    let knows = Knows { own: true, ..Knows::default() };
    found("symmetric_nats_on_both_sides_of_which_this_one_is_known", [SYMMETRIC; 2], knows);
}

#[test]
fn symmetric_nats_on_both_sides_that_nobody_can_tell() {
    found("symmetric_nats_on_both_sides_that_nobody_can_tell", [SYMMETRIC; 2], Knows::default());
}

#[test]
fn symmetric_nats_on_both_sides_and_the_other_sides_verdict() {
    let other =
        Some("nat1/198.51.100.2/yes/address-and-port-dependent/unknown/no/no/unknown".parse().unwrap());
    let knows = Knows { own: true, peer_asks: false, other };
    found("symmetric_nats_on_both_sides_and_the_other_sides_verdict", [SYMMETRIC; 2], knows);
}

#[test]
fn symmetric_nat_on_one_side() {
    let knows = Knows { own: true, peer_asks: true, other: None };
    found("symmetric_nat_on_this_side_of_a_call", [SYMMETRIC, CONE], knows);
    found("symmetric_nat_on_the_other_side_of_a_call", [CONE, SYMMETRIC], knows);
    let knows = Knows { peer_asks: false, ..knows };
    found("symmetric_nat_on_the_other_side_that_says_nothing", [CONE, SYMMETRIC], knows);
}

/// The second port of the server's one address does not tell them from cones.
#[test]
fn nats_that_map_by_address_on_both_sides() {
    let by_address = Behaviour {
        mapping: Dependence::AddressDependent,
        port_preservation: false,
        ..Behaviour::port_restricted()
    };
    let knows = Knows { own: true, peer_asks: true, other: None };
    found("nats_that_map_by_address_on_both_sides", [by_address; 2], knows);
}

/// Two homes of one carrier, whose NAT does not turn packets round.
#[test]
fn both_are_behind_one_nat_in_networks_apart() {
    let mut place = Place::new();
    let carrier = place.world.network().inside(place.here.gateway);
    let mut home = |number| {
        let seen = [100, 64, 0, number].into();
        home_in(&mut place.world, (carrier, seen), number, CONE)
    };
    let (here, there) = (home(1), home(2));
    place.here = here;
    let knows = Knows { own: true, peer_asks: true, other: None };
    let mut two = Two::at(place, plain(2), there, knows, |_| {});
    two.diagnose(plain(1));
    two.place.assert_found("both_are_behind_one_nat_in_networks_apart");
}

/// Its cable is pulled once it has answered.
#[test]
fn peer_that_has_gone_since_its_answer() {
    let mut two = Two::new([CONE, CONE], Knows::default());
    two.goes = true;
    two.diagnose(plain(1));
    two.place.assert_found("peer_that_has_gone_since_its_answer");
}

#[test]
fn peer_has_ipv6_alone_and_this_host_has_it_not() {
    let mut place = Place::new();
    let host =
        place.world.network_mut().add_host(INTERNET, &[ipv6(2)], Link::after(Duration::from_millis(20)));
    let there = Home { host, ..place.here };
    let by_ipv6 = |config: &mut client::Config| (config.server, config.known_as) = (SERVER_V6, SERVER_V6);
    let mut two = Two::at(place, plain(2), there, Knows::default(), by_ipv6);
    two.diagnose(plain(1));
    two.place.assert_found("peer_has_ipv6_alone_and_this_host_has_it_not");
}

#[test]
fn peer_whose_clock_is_ten_minutes_ahead() {
    let ahead = |config: &mut client::Config| config.unix_time = UNIX_TIME + 600;
    let mut two = Two::of(keyed(2), [CONE, CONE], Knows::default(), ahead);
    two.diagnose(keyed(1));
    two.place.assert_found("peer_whose_clock_is_ten_minutes_ahead");
}

/// A young server asks for patience for half a minute: the peer may be about to come back.
#[test]
fn peer_that_is_not_there() {
    let mut two = Two::alone();
    two.diagnose(plain(1));
    two.place.assert_found("peer_that_is_not_there");
}

#[test]
fn peer_that_has_gone_without_a_word() {
    let mut two = Two::new([CONE, CONE], Knows::default());
    two.unplug();
    two.diagnose(plain(1));
    two.place.assert_found("peer_that_has_gone_without_a_word");
}

/// Offer and answer have several fragments, of which the last, which is short, passes.
fn long_ones_lost(name: &str, shorten: impl FnOnce(&mut Link)) {
    let mut two = Two::new([CONE, CONE], Knows::default());
    two.offered = vec![b'.'; 2 * FRAGMENT + 100];
    let host = two.place.world.host(two.bob.unwrap());
    let mut link = two.place.world.network().link(host);
    shorten(&mut link);
    two.place.world.network_mut().set_link(host, link);
    two.diagnose(plain(1));
    two.place.assert_found(name);
}

#[test]
fn mtu_black_hole_at_the_peer() {
    long_ones_lost("mtu_black_hole_before_the_peer", |link| link.down.mtu = 1100);
    long_ones_lost("mtu_black_hole_behind_the_peer", |link| link.up.mtu = 1100);
}

#[test]
fn peer_that_does_not_pick_up() {
    let mut two = Two::new([CONE, CONE], Knows::default());
    two.bob = None;
    two.diagnose(plain(1));
    two.place.assert_found("peer_that_does_not_pick_up");
}

/// One whose protocol has the next version, which to it is its own; the server's is another.
struct Next<A>(A);

impl<A: Asking> Asking for Next<A> {
    fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        let mut datagram = self.0.poll(now)?;
        datagram[2] += 1;
        Some(datagram)
    }

    fn take(&mut self, now: roundtable_proto::Instant, come: io::Result<&[u8]>) {
        let mut datagram = come.unwrap().to_vec();
        // What the server says of its own version, in the header and in the detail, read by one of this version.
        datagram[2] += 1;
        datagram[HEADER + 19] += 1;
        self.0.take(now, Ok(&datagram));
    }

    fn next(&self) -> Option<Instant> {
        self.0.next()
    }
}

/// What both ends see: the peer cannot register, so it is not there; its doctor says why.
#[test]
fn peer_of_another_version() {
    let mut two = Two::alone();
    let there = home(&mut two.place.world, 2, CONE);
    let port = two.place.open(there.host);
    let mut registering = Next(Registering::new(SERVER_V4).unwrap());
    let first = registering.poll(two.place.world.now()).unwrap();
    two.place.world.send(there.host, port, SERVER_V4, &first);
    two.place.world.run(secs(1));
    let come = two.place.world.take(there.host, port);
    let [Arrival::Datagram { contents, .. }] = &come[..] else { panic!("{come:?}") };
    let Ok(Frame::Error(refusal)) = wire::decode(contents) else { panic!("{contents:?}") };
    let expected = (ErrorCode::Version.number(), Kind::Register.number(), wire::VERSION);
    assert_eq!((refusal.code, refusal.kind, refusal.detail), expected);

    two.place.head("diagnose, here");
    two.diagnose(plain(1));
    two.place.head("doctor, there");
    let mut pings = Next(Pings::new());
    two.place.ask(there.host, (port, port), SERVER_V4, &mut pings);
    let reach = reach::Reach { server: SERVER_V4, local: None, heard: pings.0.heard, silence: None };
    two.place.note(&reach::judge(&reach));
    two.place.assert_found("peer_of_another_version");
}
