//! Many peers at once.

use bytes::Bytes;

use super::rig::{Peer, local, serve, within};

const PEERS: u8 = 50;
/// Whom each peer calls, counted from itself. No two of them make a pair call each other.
const CALLED: [u8; 3] = [1, 7, 20];

#[tokio::test]
async fn fifty_peers_call_each_other_at_once() {
    let (server, stats) = serve(&local());
    let mut peers = Vec::new();
    for number in 1..=PEERS {
        peers.push(Peer::join(server, number).await);
    }
    let offer = |from: usize, step: u8| Bytes::from(vec![from as u8; 3000 + usize::from(step)]);
    let mut calls = Vec::new();
    for (from, peer) in peers.iter().enumerate() {
        for step in CALLED {
            let to = &peers[(from + usize::from(step)) % peers.len()];
            calls.push((to.id, offer(from, step), peer.call(to, offer(from, step)).await));
        }
    }
    let answering: Vec<_> = peers
        .into_iter()
        .map(|mut peer| {
            tokio::spawn(async move {
                for _ in CALLED {
                    let mut ringing = peer.accept().await;
                    within(ringing.answer(ringing.offer.clone())).await.unwrap();
                }
                // The handle lives until all is over.
                peer
            })
        })
        .collect();
    for (to, blob, mut call) in calls {
        let answer = within(call.answered()).await.unwrap();
        assert_eq!(answer.from, to);
        assert!(answer.blob == blob, "damaged");
    }
    for task in answering {
        within(task).await.unwrap();
    }
    let counters = stats.snapshot().counters;
    assert!(counters.bytes_out <= counters.bytes_in, "{counters:?}");
}
