//! Every queue and table has a limit, and every call does a bounded amount of work.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use roundtable_proto::server::{Config, DropReason, EVENTS_MAX, Event, Outcome, SWEEP_MAX};
use roundtable_proto::wire::{BlobKind, DATAGRAM_MAX, ErrorCode, Kind, OfferId, PeerId};

use crate::rig::*;

fn source(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([10, 1, high, low], 4000))
}

fn numbered(number: u16) -> PeerId {
    let mut uuid = [0xAB; 16];
    uuid[..2].copy_from_slice(&number.to_be_bytes());
    PeerId::plain(uuid).unwrap()
}

fn numbered_call(number: u16) -> OfferId {
    let mut bytes = [0xCD; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    OfferId::from_random(bytes)
}

#[test]
fn thousands_of_peers_that_lapse_at_once_are_swept_in_bounded_steps() {
    const PEERS: u16 = 5000;
    let mut rig = Rig::with(Config { max_peers: 6000, ..small() });
    for number in 0..PEERS {
        rig.join(source(number), numbered(number));
    }
    rig.now += secs(62);
    let mut calls = 0;
    while rig.server.poll_timeout().is_some_and(|due| due <= rig.now) {
        let before = rig.server.peers();
        rig.server.handle_timeout(rig.now);
        let gone = before - rig.server.peers();
        assert!(gone as usize <= SWEEP_MAX, "{gone} at once");
        calls += 1;
    }
    assert_eq!((rig.server.peers(), rig.server.poll_timeout()), (0, None));
    assert!(calls >= usize::from(PEERS) / SWEEP_MAX, "{calls}");
    assert_eq!(rig.server.counters().forgotten, u64::from(PEERS));
}

#[test]
fn thousands_of_offers_that_time_out_at_once_are_told_once_each_in_bounded_steps() {
    const OFFERS: u16 = 8000;
    let mut rig = Rig::with(Config { max_offers: 9000, max_peer_offers: 9000, ..small() });
    let (alice, bob) = rig.couple();
    for number in 0..OFFERS {
        rig.frame(ALICE, &offer(alice, numbered_call(number), id(2)));
        assert_eq!(rig.outcome, Outcome::Relayed(Kind::Offer));
    }
    rig.now += secs(31);
    let mut told = BTreeMap::new();
    while rig.server.poll_timeout().is_some_and(|due| due <= rig.now) {
        // A driver that is slow to drain: the notices wait in the server, not in the outbox.
        for _ in 0..30 {
            let before = rig.server.offers();
            rig.server.handle_timeout(rig.now);
            assert!((before - rig.server.offers()) as usize <= SWEEP_MAX);
        }
        let sent = rig.drain();
        assert!(sent.iter().map(|sent| sent.datagram.len()).sum::<usize>() <= 128 * DATAGRAM_MAX);
        for sent in sent {
            assert_eq!(sent.to, ALICE);
            *told.entry(sent.datagram).or_insert(0) += 1;
        }
    }
    assert_eq!((told.len(), rig.server.offers()), (usize::from(OFFERS), 0));
    assert!(told.values().all(|times| *times == 1));
    assert!(rig.is_live(ALICE, alice) && rig.is_live(BOB, bob));
}

#[test]
fn full_outbox_drops_what_comes_and_serves_again_when_drained() {
    let mut rig = Rig::new();
    let path = ALICE.into();
    let datagram = ping().to_vec();
    let outcomes: Vec<_> = (0..4000).map(|_| rig.server.handle_datagram(rig.now, path, &datagram)).collect();
    let answered = outcomes.iter().filter(|outcome| **outcome == Outcome::Answered(Kind::Pong)).count();
    let dropped = Outcome::Dropped(DropReason::OutboxFull);
    assert!(answered > 64 && outcomes[answered..].iter().all(|outcome| *outcome == dropped), "{answered}");
    let sent = rig.drain();
    assert_eq!(sent.len(), answered);
    assert!(sent.iter().map(|sent| sent.datagram.len()).sum::<usize>() <= 128 * DATAGRAM_MAX);
    assert_eq!(rig.server.counters().dropped(DropReason::OutboxFull), 4000 - answered as u64);
    assert_eq!(rig.frame(ALICE, &ping()).len(), 1);
}

#[test]
fn one_received_train_of_64_always_fits_the_outbox() {
    let mut rig = Rig::new();
    let (alice, _) = rig.answered();
    let blob = vec![9; 65_536];
    let biggest = fragment(BlobKind::Offer, alice, call(1), id(2), &blob, 0);
    for frame in [biggest, punch(alice, call(1)), ping()] {
        for _ in 0..64 {
            let outcome = rig.server.handle_datagram(rig.now, ALICE.into(), &frame.to_vec());
            assert!(matches!(outcome, Outcome::Relayed(_) | Outcome::Answered(_)), "{outcome:?}");
        }
        rig.drain();
    }
}

#[test]
fn trains_keep_order_and_lengths() {
    let mut rig = Rig::new();
    let (alice, _) = rig.couple();
    let blob = vec![9; 2500];
    for index in 0..3 {
        let frame = fragment(BlobKind::Offer, alice, call(1), id(2), &blob, index);
        rig.server.handle_datagram(rig.now, ALICE.into(), &frame.to_vec());
    }
    let transmit = rig.server.poll_transmit().unwrap();
    assert_eq!((transmit.path.remote, transmit.segment_size), (BOB, 1124));
    assert_eq!(transmit.datagrams().map(<[u8]>::len).collect::<Vec<_>>(), [1124, 1124, 552]);
    assert_eq!(rig.server.poll_transmit(), None);
}

#[test]
fn burst_of_many_lengths_to_one_peer_leaves_intact_and_in_order() {
    let mut rig = Rig::new();
    let alice = rig.join(ALICE, id(1));
    let (long, short) = (keepalive(alice), offer(alice, call(1), id(1)));
    let burst = [long, long, ping(), long, short, short, ping(), short, short, long];
    let one_by_one: Vec<_> = burst.iter().flat_map(|frame| rig.frame(ALICE, frame)).collect();
    assert_eq!(one_by_one.len(), burst.len());
    for frame in &burst {
        rig.server.handle_datagram(rig.now, ALICE.into(), &frame.to_vec());
    }
    assert_eq!(rig.drain(), one_by_one);
}

#[test]
fn what_comes_while_the_outbox_is_half_drained_is_sent_once() {
    let mut rig = Rig::new();
    let put = |rig: &mut Rig, from: SocketAddr| {
        rig.server.handle_datagram(rig.now, from.into(), &ping().to_vec());
    };
    for from in [ALICE, BOB] {
        put(&mut rig, from);
    }
    assert_eq!(rig.server.poll_transmit().map(|transmit| transmit.path.remote), Some(ALICE));
    assert_eq!(rig.server.poll_transmit().map(|transmit| transmit.path.remote), Some(BOB));
    put(&mut rig, BOB);
    put(&mut rig, CAROL);
    let transmit = rig.server.poll_transmit().unwrap();
    assert_eq!((transmit.path.remote, transmit.datagrams().count()), (BOB, 1));
    put(&mut rig, CAROL);
    assert_eq!(rig.drain().iter().map(|sent| sent.to).collect::<Vec<_>>(), [CAROL, CAROL]);
    assert_eq!(rig.drain(), []);
}

#[test]
fn trains_are_no_longer_than_the_kernel_takes() {
    let mut rig = Rig::new();
    let (alice, _) = rig.couple();
    let blob = vec![9; 65_536];
    for frame in [keepalive(alice), fragment(BlobKind::Offer, alice, call(1), id(2), &blob, 0)] {
        for _ in 0..64 {
            rig.server.handle_datagram(rig.now, ALICE.into(), &frame.to_vec());
        }
        let mut count = 0;
        while let Some(transmit) = rig.server.poll_transmit() {
            // One send takes 64 segments, less some room, and the payload of the longest UDP datagram.
            assert!(transmit.datagrams().count() <= 60 && transmit.contents.len() <= 65_507);
            count += transmit.datagrams().count();
        }
        assert_eq!(count, 64);
    }
}

#[test]
fn events_are_bounded_and_the_oldest_go_first() {
    let mut rig = Rig::with(Config { events: true, ..small() });
    for number in 0..=(EVENTS_MAX / 2) as u16 {
        let session = rig.join(ALICE, numbered(number));
        rig.frame(ALICE, &unregister(session));
    }
    let events = rig.events();
    assert_eq!(events.len(), EVENTS_MAX);
    assert_eq!(events[0], Event::Registered { peer: numbered(1), observed: ALICE });
}

#[test]
fn spoofed_sources_change_no_size() {
    let mut rig = Rig::new();
    let (alice, _) = rig.ringing();
    let waking = rig.server.poll_timeout();
    for number in 0..3000 {
        for frame in with_session(alice) {
            assert_eq!(rig.frame(source(number), &frame).len(), 1);
            assert_eq!(rig.outcome, Outcome::Challenged);
        }
    }
    assert_eq!((rig.server.peers(), rig.server.offers()), (2, 1));
    assert_eq!(rig.server.poll_timeout(), waking);
}

#[test]
fn full_tables_empty_and_fill_again() {
    let mut rig = Rig::with(Config { max_peers: 40, max_offers: 20, max_peer_offers: 20, ..small() });
    for round in 0..5u16 {
        let sessions: Vec<_> =
            (0..40).map(|number| rig.join(source(number), numbered(round * 40 + number))).collect();
        for number in 0..20 {
            let frame = offer(sessions[0], numbered_call(round * 20 + number), numbered(round * 40 + 1));
            rig.frame(source(0), &frame);
            assert_eq!(rig.outcome, Outcome::Relayed(Kind::Offer));
        }
        let frame = offer(sessions[2], numbered_call(999), numbered(round * 40 + 1));
        rig.frame(source(2), &frame);
        assert_eq!(rig.outcome, Outcome::Refused(ErrorCode::ServerFull));
        assert_eq!(rig.pass(secs(62)).len(), 20);
        assert_eq!((rig.server.peers(), rig.server.offers()), (0, 0));
    }
}
