//! How long a datagram may be on the way to the server, and back: what was measured, and what it means.

use std::net::SocketAddr;

use roundtable_proto::client::RefusalCode;
use roundtable_proto::wire::{DATAGRAM_MAX, FRAGMENT};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::addresses::family;
use super::asking::ask;
use super::doctor::code_name;
use super::lengths::{Lengths, Longest, There, relayed};
use super::sheet::{Fault, Finding};
use super::visitor::{Unwelcome, Visitor};

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
    let mut there = There::new(sender.standing, share)?;
    ask(&sender.socket, &sender.socket, &mut there).await;
    let mut back = Longest::Unknown;
    if there.longest() == Longest::All {
        let mut asking = Lengths::back(sender.standing, receiver.standing, share)?;
        ask(&sender.socket, &receiver.socket, &mut asking).await;
        back = asking.longest();
    }
    sender.leave().await;
    receiver.leave().await;
    Ok((there.longest(), back))
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

/// Says what that means.
pub(super) fn judge(server: SocketAddr, there: Longest, back: Longest) -> Finding {
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
