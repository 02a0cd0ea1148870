//! SPEC 12: what a filter in front of the engine can know: whose session a datagram may carry, and which peers flood.

use std::net::SocketAddr;

use roundtable_proto::server::{Config, Limits, MARK, Offender};
use roundtable_proto::wire::{BlobKind, Session};

use crate::rig::*;

fn mark(session: Session) -> u32 {
    let (_, mark) = session.0.split_last_chunk::<MARK>().unwrap();
    u32::from_be_bytes(*mark)
}

fn offender(session: Session) -> Offender {
    let (first, _) = session.0.split_first_chunk::<4>().unwrap();
    Offender(u32::from_be_bytes(*first))
}

#[test]
fn every_session_ends_with_the_mark_of_the_address_that_it_was_given_to() {
    let mut rig = Rig::new();
    for (place, number) in
        ["198.51.100.7:4000", "198.51.100.7:4001", "[::ffff:198.51.100.8]:4000", "[2001:db8::1]:4000"]
            .iter()
            .zip(1..)
    {
        let source: SocketAddr = place.parse().unwrap();
        let session = rig.join(source, id(number));
        assert_eq!(mark(session), rig.server.marker().mark(source), "{place}");
    }
}

#[test]
fn session_says_another_mark_for_the_same_address_at_another_server() {
    let marks = [1, 2].map(|seed| mark(Rig::seeded(small(), seed).join(ALICE, id(1))));
    assert_ne!(marks[0], marks[1]);
}

#[test]
fn peers_far_beyond_their_limit_are_told_to_the_filter_once_and_others_are_not() {
    let mut rig = Rig::with(Config { limits: Limits::default(), ..small() });
    let (alice, bob) = (rig.join(ALICE, id(1)), rig.join(BOB, id(2)));
    // Large offers use up what Alice may send, and what Bob may be sent.
    for number in 0..5000 {
        rig.frame(ALICE, &fragment(BlobKind::Offer, alice, call(1), id(2), &[b'v'; 1000], 0));
        if number % 100 == 0 {
            rig.frame(BOB, &keepalive(bob));
        }
    }
    let told: Vec<_> = rig.server.take_offenders(100).collect();
    assert_eq!(told, [offender(alice)]);
    assert_ne!(offender(alice), offender(bob));
    assert_eq!(rig.server.take_offenders(1).count(), 0);
}
