//! A million random steps: honest clients, a network at its worst and attackers, with the ledger after each.
//!
//! A failure prints its seed; `ROUNDTABLE_SEED` replays it, `ROUNDTABLE_STEPS` says how many steps each walk has.

mod hostile;
mod rig;

use std::collections::BTreeMap;
use std::net::IpAddr;

use hostile::{Attacker, Rogue};
use rig::{Home, Resident, bad, count, identifier, ms, number_from, secs, seeds, settle};
use roundtable_proto::client::{Client, Event};
use roundtable_proto::server::{Config, Limits, Outcome};
use roundtable_proto::vnet::{Behaviour, INTERNET, Link, World};
use roundtable_proto::wire::{ErrorCode, Kind, OfferId, PeerId};

/// Steps of one walk; the walks below add up to more than a million.
const STEPS: u64 = 100_000;
const WALKS: u64 = 16;

/// Rates that a walk runs into.
const fn mean() -> Limits {
    Limits {
        stranger_answers: 8,
        registrations: 1,
        registrations_in_all: 100,
        peer_kib: 1,
        offers_to_peer: 1,
    }
}

struct Walk {
    world: World,
    residents: Vec<Resident>,
    attacker: Attacker,
    rogues: Vec<Rogue>,
    /// What honest clients have offered, to compare with what arrives.
    blobs: BTreeMap<(OfferId, PeerId), Vec<u8>>,
    outcomes: BTreeMap<String, u64>,
    down_for: u32,
}

impl Walk {
    fn new(seed: u64) -> Self {
        // Every other server has too little room for all who want to use it.
        let (max_peers, max_offers, max_peer_offers) =
            if seed.is_multiple_of(2) { (10, 5, 3) } else { (60, 80, 2) };
        let config = Config {
            max_peers,
            max_offers,
            max_peer_offers,
            max_blob: 20_000,
            offer_timeout: secs(10),
            // Every third one is mean.
            limits: if seed.is_multiple_of(3) { mean() } else { Limits::default() },
            ..Config::default()
        };
        let mut world = World::new(seed, config);
        let homes = [
            Home::Open,
            Home::Nat(Behaviour::port_restricted()),
            Home::Nat(Behaviour::symmetric()),
            Home::Carrier(Behaviour::address_restricted()),
            Home::Nat(Behaviour::full_cone()),
            Home::Firewall(Behaviour::port_restricted()),
        ];
        let residents = homes
            .into_iter()
            .zip(1..)
            .map(|(home, number)| settle(&mut world, number, home, Link::symmetric(bad(ms(15), 0.05))))
            .collect();
        let attacker = Attacker::watching(&mut world);
        let rogues = (0..3).map(|number| Rogue::new(number, identifier(100 + number))).collect();
        let mut walk = Self {
            world,
            residents,
            attacker,
            rogues,
            blobs: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            down_for: 0,
        };
        for at in 0..walk.residents.len() {
            walk.command(at, |client, now| client.register(now));
        }
        walk
    }

    fn draw(&mut self, bound: u64) -> u64 {
        self.world.random().below(bound)
    }

    fn command<R>(
        &mut self,
        at: usize,
        command: impl FnOnce(&mut Client, roundtable_proto::Instant) -> R,
    ) -> R {
        self.world.command(self.residents[at].seat, command)
    }

    fn step(&mut self) {
        if self.down_for > 0 {
            self.down_for -= 1;
            if self.down_for == 0 {
                self.world.start_server();
            }
        }
        match self.draw(1000) {
            0..700 => {
                let until = self.world.now() + ms(500);
                self.world.step(until);
            }
            700..780 => self.honest(),
            780..784 => self.weather(),
            784 => self.disaster(),
            785..840 => {
                let sent = self.attacker.noise(&mut self.world, &self.rogues);
                self.count("attacker", sent);
            }
            _ => {
                let which = self.draw(self.rogues.len() as u64) as usize;
                let honest = self.residents.iter().map(|resident| resident.identifier);
                let targets: Vec<_> = honest.chain((0..3).map(|rogue| identifier(100 + rogue))).collect();
                let outcome = self.rogues[which].act(&mut self.world, &self.attacker, &targets);
                self.count("rogue", outcome);
            }
        }
    }

    fn count(&mut self, who: &str, outcome: Option<Outcome>) {
        if let Some(outcome) = outcome {
            *self.outcomes.entry(format!("{who} {outcome:?}")).or_default() += 1;
        }
    }

    /// An application does something.
    fn honest(&mut self) {
        let at = self.draw(self.residents.len() as u64) as usize;
        let offer = self.some_offer(at);
        match self.draw(100) {
            0..12 => self.offer(at),
            12..60 => {
                let length = self.draw(15_000) as usize + 1;
                let blob = self.world.random().bytes(length);
                let me = self.residents[at].identifier;
                if let Some(offer) = offer
                    && self.command(at, |client, now| client.answer(now, offer, blob.clone())).is_ok()
                {
                    self.blobs.insert((offer, me), blob);
                }
            }
            60..65 => {
                if let Some(offer) = offer {
                    let _ = self.command(at, |client, now| client.decline(now, offer));
                }
            }
            65..75 => {
                if let Some(offer) = offer {
                    let message = self.world.random().bytes(80);
                    let _ = self.command(at, |client, now| client.candidate(now, offer, message));
                }
            }
            75..85 => {
                if let Some(offer) = offer {
                    let _ = self.command(at, |client, now| client.punch(now, offer));
                }
            }
            85 => self.command(at, |client, now| client.unregister(now)),
            86..95 => self.command(at, |client, now| client.register(now)),
            95..98 => {
                self.command(at, |client, now| client.ping(now));
            }
            _ => self.command(at, |client, now| client.rebind(now)),
        }
    }

    fn offer(&mut self, at: usize) {
        let other = self.draw(self.residents.len() as u64) as usize;
        let target = match self.draw(20) {
            0 => identifier(200),
            1 => identifier(100 + self.draw(3) as u8),
            _ => self.residents[other].identifier,
        };
        let length = if self.draw(30) == 0 { 30_000 } else { self.draw(16_000) as usize + 1 };
        let blob = self.world.random().bytes(length);
        let me = self.residents[at].identifier;
        if let Ok(offer) = self.command(at, |client, now| client.offer(now, target, blob.clone())) {
            self.blobs.insert((offer, me), blob);
        }
    }

    /// Picks one of the latest calls that a client has heard of.
    fn some_offer(&mut self, at: usize) -> Option<OfferId> {
        let events = self.world.events(self.residents[at].seat);
        let offers: Vec<_> = events
            .iter()
            .rev()
            .filter_map(|(_, event)| {
                let (Event::Offered { offer, .. } | Event::Answered { offer, .. }) = event else {
                    return None;
                };
                Some(*offer)
            })
            .take(4)
            .collect();
        self.world.random().pick(&offers).copied()
    }

    /// The network changes.
    fn weather(&mut self) {
        let at = self.draw(self.residents.len() as u64) as usize;
        let resident = self.residents[at];
        match self.draw(10) {
            0..5 => {
                if let Some(gateway) = resident.gateway {
                    self.world.network_mut().rebind(gateway);
                }
            }
            5..7 => {
                let loss = self.draw(40) as f64 / 100.0;
                let link = Link::symmetric(bad(ms(5 + self.draw(80)), loss));
                self.world.network_mut().set_link(resident.host, link);
            }
            7 => {
                // One at most is cut off.
                for other in &self.residents {
                    let mut link = self.world.network().link(other.host);
                    link.set_open(link.up.open != (other.seat == resident.seat) || !link.up.open);
                    self.world.network_mut().set_link(other.host, link);
                }
            }
            _ => {
                // Roams to a hotspot, or between them: IPv4 clients only, for their server is on IPv4.
                if self.world.network().address(resident.host, IpAddr::from([0, 0, 0, 0])).is_some() {
                    let address = IpAddr::from([203, 0, 113, self.draw(200) as u8]);
                    self.world.move_host(resident.seat, INTERNET, &[address]);
                }
            }
        }
    }

    /// Once in a thousand steps: the machine sleeps, mostly for moments, or the server is restarted.
    fn disaster(&mut self) {
        match self.draw(12) {
            0 => {
                self.world.stop_server();
                self.down_for = 1 + self.draw(300) as u32;
            }
            1 => {
                self.world.stop_server();
                self.world.start_server();
            }
            2 => {
                let millis = self.draw(150_000);
                self.world.jump(ms(millis));
            }
            _ => {
                let millis = self.draw(3_000);
                self.world.jump(ms(millis));
            }
        }
    }

    /// Checks what the clients told: each offer once, and nothing damaged.
    fn check_clients(&self) {
        for resident in &self.residents {
            let mut seen = BTreeMap::new();
            for (_, event) in self.world.events(resident.seat) {
                let (Event::Offered { offer, from, observed, blob }
                | Event::Answered { offer, from, observed, blob }) = event
                else {
                    continue;
                };
                *seen.entry((offer, from)).or_insert(0) += 1;
                // A rogue may hold the identifier of somebody who left, and name his offers.
                let honest = observed.socket_addr().is_some_and(|address| !hostile::is_rogue(address));
                if let Some(sent) = self.blobs.get(&(*offer, *from)).filter(|_| honest) {
                    assert!(sent == blob, "{offer} arrived damaged; {}", self.world.whereabouts());
                }
            }
            let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
            assert!(twice.is_empty(), "presented twice: {twice:?}; {}", self.world.whereabouts());
        }
    }
}

fn walk(seed: u64, steps: u64) -> Walk {
    let mut walk = Walk::new(seed);
    for _ in 0..steps {
        walk.step();
    }
    walk.check_clients();
    walk
}

fn walks(range: std::ops::Range<u64>) {
    let steps = number_from("ROUNDTABLE_STEPS").unwrap_or(STEPS);
    let mut outcomes = BTreeMap::new();
    for seed in seeds(range) {
        let walk = walk(seed, steps);
        for (name, count) in walk.outcomes {
            *outcomes.entry(name).or_insert(0) += count;
        }
    }
    println!("{outcomes:#?}");
}

// Two tests of eight walks each, so that two cores share them.

#[test]
fn server_keeps_its_promises_in_a_random_walk_first_half() {
    walks(0..WALKS / 2);
}

#[test]
fn server_keeps_its_promises_in_a_random_walk_second_half() {
    walks(WALKS / 2..WALKS);
}

#[test]
fn same_seed_gives_the_same_datagrams_and_another_seed_others() {
    let trace = |seed| walk(seed, 5_000).world.trace();
    assert_eq!(trace(1000), trace(1000));
    assert_ne!(trace(1000), trace(1001));
}

/// The walks are worth nothing if the attackers are never served, or never refused for each of these reasons.
#[test]
fn walks_reach_every_outcome_that_an_attacker_can_cause() {
    let walks: Vec<_> = (2000..2006).map(|seed| walk(seed, 20_000)).collect();
    let reached =
        |outcome: Outcome| walks.iter().any(|walk| walk.outcomes.contains_key(&format!("rogue {outcome:?}")));
    for code in ErrorCode::ALL {
        let unreachable = matches!(
            code,
            // Plain identifiers are taken here, and notices are no refusals.
            ErrorCode::IdentifierRefused | ErrorCode::Timeout
        );
        assert!(unreachable || reached(Outcome::Refused(*code)), "no rogue was refused with {code}");
    }
    for kind in [Kind::Offer, Kind::Answer, Kind::Candidate, Kind::Ack, Kind::Punch] {
        assert!(reached(Outcome::Relayed(kind)), "no rogue's {kind:?} was relayed");
    }
    assert!(reached(Outcome::Challenged));
    assert!(walks.iter().any(|walk| walk.outcomes.contains_key("attacker Stun")), "no STUN was answered");
    let honest = |is: fn(&Event) -> bool| -> usize {
        let residents = walks.iter().flat_map(|walk| walk.residents.iter().map(move |one| (walk, one)));
        residents.map(|(walk, resident)| count(&walk.world, resident, is)).sum()
    };
    assert!(
        honest(|event| matches!(event, Event::Answered { .. })) > 20,
        "hardly an honest call was answered"
    );
    assert!(honest(|event| matches!(event, Event::Path { .. })) > 5, "hardly a path was found");
}
