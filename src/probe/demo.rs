//! `roundtable-probe demo`: a server and two peers in one process, over real sockets on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundtable_proto::wire::{PeerId, fragment_count};
use serde_json::json;
use tokio::sync::oneshot;

use super::arguments::Demo;
use super::failure::Failure;
use super::identity::{self, Sealing};
use super::report::{Report, millis, shown};
use super::session;
use crate::client::{Client, Incoming, IncomingCall};
use crate::config::Config;
use crate::server::{Server, Stats, StatsHandle};

/// How long each step may take before the demo counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Real session descriptions: what is offered, what is answered.
const CALLS: [(&str, &[u8], &[u8]); 2] = [
    (
        "pion, one audio track",
        include_bytes!("../../tests/data/pion3-audio-offer.sdp"),
        include_bytes!("../../tests/data/pion3-audio-answer.sdp"),
    ),
    (
        "aiortc, 20 audio tracks on 10 interfaces",
        include_bytes!("../../tests/data/aiortc-audio-x20-10if-offer.sdp"),
        include_bytes!("../../tests/data/aiortc-audio-x20-10if-answer.sdp"),
    ),
];

struct Peer {
    name: &'static str,
    identifier: PeerId,
    client: Client,
    incoming: Incoming,
}

pub(super) async fn run(report: &Report, Demo {}: Demo) -> Result<(), Failure> {
    let config = Config { localport: 0, localaddress: Some(Ipv4Addr::LOCALHOST.into()), ..Config::default() };
    let server = Server::bind(&config).map_err(|error| Failure::System(std::io::Error::other(error)))?;
    let (address, stats) = (server.local_addr(), server.stats());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async { drop(stopped.await) }));
    report.step(
        "listening",
        json!({ "server": address.to_string() }),
        &format!("server   listening on {address}"),
    );

    let alice = join(report, "alice", address).await?;
    let mut bob = join(report, "bob", address).await?;
    for (title, offer, answer) in CALLS {
        report.text(&format!("\n{title}: {} bytes offered, {} answered", offer.len(), answer.len()));
        exchange(report, &alice, &mut bob, &stats, offer, answer).await?;
    }

    report.text("");
    for peer in [&alice, &bob] {
        peer.client.unregister().await.map_err(Failure::Client)?;
    }
    drop(stop);
    serving.await.map_err(|error| Failure::System(error.into()))?.map_err(Failure::System)?;
    let total = stats.snapshot().counters;
    let ratio = total.bytes_out as f64 / total.bytes_in.max(1) as f64;
    let fields =
        json!({ "outcome": "ok", "bytes_in": total.bytes_in, "bytes_out": total.bytes_out, "ratio": ratio });
    let text = format!(
        "outcome  OK: {} calls, every byte as it was sent; server in {} bytes, out {} bytes, out/in {ratio:.3}",
        CALLS.len(),
        total.bytes_in,
        total.bytes_out,
    );
    report.step("outcome", fields, &text);
    Ok(())
}

async fn join(report: &Report, name: &'static str, server: SocketAddr) -> Result<Peer, Failure> {
    let identifier = identity::random()?;
    let (client, incoming, observed) = session::registered(server, identifier.into(), PATIENCE).await?;
    let fields = json!({ "peer": name, "id": identifier.to_string(), "observed": observed.to_string() });
    report.step("registered", fields, &format!("{name:8} registered as {identifier}, seen at {observed}"));
    Ok(Peer { name, identifier, client, incoming })
}

/// One whole call: offer, answer, direct path.
async fn exchange(
    report: &Report,
    caller: &Peer,
    callee: &mut Peer,
    stats: &StatsHandle,
    offer: &'static [u8],
    answer: &'static [u8],
) -> Result<(), Failure> {
    let before = stats.snapshot();
    let started = Instant::now();
    let sealing = Sealing::between(caller.identifier, callee.identifier);
    let failed = |error| Failure::call(callee.identifier, sealing, error);
    let mut call = caller.client.call(callee.identifier, Bytes::from_static(offer)).await.map_err(failed)?;
    let fragments = fragment_count(offer.len());
    let text = format!("{:8} offers {} bytes in {fragments} fragments, {sealing}", caller.name, offer.len());
    let fields = json!({ "bytes": offer.len(), "fragments": fragments, "sealed": sealing.is_sealed() });
    report.step("offering", fields, &text);

    let mut ringing = accept(&mut callee.incoming).await?;
    same(&ringing.offer, offer, "offer")?;
    let took = started.elapsed();
    let text = format!("{:8} has the offer after {}", callee.name, shown(took));
    report.step("offered", json!({ "bytes": ringing.offer.len(), "took_ms": millis(took) }), &text);

    let (delivered, answered) = tokio::join!(ringing.answer(Bytes::from_static(answer)), call.answered());
    let answered = answered.map_err(failed)?;
    delivered.map_err(failed)?;
    same(&answered.blob, answer, "answer")?;
    let took = started.elapsed();
    let text = format!("{:8} has the answer after {}", caller.name, shown(took));
    report.step("answered", json!({ "bytes": answered.blob.len(), "took_ms": millis(took) }), &text);

    let (ours, theirs) = tokio::join!(call.punch(), ringing.call().path());
    let (ours, theirs) = (ours.map_err(failed)?, theirs.map_err(failed)?);
    let fields = json!({ "caller_to": ours.peer.to_string(), "callee_to": theirs.peer.to_string(), "round_trip_ms": millis(ours.round_trip) });
    let text =
        format!("both     have a direct path: {} <-> {}, {}", theirs.peer, ours.peer, shown(ours.round_trip));
    report.step("path", fields, &text);
    tell_cost(report, &before, &stats.snapshot());
    Ok(())
}

async fn accept(incoming: &mut Incoming) -> Result<IncomingCall, Failure> {
    let lost = || Failure::Damaged { what: "offer" };
    tokio::time::timeout(PATIENCE, incoming.accept()).await.map_err(|_| lost())?.ok_or_else(lost)
}

fn same(arrived: &[u8], sent: &[u8], what: &'static str) -> Result<(), Failure> {
    if arrived == sent { Ok(()) } else { Err(Failure::Damaged { what }) }
}

fn tell_cost(report: &Report, before: &Stats, after: &Stats) {
    let (before, after) = (&before.counters, &after.counters);
    let (datagrams_in, datagrams_out) =
        (after.datagrams_in - before.datagrams_in, after.datagrams_out - before.datagrams_out);
    let (bytes_in, bytes_out) = (after.bytes_in - before.bytes_in, after.bytes_out - before.bytes_out);
    let ratio = bytes_out as f64 / bytes_in.max(1) as f64;
    let fields = json!({
        "datagrams_in": datagrams_in, "datagrams_out": datagrams_out, "bytes_in": bytes_in, "bytes_out": bytes_out,
        "ratio": ratio,
    });
    let text = format!(
        "server   in {bytes_in} bytes ({datagrams_in} datagrams), out {bytes_out} ({datagrams_out}), out/in {ratio:.3}"
    );
    report.step("cost", fields, &text);
}
