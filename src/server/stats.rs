//! What a server tells of itself.

use std::sync::Arc;

use parking_lot::Mutex;
use roundtable_proto::proxy::Refusals;
use roundtable_proto::server::Counters;

use crate::ports::Queues;
use crate::queue::Drops;

/// What a server has done and holds.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Registered peers.
    pub peers: u32,
    /// Open offers.
    pub offers: u32,
    /// The engine's counters.
    pub counters: Counters,
    /// The socket's counters.
    pub transport: Transport,
}

/// What happened at the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// Sends that failed: no room, no route, not permitted. What was to be sent is lost, as on any link.
    pub send_errors: u64,
    /// Receives that failed, mostly news about an unreachable peer.
    pub receive_errors: u64,
    /// Bytes that the kernel granted for the receive queue.
    pub receive_buffer: usize,
    /// Datagrams that the kernel dropped because the receive queue was full; zero where it does not tell. An upper bound
    /// where other sockets of the host lose some too.
    pub receive_drops: u64,
    /// Datagrams that the kernel dropped under a flood because the server told it to: none of its own, strangers', and those of
    /// peers that flood.
    pub receive_shed: u64,
    /// Datagrams that did not reach the engine, or did not leave it, because of the header of a proxy. They are not among
    /// the engine's counters.
    pub refused_headers: Refusals,
}

impl Transport {
    pub(super) const fn note(&mut self, drops: Drops) {
        (self.receive_drops, self.receive_shed) = (drops.full, drops.filtered);
    }
}

/// A view of a running server's statistics. Cheap to clone, good after the server's end.
#[derive(Clone, Debug)]
pub struct StatsHandle {
    pub(super) shared: Arc<Mutex<Stats>>,
    pub(super) queues: Queues,
}

impl StatsHandle {
    /// Returns the statistics as of the last time the loop had nothing to do, or a few milliseconds ago; the drops are
    /// the kernel's of now.
    #[must_use]
    pub fn snapshot(&self) -> Stats {
        let mut stats = self.shared.lock().clone();
        // After the server's end the kernel knows the socket no more, and the last count stands.
        if let Some(drops) = self.queues.drops() {
            stats.transport.note(drops);
        }
        stats
    }
}
