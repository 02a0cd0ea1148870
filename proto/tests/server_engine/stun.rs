//! SPEC 17: STUN on the same port.

use std::net::SocketAddr;

use roundtable_proto::server::{
    Alternates, Config, DropReason, Limits, Outcome, PROVED_FOR, Path, Stun, Via,
};
use serde_json::Value;

use crate::rig::*;

/// The ways of a server with two addresses and two ports.
const WAYS: [(&str, Via); 4] =
    [("asked", Via(1)), ("port", Via(1001)), ("address", Via(2)), ("both", Via(1002))];
/// A CHANGE-REQUEST for the other port.
const OTHER_PORT: [u8; 8] = [0, 3, 0, 4, 0, 0, 0, 2];

/// A Binding request with cookie; `padding` bytes of an attribute that may be ignored.
fn binding(padding: u8) -> Vec<u8> {
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    request.extend([5; 12]);
    if padding > 0 {
        request[3] = padding + 4;
        request.extend([0x80, 0xFF, 0, padding]);
        request.resize(request.len() + usize::from(padding), 0);
    }
    request
}

#[test]
fn stranger_is_told_its_address_and_nothing_is_kept() {
    let mut rig = Rig::new();
    let sent = rig.bytes(ALICE, &binding(0));
    let mut expected = vec![1, 1, 0, 12, 0x21, 0x12, 0xA4, 0x42];
    expected.extend([5; 12]);
    // 40123 and 198.51.100.7 under the cookie.
    expected.extend([0, 0x20, 0, 8, 0, 1, 0xBD, 0xA9, 0xE7, 0x21, 0xC0, 0x45]);
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].to, &sent[0].datagram), (ALICE, &expected));
    assert_eq!(rig.outcome, Outcome::Stun);
    assert_eq!((rig.server.counters().stun, rig.server.peers()), (1, 0));
    assert_eq!(rig.server.counters().bytes_out, 32);
}

#[test]
fn strict_server_answers_only_what_is_as_long_as_the_answer() {
    let mut rig = Rig::with(Config { stun: Stun::Strict, ..small() });
    for (padding, answers) in [(0, 0), (4, 0), (8, 1), (16, 1)] {
        assert_eq!(rig.bytes(ALICE, &binding(padding)).len(), answers, "{padding}");
        let expected = if answers == 0 { Outcome::Dropped(DropReason::Stun) } else { Outcome::Stun };
        assert_eq!(rig.outcome, expected);
    }
}

#[test]
fn server_without_stun_takes_it_for_nothing_of_its_own() {
    let mut rig = Rig::with(Config { stun: Stun::Off, ..small() });
    assert_eq!(rig.bytes(ALICE, &binding(8)), []);
    assert_eq!(rig.outcome, Outcome::Dropped(DropReason::NotOurs));
}

#[test]
fn indications_answers_and_broken_requests_get_silence() {
    let mut rig = Rig::new();
    for (place, value) in [(1, 0x11), (0, 1), (3, 4), (3, 1)] {
        let mut message = binding(0);
        message[place] = value;
        assert_eq!(rig.bytes(ALICE, &message), []);
        assert_eq!(rig.outcome, Outcome::Dropped(DropReason::Stun), "{message:?}");
    }
}

#[test]
fn stun_is_limited_like_any_answer_to_a_stranger() {
    let limits = Limits { stranger_answers: 10, ..Limits::default() };
    let mut rig = Rig::with(Config { limits, ..small() });
    let mut answered = 0;
    for _ in 0..200 {
        answered += rig.bytes(ALICE, &binding(0)).len();
    }
    assert!((1..=64).contains(&answered), "{answered}");
    assert_eq!(rig.outcome, Outcome::Dropped(DropReason::StrangerLimited));
}

#[test]
fn stun_from_a_source_that_can_be_nobodys_gets_silence() {
    let mut rig = Rig::new();
    assert_eq!(rig.bytes("224.0.0.1:9".parse::<std::net::SocketAddr>().unwrap(), &binding(0)), []);
    assert_eq!(rig.outcome, Outcome::Dropped(DropReason::BadSource));
}

/// A request with this attribute more.
fn with(attribute: &[u8], mut request: Vec<u8>) -> Vec<u8> {
    request.extend(attribute);
    request[3] += attribute.len() as u8;
    request
}

/// Tells the server of its ways, as far as `place` knows where they are.
fn learn(rig: &mut Rig, place: impl Fn(&str) -> Option<SocketAddr>) {
    rig.stun_fifths = [14, 23];
    let via = |name: &str| place(name).and_then(|_| WAYS.iter().find(|way| way.0 == name)).map(|way| way.1);
    for (name, via) in WAYS {
        if let Some(local) = place(name) {
            rig.server.learn_local_address(via, local);
        }
    }
    let alternates = Alternates { port: via("port"), address: via("address"), both: via("both") };
    rig.server.learn_alternates(WAYS[0].1, alternates);
}

/// A server with one address and two ports.
fn two_ports(config: Config) -> Rig {
    let mut rig = Rig::with(config);
    learn(&mut rig, |name| match name {
        "asked" => "192.0.2.1:1066".parse().ok(),
        "port" => "192.0.2.1:1067".parse().ok(),
        _ => None,
    });
    rig
}

const ASKED: Path = Path { remote: ALICE, via: WAYS[0].1 };

#[test]
fn who_has_proved_his_address_is_answered_as_the_vectors_say() {
    let file: Value = serde_json::from_str(include_str!("../../vectors/stun.json")).unwrap();
    for vector in file["discovered"].as_array().unwrap() {
        let address = |name: &str| vector[name].as_str().map(|text| text.parse::<SocketAddr>().unwrap());
        let bytes = |name: &str| -> Vec<u8> {
            let hex = vector[name].as_str().unwrap();
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        };
        let mut rig = Rig::new();
        learn(&mut rig, address);
        let from = Path { remote: address("from").unwrap(), via: WAYS[0].1 };
        rig.join(from, id(1));
        let sent = rig.bytes(from, &bytes("request"));
        let way = WAYS.iter().find(|way| address(way.0) == address("answered_from")).unwrap();
        assert_eq!((sent.len(), sent[0].to), (1, from.remote), "{}", vector["name"]);
        assert_eq!((sent[0].via, &sent[0].datagram), (way.1, &bytes("answer")), "{}", vector["name"]);
    }
}

#[test]
fn who_has_proved_nothing_is_answered_from_where_he_asked_and_told_of_no_other() {
    let mut rig = two_ports(small());
    assert_eq!(rig.bytes(ASKED, &binding(0))[0].datagram.len(), 32);
    let sent = rig.bytes(ASKED, &with(&OTHER_PORT, binding(0)));
    assert_eq!((sent[0].via, &sent[0].datagram[..4]), (ASKED.via, &[1, 0x11, 0, 16][..]));
    // Neither a cookie that was sent, nor one that is wrong, nor somebody else's proof.
    rig.cookie(ASKED);
    rig.join(Path { remote: BOB, via: WAYS[0].1 }, id(2));
    let neighbour = Path { remote: SocketAddr::new(ALICE.ip(), ALICE.port() + 1), via: WAYS[0].1 };
    rig.join(neighbour, id(3));
    let sent = rig.bytes(ASKED, &with(&OTHER_PORT, binding(0)));
    assert_eq!((sent[0].via, sent[0].datagram[1]), (ASKED.via, 0x11));
}

#[test]
fn proof_of_an_address_is_good_for_its_time_and_every_registration_renews_it() {
    let mut rig = two_ports(small());
    let session = rig.join(ASKED, id(1));
    let asks = |rig: &mut Rig| rig.bytes(ASKED, &with(&OTHER_PORT, binding(0)))[0].via;
    rig.pass(PROVED_FOR - millis(1));
    assert_eq!(asks(&mut rig), WAYS[1].1);
    rig.register(ASKED, session, id(1));
    rig.pass(PROVED_FOR - millis(1));
    assert_eq!(asks(&mut rig), WAYS[1].1);
    rig.pass(millis(1));
    assert_eq!(asks(&mut rig), ASKED.via);
}

#[test]
fn cookie_proves_an_address_also_where_the_identifier_is_refused() {
    let mut rig = two_ports(Config { plain_ids: false, ..small() });
    let cookie = rig.cookie(ASKED);
    rig.frame(ASKED, &register(roundtable_proto::wire::Session::NONE, id(1), cookie));
    assert!(matches!(rig.outcome, Outcome::Refused(_)));
    assert_eq!(rig.bytes(ASKED, &with(&OTHER_PORT, binding(0)))[0].via, WAYS[1].1);
}

#[test]
fn strict_server_tells_of_others_only_where_the_request_is_long_enough() {
    let mut rig = two_ports(Config { stun: Stun::Strict, ..small() });
    rig.join(ASKED, id(1));
    for (padding, length) in [(0, None), (8, Some(32)), (24, Some(32)), (28, Some(52))] {
        let sent = rig.bytes(ASKED, &binding(padding));
        assert_eq!(sent.first().map(|sent| sent.datagram.len()), length, "{padding}");
    }
}

#[test]
fn private_address_behind_a_public_one_is_not_told() {
    let mut rig = Rig::with(small());
    learn(&mut rig, |name| match name {
        "asked" => "10.0.0.1:1066".parse().ok(),
        "port" => "10.0.0.1:1067".parse().ok(),
        _ => None,
    });
    rig.join(ASKED, id(1));
    let sent = rig.bytes(ASKED, &with(&OTHER_PORT, binding(0)));
    // XOR-MAPPED-ADDRESS and the other port, which forwarding keeps.
    assert_eq!((sent[0].via, sent[0].datagram.len()), (WAYS[1].1, 40));
    assert_eq!(sent[0].datagram[32..], [0xC1, 0x52, 0, 4, 4, 0x2B, 0, 0]);
}
