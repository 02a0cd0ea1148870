//! `roundtable-probe nat`.

use roundtable_proto::nat::{Behaviour, Filtering, Forecast, Mapping, Side, Verdict, Why};
use serde_json::json;

use super::arguments::Nat;
use super::failure::Failure;
use super::report::Report;
use super::target;
use crate::nat::{NatError, examine};

pub(super) async fn run(report: &Report, nat: Nat) -> Result<(), Failure> {
    let server = target::answering(&nat.server).await?;
    let second = match &nat.second {
        Some(second) => Some(target::resolve(second).await?),
        None => None,
    };
    let verdict = examine(server, second).await.map_err(|error| match error {
        NatError::System(error) => Failure::System(error),
        NatError::NoStun => Failure::NoStun { server },
    })?;
    tell(report, &verdict);
    if let Some(other) = nat.with {
        forecast(report, verdict.forecast(&other));
    }
    Ok(())
}

fn tell(report: &Report, verdict: &Verdict) {
    let text = verdict.to_string();
    match verdict {
        Verdict::NoUdp => {
            let fields = json!({ "verdict": text, "udp": false });
            report.step(
                "nat",
                fields,
                "nothing comes back: this network lets no UDP pass, or no server is there",
            );
        }
        Verdict::Seen(behaviour) => {
            let Behaviour { public, is_translated, mapping, filtering, keeps_port, hairpin, elsewhere } =
                behaviour;
            let fields = json!({
                "verdict": text, "udp": true, "public": public.to_string(), "translated": is_translated,
                "mapping": mapping.map(|one| one.to_string()), "filtering": filtering.map(|one| one.to_string()),
                "keeps_port": keeps_port, "hairpin": hairpin, "elsewhere": elsewhere,
            });
            report.step("nat", fields, &sentences(behaviour).join("\n              "));
        }
    }
    report.text(&format!("verdict for the other side: {text}"));
}

fn sentences(behaviour: &Behaviour) -> Vec<String> {
    let Behaviour { public, is_translated, mapping, filtering, keeps_port, hairpin, elsewhere } = behaviour;
    let seen = if *is_translated { "behind a NAT" } else { "without a NAT" };
    let port = if *keeps_port { "keeps" } else { "changes" };
    let mut told = vec![
        format!("seen as {public}, {seen} that {port} the port"),
        match mapping {
            None => "mapping unknown: no second port of the server answers (altport)".to_owned(),
            Some(Mapping::PortIndependent) if !is_translated => {
                format!("mapping {}: without a NAT everybody sees the same port", Mapping::PortIndependent)
            }
            Some(mapping) => format!("mapping {mapping}: {}", explained(*mapping)),
        },
        match filtering {
            None => "filtering unknown: no second port of the server answers (altport)".to_owned(),
            Some(filtering) => format!("filtering {filtering}: {}", admitted(*filtering)),
        },
    ];
    if !is_translated {
        told[0] = format!("seen as {public}, without a NAT");
    }
    match hairpin {
        Some(true) => {
            told.push("hosts behind this NAT reach each other at their public addresses".to_owned())
        }
        Some(false) => {
            told.push("hosts behind this NAT do not reach each other at their public addresses".to_owned())
        }
        None => {}
    }
    if *elsewhere == Some(false) {
        told.push(
            "the second server does not answer: if it is well, this network lets UDP pass to the first alone"
                .to_owned(),
        );
    }
    told
}

const fn explained(mapping: Mapping) -> &'static str {
    match mapping {
        Mapping::EndpointIndependent => "everybody sees the same port",
        Mapping::PortIndependent => {
            "both ports of the server see the same port; whether other addresses do, only a second address tells (altaddress, \
             or --second HOST)"
        }
        Mapping::AddressDependent => "each address sees another port",
        Mapping::Dependent => {
            "each address sees another port (symmetric); whether each port of an address does, only a second port tells \
             (altport)"
        }
        Mapping::AddressAndPortDependent => "each destination sees another port (symmetric)",
    }
}

const fn admitted(filtering: Filtering) -> &'static str {
    match filtering {
        Filtering::EndpointIndependent => "everybody is let in",
        Filtering::PortIndependent => {
            "whoever has been sent to is let in, from any port; whether everybody is, only a second address of the server \
             tells (altaddress)"
        }
        Filtering::AddressDependent => "whoever has been sent to is let in, from any port",
        Filtering::AddressAndPortDependent => "whoever has been sent to is let in, from that port",
    }
}

fn forecast(report: &Report, forecast: Forecast) {
    let (name, reason) = match forecast {
        Forecast::Direct => ("direct", "a direct path will come about"),
        Forecast::DirectIfStarts(Side::This) => (
            "direct_if_this_starts",
            "a direct path will come about if this side starts, as it does upon the server's word",
        ),
        Forecast::DirectIfStarts(Side::Other) => (
            "direct_if_other_starts",
            "a direct path will come about if the other side starts, as it does upon the server's word",
        ),
        Forecast::OnLocalNetwork => (
            "local_network",
            "both are behind one NAT that does not let them meet outside: a direct path will come about if they are on one \
             local network",
        ),
        Forecast::DirectUnlessMappedByAddress => (
            "direct_unless_mapped_by_address",
            "a direct path will come about, unless a NAT shows each address another port, which a server with one address \
             cannot tell (altaddress, or --second HOST)",
        ),
        Forecast::Unknown(Side::This) => (
            "unknown",
            "it turns on what this side's NAT has not shown: a server with altport and altaddress tells",
        ),
        Forecast::Unknown(Side::Other) => (
            "unknown",
            "it turns on what the other side's NAT has not shown: a server with altport and altaddress tells",
        ),
        Forecast::RelayNeeded(why) => ("relay_needed", reason_of(why)),
    };
    let relay = if matches!(forecast, Forecast::RelayNeeded(_)) { "a relay (TURN) is needed: " } else { "" };
    report.step("forecast", json!({ "forecast": name, "reason": reason }), &format!("{relay}{reason}"));
}

/// Says why a relay is needed.
pub(super) const fn reason_of(why: Why) -> &'static str {
    match why {
        Why::NoUdp(Side::This) => "this side's network lets no UDP pass",
        Why::NoUdp(Side::Other) => "the other side's network lets no UDP pass",
        Why::UdpToServerOnly(Side::This) => "this side's network lets UDP pass to the server alone",
        Why::UdpToServerOnly(Side::Other) => "the other side's network lets UDP pass to the server alone",
        Why::NoCommonFamily => "one side has IPv4, the other IPv6",
        Why::PortUnknown(Side::This) => {
            "this side's NAT shows each destination another port, and the other's lets only known ports in"
        }
        Why::PortUnknown(Side::Other) => {
            "the other side's NAT shows each destination another port, and this side's lets only known ports in"
        }
        Why::BothPortsUnknown => "both NATs show each destination another port",
    }
}
