//! How far a long transfer has come, as an application sees it while it waits.

use bytes::Bytes;
use roundtable_signalling::client::{Latest, Options, Progress, Transfer};
use roundtable_signalling::proto::wire::Kind;

use super::link::Link;
use super::rig::{Peer, exchange, identifier, local, pair, serve, within};

/// As many fragments as the largest description on record has.
const FRAGMENTS: usize = 58;
/// Of them, those that pass before the link is cut: more than are sent without an acknowledgement.
const PASSED: usize = 20;

fn blob() -> Bytes {
    vec![7; FRAGMENTS * 1024].into()
}

/// Follows it until it is so.
async fn until(latest: &mut Latest<Option<Progress>>, is_so: impl Fn(&Progress) -> bool) -> Progress {
    loop {
        if let Some(progress) = latest.now().filter(|progress| is_so(progress)) {
            return progress;
        }
        within(latest.changed()).await.unwrap();
    }
}

#[tokio::test]
async fn transfer_that_has_stopped_halfway_is_seen_there_by_both_sides() {
    let (server, _) = serve(&local());
    let link = Link::start(server, Some((Kind::Offer, PASSED))).await;
    let caller = Peer::start(Options::new(link.address, identifier(1))).await;
    let mut callee = Peer::join(server, 2).await;
    let (mut arriving, mut call) = (callee.incoming.arriving(), caller.call(&callee, blob()).await);
    let mut sending = call.progress();
    within(link.is_cut()).await;
    let listed = within(arriving.changed()).await.unwrap();
    let [one] = listed[..] else { panic!("{listed:?}") };
    assert_eq!((one.offer, one.from), (call.id(), caller.id));
    assert_eq!((one.progress.transfer, one.progress.of_bytes), (Transfer::Offer, blob().len()));
    assert!((1..=PASSED).contains(&one.progress.fragments), "{one:?}");
    let halfway = until(&mut sending, |progress| progress.fragments > 0).await;
    assert!(halfway.fragments < PASSED && halfway.bytes == halfway.fragments * 1024, "{halfway:?}");

    link.resume();
    within(call.delivered()).await.unwrap();
    until(&mut sending, Progress::is_complete).await;
    let mut ringing = callee.accept().await;
    assert_eq!((ringing.progress().now(), arriving.now()), (None, vec![]));
    let mut answering = ringing.progress();
    let (delivered, answered) = within(async { tokio::join!(ringing.answer(blob()), call.answered()) }).await;
    delivered.unwrap();
    assert_eq!(answered.unwrap().blob, blob());
    for side in [&mut sending, &mut answering] {
        let whole =
            until(side, |progress| progress.transfer == Transfer::Answer && progress.is_complete()).await;
        assert_eq!((whole.fragments, whole.bytes), (FRAGMENTS, blob().len()));
    }
}

#[tokio::test]
async fn short_transfers_make_no_progress_and_following_ends_with_the_client() {
    let (server, _) = serve(&local());
    let (one, mut two) = pair(server).await;
    let arriving = two.incoming.arriving();
    let (call, ringing) = exchange(&one, &mut two, vec![1; 1024], vec![2; 1024]).await;
    let (mut ours, theirs) = (call.progress(), ringing.progress());
    assert_eq!((ours.now(), theirs.now(), arriving.now()), (None, None, vec![]));
    drop((call, one));
    assert_eq!(within(ours.changed()).await, None);
}
