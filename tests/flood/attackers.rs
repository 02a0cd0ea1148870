//! Those who flood: from a /24 and a /48 of their own, at a pace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use roundtable_signalling::proto::wire::{Cookie, PeerId, Session};

use crate::frames;
use crate::lab;
use crate::program::{self, Running};
use crate::quota::Quota;

/// Sockets that a flood comes from.
const SOCKETS: u8 = 64;
/// Datagrams between two looks at the clock.
const BURST: u64 = 50;
/// How long the server's speed is measured.
const MEASURED: Duration = Duration::from_secs(2);

/// What a flood is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Junk,
    ForgedCookies,
    ValidCookies,
    Registrations,
    ForgedSessions,
    Offers,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Junk,
        Self::ForgedCookies,
        Self::ValidCookies,
        Self::Registrations,
        Self::ForgedSessions,
        Self::Offers,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Junk => "junk",
            Self::ForgedCookies => "REGISTER, forged cookies, a /24 and a /48",
            Self::ValidCookies => "REGISTER, valid cookies, a /24 and a /48",
            Self::Registrations => "REGISTER, valid cookies, one address",
            Self::ForgedSessions => "KEEPALIVE, forged sessions, a /24 and a /48",
            Self::Offers => "OFFER at one victim, 64 peers",
        }
    }

    /// The address of a socket: in the /24 for even numbers, in the /48 for odd ones.
    fn address(self, number: u8) -> IpAddr {
        let number = if self == Self::Registrations { 0 } else { number };
        if number.is_multiple_of(2) {
            Ipv4Addr::new(203, 0, 113, number + 1).into()
        } else {
            Ipv6Addr::new(0x2001, 0xdb8, 0xbad, number.into(), 0, 0, 0, 1).into()
        }
    }
}

/// Gives this host the addresses of the server, of the honest and of the attackers.
pub(crate) fn add_addresses() {
    lab::ip("address add 192.0.2.1/32 dev lo");
    lab::ip("-6 address add 2001:db8:a::1/128 dev lo nodad");
    for pool in ["198.51.100.0/24", "203.0.113.0/24"] {
        lab::ip(&format!("route add local {pool} dev lo"));
    }
    lab::ip("-6 route add local 2001:db8:bad::/48 dev lo");
    lab::run("sh", &["-c", "echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind"]);
}

/// With a twentieth of a core goes a twentieth of what all together may register, by which strangers are limited, too.
const SMALL: &str = "registertotal: 1000\n";

/// Starts the built server, within the quota if there is one.
pub(crate) fn start_server(quota: Option<&Quota>) -> Running {
    let enter = quota.map(|quota| format!("echo $$ > {}; ", quota.processes().display()));
    // For a comparison: FLOOD_CONFIGURATION='kernelfilter: false'.
    let more = std::env::var("FLOOD_CONFIGURATION").unwrap_or_default();
    std::fs::write("/run/config.yaml", format!("{}{more}\n", quota.map_or("", |_| SMALL))).unwrap();
    let command = format!("{}cd /run && exec \"$0\"", enter.unwrap_or_default());
    let mut server = program::start("sh", ["-c", &command, env!("CARGO_BIN_EXE_signallingserver")], b"");
    server.line_with("listening on ");
    server
}

/// Measures how many keepalives the server answers in a second while it has more than it can do.
pub(crate) fn capacity() -> u64 {
    let sockets: Vec<_> = (1..=8).map(|low| frames::socket([203, 0, 113, 200 + low].into())).collect();
    let sessions =
        sockets.iter().zip(0..).map(|(socket, number)| frames::join(socket, frames::identifier(8, number)));
    let sessions: Vec<Session> = sessions.collect();
    let answered = AtomicU64::new(0);
    let end = Instant::now() + MEASURED;
    thread::scope(|scope| {
        scope.spawn(|| {
            while Instant::now() < end {
                for (socket, session) in sockets.iter().zip(&sessions) {
                    // A train keeps the queue full.
                    let datagram = frames::keepalive(*session, 0);
                    for _ in 0..BURST {
                        drop(socket.send(&datagram));
                    }
                }
            }
        });
        let mut buffer = [0; 200];
        while Instant::now() < end {
            for socket in &sockets {
                socket.set_nonblocking(true).unwrap();
                while socket.recv(&mut buffer).is_ok_and(|length| buffer[..length][3] == 0x84) {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
            thread::sleep(Duration::from_millis(1));
        }
    });
    answered.into_inner() / MEASURED.as_secs()
}

/// A flood that runs.
pub(crate) struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Flood {
    /// Sends `per_second`, or as many as the machine can, until it is stopped.
    pub(crate) fn start(kind: Kind, per_second: u64, victim: PeerId) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sources = sources(kind);
        let thread = thread::spawn(move || {
            let start = Instant::now();
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                for _ in 0..BURST {
                    let source = &sources[(sent % sources.len() as u64) as usize];
                    // A full buffer is the flood's own loss.
                    drop(source.socket.send(&source.datagram(kind, sent, victim)));
                    sent += 1;
                }
                let due = Duration::from_nanos(sent * 1_000_000_000 / per_second.max(1));
                thread::sleep(due.saturating_sub(start.elapsed()));
            }
            let millis = start.elapsed().as_millis() as u64;
            sent * 1000 / millis.max(1)
        });
        Self { stop, thread }
    }

    /// Ends it, and tells how many datagrams a second it has sent.
    pub(crate) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

struct Source {
    socket: UdpSocket,
    cookie: Cookie,
    session: Session,
}

/// What the attackers get before they attack.
fn sources(kind: Kind) -> Vec<Source> {
    let source = |number| {
        let socket = frames::socket(kind.address(number));
        let (mut cookie, mut session) = (Cookie([number; 16]), Session([number; 16]));
        match kind {
            Kind::Junk | Kind::ForgedCookies | Kind::ForgedSessions => {}
            Kind::ValidCookies | Kind::Registrations => cookie = frames::cookie(&socket),
            Kind::Offers => session = frames::join(&socket, frames::identifier(7, number.into())),
        }
        Source { socket, cookie, session }
    };
    (0..SOCKETS).map(source).collect()
}

impl Source {
    fn datagram(&self, kind: Kind, number: u64, victim: PeerId) -> Vec<u8> {
        let made_up = frames::identifier(6, number as u32);
        match kind {
            Kind::Junk => number.to_be_bytes().repeat(12),
            Kind::ForgedCookies | Kind::ValidCookies | Kind::Registrations => {
                frames::register(made_up, self.cookie)
            }
            Kind::ForgedSessions => frames::keepalive(self.session, number),
            Kind::Offers => frames::offer(self.session, victim, number),
        }
    }
}
