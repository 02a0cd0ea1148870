//! Two peers that were told to start at the same moment find a path wherever their NATs allow one.

#![expect(clippy::unwrap_used, reason = "a test")]

mod rig;

use std::time::Duration;

use rig::{Home, PORT, Pair, bad, count, ms, secs, seeds};
use roundtable_proto::Instant;
use roundtable_proto::client::{Event, PROBE_TIME};
use roundtable_proto::vnet::{Behaviour, Dependence, Link, Unasked};

const SEED: u64 = 3;

/// Has two peers call and punch, and counts the paths and the failures of each.
fn punch(homes: [Home; 2], links: [Link; 2]) -> [(usize, usize); 2] {
    punch_with(SEED, homes, links)
}

fn punch_with(seed: u64, homes: [Home; 2], links: [Link; 2]) -> [(usize, usize); 2] {
    let mut pair = Pair::registered(seed, homes, links, [1_000, 1_000]);
    let offer = pair.call();
    // The caller asks as soon as it can; that tells the callee that the answer is there.
    assert!(pair.run_to(secs(30), Pair::is_answered).is_some(), "{homes:?}; {}", pair.world.whereabouts());
    let punched = pair.world.command(pair.caller.seat, |client, now| client.punch(now, offer));
    assert!(punched.is_ok(), "{punched:?}");
    pair.run(secs(12));
    outcome(&pair)
}

/// Counts the paths and the failures of each.
fn outcome(pair: &Pair) -> [(usize, usize); 2] {
    [pair.caller, pair.callee].map(|resident| {
        (
            count(&pair.world, &resident, |event| matches!(event, Event::Path { .. })),
            count(&pair.world, &resident, |event| matches!(event, Event::PunchFailed { .. })),
        )
    })
}

fn links() -> [Link; 2] {
    [Link::after(ms(20)), Link::after(ms(50))]
}

const PATH: [(usize, usize); 2] = [(1, 0), (1, 0)];
const NO_PATH: [(usize, usize); 2] = [(0, 1), (0, 1)];

/// A home as far as punching is concerned: does its port depend on the remote, and whom does it let in?
fn homes() -> Vec<(Home, bool, Option<Dependence>)> {
    let cones = [
        (Behaviour::full_cone(), Dependence::EndpointIndependent),
        (Behaviour::address_restricted(), Dependence::AddressDependent),
        (Behaviour::port_restricted(), Dependence::AddressAndPortDependent),
    ];
    let mut homes = vec![
        (Home::Open, false, None),
        (Home::Nat(Behaviour::symmetric()), true, Some(Dependence::AddressAndPortDependent)),
        (
            Home::Nat(Behaviour::new(Dependence::AddressDependent, Dependence::AddressDependent)),
            true,
            Some(Dependence::AddressDependent),
        ),
    ];
    for (behaviour, filtering) in cones {
        homes.push((Home::Nat(behaviour), false, Some(filtering)));
        homes.push((Home::Carrier(behaviour), false, Some(filtering)));
    }
    homes
}

/// A side whose port cannot be foreseen needs another side that it can find and that lets in an unforeseen port.
fn can_work(a: &(Home, bool, Option<Dependence>), b: &(Home, bool, Option<Dependence>)) -> bool {
    let finds = |moving: bool, other: &(Home, bool, Option<Dependence>)| {
        !moving || !other.1 && other.2 != Some(Dependence::AddressAndPortDependent)
    };
    finds(a.1, b) && finds(b.1, a)
}

#[test]
fn both_sides_find_a_path_for_each_pair_of_nats_that_allows_one_and_fail_for_each_that_does_not() {
    let mut worked = 0;
    for a in &homes() {
        for b in &homes() {
            let expected = if can_work(a, b) { PATH } else { NO_PATH };
            assert_eq!(punch([a.0, b.0], links()), expected, "{:?} and {:?}", a.0, b.0);
            worked += usize::from(expected == PATH);
        }
    }
    assert_eq!((homes().len(), worked), (9, 69));
}

#[test]
fn ipv6_firewalls_open_for_each_other() {
    let home = Home::Firewall(Behaviour::port_restricted());
    assert_eq!(punch([home, home], links()), PATH);
}

#[test]
fn path_is_found_at_twenty_percent_loss_with_reordering() {
    let home = Home::Nat(Behaviour::port_restricted());
    for delay in [5, 20, 80] {
        let links = [Link::symmetric(bad(ms(10), 0.2)), Link::symmetric(bad(ms(delay), 0.2))];
        assert_eq!(punch([home, home], links), PATH, "{delay} ms");
    }
}

/// A link that loses three in ten, so that half of what passes two of them is lost: what the peers say to each other,
/// and what they say through the server.
fn half_lost_on_two(delay: u64) -> Link {
    Link::symmetric(bad(ms(delay), 0.3))
}

#[test]
fn path_is_always_found_where_half_is_lost_between_the_peers() {
    let home = Home::Nat(Behaviour::port_restricted());
    for seed in seeds(0..200) {
        let links = [half_lost_on_two(10), half_lost_on_two(30)];
        assert_eq!(punch_with(seed, [home, home], links), PATH, "seed {seed}");
    }
}

#[test]
fn both_are_registered_called_and_told_to_punch_where_half_is_lost_on_every_link() {
    let home = Home::Nat(Behaviour::port_restricted());
    for seed in seeds(0..200) {
        let links = [10, 30].map(|delay| Link::symmetric(bad(ms(delay), 0.5)));
        let mut pair = Pair::registered(seed, [home, home], links, [1_000, 1_000]);
        assert!(
            pair.world.now() <= Instant::ORIGIN + secs(30),
            "seed {seed}: registered after {}",
            pair.world.now()
        );
        let offer = pair.call();
        assert!(pair.run_to(secs(30), Pair::is_answered).is_some(), "seed {seed}: not answered");
        pair.world.command(pair.caller.seat, |client, now| client.punch(now, offer)).unwrap();
        assert!(pair.run_to(PROBE_TIME, Pair::is_confirmed).is_some(), "seed {seed}: not told");
    }
}

#[test]
fn simultaneous_start_keeps_routers_that_accept_unasked_packets_from_taking_the_flow() {
    let home = Home::Nat(Behaviour { unasked: Unasked::Accept, ..Behaviour::port_restricted() });
    for (a, b) in [(5, 5), (5, 100), (100, 5), (40, 60)] {
        assert_eq!(punch([home, home], [Link::after(ms(a)), Link::after(ms(b))]), PATH, "{a} and {b} ms");
    }
}

/// Has two peers call and punch behind routers that take for their own what nobody has asked for, while the callee's host is
/// cut off for so long: the server's word comes late, and the caller's probes have reached the callee's router before. Tells
/// what each has in the end, and how often a fresh port was asked for; `heals` says whether it is given.
fn trapped(cut_off: Duration, heals: bool) -> ([(usize, usize); 2], usize) {
    let home = Home::Nat(Behaviour { unasked: Unasked::Accept, ..Behaviour::port_restricted() });
    let mut pair = Pair::registered(SEED, [home, home], links(), [1_000, 1_000]);
    let offer = pair.call();
    assert!(pair.run_to(secs(30), Pair::is_complete).is_some());
    let link = pair.world.network().link(pair.callee.host);
    pair.world.network_mut().set_link(pair.callee.host, Link::symmetric(bad(ms(1), 1.0)));
    pair.world.command(pair.caller.seat, |client, now| client.punch(now, offer)).unwrap();
    pair.run(cut_off);
    pair.world.network_mut().set_link(pair.callee.host, link);
    let wants = |event: &Event| matches!(event, Event::FreshPort { .. });
    let (mut given, mut port) = ([0, 0], PORT);
    let until = pair.world.now() + secs(12);
    while pair.step(until) {
        for (given, peer) in given.iter_mut().zip([pair.caller, pair.callee]) {
            if count(&pair.world, &peer, wants) == *given {
                continue;
            }
            *given += 1;
            port += 1;
            if heals {
                pair.world.change_port(peer.seat, port);
                pair.world.command(peer.seat, |client, now| client.rebind(now));
            }
        }
    }
    (outcome(&pair), given[0] + given[1])
}

#[test]
fn fresh_port_heals_where_a_router_has_taken_the_flow_for_its_own_and_nothing_else_does() {
    // The paths take 70 ms between the peers.
    assert_eq!(trapped(Duration::ZERO, true), (PATH, 0));
    for late in [200, 500] {
        // The caller's heals; where it did not, the callee's would have been next.
        assert_eq!(trapped(ms(late), true), (PATH, 1), "{late} ms");
        assert_eq!(trapped(ms(late), false), (NO_PATH, 2), "{late} ms");
    }
}
