//! A week of a small town in virtual time: calls, a lossy network, people who come and go, NATs that forget, and a flood
//! every hour. Nobody who stays is lost, every call comes through, and every datagram has its outcome.
//!
//! A plain test run lives for a day; `ROUNDTABLE_DAYS=7` is the week. A failure prints its seed; `ROUNDTABLE_SEED` replays it.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod rig;

use std::net::SocketAddr;
use std::time::Duration;

use rig::{Home, Names, Resident, count, ms, number_from, secs, seeds, settle_as, small};
use roundtable_proto::client::Event;
use roundtable_proto::vnet::{Behaviour, Conditions, Link, World};

/// Who live here; the last three come and go.
const PEOPLE: u8 = 12;
const RESTLESS: usize = 3;
/// One call begins in each of these, and as often somebody comes, goes or gets a new address.
const BEAT: Duration = Duration::from_secs(300);
/// Datagrams of one flood.
const FLOOD: u64 = 2000;
const HOUR: u64 = 3600;

struct Town {
    world: World,
    people: Vec<Resident>,
    is_here: Vec<bool>,
    /// Events of each that have been looked at.
    looked_at: Vec<usize>,
    calls: usize,
}

impl Town {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, small());
        let behaviours = [Behaviour::full_cone(), Behaviour::port_restricted(), Behaviour::symmetric()];
        let people: Vec<_> = (1..=PEOPLE)
            .map(|number| {
                let home = match number % 4 {
                    0 => Home::Open,
                    1 => Home::Carrier(behaviours[1]),
                    _ => Home::Nat(behaviours[usize::from(number) % 3]),
                };
                let names = if number.is_multiple_of(2) { Names::Plain } else { Names::Keyed };
                let link = Link::symmetric(Conditions { loss: 0.01, ..Conditions::after(ms(20)) });
                settle_as(&mut world, number, names, home, link)
            })
            .collect();
        for person in &people {
            world.command(person.seat, |client, now| client.register(now));
        }
        let (is_here, looked_at) = (vec![true; people.len()], vec![0; people.len()]);
        let mut town = Self { world, people, is_here, looked_at, calls: 0 };
        town.live(secs(60));
        town
    }

    /// Lets time pass; whoever is called answers.
    fn live(&mut self, time: Duration) {
        let until = self.world.now() + time;
        while self.world.step(until) {
            for number in 0..self.people.len() {
                self.pick_up(number);
            }
        }
    }

    fn pick_up(&mut self, number: usize) {
        let seat = self.people[number].seat;
        let events = self.world.events(seat);
        let new: Vec<_> = events[self.looked_at[number]..]
            .iter()
            .filter_map(|(_, event)| {
                let Event::Offered { offer, .. } = event else { return None };
                Some(*offer)
            })
            .collect();
        self.looked_at[number] = events.len();
        for offer in new {
            self.world.command(seat, |client, now| client.answer(now, offer, vec![7; 900])).unwrap();
        }
    }

    /// Two who are here talk.
    fn call(&mut self) {
        let here: Vec<_> = (0..self.people.len()).filter(|number| self.is_here[*number]).collect();
        let caller = self.world.random().below(here.len() as u64) as usize;
        let other = 1 + self.world.random().below(here.len() as u64 - 1) as usize;
        let (caller, callee) = (here[caller], here[(caller + other) % here.len()]);
        let target = self.people[callee].identifier;
        let length = 1 << self.world.random().between(9, 14);
        let blob = self.world.random().bytes(length);
        self.world.command(self.people[caller].seat, |client, now| client.offer(now, target, blob)).unwrap();
        self.calls += 1;
    }

    /// Somebody comes, goes, or gets a new port from his home's router.
    fn change(&mut self) {
        let number = self.world.random().below(self.people.len() as u64) as usize;
        let seat = self.people[number].seat;
        if number < self.people.len() - RESTLESS {
            let port = 5001 + self.world.random().below(1000) as u16;
            self.world.change_port(seat, port);
            self.world.command(seat, |client, now| client.rebind(now));
        } else if self.is_here[number] {
            self.world.command(seat, |client, now| client.unregister(now));
            self.is_here[number] = false;
        } else {
            self.world.command(seat, |client, now| client.register(now));
            self.is_here[number] = true;
        }
    }

    fn flood(&mut self) {
        for _ in 0..FLOOD {
            let from = SocketAddr::from(([203, 0, 113, self.world.random().below(256) as u8], 9));
            let length = self.world.random().below(300) as usize;
            let mut datagram = self.world.random().bytes(length);
            if length >= 4 && self.world.random().chance(0.7) {
                let kind = self.world.random().below(12) as u8;
                datagram[..4].copy_from_slice(&[b'R', b'T', 1, kind]);
            }
            self.world.inject(from, &datagram);
        }
    }

    /// Everybody is where he says he is.
    fn check(&self) {
        let server = self.world.server().unwrap();
        let here = self.is_here.iter().filter(|is_here| **is_here).count();
        assert_eq!(server.peers() as usize, here, "{}", self.world.whereabouts());
        assert_eq!(server.counters().forgotten, 0, "somebody who stayed was forgotten");
        assert_eq!(server.counters().outcomes(), server.counters().datagrams_in);
        server.check_invariants().unwrap();
    }
}

#[test]
fn nobody_is_lost_in_a_week() {
    let days = number_from("ROUNDTABLE_DAYS").unwrap_or(1);
    for seed in seeds(1..2) {
        println!("ROUNDTABLE_SEED={seed}, {days} days");
        let mut town = Town::new(seed);
        let beats = days * 24 * HOUR / BEAT.as_secs();
        for beat in 0..beats {
            town.call();
            // No call is under way when somebody goes.
            town.live(BEAT / 2);
            town.change();
            if beat.is_multiple_of(HOUR / BEAT.as_secs()) {
                town.flood();
            }
            town.live(BEAT / 2);
            town.check();
        }
        let answered: usize = town
            .people
            .iter()
            .map(|one| count(&town.world, one, |event| matches!(event, Event::Answered { .. })))
            .sum();
        let counters = town.world.server().unwrap().counters();
        println!(
            "{} calls, {answered} answered; {} datagrams in, {} out, {} moves, {} registrations",
            town.calls, counters.datagrams_in, counters.datagrams_out, counters.moves, counters.registrations
        );
        assert_eq!(answered, town.calls, "a call was not answered");
    }
}
