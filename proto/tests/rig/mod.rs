//! What the tests on the virtual network share: seeds and places to live in.

#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of it")]
#![expect(clippy::expect_used, reason = "a test")]

use std::net::IpAddr;
use std::time::Duration;

use roundtable_proto::Instant;
use roundtable_proto::client::{self, Event};
use roundtable_proto::identity::{Identity, SecretKey};
use roundtable_proto::server::Config;
use roundtable_proto::vnet::{
    Behaviour, Conditions, Gateway, Host, INTERNET, Link, Realm, SERVER_V4, SERVER_V6, Seat, UNIX_TIME, World,
};
use roundtable_proto::wire::{OfferId, PeerId};

/// The port of every client on its host.
pub(crate) const PORT: u16 = 5000;

/// Takes a number from the environment: `ROUNDTABLE_SEED` replays one run, `ROUNDTABLE_STEPS` shortens the walks.
#[expect(clippy::disallowed_methods, reason = "tests take back the seed that they print")]
pub(crate) fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// The seeds of a test: those it was written with, or the one to replay.
pub(crate) fn seeds(range: std::ops::Range<u64>) -> Vec<u64> {
    number_from("ROUNDTABLE_SEED").map_or_else(|| range.collect(), |seed| vec![seed])
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A server for a few peers.
pub(crate) fn small() -> Config {
    Config { max_peers: 16, max_offers: 64, ..Config::default() }
}

pub(crate) fn identifier(number: u8) -> PeerId {
    PeerId::plain([number; 16]).expect("not zero")
}

/// What kind of identifiers the peers of a test have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// What they say to each other goes in the clear.
    Plain,
    /// It goes sealed.
    Keyed,
}

impl Names {
    pub(crate) fn identity(self, number: u8) -> Identity {
        match self {
            Self::Plain => identifier(number).into(),
            Self::Keyed => SecretKey::from_seed(&[number; 32]).expect("a good seed").into(),
        }
    }
}

/// Loses, duplicates and reorders.
pub(crate) fn bad(delay: Duration, loss: f64) -> Conditions {
    Conditions {
        jitter: ms(10),
        loss,
        duplication: 0.1,
        reordering: 0.2,
        held_back: ms(60),
        ..Conditions::after(delay)
    }
}

/// Where a client lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// On the internet.
    Open,
    /// Behind one NAT.
    Nat(Behaviour),
    /// Behind a NAT behind a carrier's NAT, both of that behaviour.
    Carrier(Behaviour),
    /// On the IPv6 internet, behind a firewall.
    Firewall(Behaviour),
}

/// A client and the way to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    pub(crate) seat: Seat,
    pub(crate) host: Host,
    pub(crate) realm: Realm,
    pub(crate) gateway: Option<Gateway>,
    pub(crate) identifier: PeerId,
}

fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::from([a, b, c, d])
}

/// Settles client `number`, a plain one, in a home of its own at the end of `link`.
pub(crate) fn settle(world: &mut World, number: u8, home: Home, link: Link) -> Resident {
    settle_as(world, number, Names::Plain, home, link)
}

/// Settles client `number` in a home of its own at the end of `link`.
pub(crate) fn settle_as(world: &mut World, number: u8, names: Names, home: Home, link: Link) -> Resident {
    let public = v4(198, 51, 100, number);
    let local = v4(192, 168, number, 2);
    let near = Link::after(ms(1));
    let network = world.network_mut();
    let (realm, gateway, address) = match home {
        Home::Open => (INTERNET, None, public),
        Home::Nat(behaviour) => {
            let nat = network.add_nat(INTERNET, public, behaviour, link);
            (network.inside(nat), Some(nat), local)
        }
        Home::Carrier(behaviour) => {
            let carrier = network.add_nat(INTERNET, public, behaviour, near);
            let middle = network.inside(carrier);
            let nat = network.add_nat(middle, v4(100, 64, 0, number), behaviour, link);
            (network.inside(nat), Some(nat), local)
        }
        Home::Firewall(behaviour) => {
            let firewall = network.add_firewall(INTERNET, behaviour, link);
            let address = IpAddr::from([0x2001, 0xdb8, u16::from(number), 0, 0, 0, 0, 2]);
            (network.inside(firewall), Some(firewall), address)
        }
    };
    let host = network.add_host(realm, &[address], if gateway.is_some() { near } else { link });
    let server = if address.is_ipv4() { SERVER_V4 } else { SERVER_V6 };
    let identity = names.identity(number);
    let identifier = identity.identifier();
    let seat = world.add_client_with(host, PORT, client::Config::new(server, identity, UNIX_TIME));
    Resident { seat, host, realm, gateway, identifier }
}

/// Two clients, of which one calls the other, who answers at once.
pub(crate) struct Pair {
    pub(crate) world: World,
    pub(crate) caller: Resident,
    pub(crate) callee: Resident,
    pub(crate) offer: Vec<u8>,
    pub(crate) answer: Vec<u8>,
    /// Whether the callee answers; else it rings.
    pub(crate) picks_up: bool,
    /// Events of the callee that have been looked at.
    looked_at: usize,
}

impl Pair {
    /// Settles two plain clients, and lets both register.
    pub(crate) fn registered(seed: u64, homes: [Home; 2], links: [Link; 2], sizes: [usize; 2]) -> Self {
        Self::registered_as(Names::Plain, seed, homes, links, sizes)
    }

    /// Settles two clients, and lets both register.
    pub(crate) fn registered_as(
        names: Names,
        seed: u64,
        homes: [Home; 2],
        links: [Link; 2],
        sizes: [usize; 2],
    ) -> Self {
        let mut world = World::new(seed, small());
        let caller = settle_as(&mut world, 1, names, homes[0], links[0]);
        let callee = settle_as(&mut world, 2, names, homes[1], links[1]);
        let [offer, answer] = sizes.map(|size| world.random().bytes(size));
        for resident in [caller, callee] {
            world.command(resident.seat, |client, now| client.register(now));
        }
        let both = world.run_until(secs(300), |world| {
            [caller, callee]
                .iter()
                .all(|resident| has(world, resident, |event| matches!(event, Event::Registered { .. })))
        });
        assert!(both, "not registered; {}", world.whereabouts());
        Self { world, caller, callee, offer, answer, picks_up: true, looked_at: 0 }
    }

    /// The caller calls.
    pub(crate) fn call(&mut self) -> OfferId {
        let (target, blob) = (self.callee.identifier, self.offer.clone());
        self.world
            .command(self.caller.seat, |client, now| client.offer(now, target, blob))
            .expect("registered")
    }

    /// Takes a step, and answers if it rings.
    pub(crate) fn step(&mut self, until: Instant) -> bool {
        let goes_on = self.world.step(until);
        if self.picks_up {
            self.pick_up();
        }
        goes_on
    }

    /// Answers whatever rings.
    fn pick_up(&mut self) {
        let events = self.world.events(self.callee.seat);
        let new: Vec<_> = events[self.looked_at..]
            .iter()
            .filter_map(|(_, event)| {
                let Event::Offered { offer, .. } = event else { return None };
                Some(*offer)
            })
            .collect();
        self.looked_at = events.len();
        for offer in new {
            let blob = self.answer.clone();
            let answered =
                self.world.command(self.callee.seat, |client, now| client.answer(now, offer, blob));
            assert!(answered.is_ok(), "{answered:?}; {}", self.world.whereabouts());
        }
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        let until = self.world.now() + duration;
        while self.step(until) {}
    }

    /// Runs until `is_so`, and says how long that took; `None` if it took longer than `duration`.
    pub(crate) fn run_to(&mut self, duration: Duration, is_so: fn(&Self) -> bool) -> Option<Duration> {
        let start = self.world.now();
        while !is_so(self) {
            if !self.step(start + duration) {
                return is_so(self).then_some(duration);
            }
        }
        Some(self.world.now().since(start))
    }

    /// Tells whether both have each other's description.
    pub(crate) fn is_answered(&self) -> bool {
        has(&self.world, &self.caller, |event| matches!(event, Event::Answered { .. }))
            && has(&self.world, &self.callee, |event| matches!(event, Event::Offered { .. }))
    }

    /// Tells whether the callee knows that the caller has the answer.
    pub(crate) fn is_confirmed(&self) -> bool {
        has(&self.world, &self.callee, |event| matches!(event, Event::AnswerDelivered { .. }))
    }

    /// Tells whether both sides have the call, and know it.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_answered() && self.is_confirmed()
    }

    /// Checks that each side was told of one call, once, and that not a byte of it differs.
    pub(crate) fn check_once_and_intact(&self, offer: OfferId) {
        let told = |resident: &Resident| -> Vec<_> {
            self.world
                .events(resident.seat)
                .iter()
                .filter_map(|(_, event)| {
                    let (Event::Offered { offer, from, blob, .. }
                    | Event::Answered { offer, from, blob, .. }) = event
                    else {
                        return None;
                    };
                    Some((*offer, *from, blob.clone()))
                })
                .collect()
        };
        let whereabouts = || self.world.whereabouts();
        assert!(
            told(&self.callee) == [(offer, self.caller.identifier, self.offer.clone())],
            "{}",
            whereabouts()
        );
        assert!(
            told(&self.caller) == [(offer, self.callee.identifier, self.answer.clone())],
            "{}",
            whereabouts()
        );
    }
}

/// Tells whether a client has told something.
pub(crate) fn has(world: &World, resident: &Resident, is: impl Fn(&Event) -> bool) -> bool {
    world.events(resident.seat).iter().any(|(_, event)| is(event))
}

/// Counts what a client has told.
pub(crate) fn count(world: &World, resident: &Resident, is: impl Fn(&Event) -> bool) -> usize {
    world.events(resident.seat).iter().filter(|(_, event)| is(event)).count()
}
