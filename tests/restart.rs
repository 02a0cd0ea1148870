//! The built server is killed in the middle of a call and started again: the clients register again and the call
//! completes, without the application doing anything.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "restart/link.rs"]
mod link;
#[path = "support/program.rs"]
mod program;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bytes::Bytes;
use link::Link;
use program::Rendezvous;
use roundtable_signalling::client::{Call, Client, Incoming, IncomingCall, Options, Registration};
use roundtable_signalling::proto::wire::{Kind, PeerId};

/// What a call across a restart may take, generously.
const BOUND: Duration = Duration::from_secs(30);
const OFFER: &[u8] = include_bytes!("data/aiortc-audio-x20-10if-offer.sdp");
const ANSWER: &[u8] = include_bytes!("data/aiortc-audio-x20-10if-answer.sdp");
/// Fragments that pass before the server dies.
const PASSED: usize = 5;
/// Ports that no system hands out by itself, so that nobody takes one while the server is down.
const PORTS: std::ops::Range<u32> = 20_000..30_000;

/// A free port, of which other tests will not think.
fn free_port() -> u16 {
    let (width, start) = (PORTS.end - PORTS.start, std::process::id());
    (0..width)
        .map(|step| (PORTS.start + start.wrapping_mul(7).wrapping_add(step) % width) as u16)
        .find(|&port| UdpSocket::bind(("127.0.0.1", port)).is_ok())
        .unwrap()
}

/// A client that reaches the server over a link.
struct Peer {
    name: &'static str,
    id: PeerId,
    client: Client,
    incoming: Incoming,
    link: Link,
}

impl Peer {
    async fn join(name: &'static str, server: SocketAddr, number: u8, cut: Option<(Kind, usize)>) -> Self {
        let link = Link::start(server, cut).await;
        let id = PeerId::plain([number; 16]).unwrap();
        let (mut client, incoming) = Client::start(Options::new(link.address, id)).await.unwrap();
        within(client.registered()).await.unwrap();
        // From now on only what is new.
        within(client.registration_changed()).await.unwrap();
        Self { name, id, client, incoming, link }
    }

    /// Waits until it has registered once more.
    async fn registers_again(&mut self, since: Instant) {
        loop {
            let state = within(self.client.registration_changed()).await.unwrap();
            if matches!(state, Registration::Registered { .. }) {
                println!("{} registered again after {:?}", self.name, since.elapsed());
                return;
            }
        }
    }
}

async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, wait).await.unwrap_or_else(|_| panic!("nothing within {BOUND:?}"))
}

/// Kills the server and starts another one in its place, while the clients go on. Returns when the old one died.
async fn restart(server: Rendezvous) -> (Rendezvous, Instant) {
    let replace = move || {
        let port = server.address.port();
        server.program.signal("KILL");
        let killed = Instant::now();
        assert_eq!(server.program.wait().code, None);
        let server = Rendezvous::start(port, "");
        println!("server listens again after {:?}", killed.elapsed());
        (server, killed)
    };
    within(tokio::task::spawn_blocking(replace)).await.unwrap()
}

async fn rings(callee: &mut Peer) -> IncomingCall {
    let ringing = within(callee.incoming.accept()).await.unwrap();
    assert!(ringing.offer == OFFER, "the offer is damaged");
    ringing
}

async fn answer(call: &mut Call, ringing: &mut IncomingCall) {
    let (delivered, answered) =
        within(async { tokio::join!(ringing.answer(Bytes::from_static(ANSWER)), call.answered()) }).await;
    delivered.unwrap();
    assert!(answered.unwrap().blob == ANSWER, "the answer is damaged");
}

async fn pair(
    server: &Rendezvous,
    cut_caller: Option<(Kind, usize)>,
    cut_callee: Option<(Kind, usize)>,
) -> (Peer, Peer) {
    let address = server.address;
    (Peer::join("caller", address, 1, cut_caller).await, Peer::join("callee", address, 2, cut_callee).await)
}

async fn call(caller: &Peer, callee: &Peer) -> Call {
    within(caller.client.call(callee.id, Bytes::from_static(OFFER))).await.unwrap()
}

#[tokio::test]
async fn call_survives_a_restart_after_the_first_fragments_of_the_offer() {
    let server = Rendezvous::start(free_port(), "");
    let (mut caller, mut callee) = pair(&server, Some((Kind::Offer, PASSED)), None).await;
    let mut call = call(&caller, &callee).await;
    within(caller.link.is_cut()).await;
    let (server, killed) = restart(server).await;
    caller.link.resume();

    let mut ringing = rings(&mut callee).await;
    answer(&mut call, &mut ringing).await;
    println!("answered after {:?}", killed.elapsed());
    caller.registers_again(killed).await;
    callee.registers_again(killed).await;
    server.stop();
}

#[tokio::test]
async fn call_survives_a_restart_while_it_rings() {
    let server = Rendezvous::start(free_port(), "");
    let (mut caller, mut callee) = pair(&server, None, None).await;
    let mut call = call(&caller, &callee).await;
    let mut ringing = rings(&mut callee).await;
    within(call.delivered()).await.unwrap();
    let (server, killed) = restart(server).await;

    // The callee has nothing to say and finds out with its next KEEPALIVE.
    caller.registers_again(killed).await;
    callee.registers_again(killed).await;
    answer(&mut call, &mut ringing).await;
    println!("answered after {:?}", killed.elapsed());
    server.stop();
}

#[tokio::test]
async fn call_survives_a_restart_at_the_moment_it_is_answered() {
    let server = Rendezvous::start(free_port(), "");
    let (mut caller, mut callee) = pair(&server, None, None).await;
    let mut call = call(&caller, &callee).await;
    let mut ringing = rings(&mut callee).await;
    within(call.delivered()).await.unwrap();
    let (server, killed) = restart(server).await;

    answer(&mut call, &mut ringing).await;
    println!("answered after {:?}", killed.elapsed());
    caller.registers_again(killed).await;
    callee.registers_again(killed).await;
    server.stop();
}

#[tokio::test]
async fn call_survives_a_restart_while_the_answer_is_on_its_way() {
    let server = Rendezvous::start(free_port(), "");
    let (mut caller, mut callee) = pair(&server, None, Some((Kind::Answer, PASSED))).await;
    let mut call = call(&caller, &callee).await;
    let mut ringing = rings(&mut callee).await;
    let link = &callee.link;
    let replace = async {
        within(link.is_cut()).await;
        let (server, killed) = restart(server).await;
        link.resume();
        (server, killed)
    };
    let ((server, killed), ()) = tokio::join!(replace, answer(&mut call, &mut ringing));
    println!("answered after {:?}", killed.elapsed());
    caller.registers_again(killed).await;
    callee.registers_again(killed).await;
    server.stop();
}
