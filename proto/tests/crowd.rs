//! Many behind one address, and clients that are limited: whoever is honest comes through. SPEC 12

#![expect(clippy::unwrap_used, reason = "a test")]

mod rig;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use rig::{PORT, ms, secs, seeds};
use roundtable_proto::client::Event;
use roundtable_proto::server::{Config, DropReason, Limits, Outcome};
use roundtable_proto::vnet::{Behaviour, INTERNET, Link, Point, Realm, Seat, World};
use roundtable_proto::wire::{
    self, Address, BlobKind, Cookie, Digest, ErrorCode, Fragment, FragmentHead, Frame, OfferId, PeerId, Ping,
    Register, Session, Signature, Ticket, TransactionId, Zeros,
};

/// The one address.
const OFFICE: [u8; 4] = [198, 51, 100, 1];

fn numbered(number: u32) -> PeerId {
    let mut uuid = [0x11; 16];
    uuid[..4].copy_from_slice(&number.to_be_bytes());
    PeerId::plain(uuid).unwrap()
}

struct Office {
    world: World,
    users: Vec<Seat>,
    /// Of each user, the events that have been looked at.
    looked_at: Vec<usize>,
}

impl Office {
    /// Settles `users` behind one address.
    fn new(seed: u64, users: u32, limits: Limits) -> Self {
        let config = Config { max_peers: 4000, max_offers: 4000, limits, ..Config::default() };
        let mut world = World::new(seed, config);
        let network = world.network_mut();
        let nat = network.add_nat(INTERNET, OFFICE.into(), Behaviour::port_restricted(), Link::after(ms(20)));
        let realm: Realm = network.inside(nat);
        let users: Vec<_> = (0..users)
            .map(|number| {
                let [_, _, high, low] = number.to_be_bytes();
                let address = IpAddr::from([10, 7, high, low]);
                let host = world.network_mut().add_host(realm, &[address], Link::after(ms(1)));
                world.add_client(host, PORT, numbered(number))
            })
            .collect();
        let looked_at = vec![0; users.len()];
        Self { world, users, looked_at }
    }

    fn log_in(&mut self, number: usize) {
        self.world.command(self.users[number], |client, now| client.register(now));
    }

    fn call(&mut self, from: usize, to: u32, length: usize) -> OfferId {
        let blob = self.world.random().bytes(length);
        self.world.command(self.users[from], |client, now| client.offer(now, numbered(to), blob)).unwrap()
    }

    /// Lets time pass, and everybody answer those whom he knows.
    fn pass(&mut self, time: Duration) {
        self.world.run(time);
        for number in 0..self.users.len() {
            let events = self.world.events(self.users[number]);
            let new: Vec<_> = events[self.looked_at[number]..]
                .iter()
                .filter_map(|(_, event)| {
                    let Event::Offered { offer, from, .. } = event else { return None };
                    Some((*offer, *from))
                })
                .collect();
            self.looked_at[number] = events.len();
            for (offer, from) in new {
                if from.as_bytes()[4..16] == [0x11; 12] {
                    let blob = vec![number as u8; 3000];
                    self.world
                        .command(self.users[number], |client, now| client.answer(now, offer, blob))
                        .unwrap();
                }
            }
        }
    }

    fn count(&self, is: fn(&Event) -> bool) -> usize {
        let has = |seat: &&Seat| self.world.events(**seat).iter().any(|(_, event)| is(event));
        self.users.iter().filter(has).count()
    }

    fn registered(&self) -> usize {
        self.count(|event| matches!(event, Event::Registered { .. }))
    }

    fn is_answered(&self, user: usize) -> bool {
        let events = self.world.events(self.users[user]);
        events.iter().any(|(_, event)| matches!(event, Event::Answered { .. }))
    }

    fn answered(&self) -> usize {
        self.count(|event| matches!(event, Event::Answered { .. }))
    }

    fn refused(&self, code: ErrorCode) -> u64 {
        self.world.server().unwrap().counters().refused(code)
    }
}

/// The last cookie and all sessions that each port was given.
type Granted = BTreeMap<SocketAddr, (Option<Cookie>, Vec<Session>)>;

/// A neighbour behind the same address, with some ports.
struct Neighbour {
    ports: Vec<SocketAddr>,
    granted: Rc<RefCell<Granted>>,
    made_up: u32,
    outcomes: BTreeMap<String, u64>,
}

impl Neighbour {
    fn watching(world: &mut World) -> Self {
        let ports: Vec<_> = (100..108).map(|port| SocketAddr::from((OFFICE, port))).collect();
        let granted = Rc::new(RefCell::new(Granted::new()));
        let (seen, mine) = (Rc::clone(&granted), ports.clone());
        world.tap(move |tapped| {
            if tapped.point != Point::FromServer || !mine.contains(&tapped.to) {
                return;
            }
            let mut seen = seen.borrow_mut();
            let granted = seen.entry(tapped.to).or_default();
            match wire::decode(tapped.contents) {
                Ok(Frame::Challenge(challenge)) => granted.0 = Some(challenge.cookie),
                Ok(Frame::Registered(registered)) => granted.1.push(registered.session),
                Ok(_) | Err(_) => {}
            }
        });
        Self { ports, granted, made_up: 0, outcomes: BTreeMap::new() }
    }

    fn send(&mut self, world: &mut World, from: SocketAddr, datagram: &[u8]) {
        let outcome = world.inject(from, datagram).unwrap();
        *self.outcomes.entry(format!("{outcome:?}")).or_default() += 1;
    }

    /// Junk, forged cookies, made-up identifiers under good cookies, offers at one victim.
    fn attack(&mut self, world: &mut World, victim: PeerId) {
        let from = *world.random().pick(&self.ports).unwrap();
        let junk = world.random().bytes(60);
        self.send(world, from, &junk);
        let transaction = TransactionId(world.random().sixteen());
        let ping = Frame::Ping(Ping { transaction, zero: Zeros::ZERO });
        self.send(world, from, &ping.to_vec());
        let (cookie, sessions) = self.granted.borrow().get(&from).cloned().unwrap_or_default();
        for cookie in [Cookie(world.random().sixteen()), cookie.unwrap_or(Cookie::NONE)] {
            self.made_up += 1;
            let mut uuid = [0x99; 16];
            uuid[..4].copy_from_slice(&self.made_up.to_be_bytes());
            let register = Register {
                session: Session::NONE,
                transaction,
                identifier: PeerId::plain(uuid).unwrap(),
                cookie,
                ticket: Ticket::NONE,
                server: Address::NONE,
                signature: Signature::NONE,
            };
            self.send(world, from, &Frame::Register(register).to_vec());
        }
        if let Some(session) = world.random().pick(&sessions).copied() {
            let blob = world.random().bytes(900);
            let offer = OfferId::from_random(world.random().sixteen());
            let (length, digest) = (900, Digest::of(&blob));
            let head =
                FragmentHead { session, offer, target: victim, digest, length, index: 0, zero: Zeros::ZERO };
            let frame = Frame::Offer(Fragment::new(BlobKind::Offer, head, &blob).unwrap());
            self.send(world, from, &frame.to_vec());
        }
    }

    fn met(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&format!("{outcome:?}")).copied().unwrap_or_default()
    }
}

#[test]
fn a_thousand_users_behind_one_address_log_in_and_call_while_a_neighbour_there_attacks() {
    const USERS: u32 = 1000;
    for seed in seeds(1..2) {
        let mut office = Office::new(seed, USERS, Limits::default());
        let mut neighbour = Neighbour::watching(&mut office.world);
        let victim = numbered(1);
        // 50 steps a second: all have logged in after 10 s and called after 20 s.
        for step in 0..30 * 50usize {
            if step < 500 {
                office.log_in(2 * step);
                office.log_in(2 * step + 1);
            } else if step < 1000 {
                office.call(2 * (step - 500), 2 * (step as u32 - 500) + 1, 4000);
            }
            for _ in 0..2 {
                neighbour.attack(&mut office.world, victim);
            }
            office.pass(ms(20));
            if step == 600 {
                let registered = office.registered();
                assert_eq!(registered, USERS as usize, "{}", office.world.whereabouts());
            }
        }
        // Only the victim himself may be out of reach: his client holds no more than CALLS_MAX calls, which strangers fill.
        let answered = office.answered();
        let unanswered: Vec<_> =
            (0..USERS as usize).step_by(2).filter(|caller| !office.is_answered(*caller)).collect();
        assert!(
            unanswered.is_empty() || unanswered == [0],
            "others than the victim's caller: {unanswered:?}"
        );
        assert!(answered >= 499, "{answered}: {:#?} {}", neighbour.outcomes, office.world.whereabouts());
        for bounded in
            [Outcome::Dropped(DropReason::StrangerLimited), Outcome::Refused(ErrorCode::RateLimited)]
        {
            assert!(neighbour.met(bounded) > 100, "{bounded:?}: {:#?}", neighbour.outcomes);
        }
        let made_up = office.world.server().unwrap().peers() - USERS;
        assert!(made_up <= 8 * (16 + 30), "{made_up}");
        println!("{:#?}", neighbour.outcomes);
    }
}

#[test]
fn rush_of_clients_that_are_told_to_wait_is_let_in_and_nobody_fails() {
    let limits = Limits { registrations: 5, registrations_in_all: 20, ..Limits::default() };
    let mut office = Office::new(7, 150, limits);
    for number in 0..150 {
        office.log_in(number);
    }
    office.pass(secs(2));
    assert!(office.registered() < 100 && office.refused(ErrorCode::RateLimited) > 0);
    let all = |world: &World| world.server().is_some_and(|server| server.peers() == 150);
    assert!(office.world.run_until(secs(60), all), "{} came in", office.registered());
}

#[test]
fn calls_of_a_limited_client_succeed_late_rather_than_fail() {
    let limits = Limits { peer_kib: 32, ..Limits::default() };
    let mut office = Office::new(8, 8, limits);
    for number in 0..8 {
        office.log_in(number);
    }
    office.pass(secs(1));
    // 420 KB at once, where 256 KiB and then 32 KiB a second are allowed.
    for to in 1..8 {
        office.call(0, to, 60_000);
    }
    let answered = |office: &Office| {
        let events = office.world.events(office.users[0]);
        events.iter().filter(|(_, event)| matches!(event, Event::Answered { .. })).count()
    };
    office.pass(secs(2));
    assert!(answered(&office) < 7 && office.refused(ErrorCode::RateLimited) > 0);
    for _ in 0..280 {
        office.pass(ms(100));
    }
    assert_eq!(answered(&office), 7, "{}", office.world.whereabouts());
}
