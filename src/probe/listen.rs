//! `roundtable-probe listen`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundtable_proto::peer_address::PeerAddress;
use roundtable_proto::wire::PeerId;
use serde_json::json;
use tokio::task::{JoinError, JoinSet};

use super::arguments::Listen;
use super::contacts;
use super::failure::Failure;
use super::follow::follow;
use super::identity::{self, Sealing};
use super::program::{self, Decision, Offered};
use super::progress::{Arrivals, Shown};
use super::report::{Report, millis, shown};
use super::session::Session;
use super::{standing, target};
use crate::client::{Arrival, Client, ClientError, Incoming, IncomingCall, RefusedOffer};

/// What is done with every offer.
#[derive(Clone)]
struct Manner {
    /// Who answers.
    own: PeerId,
    reply: Reply,
    /// Where offers are written to.
    save: Option<PathBuf>,
    /// How long an answered call is followed.
    follow: Duration,
}

/// What offers are answered with.
#[derive(Clone)]
enum Reply {
    Echo,
    Decline,
    With(Bytes),
    /// What this command says.
    Ask(String),
}

pub(super) async fn run(report: &Report, listen: Listen) -> Result<(), Failure> {
    let reply = match (&listen.answer, &listen.exec, listen.decline) {
        (_, _, true) => Reply::Decline,
        (Some(path), _, false) => Reply::With(target::blob(path)?),
        (None, Some(command), false) => Reply::Ask(command.clone()),
        (None, None, false) => Reply::Echo,
    };
    if let Some(directory) = &listen.save {
        std::fs::create_dir_all(directory)
            .map_err(|error| Failure::File { path: directory.clone(), error })?;
    }
    let identity = identity::own(report, listen.id, listen.key.as_deref())?;
    let own = identity.identifier();
    let manner = Manner { own, reply, save: listen.save, follow: Duration::from_secs(listen.follow) };
    let (witness, wait) = (listen.witness.as_deref(), Duration::from_secs(listen.timeout));
    let session = Session::open_with(&listen.server, witness, identity, wait).await?;
    tell(report, &session, &listen.server);
    let server = session.server;
    let work = async |client: &Client, incoming: &mut Incoming| {
        tokio::select! {
            answered = answer_all(report, incoming, &manner, listen.count) => answered,
            refused = standing::follow(report, client, server) => Err(refused),
        }
    };
    match session.close_after(work).await {
        // The way to end it.
        Ok(()) | Err(Failure::Interrupted { .. }) => {
            report.step("unregistered", json!({}), "unregistered");
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

/// Says under which identifier, and how to call it.
fn tell(report: &Report, session: &Session, server: &str) {
    let (identifier, observed) = (session.identifier, session.observed);
    // A name that only this machine knows does not go into an address; where the server is does.
    let name = target::server_name(server).or_else(|_| session.server.to_string().parse());
    let address = name.ok().and_then(|name| PeerAddress::new(identifier, vec![name]).ok());
    let address = address.map(|address| address.to_string());
    let fields =
        json!({ "id": identifier.to_string(), "observed": observed.to_string(), "address": address });
    report.step("listening", fields, &format!("listening as {identifier}, seen at {observed}"));
    match address {
        Some(address) => {
            report.text(&format!("              hand out: {address}"));
            // A shell may take the brackets of an IPv6 address for its own.
            report.text(&format!("              call it:  roundtable-probe call '{address}'"));
        }
        None => report.text(&format!("              call it:  roundtable-probe call {server} {identifier}")),
    }
}

/// Answers so many offers, each as it comes, whatever becomes of the others.
async fn answer_all(
    report: &Report,
    incoming: &mut Incoming,
    manner: &Manner,
    count: Option<u32>,
) -> Result<(), Failure> {
    let attended = |done: Result<_, JoinError>| done.map_err(|error| Failure::System(error.into()))?;
    let mut calls = JoinSet::new();
    let mut arrivals = Arrivals::new(*report, incoming.arriving());
    let mut taken = 0;
    while count.is_none_or(|count| taken < count) {
        tokio::select! {
            // An offer is taken before it is missing from those that arrive.
            biased;
            arrival = incoming.next() => match arrival.ok_or(Failure::Client(ClientError::Ended))? {
                Arrival::Offer(call) => {
                    taken += 1;
                    arrivals.arrived(&call.id());
                    calls.spawn(attend(*report, call, manner.clone()));
                }
                Arrival::Refused(refused) => {
                    arrivals.arrived(&refused.offer);
                    tell_refused(report, refused);
                }
            },
            Some(done) = calls.join_next() => attended(done)?,
            () = arrivals.show() => {}
        }
    }
    // What comes after the last one that was wanted is not left to ring.
    loop {
        tokio::select! {
            done = calls.join_next() => match done {
                Some(done) => attended(done)?,
                None => return Ok(()),
            },
            Some(arrival) = incoming.next() => match arrival {
                Arrival::Offer(call) => {
                    calls.spawn(attend(*report, call, Manner { reply: Reply::Decline, save: None, ..manner.clone() }));
                }
                Arrival::Refused(refused) => tell_refused(report, refused),
            },
        }
    }
}

/// Says that an offer came that could not be opened.
fn tell_refused(report: &Report, refused: RefusedOffer) {
    let RefusedOffer { offer, from, reason } = refused;
    let fields = json!({ "offer": offer.to_string(), "from": from.to_string(), "reason": reason.name() });
    report.step("offer_refused", fields, &format!("offer {offer} of {from} is refused: {reason}"));
}

/// Shows one offer, answers it, and shows what comes of it.
async fn attend(report: Report, mut call: IncomingCall, manner: Manner) -> Result<(), Failure> {
    let id = call.id();
    let sealing = Sealing::between(manner.own, call.from);
    let observed = call.observed.map_or_else(|| "none".to_owned(), |address| address.to_string());
    let fields = json!({
        "offer": id.to_string(), "from": call.from.to_string(), "observed": observed, "bytes": call.offer.len(),
        "sealed": sealing.is_sealed(),
    });
    let (bytes, from) = (call.offer.len(), call.from);
    let name = contacts::name_of(from).map(|name| format!(" ({name})")).unwrap_or_default();
    let text = format!("offer {id}: {bytes} bytes from {from}{name}, seen at {observed}, {sealing}");
    report.step("offered", fields, &text);
    if let Some(directory) = &manner.save {
        write(&directory.join(format!("{id}.sdp")), &call.offer)?;
    }
    let started = Instant::now();
    let reply = match manner.reply {
        Reply::Ask(command) => {
            let offered = Offered { offer: id, from, observed: call.observed, blob: call.offer.clone() };
            match program::decide(command, offered).await? {
                Decision::Answer(answer) => Reply::With(answer),
                Decision::Decline(why) => {
                    report.text(&format!("              it declines: {why}"));
                    Reply::Decline
                }
            }
        }
        Reply::Echo => Reply::With(call.offer.clone()),
        reply @ (Reply::Decline | Reply::With(_)) => reply,
    };
    let mut progress = Shown::new(report, (id, Some(from)), call.progress());
    let (bytes, answered) = match reply {
        Reply::With(answer) => (Some(answer.len()), progress.during(call.answer(answer)).await),
        // All others have become one of these.
        Reply::Decline | Reply::Echo | Reply::Ask(_) => (None, call.decline().await),
    };
    let took = started.elapsed();
    match (answered, bytes) {
        (Ok(()), Some(bytes)) => {
            let fields = json!({ "offer": id.to_string(), "bytes": bytes, "took_ms": millis(took) });
            let text = format!("answered with {bytes} bytes, all there after {}", shown(took));
            report.step("answered", fields, &text);
            follow(&report, call.call(), manner.follow).await;
        }
        (Ok(()), None) => {
            let fields = json!({ "offer": id.to_string(), "took_ms": millis(took) });
            report.step("declined", fields, &format!("declined, acknowledged after {}", shown(took)));
        }
        // One call that fails is no reason to stop listening.
        (Err(error), _) => {
            let fields = json!({ "offer": id.to_string(), "reason": error.to_string() });
            report.step(
                "answer_failed",
                fields,
                &format!("the answer is not known to have arrived: {error}"),
            );
        }
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, content).map_err(|error| Failure::File { path: path.to_owned(), error })
}
