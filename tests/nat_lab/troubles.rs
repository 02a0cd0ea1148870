//! What goes wrong while two peers find each other: loss, a NAT that forgets, another network, a server that is killed, and
//! long silence. The call comes about all the same; how long that took is printed.

use std::time::{Duration, Instant};

use crate::lab::inside_with;
use crate::nat::plan::{Access, Input};
use crate::nat::{Lab, PROGRAMS, Plan};
use crate::program::Running;
use crate::trial::{self, Calling, Pair, SERVER, Side};

/// One way, where something is to happen on the way.
const SLOW: Duration = Duration::from_millis(150);
/// Calls under loss.
const CALLS: usize = 20;
/// Seconds of silence, unless NAT_IDLE_SECONDS says otherwise; `make nat-idle` makes it ten minutes.
const IDLE: u64 = 100;
/// Seconds that a mapping lives meanwhile.
const MAPPING: u64 = 30;
/// An offer comes at once, and not with the callee's next keepalive, which may be 22 s away. It takes a fifth of a second.
const AT_ONCE_MS: f64 = 3_000.0;

/// What can go wrong.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// The NAT of this host forgets everything.
    Flush(&'static str),
    /// Alice is on another network.
    Move,
    /// The server is killed, and started again at once.
    Restart,
}

fn lossy(test: &str, loss: f64) {
    inside_with(&format!("troubles::{test}"), &PROGRAMS, || {
        let mut plan = Plan::new(Access::Cone, Access::Cone, Input::Drop);
        // On every way: an offer and its acknowledgement pass four of them.
        (plan.way.loss, plan.way.reordering, plan.way.duplication) = (loss, 0.1, 0.05);
        plan.seed = std::env::var("NAT_SEED").map_or(1, |seed| seed.parse().unwrap());
        println!("seed {}", plan.seed);
        let lab = Lab::build(plan);
        let directory = tempfile::tempdir().unwrap();
        let _server = lab.serve(SERVER.as_ref(), directory.path(), "");
        let mut took: Vec<_> = trial::many(&lab, CALLS)
            .into_iter()
            .map(|outcome| {
                assert!(outcome.succeeded(), "{outcome:?}");
                outcome.took_ms()
            })
            .collect();
        took.sort_by(f64::total_cmp);
        let (median, longest) = (took[CALLS / 2], took[CALLS - 1]);
        println!(
            "{:.0} % loss: {CALLS}/{CALLS}, median {median:.0} ms, longest {longest:.0} ms",
            loss * 100.0
        );
    });
}

#[test]
fn every_fifth_datagram_is_lost() {
    lossy("every_fifth_datagram_is_lost", 0.2);
}

#[test]
fn every_second_datagram_is_lost() {
    lossy("every_second_datagram_is_lost", 0.5);
}

/// Lets it happen once alice has said `when`.
fn troubled(test: &str, (alice, bob): (Access, Access), trouble: Trouble, when: &str) {
    inside_with(&format!("troubles::{test}"), &PROGRAMS, || {
        let mut plan = Plan::new(alice, bob, Input::Drop);
        plan.way.delay = SLOW;
        let lab = Lab::build(plan);
        let directory = tempfile::tempdir().unwrap();
        let mut server = Some(lab.serve(SERVER.as_ref(), directory.path(), ""));
        let mut calling = Pair::listening(&lab).call();
        calling.alice.line_with(when);
        let happened = Instant::now();
        match trouble {
            Trouble::Flush(host) => lab.flush(host),
            Trouble::Move => lab.move_alice(),
            Trouble::Restart => {
                drop(server.take());
                server = Some(lab.serve(SERVER.as_ref(), directory.path(), ""));
            }
        }
        let outcome = calling.finish();
        println!("{trouble:?} at {when}: {} ms later {outcome:?}", happened.elapsed().as_millis());
        assert!(outcome.succeeded(), "{outcome:?}");
        if let (Trouble::Move, Side::Path { peer, .. }) = (trouble, &outcome.bob) {
            assert!(peer.starts_with("198.51.100.129:"), "{peer}");
        }
        drop(server);
    });
}

macro_rules! troubles {
    ($($test:ident: $alice:ident, $bob:ident, $trouble:expr, $when:literal;)*) => {
        $(#[test]
        fn $test() {
            troubled(stringify!($test), (Access::$alice, Access::$bob), $trouble, $when);
        })*
    };
}

troubles! {
    callers_nat_forgets_while_it_offers: Symmetric, FullCone, Trouble::Flush("alice"), "\"offering\"";
    callees_nat_forgets_while_it_rings: FullCone, Symmetric, Trouble::Flush("bob"), "\"delivered\"";
    callees_nat_forgets_while_both_start: Cone, Cone, Trouble::Flush("bob"), "\"answered\"";
    caller_moves_while_it_offers: Cone, Cone, Trouble::Move, "\"offering\"";
    caller_moves_while_it_rings: Cone, Cone, Trouble::Move, "\"delivered\"";
    server_restarts_while_it_is_offered_to: Cone, Cone, Trouble::Restart, "\"offering\"";
    server_restarts_while_it_rings: Cone, Cone, Trouble::Restart, "\"delivered\"";
}

#[test]
fn peer_that_was_silent_behind_a_nat_is_called_at_once() {
    inside_with("troubles::peer_that_was_silent_behind_a_nat_is_called_at_once", &PROGRAMS, || {
        let idle = std::env::var("NAT_IDLE_SECONDS").map_or(IDLE, |seconds| seconds.parse().unwrap());
        let lab = Lab::build(Plan::new(Access::Cone, Access::Cone, Input::Drop));
        lab.shorten("bob", MAPPING);
        let directory = tempfile::tempdir().unwrap();
        let _server = lab.serve(SERVER.as_ref(), directory.path(), "");
        let waiting = Pair::listening(&lab);
        std::thread::sleep(Duration::from_secs(idle));
        let mut calling = waiting.call();
        let answered = answered_at_ms(&mut calling);
        println!(
            "after {idle} s behind a NAT of {MAPPING} s: answered {answered:.0} ms after the caller's start"
        );
        assert!(answered < AT_ONCE_MS, "{answered} ms");
    });
}

fn answered_at_ms(calling: &mut Calling) -> f64 {
    let alice: &mut Running = &mut calling.alice;
    trial::json(&alice.line_with("\"answered\""))["at_ms"].as_f64().unwrap()
}
