//! `roundtable-probe call`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use super::arguments::Call;
use super::failure::Failure;
use super::follow::{follow, show_path};
use super::report::{Report, millis, shown};
use super::session::Session;
use super::target;
use crate::client::Client;

pub(super) async fn run(report: &Report, call: Call) -> Result<(), Failure> {
    let offer = target::blob(&call.offer)?;
    let session = Session::open(&call.server, call.id, Duration::from_secs(call.timeout)).await?;
    let (identifier, observed) = (session.identifier, session.observed);
    let fields = json!({ "id": identifier.to_string(), "observed": observed.to_string() });
    report.step("registered", fields, &format!("registered as {identifier}, seen at {observed}"));
    session.close_after(async |client, _incoming| place(report, client, &call, offer).await).await
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
    let fields = json!({ "offer": id.to_string(), "took_ms": millis(took) });
    report.step("delivered", fields, &format!("delivered after {}", shown(took)));
    let answer = call.answered().await.map_err(failed)?;
    let took = started.elapsed();
    let from = answer.observed.map_or_else(|| "none".to_owned(), |address| address.to_string());
    let mut fields = json!({
        "offer": id.to_string(), "bytes": answer.blob.len(), "observed": from, "took_ms": millis(took),
    });
    let description = String::from_utf8_lossy(&answer.blob);
    if asked.save.is_none() {
        fields["answer"] = description.as_ref().into();
    }
    let text =
        format!("answered after {}: {} bytes from a peer seen at {from}", shown(took), answer.blob.len());
    report.step("answered", fields, &text);
    match &asked.save {
        Some(path) => {
            std::fs::write(path, &answer.blob).map_err(|error| Failure::File { path: path.clone(), error })?
        }
        None => report.text(&description),
    }
    for message in &asked.candidate {
        call.candidate(message.clone().into()).await.map_err(failed)?;
    }
    if asked.punch {
        show_path(report, &id.to_string(), call.punch().await.map_err(failed)?);
    }
    // What the other side repeats is acknowledged meanwhile.
    follow(report, &mut call, Duration::from_secs(asked.follow)).await;
    Ok(())
}
