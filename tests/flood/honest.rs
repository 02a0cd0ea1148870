//! The honest: raw peers that keep alive, clients that call each other, newcomers. What they meet is kept by phase.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use roundtable_signalling::client::{Client, Options};
use roundtable_signalling::proto::wire::{self, Frame, PeerId, Session};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use crate::frames;

/// Peers that are nothing but a session, and how often each asks.
const PEERS: u8 = 60;
const ASKED_EVERY: Duration = Duration::from_millis(500);
/// A keepalive that has no answer by then has been lost.
const LOST: Duration = Duration::from_secs(1);
/// Pairs of clients, and how long a caller rests after a call.
const PAIRS: u8 = 8;
const REST: Duration = Duration::from_millis(400);
/// Longest wait for a call or a registration.
const PATIENCE: Duration = Duration::from_secs(40);

/// When something is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Before = 1,
    During = 2,
    After = 3,
}

/// Keepalives, calls, newcomers: how long each took that was answered.
pub(crate) type Figures = [Vec<Option<Duration>>; 3];

#[derive(Default)]
struct Shared {
    /// The phase that is measured; 0 for none.
    phase: AtomicUsize,
    kept: Mutex<[Figures; 4]>,
    /// Samples that were begun in a phase and are not complete yet.
    open: AtomicUsize,
    lost_registrations: AtomicU64,
    unanswered_calls: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Measures one thing, and keeps it in the phase in which it has begun.
    async fn sample(&self, what: usize, wait: impl Future<Output = bool>) -> bool {
        let phase = self.phase.load(Ordering::Relaxed);
        let is_measured = usize::from(phase != 0);
        self.open.fetch_add(is_measured, Ordering::Relaxed);
        let begun = Instant::now();
        let is_answered = wait.await;
        self.kept.lock().unwrap()[phase][what].push(is_answered.then(|| begun.elapsed()));
        self.open.fetch_sub(is_measured, Ordering::Relaxed);
        is_answered
    }
}

pub(crate) struct Honest {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Honest {
    /// Registers all of them, and lets them do what they do.
    pub(crate) fn start() -> Self {
        let peers: Vec<_> = (0..PEERS)
            .map(|number| {
                let socket = frames::socket(Ipv4Addr::new(198, 51, 100, 1 + number).into());
                let session = frames::join(&socket, frames::identifier(1, number.into()));
                (socket, session)
            })
            .collect();
        let shared = Arc::new(Shared::default());
        let (theirs, (ready, readied)) = (Arc::clone(&shared), std::sync::mpsc::channel());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for (number, (socket, session)) in (0u32..).zip(peers) {
                    socket.set_nonblocking(true).unwrap();
                    let socket = UdpSocket::from_std(socket).unwrap();
                    tokio::spawn(keep_alive(
                        Arc::clone(&theirs),
                        socket,
                        session,
                        ASKED_EVERY * number / u32::from(PEERS),
                    ));
                }
                for pair in 0..PAIRS {
                    call(&theirs, pair).await;
                }
                tokio::spawn(come_anew(Arc::clone(&theirs)));
                ready.send(()).unwrap();
                while theirs.goes_on() {
                    sleep(Duration::from_millis(20)).await;
                }
            });
        });
        readied.recv().unwrap();
        Self { shared, thread }
    }

    /// Whom the attackers call.
    pub(crate) fn victim(&self) -> PeerId {
        assert!(self.shared.goes_on());
        frames::identifier(1, 0)
    }

    pub(crate) fn measure(&self, phase: Phase, time: Duration) {
        self.shared.phase.store(phase as usize, Ordering::Relaxed);
        thread::sleep(time);
        self.shared.phase.store(0, Ordering::Relaxed);
    }

    /// Waits for what has not been answered yet, and gives what was measured before, during and after.
    pub(crate) fn figures(&self) -> [Figures; 3] {
        let end = Instant::now() + PATIENCE;
        while self.shared.open.load(Ordering::Relaxed) > 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        let [_, before, during, after] = std::mem::take(&mut *self.shared.kept.lock().unwrap());
        [before, during, after]
    }

    /// Ends them, and counts registrations that were lost and calls that nobody could answer.
    pub(crate) fn stop(self) -> [u64; 2] {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        [&self.shared.lost_registrations, &self.shared.unanswered_calls]
            .map(|count| count.load(Ordering::Relaxed))
    }
}

/// Asks for ever. Whoever is challenged has lost his registration.
async fn keep_alive(shared: Arc<Shared>, socket: UdpSocket, session: Session, offset: Duration) {
    sleep(offset).await;
    for number in 0.. {
        let asked = Instant::now();
        let answer = async {
            let mut buffer = [0; wire::DATAGRAM_MAX];
            drop(socket.send(&frames::keepalive(session, number)).await);
            loop {
                let Ok(length) = socket.recv(&mut buffer).await else { continue };
                match wire::decode(&buffer[..length]) {
                    Ok(Frame::KeepaliveReply(reply)) if reply.transaction == frames::transaction(number) => {
                        return;
                    }
                    Ok(Frame::Challenge(_)) => {
                        shared.lost_registrations.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(_) | Err(_) => {}
                }
            }
        };
        shared.sample(0, async { timeout(LOST, answer).await.is_ok() }).await;
        sleep(ASKED_EVERY.saturating_sub(asked.elapsed())).await;
    }
}

async fn client(group: u8, number: u32, ip: IpAddr) -> (Client, roundtable_signalling::client::Incoming) {
    let mut options = Options::new(frames::SERVER[0].parse().unwrap(), frames::identifier(group, number));
    options.socket = Some(Arc::new(UdpSocket::bind((ip, 0)).await.unwrap()));
    Client::start(options).await.unwrap()
}

/// Two clients, one of which calls the other again and again.
async fn call(shared: &Arc<Shared>, pair: u8) {
    let number = u32::from(pair);
    let (caller, caller_incoming) = client(2, number, Ipv4Addr::new(198, 51, 100, 100 + pair).into()).await;
    let (callee, mut incoming) = client(3, number, Ipv4Addr::new(198, 51, 100, 150 + pair).into()).await;
    for one in [&caller, &callee] {
        timeout(PATIENCE, one.registered()).await.unwrap().unwrap();
    }
    tokio::spawn(async move {
        while let Some(mut ringing) = incoming.accept().await {
            tokio::spawn(async move { ringing.answer(vec![2; 1000].into()).await });
        }
        drop(callee);
    });
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        while shared.goes_on() {
            let answered = async {
                let Ok(mut call) = caller.call(frames::identifier(3, number), vec![1; 1000].into()).await
                else {
                    return false;
                };
                call.answered().await.is_ok()
            };
            if !shared.sample(1, async { timeout(PATIENCE, answered).await == Ok(true) }).await {
                shared.unanswered_calls.fetch_add(1, Ordering::Relaxed);
            }
            sleep(REST).await;
        }
        drop(caller_incoming);
    });
}

/// Somebody new every half second, who leaves once he is registered.
async fn come_anew(shared: Arc<Shared>) {
    for number in 0u32.. {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let ip = Ipv4Addr::new(198, 51, 100, 200 + (number % 50) as u8);
            let (client, _incoming) = client(4, number, ip.into()).await;
            let registered =
                async { timeout(PATIENCE, client.registered()).await.is_ok_and(|came| came.is_ok()) };
            shared.sample(2, registered).await;
            // Whether that is heard is all the same.
            let _ended = client.unregister().await;
        });
        sleep(ASKED_EVERY).await;
    }
}
