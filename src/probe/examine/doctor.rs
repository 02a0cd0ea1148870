//! `roundtable-probe doctor`: everything between this machine and a server, within ten seconds.

use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::client::RefusalCode;
use roundtable_proto::identity::Identity;
use roundtable_proto::wire::{ErrorCode, VERSION};
use serde_json::json;
use tokio::time::Instant;

use super::addresses::{Addresses, family};
use super::reach::{self, Reach, SAME_VERSION};
use super::sheet::{Fault, Finding, Sheet, Verdict};
use super::visitor::new_key;
use super::{call, mtu, nat};
use crate::client::{Client, Registration};
use crate::clock::unix_time;
use crate::probe::arguments::Doctor;
use crate::probe::failure::Failure;
use crate::probe::report::{Report, millis, shown};
use crate::probe::{identity, session};

/// All steps together end by then.
const IN_ALL: Duration = Duration::from_millis(9_500);
/// For the registration.
pub(super) const REGISTRATION: Duration = Duration::from_secs(3);
/// Kept for the call to itself.
const CALL: Duration = Duration::from_secs(2);
/// 2025-01-01: before that a date is wrong.
const EARLIEST: u64 = 1_735_689_600;
/// 2100-01-01: from then on it is wrong, too.
const LATEST: u64 = 4_102_444_800;

pub(in crate::probe) async fn run(report: &Report, doctor: Doctor) -> Result<(), Failure> {
    let until = Instant::now() + IN_ALL;
    let own = match (&doctor.id, &doctor.key) {
        (None, None) => new_key().map_err(Failure::System)?.into(),
        _ => identity::own(report, doctor.id, doctor.key.as_deref())?,
    };
    let sheet = Sheet::new(report);
    if let Some(reached) = look_around(&sheet, &doctor.server).await {
        examine(&sheet, &reached, own, until).await;
    }
    sheet.conclude("nothing stands between this machine and the server")
}

/// Name, date and way; gives what answers.
async fn look_around(sheet: &Sheet<'_>, server: &str) -> Option<Vec<Reach>> {
    let addresses = match Addresses::of(server).await {
        Ok(addresses) => addresses,
        Err(failure) => {
            sheet.note(Finding::failed(
                "name",
                Fault::Name,
                failure.to_string(),
                "check the spelling, and the name servers of this machine (getent ahosts NAME)",
            ));
            return None;
        }
    };
    sheet.note(name(server, addresses));
    sheet.note(clock(unix_time()));
    let reached = reach_all(addresses).await;
    let any = reached.iter().any(Reach::answered);
    for one in &reached {
        sheet.note(softened(reach::judge(one), one, any));
    }
    if !any {
        return None;
    }
    let answered: Vec<_> = reached.into_iter().filter(Reach::answered).collect();
    answered.iter().filter_map(address).for_each(|finding| sheet.note(finding));
    Some(answered)
}

async fn reach_all(addresses: Addresses) -> Vec<Reach> {
    let one = async |address: Option<SocketAddr>| match address {
        Some(address) => Some(reach::reach(address).await),
        None => None,
    };
    let (v4, v6) = tokio::join!(one(addresses.v4), one(addresses.v6));
    v4.into_iter().chain(v6).collect()
}

/// Where one family works, that the other does not is no failure.
fn softened(finding: Finding, reach: &Reach, any: bool) -> Finding {
    if reach.answered() || !any {
        return finding;
    }
    let name = family(reach.server);
    if reach.has_no_route() {
        return Finding::ok("udp", format!("no {name} here, which does no harm: the other family works"));
    }
    Finding { verdict: Verdict::Warning, ..finding }
}

fn name(server: &str, addresses: Addresses) -> Finding {
    let told: Vec<_> = addresses.each().map(|one| format!("{} ({})", one.ip(), family(one))).collect();
    let all: Vec<_> = addresses.each().map(|one| one.to_string()).collect();
    Finding::ok("name", format!("{server} is {}", told.join(" and "))).with(json!({ "addresses": all }))
}

/// Only what is wrong by years can be told here: the protocol tells no time.
fn clock(unix_time: u64) -> Finding {
    let shown = i64::try_from(unix_time).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let shown = shown.map_or_else(|| unix_time.to_string(), |date| date.to_string());
    let details = json!({ "unix_time": unix_time });
    if (EARLIEST..LATEST).contains(&unix_time) {
        return Finding::ok("clock", format!("{shown} here; sealed calls need both sides within 300 s"))
            .with(details);
    }
    Finding::failed(
        "clock",
        Fault::Machine,
        format!("this machine's date is {shown}, which cannot be: sealed calls fail with it"),
        "set the clock (timedatectl set-ntp true)",
    )
    .with(details)
}

/// What the server sees against what this machine knows.
pub(super) fn address(reach: &Reach) -> Option<Finding> {
    let (local, observed) = (reach.local?, reach.heard.observed?);
    let details = json!({ "local": local.to_string(), "observed": observed.to_string() });
    let text = if local.ip().is_loopback() {
        format!("the server is on this machine and sees it at {observed}")
    } else if local == observed {
        format!("the server sees this machine at its own address {observed}: no NAT")
    } else if local.ip() == observed.ip() {
        format!(
            "the server sees this machine at its own address, but at port {} for {}: a NAT changes ports",
            observed.port(),
            local.port()
        )
    } else {
        let port = if local.port() == observed.port() { "keeps" } else { "changes" };
        format!("the server sees {observed} for {local}: behind a NAT that {port} the port")
    };
    Some(Finding::ok("address", text).with(details))
}

/// What needs a server that answers.
async fn examine(sheet: &Sheet<'_>, reached: &[Reach], own: Identity, until: Instant) {
    let Some(best) = reached.first() else { return };
    let start = Instant::now();
    let identifier = own.identifier();
    let wait = REGISTRATION.min(until.saturating_duration_since(start));
    let mut limits = Vec::new();
    let registered = session::registered_noting(best.server, own, wait, |code| limits.push(code)).await;
    let client = match registered {
        Ok((client, _incoming, observed)) => {
            let text =
                format!("registered as {identifier}, seen at {observed}, after {}", shown(start.elapsed()));
            let details = json!({ "id": identifier.to_string(), "took_ms": millis(start.elapsed()) });
            sheet.note(Finding::ok("registration", text).with(details));
            client
        }
        Err(failure) => {
            sheet.note(refused(&failure));
            return;
        }
    };
    let maxblob = terms(sheet, &client);
    let lengths = async |reach: Option<&Reach>| match reach {
        Some(reach) => Some(mtu::examine(reach.server, reach.share(), until - CALL).await),
        None => None,
    };
    let (one, other, behaviour) = tokio::join!(
        lengths(reached.first()),
        lengths(reached.get(1)),
        nat::behaviour(best.server, None, until - CALL)
    );
    sheet.note(nat::judge(behaviour.as_ref()));
    for (finding, refusal) in one.into_iter().chain(other) {
        sheet.note(finding);
        limits.extend(refusal);
    }
    sheet.note(call::examine(best.server, &client, maxblob, until).await);
    sheet.note(met(&limits));
    // It would lapse by itself.
    drop(tokio::time::timeout(Duration::from_millis(300), client.unregister()).await);
}

/// Says which limits of the server were met.
pub(super) fn met(refusals: &[RefusalCode]) -> Finding {
    let Some(first) = refusals.first() else {
        return Finding::ok("limits", "the server refused nothing for a limit");
    };
    let name = code_name(*first);
    let times = refusals.len();
    let registrations = if times == 1 { "registration" } else { "registrations" };
    Finding::warning("limits", format!("the server refused {times} {registrations}: {name}"), advice(*first))
        .with(json!({ "code": name, "times": times }))
}

pub(super) fn code_name(code: RefusalCode) -> String {
    match code {
        RefusalCode::Known(code) => code.name().to_owned(),
        RefusalCode::Unknown(number) => format!("code {number}"),
    }
}

/// Says what a refused registration means.
pub(super) fn refused(failure: &Failure) -> Finding {
    let (fault, advice) = if let Failure::Refused { code, .. } = failure {
        (Fault::Refusal, advice(*code))
    } else if matches!(failure, Failure::NoAnswer { .. }) {
        (
            Fault::Silence,
            "PINGs pass but registrations do not: too much is lost, or something on the way filters",
        )
    } else {
        (Fault::Machine, "see the reason")
    };
    Finding::failed("registration", fault, failure.to_string(), advice)
        .with(json!({ "kind": failure.name() }))
}

/// Says what to do about a refused registration.
fn advice(code: RefusalCode) -> &'static str {
    let RefusalCode::Known(code) = code else { return "bring this probe to the version of the server" };
    match code {
        ErrorCode::Version => SAME_VERSION,
        ErrorCode::IdentifierTaken => {
            "end the other client that holds it, wait a minute if it has gone, or use a key (--key FILE), which nobody can take"
        }
        ErrorCode::IdentifierRefused => "use a key: --key FILE",
        ErrorCode::ServerFull => "the operator may raise maxpeers; or use another server",
        ErrorCode::RateLimited => {
            "wait; where many share one address the operator may raise registerrate and registertotal"
        }
        ErrorCode::WrongServer => "the operator has to set publicaddress to what clients call the server",
        ErrorCode::BadSignature => {
            "something between changes registrations, or the key file is not of this program"
        }
        ErrorCode::Malformed
        | ErrorCode::UnknownKind
        | ErrorCode::PeerUnknown
        | ErrorCode::OfferUnknown
        | ErrorCode::OfferConflict
        | ErrorCode::NotPermitted
        | ErrorCode::TooManyOffers
        | ErrorCode::BlobTooLarge
        | ErrorCode::Timeout
        | ErrorCode::OfferToSelf => "a server does not answer so: is it one of this protocol?",
    }
}

/// Version and limits of the server.
fn terms(sheet: &Sheet<'_>, client: &Client) -> u32 {
    let Registration::Registered { timeout, maxblob, .. } = client.registration() else { return 0 };
    let seconds = timeout.as_secs();
    let text = format!(
        "the server speaks version {VERSION}; offers wait {seconds} s for their answer and have up to {maxblob} bytes"
    );
    let details = json!({ "version": VERSION, "timeout_s": seconds, "maxblob": maxblob });
    sheet.note(Finding::ok("terms", text).with(details));
    maxblob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_that_cannot_be_is_named() {
        for (unix_time, verdict, shown) in [
            (0, Verdict::Failed, "1970-01-01T00:00:00Z"),
            (EARLIEST, Verdict::Ok, "2025-01-01T00:00:00Z"),
            (LATEST, Verdict::Failed, "2100-01-01T00:00:00Z"),
            (u64::MAX, Verdict::Failed, "18446744073709551615"),
        ] {
            let finding = clock(unix_time);
            assert_eq!(finding.verdict, verdict, "{unix_time}");
            assert!(finding.text.contains(shown), "{}", finding.text);
        }
    }
}
