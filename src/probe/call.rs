//! `roundtable-probe call`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use super::arguments::Call;
use super::failure::Failure;
use super::report::{Report, millis, shown};
use super::target;
use crate::client::Client;

/// How long the client stays after a call, so that lost acknowledgements can be repeated.
const LINGER: Duration = Duration::from_millis(300);

pub(super) async fn run(report: &Report, call: Call) -> Result<(), Failure> {
    let offer = target::blob(&call.offer)?;
    let server = target::resolve(&call.server).await?;
    let identifier = target::identity(call.id)?;
    let wait = Duration::from_secs(call.timeout);
    let (client, _incoming, observed) = target::registered(server, identifier, wait).await?;
    let fields = json!({ "id": identifier.to_string(), "observed": observed.to_string() });
    report.step("registered", fields, &format!("registered as {identifier}, seen at {observed}"));
    let placed = place(report, &client, &call, offer).await;
    // The registration must not outlive the probe, whatever became of the call.
    let ended = client.unregister().await.map_err(Failure::Client);
    placed.and(ended)
}

async fn place(report: &Report, client: &Client, asked: &Call, offer: Bytes) -> Result<(), Failure> {
    let peer = asked.peer;
    let failed = |error| Failure::call(peer, error);
    let started = Instant::now();
    let bytes = offer.len();
    let mut call = client.call(peer, offer).await.map_err(failed)?;
    let id = call.id();
    let fields = json!({ "offer": id.to_string(), "to": peer.to_string(), "bytes": bytes });
    report.step("offering", fields, &format!("offer {id}: {bytes} bytes to {peer}"));
    call.delivered().await.map_err(failed)?;
    let took = started.elapsed();
    report.step("delivered", json!({ "took_ms": millis(took) }), &format!("delivered after {}", shown(took)));
    let answer = call.answered().await.map_err(failed)?;
    let took = started.elapsed();
    let from = answer.observed.map_or_else(|| "none".to_owned(), |address| address.to_string());
    let fields = json!({
        "offer": id.to_string(), "bytes": answer.blob.len(), "observed": from, "took_ms": millis(took),
    });
    let text =
        format!("answered after {}: {} bytes from a peer seen at {from}", shown(took), answer.blob.len());
    report.step("answered", fields, &text);
    match &asked.save {
        Some(path) => {
            std::fs::write(path, &answer.blob).map_err(|error| Failure::File { path: path.clone(), error })?
        }
        None => report.text(&String::from_utf8_lossy(&answer.blob)),
    }
    for message in &asked.candidate {
        call.candidate(message.clone().into()).await.map_err(failed)?;
    }
    if asked.punch {
        let path = call.punch().await.map_err(failed)?;
        let fields = json!({ "peer": path.peer.to_string(), "round_trip_ms": millis(path.round_trip) });
        report.step("path", fields, &format!("direct path to {}, {}", path.peer, shown(path.round_trip)));
    }
    tokio::time::sleep(LINGER).await;
    Ok(())
}
