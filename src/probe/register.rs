//! `roundtable-probe register`.

use std::time::Duration;

use serde_json::json;

use super::arguments::Register;
use super::failure::Failure;
use super::identity;
use super::report::Report;
use super::session::Session;
use super::standing;
use crate::client::{Client, Registration};

pub(super) async fn run(report: &Report, register: Register) -> Result<(), Failure> {
    let identity = identity::own(report, register.id, register.key.as_deref())?;
    let session = Session::open(&register.server, identity, Duration::from_secs(register.timeout)).await?;
    let (server, identifier, observed) = (session.server, session.identifier, session.observed);
    if let Registration::Registered { timeout, maxblob, .. } = session.client.registration() {
        let fields = json!({
            "server": server.to_string(), "id": identifier.to_string(), "observed": observed.to_string(),
            "timeout_s": timeout.as_secs(), "maxblob": maxblob,
        });
        let text = format!("registered at {server} as {identifier}, seen at {observed}");
        report.step("registered", fields, &text);
        report
            .text(&format!("              offers wait {} s, blobs up to {maxblob} bytes", timeout.as_secs()));
    }
    let stay = Duration::from_secs(register.stay);
    let work = async |client: &Client, _: &mut _| match tokio::time::timeout(
        stay,
        standing::follow(report, client, server),
    )
    .await
    {
        Ok(failure) => Err(failure),
        Err(_over) => Ok(()),
    };
    match session.close_after(work).await {
        Ok(()) | Err(Failure::Interrupted { .. }) => {
            report.step("unregistered", json!({}), "unregistered");
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}
