//! The server engine alone: nanoseconds a datagram, at 1,000 and at a million peers in random order, and the longest
//! pause of a sweep. One JSON object a line.
//!
//! `cargo bench --bench engine`; `make bench` puts it into its report.

#[path = "../proto/benches/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use roundtable_proto::server::{Path, Server};
use roundtable_proto::wire::{self, BlobKind};
use roundtable_signalling::kernel::HugePages;

use support::{BATCH, Rig, foreign, gate, hand, hand_at_gate, headed, malformed, path, stale};

/// As in the program.
#[global_allocator]
static MEMORY: HugePages = HugePages;

/// Datagrams of a round. The clock is looked at after each batch, which lies in the cache as it does after a receive.
const ROUND: usize = 250_000;
const ROUNDS: usize = 5;
/// How often the sweep is repeated: the least of the longest pauses is the engine's own, the others are the machine's.
const SWEEPS: usize = 3;

fn main() {
    for peers in [1000, 1_000_000] {
        let mut rig = Rig::with_peers(peers);
        measure(&mut rig, "keepalive", peers, Rig::keepalive);
        header(&mut rig, "header", peers, 1);
        header(&mut rig, "header, 1000 ends", peers, 1000);
        let offer = |rig: &Rig, number| rig.fragment(number, BlobKind::Offer, number);
        for number in 0..peers {
            rig.hand(path(number), &offer(&rig, number));
        }
        measure(&mut rig, "offer", peers, offer);
        measure(&mut rig, "foreign", peers, |_, _| foreign());
        measure(&mut rig, "malformed", peers, |_, _| malformed());
        measure(&mut rig, "stale", peers, |_, _| stale());
    }
    codec();
    sweeps("forgetting", Duration::ZERO);
    sweeps("renewing", Duration::from_secs(30));
}

/// Measures a row, as the driver does it and, in turns with that, without a look ahead at the batch.
fn measure(rig: &mut Rig, row: &str, peers: u32, datagram: impl Fn(&Rig, u32) -> Vec<u8>) {
    let order = rig.order(peers);
    let mut numbers = order.iter().copied().cycle();
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let mut spent = [Duration::ZERO; 2];
        for turn in 0..2 * (ROUND / BATCH) {
            let batch: Vec<(Path, Vec<u8>)> =
                numbers.by_ref().take(BATCH).map(|number| (path(number), datagram(rig, number))).collect();
            spent[turn % 2] += timed(&mut rig.server, rig.now, &batch, turn % 2 == 0);
        }
        for (rounds, spent) in rounds.iter_mut().zip(spent) {
            rounds.push(spent.as_nanos() as f64 / (ROUND / BATCH * BATCH) as f64);
        }
    }
    for (rounds, row) in rounds.iter_mut().zip([row.to_owned(), format!("{row} blindly")]) {
        rounds.sort_by(f64::total_cmp);
        let (median, least) = (rounds[ROUNDS / 2], rounds[0]);
        println!("{{\"row\":\"{row}\",\"peers\":{peers},\"ns\":{median:.1},\"least\":{least:.1}}}");
    }
}

/// Measures what the header of a proxy costs on the way in and out: KEEPALIVEs of half of the peers behind it, in turns with
/// those of the other half without one. The median of the batches, since of so small a part the machine's other work would
/// make too much.
fn header(rig: &mut Rig, row: &str, peers: u32, ends: u32) {
    let order = rig.order(peers);
    let mut direct = order.iter().copied().filter(|number| number % 2 == 0).cycle();
    let mut proxied = order.iter().copied().filter(|number| number % 2 == 1).cycle();
    let mut gate = gate();
    let mut spent = [Vec::new(), Vec::new()];
    // Until all ways are known, it is another matter.
    let unknown = peers as usize / 2 / BATCH + 1;
    for turn in 0..unknown + ROUNDS * ROUND / BATCH {
        let plain = |number| (path(number), rig.keepalive(number));
        let batch: Vec<_> = direct.by_ref().take(BATCH).map(plain).collect();
        let behind = |number| headed(path(number), number / 2 % ends, &rig.keepalive(number));
        let headed: Vec<_> = proxied.by_ref().take(BATCH).map(behind).collect();
        let without = timed(&mut rig.server, rig.now, &batch, true);
        let began = Clock::now();
        rig.server.foresee(headed.iter().map(|(_, datagram)| gate.peek(datagram)));
        black_box(hand_at_gate(&mut gate, &mut rig.server, rig.now, &headed));
        let with = began.elapsed();
        if turn >= unknown {
            spent[0].push(without);
            spent[1].push(with);
        }
    }
    let [without, with] = spent.map(|mut batches| {
        batches.sort_unstable();
        batches[batches.len() / 2].as_nanos() as f64 / BATCH as f64
    });
    let ns = with - without;
    println!("{{\"row\":\"{row}\",\"peers\":{peers},\"ns\":{ns:.1},\"without\":{without:.1}}}");
}

fn timed(
    server: &mut Server,
    now: roundtable_proto::Instant,
    batch: &[(Path, Vec<u8>)],
    looks_ahead: bool,
) -> Duration {
    let began = Clock::now();
    if looks_ahead {
        server.foresee(batch.iter().map(|(_, datagram)| datagram.as_slice()));
    }
    black_box(hand(server, now, batch));
    began.elapsed()
}

/// Reads and writes a KEEPALIVE, without a server.
fn codec() {
    let datagram = Rig::with_peers(1).keepalive(0);
    let mut out = Vec::with_capacity(wire::DATAGRAM_MAX);
    let began = Clock::now();
    for _ in 0..ROUND {
        out.clear();
        if let Ok(frame) = wire::decode(black_box(&datagram)) {
            frame.encode(&mut out);
        }
        black_box(&out);
    }
    let nanos = began.elapsed().as_nanos() as f64 / ROUND as f64;
    println!("{{\"row\":\"codec\",\"peers\":0,\"ns\":{nanos:.1}}}");
}

/// Lets the time of a million peers run out at once. `heard` is when they were heard again after they registered; if
/// that is not zero they are only looked at and scheduled anew.
fn sweeps(row: &str, heard: Duration) {
    let mut longest = Vec::new();
    for _ in 0..SWEEPS {
        let mut rig = Rig::with_peers(1_000_000);
        if heard > Duration::ZERO {
            rig.now += heard;
            for number in 0..1_000_000 {
                let datagram = rig.keepalive(number);
                rig.hand(path(number), &datagram);
            }
            rig.now += Duration::from_secs(32);
        } else {
            rig.now += Duration::from_secs(62);
        }
        let mut pause = Duration::ZERO;
        let mut calls: u64 = 0;
        while rig.server.poll_timeout().is_some_and(|at| at <= rig.now) {
            let began = Clock::now();
            rig.server.handle_timeout(rig.now);
            pause = pause.max(began.elapsed());
            calls += 1;
        }
        longest.push((pause, calls));
    }
    longest.sort_unstable();
    let (pause, calls) = longest[0];
    println!(
        "{{\"row\":\"{row}\",\"peers\":1000000,\"calls\":{calls},\"longest_us\":{:.1},\"worst_us\":{:.1}}}",
        pause.as_nanos() as f64 / 1000.0,
        longest[SWEEPS - 1].0.as_nanos() as f64 / 1000.0
    );
}
