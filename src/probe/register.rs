//! `roundtable-probe register`.

use std::time::Duration;

use serde_json::json;

use super::arguments::Register;
use super::failure::Failure;
use super::report::Report;
use super::target;
use crate::client::Registration;

pub(super) async fn run(report: &Report, register: Register) -> Result<(), Failure> {
    let server = target::resolve(&register.server).await?;
    let identifier = target::identity(register.id)?;
    let wait = Duration::from_secs(register.timeout);
    let (mut client, _incoming, observed) = target::registered(server, identifier, wait).await?;
    if let Registration::Registered { timeout, maxblob, .. } = client.registration() {
        let fields = json!({
            "server": server.to_string(), "id": identifier.to_string(), "observed": observed.to_string(),
            "timeout_s": timeout.as_secs(), "maxblob": maxblob,
        });
        let text = format!("registered at {server} as {identifier}, seen at {observed}");
        report.step("registered", fields, &text);
        report
            .text(&format!("              offers wait {} s, blobs up to {maxblob} bytes", timeout.as_secs()));
    }
    let stay = tokio::time::sleep(Duration::from_secs(register.stay));
    tokio::pin!(stay);
    loop {
        tokio::select! {
            () = &mut stay => break,
            changed = client.registration_changed() => {
                let state = changed.map_err(Failure::Client)?;
                report.step("changed", json!({ "state": format!("{state:?}") }), &format!("{state:?}"));
            }
        }
    }
    client.unregister().await.map_err(Failure::Client)?;
    report.step("unregistered", json!({}), "unregistered");
    Ok(())
}
