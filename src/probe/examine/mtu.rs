//! How long a datagram may be on the way to the server, and back.
//!
//! There: a frame of a live session that is too long is answered `MALFORMED`, whatever its length (SPEC 9). Back: an
//! offer to oneself comes as long as wanted, less 28 bytes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::client::RefusalCode;
use roundtable_proto::wire::{
    self, Address, BlobKind, DATAGRAM_MAX, Digest, FRAGMENT, Fragment, FragmentHead, Frame, Keepalive, Kind,
    OfferId, Zeros,
};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::addresses::family;
use super::doctor::code_name;
use super::sheet::{Fault, Finding};
use super::visitor::{Unwelcome, Visitor, drawn};

/// Lengths that are tried first.
const LENGTHS: [usize; 7] = [DATAGRAM_MAX, 1100, 1000, 900, 700, 400, 100];
/// From one try to the next, of all that has not been answered.
const ROUND: Duration = Duration::from_millis(200);
/// Tries without a loss, and with one.
const ROUNDS: (u32, u32) = (4, 12);
/// Steps in which the gap between what passes and what does not is closed.
const STEPS: usize = 16;
/// That none of several answers came by chance alone: above this nothing is concluded.
const CHANCE: f64 = 0.01;

/// What is known of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Longest {
    /// All lengths pass.
    All,
    /// So many bytes pass, and these do not.
    Between(usize, usize),
    /// Nothing, or not enough, came back.
    Unknown,
}

/// Measures both ways and says what that means, and whether the server refused it; `share` of datagrams come back.
pub(super) async fn examine(
    server: SocketAddr,
    share: f64,
    until: Instant,
) -> (Finding, Option<RefusalCode>) {
    match timeout_at(until, measure(server, share)).await {
        Ok(Ok((there, back))) => (judge(server, there, back), None),
        Ok(Err(unwelcome)) => not_measured(family(server), &unwelcome),
        Err(_) => (judge(server, Longest::Unknown, Longest::Unknown), None),
    }
}

async fn measure(server: SocketAddr, share: f64) -> Result<(Longest, Longest), Unwelcome> {
    let (sender, receiver) = tokio::try_join!(Visitor::register(server), Visitor::register(server))?;
    let there = there(&sender, share).await;
    let back = if there == Longest::All { back(&sender, &receiver, share).await } else { Longest::Unknown };
    sender.leave().await;
    receiver.leave().await;
    Ok((there, back))
}

fn not_measured(name: &str, unwelcome: &Unwelcome) -> (Finding, Option<RefusalCode>) {
    let refusal = match unwelcome {
        Unwelcome::System(_) | Unwelcome::Silence => None,
        Unwelcome::Refused(refusal) => Some(RefusalCode::from_number(refusal.code)),
    };
    let why = match unwelcome {
        Unwelcome::System(error) => error.to_string(),
        Unwelcome::Silence => "too much is lost to register".to_owned(),
        Unwelcome::Refused(refusal) => {
            let code = code_name(RefusalCode::from_number(refusal.code));
            format!("the server refuses a registration: {code}")
        }
    };
    let text = format!("{name}: not measured: {why}");
    (Finding::warning("mtu", text, "see the other steps; run it again later"), refusal)
}

fn judge(server: SocketAddr, there: Longest, back: Longest) -> Finding {
    let name = family(server);
    // Of IP and UDP.
    let headers = if server.is_ipv4() { 28 } else { 48 };
    let details =
        |passes: Option<usize>| json!({ "server": server.to_string(), "passes": passes, "family": name });
    let hole = |way: &str, passes: usize, fails: usize| {
        Finding::failed(
            "mtu",
            Fault::Call,
            format!(
                "{name}: datagrams of up to {passes} bytes pass {way}, those of {fails} vanish without a word (an MTU black \
                 hole: the way takes packets of {} to {} bytes)",
                passes + headers,
                fails + headers - 1
            ),
            "offers need 1180 bytes: raise the MTU of the tunnel or VPN on the way to 1280 or more, or let ICMP \"packet \
             too big\" through",
        )
        .with(details(Some(passes)))
    };
    match (there, back) {
        (Longest::Between(passes, fails), _) => hole("to the server", passes, fails),
        (Longest::All, Longest::Between(passes, fails)) => hole("from the server", passes, fails),
        (Longest::All, Longest::All) => Finding::ok(
            "mtu",
            format!("{name}: {DATAGRAM_MAX} bytes pass to the server, and {} back", relayed(FRAGMENT)),
        )
        .with(details(Some(DATAGRAM_MAX))),
        (Longest::All, Longest::Unknown) => Finding::ok(
            "mtu",
            format!("{name}: {DATAGRAM_MAX} bytes pass to the server; the way back was not measured"),
        )
        .with(details(Some(DATAGRAM_MAX))),
        (Longest::Unknown, _) => Finding::warning(
            "mtu",
            format!("{name}: not measured: too much is lost to tell"),
            "mend the losses first",
        )
        .with(details(None)),
    }
}

/// Tries lengths to the server; then, between what passes and what does not, more of them.
async fn there(visitor: &Visitor, share: f64) -> Longest {
    let found = passing(visitor, &LENGTHS, share).await;
    let Longest::Between(passes, fails) = found else { return found };
    let step = (fails - passes).div_ceil(STEPS).max(1);
    let between: Vec<_> = (passes + step..fails).step_by(step).rev().collect();
    match passing(visitor, &between, share).await {
        Longest::All => Longest::Between(between.first().copied().unwrap_or(passes), fails),
        Longest::Between(passes, fails) => Longest::Between(passes, fails),
        Longest::Unknown => Longest::Between(passes, between.last().copied().unwrap_or(fails)),
    }
}

/// Sends datagrams of these lengths, the longest first, until all are answered or chance is ruled out.
async fn passing(visitor: &Visitor, lengths: &[usize], share: f64) -> Longest {
    let mut open = BTreeMap::new();
    for length in lengths {
        let Ok(transaction) = drawn() else { return Longest::Unknown };
        open.insert(transaction, *length);
    }
    let mut buffer = [0; wire::DATAGRAM_MAX];
    let rounds = rounds(share);
    for _ in 0..rounds {
        for (transaction, length) in &open {
            let (session, transaction) = (visitor.session, *transaction);
            let mut datagram =
                Frame::Keepalive(Keepalive { session, transaction, observed: Address::NONE }).to_vec();
            datagram.resize(*length, 0);
            // The link itself may take less.
            drop(visitor.socket.send(&datagram).await);
        }
        let until = Instant::now() + ROUND;
        while !open.is_empty() {
            let Ok(received) = timeout_at(until, visitor.socket.recv(&mut buffer)).await else { break };
            let Ok(length) = received else { continue };
            if let Ok(Frame::Error(refusal)) = wire::decode(&buffer[..length]) {
                open.remove(&refusal.reference);
            }
        }
        if open.is_empty() {
            return Longest::All;
        }
    }
    let fails: Vec<_> = open.into_values().collect();
    conclude(lengths, &fails, rounds, share)
}

/// Tells what follows, if it is not by chance.
fn conclude(lengths: &[usize], fails: &[usize], rounds: u32, share: f64) -> Longest {
    let passes = lengths.iter().copied().filter(|length| !fails.contains(length)).max();
    let (Some(passes), Some(fails)) = (passes, fails.iter().copied().filter(|one| Some(*one) > passes).min())
    else {
        return if passes.is_some() { Longest::All } else { Longest::Unknown };
    };
    let chance = (1.0 - share).powi(i32::try_from(rounds).unwrap_or(i32::MAX));
    if chance > CHANCE { Longest::Unknown } else { Longest::Between(passes, fails) }
}

const fn rounds(share: f64) -> u32 {
    if share >= 1.0 { ROUNDS.0 } else { ROUNDS.1 }
}

const fn relayed(blob: usize) -> usize {
    Kind::RelayedOffer.size() + blob
}

/// Offers blobs of several lengths to the other visitor, and looks which come.
async fn back(sender: &Visitor, receiver: &Visitor, share: f64) -> Longest {
    let mut open: BTreeMap<OfferId, usize> = BTreeMap::new();
    for blob in [FRAGMENT, 900, 700, 500, 100] {
        let Ok(drawn) = drawn() else { return Longest::Unknown };
        open.insert(OfferId::from_random(drawn.0), blob);
    }
    let lengths: Vec<_> = open.values().map(|blob| relayed(*blob)).collect();
    let mut buffer = [0; wire::DATAGRAM_MAX];
    let rounds = rounds(share);
    for _ in 0..rounds {
        for (offer, blob) in &open {
            if let Some(datagram) = offer_of(sender, receiver, *offer, *blob) {
                drop(sender.socket.send(&datagram).await);
            }
        }
        let until = Instant::now() + ROUND;
        while !open.is_empty() {
            let Ok(received) = timeout_at(until, receiver.socket.recv(&mut buffer)).await else { break };
            let Ok(length) = received else { continue };
            if let Ok(Frame::RelayedOffer(relayed)) = wire::decode(&buffer[..length]) {
                open.remove(&relayed.head().offer);
            }
        }
        if open.is_empty() {
            return Longest::All;
        }
    }
    let fails: Vec<_> = open.into_values().map(relayed).collect();
    conclude(&lengths, &fails, rounds, share)
}

fn offer_of(sender: &Visitor, receiver: &Visitor, offer: OfferId, bytes: usize) -> Option<Vec<u8>> {
    let blob = vec![b'.'; bytes];
    let head = FragmentHead {
        session: sender.session,
        offer,
        target: receiver.identifier,
        digest: Digest::of(&blob),
        length: u32::try_from(bytes).ok()?,
        index: 0,
        zero: Zeros::ZERO,
    };
    let fragment = Fragment::new(BlobKind::Offer, head, &blob).ok()?;
    Some(Frame::Offer(fragment).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_concluded_from_what_may_be_chance() {
        let lengths = [1180, 1100, 400];
        assert_eq!(conclude(&lengths, &[1180], 4, 1.0), Longest::Between(1100, 1180));
        assert_eq!(conclude(&lengths, &[1180, 1100], 12, 0.5), Longest::Between(400, 1100));
        assert_eq!(conclude(&lengths, &[1180, 1100], 12, 0.16), Longest::Unknown);
        // A short one that is lost beside long ones that pass is a loss.
        assert_eq!(conclude(&lengths, &[400], 4, 0.9), Longest::All);
        assert_eq!(conclude(&lengths, &[1180, 1100, 400], 4, 1.0), Longest::Unknown);
    }
}
