//! Seeded mutation fuzzing on the stable toolchain: decoder, server engine, client engine against a hostile server.
//!
//! The corpus is the vectors and whatever the engines themselves say. A plain test run makes a fixed number of steps
//! from a fixed seed. `FUZZ_SECONDS=60` goes on that long with new seeds, `FUZZ_SEED=n` starts from one; a failure
//! names its seed.

#![expect(clippy::unwrap_used, reason = "a test ends where its data is not as it should be")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "fuzzing goes on for as long as it is told"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the application of a fuzzed client cares for few events"
)]

use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::client::{self, Client, Event};
use roundtable_proto::server::{self, Path, Server};
use roundtable_proto::wire::{self, Kind, PeerId};
use roundtable_proto::{Instant, Seed};

/// Steps from one seed.
const STEPS: usize = 200_000;

/// xorshift64*: small, seeded, and no dependency.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % bound
    }

    fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }
}

/// Runs a target from its seeds.
fn fuzz(target: fn(&mut Random)) {
    let seed: u64 = std::env::var("FUZZ_SEED").map_or(1, |text| text.parse().unwrap());
    let seconds: u64 = std::env::var("FUZZ_SECONDS").map_or(0, |text| text.parse().unwrap());
    let started = std::time::Instant::now();
    let mut current = seed;
    loop {
        let run = std::panic::catch_unwind(|| {
            target(&mut Random(current.max(1).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
        });
        if let Err(panic) = run {
            eprintln!("failed with FUZZ_SEED={current}");
            std::panic::resume_unwind(panic);
        }
        current += 1;
        if started.elapsed().as_secs() >= seconds {
            break;
        }
    }
    println!("{} x {STEPS} steps, seeds {seed} to {}", current - seed, current - 1);
}

fn corpus() -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    for name in ["frames.json", "must-fail.json"] {
        let text = std::fs::read_to_string(format!("{}/vectors/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        corpus.extend(vectors.iter().map(|vector| {
            let hex = vector["hex"].as_str().unwrap();
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        }));
    }
    corpus
}

/// Changes a datagram a little, or splices it with another.
fn mutate(random: &mut Random, datagram: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=random.below(3) {
        let length = datagram.len();
        match random.below(8) {
            0 if length > 0 => datagram[random.below(length)] ^= 1 << random.below(8),
            1 if length > 0 => datagram[random.below(length)] = random.next() as u8,
            2 if length > 0 => datagram.truncate(random.below(length)),
            3 => datagram.resize(length + random.below(40), 0),
            4 if length > 3 => datagram[3] = Kind::ALL[random.below(Kind::ALL.len())].number(),
            5 if length > 20 && other.len() >= length => {
                // Another's session, reference or body in this one's place.
                let start = [4, 20, 36, 68][random.below(4)].min(length);
                let end = (start + [8, 16, 19, 32][random.below(4)]).min(length);
                datagram[start..end].copy_from_slice(&other[start..end]);
            }
            6 if length > 80 => datagram[76 + random.below(5)] = [0, 1, 63, 64, 255][random.below(5)],
            _ => {}
        }
    }
}

fn decoder(random: &mut Random) {
    let corpus = corpus();
    for _ in 0..STEPS {
        let mut datagram = corpus[random.below(corpus.len())].clone();
        let other = &corpus[random.below(corpus.len())];
        mutate(random, &mut datagram, other);
        if let Ok(frame) = wire::decode(&datagram) {
            assert_eq!(frame.to_vec(), datagram);
        }
    }
}

fn identifier(number: u8) -> PeerId {
    PeerId::plain([number + 1; 16]).unwrap()
}

fn address(number: usize) -> SocketAddr {
    if number.is_multiple_of(2) {
        SocketAddr::from(([192, 0, 2, 1], 4000 + u16::try_from(number).unwrap()))
    } else {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 4000 + u16::try_from(number).unwrap()))
    }
}

/// Honest clients behind an adversary who sees, changes, repeats and invents datagrams from any address.
fn server_engine(random: &mut Random) {
    let mut heard = corpus();
    let mut now = Instant::from_micros(1_000_000);
    let config = server::Config {
        max_peers: 6,
        max_offers: 4,
        max_peer_offers: 2,
        // Bytes are conserved then, too.
        stun: server::Stun::Strict,
        ..server::Config::default()
    };
    let mut server = Server::new(now, config, Seed::from_number(random.next()));
    let here: SocketAddr = "203.0.113.1:1066".parse().unwrap();
    let mut clients: Vec<Client> = (0..4)
        .map(|number| {
            let config = client::Config::new(here, identifier(number), 0);
            Client::new(now, config, Seed::from_number(random.next()))
        })
        .collect();
    // A client's address changes now and then, as behind a NAT that was restarted.
    let mut homes = [0, 1, 2, 3];
    for step in 0..STEPS {
        now += Duration::from_micros(random.below(20_000) as u64);
        if random.one_in(2000) {
            now += Duration::from_secs(random.below(90) as u64);
        }
        let who = random.below(clients.len());
        if random.one_in(300) {
            homes[who] = who + 4 * random.below(3);
        }
        drive(random, now, &mut clients[who]);
        let mut inputs: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
        while let Some(sent) = clients[who].poll_transmit() {
            if sent.to == here {
                inputs.push((address(homes[who]), sent.contents));
            }
        }
        if random.one_in(2) {
            let mut datagram = heard[random.below(heard.len())].clone();
            let other = heard[random.below(heard.len())].clone();
            mutate(random, &mut datagram, &other);
            inputs.push((address(random.below(12)), datagram));
        }
        for (from, datagram) in inputs {
            server.handle_datagram(now, Path::from(from), &datagram);
            let sent = deliver(now, here, &mut server, (&mut clients, &homes), &mut heard, random);
            assert!(sent <= datagram.len(), "{sent} bytes out for {} in", datagram.len());
            remember(random, &mut heard, datagram);
        }
        if server.poll_timeout().is_some_and(|at| at <= now) {
            server.handle_timeout(now);
            deliver(now, here, &mut server, (&mut clients, &homes), &mut heard, random);
        }
        if step.is_multiple_of(64) {
            server.check_invariants().unwrap();
            assert!(server.counters().bytes_out <= server.counters().bytes_in);
        }
    }
    // Otherwise the fuzzing has not reached what it is for.
    let counters = server.counters();
    assert!(counters.relayed > 0 && counters.offers_answered > 0 && counters.moves > 0, "{counters:?}");
}

/// Lets a client do something.
fn drive(random: &mut Random, now: Instant, client: &mut Client) {
    let blob = vec![7; 1 + random.below(3000)];
    match random.below(12) {
        0 => client.register(now),
        1 => drop(client.offer(now, identifier(random.below(4) as u8), blob.clone())),
        2 if random.one_in(20) => client.unregister(now),
        3 if random.one_in(10) => client.rebind(now),
        4 => client.ping(now),
        _ => {}
    }
    while let Some(event) = client.poll_event() {
        match event {
            Event::Offered { offer, .. } if random.one_in(3) => drop(client.decline(now, offer)),
            Event::Offered { offer, .. } => drop(client.answer(now, offer, blob.clone())),
            Event::Answered { offer, .. } | Event::AnswerDelivered { offer } => {
                let _over = (client.candidate(now, offer, vec![1; 40]), client.punch(now, offer));
            }
            _ => {}
        }
    }
    if client.poll_timeout().is_some_and(|at| at <= now) {
        client.handle_timeout(now);
        assert!(
            client.poll_timeout().is_none_or(|at| at > now),
            "the client wants to be woken at once, for ever"
        );
    }
}

/// Passes on what the server says and returns how many bytes that was.
fn deliver(
    now: Instant,
    here: SocketAddr,
    server: &mut Server,
    (clients, homes): (&mut [Client], &[usize]),
    heard: &mut Vec<Vec<u8>>,
    random: &mut Random,
) -> usize {
    let mut bytes = 0;
    while let Some(transmit) = server.poll_transmit() {
        for datagram in transmit.datagrams() {
            bytes += datagram.len();
            for (number, client) in clients.iter_mut().enumerate() {
                if address(homes[number]) == transmit.path.remote && !random.one_in(10) {
                    client.handle_datagram(now, here, datagram);
                }
            }
            remember(random, heard, datagram.to_vec());
        }
    }
    bytes
}

/// Keeps what was heard, for repeating and changing.
fn remember(random: &mut Random, heard: &mut Vec<Vec<u8>>, datagram: Vec<u8>) {
    if heard.len() < 400 {
        heard.push(datagram);
    } else {
        let place = random.below(heard.len());
        heard[place] = datagram;
    }
}

/// A server that knows the client's session and transactions, and says what it likes.
fn client_engine(random: &mut Random) {
    let mut heard = corpus();
    let mut now = Instant::from_micros(1_000_000);
    let here: SocketAddr = "203.0.113.1:1066".parse().unwrap();
    let config = client::Config::new(here, identifier(1), 0);
    let mut client = Client::new(now, config, Seed::from_number(random.next()));
    client.register(now);
    let mut last = vec![0; 64];
    for _ in 0..STEPS {
        now += Duration::from_micros(random.below(30_000) as u64);
        drive(random, now, &mut client);
        while let Some(sent) = client.poll_transmit() {
            assert!(sent.contents.len() <= wire::DATAGRAM_MAX);
            assert!(wire::decode(&sent.contents).is_ok(), "the client sends what is no frame");
            last.clone_from(&sent.contents);
            remember(random, &mut heard, sent.contents);
        }
        let mut datagram = heard[random.below(heard.len())].clone();
        let other = heard[random.below(heard.len())].clone();
        mutate(random, &mut datagram, &other);
        if datagram.len() > 36 && last.len() > 36 {
            // The session at 4 and the reference at 20 are what a client checks: give it those that it sent last.
            datagram[3] |= 0x80;
            match random.below(4) {
                0 => datagram[4..20].copy_from_slice(&last[4..20]),
                1 => datagram[4..36].copy_from_slice(&last[4..36]),
                2 => datagram[4..20].copy_from_slice(&last[20..36]),
                _ => {}
            }
        }
        let from = if random.one_in(8) { address(random.below(8)) } else { here };
        client.handle_datagram(now, from, &datagram);
        remember(random, &mut heard, datagram);
    }
}

#[test]
fn any_bytes_decode_or_have_a_named_error() {
    fuzz(decoder);
}

#[test]
fn the_server_keeps_its_promises_whatever_arrives() {
    fuzz(server_engine);
}

#[test]
fn the_client_survives_a_hostile_server() {
    fuzz(client_engine);
}
