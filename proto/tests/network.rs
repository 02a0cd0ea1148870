//! The virtual network does what it says: each behaviour by one exact example.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use roundtable_proto::Instant;
use roundtable_proto::vnet::{
    Behaviour, Conditions, Delivery, Dependence, DropCause, Gateway, Host, INTERNET, Link, Network, Unasked,
};

const SEED: u64 = 1;
const PORT: u16 = 5000;
const MS: Duration = Duration::from_millis(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn instant() -> Link {
    Link::after(Duration::ZERO)
}

/// Sends and returns what arrives within a second.
fn exchange(network: &mut Network, host: Host, to: &str, contents: &[u8]) -> Vec<Delivery> {
    network.send(host, PORT, addr(to), contents);
    drain(network)
}

fn drain(network: &mut Network) -> Vec<Delivery> {
    let until = network.now() + Duration::from_secs(1);
    std::iter::from_fn(|| network.poll(until)).collect()
}

/// Returns the source that the receiver of a datagram sees.
fn seen(network: &mut Network, host: Host, to: &str) -> SocketAddr {
    let arrived = exchange(network, host, to, b"x");
    assert_eq!(arrived.len(), 1, "{:?}", network.drops());
    arrived[0].from
}

fn dropped(network: &Network, cause: DropCause) -> u64 {
    network.drops().get(&cause).copied().unwrap_or_default()
}

/// One host behind a NAT, and three public endpoints on two hosts.
struct Behind {
    network: Network,
    nat: Gateway,
    host: Host,
    first: Host,
    second: Host,
}

const FIRST: &str = "203.0.113.1:5000";
const FIRST_OTHER_PORT: &str = "203.0.113.1:5001";
const SECOND: &str = "203.0.113.2:5000";

impl Behind {
    fn new(behaviour: Behaviour) -> Self {
        let mut network = Network::new(SEED);
        let nat = network.add_nat(INTERNET, ip("198.51.100.1"), behaviour, instant());
        let inside = network.inside(nat);
        let host = network.add_host(inside, &[ip("192.168.0.2")], instant());
        let first = network.add_host(INTERNET, &[ip("203.0.113.1")], instant());
        let second = network.add_host(INTERNET, &[ip("203.0.113.2")], instant());
        Self { network, nat, host, first, second }
    }

    fn seen_by(&mut self, remote: &str) -> SocketAddr {
        seen(&mut self.network, self.host, remote)
    }

    /// Tells whether a datagram from that host and port comes in through `public`.
    fn comes_in(&mut self, from: Host, port: u16, public: SocketAddr) -> bool {
        self.network.send(from, port, public, b"in");
        let arrived = drain(&mut self.network);
        assert!(arrived.iter().all(|delivery| delivery.host == self.host && delivery.to.port() == PORT));
        arrived.len() == 1
    }
}

#[test]
fn datagram_arrives_once_after_the_delay_of_both_links_with_its_source() {
    let mut network = Network::new(SEED);
    let a = network.add_host(INTERNET, &[ip("203.0.113.1")], Link::after(10 * MS));
    let b = network.add_host(INTERNET, &[ip("203.0.113.2")], Link::after(15 * MS));
    network.send(a, PORT, addr("203.0.113.2:7"), b"hello");

    assert_eq!(network.poll(Instant::ORIGIN + 24 * MS), None);
    let delivery = network.poll(Instant::ORIGIN + 60 * MS).unwrap();

    assert_eq!(network.now(), Instant::ORIGIN + 25 * MS);
    assert_eq!(
        delivery,
        Delivery {
            host: b,
            from: addr("203.0.113.1:5000"),
            to: addr("203.0.113.2:7"),
            is_refusal: false,
            contents: b"hello".to_vec()
        }
    );
    assert_eq!(drain(&mut network), []);
}

#[test]
fn directions_of_a_link_differ() {
    let mut network = Network::new(SEED);
    let up_closed =
        Link { up: Conditions { open: false, ..Conditions::after(MS) }, down: Conditions::after(MS) };
    let a = network.add_host(INTERNET, &[ip("203.0.113.1")], up_closed);
    let b = network.add_host(INTERNET, &[ip("203.0.113.2")], instant());

    assert_eq!(exchange(&mut network, a, "203.0.113.2:5000", b"out").len(), 0);
    assert_eq!(exchange(&mut network, b, "203.0.113.1:5000", b"in").len(), 1);
    assert_eq!(dropped(&network, DropCause::Partition), 1);
}

#[test]
fn partition_ends_at_run_time() {
    let mut network = Network::new(SEED);
    let a = network.add_host(INTERNET, &[ip("203.0.113.1")], instant());
    network.add_host(INTERNET, &[ip("203.0.113.2")], instant());
    let mut link = network.link(a);
    link.set_open(false);
    network.set_link(a, link);
    assert_eq!(exchange(&mut network, a, "203.0.113.2:5000", b"lost").len(), 0);

    link.set_open(true);
    network.set_link(a, link);

    assert_eq!(exchange(&mut network, a, "203.0.113.2:5000", b"found")[0].contents, b"found");
}

#[test]
fn packet_of_the_mtu_passes_and_one_byte_more_is_dropped() {
    let mut network = Network::new(SEED);
    let small = Link::symmetric(Conditions { mtu: 1280, ..Conditions::after(MS) });
    let both = [ip("203.0.113.1"), ip("2001:db8::1")];
    let a = network.add_host(INTERNET, &both, small);
    network.add_host(INTERNET, &[ip("203.0.113.2"), ip("2001:db8::2")], instant());

    for (to, headers) in [("203.0.113.2:5000", 28), ("[2001:db8::2]:5000", 48)] {
        let before = dropped(&network, DropCause::TooLong);
        assert_eq!(exchange(&mut network, a, to, &vec![0; 1280 - headers]).len(), 1);
        assert_eq!(exchange(&mut network, a, to, &vec![0; 1281 - headers]).len(), 0);
        assert_eq!(dropped(&network, DropCause::TooLong) - before, 1);
    }
}

/// Sends 10,000 numbered datagrams over such a link and returns the numbers in the order of arrival.
fn numbers(seed: u64, conditions: Conditions) -> Vec<u16> {
    let mut network = Network::new(seed);
    let a = network.add_host(INTERNET, &[ip("203.0.113.1")], Link::symmetric(conditions));
    network.add_host(INTERNET, &[ip("203.0.113.2")], instant());
    let mut arrived = Vec::new();
    for number in 0_u16..10_000 {
        network.send(a, PORT, addr("203.0.113.2:5000"), &number.to_be_bytes());
        let until = network.now() + MS;
        arrived.extend(std::iter::from_fn(|| network.poll(until)));
    }
    arrived.extend(drain(&mut network));
    arrived.iter().map(|delivery| u16::from_be_bytes([delivery.contents[0], delivery.contents[1]])).collect()
}

fn is_ordered(numbers: &[u16]) -> bool {
    numbers.is_sorted()
}

#[test]
fn loss_loses_its_part_and_keeps_the_order() {
    let arrived = numbers(SEED, Conditions { loss: 0.3, ..Conditions::after(MS) });
    assert!((6800..7200).contains(&arrived.len()), "{}", arrived.len());
    assert!(is_ordered(&arrived));
}

#[test]
fn duplication_doubles_its_part() {
    let arrived = numbers(SEED, Conditions { duplication: 0.1, ..Conditions::after(MS) });
    assert!((10_900..11_100).contains(&arrived.len()), "{}", arrived.len());
    let mut once = arrived.clone();
    once.dedup();
    assert_eq!(once.len(), 10_000);
}

#[test]
fn jitter_alone_keeps_the_order() {
    let arrived = numbers(SEED, Conditions { jitter: 50 * MS, ..Conditions::after(MS) });
    assert_eq!(arrived.len(), 10_000);
    assert!(is_ordered(&arrived));
}

#[test]
fn reordering_lets_later_datagrams_overtake_and_loses_none() {
    let conditions = Conditions { reordering: 0.2, held_back: 20 * MS, ..Conditions::after(MS) };
    let mut arrived = numbers(SEED, conditions);
    assert!(!is_ordered(&arrived));
    arrived.sort_unstable();
    assert_eq!(arrived, (0..10_000).collect::<Vec<_>>());
}

#[test]
fn same_seed_gives_the_same_run_and_another_seed_another() {
    let conditions = Conditions {
        loss: 0.3,
        duplication: 0.1,
        reordering: 0.2,
        held_back: 20 * MS,
        ..Conditions::after(MS)
    };
    assert_eq!(numbers(7, conditions), numbers(7, conditions));
    assert_ne!(numbers(7, conditions), numbers(8, conditions));
}

#[test]
fn endpoint_independent_mapping_shows_every_remote_the_same_port() {
    let mut behind =
        Behind::new(Behaviour::new(Dependence::EndpointIndependent, Dependence::AddressAndPortDependent));
    let public = addr("198.51.100.1:5000");
    assert_eq!([FIRST, FIRST_OTHER_PORT, SECOND].map(|remote| behind.seen_by(remote)), [public; 3]);
}

#[test]
fn address_dependent_mapping_shows_each_address_its_own_port() {
    let mut behind =
        Behind::new(Behaviour::new(Dependence::AddressDependent, Dependence::AddressAndPortDependent));
    let [first, other_port, second] = [FIRST, FIRST_OTHER_PORT, SECOND].map(|remote| behind.seen_by(remote));
    assert_eq!(first, other_port);
    assert_ne!(first, second);
}

#[test]
fn symmetric_nat_shows_each_endpoint_its_own_port_and_never_the_inside_one() {
    let mut behind = Behind::new(Behaviour::symmetric());
    let ports = [FIRST, FIRST_OTHER_PORT, SECOND].map(|remote| behind.seen_by(remote).port());
    assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2], "{ports:?}");
    assert!(!ports.contains(&PORT));
    assert_eq!(behind.seen_by(SECOND).port(), ports[2]);
}

#[test]
fn filtering_lets_in_whom_its_kind_allows() {
    for (filtering, other_port, other_host) in [
        (Dependence::EndpointIndependent, true, true),
        (Dependence::AddressDependent, true, false),
        (Dependence::AddressAndPortDependent, false, false),
    ] {
        let mut behind = Behind::new(Behaviour::new(Dependence::EndpointIndependent, filtering));
        let (first, second) = (behind.first, behind.second);
        let public = behind.seen_by(FIRST);
        assert!(behind.comes_in(first, PORT, public), "{filtering:?}");
        assert_eq!(behind.comes_in(first, PORT + 1, public), other_port, "{filtering:?}");
        assert_eq!(behind.comes_in(second, PORT, public), other_host, "{filtering:?}");
    }
}

#[test]
fn nothing_comes_in_before_anything_went_out() {
    for filtering in Dependence::ALL {
        let mut behind = Behind::new(Behaviour::new(Dependence::EndpointIndependent, filtering));
        let first = behind.first;
        assert!(!behind.comes_in(first, PORT, addr("198.51.100.1:5000")));
        assert_eq!(dropped(&behind.network, DropCause::NoMapping), 1);
    }
}

#[test]
fn second_host_with_the_same_port_gets_another_one() {
    let mut behind = Behind::new(Behaviour::port_restricted());
    let inside = behind.network.inside(behind.nat);
    let neighbour = behind.network.add_host(inside, &[ip("192.168.0.3")], instant());

    assert_eq!(behind.seen_by(FIRST).port(), PORT);
    assert_ne!(seen(&mut behind.network, neighbour, FIRST).port(), PORT);
}

#[test]
fn mapping_lives_as_long_as_outbound_packets_refresh_it_and_inbound_ones_do_not() {
    let mut behind =
        Behind::new(Behaviour { lifetime: Duration::from_secs(30), ..Behaviour::port_restricted() });
    let first = behind.first;
    let public = behind.seen_by(FIRST);
    for _ in 0..5 {
        behind.network.poll(behind.network.now() + Duration::from_secs(25));
        assert_eq!(behind.seen_by(FIRST), public);
    }
    for _ in 0..2 {
        behind.network.poll(behind.network.now() + Duration::from_secs(13));
        assert!(behind.comes_in(first, PORT, public));
    }
    behind.network.poll(behind.network.now() + Duration::from_secs(2));
    assert!(!behind.comes_in(first, PORT, public));
}

#[test]
fn rebind_gives_another_port_and_closes_the_old_one() {
    let mut behind = Behind::new(Behaviour::full_cone());
    let first = behind.first;
    let before = behind.seen_by(FIRST);
    behind.network.rebind(behind.nat);

    let after = behind.seen_by(FIRST);

    assert_eq!(after.ip(), before.ip());
    assert_ne!(after.port(), before.port());
    assert!(!behind.comes_in(first, PORT, before));
    assert!(behind.comes_in(first, PORT, after));
}

#[test]
fn rebind_to_another_address_closes_the_old_one() {
    let mut behind = Behind::new(Behaviour::full_cone());
    let first = behind.first;
    let before = behind.seen_by(FIRST);
    behind.network.rebind_to(behind.nat, ip("198.51.100.9"));

    let after = behind.seen_by(FIRST);

    assert_eq!(after.ip(), ip("198.51.100.9"));
    assert!(!behind.comes_in(first, PORT, before));
    assert_eq!(dropped(&behind.network, DropCause::NoRoute), 1);
    assert!(behind.comes_in(first, PORT, after));
}

#[test]
fn hairpin_turns_back_only_where_the_nat_does_so() {
    for hairpin in [true, false] {
        let mut behind = Behind::new(Behaviour { hairpin, ..Behaviour::full_cone() });
        let inside = behind.network.inside(behind.nat);
        let neighbour = behind.network.add_host(inside, &[ip("192.168.0.3")], instant());
        let public = behind.seen_by(FIRST).to_string();

        let arrived = exchange(&mut behind.network, neighbour, &public, b"neighbour");

        assert_eq!(arrived.len(), usize::from(hairpin));
        assert_eq!(dropped(&behind.network, DropCause::NoHairpin), u64::from(!hairpin));
        assert!(
            arrived
                .iter()
                .all(|delivery| { delivery.host == behind.host && delivery.from.ip() == ip("198.51.100.1") })
        );
    }
}

#[test]
fn neighbours_reach_each_other_at_local_addresses() {
    let mut behind = Behind::new(Behaviour::symmetric());
    let inside = behind.network.inside(behind.nat);
    let neighbour = behind.network.add_host(inside, &[ip("192.168.0.3")], instant());
    let arrived = exchange(&mut behind.network, neighbour, "192.168.0.2:5000", b"local");
    assert_eq!(arrived[0].from, addr("192.168.0.3:5000"));
}

#[test]
fn carrier_nat_behind_home_nat_translates_twice_and_lets_the_answer_in() {
    let mut network = Network::new(SEED);
    let carrier = network.add_nat(INTERNET, ip("198.51.100.1"), Behaviour::port_restricted(), instant());
    let middle = network.inside(carrier);
    let home = network.add_nat(middle, ip("100.64.0.7"), Behaviour::port_restricted(), instant());
    let inside = network.inside(home);
    let host = network.add_host(inside, &[ip("192.168.0.2")], instant());
    let server = network.add_host(INTERNET, &[ip("203.0.113.1")], instant());

    let public = seen(&mut network, host, FIRST);
    assert_eq!(public.ip(), ip("198.51.100.1"));

    let arrived = exchange(&mut network, server, &public.to_string(), b"answer");
    assert_eq!((arrived[0].host, arrived[0].to), (host, addr("192.168.0.2:5000")));
}

#[test]
fn blocked_udp_lets_nothing_out_or_in() {
    let mut behind = Behind::new(Behaviour::blocked());
    let first = behind.first;
    assert_eq!(exchange(&mut behind.network, behind.host, FIRST, b"x"), []);
    assert!(!behind.comes_in(first, PORT, addr("198.51.100.1:5000")));
    assert_eq!(dropped(&behind.network, DropCause::Blocked), 2);
}

#[test]
fn ipv6_firewall_keeps_the_address_and_lets_in_only_answers() {
    let mut network = Network::new(SEED);
    let firewall = network.add_firewall(INTERNET, Behaviour::port_restricted(), instant());
    let inside = network.inside(firewall);
    let host = network.add_host(inside, &[ip("2001:db8:1::2")], instant());
    let remote = network.add_host(INTERNET, &[ip("2001:db8:2::2")], instant());

    assert_eq!(exchange(&mut network, remote, "[2001:db8:1::2]:5000", b"unasked"), []);
    assert_eq!(seen(&mut network, host, "[2001:db8:2::2]:5000"), addr("[2001:db8:1::2]:5000"));
    assert_eq!(exchange(&mut network, remote, "[2001:db8:1::2]:5000", b"answer").len(), 1);
}

#[test]
fn packet_taken_by_the_router_moves_the_inside_host_to_another_port_for_that_remote_alone() {
    let mut behind = Behind::new(Behaviour { unasked: Unasked::Accept, ..Behaviour::port_restricted() });
    let (first, second) = (behind.first, behind.second);
    let public = behind.seen_by(SECOND);
    assert!(!behind.comes_in(first, PORT, public));

    let trapped = behind.seen_by(FIRST);

    assert_ne!(trapped, public);
    assert!(!behind.comes_in(first, PORT, public));
    assert!(behind.comes_in(first, PORT, trapped));
    assert!(behind.comes_in(second, PORT, public));
    assert_eq!(behind.seen_by(SECOND), public);
}

#[test]
fn host_that_moved_receives_at_its_new_address_and_loses_what_was_under_way() {
    let mut behind = Behind::new(Behaviour::full_cone());
    let slow = Link::after(100 * MS);
    behind.network.set_link(behind.host, slow);
    let public = behind.seen_by(FIRST);
    behind.network.send(behind.first, PORT, public, b"late");
    behind.network.poll(behind.network.now() + 50 * MS);
    behind.network.move_host(behind.host, INTERNET, &[ip("203.0.113.77")]);

    assert_eq!(drain(&mut behind.network), []);
    assert_eq!(behind.seen_by(FIRST), addr("203.0.113.77:5000"));
    assert_eq!(exchange(&mut behind.network, behind.first, "203.0.113.77:5000", b"new").len(), 1);
}

#[test]
fn spoofed_source_reaches_the_receiver() {
    let mut behind = Behind::new(Behaviour::full_cone());
    behind.network.send_spoofed(INTERNET, addr("192.0.2.66:1"), addr(FIRST), b"spoofed");
    assert_eq!(drain(&mut behind.network)[0].from, addr("192.0.2.66:1"));
}

#[test]
fn host_says_on_the_way_of_an_answer_that_nothing_listens_on_a_port() {
    let mut network = Network::new(1);
    let nat =
        network.add_nat(INTERNET, ip("198.51.100.1"), Behaviour::port_restricted(), Link::after(5 * MS));
    let home = network.inside(nat);
    let a = network.add_host(home, &[ip("192.168.0.2")], Link::after(MS));
    network.add_host(INTERNET, &[ip("203.0.113.2")], Link::after(15 * MS));
    network.send(a, PORT, addr("203.0.113.2:7"), b"hello");
    let arrived = network.poll(Instant::ORIGIN + 100 * MS).unwrap();
    network.refuse(&arrived);
    let told = network.poll(Instant::ORIGIN + 100 * MS).unwrap();
    assert_eq!(network.now(), Instant::ORIGIN + 42 * MS);
    let (from, to) = (addr("203.0.113.2:7"), addr("192.168.0.2:5000"));
    assert_eq!(told, Delivery { host: a, from, to, is_refusal: true, contents: Vec::new() });
    assert_eq!(drain(&mut network), []);
}
