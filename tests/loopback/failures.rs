//! Calls that do not come about: each fails by name, and as soon as that is known.

use std::time::{Duration, Instant};

use bytes::Bytes;
use roundtable_signalling::client::{ClientError, FailReason, Options};
use roundtable_signalling::config::{Config, MaxBlob, MaxPeers, Timeout};
use roundtable_signalling::proto::client::{OfferError, RefusalCode};
use roundtable_signalling::proto::wire::{BLOB_MAX, ErrorCode, PeerId};
use roundtable_signalling::{Client, client::Registration};

use super::rig::{Peer, identifier, local, pair, serve, within};

/// A silent peer is forgotten after this at the latest. SPEC 5
const LAPSED: Duration = Duration::from_secs(62);

#[tokio::test]
async fn impossible_offers_are_refused_at_once() {
    let (server, _) = serve(&Config { maxblob: MaxBlob::constant::<2000>(), ..local() });
    let (one, two) = pair(server).await;
    let offer = |blob: Bytes, target: PeerId| one.client.call(target, blob);
    for (target, bytes, error) in [
        (one.id, 10, OfferError::ToSelf),
        (two.id, 0, OfferError::Empty),
        (two.id, 2001, OfferError::TooLarge { limit: 2000, had: 2001 }),
        (two.id, BLOB_MAX + 1, OfferError::TooLarge { limit: 2000, had: BLOB_MAX + 1 }),
    ] {
        let refused = offer(vec![b'x'; bytes].into(), target).await;
        assert_eq!(refused.map(|call| call.id()), Err(ClientError::Offer(error)));
    }
    within(one.client.unregister()).await.unwrap();
    let refused = offer("offer".into(), two.id).await;
    assert_eq!(refused.map(|call| call.id()), Err(ClientError::Offer(OfferError::NotRegistered)));
}

#[tokio::test]
async fn impossible_answers_are_refused_and_leave_the_offer_open() {
    let (server, _) = serve(&Config { maxblob: MaxBlob::constant::<2000>(), ..local() });
    let (one, mut two) = pair(server).await;
    let mut call = one.call(&two, "offer").await;
    let mut ringing = two.accept().await;
    for bytes in [0, 2001] {
        let refused = within(ringing.answer(vec![b'x'; bytes].into())).await;
        assert!(matches!(refused, Err(ClientError::Call(_))), "{refused:?}");
    }
    within(ringing.answer("answer".into())).await.unwrap();
    assert_eq!(within(call.answered()).await.unwrap().blob, "answer");
}

/// A server asks for patience in its first half minute, since it may have restarted and the peer be about to come
/// back.
#[tokio::test]
async fn offer_to_a_peer_that_is_not_there_fails_by_name() {
    let (server, _) = serve(&local());
    let one = Peer::join(server, 1).await;
    let mut call = within(one.client.call(identifier(9), "offer".into())).await.unwrap();
    let failed = within(call.delivered()).await;
    assert_eq!(failed, Err(ClientError::Failed(FailReason::Refused(ErrorCode::PeerUnknown))));
    assert_eq!(within(call.answered()).await.map(|_| ()), failed);
    assert_eq!(within(call.path()).await.map(|_| ()), failed);
}

#[tokio::test]
async fn offer_that_nobody_answers_fails_when_its_time_is_over() {
    let (server, stats) = serve(&Config { timeout: Timeout::constant::<1>(), ..local() });
    let (one, mut two) = pair(server).await;
    let started = Instant::now();
    let mut call = one.call(&two, "offer").await;
    let mut ringing = two.accept().await;
    let failed = within(call.answered()).await;
    assert_eq!(failed, Err(ClientError::Failed(FailReason::Timeout)));
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    println!("failed after {:?}", started.elapsed());
    // The server, young as it is, takes the offer as one that may come back.
    let late = within(ringing.answer("answer".into())).await;
    assert_eq!(late, Err(ClientError::Failed(FailReason::NotAcknowledged)));
    assert_eq!(stats.snapshot().offers, 0);
}

#[tokio::test]
async fn registrations_that_are_refused_say_why() {
    let (server, _) = serve(&Config { maxpeers: MaxPeers::constant::<1>(), ..local() });
    let one = Peer::join(server, 1).await;

    let (taken, _incoming) = Client::start(Options::new(server, one.id)).await.unwrap();
    let (code, retry) = refusal(&taken).await;
    assert_eq!(code, ErrorCode::IdentifierTaken);
    assert!(retry.is_some_and(|wait| wait <= LAPSED), "{retry:?}");

    let (full, _incoming) = Client::start(Options::new(server, identifier(2))).await.unwrap();
    assert_eq!(refusal(&full).await.0, ErrorCode::ServerFull);

    let (server, _) = serve(&Config { plainids: false, ..local() });
    let (plain, _incoming) = Client::start(Options::new(server, identifier(2))).await.unwrap();
    assert_eq!(refusal(&plain).await, (ErrorCode::IdentifierRefused, None));
    let refused = within(plain.registered()).await;
    assert_eq!(refused, Err(ClientError::Refused(RefusalCode::Known(ErrorCode::IdentifierRefused))));
}

/// Waits until the client is refused.
async fn refusal(client: &Client) -> (ErrorCode, Option<Duration>) {
    let mut client = client.clone();
    loop {
        if let Registration::Refused { code: RefusalCode::Known(code), retry_after, .. } =
            client.registration()
        {
            return (code, retry_after);
        }
        within(client.registration_changed()).await.unwrap();
    }
}

#[tokio::test]
async fn silent_server_has_a_name() {
    let nobody = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let options = Options::new(nobody.local_addr().unwrap(), identifier(1));
    let (client, _incoming) = Client::start(options).await.unwrap();
    let silent = Err(ClientError::Failed(FailReason::ServerSilent));
    let (one, another) = within(async { tokio::join!(client.ping(), client.ping()) }).await;
    assert_eq!((one, another), (silent, silent));
    assert_eq!(client.registration(), Registration::ServerSilent);
}
