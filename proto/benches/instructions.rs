//! One path of the engine, again and again, for a count of instructions: the same on every run of one build.
//!
//! `instructions` lists the paths, `instructions PATH` runs one. What counts happens in `measured`; run it under
//! `valgrind --tool=callgrind --toggle-collect=*measured*`, as `make bench-check` does.

mod support;

use std::hint::black_box;

use roundtable_proto::proxy::Gate;
use roundtable_proto::server::{Path, Server};
use roundtable_proto::wire::{self, BlobKind};

use support::{
    BATCH, Rig, first_register, foreign, gate, hand, hand_at_gate, headed, identifier, key, malformed, path,
    stale,
};

/// How often the path is gone.
const TIMES: u32 = 1000;
/// Registered peers.
const PEERS: u32 = 1000;

const PATHS: [&str; 14] = [
    "codec",
    "keepalive",
    "proxied",
    "proxied_apart",
    "offer_opening",
    "offer_again",
    "answer",
    "register_first",
    "register_second",
    "register_signed",
    "register_ticket",
    "foreign",
    "malformed",
    "stale",
];

fn main() {
    let Some(path) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) else {
        println!("{TIMES}");
        PATHS.iter().for_each(|path| println!("{path}"));
        return;
    };
    let mut rig = Rig::with_peers(PEERS);
    let datagrams = datagrams(&mut rig, &path);
    if let Some(ends) = ends(&path) {
        let datagrams: Vec<_> = (0..)
            .zip(datagrams)
            .map(|(number, (from, datagram))| headed(from, number % ends, &datagram))
            .collect();
        let mut gate = gate();
        // Ways that are new are another matter.
        hand_at_gate(&mut gate, &mut rig.server, rig.now, &datagrams);
        black_box(measured_proxied(&mut gate, &mut rig.server, rig.now, &datagrams));
    } else if path == "codec" {
        black_box(measured_codec(&datagrams));
    } else {
        black_box(measured(&mut rig.server, rig.now, &datagrams));
    }
}

/// How many ends the proxies have between the peers and the server.
fn ends(path: &str) -> Option<u32> {
    match path {
        "proxied" => Some(1),
        "proxied_apart" => Some(TIMES),
        _ => None,
    }
}

/// Makes what is sent, and what has to happen before.
fn datagrams(rig: &mut Rig, path_name: &str) -> Vec<(Path, Vec<u8>)> {
    let offer = |rig: &Rig, number| rig.fragment(number, BlobKind::Offer, number);
    let callee = |number| (number + PEERS / 2) % PEERS;
    if matches!(path_name, "offer_again" | "answer") {
        for number in 0..PEERS {
            rig.hand(path(number), &offer(rig, number));
        }
    }
    // Beside the peers who are there.
    let new = |number| PEERS + number;
    let keyed = TIMES.min(50);
    match path_name {
        "codec" | "keepalive" | "proxied" | "proxied_apart" => {
            each(TIMES, |number| (path(number), rig.keepalive(number)))
        }
        "offer_opening" | "offer_again" => each(TIMES, |number| (path(number), offer(rig, number))),
        "answer" => each(TIMES, |number| {
            (path(callee(number)), rig.fragment(callee(number), BlobKind::Answer, number))
        }),
        "register_first" => {
            each(TIMES, |number| (path(new(number)), first_register(identifier(new(number)))))
        }
        "register_second" => {
            each(TIMES, |number| (path(new(number)), rig.second_register(new(number), None)))
        }
        "register_signed" => {
            each(keyed, |number| (path(new(number)), rig.second_register(new(number), Some(&key(number)))))
        }
        "register_ticket" => {
            each(keyed, |number| (path(new(number)), rig.ticket_register(new(number), &key(number))))
        }
        "foreign" => each(TIMES, |number| (path(number), foreign())),
        "malformed" => each(TIMES, |number| (path(number), malformed())),
        "stale" => each(TIMES, |number| (path(number), stale())),
        unknown => unreachable!("{unknown} is no path"),
    }
}

/// Repeats what there are fewer than TIMES of: only a keyed registration, which is the same each time.
fn each(count: u32, make: impl FnMut(u32) -> (Path, Vec<u8>)) -> Vec<(Path, Vec<u8>)> {
    let once: Vec<_> = (0..count).map(make).collect();
    once.iter().cycle().take(TIMES as usize).cloned().collect()
}

#[inline(never)]
fn measured(server: &mut Server, now: roundtable_proto::Instant, datagrams: &[(Path, Vec<u8>)]) -> usize {
    datagrams.chunks(BATCH).map(|batch| hand(server, now, batch)).sum()
}

#[inline(never)]
fn measured_proxied(
    gate: &mut Gate,
    server: &mut Server,
    now: roundtable_proto::Instant,
    datagrams: &[(Path, Vec<u8>)],
) -> usize {
    datagrams.chunks(BATCH).map(|batch| hand_at_gate(gate, server, now, batch)).sum()
}

#[inline(never)]
fn measured_codec(datagrams: &[(Path, Vec<u8>)]) -> usize {
    let mut out = Vec::with_capacity(wire::DATAGRAM_MAX);
    for (_, datagram) in datagrams {
        out.clear();
        if let Ok(frame) = wire::decode(datagram) {
            frame.encode(&mut out);
        }
    }
    out.len()
}
