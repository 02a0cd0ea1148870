//! `roundtable-probe call`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use roundtable_proto::client::OFFER_LINGER;
use roundtable_proto::identity::Identity;
use roundtable_proto::wire::PeerId;
use serde_json::json;

use super::arguments::Call;
use super::examine::Part;
use super::failure::Failure;
use super::follow::{follow, show_path};
use super::identity::{self, Destination, Sealing};
use super::progress::Shown;
use super::report::{Report, millis, shown};
use super::session::Session;
use super::target;
use crate::client::{self, Client, Transfer};

pub(super) async fn run(report: &Report, call: Call) -> Result<(), Failure> {
    let destination = Destination::read(&call.target, call.peer.as_deref())?;
    let offer = target::blob(&call.offer)?;
    let identity = identity::own(report, call.id, call.key.as_deref())?;
    let wait = Duration::from_secs(call.timeout);
    let session = reach(report, &destination, call.witness.as_deref(), identity, wait).await?;
    let (identifier, observed) = (session.identifier, session.observed);
    let fields = json!({ "id": identifier.to_string(), "observed": observed.to_string() });
    report.step("registered", fields, &format!("registered as {identifier}, seen at {observed}"));
    let peer = destination.peer;
    let sealing = Sealing::between(identifier, peer);
    let work = async |client: &Client, _: &mut _| place(report, client, &call, (peer, sealing), offer).await;
    session.close_after(work).await
}

/// Registers at the first of the servers that takes this client.
async fn reach(
    report: &Report,
    destination: &Destination,
    witness: Option<&str>,
    identity: Identity,
    wait: Duration,
) -> Result<Session, Failure> {
    let mut server = &destination.server;
    let mut opened = Session::open_with(server, witness, identity.clone(), wait).await;
    for next in &destination.further {
        match opened {
            Err(failure) if failure.is_the_servers() => {
                let fields = json!({ "server": server, "reason": failure.to_string() });
                report.step("skipped", fields, &format!("not at {server}: {failure}"));
            }
            Ok(_) | Err(_) => return opened,
        }
        server = next;
        opened = Session::open_with(server, witness, identity.clone(), wait).await;
    }
    opened
}

async fn place(
    report: &Report,
    client: &Client,
    asked: &Call,
    (peer, sealing): (PeerId, Sealing),
    offer: Bytes,
) -> Result<(), Failure> {
    let failed = |error| Failure::call(peer, sealing, error);
    let partly = |transfer, error, call: &client::Call| {
        let part = Part::of(transfer, error, call.progress().now())?;
        Some(Failure::Partly { peer, transfer, part })
    };
    let started = Instant::now();
    let bytes = offer.len();
    let mut call = client.call(peer, offer).await.map_err(failed)?;
    let id = call.id();
    let fields = json!({
        "offer": id.to_string(), "to": peer.to_string(), "bytes": bytes, "sealed": sealing.is_sealed(),
    });
    report.step("offering", fields, &format!("offer {id}: {bytes} bytes to {peer}, {sealing}"));
    let mut progress = Shown::new(*report, (id, None), call.progress());
    let delivered = progress.during(call.delivered()).await;
    delivered.map_err(|error| partly(Transfer::Offer, error, &call).unwrap_or_else(|| failed(error)))?;
    let patience = patience(client, asked.follow).await?;
    let took = started.elapsed();
    let fields = json!({ "offer": id.to_string(), "took_ms": millis(took) });
    report.step("delivered", fields, &format!("delivered after {}", shown(took)));
    let answered = progress.during(call.answered()).await;
    let answer =
        answered.map_err(|error| partly(Transfer::Answer, error, &call).unwrap_or_else(|| failed(error)))?;
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
    follow(report, &mut call, patience).await;
    Ok(())
}

/// How long to stay once the call is answered. Where the offer had to be repeated, the acknowledgement of the answer may be
/// lost too: who leaves at once has the other side believe that its answer never came.
async fn patience(client: &Client, follow: u64) -> Result<Duration, Failure> {
    let follow = Duration::from_secs(follow);
    let is_lossy = client.counters().await.map_err(Failure::Client)?.retransmissions > 0;
    Ok(if is_lossy && !follow.is_zero() { follow.max(OFFER_LINGER) } else { follow })
}
