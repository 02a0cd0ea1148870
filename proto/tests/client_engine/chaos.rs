//! Three clients that call each other at random while hops lose, the server restarts and clients move: every call has
//! exactly one outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use roundtable_proto::client::Event;
use roundtable_proto::wire::OfferId;

use crate::world::{Dice, Hops, Host, World, identifier};

const HOSTS: usize = 3;

/// One random thing that a user, a network or an operator does.
fn act(world: &mut World, dice: &mut Dice, offers: &mut Vec<(usize, OfferId)>, moves: &mut u16) {
    let host = dice.below(HOSTS as u64) as usize;
    match dice.below(20) {
        0..6 => {
            let target = identifier(dice.below(HOSTS as u64) as u8 + 1);
            let blob = vec![dice.below(256) as u8; dice.below(65_536) as usize + 1];
            if let Ok(offer) = world.tell(host, |client, now| client.offer(now, target, blob)) {
                offers.push((host, offer));
            }
        }
        6..15 => {
            let Some(offer) = pick(world, dice, host) else { return };
            let blob = vec![7; dice.below(65_536) as usize + 1];
            let _ = match dice.below(4) {
                0 => world.tell(host, |client, now| client.decline(now, offer)),
                1 => world.tell(host, |client, now| client.candidate(now, offer, vec![1; 100])),
                2 => world.tell(host, |client, now| client.punch(now, offer)),
                _ => world.tell(host, |client, now| client.answer(now, offer, blob)),
            };
        }
        15..17 => {
            *moves += 1;
            world.hosts[host].address.set_port(41_000 + *moves);
            if dice.below(2) == 0 {
                world.tell(host, |client, now| client.rebind(now));
            }
        }
        17 => world.tell(host, |client, now| client.ping(now)),
        18 => {
            let now = world.now;
            world.server.restart(now);
        }
        _ => world.hops.loss_percent = dice.below(40),
    }
}

/// An offer that this host has been told of.
fn pick(world: &World, dice: &mut Dice, host: usize) -> Option<OfferId> {
    let told: Vec<_> = world.hosts[host].events.iter().filter_map(|(_, event)| offered(event)).collect();
    told.get(dice.below(told.len().max(1) as u64) as usize).copied()
}

fn offered(event: &Event) -> Option<OfferId> {
    match event {
        Event::Offered { offer, .. } => Some(*offer),
        _ => None,
    }
}

/// The call that this event ends.
fn outcome(event: &Event) -> Option<OfferId> {
    match event {
        Event::Answered { offer, .. }
        | Event::Declined { offer }
        | Event::Failed { offer, .. }
        | Event::Yielded { offer, .. }
        | Event::AnswerDelivered { offer } => Some(*offer),
        _ => None,
    }
}

#[test]
fn every_call_has_exactly_one_outcome_whatever_happens() {
    for seed in 0..60 {
        let hops = Hops {
            loss_percent: seed % 30,
            delay: Duration::from_millis(5 + seed),
            jitter: Duration::from_millis(seed % 20),
        };
        let mut world = World::new(HOSTS as u8, hops, seed);
        let mut dice = Dice(seed ^ 0x55);
        let (mut offers, mut moves) = (Vec::new(), 0);
        world.register_all();
        for _ in 0..150 {
            act(&mut world, &mut dice, &mut offers, &mut moves);
            let pause = Duration::from_millis(dice.below(1500));
            world.run(pause, |_| false);
        }
        world.run(Duration::from_secs(180), |_| false);
        check(&world, &offers);
    }
}

fn check(world: &World, offers: &[(usize, OfferId)]) {
    for (host, Host { events, .. }) in world.hosts.iter().enumerate() {
        let mut outcomes: BTreeMap<OfferId, usize> = BTreeMap::new();
        let mut rung = BTreeSet::new();
        for (_, event) in events {
            if let Some(offer) = outcome(event) {
                *outcomes.entry(offer).or_default() += 1;
            }
            if let Some(offer) = offered(event) {
                assert!(rung.insert(offer), "an offer rings once");
            }
        }
        let own = offers.iter().filter(|(caller, _)| *caller == host).map(|(_, offer)| *offer);
        let expected: BTreeMap<_, _> = own.chain(rung).map(|offer| (offer, 1)).collect();
        assert_eq!(outcomes, expected, "host {host}");
    }
}
