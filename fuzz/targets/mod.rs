//! What is fuzzed: each target takes any bytes, and panics where a promise is broken.
//!
//! The same functions run under libFuzzer (`fuzz_targets/`) and, over the committed corpora and seeded mutations of them,
//! on the stable toolchain (`tests/fuzz_targets.rs`).

mod client;
mod config;
mod decoder;
mod proxy;
mod script;
mod server;
mod stun;

/// A name, as that of its corpus, and what it does with an input.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Every target.
pub(crate) const TARGETS: [Target; 6] = [
    ("decoder", decoder::decoder),
    ("server", server::server),
    ("client", client::client),
    ("config", config::config),
    ("proxy", proxy::proxy),
    ("stun", stun::stun),
];

/// Runs the target of that name.
pub(crate) fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, act) = target.expect("a target has that name");
    act(input);
}
