//! Every pair of access networks, with every way a NAT treats what nobody asked for, and either side first.

use std::time::Duration;

use roundtable_signalling::client::FailReason;

use crate::lab::inside_with;
use crate::nat::plan::{Access, Input};
use crate::nat::{Lab, PROGRAMS, Plan, Site};
use crate::trial::{self, SERVER, Trial};

/// How much earlier one side starts.
const SKEW: Duration = Duration::from_millis(300);
/// A pair that cannot have a direct path knows it so long after the answer, however late the server's word came.
const GIVES_UP_MS: f64 = 5_000.0;
/// Calls in each cell, unless NAT_TRIALS says otherwise.
const TRIALS: usize = 3;

/// Who starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    Both,
    Alice,
    Bob,
}

/// What a pair is to come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Path,
    /// By IPv6, though IPv4 would do.
    Ipv6Path,
    /// None, and this is what each side says of it.
    NoPath(FailReason, FailReason),
}

/// Tests one pair, whose NATs do `input`.
fn pair(test: &str, (alice, bob): (Access, Access), input: Input, expected: Expected) {
    // The name of the crate is not part of the test's.
    let (_, test) = test.split_once("::").unwrap();
    inside_with(&format!("{test}::{input}"), &PROGRAMS, || {
        let failures = cells(alice, bob, input, expected);
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    });
}

/// Runs the cells of one lab, prints their row, and returns what is not as it should be.
fn cells(alice: Access, bob: Access, input: Input, expected: Expected) -> Vec<String> {
    let trials = std::env::var("NAT_TRIALS").map_or(TRIALS, |trials| trials.parse().unwrap());
    let lab = Lab::build(Plan::new(alice, bob, input));
    let directory = tempfile::tempdir().unwrap();
    let _server = lab.serve(SERVER.as_ref(), directory.path(), "");
    let (mut failures, mut row) = (Vec::new(), format!("| {alice} - {bob} | {input} |"));
    for first in [First::Both, First::Alice, First::Bob] {
        skew(&lab, first);
        let mut outcomes = trial::many(&lab, trials);
        outcomes.sort_by(|one, other| one.took_ms().total_cmp(&other.took_ms()));
        row += &format!(" {} |", summary(&outcomes));
        let wrong = outcomes.iter().filter(|outcome| !is_as_expected(outcome, expected));
        let cell = format!("{alice} {bob} --input {input}, {} first", first.name());
        failures.extend(wrong.map(|outcome| format!("{cell}: {outcome:?}")));
    }
    println!("{row}");
    failures
}

impl First {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Alice => "left",
            Self::Bob => "right",
        }
    }
}

/// Lets what the server says reach one of them later.
pub(crate) fn skew(lab: &Lab, first: First) {
    for (site, late) in [(Site::Alice, first == First::Bob), (Site::Bob, first == First::Alice)] {
        let normal = Duration::from_millis(20);
        lab.change(Site::Server, site, |way| way.delay = normal + if late { SKEW } else { Duration::ZERO });
    }
}

fn is_as_expected(outcome: &Trial, expected: Expected) -> bool {
    match expected {
        Expected::Path => outcome.succeeded(),
        Expected::Ipv6Path => outcome.is_by_ipv6(),
        Expected::NoPath(alice, bob) => outcome.failed_for([alice, bob]) && outcome.took_ms() <= GIVES_UP_MS,
    }
}

/// Says how many calls found a path, and after how long in the median.
fn summary(outcomes: &[Trial]) -> String {
    let (trials, worked) = (outcomes.len(), outcomes.iter().filter(|outcome| outcome.succeeded()).count());
    format!("{worked}/{trials}, {:.0} ms", outcomes[trials / 2].took_ms())
}

macro_rules! pairs {
    ($($pair:ident: $alice:ident, $bob:ident => $expected:expr;)*) => {
        $(mod $pair {
            use super::*;

            #[test]
            fn drop() {
                pair(module_path!(), (Access::$alice, Access::$bob), Input::Drop, $expected);
            }

            #[test]
            fn reject() {
                pair(module_path!(), (Access::$alice, Access::$bob), Input::Reject, $expected);
            }

            #[test]
            fn accept() {
                pair(module_path!(), (Access::$alice, Access::$bob), Input::Accept, $expected);
            }
        })*
    };
}

pairs! {
    cone_with_cone: Cone, Cone => Expected::Path;
    cone_with_full_cone: Cone, FullCone => Expected::Path;
    cone_with_restricted: Cone, Restricted => Expected::Path;
    cone_with_carrier: Cone, Carrier => Expected::Path;
    carrier_with_carrier: Carrier, Carrier => Expected::Path;
    full_cone_with_symmetric: FullCone, Symmetric => Expected::Path;
    restricted_with_symmetric: Restricted, Symmetric => Expected::Path;
    cone_with_symmetric: Cone, Symmetric => Expected::NoPath(FailReason::SymmetricThere, FailReason::SymmetricHere);
    symmetric_with_symmetric: Symmetric, Symmetric => Expected::NoPath(FailReason::BothSymmetric, FailReason::BothSymmetric);
    cone_with_blocked: Cone, Blocked => Expected::NoPath(FailReason::UdpBlocked, FailReason::UdpBlocked);
    full_cone_with_blocked: FullCone, Blocked => Expected::NoPath(FailReason::UdpBlocked, FailReason::UdpBlocked);
    hosts_of_one_network: Cone, Neighbour => Expected::Path;
    hosts_of_one_network_that_meet_outside: Cone, Hairpin => Expected::Path;
    hosts_of_one_network_that_meet_nowhere: Cone, Isolated => Expected::NoPath(FailReason::SameNat, FailReason::SameNat);
    ipv6_firewalls: Ipv6, Ipv6 => Expected::Path;
    both_families: Dual, Dual => Expected::Ipv6Path;
    ipv4_with_ipv6: Cone, Ipv6 => Expected::NoPath(FailReason::NoCommonFamily, FailReason::NoCommonFamily);
    public_with_symmetric: Public, Symmetric => Expected::Path;
}
