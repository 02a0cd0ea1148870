//! PINGs in a row, and what came back of them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::Instant;
use roundtable_proto::wire::{
    self, ErrorCode, Frame, HEADER, Kind, MAGIC, Ping, TransactionId, VERSION, Zeros,
};

use super::asking::Asking;
use super::visitor::drawn;

/// PINGs to each address.
pub(super) const PINGS: u32 = 20;
/// Between two of them.
const APART: Duration = Duration::from_millis(50);
/// After the last, until it counts as lost.
const PATIENCE: Duration = Duration::from_millis(1200);
/// Bytes that are shown of an answer in another protocol.
const SHOWN: usize = 16;

/// What they brought.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) round_trips: Vec<Duration>,
    /// Where the server sees this host.
    pub(super) observed: Option<SocketAddr>,
    /// Another version that the server speaks.
    pub(super) version: Option<u8>,
    /// Something answers, but not this protocol.
    pub(super) foreign: Option<Vec<u8>>,
    /// What the system says.
    pub(super) error: Option<io::Error>,
}

impl Heard {
    /// Tells whether there was no answer of any kind.
    pub(super) fn is_nothing(&self) -> bool {
        let Self { round_trips, version, foreign, error, .. } = self;
        round_trips.is_empty() && version.is_none() && foreign.is_none() && error.is_none()
    }
}

/// PINGs under way.
pub(super) struct Pings {
    sent: Vec<(TransactionId, Instant)>,
    /// How many there were.
    number: u32,
    /// When the next one goes out, or the last counts as lost; none once that is over.
    next: Option<Instant>,
    pub(super) heard: Heard,
}

impl Pings {
    pub(super) fn new() -> Self {
        Self { sent: Vec::new(), number: 0, next: Some(Instant::ORIGIN), heard: Heard::default() }
    }

    fn end_with(&mut self, error: io::Error) {
        (self.heard.error, self.next) = (Some(error), None);
    }

    fn hear(&mut self, now: Instant, datagram: &[u8]) {
        let heard = &mut self.heard;
        match wire::decode(datagram) {
            Ok(Frame::Pong(pong)) => {
                let at = self.sent.iter().position(|(transaction, _)| *transaction == pong.transaction);
                let Some(at) = at else { return };
                let (_, when) = self.sent.swap_remove(at);
                heard.round_trips.push(now.since(when));
                heard.observed = pong.observed.socket_addr();
                if heard.round_trips.len() == PINGS as usize {
                    self.next = None;
                }
            }
            Ok(_) => {}
            Err(_) => match other_version(datagram) {
                Some(version) => (heard.version, self.next) = (Some(version), None),
                None => heard.foreign = Some(datagram[..datagram.len().min(SHOWN)].to_vec()),
            },
        }
    }
}

impl Asking for Pings {
    fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.next.filter(|next| *next <= now)?;
        if self.number == PINGS {
            self.next = None;
            return None;
        }
        let transaction = match drawn() {
            Ok(transaction) => transaction,
            Err(error) => {
                self.end_with(error);
                return None;
            }
        };
        self.number += 1;
        self.next = Some(now + if self.number < PINGS { APART } else { PATIENCE });
        self.sent.push((transaction, now));
        Some(Frame::Ping(Ping { transaction, zero: Zeros::ZERO }).to_vec())
    }

    fn take(&mut self, now: Instant, come: io::Result<&[u8]>) {
        match come {
            Ok(datagram) => self.hear(now, datagram),
            Err(error) => self.end_with(error),
        }
    }

    fn next(&self) -> Option<Instant> {
        self.next
    }
}

/// The version that a server speaks which refuses ours: its ERROR has the same layout in all versions. SPEC 6
fn other_version(datagram: &[u8]) -> Option<u8> {
    let [a, b, version, kind, ..] = *datagram else { return None };
    let is_error = [a, b] == MAGIC && version != VERSION && kind == Kind::Error.number();
    let code = datagram.get(HEADER + 16..HEADER + 18)?;
    let is_about_version = code == ErrorCode::Version.number().to_be_bytes();
    // The detail says which is spoken; what the header says is the same.
    (is_error && is_about_version).then(|| datagram.get(HEADER + 19).copied().unwrap_or(version))
}
