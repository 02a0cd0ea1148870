//! One call between the two hosts of a lab, by the probe, and what came of it on either side.

use std::time::Duration;

use roundtable_signalling::client::FailReason;
use serde_json::Value;

use crate::nat::Lab;
use crate::program::Running;

pub(crate) const PROBE: &str = env!("CARGO_BIN_EXE_roundtable-probe");
pub(crate) const SERVER: &str = env!("CARGO_BIN_EXE_signallingserver");
/// Seconds a side goes on looking at its call: longer than any of them may take.
const FOLLOW: &str = "20";

/// Seconds a side waits for the server: long, since much of what it sends may be lost.
const TIMEOUT: &str = "50";
/// From one call to the next, so that they do not all start their programs at once.
const APART: Duration = Duration::from_millis(40);

/// What one side says of the direct path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Side {
    /// It has one.
    Path {
        /// The other side's address.
        peer: String,
        /// From the answer.
        took_ms: f64,
    },
    /// It has none.
    Failed { reason: String, took_ms: f64 },
}

/// What a call came to.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) alice: Side,
    pub(crate) bob: Side,
    /// Where the server saw each before the call.
    observed: [String; 2],
}

impl Trial {
    /// Tells whether both sides have failed, and say why in these words.
    pub(crate) fn failed_for(&self, reasons: [FailReason; 2]) -> bool {
        let says = |side: &Side, why: FailReason| match side {
            Side::Failed { reason, .. } => reason.contains(&why.to_string()),
            Side::Path { .. } => false,
        };
        says(&self.alice, reasons[0]) && says(&self.bob, reasons[1])
    }

    pub(crate) fn succeeded(&self) -> bool {
        matches!((&self.alice, &self.bob), (Side::Path { .. }, Side::Path { .. }))
    }

    /// Tells whether either side met the other at another port than the server's, which a cone gives a fresh one.
    pub(crate) fn is_by_fresh_port(&self) -> bool {
        let is_at =
            |side: &Side, observed: &String| matches!(side, Side::Path { peer, .. } if peer == observed);
        self.succeeded() && !(is_at(&self.alice, &self.observed[1]) && is_at(&self.bob, &self.observed[0]))
    }

    /// Tells whether both sides meet by IPv6.
    pub(crate) fn is_by_ipv6(&self) -> bool {
        [&self.alice, &self.bob]
            .iter()
            .all(|side| matches!(side, Side::Path { peer, .. } if peer.starts_with('[')))
    }

    /// Milliseconds until both knew.
    pub(crate) fn took_ms(&self) -> f64 {
        let of = |side: &Side| match side {
            Side::Path { took_ms, .. } | Side::Failed { took_ms, .. } => *took_ms,
        };
        of(&self.alice).max(of(&self.bob))
    }
}

/// Two peers that have not called yet.
pub(crate) struct Pair<'a> {
    lab: &'a Lab,
    bob: Running,
    bob_id: String,
    bob_observed: String,
}

impl<'a> Pair<'a> {
    /// Lets bob listen.
    pub(crate) fn listening(lab: &'a Lab) -> Self {
        let [_, server] = lab.servers();
        Self::listening_at(lab, &server)
    }

    /// The same at another address of the server.
    pub(crate) fn listening_at(lab: &'a Lab, server: &str) -> Self {
        let [_, witness] = lab.witnesses();
        let words = [
            PROBE,
            "--json",
            "listen",
            server,
            "--witness",
            &witness,
            "--count",
            "1",
            "--follow",
            FOLLOW,
            "--timeout",
            TIMEOUT,
        ];
        let mut bob = lab.start("bob", words);
        let line = json(&bob.line_with("\"listening\""));
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let (bob_id, bob_observed) = (text("id"), text("observed"));
        Self { lab, bob, bob_id, bob_observed }
    }

    /// Lets alice call, up to where she registers and offers.
    pub(crate) fn call(self) -> Calling {
        let [server, _] = self.lab.servers();
        self.call_at(&server)
    }

    /// The same at another address of the server.
    pub(crate) fn call_at(self, server: &str) -> Calling {
        let [witness, _] = self.lab.witnesses();
        let words = [
            PROBE,
            "--json",
            "call",
            server,
            &self.bob_id,
            "--punch",
            "--witness",
            &witness,
            "--follow",
            FOLLOW,
            "--timeout",
            TIMEOUT,
        ];
        let mut alice = self.lab.start("alice", words);
        let line = json(&alice.line_with("\"registered\""));
        let observed = [line["observed"].as_str().unwrap().to_owned(), self.bob_observed];
        Calling { alice, bob: self.bob, observed }
    }
}

/// A call on its way.
pub(crate) struct Calling {
    pub(crate) alice: Running,
    pub(crate) bob: Running,
    observed: [String; 2],
}

impl Calling {
    /// Waits until both sides know.
    pub(crate) fn finish(mut self) -> Trial {
        let alice = side(&mut self.alice);
        Trial { alice, bob: side(&mut self.bob), observed: self.observed }
    }
}

/// Makes a call from registration to path.
fn run(lab: &Lab) -> Trial {
    Pair::listening(lab).call().finish()
}

/// Makes so many calls at once.
pub(crate) fn many(lab: &Lab, calls: usize) -> Vec<Trial> {
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..calls)
            .map(|_| {
                std::thread::sleep(APART);
                scope.spawn(|| run(lab))
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    })
}

/// Reads what a side says, from the answer on.
fn side(running: &mut Running) -> Side {
    let at = |line: &Value| line["at_ms"].as_f64().unwrap();
    let mut start = None;
    loop {
        let line = running.line_with_any(&["\"answered\"", "\"path\"", "punch_failed", "failed\""]);
        let line = json(&line);
        let took_ms = at(&line) - start.unwrap_or_else(|| at(&line));
        match line["event"].as_str().unwrap() {
            "answered" => start = Some(at(&line)),
            "path" => return Side::Path { peer: line["peer"].as_str().unwrap().to_owned(), took_ms },
            _ => {
                let reason = line["reason"].as_str().or(line["message"].as_str()).unwrap_or_default();
                return Side::Failed { reason: reason.to_owned(), took_ms };
            }
        }
    }
}

pub(crate) fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}
