//! SPEC 9: who is told that a datagram is no frame.

use std::net::SocketAddr;

use roundtable_proto::server::{DropReason, Outcome};
use roundtable_proto::wire::{ErrorCode, Frame, Kind, Refusal, Session, TransactionId, VERSION};

use crate::rig::*;

fn told(reference: [u8; 16], code: ErrorCode, kind: u8, detail: u8) -> Frame<'static> {
    let reference = TransactionId(reference);
    Frame::Error(Refusal { reference, code: code.number(), kind, detail, retry_after: 0 })
}

/// Header, session, reference, and then some more bytes.
fn datagram(version: u8, kind: u8, session: Session, length: usize) -> Vec<u8> {
    let mut datagram = vec![0x77; length.max(36)];
    datagram[..4].copy_from_slice(&[b'R', b'T', version, kind]);
    datagram[4..20].copy_from_slice(&session.0);
    datagram[20..36].copy_from_slice(&ASKED.0);
    datagram.truncate(length);
    datagram
}

/// Datagrams that do not decode, of a kind that is assigned.
fn malformed(session: Session) -> Vec<Vec<u8>> {
    let keepalive = keepalive(session).to_vec();
    let trailing = [&keepalive[..], &[0]].concat();
    let truncated = keepalive[..54].to_vec();
    let mut bad_address = keepalive;
    bad_address[36] = 5;
    let mut dirty_offer = offer(session, call(1), id(2)).to_vec();
    dirty_offer[100] = 1;
    let mut no_blob = offer(session, call(1), id(2)).to_vec();
    no_blob.pop();
    let oversized = datagram(VERSION, Kind::Offer.number(), session, 1181);
    let shortest = datagram(VERSION, Kind::Ack.number(), session, 36);
    vec![trailing, truncated, bad_address, dirty_offer, no_blob, oversized, shortest]
}

#[test]
fn live_session_at_its_address_is_told_that_its_datagram_is_malformed() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    for datagram in malformed(session) {
        let reference = datagram[20..36].try_into().unwrap();
        let expected = told(reference, ErrorCode::Malformed, datagram[3], 0);
        assert_eq!(rig.bytes(ALICE, &datagram), [to(ALICE, &expected)]);
        assert_eq!(rig.outcome, Outcome::Refused(ErrorCode::Malformed));
    }
}

#[test]
fn live_session_at_its_address_is_told_that_a_kind_is_unknown() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    for kind in (0..0x40).filter(|kind| Kind::from_number(*kind).is_none()) {
        for length in [36, 55, 1180, 1181, 9000] {
            let expected = told(ASKED.0, ErrorCode::UnknownKind, kind, 0);
            let sent = rig.bytes(ALICE, &datagram(VERSION, kind, session, length));
            assert_eq!(sent, [to(ALICE, &expected)]);
        }
    }
}

#[test]
fn nobody_else_is_told_anything() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    let neighbour = SocketAddr::new(ALICE.ip(), ALICE.port() + 1);
    let unknown = DropReason::UnknownKind;
    for (from, named) in [(ALICE, STRANGE), (ALICE, Session::NONE), (CAROL, session), (neighbour, session)] {
        for datagram in malformed(named) {
            assert_eq!(rig.bytes(from, &datagram), []);
            assert_eq!(rig.outcome, Outcome::Dropped(DropReason::Malformed));
        }
        assert_eq!(rig.bytes(from, &datagram(VERSION, 0x3F, named, 1180)), []);
        assert_eq!(rig.outcome, Outcome::Dropped(unknown));
    }
    rig.frame(ALICE, &unregister(session));
    for datagram in malformed(session) {
        assert_eq!(rig.bytes(ALICE, &datagram), []);
    }
}

#[test]
fn datagram_under_36_bytes_is_dropped_without_a_word() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    for length in 4..36 {
        for kind in [Kind::Keepalive.number(), 0x3F] {
            assert_eq!(rig.bytes(ALICE, &datagram(VERSION, kind, session, length)), [], "{length}");
        }
    }
    for length in 0..4 {
        assert_eq!(rig.bytes(ALICE, &datagram(VERSION, 4, session, length)), [], "{length}");
        assert_eq!(rig.outcome, Outcome::Dropped(DropReason::NotOurs));
    }
}

#[test]
fn another_magic_is_never_answered() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    for magic in [*b"rt", *b"RS", [0, 1]] {
        let mut datagram = keepalive(session).to_vec();
        datagram[..2].copy_from_slice(&magic);
        assert_eq!(rig.bytes(ALICE, &datagram), []);
        assert_eq!(rig.outcome, Outcome::Dropped(DropReason::NotOurs));
    }
}

#[test]
fn another_version_is_told_to_anybody_from_28_bytes_on() {
    let mut rig = Rig::new();
    for version in [0, 2, 255] {
        for kind in [0, 1, 2, 0x3F] {
            for length in 4..28 {
                assert_eq!(rig.bytes(CAROL, &datagram(version, kind, STRANGE, length)), [], "{length}");
                assert_eq!(rig.outcome, Outcome::Dropped(DropReason::Version));
            }
            for (length, reference) in [(28, [0; 16]), (35, [0; 16]), (36, ASKED.0), (1180, ASKED.0)] {
                let expected = told(reference, ErrorCode::Version, kind, VERSION);
                let sent = rig.bytes(CAROL, &datagram(version, kind, STRANGE, length));
                assert_eq!(sent, [to(CAROL, &expected)], "{length}");
            }
        }
    }
    assert_eq!(rig.server.peers(), 0);
}

#[test]
fn malformed_frames_and_other_versions_do_not_keep_a_peer_alive() {
    let mut rig = Rig::new();
    let session = rig.join(ALICE, id(1));
    for _ in 0..31 {
        rig.pass(secs(2));
        rig.bytes(ALICE, &malformed(session)[0]);
        rig.bytes(ALICE, &datagram(2, Kind::Keepalive.number(), session, 55));
        rig.bytes(ALICE, &datagram(VERSION, 0x3F, session, 55));
    }
    assert!(!rig.is_live(ALICE, session));
}
