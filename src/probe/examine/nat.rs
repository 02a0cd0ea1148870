//! How this host's NAT maps, as a step of an examination.

use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::nat::{Behaviour, Mapping, Verdict};
use serde_json::json;
use tokio::time::timeout;

use super::sheet::Finding;
use crate::nat;

/// For the server's answers.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the server, and says what the mapping means for calls.
pub(super) async fn examine(server: SocketAddr) -> Finding {
    match timeout(PATIENCE, nat::examine(server, None)).await {
        Ok(Ok(Verdict::Seen(behaviour))) => judge(&behaviour),
        Ok(Ok(Verdict::NoUdp) | Err(_)) | Err(_) => Finding::ok(
            "nat",
            "not examined: the server does not answer STUN (stun: false), or too much is lost",
        ),
    }
}

fn judge(behaviour: &Behaviour) -> Finding {
    let details = json!({
        "mapping": behaviour.mapping.map(|mapping| mapping.to_string()),
        "filtering": behaviour.filtering.map(|filtering| filtering.to_string()),
    });
    let finding = match behaviour.mapping {
        None => Finding::ok("nat", "how the NAT maps is not known: the server has no second port (altport)"),
        Some(Mapping::EndpointIndependent) => {
            Finding::ok("nat", "all destinations see the same port: direct paths come about")
        }
        Some(Mapping::AddressDependent | Mapping::AddressAndPortDependent) => Finding::warning(
            "nat",
            "each destination sees another port (symmetric NAT): to peers behind such a NAT, or one that filters by port, no \
             direct path comes about",
            "these calls need a relay (TURN); roundtable-probe nat SERVER --with VERDICT forecasts a pair",
        ),
    };
    if behaviour.is_translated { finding.with(details) } else { Finding::ok("nat", "no NAT").with(details) }
}
