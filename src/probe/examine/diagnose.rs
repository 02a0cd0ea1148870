//! `roundtable-probe diagnose`: follows one call hop by hop, and says which hop it does not get beyond.

use std::time::Duration;

use bytes::Bytes;
use roundtable_proto::client::FailReason;
use roundtable_proto::identity::Identity;
use roundtable_proto::seal::OpenError;
use roundtable_proto::wire::{ErrorCode, PeerId};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::addresses::Addresses;
use super::doctor;
use super::reach;
use super::sheet::{Fault, Finding, Sheet};
use crate::client::{Call, Client, ClientError, Outcome, Registration};
use crate::probe::arguments::Diagnose;
use crate::probe::failure::Failure;
use crate::probe::identity::{self, Peer, Sealing};
use crate::probe::report::{Report, millis, shown};
use crate::probe::{session, target};

/// For the registration.
const REGISTRATION: Duration = Duration::from_secs(5);
/// What is offered unless a file is named.
const OFFER: &[u8] = b"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=roundtable-probe diagnose\r\nt=0 0\r\n";
/// Beyond the server's own timeout: its notice comes first.
const MARGIN: Duration = Duration::from_secs(4);

pub(in crate::probe) async fn run(report: &Report, diagnose: Diagnose) -> Result<(), Failure> {
    let peer = Peer::read(&diagnose.peer)?;
    let servers = servers(&peer, diagnose.server.as_deref())?;
    let offer = match &diagnose.offer {
        Some(path) => target::blob(path)?,
        None => Bytes::from_static(OFFER),
    };
    let own = identity::own(report, diagnose.id, diagnose.key.as_deref())?;
    let sheet = Sheet::new(report);
    let peer = peer.identifier();
    sheet.note(address(peer, &servers));
    if let Some(hop) = register(&sheet, &servers, own, peer).await {
        hop.call(&sheet, offer).await;
        drop(timeout(Duration::from_millis(500), hop.client.unregister()).await);
    }
    sheet.conclude("the two can talk: nothing stops a call")
}

/// Where the peer is to be found: as the user says, or as its address does.
fn servers(peer: &Peer, named: Option<&str>) -> Result<Vec<String>, Failure> {
    match (named, peer) {
        (Some(server), _) => Ok(vec![server.to_owned()]),
        (None, Peer::Address(address)) => Ok(address.servers().iter().map(ToString::to_string).collect()),
        (None, Peer::Bare(peer)) => Err(Failure::ServerMissing { peer: *peer }),
    }
}

fn address(peer: PeerId, servers: &[String]) -> Finding {
    let kind = if peer.is_plain() { "plain" } else { "keyed" };
    let text = format!("{peer}, {kind}, to be found at {}; it is rung now", servers.join(", "));
    Finding::ok("address", text).with(json!({ "peer": peer.to_string(), "servers": servers }))
}

/// Where the call is made.
struct Hop {
    client: Client,
    server: String,
    at: std::net::SocketAddr,
    own: PeerId,
    peer: PeerId,
    /// That an offer waits for its answer.
    patience: Duration,
}

/// Registers at the first server that answers and takes this client.
async fn register(sheet: &Sheet<'_>, servers: &[String], own: Identity, peer: PeerId) -> Option<Hop> {
    let mut problems = Vec::new();
    for server in servers {
        match register_at(sheet, server, &own, peer).await {
            Ok(hop) => {
                // That another server of the address is of no use is worth knowing, and stops nothing.
                for problem in problems {
                    let Finding { step, text, .. } = problem;
                    sheet.note(Finding::warning(
                        step,
                        text,
                        "the peer may be there, and not where this went on",
                    ));
                }
                return Some(hop);
            }
            Err(problem) => problems.push(problem),
        }
    }
    problems.into_iter().for_each(|problem| sheet.note(problem));
    None
}

async fn register_at(sheet: &Sheet<'_>, server: &str, own: &Identity, peer: PeerId) -> Result<Hop, Finding> {
    let addresses = Addresses::of(server).await.map_err(|failure| {
        Finding::failed(
            "server",
            Fault::Name,
            failure.to_string(),
            "check the name, and this machine's name servers",
        )
    })?;
    let (mut reached, mut failed) = (None, None);
    for address in addresses.each() {
        let one = reach::reach(address).await;
        let finding = reach::judge(&one);
        if one.answered() {
            sheet.note(finding);
            reached = Some(address);
            break;
        }
        // That this machine lacks a family is no cause where the other one has a worse one.
        if failed.is_none() || !one.has_no_route() {
            failed = Some(finding);
        }
    }
    let Some(reached) = reached else {
        return Err(
            failed.unwrap_or_else(|| Finding::failed("server", Fault::Name, "no address", "check the name"))
        );
    };
    let start = Instant::now();
    let registered = session::registered(reached, own.clone(), REGISTRATION).await;
    let (client, _incoming, observed) = registered.map_err(|failure| doctor::refused(&failure))?;
    let took = start.elapsed();
    let text =
        format!("registered at {server} as {}, seen at {observed}, after {}", own.identifier(), shown(took));
    sheet.note(Finding::ok("registration", text).with(json!({ "took_ms": millis(took) })));
    let mut patience = MARGIN;
    if let Registration::Registered { timeout, .. } = client.registration() {
        patience += timeout;
    }
    Ok(Hop { client, server: server.to_owned(), at: reached, own: own.identifier(), peer, patience })
}

impl Hop {
    /// Offers, and follows what becomes of it.
    async fn call(&self, sheet: &Sheet<'_>, offer: Bytes) {
        let sealing = Sealing::between(self.own, self.peer);
        let start = Instant::now();
        let mut call = match self.client.call(self.peer, offer.clone()).await {
            Ok(call) => call,
            Err(error) => {
                let failure = Failure::call(self.peer, sealing, error);
                sheet.note(Finding::failed("offer", Fault::Call, failure.to_string(), "see the reason"));
                return;
            }
        };
        let delivered = timeout(self.patience, call.delivered()).await;
        match delivered {
            Ok(Ok(())) => sheet.note(self.arrived(offer.len(), start.elapsed(), sealing)),
            Ok(Err(error)) => return sheet.note(self.not_arrived(error, sealing)),
            Err(_) => {
                return sheet.note(self.not_arrived(ClientError::Failed(FailReason::NoAnswer), sealing));
            }
        }
        let outcome = match timeout(self.patience, call.outcome()).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                let failure = Failure::call(self.peer, sealing, error);
                sheet.note(Finding::failed("answer", Fault::Call, failure.to_string(), "try again"));
                return;
            }
            Err(_) => Outcome::Failed(FailReason::NoAnswer),
        };
        if self.answered(sheet, &outcome, start.elapsed(), sealing, offer).await {
            self.punch(sheet, &mut call).await;
        }
    }

    fn arrived(&self, bytes: usize, took: Duration, sealing: Sealing) -> Finding {
        let (peer, server) = (self.peer, &self.server);
        let took_ms = millis(took);
        let text = format!(
            "{peer} is registered at {server} (since when, the server tells nobody) and has acknowledged all of an offer of \
             {bytes} bytes, {sealing}, after {}: it rings",
            shown(took)
        );
        Finding::ok("offer", text).with(json!({ "took_ms": took_ms, "sealed": sealing.is_sealed() }))
    }

    fn not_arrived(&self, error: ClientError, sealing: Sealing) -> Finding {
        let (peer, server) = (self.peer, &self.server);
        if error == ClientError::Failed(FailReason::Refused(ErrorCode::PeerUnknown)) {
            return Finding::failed(
                "peer",
                Fault::Call,
                format!(
                    "{peer} is not registered at {server} (whether it ever was, the server tells nobody)"
                ),
                "start its client; let it use this very server; where versions differ it cannot register: have doctor \
                 run there",
            );
        }
        let is_silence = [FailReason::Timeout, FailReason::NoAnswer, FailReason::ServerSilent]
            .into_iter()
            .any(|reason| error == ClientError::Failed(reason));
        if is_silence {
            return Finding::failed(
                "peer",
                Fault::Call,
                format!(
                    "{peer} is registered at {server}, which passed the offer on, but nothing came back: it stopped \
                     between the server and the peer"
                ),
                "the peer has gone within the last minute, its NAT has forgotten it, or a firewall on its side stops \
                 UDP: have doctor run there",
            );
        }
        let failure = Failure::call(peer, sealing, error);
        Finding::failed("offer", Fault::Call, failure.to_string(), "see the reason")
    }

    /// Says what became of an offer that arrived; tells whether it was answered.
    async fn answered(
        &self,
        sheet: &Sheet<'_>,
        outcome: &Outcome,
        took: Duration,
        sealing: Sealing,
        offer: Bytes,
    ) -> bool {
        let peer = self.peer;
        let finding = match outcome {
            Outcome::Answered(answer) => {
                let from = answer.observed.map_or_else(|| "none".to_owned(), |address| address.to_string());
                let text = format!(
                    "answered with {} bytes after {}, by a peer that the server sees at {from}",
                    answer.blob.len(),
                    shown(took)
                );
                let details = json!({ "took_ms": millis(took), "observed": from });
                sheet.note(Finding::ok("answer", text).with(details));
                return true;
            }
            Outcome::Declined => Finding::failed(
                "answer",
                Fault::Declined,
                format!("{peer} declined"),
                "all works up to here: the other side said no",
            ),
            Outcome::Failed(FailReason::Sealed(OpenError::Version { found })) => Finding::failed(
                "version",
                Fault::Call,
                format!(
                    "{peer} seals in version {found}, which this probe does not know: it is of another version"
                ),
                "bring both sides to the same version",
            ),
            Outcome::Failed(FailReason::Timeout | FailReason::NoAnswer) => {
                let rings_unsealed = sealing.is_sealed() && self.is_answered_unsealed(offer).await;
                if rings_unsealed { self.clocks() } else { self.unanswered(sealing) }
            }
            Outcome::Failed(reason) => {
                let failure = Failure::call(peer, sealing, ClientError::Failed(*reason));
                Finding::failed("answer", Fault::Call, failure.to_string(), "see the reason")
            }
            Outcome::AnswerDelivered | Outcome::Yielded { .. } => Finding::warning(
                "answer",
                format!("{peer} was calling at the same moment"),
                "that call goes on; try again later",
            ),
        };
        sheet.note(finding);
        false
    }

    fn unanswered(&self, sealing: Sealing) -> Finding {
        let more =
            if sealing.is_sealed() { "; an offer that was not sealed was not answered either" } else { "" };
        Finding::failed(
            "answer",
            Fault::Call,
            format!(
                "{} has the offer but did not answer it in time: nobody picks up, or its program hangs{more}",
                self.peer
            ),
            "look at the other side's program",
        )
    }

    fn clocks(&self) -> Finding {
        Finding::failed(
            "clock",
            Fault::Call,
            format!(
                "{} answers an offer that is not sealed, but not a sealed one: the two clocks are more than 300 s apart",
                self.peer
            ),
            "compare both machines' dates (date -u), and set the wrong one (timedatectl set-ntp true)",
        )
    }

    /// Rings once more without a key: whoever refuses only what is sealed has another date.
    async fn is_answered_unsealed(&self, offer: Bytes) -> bool {
        let Ok(own) = identity::random() else { return false };
        let Ok((client, _incoming, _)) = session::registered(self.at, own.into(), REGISTRATION).await else {
            return false;
        };
        let Ok(mut call) = client.call(self.peer, offer).await else { return false };
        let outcome = timeout(self.patience, call.outcome()).await;
        drop(timeout(Duration::from_millis(500), client.unregister()).await);
        matches!(outcome, Ok(Ok(Outcome::Answered(_) | Outcome::Declined)))
    }

    async fn punch(&self, sheet: &Sheet<'_>, call: &mut Call) {
        let finding = match call.punch().await {
            Ok(path) => {
                let kind = path.kind.name();
                let text =
                    format!("a direct path to {} ({kind}), round trip {}", path.peer, shown(path.round_trip));
                let details = json!({
                    "peer": path.peer.to_string(), "kind": kind, "round_trip_ms": millis(path.round_trip),
                });
                Finding::ok("path", text).with(details)
            }
            Err(error) => Finding::failed(
                "path",
                Fault::Call,
                Failure::call(self.peer, Sealing::between(self.own, self.peer), error).to_string(),
                "offer and answer pass, media does not: use a TURN relay, or change the network of one side",
            ),
        };
        sheet.note(finding);
    }
}
