//! The loop's way through proxies: headers off what comes in and before what goes out, and a word to the operator.

use std::net::SocketAddr;

use roundtable_proto::Instant;
use roundtable_proto::proxy::{Gate, Refusal, Refusals};
use roundtable_proto::server::Path;

use super::{Server, engine};

/// Hands a datagram, which may have the header of a proxy, to the engine, and to `note` who sent it and what.
pub(super) fn handle(
    gate: &mut Gate,
    engine: &mut engine::Server,
    now: Instant,
    path: Path,
    datagram: &[u8],
    note: impl Fn(SocketAddr, &[u8]),
) {
    let admitted = match gate.admit(now, path, datagram) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            log::trace!("{} bytes from {}: {refusal}", datagram.len(), path.remote);
            return;
        }
    };
    note(admitted.path.remote, admitted.datagram);
    if let Some(asked) = admitted.opened {
        engine.open_way(admitted.path.via, asked);
    }
    let outcome = engine.handle_datagram(now, admitted.path, admitted.datagram);
    log::trace!("{} bytes from {}: {outcome:?}", admitted.datagram.len(), admitted.path.remote);
}

impl Server {
    /// Lets go of ways through proxies that no peer needs.
    pub(super) fn settle(&mut self, now: Instant) {
        if let Some(gate) = &mut self.gate {
            gate.settle(now, |via| self.engine.is_held(via));
        }
    }

    /// Warns of datagrams that were refused for their headers, now and then: either the configuration does not fit the
    /// proxies, or somebody forges them.
    pub(super) fn look_at_headers(&mut self) {
        let Some(gate) = &self.gate else { return };
        let (before, now) = (self.transport.refused_headers, gate.refusals());
        self.transport.refused_headers = now;
        let since = |reason| now.of(reason) - before.of(reason);
        if since(Refusal::Untrusted) > 0 {
            log::warn!(
                "{} datagrams with the header of a proxy came from where no proxy is (trustedproxies)",
                since(Refusal::Untrusted)
            );
        }
        if since(Refusal::Missing) > 0 {
            log::warn!(
                "{} datagrams of trusted proxies had no header (proxyprotocol)",
                since(Refusal::Missing)
            );
        }
        let others = refused(&now) - refused(&before);
        if others > 0 {
            log::warn!("{others} datagrams of trusted proxies were refused: {}", reasons(&now, &before));
        }
    }
}

/// The reasons that have no warning of their own.
fn others() -> impl Iterator<Item = Refusal> {
    let own = [Refusal::Untrusted, Refusal::Missing, Refusal::Gone];
    Refusal::ALL.into_iter().filter(move |reason| !own.contains(reason))
}

fn refused(refusals: &Refusals) -> u64 {
    others().map(|reason| refusals.of(reason)).sum()
}

/// Names the reasons that have come up.
fn reasons(now: &Refusals, before: &Refusals) -> String {
    let new = others().filter(|reason| now.of(*reason) > before.of(*reason));
    new.map(Refusal::name).collect::<Vec<_>>().join(", ")
}
