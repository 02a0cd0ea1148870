//! SPEC 4 and 6: what the other peer gets, byte for byte, and where.

use std::net::SocketAddr;

use roundtable_proto::server::{Outcome, Path, Via};
use roundtable_proto::wire::{Ack, Arrived, BlobKind, Frame, Kind, PeerId, Session, fragment_count};

use crate::rig::*;

/// A relayed fragment, written down by hand from the tables of SPEC 4.
fn by_hand(kind: Kind, sent: &[u8], to: Session, source: PeerId, observed: &[u8; 19]) -> Vec<u8> {
    let mut bytes = vec![b'R', b'T', 1, kind.number()];
    bytes.extend_from_slice(&to.0);
    bytes.extend_from_slice(&sent[20..36]);
    bytes.extend_from_slice(source.as_bytes());
    bytes.extend_from_slice(observed);
    bytes.extend_from_slice(&sent[68..81]);
    bytes.extend_from_slice(&sent[128..]);
    bytes
}

#[test]
fn relayed_fragment_has_exactly_the_bytes_of_the_specification() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.couple();
    let sent = offer(alice, call(1), id(2)).to_vec();
    let mut observed = [0; 19];
    observed[..5].copy_from_slice(&[4, 198, 51, 100, 7]);
    observed[17..].copy_from_slice(&40_123u16.to_be_bytes());
    let expected = by_hand(Kind::RelayedOffer, &sent, bob, id(1), &observed);
    assert_eq!(rig.bytes(ALICE, &sent), [Sent { to: BOB, via: Via(0), datagram: expected }]);

    let sent = answer(bob, call(1), id(1)).to_vec();
    observed[..5].copy_from_slice(&[4, 203, 0, 113, 9]);
    observed[17..].copy_from_slice(&5004u16.to_be_bytes());
    let expected = by_hand(Kind::RelayedAnswer, &sent, alice, id(2), &observed);
    assert_eq!(rig.bytes(BOB, &sent), [Sent { to: ALICE, via: Via(0), datagram: expected }]);
}

#[test]
fn every_fragment_of_a_blob_passes_and_is_28_bytes_shorter() {
    let blob: Vec<u8> = (0..65_536u32).map(|at| (at * 7 % 251) as u8).collect();
    for length in [1, 1023, 1024, 1025, 2500, 65_535, 65_536] {
        let mut rig = Rig::new();
        let (alice, bob) = rig.couple();
        let blob = &blob[..length];
        for index in 0..fragment_count(length) as u8 {
            let frame = fragment(BlobKind::Offer, alice, call(1), id(2), blob, index);
            let sent = rig.frame(ALICE, &frame);
            assert_eq!(sent, [to(BOB, &relayed(&frame, bob, id(1), ALICE))]);
            assert_eq!(sent[0].datagram.len() + 28, frame.to_vec().len());
        }
        assert_eq!((rig.server.offers(), rig.server.counters().offers_opened), (1, 1));
        for index in 0..fragment_count(length) as u8 {
            let frame = fragment(BlobKind::Answer, bob, call(1), id(1), blob, index);
            assert_eq!(rig.frame(BOB, &frame), [to(ALICE, &relayed(&frame, alice, id(2), BOB))]);
        }
        assert_eq!(rig.server.counters().offers_answered, 1);
    }
}

#[test]
fn fragments_pass_in_any_order_and_as_often_as_they_come() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.couple();
    let blob = vec![5; 3000];
    for index in [2, 0, 2, 1, 2] {
        let frame = fragment(BlobKind::Offer, alice, call(1), id(2), &blob, index);
        assert_eq!(rig.frame(ALICE, &frame), [to(BOB, &relayed(&frame, bob, id(1), ALICE))]);
    }
    assert_eq!(rig.server.offers(), 1);
}

#[test]
fn candidates_and_acknowledgements_pass_both_ways_before_and_after_the_answer() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.ringing();
    for round in 0..2 {
        for (from, session, peer, there, other, target) in
            [(ALICE, alice, id(1), BOB, bob, id(2)), (BOB, bob, id(2), ALICE, alice, id(1))]
        {
            for index in [0, 63] {
                let frame = fragment(BlobKind::Candidate, session, call(1), target, b"candidate:1", index);
                assert_eq!(rig.frame(from, &frame), [to(there, &relayed(&frame, other, peer, from))]);
                assert_eq!(rig.outcome, Outcome::Relayed(Kind::Candidate));
            }
            for kind in [BlobKind::Offer, BlobKind::Answer, BlobKind::Candidate] {
                let bitmap = Arrived(0x8000_0000_0000_0023);
                let frame = Frame::Ack(Ack::new(session, call(1), kind, bitmap));
                let passed = Frame::RelayedAck(Ack::new(other, call(1), kind, bitmap));
                assert_eq!(rig.frame(from, &frame), [to(there, &passed)]);
                assert_eq!(rig.outcome, Outcome::Relayed(Kind::Ack));
            }
        }
        if round == 0 {
            assert_eq!(rig.frame(BOB, &answer(bob, call(1), id(1))).len(), 1);
        }
    }
}

#[test]
fn declining_answer_is_an_answer() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.ringing();
    let declined = fragment(BlobKind::Answer, bob, call(1), id(1), b"", 0);
    assert_eq!(rig.frame(BOB, &declined), [to(ALICE, &relayed(&declined, alice, id(2), BOB))]);
    assert_eq!(rig.server.counters().offers_answered, 1);
    assert_eq!(rig.pass_alive(secs(40), &[(ALICE, alice), (BOB, bob)]), []);
}

#[test]
fn observed_address_is_told_as_ipv4_ipv6_and_unmapped() {
    for (from, observed, family) in [
        ("198.51.100.7:40123", "198.51.100.7:40123", 4),
        ("[2001:db8::23]:9", "[2001:db8::23]:9", 6),
        ("[::ffff:198.51.100.7]:40123", "198.51.100.7:40123", 4),
    ] {
        let (from, observed): (SocketAddr, SocketAddr) = (from.parse().unwrap(), observed.parse().unwrap());
        let mut rig = Rig::new();
        let (caller, bob) = (rig.join(from, id(1)), rig.join(BOB, id(2)));
        let frame = offer(caller, call(1), id(2));
        let sent = rig.frame(from, &frame);
        assert_eq!(sent, [to(BOB, &relayed(&frame, bob, id(1), observed))]);
        assert_eq!(sent[0].datagram[68], family);
        // The way back leads to the same address without its mapping.
        let frame = answer(bob, call(1), id(1));
        assert_eq!(rig.frame(BOB, &frame), [to(observed, &relayed(&frame, caller, id(2), BOB))]);
    }
}

#[test]
fn answers_leave_by_the_way_that_was_asked() {
    let mut rig = Rig::new();
    for via in [Via(0), Via(7), Via(65_535)] {
        let path = Path { remote: ALICE, via };
        assert_eq!(rig.frame(path, &ping())[0].via, via);
        assert_eq!(rig.frame(path, &keepalive(STRANGE))[0].via, via);
        let session = rig.join(path, id(1));
        assert_eq!(rig.frame(path, &keepalive(session))[0].via, via);
        assert_eq!(rig.frame(path, &offer(session, call(1), id(1)))[0].via, via);
        let mut datagram = ping().to_vec();
        datagram[2] = 9;
        assert_eq!(rig.bytes(path, &datagram)[0].via, via);
    }
}

#[test]
fn relayed_frames_leave_by_the_receivers_latest_way() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.couple();
    let by = |via| Path { remote: BOB, via: Via(via) };
    rig.frame(by(3), &keepalive(bob));
    assert_eq!(rig.frame(ALICE, &offer(alice, call(1), id(2)))[0].via, Via(3));
    rig.frame(by(4), &ack(bob, call(1)));
    assert_eq!(rig.frame(ALICE, &offer(alice, call(1), id(2)))[0].via, Via(4));
    rig.join(by(5), id(2));
    assert_eq!(rig.frame(ALICE, &offer(alice, call(1), id(2)))[0].via, Via(5));
    // What proves nothing changes nothing.
    rig.frame(by(6), &ping());
    rig.frame(by(6), &keepalive(STRANGE));
    assert_eq!(rig.frame(ALICE, &offer(alice, call(1), id(2)))[0].via, Via(5));
    rig.pass(secs(1));
    rig.register(Path { remote: CAFE, via: Via(8) }, bob, id(2));
    let sent = rig.frame(ALICE, &offer(alice, call(1), id(2)));
    assert_eq!((sent[0].to, sent[0].via), (CAFE, Via(8)));
}

#[test]
fn two_identifiers_at_one_address_can_call_each_other() {
    let mut rig = Rig::new();
    let (one, two) = (rig.join(ALICE, id(1)), rig.join(ALICE, id(2)));
    let frame = offer(one, call(1), id(2));
    assert_eq!(rig.frame(ALICE, &frame), [to(ALICE, &relayed(&frame, two, id(1), ALICE))]);
    assert_eq!(rig.frame(ALICE, &answer(two, call(1), id(1))).len(), 1);
    assert_eq!(rig.frame(ALICE, &punch(one, call(1))).len(), 2);
}
