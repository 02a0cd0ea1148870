//! Two clients and a server between them, in virtual time: what arrives, and when.

use std::time::Duration;

use roundtable_proto::client::{DropReason, Event, FailReason};
use roundtable_proto::wire::{BLOB_MAX, OfferId};

use crate::world::{Hops, World, identifier};

const CLEAN: Hops = Hops { loss_percent: 0, delay: Duration::from_millis(20), jitter: Duration::ZERO };
const LOSSY: Hops =
    Hops { loss_percent: 30, delay: Duration::from_millis(20), jitter: Duration::from_millis(10) };
const MINUTE: Duration = Duration::from_secs(60);

fn blob(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ salt).collect()
}

fn registered(hops: Hops, seed: u64) -> World {
    let mut world = World::new(2, hops, seed);
    world.register_all();
    world
}

fn offer(world: &mut World, blob: Vec<u8>) -> OfferId {
    world.tell(0, |client, now| client.offer(now, identifier(2), blob)).unwrap()
}

fn answer(world: &mut World, offer: OfferId, blob: Vec<u8>) {
    world.tell(1, |client, now| client.answer(now, offer, blob)).unwrap();
}

fn is_answered(event: &Event) -> bool {
    matches!(event, Event::Answered { .. })
}

fn is_delivered(event: &Event) -> bool {
    matches!(event, Event::AnswerDelivered { .. })
}

fn is_outcome(event: &Event) -> bool {
    is_answered(event)
        || matches!(event, Event::Declined { .. } | Event::Failed { .. } | Event::Yielded { .. })
}

/// Runs one call to its end, and returns when the offer and the answer had arrived, from its start.
fn call(world: &mut World, length: usize) -> (Duration, Duration) {
    let start = world.now;
    let id = offer(world, blob(length, 1));
    assert!(world.run(MINUTE, |world| world.hosts[1].offered().is_some()), "the offer arrives");
    let offered = world.now.since(start);
    assert_eq!(world.hosts[1].offered(), Some((id, blob(length, 1).as_slice())));
    answer(world, id, blob(length, 2));
    assert!(world.run(MINUTE, |world| world.hosts[0].has(is_answered)), "the answer arrives");
    let answered = world.now.since(start) - offered;
    assert!(world.hosts[0].has(|event| matches!(event, Event::Answered { offer, from, blob: got, .. }
        if *offer == id && *from == identifier(2) && *got == blob(length, 2))));
    (offered, answered)
}

#[test]
fn small_offer_and_answer_take_one_trip_each() {
    let mut world = registered(CLEAN, 1);
    let trip = CLEAN.delay * 2;
    assert_eq!(call(&mut world, 1024), (trip, trip));
    assert!(world.run(trip, |world| world.hosts[1].has(is_delivered)));
}

#[test]
fn clean_path_sees_no_retransmission() {
    let mut world = registered(CLEAN, 1);
    call(&mut world, BLOB_MAX);
    world.run(trip(), |_| false);
    assert_eq!([0, 1].map(|host| world.hosts[host].client.counters().retransmissions), [0, 0]);
}

fn trip() -> Duration {
    CLEAN.delay * 2
}

#[test]
fn largest_blobs_pass_30_percent_loss_on_each_hop_within_30_seconds() {
    for seed in 0..20 {
        let mut world = registered(LOSSY, seed);
        let (offered, answered) = call(&mut world, BLOB_MAX);
        let limit = Duration::from_secs(30);
        assert!(offered < limit && answered < limit, "seed {seed}: {offered:?} {answered:?}");
    }
}

#[test]
fn each_call_over_lossy_hops_has_one_outcome() {
    for seed in 100..130 {
        let mut world = registered(LOSSY, seed);
        offer(&mut world, blob(20_000, 1));
        if world.run(MINUTE, |world| world.hosts[1].offered().is_some()) {
            let (id, _) = world.hosts[1].offered().unwrap();
            answer(&mut world, id, blob(20_000, 2));
        }
        world.run(MINUTE * 2, |_| false);
        let offers = world.hosts[1].count(|event| matches!(event, Event::Offered { .. }));
        assert_eq!(world.hosts[0].count(is_outcome), 1, "seed {seed}");
        assert_eq!(
            world.hosts[1].count(|event| is_delivered(event) || is_outcome(event)),
            offers,
            "seed {seed}"
        );
    }
}

#[test]
fn same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut world = registered(LOSSY, seed);
        let times = call(&mut world, 30_000);
        (times, world.hosts[0].events.clone(), *world.hosts[1].client.counters())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).0, run(8).0);
}

#[test]
fn server_killed_at_any_moment_of_a_call_heals() {
    for millis in (0..1500).step_by(50) {
        let mut world = registered(CLEAN, millis);
        let id = offer(&mut world, blob(BLOB_MAX, 1));
        let mut killed = false;
        let kill = world.now + Duration::from_millis(millis);
        let mut answered_at = None;
        for _ in 0..6000 {
            world.run(Duration::from_millis(10), |_| false);
            if !killed && world.now >= kill {
                killed = true;
                let now = world.now;
                world.server.restart(now);
            }
            if answered_at.is_none() && world.hosts[1].offered().is_some() {
                answered_at = Some(world.now);
                answer(&mut world, id, blob(BLOB_MAX, 2));
            }
        }
        assert!(killed);
        assert_eq!(world.hosts[0].count(is_answered), 1, "killed after {millis} ms");
        assert_eq!(world.hosts[0].count(is_outcome), 1, "killed after {millis} ms");
        assert_eq!(world.hosts[1].count(is_delivered), 1, "killed after {millis} ms");
        let done = world.hosts[0].events.iter().find(|(_, event)| is_answered(event)).unwrap().0;
        // The callee may notice only with its next KEEPALIVE; a transfer under way notices at once.
        println!("killed after {millis} ms, answered at {done}");
    }
}

#[test]
fn callee_that_waits_for_its_user_answers_through_a_restarted_server() {
    let mut world = registered(CLEAN, 3);
    let id = offer(&mut world, blob(5000, 1));
    assert!(world.run(MINUTE, |world| world.hosts[1].offered().is_some()));
    world.run(Duration::from_secs(1), |_| false);
    let now = world.now;
    world.server.restart(now);
    answer(&mut world, id, blob(5000, 2));
    assert!(world.run(Duration::from_secs(4), |world| world.hosts[0].has(is_answered)));
    assert!(world.run(Duration::from_secs(1), |world| world.hosts[1].has(is_delivered)));
    let registrations = |host: usize| {
        world.hosts[host].count(|event| matches!(event, Event::Registered { resumed: false, .. }))
    };
    assert_eq!((registrations(0), registrations(1)), (2, 2));
}

#[test]
fn caller_that_moves_keeps_its_call() {
    let mut world = registered(CLEAN, 4);
    let id = offer(&mut world, blob(BLOB_MAX, 1));
    world.run(Duration::from_millis(50), |_| false);
    world.hosts[0].address = "203.0.113.9:5555".parse().unwrap();
    world.tell(0, |client, now| client.rebind(now));
    assert!(world.run(Duration::from_secs(2), |world| world.hosts[1].offered().is_some()));
    answer(&mut world, id, blob(10, 2));
    assert!(world.run(Duration::from_secs(2), |world| world.hosts[0].has(is_answered)));
    assert!(world.hosts[0].has(|event| matches!(event, Event::Registered { resumed: true, .. })));
    assert!(world.hosts[0].has(|event| matches!(event, Event::AddressChanged { observed }
        if observed.to_string() == "203.0.113.9:5555")));
}

#[test]
fn caller_whose_mapping_changes_unnoticed_keeps_its_call() {
    let mut world = registered(CLEAN, 5);
    let id = offer(&mut world, blob(100, 1));
    world.run(Duration::from_millis(500), |_| false);
    world.hosts[0].address = "203.0.113.9:5555".parse().unwrap();
    answer(&mut world, id, blob(10, 2));
    // The repeat while ringing finds the new mapping.
    assert!(world.run(Duration::from_secs(5), |world| world.hosts[0].has(is_answered)));
}

#[test]
fn both_calling_at_once_ends_with_one_call_of_the_larger_identifier() {
    for seed in 0..10 {
        let hops = if seed < 5 { CLEAN } else { LOSSY };
        let mut world = registered(hops, seed);
        let small = offer(&mut world, blob(3000, 1));
        let large = world.tell(1, |client, now| client.offer(now, identifier(1), blob(3000, 2))).unwrap();
        assert!(world.run(MINUTE, |world| world.hosts[0].offered().is_some()));
        assert!(world.hosts[0].has(|event| *event == Event::Yielded { offer: small, to: large }));
        world.tell(0, |client, now| client.answer(now, large, blob(10, 3))).unwrap();
        assert!(world.run(MINUTE, |world| world.hosts[1].has(is_answered)));
        world.run(MINUTE, |_| false);
        assert_eq!(world.hosts[0].count(is_outcome), 1);
        assert_eq!(world.hosts[1].count(is_outcome), 1);
        assert_eq!(world.hosts[1].offered(), None, "the offer that yielded never rings");
    }
}

#[test]
fn punching_proves_a_path_on_both_sides() {
    let mut world = registered(CLEAN, 6);
    call(&mut world, 100);
    let (id, _) = world.hosts[1].offered().unwrap();
    world.tell(0, |client, now| client.punch(now, id)).unwrap();
    let has_path = |world: &World, host: usize| {
        let other = world.hosts[1 - host].address;
        world.hosts[host].has(|event| {
            matches!(event, Event::Path { offer, peer, round_trip, .. }
            if *offer == id && *peer == other && *round_trip == trip())
        })
    };
    assert!(world.run(Duration::from_secs(1), |world| has_path(world, 0) && has_path(world, 1)));
    world.run(MINUTE, |_| false);
    for host in 0..2 {
        assert_eq!(world.hosts[host].count(|event| matches!(event, Event::Path { .. })), 1);
        assert_eq!(world.hosts[host].count(|event| matches!(event, Event::PunchFailed { .. })), 0);
    }
}

#[test]
fn candidates_pass_both_ways_once_each_over_lossy_hops() {
    let mut world = registered(LOSSY, 9);
    let id = offer(&mut world, blob(2000, 1));
    for number in 0..64 {
        world.tell(0, |client, now| client.candidate(now, id, vec![number; 20])).unwrap();
    }
    assert!(world.run(MINUTE, |world| world.hosts[1].offered().is_some()));
    answer(&mut world, id, blob(2000, 2));
    for number in 0..64 {
        world.tell(1, |client, now| client.candidate(now, id, vec![number + 100; 20])).unwrap();
    }
    world.run(Duration::from_secs(25), |_| false);
    for (host, first) in [(0_usize, 100), (1, 0)] {
        let mut got: Vec<(u8, Vec<u8>)> = Vec::new();
        for (_, event) in &world.hosts[host].events {
            if let Event::Candidate { number, message, .. } = event {
                got.push((*number, message.clone()));
            }
        }
        got.sort_unstable();
        let expected: Vec<_> = (0..64).map(|number| (number, vec![number + first; 20])).collect();
        assert_eq!(got, expected, "host {host}");
    }
}

#[test]
fn offer_to_nobody_fails_when_the_server_says_so() {
    let mut world = registered(CLEAN, 10);
    world.run(Duration::from_secs(31), |_| false);
    let start = world.now;
    let id = world.tell(0, |client, now| client.offer(now, identifier(9), blob(10, 1))).unwrap();
    assert!(world.run(MINUTE, |world| world.hosts[0].has(is_outcome)));
    let reason = FailReason::Refused(roundtable_proto::wire::ErrorCode::PeerUnknown);
    assert!(world.hosts[0].has(|event| *event == Event::Failed { offer: id, reason }));
    assert_eq!(world.now.since(start), CLEAN.delay * 2);
}

#[test]
fn offer_to_somebody_who_registers_a_little_later_is_waited_out_after_a_restart() {
    let mut world = World::new(2, CLEAN, 11);
    world.tell(0, |client, now| client.register(now));
    world.run(Duration::from_secs(1), |_| false);
    let id = offer(&mut world, blob(5000, 1));
    world.run(Duration::from_secs(5), |_| false);
    world.tell(1, |client, now| client.register(now));
    assert!(world.run(Duration::from_secs(1), |world| world.hosts[1].offered().is_some()));
    assert_eq!(world.hosts[1].offered().map(|(offer, _)| offer), Some(id));
    assert_eq!(world.hosts[0].count(is_outcome), 0);
}

#[test]
fn nothing_is_dropped_on_a_clean_path() {
    let mut world = registered(CLEAN, 12);
    call(&mut world, BLOB_MAX);
    world.run(MINUTE * 5, |_| false);
    for host in &world.hosts {
        for reason in DropReason::ALL {
            assert_eq!(host.client.counters().dropped(reason), 0, "{}", reason.name());
        }
    }
}
