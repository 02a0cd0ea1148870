//! A server that tampers: the real engine on a real socket, and between the two somebody who reads, keeps and changes what is
//! relayed, and sends what he likes in the server's name.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use roundtable_signalling::proto::server::{Config, Path, Server};
use roundtable_signalling::proto::wire::{
    self, Address, BlobKind, Digest, Frame, OfferId, PeerId, Relayed, RelayedHead, Session,
};
use roundtable_signalling::proto::{Instant, Seed};
use tokio::net::UdpSocket;

/// Changes a relayed fragment and its head, or keeps it back.
pub(crate) type Tamper = Box<dyn FnMut(BlobKind, &mut RelayedHead, &mut Vec<u8>) -> Passes + Send>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passes {
    Yes,
    No,
}

/// A fragment that the server was to relay.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) kind: BlobKind,
    pub(crate) head: RelayedHead,
    pub(crate) blob: Vec<u8>,
}

struct Inside {
    /// Every datagram, as it came or went.
    capture: Vec<Vec<u8>>,
    seen: Vec<Seen>,
    /// Who has which session.
    sessions: BTreeMap<SocketAddr, Session>,
    tamper: Tamper,
}

#[derive(Clone)]
pub(crate) struct TamperingServer {
    pub(crate) address: SocketAddr,
    socket: Arc<UdpSocket>,
    inside: Arc<Mutex<Inside>>,
}

impl TamperingServer {
    /// Serves until the test ends, honestly at first.
    pub(crate) async fn start() -> Self {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let inside = Inside {
            capture: Vec::new(),
            seen: Vec::new(),
            sessions: BTreeMap::new(),
            tamper: Box::new(|_, _, _| Passes::Yes),
        };
        let address = socket.local_addr().unwrap();
        let server = Self { address, socket, inside: Arc::new(Mutex::new(inside)) };
        tokio::spawn(server.clone().run());
        server
    }

    pub(crate) fn tamper(
        &self,
        tamper: impl FnMut(BlobKind, &mut RelayedHead, &mut Vec<u8>) -> Passes + Send + 'static,
    ) {
        self.inside.lock().tamper = Box::new(tamper);
    }

    /// Changes the blobs of one kind.
    pub(crate) fn change(&self, changed: BlobKind, change: impl Fn(&mut Vec<u8>) + Send + 'static) {
        self.tamper(move |kind, _, blob| {
            if kind == changed {
                change(blob);
            }
            Passes::Yes
        });
    }

    pub(crate) fn capture(&self) -> Vec<Vec<u8>> {
        self.inside.lock().capture.clone()
    }

    /// What was to be relayed of this kind in this call, fragment by fragment, without repeats.
    pub(crate) fn relayed(&self, kind: BlobKind, offer: OfferId) -> Vec<Seen> {
        let mut seen = self.inside.lock().seen.clone();
        seen.retain(|seen| seen.kind == kind && seen.head.offer == offer);
        seen.sort_by_key(|seen| seen.head.index);
        seen.dedup_by_key(|seen| seen.head.index);
        seen
    }

    /// Gives a client a whole blob that nobody sent to it, as if from `source`.
    pub(crate) async fn inject(
        &self,
        to: SocketAddr,
        kind: BlobKind,
        (offer, source): (OfferId, PeerId),
        blob: &[u8],
    ) {
        let session = self.inside.lock().sessions[&to];
        let (digest, observed) = (Digest::of(blob), Address::NONE);
        let head = RelayedHead { session, offer, source, observed, digest, length: 0, index: 0 };
        self.socket.send_to(&frame(kind, head, blob), to).await.unwrap();
    }

    async fn run(self) {
        let start = tokio::time::Instant::now();
        let now = || Instant::after_origin(start.elapsed());
        let config = Config { public_addresses: vec![self.address], ..Config::default() };
        let mut engine = Server::new(now(), config, Seed::from_number(1));
        let mut buffer = [0; 2048];
        loop {
            let due = engine.poll_timeout().map(|at| start + at.since(Instant::ORIGIN));
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    // An error is news that somebody has closed his socket.
                    let Ok((length, from)) = received else { continue };
                    self.inside.lock().capture.push(buffer[..length].to_vec());
                    engine.handle_datagram(now(), Path::from(from), &buffer[..length]);
                }
                () = timer => engine.handle_timeout(now()),
            }
            self.flush(&mut engine).await;
        }
    }

    async fn flush(&self, engine: &mut Server) {
        let mut waiting = Vec::new();
        while let Some(transmit) = engine.poll_transmit() {
            for datagram in transmit.datagrams() {
                waiting.push((transmit.path.remote, datagram.to_vec()));
            }
        }
        for (to, datagram) in waiting {
            let passes = self.inside.lock().pass(to, datagram);
            if let Some(datagram) = passes {
                self.socket.send_to(&datagram, to).await.unwrap();
            }
        }
    }
}

impl Inside {
    /// What becomes of a datagram on its way out.
    fn pass(&mut self, to: SocketAddr, datagram: Vec<u8>) -> Option<Vec<u8>> {
        self.capture.push(datagram.clone());
        let (kind, relayed) = match wire::decode(&datagram) {
            Ok(Frame::Registered(registered)) => {
                self.sessions.insert(to, registered.session);
                return Some(datagram);
            }
            Ok(Frame::RelayedOffer(relayed)) => (BlobKind::Offer, relayed),
            Ok(Frame::RelayedAnswer(relayed)) => (BlobKind::Answer, relayed),
            Ok(Frame::RelayedCandidate(relayed)) => (BlobKind::Candidate, relayed),
            _ => return Some(datagram),
        };
        let (mut head, mut blob) = (*relayed.head(), relayed.blob().to_vec());
        let same = (head, blob.clone());
        self.seen.push(Seen { kind, head, blob: blob.clone() });
        if (self.tamper)(kind, &mut head, &mut blob) == Passes::No {
            return None;
        }
        if (head, &blob) == (same.0, &same.1) {
            return Some(datagram);
        }
        let is_whole = head.length as usize == same.1.len();
        Some(if is_whole { frame(kind, head, &blob) } else { fragment(kind, head, &blob) })
    }
}

/// Makes the frame of a whole blob: digest and length are made to fit.
fn frame(kind: BlobKind, head: RelayedHead, blob: &[u8]) -> Vec<u8> {
    let index = if kind == BlobKind::Candidate { head.index } else { 0 };
    fragment(kind, RelayedHead { digest: Digest::of(blob), length: blob.len() as u32, index, ..head }, blob)
}

/// Makes the frame of one fragment of many, under the head that it has.
fn fragment(kind: BlobKind, head: RelayedHead, blob: &[u8]) -> Vec<u8> {
    let relayed = Relayed::new(kind, head, blob).unwrap();
    match kind {
        BlobKind::Offer => Frame::RelayedOffer(relayed),
        BlobKind::Answer => Frame::RelayedAnswer(relayed),
        BlobKind::Candidate => Frame::RelayedCandidate(relayed),
    }
    .to_vec()
}
