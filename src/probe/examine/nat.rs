//! How this host's NAT maps, as a step of an examination.

use std::net::SocketAddr;

use roundtable_proto::nat::{Behaviour, Mapping, Verdict};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::sheet::Finding;
use crate::nat;

/// Asks the server, and `witness`, how UDP passes. What is silent costs seconds, up to four.
pub(super) async fn behaviour(
    server: SocketAddr,
    witness: Option<SocketAddr>,
    until: Instant,
) -> Option<Behaviour> {
    match timeout_at(until, nat::examine(server, witness)).await {
        Ok(Ok(Verdict::Seen(behaviour))) => Some(behaviour),
        Ok(Ok(Verdict::NoUdp) | Err(_)) | Err(_) => None,
    }
}

/// Says what the mapping means for calls.
pub(super) fn judge(behaviour: Option<&Behaviour>) -> Finding {
    let Some(behaviour) = behaviour else {
        return Finding::ok(
            "nat",
            "not examined: the server does not answer STUN (stun: false), or too much is lost",
        );
    };
    let details = json!({
        "mapping": behaviour.mapping.map(|mapping| mapping.to_string()),
        "filtering": behaviour.filtering.map(|filtering| filtering.to_string()),
    });
    let finding = match behaviour.mapping {
        None => Finding::ok(
            "nat",
            "how the NAT maps is not known: no second port of the server answers (altport)",
        ),
        Some(Mapping::EndpointIndependent) => Finding::ok(
            "nat",
            "all destinations see the same port: direct paths come about, unless it is otherwise on the other side",
        ),
        Some(Mapping::PortIndependent) => Finding::ok(
            "nat",
            "both ports of the server see the same port: direct paths come about, unless the NAT shows each address another \
             one, which a server with one address cannot tell (altaddress), or it is otherwise on the other side",
        ),
        Some(Mapping::AddressDependent | Mapping::Dependent | Mapping::AddressAndPortDependent) => {
            Finding::warning(
                "nat",
                "each destination sees another port (symmetric NAT): to peers behind such a NAT, or one that filters by port, no \
             direct path comes about",
                "these calls need a relay (TURN); roundtable-probe nat SERVER --with VERDICT forecasts a pair",
            )
        }
    };
    if behaviour.is_translated { finding.with(details) } else { Finding::ok("nat", "no NAT").with(details) }
}
