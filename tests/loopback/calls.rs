//! Calls that come about: descriptions, candidates, paths, declining, glare.

use bytes::Bytes;
use roundtable_signalling::client::{CallError, CallEvent, ClientError, Outcome, Registration};
use roundtable_signalling::config::{Config, MaxPeerOffers};
use roundtable_signalling::proto::wire::BLOB_MAX;

use super::rig::{Peer, descriptions, exchange, local, pair, serve, within};

#[tokio::test]
async fn registered_peer_knows_its_address_and_the_servers_terms() {
    let (server, stats) = serve(&local());
    let peer = Peer::join(server, 1).await;
    assert_eq!(peer.observed.port(), peer.client.local_addr().port());
    let Registration::Registered { observed, timeout, maxblob, resumed: false } = peer.client.registration()
    else {
        panic!("{:?}", peer.client.registration());
    };
    assert_eq!((observed, timeout.as_secs(), maxblob as usize), (peer.observed, 30, BLOB_MAX));

    within(peer.client.unregister()).await.unwrap();
    assert_eq!(peer.client.registration(), Registration::Unregistered);
    let gone = within(peer.client.registered()).await.unwrap_err();
    assert_eq!(gone.to_string(), "not registered");
    // The answer has come, so the server has counted.
    assert_eq!(stats.snapshot().peers, 0);
}

#[tokio::test]
async fn every_real_description_arrives_byte_for_byte_both_ways() {
    // An answered offer counts until its time is over.
    let (server, stats) = serve(&Config { maxpeeroffers: MaxPeerOffers::constant::<100>(), ..local() });
    let (mut one, mut two) = pair(server).await;
    let descriptions = descriptions();
    assert!(descriptions.len() >= 10, "{} descriptions", descriptions.len());
    for (name, blob) in &descriptions {
        println!("{name}: {} bytes", blob.len());
        exchange(&one, &mut two, blob.clone(), blob.clone()).await;
        exchange(&two, &mut one, blob.clone(), blob.clone()).await;
    }
    let counters = stats.snapshot().counters;
    assert!(counters.bytes_out <= counters.bytes_in, "{counters:?}");
}

#[tokio::test]
async fn smallest_and_largest_blobs_arrive() {
    let (server, _) = serve(&local());
    let (one, mut two) = pair(server).await;
    for bytes in [1, 1023, 1024, 1025, BLOB_MAX - 1, BLOB_MAX] {
        let blob: Bytes = (0..bytes).map(|at| (at % 251) as u8).collect();
        exchange(&one, &mut two, blob.clone(), blob.clone()).await;
    }
}

#[tokio::test]
async fn caller_learns_step_by_step_what_becomes_of_its_offer() {
    let (server, _) = serve(&local());
    let (one, mut two) = pair(server).await;
    let mut call = one.call(&two, "offer").await;
    within(call.delivered()).await.unwrap();
    let mut ringing = two.accept().await;
    within(ringing.answer("answer".into())).await.unwrap();
    assert_eq!(within(call.next()).await, Some(CallEvent::Delivered));
    let Some(CallEvent::Ended(Outcome::Answered(answer))) = within(call.next()).await else {
        panic!("not answered");
    };
    assert_eq!(answer.blob, "answer");
    // What has come stays there for who asks again.
    assert_eq!(within(call.answered()).await.unwrap(), answer);
    within(call.delivered()).await.unwrap();
}

#[tokio::test]
async fn declined_offer_ends_both_sides() {
    let (server, _) = serve(&local());
    let (one, mut two) = pair(server).await;
    let mut call = one.call(&two, "offer").await;
    let mut ringing = two.accept().await;
    within(ringing.decline()).await.unwrap();
    assert_eq!(within(call.answered()).await, Err(ClientError::Declined));
    assert_eq!(within(call.path()).await, Err(ClientError::Declined));
    assert_eq!(within(call.punch()).await, Err(ClientError::Call(CallError::Unknown)));
    let twice = within(ringing.answer("answer".into())).await.unwrap_err();
    assert_eq!(twice, ClientError::Call(CallError::Unknown));
}

#[tokio::test]
async fn candidates_pass_both_ways_each_once() {
    let (server, _) = serve(&local());
    let (one, mut two) = pair(server).await;
    let (mut call, mut ringing) = exchange(&one, &mut two, "offer", "answer").await;
    for number in 0..64 {
        call.candidate(format!("of the caller {number}").into()).await.unwrap();
        ringing.call().candidate(format!("of the callee {number}").into()).await.unwrap();
    }
    let too_many = call.candidate("one more".into()).await.unwrap_err();
    assert_eq!(too_many, ClientError::Call(CallError::TooMany));
    for (side, who) in [(&mut call, "callee"), (ringing.call(), "caller")] {
        let mut heard = Vec::new();
        while heard.len() < 64 {
            match within(side.next()).await.unwrap() {
                CallEvent::Candidate { number, message } => {
                    assert_eq!(message, format!("of the {who} {number}"));
                    heard.push(number);
                }
                CallEvent::Delivered | CallEvent::Ended(_) => {}
                unasked @ (CallEvent::CandidatesFailed(_)
                | CallEvent::Path(_)
                | CallEvent::PunchFailed(_)
                | CallEvent::PathLost { .. }
                | CallEvent::FreshPortWanted
                | CallEvent::FreshPort { .. }) => {
                    panic!("{unasked:?}")
                }
            }
        }
        heard.sort_unstable();
        assert!(heard.iter().copied().eq(0..64), "{heard:?}");
    }
}

#[tokio::test]
async fn both_peers_get_a_direct_path_whoever_asks() {
    let (server, _) = serve(&local());
    let (one, mut two) = pair(server).await;
    let (mut call, mut ringing) = exchange(&one, &mut two, "offer", "answer").await;
    let (ours, theirs) = within(async { tokio::join!(call.punch(), ringing.call().path()) }).await;
    assert_eq!((ours.unwrap().peer, theirs.unwrap().peer), (two.observed, one.observed));

    let (mut call, mut ringing) = exchange(&one, &mut two, "offer", "answer").await;
    let (ours, theirs) = within(async { tokio::join!(call.path(), ringing.call().punch()) }).await;
    assert_eq!((ours.unwrap().peer, theirs.unwrap().peer), (two.observed, one.observed));
}

#[tokio::test]
async fn glare_ends_with_one_call() {
    let (server, _) = serve(&local());
    let (mut smaller, mut larger) = pair(server).await;
    for round in 0..10 {
        let (mut yields, mut stays) = (
            smaller.call(&larger, format!("of the smaller {round}")).await,
            larger.call(&smaller, format!("of the larger {round}")).await,
        );
        let mut ringing = smaller.accept().await;
        assert_eq!(ringing.offer, format!("of the larger {round}"));
        assert_eq!(within(yields.delivered()).await, Err(ClientError::Yielded));
        assert_eq!(within(yields.outcome()).await, Ok(Outcome::Yielded { to: ringing.id() }));
        assert_eq!(within(yields.path()).await, Err(ClientError::Yielded));
        let (delivered, answered) =
            within(async { tokio::join!(ringing.answer("answer".into()), stays.answered()) }).await;
        delivered.unwrap();
        assert_eq!(answered.unwrap().blob, "answer");
    }
    // Nothing of the offers that yielded rings now.
    let (one, another) = (&smaller, &mut larger);
    exchange(one, another, "the next", "answer").await;
}
