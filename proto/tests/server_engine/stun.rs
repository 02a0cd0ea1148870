//! SPEC 17: STUN on the same port.

use roundtable_proto::server::{Config, DropReason, Limits, Outcome, Stun};

use crate::rig::*;

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
