//! What still comes in a call that has been answered: candidates and paths.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use super::report::{Report, millis, shown};
use crate::client::{Call, CallEvent, PunchedPath};

/// Shows what comes, until nothing has come for as long as `patience`.
pub(super) async fn follow(report: &Report, call: &mut Call, patience: Duration) {
    let id = call.id().to_string();
    while let Ok(Some(event)) = tokio::time::timeout(patience, call.next()).await {
        match event {
            CallEvent::Candidate { number, message } => {
                let text = String::from_utf8_lossy(&message);
                let fields = json!({ "offer": id, "number": number, "message": text });
                report.step("candidate", fields, &format!("candidate {number}: {text}"));
            }
            CallEvent::CandidatesFailed(reason) => {
                let fields = json!({ "offer": id, "reason": reason.to_string() });
                report.step("candidates_failed", fields, &format!("candidates do not arrive: {reason}"));
            }
            CallEvent::Path(path) => show_path(report, &id, path),
            CallEvent::PunchFailed(reason) => {
                let fields = json!({ "offer": id, "reason": reason.to_string() });
                report.step("punch_failed", fields, &format!("no direct path: {reason}"));
            }
            CallEvent::PathLost { peer } => {
                let fields = json!({ "offer": id, "peer": peer.to_string() });
                report.step("path_lost", fields, &format!("the path to {peer} is lost: no answer for 30 s"));
            }
            CallEvent::FreshPort { local } => show_fresh_port(report, &id, local),
            CallEvent::Delivered | CallEvent::Ended(_) | CallEvent::FreshPortWanted => {}
        }
    }
}

fn show_fresh_port(report: &Report, offer: &str, local: SocketAddr) {
    let fields = json!({ "offer": offer, "port": local.port() });
    report.step("fresh_port", fields, &format!("nothing heard: trying from port {}", local.port()));
}

pub(super) fn show_path(report: &Report, offer: &str, path: PunchedPath) {
    let PunchedPath { peer, kind, round_trip } = path;
    let (kind, family) = (kind.name(), if peer.is_ipv4() { "ipv4" } else { "ipv6" });
    let fields = json!({
        "offer": offer, "peer": peer.to_string(), "kind": kind, "family": family, "round_trip_ms": millis(round_trip),
    });
    report.step("path", fields, &format!("direct path to {peer}, {}", shown(round_trip)));
}
