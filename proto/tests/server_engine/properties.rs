//! What the engine keeps to whatever comes. A failure prints its input, and proptest keeps the seed.

use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use roundtable_proto::server::Config;
use roundtable_proto::wire::{BlobKind, Cookie, Frame, Session, fragment_count};

use crate::rig::*;

/// What one of a few peers does.
#[derive(Clone, Debug)]
enum Step {
    Join { at: usize, who: u8 },
    Ask { at: usize, held: usize, who: u8, fresh: bool },
    Speak { at: usize, held: usize, kind: usize, call: u8, target: u8, length: usize },
    Mangled { at: usize, held: usize, kind: usize, place: prop::sample::Index, value: u8, cut: usize },
    Noise { at: usize, bytes: Vec<u8> },
    Pass { millis: u64 },
}

const PLACES: [&str; 5] = [
    "198.51.100.7:40123",
    "198.51.100.7:40124",
    "[2001:db8::1]:40123",
    "[::ffff:198.51.100.7]:40123",
    "203.0.113.9:5004",
];

fn place(number: usize) -> SocketAddr {
    PLACES[number].parse().unwrap()
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0..PLACES.len();
    let held = 0..6usize;
    prop_oneof![
        2 => (at.clone(), 1..5u8).prop_map(|(at, who)| Step::Join { at, who }),
        2 => (at.clone(), held.clone(), 1..5u8, any::<bool>())
            .prop_map(|(at, held, who, fresh)| Step::Ask { at, held, who, fresh }),
        8 => (at.clone(), held.clone(), 0..7usize, 1..4u8, 1..5u8, 1..3000usize).prop_map(
            |(at, held, kind, call, target, length)| Step::Speak { at, held, kind, call, target, length }
        ),
        3 => (at.clone(), held, 0..7usize, any::<prop::sample::Index>(), any::<u8>(), 0..40usize).prop_map(
            |(at, held, kind, place, value, cut)| Step::Mangled { at, held, kind, place, value, cut }
        ),
        1 => (at, vec(any::<u8>(), 0..1300)).prop_map(|(at, bytes)| Step::Noise { at, bytes }),
        2 => prop_oneof![0..50u64, 0..70_000u64].prop_map(|millis| Step::Pass { millis }),
    ]
}

fn spoken(kind: usize, session: Session, number: u8, target: u8, blob: &[u8]) -> Frame<'_> {
    let last = fragment_count(blob.len()) as u8 - 1;
    match kind {
        0 => keepalive(session),
        1 => unregister(session),
        2 => fragment(BlobKind::Offer, session, call(number), id(target), blob, last),
        3 => fragment(BlobKind::Answer, session, call(number), id(target), blob, 0),
        4 => candidate(session, call(number), id(target)),
        5 => ack(session, call(number)),
        _ => punch(session, call(number)),
    }
}

/// The sessions, cookies and registrations that the peers have seen.
struct World {
    rig: Rig,
    sessions: Vec<Session>,
    cookie: Cookie,
}

impl World {
    fn session(&self, held: usize) -> Session {
        *self.sessions.iter().rev().nth(held).unwrap_or(&Session::NONE)
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Join { at, who } => {
                self.cookie = self.rig.cookie(place(*at));
                let sent = self.rig.frame(place(*at), &register(Session::NONE, id(*who), self.cookie));
                self.sessions.extend(session_in(&sent));
            }
            Step::Ask { at, held, who, fresh } => {
                if *fresh {
                    self.cookie = self.rig.cookie(place(*at));
                }
                let frame = register(self.session(*held), id(*who), self.cookie);
                let sent = self.rig.frame(place(*at), &frame);
                self.sessions.extend(session_in(&sent));
            }
            Step::Speak { at, held, kind, call, target, length } => {
                let blob = vec![b'v'; *length];
                let frame = spoken(*kind, self.session(*held), *call, *target, &blob);
                self.rig.frame(place(*at), &frame);
            }
            Step::Mangled { at, held, kind, place: byte, value, cut } => {
                let mut datagram = spoken(*kind, self.session(*held), 1, 2, BLOB).to_vec();
                let byte = byte.index(datagram.len());
                datagram[byte] = *value;
                datagram.truncate(datagram.len() - (*cut).min(datagram.len()));
                self.rig.bytes(place(*at), &datagram);
            }
            Step::Noise { at, bytes } => {
                self.rig.bytes(place(*at), bytes);
            }
            Step::Pass { millis: time } => {
                self.rig.pass(millis(*time));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The rig checks bytes, counters and invariants after each step.
    #[test]
    fn no_history_breaks_the_budget_the_counters_or_the_invariants(steps in vec(step(), 0..120)) {
        let config = Config { max_peers: 3, max_offers: 4, max_peer_offers: 3, max_blob: 2500, ..small() };
        let mut world = World { rig: Rig::with(config), sessions: vec![], cookie: Cookie::NONE };
        for step in &steps {
            world.take(step);
        }
        world.rig.pass(secs(100));
        prop_assert_eq!((world.rig.server.peers(), world.rig.server.offers()), (0, 0));
        prop_assert_eq!(world.rig.server.poll_timeout(), None);
    }

    #[test]
    fn any_bytes_behind_any_header_are_survived_and_overpay_nobody(
        bytes in vec(any::<u8>(), 0..1300),
        version in prop_oneof![4 => Just(1u8), 1 => any::<u8>()],
        kind in prop_oneof![4 => 0..12u8, 1 => any::<u8>()],
        sessioned in any::<bool>(),
    ) {
        let mut rig = Rig::with(small());
        let session = rig.join(ALICE, id(1));
        let mut datagram = [&[b'R', b'T', version, kind][..], &bytes].concat();
        if sessioned && datagram.len() >= 20 {
            datagram[4..20].copy_from_slice(&session.0);
        }
        for from in [ALICE, CAROL] {
            let sent = rig.bytes(from, &datagram);
            prop_assert!(sent.iter().map(|sent| sent.datagram.len()).sum::<usize>() <= datagram.len());
        }
    }
}
