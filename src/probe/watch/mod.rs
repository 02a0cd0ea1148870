//! `roundtable-probe watch`: a server of this machine, live.
//!
//! Owns the stream of statistics and the terminal. What the lines mean is in `facts`, what they look like in `view`.

mod facts;
mod panel;
mod round_trips;
mod stream;
mod terminal;
mod view;

use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

use super::arguments::Watch;
use super::failure::Failure;
use super::report::Report;
use crate::cli;
use crate::pinger::Pinger;
use facts::Facts;
use round_trips::RoundTrips;
use stream::Lines;
use terminal::{Screen, Wish};
use view::{State, View};

/// Between two PINGs.
const PINGS: Duration = Duration::from_millis(100);
/// For an answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks at whether the server still tells anything.
const TICK: Duration = Duration::from_secs(1);
/// A server that tells a line a second is silent after this.
const SILENT_AFTER: Duration = Duration::from_secs(3);
/// Who wants so many seconds, and no more, waits no longer for a server that is silent.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(5);
/// Columns and rows of a screen that is printed.
const PRINTED: (u16, u16) = (100, 30);

pub(super) async fn run(report: &Report, watch: Watch) -> Result<(), Failure> {
    let interrupted = cli::shutdown_signal().map_err(Failure::System)?;
    let unreachable = |error| Failure::File { path: watch.socket.clone(), error };
    let stream = UnixStream::connect(&watch.socket).await.map_err(unreachable)?;
    let mut watching = Watching {
        report,
        output: Output::new(report, &watch),
        known: Known::default(),
        paused: None,
        round_trips: Arc::default(),
        heard: Instant::now(),
    };
    let ended = tokio::select! {
        ended = watching.follow(Lines::new(stream), &watch) => ended?,
        _signal = interrupted => Ended::Asked,
    };
    // The terminal as it was.
    drop(watching.output);
    match (ended, watching.known.facts) {
        (Ended::Asked, _) => Ok(()),
        (Ended::Server, Some(facts)) => {
            report.text(&format!("{} has ended", facts.now.server));
            Ok(())
        }
        (Ended::Server, None) => {
            let why = "the server tells nothing: it is ending, or too many watch it already";
            Err(unreachable(io::Error::other(why)))
        }
    }
}

/// Why no more is shown.
enum Ended {
    Server,
    Asked,
}

/// How it is shown.
enum Output {
    Json,
    Lines,
    Printed,
    Terminal { screen: Box<Screen>, wishes: Receiver<Wish> },
}

impl Output {
    fn new(report: &Report, watch: &Watch) -> Self {
        if report.is_json() {
            return Self::Json;
        }
        if watch.screens {
            return Self::Printed;
        }
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if watch.plain || is_dumb || !io::stdout().is_terminal() {
            return Self::Lines;
        }
        // What cannot be taken over can still be written to.
        Screen::open().map_or(Self::Lines, |screen| Self::Terminal {
            screen: Box::new(screen),
            wishes: terminal::wishes(),
        })
    }

    /// Waits for a wish; for ever, where nobody can have one.
    async fn wish(&mut self) -> Wish {
        match self {
            Self::Terminal { wishes, .. } => wishes.recv().await.unwrap_or(Wish::End),
            Self::Json | Self::Lines | Self::Printed => std::future::pending().await,
        }
    }
}

/// What there is to show.
#[derive(Clone, Default)]
struct Known {
    facts: Option<Facts>,
    round_trips: RoundTrips,
}

struct Watching<'a> {
    report: &'a Report,
    output: Output,
    known: Known,
    /// What is shown for as long as nothing is to move.
    paused: Option<Known>,
    /// What the task with the PINGs finds.
    round_trips: Arc<Mutex<RoundTrips>>,
    /// When the last line came.
    heard: Instant,
}

impl Watching<'_> {
    /// Shows each second, until the server ends, it is asked to end, or there were as many as wanted.
    async fn follow(&mut self, mut lines: Lines, watch: &Watch) -> Result<Ended, Failure> {
        let mut tick = tokio::time::interval(TICK);
        let mut shown = 0;
        loop {
            tokio::select! {
                line = lines.next() => {
                    let Some(line) = line.map_err(Failure::System)? else { return Ok(Ended::Server) };
                    if self.take(&line)? {
                        shown += 1;
                    }
                    if watch.count.is_some_and(|wanted| shown >= wanted) {
                        return Ok(Ended::Asked);
                    }
                }
                wish = self.output.wish() => match wish {
                    Wish::End => return Ok(Ended::Asked),
                    Wish::Pause => {
                        self.paused = if self.paused.is_none() { Some(self.known.clone()) } else { None };
                        self.draw()?;
                    }
                    Wish::Redraw => self.draw()?,
                },
                _ = tick.tick() => {
                    if watch.count.is_some() && self.heard.elapsed() >= GIVEN_UP_AFTER {
                        let (socket, waited) = (watch.socket.clone(), GIVEN_UP_AFTER);
                        return Err(Failure::NothingTold { socket, waited });
                    }
                    self.draw()?;
                }
            }
        }
    }

    /// Takes a line and shows it. Tells whether it was a second, which ends with a line and begins with the one before.
    fn take(&mut self, line: &[u8]) -> Result<bool, Failure> {
        let unreadable = |error: serde_json::Error| Failure::System(error.into());
        let value: Value = serde_json::from_slice(line).map_err(unreadable)?;
        let line: facts::Line = serde_json::from_value(value.clone()).map_err(unreadable)?;
        self.heard = Instant::now();
        let Some(facts) = &mut self.known.facts else {
            self.ping(&line.server);
            self.known.facts = Some(Facts::new(line));
            self.draw()?;
            return Ok(false);
        };
        facts.add(line);
        self.known.round_trips = self.round_trips.lock().clone();
        match &self.output {
            Output::Json => self.report.step("second", value, ""),
            Output::Lines => self.report.text(&facts.line()),
            Output::Printed => {
                let view = View { facts, round_trips: &self.known.round_trips, state: State::Printed };
                let (width, height) = PRINTED;
                self.report.text(&format!("{}\n", view.text(width, height)));
            }
            Output::Terminal { .. } => self.draw()?,
        }
        Ok(true)
    }

    /// Draws on the terminal, if there is one and something to show.
    fn draw(&mut self) -> Result<(), Failure> {
        let Output::Terminal { screen, .. } = &mut self.output else { return Ok(()) };
        let silence = self.heard.elapsed();
        let state = match self.paused {
            Some(_) => State::Paused,
            None if silence >= SILENT_AFTER => State::Silent(silence),
            None => State::Live,
        };
        let Known { facts, round_trips } = self.paused.as_ref().unwrap_or(&self.known);
        let Some(facts) = facts else { return Ok(()) };
        let view = View { facts, round_trips, state };
        screen.draw(|area, buffer| view.draw(area, buffer)).map_err(Failure::System)
    }

    /// Starts to ask the server itself how long it takes, where that is shown.
    fn ping(&self, server: &str) {
        let is_shown = matches!(self.output, Output::Terminal { .. } | Output::Printed);
        let (Ok(server), true) = (server.parse::<SocketAddr>(), is_shown) else { return };
        let round_trips = Arc::clone(&self.round_trips);
        tokio::spawn(async move {
            let Ok(mut pinger) = Pinger::new(here(server)).await else { return };
            loop {
                if let Ok(pong) = pinger.ping(PATIENCE).await {
                    round_trips.lock().add(pong.map(|pong| pong.round_trip));
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
        // Such a server has both families, and the host perhaps not.
        IpAddr::V6(ip)
            if ip.is_unspecified() && std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() =>
        {
            Ipv4Addr::LOCALHOST.into()
        }
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, server.port())
}
