//! What a capture would see: hashed, handed to a tap, and the last of it remembered for messages of failure.

use std::collections::VecDeque;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use super::Seat;
use crate::Instant;
use crate::wire;

/// Datagrams that are remembered.
const RECENT: usize = 24;

/// Where a datagram was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// It arrived at the server.
    Server,
    /// It left the server.
    FromServer,
    /// It arrived at a client.
    Client(Seat),
    /// It left a client.
    FromClient(Seat),
}

/// A datagram in passing.
#[derive(Clone, Copy, Debug)]
pub struct Tapped<'a> {
    /// When.
    pub at: Instant,
    /// Where.
    pub point: Point,
    /// Its source, as seen there.
    pub from: SocketAddr,
    /// Its destination, as seen there.
    pub to: SocketAddr,
    /// The payload.
    pub contents: &'a [u8],
}

type Tap = Box<dyn FnMut(&Tapped<'_>)>;

#[derive(Default)]
pub(super) struct Trace {
    hash: u64,
    recent: VecDeque<(Instant, Point, SocketAddr, SocketAddr, Option<wire::Kind>, usize)>,
    tap: Option<Tap>,
}

impl Trace {
    pub(super) fn see(&mut self, tapped: &Tapped<'_>) {
        let Tapped { at, point, from, to, contents } = *tapped;
        // Its keys are fixed, so two runs of one program agree.
        let mut hasher = DefaultHasher::new();
        (self.hash, at, point, from, to, contents).hash(&mut hasher);
        self.hash = hasher.finish();
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        let kind = contents.get(3).copied().and_then(wire::Kind::from_number);
        self.recent.push_back((
            at,
            point,
            from,
            to,
            kind.filter(|_| wire::is_ours(contents)),
            contents.len(),
        ));
        if let Some(tap) = &mut self.tap {
            tap(tapped);
        }
    }

    pub(super) fn tap(&mut self, tap: Tap) {
        self.tap = Some(tap);
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn recent(&self) -> String {
        let mut text = String::new();
        for (at, point, from, to, kind, length) in &self.recent {
            let name = kind.map_or("?", wire::Kind::name);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {at} {point:?} {from} -> {to} {name} {length}");
        }
        text
    }
}
