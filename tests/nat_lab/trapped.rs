//! The trap, and the way out of it: where the opening reaches the other NAT, or does not leave the own one, a router that
//! accepts what nobody asked for takes the flow for its own. A fresh port heals that.

use crate::lab::inside_with;
use crate::matrix::{First, skew};
use crate::nat::plan::{Access, Hops, Input};
use crate::nat::{Lab, PROGRAMS, Plan};
use crate::trial::{self, SERVER};

/// Calls for each side that starts earlier.
const CALLS: usize = 5;

/// Calls behind cones that accept, where one side starts earlier; returns for each such side in how many calls both had a
/// path only after a fresh port. All have one.
fn calls(hops: Hops) -> [usize; 3] {
    let plan = Plan { hops, ..Plan::new(Access::Cone, Access::Cone, Input::Accept) };
    let lab = Lab::build(plan);
    let directory = tempfile::tempdir().unwrap();
    let _server = lab.serve(SERVER.as_ref(), directory.path(), "");
    [First::Both, First::Alice, First::Bob].map(|first| {
        skew(&lab, first);
        let mut outcomes = trial::many(&lab, CALLS);
        outcomes.sort_by(|one, other| one.took_ms().total_cmp(&other.took_ms()));
        let worked = outcomes.iter().filter(|outcome| outcome.succeeded()).count();
        let healed = outcomes.iter().filter(|outcome| outcome.is_by_fresh_port()).count();
        let median = outcomes[CALLS / 2].took_ms();
        println!(
            "{hops:?}, {} first: {worked}/{CALLS}, {healed} by a fresh port, {median:.0} ms",
            first.name()
        );
        assert!(worked == CALLS, "{outcomes:?}");
        healed
    })
}

#[test]
fn opening_that_dies_between_the_nats_is_never_trapped() {
    inside_with("trapped::opening_that_dies_between_the_nats_is_never_trapped", &PROGRAMS, || {
        assert_eq!(calls(Hops::Usual), [0; 3]);
    });
}

#[test]
fn opening_that_reaches_the_other_nat_is_trapped_and_a_fresh_port_heals_it() {
    inside_with(
        "trapped::opening_that_reaches_the_other_nat_is_trapped_and_a_fresh_port_heals_it",
        &PROGRAMS,
        || {
            let [_, left, right] = calls(Hops::Near);
            assert_eq!((left, right), (CALLS, CALLS));
        },
    );
}

#[test]
fn opening_that_does_not_leave_the_own_nat_costs_at_most_a_fresh_port() {
    inside_with(
        "trapped::opening_that_does_not_leave_the_own_nat_costs_at_most_a_fresh_port",
        &PROGRAMS,
        // What follows the opening waits until the other side has begun, so few are trapped.
        || {
            calls(Hops::Deep);
        },
    );
}
