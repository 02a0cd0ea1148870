//! A call to oneself: everything that a call needs but the other side.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use roundtable_proto::client::OfferError;
use roundtable_proto::wire::{BLOB_MAX, FRAGMENT, PeerId};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::sheet::{Fault, Finding};
use super::visitor::new_key;
use crate::client::{Call, Client, ClientError};
use crate::probe::failure::Failure;
use crate::probe::identity::Sealing;
use crate::probe::report::{millis, shown};
use crate::probe::session;
use crate::seed;

/// Offers the largest blob that the server takes to a second client of this process, which sends it back.
pub(super) async fn examine(server: SocketAddr, client: &Client, maxblob: u32, until: Instant) -> Finding {
    let start = Instant::now();
    match timeout_at(until, talk(server, client, maxblob, until)).await {
        Err(_) => Finding::failed(
            "call",
            Fault::Call,
            format!("a call to itself was not over within {}", shown(start.elapsed())),
            "too much is lost, or the server is overloaded: see the steps above",
        ),
        Ok(Err(failure)) => Finding::failed(
            "call",
            Fault::Call,
            format!("a call to itself fails: {}", reason(&failure)),
            "see the steps above; if they are well, ask the server's operator",
        ),
        Ok(Ok(Talk { bytes, took, retransmissions })) => Finding::ok(
            "call",
            format!(
                "a call to itself works: {bytes} bytes there and back, sealed, in {}; {retransmissions} datagrams were \
                 repeated",
                shown(took)
            ),
        )
        .with(json!({ "bytes": bytes, "took_ms": millis(took), "retransmissions": retransmissions })),
    }
}

/// Says it without advice about another side, which there is not.
fn reason(failure: &Failure) -> String {
    if let Failure::Call { reason, .. } = failure { reason.to_string() } else { failure.to_string() }
}

struct Talk {
    bytes: usize,
    took: Duration,
    retransmissions: u64,
}

async fn talk(server: SocketAddr, client: &Client, maxblob: u32, until: Instant) -> Result<Talk, Failure> {
    let key = new_key().map_err(Failure::System)?;
    let other = key.identifier();
    let wait = until.saturating_duration_since(Instant::now());
    let (callee, mut incoming, _) = session::registered(server, key.into(), wait).await?;
    let offer = incompressible(BLOB_MAX.min(maxblob as usize))?;
    let start = Instant::now();
    let (mut call, offer) = place(client, other, offer).await?;
    let echo = async {
        let mut ringing = incoming.accept().await?;
        let offer = ringing.offer.clone();
        Some(ringing.answer(offer).await)
    };
    let (answer, echoed) = tokio::join!(call.answered(), echo);
    let answer = answer.map_err(|error| Failure::call(other, Sealing::Sealed, error))?;
    let took = start.elapsed();
    if answer.blob != offer {
        return Err(Failure::Damaged { what: "answer" });
    }
    if let Some(Err(error)) = echoed {
        return Err(Failure::Client(error));
    }
    let counters = [client.counters().await, callee.counters().await];
    let repeated = counters.iter().flatten().map(|counters| counters.retransmissions).sum();
    callee.unregister().await.map_err(Failure::Client)?;
    Ok(Talk { bytes: offer.len(), took, retransmissions: repeated })
}

/// Offers it, less what sealing adds where it would be too long.
async fn place(client: &Client, to: PeerId, mut offer: Bytes) -> Result<(Call, Bytes), Failure> {
    for _ in 0..2 {
        match client.call(to, offer.clone()).await {
            Err(ClientError::Offer(OfferError::SealedTooLarge { limit, had })) => {
                offer.truncate(offer.len().saturating_sub(had - limit));
            }
            placed => {
                let call = placed.map_err(|error| Failure::call(to, Sealing::Sealed, error))?;
                return Ok((call, offer));
            }
        }
    }
    let call = client.call(to, offer.slice(..offer.len().min(FRAGMENT / 2))).await;
    let call = call.map_err(|error| Failure::call(to, Sealing::Sealed, error))?;
    Ok((call, offer.slice(..offer.len().min(FRAGMENT / 2))))
}

/// Bytes that sealing cannot pack.
fn incompressible(length: usize) -> Result<Bytes, Failure> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        bytes.extend(seed::draw().map_err(Failure::System)?.0);
    }
    bytes.truncate(length);
    Ok(bytes.into())
}
