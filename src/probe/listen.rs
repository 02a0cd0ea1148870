//! `roundtable-probe listen`.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use super::arguments::Listen;
use super::failure::Failure;
use super::report::{Report, millis, shown};
use super::target;
use crate::client::{Call, CallEvent, ClientError, IncomingCall};

/// How long a finished call is followed for candidates and paths that come late.
const FOLLOWED: Duration = Duration::from_secs(6);

/// What offers are answered with.
enum Reply {
    Echo,
    Decline,
    With(Bytes),
}

pub(super) async fn run(report: &Report, listen: Listen) -> Result<(), Failure> {
    let reply = match (&listen.answer, listen.decline) {
        (_, true) => Reply::Decline,
        (Some(path), false) => Reply::With(target::blob(path)?),
        (None, false) => Reply::Echo,
    };
    let server = target::resolve(&listen.server).await?;
    let identifier = target::identity(listen.id)?;
    let wait = Duration::from_secs(listen.timeout);
    let (client, mut incoming, observed) = target::registered(server, identifier, wait).await?;
    let fields = json!({ "id": identifier.to_string(), "observed": observed.to_string() });
    report.step("listening", fields, &format!("listening as {identifier}, seen at {observed}"));
    report.text(&format!("              call it: roundtable-probe call {} {identifier}", listen.server));
    let mut taken = 0;
    while listen.count.is_none_or(|count| taken < count) {
        tokio::select! {
            call = incoming.accept() => {
                let Some(mut call) = call else { return Err(Failure::Client(ClientError::Ended)) };
                taken += 1;
                take(report, &mut call, &reply, listen.save.as_deref()).await?;
                let last = listen.count.is_some_and(|count| taken >= count);
                follow(report, call.call(), if last { FOLLOWED } else { Duration::ZERO }).await;
            }
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.map_err(Failure::System)?;
                break;
            }
        }
    }
    client.unregister().await.map_err(Failure::Client)
}

/// Shows one offer and answers it.
async fn take(
    report: &Report,
    call: &mut IncomingCall,
    reply: &Reply,
    save: Option<&Path>,
) -> Result<(), Failure> {
    let id = call.id();
    let observed = call.observed.map_or_else(|| "none".to_owned(), |address| address.to_string());
    let fields = json!({
        "offer": id.to_string(), "from": call.from.to_string(), "observed": observed, "bytes": call.offer.len(),
    });
    let text = format!("offer {id}: {} bytes from {}, seen at {observed}", call.offer.len(), call.from);
    report.step("offered", fields, &text);
    if let Some(directory) = save {
        let path = directory.join(format!("{id}.sdp"));
        std::fs::write(&path, &call.offer).map_err(|error| Failure::File { path, error })?;
    }
    let started = Instant::now();
    let (bytes, answered) = match reply {
        Reply::Decline => (0, call.decline().await),
        Reply::Echo => (call.offer.len(), call.answer(call.offer.clone()).await),
        Reply::With(answer) => (answer.len(), call.answer(answer.clone()).await),
    };
    let took = started.elapsed();
    match answered {
        Ok(()) => {
            let fields = json!({ "offer": id.to_string(), "bytes": bytes, "took_ms": millis(took) });
            let text = match reply {
                Reply::Decline => format!("declined, acknowledged after {}", shown(took)),
                Reply::Echo | Reply::With(_) => {
                    format!("answered with {bytes} bytes, all there after {}", shown(took))
                }
            };
            report.step("answered", fields, &text);
        }
        // One call that fails is no reason to stop listening.
        Err(error) => {
            let fields = json!({ "offer": id.to_string(), "reason": error.to_string() });
            report.step("answer_failed", fields, &format!("the answer did not arrive: {error}"));
        }
    }
    Ok(())
}

/// Shows what still comes in a call.
async fn follow(report: &Report, call: &mut Call, patience: Duration) {
    let id = call.id().to_string();
    while let Ok(Some(event)) = tokio::time::timeout(patience, call.next()).await {
        match event {
            CallEvent::Candidate { number, message } => {
                let text = String::from_utf8_lossy(&message);
                let fields = json!({ "offer": id, "number": number, "message": text });
                report.step("candidate", fields, &format!("candidate {number}: {text}"));
            }
            CallEvent::Path(path) => {
                let fields = json!({ "offer": id, "peer": path.peer.to_string(), "round_trip_ms": millis(path.round_trip) });
                report.step(
                    "path",
                    fields,
                    &format!("direct path to {}, {}", path.peer, shown(path.round_trip)),
                );
            }
            CallEvent::PunchFailed(reason) => {
                report.step("punch_failed", json!({ "offer": id }), &format!("no direct path: {reason}"));
            }
            CallEvent::Delivered | CallEvent::Ended(_) | CallEvent::CandidatesFailed(_) => {}
        }
    }
}
