//! A thousand calls over links that lose three datagrams in ten, each way, and duplicate and reorder the others.
//!
//! A relayed frame passes two such links, so half of them are lost, and as many acknowledgements. A failure prints
//! its seed; `ROUNDTABLE_SEED` replays it.

mod rig;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use rig::{Home, Names, Pair, bad, count, ms, secs, seeds};
use roundtable_proto::client::Event;
use roundtable_proto::vnet::{Behaviour, Link, Point, Random};
use roundtable_proto::wire::{BLOB_MAX, Kind, fragment_count};

const CALLS: u64 = 1000;
const LOSS: f64 = 0.3;
/// The smallest description: an offer without candidates.
const SMALLEST: u64 = 700;
/// Room for what sealing adds to the largest.
const LARGEST: u64 = BLOB_MAX as u64 - 256;

struct Call {
    /// Until both had each other's description.
    took: Duration,
    /// Until the callee knew that the caller has it; that may never be known, as two generals know.
    confirmed: Option<Duration>,
    /// OFFER and ANSWER frames that the clients sent, and that a perfect link would have needed.
    sent: u64,
    needed: u64,
}

fn home(random: &mut Random) -> Home {
    let behaviours = [
        Behaviour::full_cone(),
        Behaviour::address_restricted(),
        Behaviour::port_restricted(),
        Behaviour::symmetric(),
    ];
    let behaviour = *random.pick(&behaviours).unwrap_or(&behaviours[0]);
    match random.below(4) {
        0 => Home::Open,
        1 => Home::Carrier(behaviour),
        2 => Home::Firewall(behaviour),
        _ => Home::Nat(behaviour),
    }
}

fn call(seed: u64) -> Call {
    let mut random = Random::new(seed);
    let homes = [home(&mut random), home(&mut random)];
    let links = [5, 60].map(|most| Link::symmetric(bad(ms(random.between(2, most)), LOSS)));
    let sizes = [(); 2].map(|()| {
        // As many small descriptions as large ones.
        let most = LARGEST >> random.below(6);
        random.between(SMALLEST, most) as usize
    });
    // Every other call is sealed.
    let names = if seed.is_multiple_of(2) { Names::Plain } else { Names::Keyed };
    let mut pair = Pair::registered_as(names, seed, homes, links, sizes);
    let sent = Rc::new(Cell::new(0));
    let counter = Rc::clone(&sent);
    pair.world.tap(move |tapped| {
        let is_blob = [Kind::Offer, Kind::Answer].map(Kind::number).contains(&tapped.contents[3]);
        if matches!(tapped.point, Point::FromClient(_)) && is_blob {
            counter.set(counter.get() + 1);
        }
    });
    let offer = pair.call();
    let Some(took) = pair.run_to(secs(30), Pair::is_answered) else {
        panic!("not answered after 30 s: {homes:?}, {sizes:?}; {}", pair.world.whereabouts());
    };
    let confirmed = pair.run_to(secs(40), Pair::is_confirmed).map(|later| took + later);
    let sent = sent.get();
    // Late duplicates and repeats must change nothing.
    pair.run(secs(70));
    pair.check_once_and_intact(offer);
    check_outcome(&pair, confirmed.is_some());
    Call { took, confirmed, sent, needed: sizes.iter().map(|size| fragment_count(*size) as u64).sum() }
}

/// The caller has just its answer, and the callee just one outcome.
fn check_outcome(pair: &Pair, confirmed: bool) {
    let failed = |event: &Event| matches!(event, Event::Failed { .. });
    let outcomes = [count(&pair.world, &pair.caller, failed), count(&pair.world, &pair.callee, failed)];
    assert_eq!(outcomes, [0, usize::from(!confirmed)], "{}", pair.world.whereabouts());
}

fn calls(range: std::ops::Range<u64>) {
    let mut calls: Vec<_> = seeds(range).into_iter().map(call).collect();
    calls.sort_by_key(|call| call.took);
    let at = |part: usize| calls[(calls.len() - 1) * part / 100].took;
    let (sent, needed) = calls.iter().fold((0, 0), |sum, call| (sum.0 + call.sent, sum.1 + call.needed));
    let unconfirmed = calls.iter().filter(|call| call.confirmed.is_none()).count();
    println!(
        "{} calls answered: median {:?}, 99 % {:?}, slowest {:?}; {unconfirmed} of them not known to the callee; \
         {sent} fragments sent, {needed} needed: {:.2} times",
        calls.len(),
        at(50),
        at(99),
        at(100),
        sent as f64 / needed as f64,
    );
}

// Two halves, so that two cores share them.

#[test]
fn call_completes_once_and_intact_at_thirty_percent_loss_first_half() {
    calls(0..CALLS / 2);
}

#[test]
fn call_completes_once_and_intact_at_thirty_percent_loss_second_half() {
    calls(CALLS / 2..CALLS);
}
