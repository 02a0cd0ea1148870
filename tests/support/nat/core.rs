//! The internet between the access networks: one wire with a port for each, on which every pair has its own delay, loss,
//! duplication and reordering. It stands in user space, since a kernel may lack what would do the same (`sch_netem`).
//! Knows frames and ports, nothing of hosts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, bind, socket};
use roundtable_proto::vnet::Random;

use super::frame;

/// Longest frame that is taken: of the largest datagram.
const FRAME_MAX: usize = 66_000;
/// Frames that may wait on the wire; further ones are lost.
const WAITING_MAX: usize = 65_536;
/// A datagram that is overtaken comes so much later.
const OVERTAKEN: Duration = Duration::from_millis(15);

/// What becomes of what one port sends to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// From port to port.
    pub(crate) delay: Duration,
    /// Share of the datagrams that are lost, 0 to 1.
    pub(crate) loss: f64,
    /// Share that come twice.
    pub(crate) duplication: f64,
    /// Share that are overtaken by those behind them.
    pub(crate) reordering: f64,
}

/// The wire. It ends with the process.
pub(crate) struct Core(Arc<Shared>);

struct Shared {
    ports: Vec<File>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// By sending, then by receiving port.
    ways: Vec<Vec<Way>>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    random: Random,
    count: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    at: Instant,
    /// Keeps the order of what is due at one moment.
    number: u64,
    port: usize,
    frame: Vec<u8>,
}

impl Core {
    /// Joins these interfaces of this host, each of which is up and has no address.
    pub(crate) fn join(interfaces: &[&str], way: Way, seed: u64) -> Self {
        let ports: Vec<_> = interfaces.iter().map(|interface| open(interface)).collect();
        let state = State {
            ways: vec![vec![way; ports.len()]; ports.len()],
            waiting: BinaryHeap::new(),
            random: Random::new(seed),
            count: 0,
        };
        let shared = Arc::new(Shared { ports, state: Mutex::new(state), changed: Condvar::new() });
        for port in 0..shared.ports.len() {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.receive(port));
        }
        let sending = Arc::clone(&shared);
        thread::spawn(move || sending.send());
        Self(shared)
    }

    /// Changes what becomes of what `from` sends to `to`.
    pub(crate) fn change(&self, from: usize, to: usize, change: impl FnOnce(&mut Way)) {
        change(&mut self.0.state().ways[from][to]);
    }

    /// Changes every way.
    pub(crate) fn change_all(&self, mut change: impl FnMut(&mut Way)) {
        self.0.state().ways.iter_mut().flatten().for_each(&mut change);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receive(&self, from: usize) {
        let mut buffer = vec![0; FRAME_MAX];
        // An interface that goes down is heard of here; it comes back.
        loop {
            let Ok(length) = (&self.ports[from]).read(&mut buffer) else { continue };
            let received = Instant::now();
            let mut bytes = buffer[..length].to_vec();
            let Some(traffic) = frame::traffic(&bytes) else { continue };
            frame::finish_checksum(&mut bytes);
            let mut state = self.state();
            match frame::port_of(&bytes) {
                Some(to) if to < self.ports.len() => state.carry(received, traffic, from, to, &bytes),
                Some(_) => {}
                None => {
                    for to in (0..self.ports.len()).filter(|to| *to != from) {
                        state.carry(received, traffic, from, to, &bytes);
                    }
                }
            }
            self.changed.notify_one();
        }
    }

    fn send(&self) {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            state = match state.waiting.peek() {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Reverse(first)) if first.at > now => {
                    let wait = first.at - now;
                    self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                Some(_) => {
                    let Some(Reverse(due)) = state.waiting.pop() else { continue };
                    drop(state);
                    // A link that is down loses what it is given.
                    drop((&self.ports[due.port]).write(&due.frame));
                    self.state()
                }
            };
        }
    }
}

impl State {
    fn carry(&mut self, received: Instant, traffic: frame::Traffic, from: usize, to: usize, frame: &[u8]) {
        let way = self.ways[from][to];
        let (copies, mut delay) = match traffic {
            // Who is where on the wire is not part of what is tried.
            frame::Traffic::Neighbours => (1, Duration::ZERO),
            frame::Traffic::Other => (1, way.delay),
            frame::Traffic::Datagram if self.random.chance(way.loss) => (0, way.delay),
            frame::Traffic::Datagram => (1 + u64::from(self.random.chance(way.duplication)), way.delay),
        };
        if traffic == frame::Traffic::Datagram && self.random.chance(way.reordering) {
            delay += OVERTAKEN;
        }
        for _ in 0..copies {
            if self.waiting.len() < WAITING_MAX {
                self.count += 1;
                let waiting =
                    Waiting { at: received + delay, number: self.count, port: to, frame: frame.to_vec() };
                self.waiting.push(Reverse(waiting));
            }
        }
    }
}

/// Opens an interface of this host for whole frames.
fn open(interface: &str) -> File {
    let raw = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll);
    let raw = raw.unwrap();
    let address = getifaddrs()
        .unwrap()
        .filter(|one| one.interface_name == interface)
        .find_map(|one| one.address?.as_link_addr().copied())
        .unwrap_or_else(|| panic!("there is no interface {interface}"));
    bind(std::os::fd::AsRawFd::as_raw_fd(&raw), &address).unwrap();
    File::from(raw)
}
