//! A server under a realistic mix for as long as one likes (`make soak`: an hour): people who stay and call each other over
//! links that lose datagrams, people who come and go, NATs that forget, and now and then a flood. At the end its memory
//! is what it was, nobody who stayed was lost, every call came through, and every datagram that was sent to it is among
//! its outcomes or in the kernel's count of a full queue.
//!
//! `SOAK_SECONDS` says how long, `SOAK_SEED` repeats what was drawn.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use roundtable_signalling::config::{Config, MaxOffers, MaxPeers};
use tokio::time::Instant;

#[path = "soak/flood.rs"]
mod flood;
#[path = "soak/link.rs"]
mod link;
#[path = "soak/people.rs"]
mod people;
#[path = "support/random.rs"]
mod random;
#[path = "support/remote.rs"]
mod remote;
#[path = "soak/report.rs"]
mod report;
#[path = "soak/strangers.rs"]
mod strangers;

use random::Random;
use remote::Remote;
use report::Report;

const TEST: &str = "server_is_the_same_after_a_long_time_of_everything";
/// Seconds of an ordinary test run.
const SECONDS: u64 = 30;
/// Who stay, and who come and go.
const RESIDENTS: usize = 100;
const VISITORS: usize = 40;
/// From the end of all traffic until who has left without a word is forgotten: PEER_TTL, its slack, and some.
const AFTERMATH: Duration = Duration::from_secs(68);
/// Bytes by which the server's resident memory may grow once everything has happened for a while: pages of tables that were
/// made at the start are touched one by one.
const GROWTH_MAX: u64 = 1 << 20;

/// What all parts of the crowd share.
struct Shared {
    server: SocketAddr,
    random: RefCell<Random>,
    report: RefCell<Report>,
    /// When the traffic ends.
    until: Cell<Instant>,
}

impl Shared {
    /// Draws a time around `mean`, from a tenth of it to nearly twice as much.
    fn about(&self, mean: Duration) -> Duration {
        mean.mul_f64(0.1 + 1.8 * self.random.borrow_mut().below(1000) as f64 / 1000.0)
    }

    fn chance(&self, percent: usize) -> bool {
        self.random.borrow_mut().below(100) < percent
    }

    /// Returns the time that is left.
    fn left(&self) -> Duration {
        self.until.get().saturating_duration_since(Instant::now())
    }

    fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}

#[test]
fn server_is_the_same_after_a_long_time_of_everything() {
    // Tables that an hour fills: those for a million peers are touched page by page for days.
    let config = Config {
        localaddress: Some(Ipv4Addr::LOCALHOST.into()),
        maxpeers: MaxPeers::constant::<4096>(),
        maxoffers: MaxOffers::constant::<4096>(),
        ..Config::default()
    };
    if remote::is_asked_for() {
        return remote::serve(config);
    }
    let seconds = std::env::var("SOAK_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let server = Remote::start(&[], TEST, 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(soak(server, Duration::from_secs(seconds))));
}

async fn soak(mut server: Remote, length: Duration) {
    let random = Random::from_environment("SOAK_SEED");
    let shared = Rc::new(Shared {
        server: server.address,
        random: random.into(),
        report: RefCell::default(),
        until: Instant::now().into(),
    });
    println!(
        "{length:?} with {RESIDENTS} who stay and {VISITORS} who come and go; server is process {}",
        server.id()
    );
    strangers::pass_by(&shared).await;
    let mut residents = people::settle(&shared, RESIDENTS).await;
    shared.until.set(Instant::now() + length);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..VISITORS {
        tasks.spawn_local(people::visit(Rc::clone(&shared), number));
    }
    for resident in &mut residents {
        tasks.spawn_local(resident.live(Rc::clone(&shared)));
    }
    tasks.spawn_local(flood::now_and_then(Rc::clone(&shared), length));

    let mut warm = None;
    while !shared.is_over() {
        tokio::time::sleep((length / 60).max(Duration::from_secs(1))).await;
        let now = server.stats();
        shared.report.borrow().row(length.saturating_sub(shared.left()), &now);
        // Everything has happened by then: a flood too.
        if warm.is_none() && shared.left() < length * 4 / 5 {
            warm = Some(now);
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let last = server.stats();
    tokio::time::sleep(AFTERMATH).await;
    let after = server.stats();
    shared.report.borrow().row(length + AFTERMATH, &after);
    println!("{}", shared.report.borrow());

    let report = shared.report.borrow();
    for resident in &residents {
        resident.check();
    }
    assert_eq!(report.failures(), &[] as &[String]);
    assert!(report.calls() > 0 && report.flooded() > 0 && report.vanished() > 0, "{report}");
    assert_eq!(after.peers, RESIDENTS as u64, "somebody who stayed is gone, or somebody who left is there");
    assert_eq!(
        after.forgotten,
        report.vanished(),
        "somebody else was forgotten than who left without a word"
    );
    assert_eq!(after.offers, 0);
    assert_eq!(after.outcomes, after.datagrams, "a datagram has no outcome");
    assert_eq!(after.datagrams + after.queue_full, report.sent(), "a datagram is neither counted nor lost");
    assert!(after.bytes_out <= after.bytes_in);
    let warm = warm.unwrap().resident;
    println!("resident memory: {warm} bytes after a fifth of the time, {} at its end", last.resident);
    assert!(last.resident <= warm + GROWTH_MAX, "the server grows");
}
