//! A server and peers of it. Every wait has a bound; servers end with the test's runtime.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roundtable_signalling::client::{Answer, Call, Client, Incoming, IncomingCall, Options};
use roundtable_signalling::config::Config;
use roundtable_signalling::proto::wire::PeerId;
use roundtable_signalling::{Server, StatsHandle};
use tokio::net::UdpSocket;

/// Longest wait for anything: only ever reached by a failing test.
const PATIENCE: Duration = Duration::from_secs(50);

/// Waits, but not for ever.
pub(crate) async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("nothing within {PATIENCE:?}"))
}

/// The configuration of a server on a free port of IPv4's loopback.
pub(crate) fn local() -> Config {
    Config { localport: 0, localaddress: Some(Ipv4Addr::LOCALHOST.into()), ..Config::default() }
}

/// Starts a server that serves until the test ends.
pub(crate) fn serve(config: &Config) -> (SocketAddr, StatsHandle) {
    let server = Server::bind(config).unwrap();
    let (address, stats) = (server.local_addr(), server.stats());
    tokio::spawn(server.run(std::future::pending()));
    (address, stats)
}

/// The server's address for whoever has this loopback address.
pub(crate) fn reached_by(server: SocketAddr, ip: impl Into<IpAddr>) -> SocketAddr {
    SocketAddr::new(ip.into(), server.port())
}

/// The plain identifier with this number. Numbers order as identifiers do.
pub(crate) fn identifier(number: u8) -> PeerId {
    let mut uuid = [0; 16];
    (uuid[0], uuid[15]) = (number, 1);
    PeerId::plain(uuid).unwrap()
}

/// A registered client.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) client: Client,
    pub(crate) incoming: Incoming,
    pub(crate) observed: SocketAddr,
}

impl Peer {
    pub(crate) async fn join(server: SocketAddr, number: u8) -> Self {
        Self::start(Options::new(server, identifier(number))).await
    }

    pub(crate) async fn start(options: Options) -> Self {
        let id = options.identity.identifier();
        let (client, incoming) = Client::start(options).await.unwrap();
        let observed = within(client.registered()).await.unwrap();
        Self { id, client, incoming, observed }
    }

    pub(crate) async fn accept(&mut self) -> IncomingCall {
        within(self.incoming.accept()).await.unwrap()
    }

    pub(crate) async fn call(&self, other: &Self, offer: impl Into<Bytes>) -> Call {
        within(self.client.call(other.id, offer.into())).await.unwrap()
    }
}

/// Two peers of one server.
pub(crate) async fn pair(server: SocketAddr) -> (Peer, Peer) {
    (Peer::join(server, 1).await, Peer::join(server, 2).await)
}

/// One whole call, that has to arrive as it was sent.
pub(crate) async fn exchange(
    caller: &Peer,
    callee: &mut Peer,
    offer: impl Into<Bytes>,
    answer: impl Into<Bytes>,
) -> (Call, IncomingCall) {
    let (offer, answer) = (offer.into(), answer.into());
    let mut call = caller.call(callee, offer.clone()).await;
    let mut ringing = callee.accept().await;
    assert!(ringing.offer == offer, "the offer of {} bytes is damaged", offer.len());
    assert_eq!((ringing.id(), ringing.from, ringing.observed), (call.id(), caller.id, Some(caller.observed)));
    let (delivered, answered) =
        within(async { tokio::join!(ringing.answer(answer.clone()), call.answered()) }).await;
    delivered.unwrap();
    let Answer { from, observed, blob } = answered.unwrap();
    assert!(blob == answer, "the answer of {} bytes is damaged", answer.len());
    assert_eq!((from, observed), (callee.id, Some(callee.observed)));
    (call, ringing)
}

/// A socket on a free port of this address.
pub(crate) async fn socket(ip: impl Into<IpAddr>) -> Arc<UdpSocket> {
    Arc::new(UdpSocket::bind((ip.into(), 0)).await.unwrap())
}

/// Real session descriptions, with their names, in the order of these.
pub(crate) fn descriptions() -> Vec<(String, Bytes)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sdp"))
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap().into()))
        .collect();
    found.sort();
    found
}
