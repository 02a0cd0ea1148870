//! Two clients of a server that tampers, and what they say of it.

use std::time::Duration;

use bytes::Bytes;
use roundtable_signalling::client::{Arrival, Call, Client, Incoming, IncomingCall, Options, RefusedOffer};
use roundtable_signalling::proto::client::DropReason;
use roundtable_signalling::proto::identity::{Identity, SecretKey};
use roundtable_signalling::proto::seal::OpenError;
use roundtable_signalling::proto::wire::{OfferId, PeerId};
use tokio::task::JoinHandle;

use crate::server::TamperingServer;

/// Longest wait for anything: only ever reached by a failing test.
const PATIENCE: Duration = Duration::from_secs(50);

/// 1.1 KB that shrink into one fragment, sealed.
pub(crate) const OFFER: &[u8] = include_bytes!("../data/pion3-audio-offer.sdp");
pub(crate) const ANSWER: &[u8] = include_bytes!("../data/pion3-audio-answer.sdp");

/// Waits, but not for ever.
pub(crate) async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("nothing within {PATIENCE:?}"))
}

/// What is there at once.
pub(crate) async fn now<T>(wait: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::ZERO, wait).await.ok()
}

pub(crate) struct Peer {
    pub(crate) key: SecretKey,
    pub(crate) id: PeerId,
    pub(crate) client: Client,
    pub(crate) incoming: Incoming,
    pub(crate) address: std::net::SocketAddr,
}

pub(crate) struct Talk {
    pub(crate) server: TamperingServer,
    pub(crate) alice: Peer,
    pub(crate) bob: Peer,
    /// Callees whose answers are under way, or will never arrive.
    answering: Vec<JoinHandle<()>>,
}

impl Talk {
    pub(crate) async fn keyed() -> Self {
        Self::of(|key| key.clone().into()).await
    }

    /// Both identifiers are what `identity` makes of the peers' keys.
    pub(crate) async fn of(identity: impl Fn(&SecretKey) -> Identity) -> Self {
        let server = TamperingServer::start().await;
        let alice = Peer::join(&server, 1, &identity).await;
        let bob = Peer::join(&server, 2, &identity).await;
        Self { server, alice, bob, answering: Vec::new() }
    }

    pub(crate) async fn call(&self, offer: &'static [u8]) -> Call {
        within(self.alice.client.call(self.bob.id, Bytes::from_static(offer))).await.unwrap()
    }

    pub(crate) async fn rings(&mut self) -> IncomingCall {
        within(self.bob.incoming.accept()).await.unwrap()
    }

    /// Answers, and does not wait for that to arrive.
    pub(crate) fn answer(&mut self, mut ringing: IncomingCall, answer: &'static [u8]) {
        let answering = async move {
            let _nobody_waits = ringing.answer(Bytes::from_static(answer)).await;
        };
        self.answering.push(tokio::spawn(answering));
    }

    /// Asserts that this offer is refused by this name, and that the application never sees it.
    pub(crate) async fn offer_is_refused(&mut self, offer: OfferId, error: OpenError) {
        let refused = RefusedOffer { offer, from: self.alice.id, reason: error };
        assert_eq!(self.bob.refusal().await, refused, "{}", error.name());
        assert!(now(self.bob.incoming.next()).await.is_none(), "it comes once more");
        let counters = within(self.bob.client.counters()).await.unwrap();
        assert_eq!(counters.dropped(DropReason::Sealed), 1);
    }

    /// A whole call, exact on both sides.
    pub(crate) async fn whole_call(&mut self, offer: &'static [u8], answer: &'static [u8]) -> OfferId {
        let mut call = self.call(offer).await;
        let ringing = self.rings().await;
        assert!(ringing.offer == offer && ringing.id() == call.id());
        self.answer(ringing, answer);
        assert!(within(call.answered()).await.unwrap().blob == answer);
        call.id()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.answering.iter().for_each(JoinHandle::abort);
    }
}

impl Peer {
    async fn join(server: &TamperingServer, number: u8, identity: impl Fn(&SecretKey) -> Identity) -> Self {
        let key = SecretKey::from_seed(&[number; 32]).unwrap();
        let identity = identity(&key);
        let id = identity.identifier();
        let (client, incoming) = Client::start(Options::new(server.address, identity)).await.unwrap();
        let address = within(client.registered()).await.unwrap();
        Self { key, id, client, incoming, address }
    }

    /// Waits for what comes next, which has to be an offer that could not be opened.
    pub(crate) async fn refusal(&mut self) -> RefusedOffer {
        match within(self.incoming.next()).await {
            Some(Arrival::Refused(refused)) => refused,
            other => panic!("{other:?}"),
        }
    }
}
