//! The targets of `fuzz/` on the stable toolchain: every input of the committed corpora, and seeded mutations of them.
//!
//! `FUZZ_SEED` repeats a run, `FUZZ_STEPS` says how many mutations of each target there are.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

#[path = "support/random.rs"]
mod random;
#[path = "../fuzz/targets/mod.rs"]
mod targets;

use random::Random;

/// Mutated inputs of each target in an ordinary test run.
const STEPS: usize = 3_000;
/// Bytes of the longest mutated input.
const LONGEST: usize = 4096;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Changes an input a little, or puts a piece of another into it.
fn mutate(random: &mut Random, mut input: Vec<u8>, other: &[u8]) -> Vec<u8> {
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(5) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.next() as u8,
            2 => {
                let mut drawn = [0; 8];
                random.fill(&mut drawn);
                input.splice(at..at, drawn);
            }
            3 => drop(input.drain(at..(at + random.below(8)).min(input.len()))),
            4 if !other.is_empty() => {
                let from = random.below(other.len());
                let length = random.below(64).min(other.len() - from);
                input.splice(at..at, other[from..from + length].iter().copied());
            }
            _ => {}
        }
    }
    input.truncate(LONGEST);
    input
}

#[test]
fn every_input_of_the_corpora_and_mutations_of_them_keep_every_promise() {
    let mut random = Random::from_environment("FUZZ_SEED");
    let steps = std::env::var("FUZZ_STEPS").map_or(STEPS, |text| text.parse().unwrap());
    for (name, _) in targets::TARGETS {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "{name} has no corpus");
        for input in &corpus {
            targets::run(name, input);
        }
        for _ in 0..steps {
            let (one, other) = (random.pick(&corpus).clone(), random.pick(&corpus));
            let input = mutate(&mut random, one, other);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| targets::run(name, &input))) {
                println!("{name} fails with {}", hex(&input));
                resume_unwind(panic);
            }
        }
        println!("{name}: {} inputs, {steps} mutations", corpus.len());
    }
}
