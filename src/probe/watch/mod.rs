//! `roundtable-probe watch`: a server of this machine, live.

mod view;

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::UnixStream;

use super::arguments::Watch;
use super::failure::Failure;
use super::report::Report;
use crate::cli;
use crate::pinger::Pinger;
use view::Second;

/// Round trips that are shown.
const ROUND_TRIPS: usize = 200;
/// Between two PINGs.
const PINGS: Duration = Duration::from_millis(100);
/// For an answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// Another screen, without a cursor.
const OPEN: &str = "\x1b[?1049h\x1b[?25l";
/// The screen and cursor as they were.
const CLOSE: &str = "\x1b[?25h\x1b[?1049l";

/// What PINGs have found lately.
type RoundTrips = Arc<Mutex<VecDeque<Duration>>>;

pub(super) async fn run(report: &Report, watch: Watch) -> Result<(), Failure> {
    let interrupted = cli::shutdown_signal().map_err(Failure::System)?;
    let unreachable = |error| Failure::File { path: watch.socket.clone(), error };
    let stream = UnixStream::connect(&watch.socket).await.map_err(unreachable)?;
    let is_screen = io::stdout().is_terminal() && !report.is_json() && !watch.plain;
    let shown = Screen { report, is_screen, has_pings: is_screen || watch.screens };
    if is_screen {
        put(OPEN);
    }
    let watched = tokio::select! {
        watched = follow(&stream, &shown, &watch) => watched,
        _signal = interrupted => Ok(()),
    };
    if is_screen {
        put(CLOSE);
    }
    watched
}

/// Shows each second, until the server ends or there were as many as wanted.
async fn follow(stream: &UnixStream, shown: &Screen<'_>, watch: &Watch) -> Result<(), Failure> {
    let round_trips = RoundTrips::default();
    let mut lines = Lines { stream, rest: Vec::new() };
    let mut before = None;
    let mut count = 0;
    while let Some(line) = lines.next().await.map_err(Failure::System)? {
        let now: Value = serde_json::from_slice(&line).map_err(|error| Failure::System(error.into()))?;
        let Some(before) = before.replace(now.clone()) else {
            shown.ping(&now, &round_trips);
            continue;
        };
        let second = Second { before: &before, now: &now };
        shown.show(&second, &round_trips, watch.screens);
        count += 1;
        if watch.count.is_some_and(|wanted| count >= wanted) {
            return Ok(());
        }
    }
    Ok(())
}

struct Screen<'a> {
    report: &'a Report,
    is_screen: bool,
    has_pings: bool,
}

impl Screen<'_> {
    fn show(&self, second: &Second<'_>, round_trips: &RoundTrips, screens: bool) {
        if self.report.is_json() {
            self.report.step("second", second.now.clone(), "");
            return;
        }
        if !self.is_screen && !screens {
            self.report.text(&second.line());
            return;
        }
        let round_trips: Vec<_> = round_trips.lock().iter().copied().collect();
        let screen = second.screen(&round_trips);
        if self.is_screen {
            // From the top, each line cleared to its end, and all below.
            let lines: String = screen.lines().map(|line| format!("{line}\x1b[K\r\n")).collect();
            put(&format!("\x1b[H{lines}\x1b[J"));
        } else {
            self.report.text(&screen);
        }
    }

    /// Starts to ask the server itself how long it takes.
    fn ping(&self, line: &Value, round_trips: &RoundTrips) {
        let server = line["server"].as_str().and_then(|text| text.parse::<SocketAddr>().ok());
        let (Some(server), true) = (server, self.has_pings) else { return };
        let round_trips = Arc::clone(round_trips);
        tokio::spawn(async move {
            let Ok(mut pinger) = Pinger::new(here(server)).await else { return };
            loop {
                if let Ok(Some(pong)) = pinger.ping(PATIENCE).await {
                    let mut round_trips = round_trips.lock();
                    round_trips.push_back(pong.round_trip);
                    if round_trips.len() > ROUND_TRIPS {
                        round_trips.pop_front();
                    }
                }
                tokio::time::sleep(PINGS).await;
            }
        });
    }
}

/// A server that listens everywhere is here.
fn here(server: SocketAddr) -> SocketAddr {
    let ip = match server.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, server.port())
}

/// A stream, line by line.
struct Lines<'a> {
    stream: &'a UnixStream,
    rest: Vec<u8>,
}

impl Lines<'_> {
    /// Returns the next line; none at the end. Can be cancelled.
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.drain(..=end).collect();
                return Ok(Some(line));
            }
            self.stream.readable().await?;
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(length) => self.rest.extend(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Writes to a terminal.
fn put(text: &str) {
    let mut out = io::stdout().lock();
    // A terminal that has gone is no reason to fail.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}
