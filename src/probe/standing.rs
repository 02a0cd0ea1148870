//! Whether a client that waits for calls can be called: says so whenever that changes.

use std::net::SocketAddr;

use serde_json::json;

use super::failure::Failure;
use super::report::Report;
use crate::client::{Client, Registration};

/// Shows what becomes of the registration, until the server refuses it for good. Can be cancelled.
pub(super) async fn follow(report: &Report, client: &Client, server: SocketAddr) -> Failure {
    let mut client = client.clone();
    let mut before = client.registration();
    loop {
        let now = match client.registration_changed().await {
            Ok(now) => now,
            Err(error) => return Failure::Client(error),
        };
        if let Registration::Refused { code, detail, retry_after: None } = now {
            return Failure::Refused { code, detail, retry_after: None };
        }
        if let Some((state, text)) = changed(before, now, server) {
            report.step("changed", json!({ "state": state }), &text);
        }
        // What is asked meanwhile is no state to tell a change from.
        if now != Registration::Asking {
            before = now;
        }
    }
}

/// Names what the registration has become, for scripts, and says what that means for who wants to be called.
fn changed(before: Registration, now: Registration, server: SocketAddr) -> Option<(&'static str, String)> {
    match now {
        Registration::Asking | Registration::Unregistered => None,
        Registration::ServerSilent if before == now => None,
        Registration::ServerSilent => Some((
            "silent",
            format!(
                "the server does not answer any more: nobody can call until it does; roundtable-probe doctor {server} says why"
            ),
        )),
        Registration::Refused { code, detail, retry_after } => {
            let refusal = Failure::Refused { code, detail, retry_after };
            Some(("refused", format!("nobody can call any more: {refusal}")))
        }
        Registration::Registered { observed, .. } => {
            let why = match before {
                Registration::Registered { observed: old, .. } if old == observed => {
                    ": the server was started anew, or another client of this identifier had taken its place"
                }
                Registration::Asking
                | Registration::Registered { .. }
                | Registration::Refused { .. }
                | Registration::ServerSilent
                | Registration::Unregistered => "",
            };
            Some(("registered", format!("registered again, seen at {observed}{why}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use roundtable_proto::client::RefusalCode;
    use roundtable_proto::wire::ErrorCode;

    use super::*;

    fn at(port: u16) -> Registration {
        let observed = SocketAddr::from(([198, 51, 100, 1], port));
        Registration::Registered { observed, timeout: Duration::from_secs(30), maxblob: 65_536 }
    }

    fn told(before: Registration, now: Registration) -> Option<String> {
        changed(before, now, SocketAddr::from(([192, 0, 2, 1], 1066))).map(|(_, text)| text)
    }

    #[test]
    fn every_change_that_matters_to_a_caller_is_told() {
        let taken = Registration::Refused {
            code: RefusalCode::Known(ErrorCode::IdentifierTaken),
            detail: 0,
            retry_after: Some(Duration::from_secs(9)),
        };
        for (before, now, begins) in [
            (
                at(1),
                at(1),
                "registered again, seen at 198.51.100.1:1: the server was started anew, or another",
            ),
            (at(1), at(2), "registered again, seen at 198.51.100.1:2"),
            (Registration::ServerSilent, at(1), "registered again, seen at 198.51.100.1:1"),
            (at(1), Registration::ServerSilent, "the server does not answer any more"),
            (
                at(1),
                taken,
                "nobody can call any more: the server refuses the registration: the identifier is held from",
            ),
        ] {
            let text = told(before, now).unwrap();
            assert!(text.starts_with(begins), "{text}");
        }
        for (before, now) in [
            (Registration::ServerSilent, Registration::ServerSilent),
            (at(1), Registration::Asking),
            (at(1), Registration::Unregistered),
        ] {
            assert_eq!(told(before, now), None);
        }
    }
}
