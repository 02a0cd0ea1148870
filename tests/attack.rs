//! More than a hundred thousand attempts to take, move, end or forge what is a victim's, against the real server over real
//! sockets, while the victims' calls go on: none succeeds.
//!
//! Hosts are addresses of 127.0.0.0/8; a neighbour behind the same NAT has the victim's address and another port. What
//! needs a minute or an hour to pass runs against the engine in virtual time (`aged`). An attempt has succeeded if
//! anything but a refusal comes back, or the victims show any effect: see `rig`. The seed is printed; `ATTACK_SEED` repeats it.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test ends where it fails")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever is not a refusal is a gain; what is not forged, a mistake"
)]

#[path = "attack/aged.rs"]
mod aged;
#[path = "attack/attacker.rs"]
mod attacker;
#[path = "attack/direct.rs"]
mod direct;
#[path = "attack/forge.rs"]
mod forge;
#[path = "attack/forging.rs"]
mod forging;
#[path = "attack/frames.rs"]
mod frames;
#[path = "support/random.rs"]
mod random;
#[path = "attack/registering.rs"]
mod registering;
#[path = "attack/report.rs"]
mod report;
#[path = "attack/rig.rs"]
mod rig;
#[path = "attack/spoof.rs"]
mod spoof;

/// Attempts, at least. SPEC 12
const ATTEMPTS: u64 = 100_000;

#[tokio::test]
async fn none_of_a_hundred_thousand_attempts_succeeds_and_the_victims_calls_complete() {
    let mut random = random::Random::from_environment("ATTACK_SEED");
    let mut report = report::Report::start();
    registering::run(&mut random, &mut report).await;
    forging::run(&mut random, &mut report).await;
    direct::run(&mut random, &mut report).await;
    aged::run(&mut random, &mut report);
    let (evaluated, succeeded) = report.totals();
    assert_eq!(report.gains(), [""; 0]);
    assert!(evaluated >= ATTEMPTS && succeeded == 0, "{succeeded} of {evaluated}");
}
