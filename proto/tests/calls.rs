//! What happens between two applications: glare, racing answers, timeouts, names taken and freed, long idling.

mod rig;

use std::cell::RefCell;
use std::rc::Rc;

use rig::{Home, Names, PORT, Pair, Resident, count, has, identifier, ms, secs, settle, small};
use roundtable_proto::client::{Event, FailReason, RefusalCode};
use roundtable_proto::vnet::{Behaviour, Link, Point, World};
use roundtable_proto::wire::{self, Digest, ErrorCode, Fragment, FragmentHead, Frame};

const SEED: u64 = 7;

fn home() -> Home {
    Home::Nat(Behaviour::port_restricted())
}

fn pair(sizes: [usize; 2]) -> Pair {
    Pair::registered(SEED, [home(), home()], [Link::after(ms(20)), Link::after(ms(35))], sizes)
}

/// Has both call each other, `later` starting so many milliseconds after the other; both answer whatever rings.
/// Returns how many calls were answered, and how many offers yielded.
fn glare(
    names: Names,
    [caller_delay, callee_delay]: [u64; 2],
    larger_first: bool,
    later: u64,
    size: usize,
) -> (usize, usize) {
    let links = [Link::after(ms(caller_delay)), Link::after(ms(callee_delay))];
    let Pair { mut world, caller, callee, .. } =
        Pair::registered_as(names, SEED, [home(), home()], links, [1, 1]);
    let caller_is_smaller = caller.identifier < callee.identifier;
    let (smaller, larger) = if caller_is_smaller { (caller, callee) } else { (callee, caller) };
    let both = [smaller, larger];
    let order = if larger_first { [larger, smaller] } else { [smaller, larger] };
    let start = world.now();
    let mut looked_at = [world.events(smaller.seat).len(), world.events(larger.seat).len()];
    let call = |world: &mut World, from: Resident, to: Resident| {
        let blob = vec![from.identifier.as_bytes()[0]; size];
        // Refused if the other's offer has just been presented, and answered below.
        let _ = world.command(from.seat, |client, now| client.offer(now, to.identifier, blob));
    };
    call(&mut world, order[0], order[1]);
    let mut second = Some(start + ms(later));
    loop {
        let until = second.unwrap_or(start + secs(30));
        let goes_on = world.step(until);
        for (resident, looked_at) in both.iter().zip(&mut looked_at) {
            let new = world.events(resident.seat)[*looked_at..].to_vec();
            *looked_at += new.len();
            for (_, event) in new {
                if let Event::Offered { offer, .. } = event {
                    let blob = vec![9; size];
                    // Refused if this side has offered meanwhile and the other one yields.
                    let _ = world.command(resident.seat, |client, now| client.answer(now, offer, blob));
                }
            }
        }
        if !goes_on {
            if second.take().is_none() {
                break;
            }
            call(&mut world, order[1], order[0]);
        }
    }
    let sum = |is: fn(&Event) -> bool| both.iter().map(|resident| count(&world, resident, is)).sum();
    let answered = sum(|event| matches!(event, Event::Answered { .. }));
    let failed: usize = sum(|event| matches!(event, Event::Failed { .. }));
    assert_eq!(failed, 0, "{:?} {}", both.map(|one| world.events(one.seat).len()), world.whereabouts());
    (answered, sum(|event| matches!(event, Event::Yielded { .. })))
}

#[test]
fn glare_ends_with_one_call_whatever_arrives_first() {
    glare_ends_with_one_call(Names::Plain);
}

#[test]
fn glare_of_sealed_offers_ends_with_one_call_whatever_arrives_first() {
    glare_ends_with_one_call(Names::Keyed);
}

fn glare_ends_with_one_call(names: Names) {
    let mut yielded = 0;
    for size in [500, 5_000, 40_000] {
        for delays in [[5, 5], [5, 80], [80, 5], [40, 41]] {
            for larger_first in [false, true] {
                for later in (0..=300).step_by(12) {
                    let (answered, gave_way) = glare(names, delays, larger_first, later, size);
                    let which = format!(
                        "{size} bytes, delays {delays:?}, larger first: {larger_first}, {later} ms later"
                    );
                    // An offer that comes after the first call was answered is a call of its own.
                    assert!(
                        answered == 1 || gave_way == 0 && answered == 2,
                        "{answered} calls, {gave_way} yielded: {which}"
                    );
                    yielded += gave_way;
                }
            }
        }
    }
    assert!(yielded > 50, "only {yielded} of the cases were glare");
}

#[test]
fn first_complete_answer_wins_and_a_second_one_changes_nothing() {
    // A second answer under the same offer, from the callee's own address and session, at each step of the first one.
    for cut in 0..60 {
        let mut pair = pair([2_000, 4_000]);
        let session = Rc::new(RefCell::new(None));
        let seen = Rc::clone(&session);
        pair.world.tap(move |tapped| {
            if let (Point::Server, Ok(Frame::Answer(answer))) = (tapped.point, wire::decode(tapped.contents))
            {
                *seen.borrow_mut() = Some((tapped.from, answer.head().session));
            }
        });
        let offer = pair.call();
        let start = pair.world.now();
        let until = start + secs(20);
        while session.borrow().is_none() {
            assert!(pair.step(until));
        }
        for _ in 0..cut {
            pair.step(until);
        }
        let (from, session) = session.borrow_mut().take().expect("seen above");
        let blob = b"a second answer";
        let head = FragmentHead {
            session,
            offer,
            target: pair.caller.identifier,
            digest: Digest::of(blob),
            length: blob.len() as u32,
            index: 0,
            zero: wire::Zeros::ZERO,
        };
        let second = Fragment::new(wire::BlobKind::Answer, head, blob).expect("fits");
        for _ in 0..3 {
            pair.world.inject(from, &Frame::Answer(second).to_vec());
        }
        assert!(
            pair.run_to(secs(20), Pair::is_complete).is_some(),
            "cut {cut}; {}",
            pair.world.whereabouts()
        );
        pair.run(secs(40));
        pair.check_once_and_intact(offer);
    }
}

#[test]
fn offer_that_nobody_answers_fails_with_timeout_when_the_server_says() {
    let mut pair = pair([2_000, 1]);
    let world = &mut pair.world;
    let (target, blob) = (pair.callee.identifier, pair.offer.clone());
    let start = world.now();
    let offer =
        world.command(pair.caller.seat, |client, now| client.offer(now, target, blob)).expect("registered");
    world.run(secs(80));
    let failed = |resident: &Resident| {
        let events = world.events(resident.seat).iter();
        let failed = events.filter_map(|(at, event)| {
            let Event::Failed { offer: failed, reason } = event else { return None };
            (*failed == offer).then(|| (at.since(start), *reason))
        });
        failed.collect::<Vec<_>>()
    };
    let caller = failed(&pair.caller);
    assert_eq!(caller.len(), 1, "{caller:?}");
    assert_eq!(caller[0].1, FailReason::Timeout);
    assert!(caller[0].0 >= secs(30) && caller[0].0 < ms(30_500), "{caller:?}");
    let callee = failed(&pair.callee);
    assert_eq!(callee.len(), 1, "{callee:?}");
    assert!(callee[0].0 < secs(33), "{callee:?}");
    assert_eq!(count(world, &pair.callee, |event| matches!(event, Event::Offered { .. })), 1);
}

#[test]
fn offer_to_nobody_fails_by_name() {
    let mut pair = pair([100, 1]);
    // A server that has just started asks to wait, for the peer may be about to come back.
    pair.world.run(secs(31));
    let nobody = identifier(99);
    let offer = pair.world.command(pair.caller.seat, |client, now| client.offer(now, nobody, vec![1; 100]));
    let offer = offer.expect("registered");
    pair.world.run(secs(2));
    let failed = Event::Failed { offer, reason: FailReason::Refused(ErrorCode::PeerUnknown) };
    assert_eq!(count(&pair.world, &pair.caller, |event| *event == failed), 1);
}

fn taken(event: &Event) -> bool {
    let code = RefusalCode::Known(ErrorCode::IdentifierTaken);
    matches!(event, Event::RegistrationFailed { code: told, retry_after: Some(_), .. } if *told == code)
}

fn registered(event: &Event) -> bool {
    matches!(event, Event::Registered { .. })
}

/// Two clients under one identifier: the first holds it, the second asks for it.
fn rivals() -> (World, Resident, Resident) {
    let mut world = World::new(SEED, small());
    let first = settle(&mut world, 1, home(), Link::after(ms(20)));
    let second = settle(&mut world, 2, home(), Link::after(ms(20)));
    let rival = Resident { seat: world.add_client(second.host, PORT + 1, first.identifier), ..second };
    world.command(first.seat, |client, now| client.register(now));
    world.run(secs(1));
    world.command(rival.seat, |client, now| client.register(now));
    (world, first, rival)
}

#[test]
fn identifier_is_held_as_long_as_its_holder_lives() {
    let (mut world, first, rival) = rivals();
    world.run(secs(600));
    assert_eq!(count(&world, &rival, registered), 0);
    assert!(count(&world, &rival, taken) >= 2);
    assert_eq!(count(&world, &first, registered), 1);
}

#[test]
fn identifier_of_a_silent_holder_is_free_after_its_ttl_and_not_before() {
    let (mut world, first, rival) = rivals();
    let mut link = world.network().link(first.host);
    link.set_open(false);
    let silent = world.now();
    world.network_mut().set_link(first.host, link);
    assert!(world.run_until(secs(300), |world| has(world, &rival, registered)));
    let waited = world.now().since(silent);
    // The holder was heard once or twice before, at most one keepalive ago.
    assert!(waited > secs(35) && waited < secs(70), "{waited:?}");
}

#[test]
fn identifier_of_a_holder_that_left_is_free_when_the_rival_asks_again() {
    let (mut world, first, rival) = rivals();
    world.run(secs(1));
    world.command(first.seat, |client, now| client.unregister(now));
    assert!(world.run_until(secs(70), |world| has(world, &rival, registered)));
    assert!(has(&world, &first, |event| matches!(event, Event::Unregistered)));
}

#[test]
fn idle_peer_behind_a_nat_of_thirty_seconds_is_called_after_ten_minutes() {
    let mut pair = pair([2_000, 2_000]);
    pair.run(secs(600));
    let offer = pair.call();
    let done = pair.run_to(secs(5), Pair::is_complete);
    assert!(done.is_some_and(|took| took < secs(1)), "{done:?}; {}", pair.world.whereabouts());
    pair.check_once_and_intact(offer);
    for resident in [pair.caller, pair.callee] {
        assert_eq!(count(&pair.world, &resident, registered), 1, "nobody had to register again");
    }
}

#[test]
fn peers_without_keepalives_would_have_lost_their_mappings() {
    // The control to the test above: the same NAT forgets whoever is silent for 30 s.
    let mut pair = pair([2_000, 2_000]);
    let mut link = pair.world.network().link(pair.callee.host);
    link.up.open = false;
    pair.world.network_mut().set_link(pair.callee.host, link);
    pair.run(secs(31));
    pair.call();
    assert_eq!(pair.run_to(secs(10), Pair::is_complete), None);
    assert_eq!(count(&pair.world, &pair.callee, |event| matches!(event, Event::Offered { .. })), 0);
}
