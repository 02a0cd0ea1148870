//! A call heals by itself: the server restarted, or either peer at a new address, at each step of the call.

#![expect(clippy::unwrap_used, reason = "a test")]

mod rig;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;

use rig::{Home, Names, Pair, Resident, ms, secs};
use roundtable_proto::client::Event;
use roundtable_proto::vnet::{Behaviour, INTERNET, Link, Point, Seat};
use roundtable_proto::wire::{self, Kind, OfferId};

const SEED: u64 = 42;
const SIZES: [usize; 2] = [20_000, 12_000];

fn pair(names: Names) -> Pair {
    pair_over(names, [20, 35])
}

/// A pair whose links have these delays, in milliseconds one way.
fn pair_over(names: Names, delays: [u64; 2]) -> Pair {
    let homes = [Home::Nat(Behaviour::port_restricted()), Home::Nat(Behaviour::port_restricted())];
    Pair::registered_as(names, SEED, homes, delays.map(|delay| Link::after(ms(delay))), SIZES)
}

/// Each step of a call in the clear, and of a sealed one.
fn cuts() -> impl Iterator<Item = (Names, usize)> {
    [Names::Plain, Names::Keyed].into_iter().flat_map(|names| (0..=steps(names)).map(move |cut| (names, cut)))
}

/// Counts the steps of an undisturbed call.
fn steps(names: Names) -> usize {
    let mut pair = pair(names);
    pair.call();
    let until = pair.world.now() + secs(30);
    let mut steps = 0;
    while !pair.is_complete() {
        assert!(pair.step(until), "{}", pair.world.whereabouts());
        steps += 1;
    }
    assert!(steps > 40, "{steps} steps are too few to cut between");
    steps
}

/// Has a call disturbed after so many steps, and expects it to complete all the same.
fn heals((names, cut): (Names, usize), what: &str, disturb: impl FnOnce(&mut Pair)) {
    let mut pair = pair(names);
    let offer = pair.call();
    let start = pair.world.now();
    for _ in 0..cut {
        pair.step(start + secs(30));
    }
    disturb(&mut pair);
    let left = (start + secs(30)).since(pair.world.now());
    let done = pair.run_to(left, Pair::is_complete);
    assert!(
        done.is_some(),
        "{what} at step {cut} of {names:?}: not complete; {:#?} {:#?} {}",
        events(&pair, &pair.caller),
        events(&pair, &pair.callee),
        pair.world.whereabouts()
    );
    pair.run(secs(70));
    pair.check_once_and_intact(offer);
}

/// What a client told, without the blobs.
fn events(pair: &Pair, resident: &Resident) -> Vec<String> {
    let text = |event: &Event| format!("{event:?}").chars().take(120).collect::<String>();
    pair.world.events(resident.seat).iter().map(|(at, event)| format!("{at} {}", text(event))).collect()
}

#[test]
fn call_survives_a_server_that_restarts_at_any_step() {
    for cut in cuts() {
        heals(cut, "restart", |pair| {
            pair.world.stop_server();
            pair.world.start_server();
        });
    }
}

#[test]
fn call_survives_a_server_that_is_away_for_three_seconds_at_any_step() {
    for cut in cuts() {
        heals(cut, "restart after 3 s", |pair| {
            pair.world.stop_server();
            pair.run(secs(3));
            pair.world.start_server();
        });
    }
}

/// Lets a side punch once it may.
fn punch(pair: &mut Pair, offer: OfferId, asked: &mut [bool; 2]) {
    for (asked, resident) in asked.iter_mut().zip([&pair.caller, &pair.callee]) {
        let may = |event: &Event| matches!(event, Event::Answered { .. } | Event::AnswerDelivered { .. });
        if !*asked && rig::has(&pair.world, resident, may) {
            pair.world.command(resident.seat, |client, now| client.punch(now, offer)).unwrap();
            *asked = true;
        }
    }
}

fn has_path(pair: &Pair) -> bool {
    let proved = |event: &Event| matches!(event, Event::Path { .. });
    [&pair.caller, &pair.callee].iter().all(|resident| rig::has(&pair.world, resident, proved))
}

#[test]
fn path_is_found_though_the_server_restarts_at_any_step() {
    // Who comes back first is the one or the other.
    let variants = [(ms(0), [20, 35]), (ms(300), [20, 35]), (ms(0), [150, 20]), (ms(300), [150, 20])];
    for ((names, cut), (away, delays)) in cuts().flat_map(|cut| variants.map(|variant| (cut, variant))) {
        let mut pair = pair_over(names, delays);
        let offer = pair.call();
        let (start, mut asked) = (pair.world.now(), [false; 2]);
        for step in 0.. {
            if step == cut {
                pair.world.stop_server();
                pair.run(away);
                pair.world.start_server();
            }
            if has_path(&pair) || !pair.step(start + secs(30)) {
                break;
            }
            punch(&mut pair, offer, &mut asked);
        }
        assert!(
            has_path(&pair),
            "{delays:?}, away for {away:?} at step {cut} of {names:?}: no path; {:#?} {:#?}",
            events(&pair, &pair.caller),
            events(&pair, &pair.callee)
        );
    }
}

/// To whom the server sent something, and whether that was REGISTERED. A CHALLENGE only answers what came from there.
type Sent = Rc<RefCell<Vec<(SocketAddr, bool)>>>;

fn receivers(pair: &mut Pair) -> Sent {
    let receivers = Sent::default();
    let seen = Rc::clone(&receivers);
    pair.world.tap(move |tapped| {
        if tapped.point != Point::FromServer {
            return;
        }
        match wire::decode(tapped.contents).map(|frame| frame.kind()) {
            Ok(Kind::Challenge) => {}
            kind => seen.borrow_mut().push((tapped.to, kind == Ok(Kind::Registered))),
        }
    });
    receivers
}

fn moves(which: fn(&Pair) -> Resident, what: &str, go: fn(&mut Pair, Resident)) {
    let mut moved = 0;
    for cut in cuts() {
        let mut sent = Sent::default();
        heals(cut, what, |pair| {
            sent = receivers(pair);
            go(pair, which(pair));
        });
        let sent = sent.borrow();
        // Until it is registered at the new address, it is sent to at the old one.
        let Some(registered) = sent.iter().position(|(_, registered)| *registered) else { continue };
        let new = sent[registered].0;
        assert!(sent[..registered].iter().all(|(to, _)| *to != new), "{what} at step {cut:?}: too early");
        let after: BTreeSet<_> = sent[registered..].iter().map(|(to, _)| *to).collect();
        assert_eq!(after.len(), 2, "{what} at step {cut:?}: sent to {after:?} after the move");
        moved += 1;
    }
    assert!(moved > 40, "only {moved} of the cases were moves");
}

fn new_mapping(pair: &mut Pair, resident: Resident) {
    pair.world.network_mut().rebind(resident.gateway.unwrap());
}

fn new_network(pair: &mut Pair, resident: Resident) {
    pair.world.move_host(resident.seat, INTERNET, &["203.0.113.77".parse().unwrap()]);
    rebind(pair, resident.seat);
}

fn rebind(pair: &mut Pair, seat: Seat) {
    pair.world.command(seat, |client, now| client.rebind(now));
}

#[test]
fn call_survives_a_new_mapping_of_the_caller_at_any_step() {
    moves(|pair| pair.caller, "caller's new mapping", new_mapping);
}

#[test]
fn call_survives_a_new_mapping_of_the_callee_at_any_step() {
    moves(|pair| pair.callee, "callee's new mapping", new_mapping);
}

#[test]
fn call_survives_a_new_network_of_the_caller_at_any_step() {
    moves(|pair| pair.caller, "caller's new network", new_network);
}

#[test]
fn call_survives_a_new_network_of_the_callee_at_any_step() {
    moves(|pair| pair.callee, "callee's new network", new_network);
}

/// Has something happen while it rings, and the callee answer two repeats of the offer later.
fn rings_through(what: &str, disturb: fn(&mut Pair)) {
    for names in [Names::Plain, Names::Keyed] {
        rings_through_as(names, what, disturb);
    }
}

fn rings_through_as(names: Names, what: &str, disturb: fn(&mut Pair)) {
    let mut pair = pair(names);
    pair.picks_up = false;
    let offer = pair.call();
    pair.run(secs(3));
    disturb(&mut pair);
    pair.run(secs(6));
    pair.picks_up = true;
    let took = pair.run_to(secs(20), Pair::is_complete);
    assert!(
        took.is_some_and(|took| took < secs(2)),
        "{what}: {took:?} after the answer; {}",
        pair.world.whereabouts()
    );
    pair.run(secs(70));
    pair.check_once_and_intact(offer);
}

#[test]
fn ringing_caller_finds_out_by_itself_that_the_server_has_restarted() {
    rings_through("restart", |pair| {
        pair.world.stop_server();
        pair.world.start_server();
    });
}

#[test]
fn ringing_caller_finds_out_by_itself_that_it_has_a_new_mapping() {
    rings_through("caller's new mapping", |pair| new_mapping(pair, pair.caller));
}

#[test]
fn callee_that_got_a_new_mapping_while_it_rang_answers_all_the_same() {
    rings_through("callee's new mapping", |pair| new_mapping(pair, pair.callee));
}
