//! `roundtable-probe ping`.

use std::time::Duration;

use serde_json::json;

use super::arguments::Ping;
use super::failure::Failure;
use super::report::{Report, millis, shown};
use super::{line, target};
use crate::pinger::Pinger;

/// Between two PINGs.
const INTERVAL: Duration = Duration::from_millis(200);

pub(super) async fn run(report: &Report, ping: Ping) -> Result<(), Failure> {
    let server = target::resolve(&ping.server).await?;
    let wait = Duration::from_secs(ping.timeout);
    let mut pinger = Pinger::new(server).await.map_err(Failure::System)?.recorded(line::capture());
    let mut round_trips = Vec::new();
    for number in 1..=ping.count {
        if number > 1 {
            tokio::time::sleep(INTERVAL).await;
        }
        match pinger.ping(wait).await.map_err(Failure::System)? {
            Some(pong) => {
                round_trips.push(pong.round_trip);
                let fields = json!({
                    "number": number, "server": server.to_string(),
                    "round_trip_ms": millis(pong.round_trip), "observed": pong.observed.to_string(),
                });
                let time = shown(pong.round_trip);
                report.step(
                    "pong",
                    fields,
                    &format!("{server} answers in {time}, sees you at {}", pong.observed),
                );
            }
            None => report.step("lost", json!({ "number": number }), &format!("no answer to PING {number}")),
        }
    }
    let (Some(least), Some(most)) = (round_trips.iter().min(), round_trips.iter().max()) else {
        return Err(Failure::NoAnswer { server, waited: wait });
    };
    let answered = round_trips.len();
    let fields = json!({
        "sent": ping.count, "answered": answered, "least_ms": millis(*least), "most_ms": millis(*most),
    });
    let text = format!("{answered} of {} answered, {} to {}", ping.count, shown(*least), shown(*most));
    report.step("done", fields, &text);
    Ok(())
}
