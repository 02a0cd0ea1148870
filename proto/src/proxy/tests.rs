use super::*;
use crate::wire::DATAGRAM_MAX;

/// The number of the first way.
const FIRST: Via = Via(10);
/// How many peers there can be.
const PEERS: u32 = 4;

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A datagram from there came to local address number 1.
fn from(text: &str) -> Path {
    Path { remote: address(text), via: Via(1) }
}

fn gate(protocol: Protocol) -> Gate {
    let trusted = ["192.0.2.0/24", "2001:db8::/32"].map(|one| one.parse().unwrap());
    Gate::new(protocol, &trusted, FIRST, PEERS, &Seed::from_number(1))
}

fn simple(client: &str, proxy: &str, datagram: &[u8]) -> Vec<u8> {
    let header = spp::Header { client: address(client), proxy: address(proxy) };
    [&header.to_bytes()[..], datagram].concat()
}

/// With a header of version 2, from an IPv4 client.
fn headed(client: &str, proxy: &str, datagram: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (address(client).ip(), address(proxy).ip()) else { panic!() };
    let ports = [address(client), address(proxy)].map(|one| one.port().to_be_bytes());
    [&v2::SIGNATURE[..], &[0x21, 0x12, 0, 12], &from.octets(), &to.octets(), &ports[0], &ports[1], datagram]
        .concat()
}

const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0ping";

fn sent(gate: &mut Gate, path: Path, segment_size: usize, contents: &[u8]) -> Vec<(Path, usize, Vec<u8>)> {
    gate.push(&Transmit { path, contents, segment_size });
    let sent = gate.poll_transmits();
    sent.map(|transmit| (transmit.path, transmit.segment_size, transmit.contents.to_vec())).collect()
}

const CLIENT: &str = "198.51.100.7:40123";
const PROXY: &str = "203.0.113.9:1066";

#[test]
fn datagram_of_a_proxy_comes_from_its_client_and_is_answered_behind_the_same_header() {
    let mut gate = gate(Protocol::Spp);
    for (source, client, proxy) in [
        ("192.0.2.1:5000", CLIENT, PROXY),
        ("[::ffff:192.0.2.1]:5000", "[2001:db8:7::7]:9", PROXY),
        ("[2001:db8::1]:5000", "[2001:db8:7::7]:9", "[2001:db8::2]:1066"),
    ] {
        let datagram = simple(client, proxy, b"question");
        let admitted = gate.admit(at(1), from(source), &datagram).unwrap();
        assert_eq!((admitted.path.remote, admitted.datagram), (address(client), &b"question"[..]));
        assert!(admitted.path.via.0 >= FIRST.0, "{:?}", admitted.path);
        let [(path, size, answer)] = &sent(&mut gate, admitted.path, 6, b"answer")[..] else { panic!() };
        assert_eq!(
            (path.remote.ip().to_canonical(), path.via),
            (address(source).ip().to_canonical(), Via(1))
        );
        assert_eq!((*size, &answer[..]), (44, &simple(client, proxy, b"answer")[..]));
        gate.settle(at(1), |_| false);
    }
    assert_eq!(gate.refusals(), Refusals::default());
}

#[test]
fn way_is_told_when_it_is_new_and_has_one_number_for_all_its_clients() {
    let mut gate = gate(Protocol::Spp);
    let mut admit = |source, client, proxy| {
        let datagram = simple(client, proxy, b"");
        let admitted = gate.admit(at(1), from(source), &datagram).unwrap();
        (admitted.path.via.0 - FIRST.0, admitted.opened)
    };
    assert_eq!(admit("192.0.2.1:5", CLIENT, PROXY), (0, Some(address(PROXY))));
    assert_eq!(admit("192.0.2.1:5", "198.51.100.8:1", PROXY), (0, None));
    assert_eq!(admit("192.0.2.1:6", CLIENT, PROXY), (1, Some(address(PROXY))));
    assert_eq!(admit("192.0.2.1:5", CLIENT, "203.0.113.9:1067"), (2, Some(address("203.0.113.9:1067"))));
    assert_eq!(admit("192.0.2.1:5", CLIENT, PROXY), (0, None));
}

#[test]
fn direct_peers_pass_as_they_come_and_their_headers_are_refused() {
    for protocol in [Protocol::Spp, Protocol::V2] {
        let mut gate = gate(protocol);
        let direct = from("198.51.100.9:1");
        for datagram in [&b"RT\x01\x04"[..], b"", b"\0\x01\0\0\x21\x12\xA4\x42"] {
            let admitted = gate.admit(at(1), direct, datagram).unwrap();
            assert_eq!(admitted, Admitted { path: direct, datagram, opened: None });
        }
        assert_eq!(sent(&mut gate, direct, 6, b"answer"), [(direct, 6, b"answer".to_vec())]);
        let forged = match protocol {
            Protocol::Spp => simple(CLIENT, PROXY, b"RT\x01\x04"),
            Protocol::V2 => headed(CLIENT, PROXY, b"RT\x01\x04"),
        };
        assert_eq!(gate.admit(at(1), direct, &forged), Err(Refusal::Untrusted));
        assert_eq!(gate.refusals().of(Refusal::Untrusted), 1);
        assert_eq!(gate.ways.len(), 0);
    }
}

#[test]
fn proxies_must_send_whole_headers() {
    let whole = simple(CLIENT, PROXY, b"");
    let truncated = Err(Refusal::Truncated);
    let mut simple_gate = gate(Protocol::Spp);
    let proxy = from("192.0.2.1:5");
    assert_eq!(simple_gate.admit(at(1), proxy, b"RT\x01\x04"), Err(Refusal::Missing));
    assert_eq!(simple_gate.admit(at(1), proxy, b""), Err(Refusal::Missing));
    assert_eq!(simple_gate.admit(at(1), proxy, &whole[..37]), truncated);
    assert_eq!(simple_gate.refusals().total(), 3);
    let mut flows = gate(Protocol::V2);
    let whole = headed(CLIENT, PROXY, b"");
    assert_eq!(flows.admit(at(1), proxy, b"RT\x01\x04"), Err(Refusal::Missing));
    assert_eq!(flows.admit(at(1), proxy, &whole[..27]), truncated);
    for (place, byte, refusal) in
        [(12, 0x11, Refusal::Version), (12, 0x22, Refusal::Command), (13, 0x11, Refusal::Family)]
    {
        let mut wrong = whole.clone();
        wrong[place] = byte;
        assert_eq!(flows.admit(at(1), proxy, &wrong), Err(refusal));
        assert_eq!(flows.refusals().of(refusal), 1);
    }
    let mut short = whole;
    short[15] = 11;
    assert_eq!(flows.admit(at(1), proxy, &short), Err(Refusal::Addresses));
    assert_eq!((flows.refusals().total(), flows.ways.len()), (6, 0));
}

#[test]
fn nothing_is_kept_of_a_way_that_no_peer_holds() {
    let mut gate = gate(Protocol::Spp);
    let mut admit = |end: &str, port: u16, held: u32| {
        let datagram = simple(CLIENT, &format!("203.0.113.9:{port}"), b"question");
        let admitted = gate.admit(at(1), from(&format!("{end}:{port}")), &datagram).unwrap();
        gate.settle(at(1), |via| via.0 < FIRST.0 + held);
        assert_eq!(gate.ways.len(), held as usize);
        admitted.path.via.0 - FIRST.0
    };
    // So many that no look at them in turn finds the one that nobody holds.
    for number in 0..100 {
        assert_eq!(admit("192.0.2.2", number + 1, u32::from(number) + 1), u32::from(number));
    }
    for port in 1..=10_000 {
        assert_eq!(admit("192.0.2.1", port, 100), 100, "the number of the one before is free again");
    }
}

#[test]
fn number_of_a_way_that_a_peer_holds_is_given_to_no_other() {
    let mut gate = gate(Protocol::Spp);
    let mut admit = |port: u16, held: &[u32]| {
        let datagram = simple(CLIENT, PROXY, b"");
        let admitted = gate.admit(at(1), from(&format!("192.0.2.1:{port}")), &datagram).unwrap();
        gate.settle(at(1), |via| held.contains(&(via.0 - FIRST.0)));
        (admitted.path.via.0 - FIRST.0, admitted.opened.is_some())
    };
    assert_eq!(admit(1, &[0]), (0, true));
    assert_eq!(admit(2, &[0, 1]), (1, true));
    assert_eq!(admit(1, &[0, 1]), (0, false));
    // The first one's peer has gone; the way goes when others come.
    assert_eq!(admit(3, &[1, 2]), (2, true));
    let numbers: Vec<_> = (4..8).map(|port| admit(port, &[1, 2]).0).collect();
    assert!(numbers.contains(&0) && !numbers.contains(&1) && !numbers.contains(&2), "{numbers:?}");
    assert_eq!(admit(2, &[1, 2]), (1, false));
    assert_eq!(admit(3, &[1, 2]), (2, false));
}

#[test]
fn many_ways_are_told_apart_by_each_of_their_parts() {
    let mut gate = gate(Protocol::Spp);
    let mut numbers = std::collections::BTreeSet::new();
    let mut datagrams = Vec::new();
    for number in 0..3000_u16 {
        // Every other one differs in the proxy's end, every other one in the address that was asked.
        let (end, asked) = if number % 2 == 0 { (number, 0) } else { (0, number) };
        let asked = format!("[2001:db8::{asked:x}]:{}", asked % 7);
        let mut path = from(&format!("192.0.2.{}:{}", end % 250, end / 250 + 1));
        path.via = Via(u32::from(number % 3));
        datagrams.push((path, simple(CLIENT, &asked, b"")));
    }
    for round in 0..2 {
        for (path, datagram) in &datagrams {
            let admitted = gate.admit(at(1), *path, datagram).unwrap();
            assert_eq!(admitted.opened.is_some(), round == 0);
            numbers.insert(admitted.path.via.0);
            gate.settle(at(1), |_| true);
        }
        assert_eq!(numbers.len(), datagrams.len());
    }
}

#[test]
fn ways_are_bounded_and_who_comes_by_one_more_is_refused_until_one_goes() {
    for protocol in [Protocol::Spp, Protocol::V2] {
        let mut gate = gate(protocol);
        gate.ways.set_limit(8);
        let datagram = match protocol {
            Protocol::Spp => simple(CLIENT, PROXY, b""),
            Protocol::V2 => headed(CLIENT, PROXY, b""),
        };
        let mut admit = |now, port: u16, is_held: bool| {
            let path = from(&format!("192.0.2.1:{port}"));
            let refusal = gate.admit(now, path, &datagram).err();
            gate.settle(now, |_| is_held);
            refusal
        };
        assert!((0..8).all(|port| admit(at(1), port, true).is_none()));
        assert_eq!(admit(at(1), 8, true), Some(Refusal::Full));
        assert_eq!(admit(at(1), 3, true), None, "{protocol:?}: those that are there are served");
        // Their peers have gone; flows are given a little time.
        assert_eq!(admit(at(20), 8, false), Some(Refusal::Full));
        assert_eq!(admit(at(20), 8, false), None);
    }
}

#[test]
fn every_datagram_of_a_train_is_headed_and_no_train_is_too_long_for_the_kernel() {
    let mut gate = gate(Protocol::Spp);
    let datagram = simple(CLIENT, PROXY, b"");
    let path = gate.admit(at(1), from("192.0.2.1:5"), &datagram).unwrap().path;
    // As long as the engine makes them: 54 of the largest, and a shorter one.
    let (size, count) = (DATAGRAM_MAX, 54);
    let contents: Vec<u8> = (0..size * count + 100).map(|at| (at / size) as u8).collect();
    let trains = sent(&mut gate, path, size, &contents);
    assert!(trains.iter().all(|(_, segment, bytes)| *segment == size + 38 && bytes.len() <= 65_000));
    let received: Vec<_> =
        trains.iter().flat_map(|(_, segment, bytes)| bytes.chunks(*segment).map(spp::split)).collect();
    assert_eq!(received.len(), count + 1);
    for (number, one) in received.into_iter().enumerate() {
        let (header, frame) = one.unwrap();
        assert_eq!((header.client, header.proxy), (address(CLIENT), address(PROXY)));
        assert_eq!(frame, vec![number as u8; if number == count { 100 } else { size }]);
    }
}

#[test]
fn flow_of_version_2_is_its_clients_from_the_first_datagram_on() {
    let mut gate = gate(Protocol::V2);
    let proxy = from("192.0.2.1:5");
    let first = headed(CLIENT, PROXY, b"one");
    let admitted = gate.admit(at(1), proxy, &first).unwrap();
    assert_eq!((admitted.path.remote, admitted.datagram), (address(CLIENT), &b"one"[..]));
    assert_eq!(admitted.opened, Some(address(PROXY)));
    gate.settle(at(1), |_| false);
    let next = gate.admit(at(2), proxy, b"two").unwrap();
    assert_eq!(next, Admitted { path: admitted.path, datagram: b"two", opened: None });
    // Whoever heads every datagram says the same again.
    let again = gate.admit(at(3), proxy, &first).unwrap();
    assert_eq!((again.path, again.opened, gate.ways.len()), (admitted.path, None, 1));
    assert_eq!(sent(&mut gate, admitted.path, 6, b"answer"), [(proxy, 6, b"answer".to_vec())]);
    assert_eq!(gate.admit(at(3), from("192.0.2.1:6"), b"two"), Err(Refusal::Missing));
}

#[test]
fn flow_for_which_its_client_names_another_client_or_address_of_the_proxy_is_nobodys() {
    for other in [
        &headed("198.51.100.8:1", PROXY, b"two")[..],
        &headed(CLIENT, "203.0.113.10:1066", b"two"),
        &headed(CLIENT, "203.0.113.9:1067", b"two"),
        &headed(CLIENT, "0.0.0.0:0", b"two"),
        LOCAL,
    ] {
        let mut gate = gate(Protocol::V2);
        let proxy = from("192.0.2.1:5");
        let first = headed(CLIENT, PROXY, b"one");
        let path = gate.admit(at(1), proxy, &first).unwrap().path;
        for (second, datagram) in [(2, other), (3, b"more"), (4, &first), (400, b"more"), (900, other)] {
            assert_eq!(gate.admit(at(second), proxy, datagram), Err(Refusal::Disputed), "{second}");
            gate.settle(at(second), |_| false);
        }
        assert_eq!(sent(&mut gate, path, 3, b"secret"), []);
        assert_eq!(gate.refusals().of(Refusal::Disputed), 5);
        // The proxy has long closed it when it is heard again.
        let later = at(900) + FLOW_TTL;
        assert!(gate.admit(later, proxy, &headed("198.51.100.8:1", PROXY, b"two")).is_ok());
        assert!(gate.admit(later, proxy, b"more").is_ok());
    }
}

#[test]
fn flow_of_the_proxy_itself_becomes_a_clients_at_once() {
    let mut gate = gate(Protocol::V2);
    let proxy = from("192.0.2.1:5");
    gate.admit(at(1), proxy, LOCAL).unwrap();
    let present = gate.admit(at(2), proxy, &headed(CLIENT, PROXY, b"one")).unwrap().path;
    assert_eq!(present.remote, address(CLIENT));
    assert_eq!(gate.admit(at(3), proxy, b"more").unwrap().path, present);
}

#[test]
fn flow_of_another_client_is_not_the_former_ones_where_there_is_no_room_for_it() {
    let mut gate = gate(Protocol::V2);
    gate.ways.set_limit(1);
    let proxy = from("192.0.2.1:5");
    let path = gate.admit(at(1), proxy, &headed(CLIENT, PROXY, b"one")).unwrap().path;
    gate.settle(at(1), |_| true);
    let other = headed("198.51.100.8:1", PROXY, b"two");
    assert_eq!(gate.admit(at(1) + FLOW_TTL, proxy, &other), Err(Refusal::Full));
    assert_eq!(gate.admit(at(1) + FLOW_TTL, proxy, b"more"), Err(Refusal::Missing));
    assert_eq!(sent(&mut gate, path, 3, b"secret"), []);
}

#[test]
fn flow_that_a_proxy_gives_to_another_client_is_closed_to_the_former_one() {
    let mut gate = gate(Protocol::V2);
    let proxy = from("192.0.2.1:5");
    let first = headed(CLIENT, PROXY, b"one");
    let former = gate.admit(at(1), proxy, &first).unwrap().path;
    gate.settle(at(1), |via| via == former.via);
    let second = headed("198.51.100.8:1", PROXY, b"two");
    let then = at(1) + FLOW_TTL;
    let present = gate.admit(then, proxy, &second).unwrap().path;
    assert_eq!(present.remote, address("198.51.100.8:1"));
    assert_ne!(present.via, former.via);
    assert_eq!(sent(&mut gate, former, 3, b"secret"), []);
    assert_eq!(gate.refusals().of(Refusal::Gone), 2);
    assert_eq!(sent(&mut gate, present, 6, b"answer").len(), 1);
    assert_eq!(gate.admit(then, proxy, b"more").unwrap().path, present);
    // Once the former one's registration has ended its number is free.
    for port in 6..9 {
        gate.admit(then, from(&format!("192.0.2.1:{port}")), &first).unwrap();
        gate.settle(then, |_| false);
    }
    assert!(gate.ways.get(former.via).is_none_or(|way| way.is_current()));
    assert_eq!(gate.admit(then, proxy, b"more").unwrap().path, present);
}

#[test]
fn flow_that_was_silent_for_its_time_is_its_clients_only_if_a_header_says_so() {
    let mut gate = gate(Protocol::V2);
    let proxy = from("192.0.2.1:5");
    let first = headed(CLIENT, PROXY, b"one");
    gate.admit(at(1), proxy, &first).unwrap();
    let just = FLOW_TTL - std::time::Duration::from_micros(1);
    assert!(gate.admit(at(1) + just, proxy, b"more").is_ok());
    let later = at(1) + just + FLOW_TTL;
    assert_eq!(gate.admit(later, proxy, b"more"), Err(Refusal::Missing));
    assert_eq!(gate.admit(later, proxy, &first[..27]), Err(Refusal::Truncated));
    assert_eq!(gate.admit(later, proxy, b"more"), Err(Refusal::Missing), "it has not been heard");
    let again = gate.admit(later, proxy, &first).unwrap();
    assert_eq!((again.path.remote, again.opened), (address(CLIENT), Some(address(PROXY))));
    assert_eq!(gate.admit(later, proxy, b"more").unwrap().path, again.path);
}

#[test]
fn flow_is_forgotten_after_its_time_unless_a_peer_holds_it() {
    for (is_held, expected) in [(true, 1), (false, 0)] {
        let mut gate = gate(Protocol::V2);
        let old = gate.admit(at(1), from("192.0.2.1:5"), &headed(CLIENT, PROXY, b"")).unwrap().path.via;
        let later = at(1) + FLOW_TTL;
        for port in 6..9 {
            gate.admit(later, from(&format!("192.0.2.1:{port}")), &headed(CLIENT, PROXY, b"")).unwrap();
            gate.settle(later, |via| is_held && via == old);
        }
        assert_eq!(gate.ways.len(), 3 + expected);
    }
}

#[test]
fn proxy_that_asks_for_itself_is_answered_like_anybody() {
    let mut gate = gate(Protocol::V2);
    let proxy = from("192.0.2.1:5");
    let admitted = gate.admit(at(1), proxy, LOCAL).unwrap();
    assert_eq!(admitted, Admitted { path: proxy, datagram: b"ping", opened: None });
    assert_eq!(gate.admit(at(1), proxy, b"ping").unwrap(), admitted);
    assert_eq!(sent(&mut gate, proxy, 4, b"pong"), [(proxy, 4, b"pong".to_vec())]);
}
