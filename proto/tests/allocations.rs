//! The way of a datagram through the server engine takes no memory from the allocator: what is stored was reserved at
//! the start, and what is sent is built in place.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where what comes is not as it should be"
)]

#[path = "server_engine/frames.rs"]
#[expect(dead_code, reason = "shared with the tests of the server engine")]
mod frames;
#[path = "server_engine/rig.rs"]
#[expect(dead_code, reason = "shared with the tests of the server engine")]
mod rig;

use std::net::SocketAddr;

use roundtable_proto::Instant;
use roundtable_proto::server::{Config, DropReason, Limits, Outcome, Server};
use roundtable_proto::wire::{BlobKind, Cookie, ErrorCode, Kind, PeerId, Session};

use crate::rig::*;

/// How often each thing is done.
const TIMES: u32 = 300;

/// Takes a datagram in and all that comes of it out, as a driver does.
fn exchange(server: &mut Server, now: Instant, from: SocketAddr, datagram: &[u8]) -> (Outcome, usize) {
    let outcome = server.handle_datagram(now, from.into(), datagram);
    let mut bytes = 0;
    while let Some(transmit) = server.poll_transmit() {
        bytes += transmit.datagrams().map(<[u8]>::len).sum::<usize>();
    }
    (outcome, bytes)
}

/// Counts the allocations of `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

#[test]
fn allocations_are_counted() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1u8; 1000]))), 1);
}

#[test]
fn answering_relaying_refusing_and_dropping_allocate_nothing() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.answered();
    let blob = vec![1; 65_536];
    let whole = fragment(BlobKind::Offer, alice, call(1), id(2), &blob, 3);
    let mut malformed = keepalive(alice).to_vec();
    malformed.push(0);
    let mut unknown = malformed.clone();
    unknown[3] = 0x3F;
    let mut version = malformed.clone();
    version[2] = 9;
    let cases = [
        (ALICE, ping().to_vec(), Outcome::Answered(Kind::Pong)),
        (ALICE, keepalive(alice).to_vec(), Outcome::Answered(Kind::KeepaliveReply)),
        (ALICE, whole.to_vec(), Outcome::Relayed(Kind::Offer)),
        (BOB, answer(bob, call(1), id(1)).to_vec(), Outcome::Relayed(Kind::Answer)),
        (BOB, candidate(bob, call(1), id(1)).to_vec(), Outcome::Relayed(Kind::Candidate)),
        (BOB, ack(bob, call(1)).to_vec(), Outcome::Relayed(Kind::Ack)),
        (ALICE, punch(alice, call(1)).to_vec(), Outcome::Relayed(Kind::Punch)),
        (CAROL, keepalive(alice).to_vec(), Outcome::Challenged),
        (CAROL, register(Session::NONE, id(3), Cookie::NONE).to_vec(), Outcome::Challenged),
        (ALICE, offer(alice, call(1), id(1)).to_vec(), Outcome::Refused(ErrorCode::OfferToSelf)),
        (ALICE, offer(alice, call(2), id(9)).to_vec(), Outcome::Refused(ErrorCode::PeerUnknown)),
        (ALICE, ack(alice, call(9)).to_vec(), Outcome::Refused(ErrorCode::OfferUnknown)),
        (ALICE, malformed, Outcome::Refused(ErrorCode::Malformed)),
        (ALICE, unknown, Outcome::Refused(ErrorCode::UnknownKind)),
        (CAROL, version, Outcome::Refused(ErrorCode::Version)),
    ];
    let junk =
        [&b""[..], b"R", b"RT\x01\x81", b"hello", &[0xA5; 1400], b"RT\x01\x06 but no more of it than this"];
    for (from, datagram, expected) in cases {
        let count = allocations(|| {
            for _ in 0..TIMES {
                let (outcome, bytes) = exchange(&mut rig.server, rig.now, from, &datagram);
                assert!(outcome == expected && (1..=datagram.len()).contains(&bytes), "{outcome:?}, {bytes}");
            }
        });
        assert_eq!(count, 0, "{expected:?}");
    }
    for datagram in junk {
        let count = allocations(|| {
            for _ in 0..TIMES {
                let (outcome, bytes) = exchange(&mut rig.server, rig.now, CAROL, datagram);
                assert!(matches!(outcome, Outcome::Dropped(_)) && bytes == 0);
            }
        });
        assert_eq!(count, 0, "{datagram:02x?}");
    }
}

#[test]
fn registering_calling_moving_and_forgetting_allocate_nothing() {
    let mut rig = Rig::new();
    let peers: Vec<(SocketAddr, PeerId)> =
        (1..=200).map(|number| (SocketAddr::from(([10, 0, 0, number], 9)), id(number))).collect();
    for _ in 0..2 {
        let cookies: Vec<_> = peers.iter().map(|(at, _)| rig.cookie(*at)).collect();
        let joins: Vec<_> = peers
            .iter()
            .zip(cookies)
            .map(|((at, who), cookie)| (*at, register(Session::NONE, *who, cookie).to_vec()))
            .collect();
        let count = allocations(|| {
            for (at, datagram) in &joins {
                let (outcome, _) = exchange(&mut rig.server, rig.now, *at, datagram);
                assert_eq!(outcome, Outcome::Answered(Kind::Registered));
            }
        });
        assert_eq!((count, rig.server.peers()), (0, 200));

        let offers: Vec<_> = peers
            .iter()
            .enumerate()
            .map(|(number, (at, who))| {
                let session = rig.join(*at, *who);
                let target = peers[(number + 1) % peers.len()].1;
                (*at, offer(session, call(number as u8 + 1), target).to_vec())
            })
            .collect();
        let count = allocations(|| {
            for (at, datagram) in &offers {
                let (outcome, _) = exchange(&mut rig.server, rig.now, *at, datagram);
                assert_eq!(outcome, Outcome::Relayed(Kind::Offer));
            }
        });
        assert_eq!((count, rig.server.offers()), (0, 200));

        rig.now += secs(1);
        let moves: Vec<_> = peers
            .iter()
            .map(|(at, who)| {
                let session = rig.join(*at, *who);
                let there = SocketAddr::new(at.ip(), 10);
                (there, (session, *who))
            })
            .collect();
        rig.now += secs(1);
        let moves: Vec<_> = moves
            .into_iter()
            .map(|(there, (session, who))| (there, register(session, who, rig.cookie(there)).to_vec()))
            .collect();
        let count = allocations(|| {
            for (there, datagram) in &moves {
                let (outcome, _) = exchange(&mut rig.server, rig.now, *there, datagram);
                assert_eq!(outcome, Outcome::Answered(Kind::Registered));
            }
        });
        assert_eq!((count, rig.server.peers()), (0, 200));

        let end = rig.now + secs(70);
        let count = allocations(|| {
            while let Some(due) = rig.server.poll_timeout().filter(|due| *due <= end) {
                rig.server.handle_timeout(due.max(rig.now));
                while rig.server.poll_transmit().is_some() {}
            }
        });
        rig.now = end;
        assert_eq!((count, rig.server.peers(), rig.server.offers()), (0, 0, 0));
    }
}

#[test]
fn full_train_of_punches_allocates_nothing() {
    let mut rig = Rig::new();
    let (alice, _) = rig.answered();
    let datagram = punch(alice, call(1)).to_vec();
    let count = allocations(|| {
        for _ in 0..64 {
            let outcome = rig.server.handle_datagram(rig.now, ALICE.into(), &datagram);
            assert_eq!(outcome, Outcome::Relayed(Kind::Punch));
        }
        while rig.server.poll_transmit().is_some() {}
    });
    assert_eq!(count, 0);
}

#[test]
fn rates_and_foresight_allocate_nothing() {
    // Rates that count everything, and are met by a part of it.
    let limits = Limits { peer_kib: 16, offers_to_peer: 1, ..Limits::default() };
    let mut rig = Rig::with(Config { max_peers: 1000, max_offers: 1000, limits, ..Config::default() });
    assert_eq!(rig.pass(secs(100)), []);
    let (alice, bob) = rig.answered();
    let cases = [
        (ALICE, ping().to_vec()),
        (ALICE, keepalive(alice).to_vec()),
        (ALICE, offer(alice, call(1), id(2)).to_vec()),
        (BOB, answer(bob, call(1), id(1)).to_vec()),
        (BOB, ack(bob, call(1)).to_vec()),
        (CAROL, keepalive(alice).to_vec()),
        (CAROL, register(Session::NONE, id(3), Cookie::NONE).to_vec()),
    ];
    let count = allocations(|| {
        // More than a peer's burst of 256 KiB.
        for _ in 0..10 * TIMES {
            rig.server.foresee(cases.iter().map(|(_, datagram)| datagram.as_slice()));
            for (from, datagram) in &cases {
                exchange(&mut rig.server, rig.now, *from, datagram);
            }
        }
    });
    assert_eq!(count, 0);
    let dropped = rig.server.counters().dropped(DropReason::StrangerLimited);
    assert!(dropped > 0, "no stranger was limited");
    assert!(rig.server.counters().refused(ErrorCode::RateLimited) > 0, "no peer was limited");
}

#[test]
fn foresight_changes_nothing() {
    let mut rig = Rig::new();
    let (alice, bob) = rig.answered();
    let frames = [
        offer(alice, call(1), id(2)).to_vec(),
        answer(bob, call(1), id(1)).to_vec(),
        keepalive(Session([0xFF; 16])).to_vec(),
        offer(alice, call(7), id(9)).to_vec(),
        offer(alice, call(7), id(9)).to_vec()[..40].to_vec(),
        b"RT\x01\x06".to_vec(),
        Vec::new(),
    ];
    let before = (rig.server.counters().clone(), rig.server.peers(), rig.server.offers());
    let all = frames.iter().cycle().take(1000);
    rig.server.foresee(all.map(Vec::as_slice));
    assert_eq!((rig.server.counters().clone(), rig.server.peers(), rig.server.offers()), before);
    assert!(rig.server.poll_transmit().is_none());
    rig.server.check_invariants().unwrap();
}
