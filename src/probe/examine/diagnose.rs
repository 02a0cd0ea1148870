//! `roundtable-probe diagnose`: follows one call hop by hop, and says which hop it does not get beyond.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use roundtable_proto::client::FailReason;
use roundtable_proto::identity::Identity;
use roundtable_proto::nat::Verdict;
use roundtable_proto::seal;
use roundtable_proto::wire::{BLOB_MAX, BlobKind, FRAGMENT, PeerId};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::addresses::Addresses;
use super::callee::{Callee, Part, Unsealed};
use super::path::{self, Known};
use super::sheet::{Fault, Finding, Sheet};
use super::{doctor, nat, reach};
use crate::client::{Call, Client, ClientError, Options, Outcome, Registration, Transfer};
use crate::nat::second_place;
use crate::probe::arguments::Diagnose;
use crate::probe::failure::Failure;
use crate::probe::identity::{self, Peer, Sealing};
use crate::probe::report::{Report, millis, shown};
use crate::probe::{session, target};
use crate::seed;

/// For the registration.
const REGISTRATION: Duration = Duration::from_secs(5);
/// For finding out how this side's NAT behaves.
const EXAMINATION: Duration = Duration::from_secs(6);
/// What an offer begins with unless a file is named.
const OFFER: &[u8] = b"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=roundtable-probe diagnose\r\nt=0 0\r\n";
/// It is about so long where the server relays as much, as real ones are: datagrams of full length, and where it is not sealed a
/// short one at the end, which comes where the long ones vanish.
const OFFER_BYTES: usize = 3 * FRAGMENT + 64;
/// Beyond the server's own timeout: its notice comes first.
const MARGIN: Duration = Duration::from_secs(4);

pub(in crate::probe) async fn run(report: &Report, diagnose: Diagnose) -> Result<(), Failure> {
    let peer = Peer::read(&diagnose.peer)?;
    let servers = servers(&peer, diagnose.server.as_deref())?;
    let offer = match &diagnose.offer {
        Some(path) => Some(target::blob(path)?),
        None => None,
    };
    let own = identity::own(report, diagnose.id, diagnose.key.as_deref())?;
    let witness = match &diagnose.witness {
        Some(witness) => Some(Addresses::of(witness).await?),
        None => None,
    };
    let sheet = Sheet::new(report);
    let peer = peer.identifier();
    sheet.note(address(peer, &servers));
    let asked = Asked { own, peer, witness, other: diagnose.with };
    if let Some(hop) = register(&sheet, &servers, &asked).await {
        let offer = match offer {
            Some(offer) => offer,
            None => padded_offer(hop.blob_max).map_err(Failure::System)?,
        };
        hop.call(&sheet, offer).await;
        drop(timeout(Duration::from_millis(500), hop.client.unregister()).await);
    }
    sheet.conclude("the two can talk: nothing stops a call")
}

/// A description of at most `blob_max` bytes, with attributes that sealing cannot pack to nothing, and that nobody heeds.
fn padded_offer(blob_max: usize) -> io::Result<Bytes> {
    let mut offer = OFFER.to_vec();
    while offer.len() < OFFER_BYTES {
        let padding: String = seed::draw()?.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("a=x-padding:{padding}\r\n");
        if offer.len() + line.len() > blob_max {
            break;
        }
        offer.extend(line.into_bytes());
    }
    Ok(offer.into())
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

/// What the user has said.
struct Asked {
    own: Identity,
    peer: PeerId,
    witness: Option<Addresses>,
    /// How the other side's NAT behaves.
    other: Option<Verdict>,
}

/// Where the call is made.
struct Hop {
    client: Client,
    callee: Callee,
    at: SocketAddr,
    /// Whom else to ask how this side's NAT behaves.
    witness: Option<SocketAddr>,
    /// How the other side's does, if that is known.
    other: Option<Verdict>,
    /// That an offer waits for its answer.
    patience: Duration,
    /// Bytes of the largest description that the server relays, sealed where that is to be.
    blob_max: usize,
}

/// Registers at the first server that answers and takes this client.
async fn register(sheet: &Sheet<'_>, servers: &[String], asked: &Asked) -> Option<Hop> {
    let mut problems = Vec::new();
    for server in servers {
        match register_at(sheet, server, asked).await {
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

async fn register_at(sheet: &Sheet<'_>, server: &str, asked: &Asked) -> Result<Hop, Finding> {
    let reached = reach(sheet, server).await?;
    let witness = match asked.witness {
        Some(named) => named.like(reached),
        // Who cannot be asked is of no use as a witness, and stops nothing.
        None => second_place(reached).await.ok().flatten(),
    };
    let options = Options { witness, ..Options::new(reached, asked.own.clone()) };
    let start = Instant::now();
    let registered = session::registered_with(options, REGISTRATION, |_| {}).await;
    let (client, _incoming, observed) = registered.map_err(|failure| doctor::refused(&failure))?;
    let took = start.elapsed();
    let own = asked.own.identifier();
    let text = format!("registered at {server} as {own}, seen at {observed}, after {}", shown(took));
    sheet.note(Finding::ok("registration", text).with(json!({ "took_ms": millis(took) })));
    let sealing = Sealing::between(own, asked.peer);
    let (mut patience, mut blob_max) = (MARGIN, BLOB_MAX);
    if let Registration::Registered { timeout, maxblob, .. } = client.registration() {
        patience += timeout;
        blob_max = blob_max.min(maxblob as usize);
    }
    if sealing.is_sealed() {
        blob_max = blob_max.saturating_sub(seal::overhead(BlobKind::Offer));
    }
    let callee = Callee { peer: asked.peer, server: server.to_owned(), sealing };
    Ok(Hop { client, callee, at: reached, witness, other: asked.other, patience, blob_max })
}

/// Finds the first address of the server that answers.
async fn reach(sheet: &Sheet<'_>, server: &str) -> Result<SocketAddr, Finding> {
    let addresses = Addresses::of(server).await.map_err(|failure| {
        Finding::failed(
            "server",
            Fault::Name,
            failure.to_string(),
            "check the name, and this machine's name servers",
        )
    })?;
    let mut failed = None;
    for address in addresses.each() {
        let one = reach::reach(address).await;
        let finding = reach::judge(&one);
        if one.answered() {
            sheet.note(finding);
            return Ok(address);
        }
        // That this machine lacks a family is no cause where the other one has a worse one.
        if failed.is_none() || !one.has_no_route() {
            failed = Some(finding);
        }
    }
    Err(failed.unwrap_or_else(|| Finding::failed("server", Fault::Name, "no address", "check the name")))
}

impl Hop {
    /// Offers, and follows what becomes of it.
    async fn call(&self, sheet: &Sheet<'_>, offer: Bytes) {
        let Self { callee, .. } = self;
        let start = Instant::now();
        let mut call = match self.client.call(callee.peer, offer.clone()).await {
            Ok(call) => call,
            Err(error) => return sheet.note(callee.not_offered(error)),
        };
        let in_time = ClientError::Failed(FailReason::NoAnswer);
        match timeout(self.patience, call.delivered()).await.unwrap_or(Err(in_time)) {
            Ok(()) => sheet.note(callee.has_it(offer.len(), start.elapsed())),
            Err(error) => return sheet.note(callee.has_it_not(error, call.progress().now())),
        }
        let outcome = match timeout(self.patience, call.outcome()).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Outcome::Failed(FailReason::NoAnswer),
        };
        let took = start.elapsed();
        if let Outcome::Failed(reason) = outcome
            && let Some(part) = Part::of(Transfer::Answer, ClientError::Failed(reason), call.progress().now())
        {
            return sheet.note(callee.has_answered_in_part(part));
        }
        let unsealed = if callee.may_not_open_it(&outcome) {
            self.ring_unsealed(offer).await
        } else {
            Unsealed::NotTried
        };
        sheet.note(callee.outcome(&outcome, took, unsealed));
        if let Outcome::Answered(answer) = outcome {
            self.punch(sheet, &mut call, answer.observed).await;
        }
    }

    /// Rings once more without a key.
    async fn ring_unsealed(&self, offer: Bytes) -> Unsealed {
        let Ok(own) = identity::random() else { return Unsealed::NotTried };
        let Ok((client, _incoming, _)) = session::registered(self.at, own.into(), REGISTRATION).await else {
            return Unsealed::NotTried;
        };
        let Ok(mut call) = client.call(self.callee.peer, offer).await else { return Unsealed::NotTried };
        let outcome = timeout(self.patience, call.outcome()).await;
        drop(timeout(Duration::from_millis(500), client.unregister()).await);
        match outcome {
            Ok(Ok(Outcome::Answered(_) | Outcome::Declined)) => Unsealed::Answered,
            Ok(_) | Err(_) => Unsealed::Unanswered,
        }
    }

    async fn punch(&self, sheet: &Sheet<'_>, call: &mut Call, peer: Option<SocketAddr>) {
        let error = match call.punch().await {
            Ok(path) => return sheet.note(path::found(&path)),
            Err(error) => error,
        };
        let own = if path::leaves_open(error) {
            nat::behaviour(self.at, self.witness, Instant::now() + EXAMINATION).await
        } else {
            None
        };
        let known = Known { peer, own, other: self.other };
        sheet.note(path::none(self.callee.peer, self.callee.sealing, error, &known));
    }
}
