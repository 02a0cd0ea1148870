//! SPEC 2: what a server never answers.

use roundtable_proto::server::{DropReason, Outcome};
use roundtable_proto::wire::{Address, Direction, Kind, Pong, layout};

use crate::rig::*;

/// A datagram of the kind's right length, with the session in its place, all else zero.
fn bare(version: u8, number: u8, session: &[u8; 16], length: usize) -> Vec<u8> {
    let mut datagram = vec![0; length];
    datagram[..4].copy_from_slice(&[b'R', b'T', version, number]);
    if let Some(place) = datagram.get_mut(4..20) {
        place.copy_from_slice(session);
    }
    datagram
}

#[test]
fn kinds_not_for_a_server_are_dropped_in_silence_whatever_the_version() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    for version in [0, 1, 2, 255] {
        for number in 0x40..=0xFF {
            for length in [4, 28, 36, 71, 142, 1180] {
                let datagram = bare(version, number, &session.0, length);
                assert_eq!(rig.bytes(ALICE, &datagram), [], "version {version} kind {number:#x}");
                assert_eq!(rig.bytes(CAROL, &datagram), [], "version {version} kind {number:#x}");
            }
        }
    }
}

#[test]
fn valid_frames_not_for_a_server_are_counted_as_such() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    for kind in Kind::ALL.iter().filter(|kind| kind.direction() != Direction::In) {
        let mut datagram = bare(1, kind.number(), &session.0, kind.size());
        for field in layout(*kind) {
            // The fields that must not be zero, and one byte of a blob.
            match field.name {
                "offer" | "source" | "bitmap" => datagram[field.offset] = 1,
                "kind" => datagram[field.offset] = 6,
                "length" => datagram[field.offset + 3] = 1,
                "blob" => datagram.push(7),
                _ => {}
            }
        }
        let before = rig.server.counters().received(*kind);
        assert_eq!(rig.bytes(ALICE, &datagram), []);
        assert_eq!(rig.outcome, Outcome::Dropped(DropReason::NotForServer), "{}", kind.name());
        assert_eq!(rig.server.counters().received(*kind), before + 1, "{}", kind.name());
    }
}

#[test]
fn what_a_server_sends_is_dropped_by_a_server() {
    let (mut one, mut other) = (Rig::new(), Rig::seeded(small(), 8));
    let (alice, bob) = one.answered();
    let mut all = one.frame(ALICE, &ping());
    all.extend(one.frame(CAROL, &keepalive(alice)));
    all.extend(one.frame(ALICE, &keepalive(alice)));
    all.extend(one.frame(BOB, &ack(bob, call(1))));
    all.extend(one.frame(ALICE, &candidate(alice, call(1), id(2))));
    all.extend(one.frame(ALICE, &punch(alice, call(1))));
    all.extend(one.frame(ALICE, &punch(alice, call(9))));
    all.extend(one.frame(ALICE, &unregister(alice)));
    assert_eq!(all.len(), 9);
    for sent in all {
        assert_eq!(other.bytes(ALICE, &sent.datagram), [], "{sent:?}");
        assert_eq!(one.bytes(BOB, &sent.datagram), [], "{sent:?}");
    }
}

#[test]
fn ping_tells_the_observed_address_to_anybody_and_stores_nothing() {
    let mut rig = Rig::new();
    for (from, observed) in [
        ("198.51.100.7:40123", "198.51.100.7:40123"),
        ("[2001:db8::23]:9", "[2001:db8::23]:9"),
        ("[::ffff:198.51.100.7]:40123", "198.51.100.7:40123"),
    ] {
        let observed: Address = observed.parse().unwrap();
        let pong = roundtable_proto::wire::Frame::Pong(Pong { transaction: ASKED, observed });
        let from = from.parse().unwrap();
        assert_eq!(rig.frame(from, &ping()), [to(from, &pong)]);
    }
    assert_eq!((rig.server.peers(), rig.server.offers(), rig.server.poll_timeout()), (0, 0, None));
}
