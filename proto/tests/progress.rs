//! How far offers and answers have come, over links that lose three datagrams in ten, each way, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod rig;

use std::time::Duration;

use rig::{Home, Names, Pair, Resident, bad, ms, secs};
use roundtable_proto::client::{Event, Progress, Transfer};
use roundtable_proto::vnet::Link;
use roundtable_proto::wire::FRAGMENT;

const LOSS: f64 = 0.3;
/// Of the largest description on record.
const LARGE: usize = 58_454;
/// Until both know that the call is there.
const PATIENCE: Duration = Duration::from_secs(60);

fn lossy(names: Names, seed: u64, sizes: [usize; 2]) -> Pair {
    let link = Link::symmetric(bad(ms(60), LOSS));
    Pair::registered_as(names, seed, [Home::Open; 2], [link; 2], sizes)
}

/// What one side was told, in order: of its own transfers, and of an offer on its way in.
#[derive(Default)]
struct Told {
    own: Vec<Progress>,
    arriving: Vec<Option<Progress>>,
}

impl Told {
    fn hear(&mut self, pair: &mut Pair, side: Resident) {
        pair.world.command(side.seat, |client, _| {
            self.own.extend(std::iter::from_fn(|| client.poll_progress()).map(|(_, progress)| progress));
            let arriving = client.poll_arriving().map(|all| all.first().map(|one| one.progress));
            self.arriving.extend(arriving);
        });
    }

    fn of(&self, transfer: Transfer) -> Vec<Progress> {
        self.own.iter().copied().filter(|progress| progress.transfer == transfer).collect()
    }
}

/// Runs a call to its end, and gives what caller and callee were told.
fn call(pair: &mut Pair) -> [Told; 2] {
    let sides = [pair.caller, pair.callee];
    let mut told = [Told::default(), Told::default()];
    pair.call();
    let until = pair.world.now() + PATIENCE;
    while !pair.is_complete() {
        assert!(pair.step(until), "not over; {}", pair.world.whereabouts());
        for (told, side) in told.iter_mut().zip(sides) {
            told.hear(pair, side);
        }
    }
    told
}

/// Asserts that it goes forward towards these bytes, and gives the last of it.
#[track_caller]
fn assert_forward(steps: &[Progress], length: usize) -> Progress {
    assert!(steps.len() > 2, "{steps:?}");
    assert!(steps.windows(2).all(|pair| pair[0].fragments < pair[1].fragments), "{steps:?}");
    assert!(steps.windows(2).all(|pair| pair[0].bytes < pair[1].bytes), "{steps:?}");
    for step in steps {
        assert_eq!((step.of_bytes, step.of_fragments), (length, length.div_ceil(FRAGMENT)));
    }
    *steps.last().unwrap()
}

#[test]
fn both_sides_see_both_transfers_go_forward_to_their_end() {
    for seed in 0..20 {
        let mut pair = lossy(Names::Plain, seed, [LARGE, LARGE / 2]);
        let [caller, callee] = call(&mut pair);
        // Once the answer comes, the offer is there, and its last acknowledgement may be lost.
        assert!(assert_forward(&caller.of(Transfer::Offer), LARGE).fragments > 0);
        for side in [&caller, &callee] {
            let last = assert_forward(&side.of(Transfer::Answer), LARGE / 2);
            assert!(last.is_complete() && last.bytes == LARGE / 2, "{last:?}");
        }
        assert_eq!((callee.of(Transfer::Offer), caller.arriving), (vec![], vec![]));
        // It leaves the list as it rings, so that the last fragment is not told of.
        let (gone, arriving) = callee.arriving.split_last().unwrap();
        let arriving: Vec<_> = arriving.iter().map(|progress| progress.unwrap()).collect();
        assert_eq!((*gone, arriving.last().unwrap().fragments), (None, LARGE.div_ceil(FRAGMENT) - 1));
        assert!(arriving.windows(2).all(|pair| pair[0].fragments < pair[1].fragments));
    }
}

#[test]
fn bytes_of_a_sealed_call_are_those_that_travel() {
    let mut pair = lossy(Names::Keyed, 1, [20_000; 2]);
    // It packs well.
    pair.offer = b"a=candidate:1 1 UDP 2130706431 ".repeat(645);
    let plain = pair.offer.len();
    let [caller, _] = call(&mut pair);
    let answer = caller.of(Transfer::Answer);
    assert!(answer.last().unwrap().of_bytes > 20_000, "it does not pack, and sealing adds to it: {answer:?}");
    assert!(assert_forward(&answer, answer[0].of_bytes).is_complete());
    assert!(caller.of(Transfer::Offer).is_empty(), "{plain} bytes are packed into one fragment");
}

#[test]
fn who_asks_at_the_end_alone_gets_the_latest_alone() {
    let mut pair = lossy(Names::Plain, 3, [LARGE; 2]);
    pair.call();
    assert!(pair.run_to(PATIENCE, Pair::is_complete).is_some());
    pair.run(secs(1));
    for side in [pair.caller, pair.callee] {
        let told = pair.world.command(side.seat, |client, _| {
            assert_eq!(client.poll_arriving(), None);
            std::iter::from_fn(|| client.poll_progress()).collect::<Vec<_>>()
        });
        let [(_, progress)] = told[..] else { panic!("{told:?}") };
        assert!(progress.transfer == Transfer::Answer && progress.is_complete(), "{progress:?}");
    }
}

#[test]
fn asking_changes_nothing() {
    let trace = |asks: bool| {
        let mut pair = lossy(Names::Plain, 4, [LARGE; 2]);
        if asks {
            call(&mut pair);
        } else {
            pair.call();
            pair.run_to(PATIENCE, Pair::is_complete);
        }
        let told = |event: &Event| matches!(event, Event::Answered { .. });
        assert_eq!(rig::count(&pair.world, &pair.caller, told), 1);
        (pair.world.now(), pair.world.trace())
    };
    assert_eq!(trace(true), trace(false));
}
