//! Prints what keys and sealing cost on this machine:
//! `cargo run --release -p roundtable-proto --example seal_cost`
//!
//! Each figure is the median of the repetitions, in microseconds.

#![expect(clippy::unwrap_used, reason = "it ends where it cannot measure")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it measures; the crate reads no clock"
)]

use std::time::Instant;

use roundtable_proto::identity::{Binding, SecretKey, verify_register};
use roundtable_proto::seal::{Callee, Caller, Entropy, ReplayWindow, UnixSeconds};
use roundtable_proto::wire::{Address, Cookie, OfferId, fragment_count};

const REPETITIONS: usize = 500;
const NOW: UnixSeconds = UnixSeconds(1_750_000_000);

/// Returns the median time of `work` in microseconds, and what it returned last.
fn median<T>(mut work: impl FnMut() -> T) -> (f64, T) {
    let mut last = work();
    let mut times: Vec<f64> = (0..REPETITIONS)
        .map(|_| {
            let start = Instant::now();
            last = work();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[REPETITIONS / 2], last)
}

fn main() {
    let [alice, bob] = [[1; 32], [2; 32]].map(|seed| SecretKey::from_seed(&seed).unwrap());
    let address = |text: &str| -> Address { text.parse().unwrap() };
    let binding = Binding {
        cookie: Cookie([3; 16]),
        observed: address("198.51.100.7:40123"),
        server: address("192.0.2.1:1066"),
    };
    let (sign, signature) = median(|| alice.sign_register(&binding));
    let identifier = alice.identifier();
    let (verify, _) = median(|| verify_register(&identifier, &binding, &signature).unwrap());
    println!("sign a REGISTER    {sign:8.1} us");
    println!("verify a REGISTER  {verify:8.1} us");

    let offer = OfferId::from_random([4; 16]);
    let caller = Caller::new(&alice, bob.identifier(), offer, Entropy::new([5; 32])).unwrap();
    println!(
        "{:12} {:>8} {:>9} {:>9} {:>10} {:>10}",
        "OFFER", "bytes", "sealed", "fragments", "seal us", "open us"
    );
    for (name, size) in
        [("SDP", 1024), ("SDP", 10 << 10), ("SDP", 58 << 10), ("noise", 1024), ("noise", 58 << 10)]
    {
        let blob: Vec<u8> = if name == "SDP" { description(size) } else { noise().take(size).collect() };
        let (seal, sealed) = median(|| caller.seal_offer(NOW, &blob, Entropy::new([6; 32])).unwrap());
        let (open, _) = median(|| {
            let mut seen = ReplayWindow::default();
            Callee::open_offer(&bob, alice.identifier(), offer, &sealed, NOW, &mut seen).unwrap()
        });
        let fragments = format!("{}/{}", fragment_count(sealed.len()), fragment_count(size));
        println!("{name:12} {size:8} {:9} {fragments:>9} {seal:10.1} {open:10.1}", sealed.len());
    }
}

fn noise() -> impl Iterator<Item = u8> {
    let mut state = 1_u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
}

/// Lines as a description has them: the same words, other numbers.
fn description(size: usize) -> Vec<u8> {
    let mut numbers = noise();
    let mut line = || {
        let [a, b, c, d] = std::array::from_fn(|_| numbers.next().unwrap_or_default());
        format!("a=candidate:{a}{b}{c} 1 udp 21{d}06431 192.0.{a}.{b} {c}{d} typ host generation 0\r\n")
    };
    let text: String = std::iter::repeat_with(&mut line).take(size / 60 + 1).collect();
    text.into_bytes()[..size].to_vec()
}
