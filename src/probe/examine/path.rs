//! Why two peers find no direct path, from all that this side knows. Judges; knows nothing of sockets.

use std::net::SocketAddr;

use roundtable_proto::client::FailReason;
use roundtable_proto::nat::{Behaviour, Filtering, Forecast, Mapping, Side, Verdict, Why};
use roundtable_proto::wire::PeerId;
use serde_json::json;

use super::sheet::{Fault, Finding};
use crate::client::{ClientError, PunchedPath};
use crate::probe::failure::Failure;
use crate::probe::identity::Sealing;
use crate::probe::nat::reason_of;
use crate::probe::report::{millis, shown};

/// Beside why punching has failed.
pub(super) struct Known {
    /// Where the server sees the peer.
    pub(super) peer: Option<SocketAddr>,
    /// How this side's NAT behaves, where the server or another one could tell.
    pub(super) own: Option<Behaviour>,
    /// What was found out on the other side.
    pub(super) other: Option<Verdict>,
}

/// A cause, and what to do about it.
struct Cause {
    text: String,
    advice: String,
}

impl Cause {
    fn new(text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { text: text.into(), advice: advice.into() }
    }
}

/// Says which path there is.
pub(super) fn found(path: &PunchedPath) -> Finding {
    let kind = path.kind.name();
    let text = format!("a direct path to {} ({kind}), round trip {}", path.peer, shown(path.round_trip));
    Finding::ok("path", text).with(json!({
        "peer": path.peer.to_string(), "kind": kind, "round_trip_ms": millis(path.round_trip),
    }))
}

/// Tells whether how this side's NAT behaves would say more than the reason does.
pub(super) fn leaves_open(error: ClientError) -> bool {
    matches!(error, ClientError::Failed(FailReason::NoPath | FailReason::UdpBlocked))
}

/// Says why there is none.
pub(super) fn none(peer: PeerId, sealing: Sealing, error: ClientError, known: &Known) -> Finding {
    let Cause { text, advice } = match error {
        ClientError::Failed(reason) => cause(reason, known),
        ClientError::Ended
        | ClientError::Offer(_)
        | ClientError::Call(_)
        | ClientError::Declined
        | ClientError::Yielded
        | ClientError::Refused(_)
        | ClientError::Socket(_) => Cause::new(Failure::call(peer, sealing, error).to_string(), "try again"),
    };
    let own = known.own.map(|own| Verdict::Seen(own).to_string());
    Finding::failed("path", Fault::Call, format!("no direct path: {text}"), advice)
        .with(json!({ "nat": own }))
}

fn cause(reason: FailReason, known: &Known) -> Cause {
    let elsewhere = "use a TURN relay, or another network on";
    match reason {
        FailReason::NoPath => from_verdicts(known),
        FailReason::UdpBlocked if is_shut_here(known) => shut_here(),
        FailReason::UdpBlocked => blocked(),
        FailReason::BothSymmetric => Cause::new(reason.to_string(), format!("{elsewhere} one side")),
        FailReason::SymmetricHere => Cause::new(reason.to_string(), format!("{elsewhere} this side")),
        FailReason::SymmetricThere => Cause::new(reason.to_string(), format!("{elsewhere} the other side")),
        FailReason::SameNat => same_nat(),
        FailReason::NoCommonFamily => Cause::new(
            reason.to_string(),
            "use a TURN relay that has both, or give one side the other's family",
        ),
        FailReason::PeerGone => Cause::new(
            format!("{reason} since it answered"),
            "its program has ended or its network has gone: look there, and try again",
        ),
        FailReason::ServerSilent | FailReason::Unregistered => Cause::new(
            format!("{reason}, and so neither was told to start"),
            "the way to the server has broken down meanwhile, or the server has: run doctor here",
        ),
        FailReason::Refused(_)
        | FailReason::RefusedUnknown(_)
        | FailReason::Timeout
        | FailReason::NoAnswer
        | FailReason::NotAcknowledged
        | FailReason::Damaged
        | FailReason::Sealed(_)
        | FailReason::Superseded
        | FailReason::CallOver => Cause::new(reason.to_string(), "try again"),
    }
}

/// No probe came through, and the two peers could not tell each other why.
fn from_verdicts(known: &Known) -> Cause {
    let Some(own) = known.own else { return unknown() };
    if is_shut_here(known) {
        return shut_here();
    }
    if let Some(other) = &known.other {
        return from_both(&own, other);
    }
    if own.is_translated
        && known.peer.is_some_and(|peer| peer.ip() == own.public)
        && own.hairpin != Some(true)
    {
        return same_nat();
    }
    from_own(
        &own,
        "for the other side's part, name here as --with VERDICT what roundtable-probe nat SERVER says there",
    )
}

/// What this side's NAT does is known, and of the other's nothing; `ask` says how to learn that.
fn from_own(own: &Behaviour, ask: &str) -> Cause {
    let firewall = firewall(own);
    let mapping = match own.mapping {
        Some(Mapping::PortIndependent) if !own.is_translated => Some(Mapping::EndpointIndependent),
        mapping => mapping,
    };
    match (mapping, own.filtering) {
        (None, _) => unknown(),
        (Some(Mapping::AddressDependent | Mapping::Dependent | Mapping::AddressAndPortDependent), _) => {
            Cause::new(
                "this side's NAT gives each destination another port, and the other side does not let in what it cannot foresee",
                format!("use a TURN relay, or another network on this side; {ask}"),
            )
        }
        (Some(Mapping::PortIndependent), _) => Cause::new(
            format!(
                "this side's NAT shows both ports of the server the same port, so that cannot be all: the other side's NAT \
                 gives each destination another port, this one each address, or a firewall {firewall} stops UDP"
            ),
            format!(
                "use a TURN relay; run it again with --witness HOST (any STUN server at another address); {ask}"
            ),
        ),
        (Some(Mapping::EndpointIndependent), Some(Filtering::EndpointIndependent)) => Cause::new(
            "this side is open to everybody, so a firewall on the other side stops UDP to all but the server",
            "let UDP pass there, or use a TURN relay",
        ),
        (
            Some(Mapping::EndpointIndependent),
            None
            | Some(
                Filtering::PortIndependent | Filtering::AddressDependent | Filtering::AddressAndPortDependent,
            ),
        ) => {
            let seen = if own.is_translated {
                "this side's NAT shows everybody the same port"
            } else {
                "this side has no NAT"
            };
            Cause::new(
                format!(
                    "{seen}, so that cannot be all: the other side's NAT gives each destination another port, or a firewall \
                     {firewall} stops UDP"
                ),
                format!("use a TURN relay, or another network on the other side; {ask}"),
            )
        }
    }
}

/// What both NATs do is known.
fn from_both(own: &Behaviour, other: &Verdict) -> Cause {
    match Verdict::Seen(*own).forecast(other) {
        Forecast::Direct | Forecast::DirectIfStarts(_) => blocked(),
        Forecast::OnLocalNetwork => same_nat(),
        Forecast::DirectUnlessMappedByAddress => mapped_by_address(own, other),
        Forecast::Unknown(side) => left_open(own, other, side),
        Forecast::RelayNeeded(why) => {
            let side = match why {
                Why::NoUdp(Side::This) | Why::UdpToServerOnly(Side::This) | Why::PortUnknown(Side::This) => {
                    "this side"
                }
                Why::NoUdp(Side::Other)
                | Why::UdpToServerOnly(Side::Other)
                | Why::PortUnknown(Side::Other) => "the other side",
                Why::NoCommonFamily | Why::BothPortsUnknown => "one side",
            };
            Cause::new(reason_of(why), format!("use a TURN relay, or another network on {side}"))
        }
    }
}

/// Both sides show both ports of the server the same port, one of them at least no more than that.
fn mapped_by_address(own: &Behaviour, other: &Verdict) -> Cause {
    let (whose, there) = match (is_perhaps_steady(own), seen(other).is_some_and(is_perhaps_steady)) {
        (true, false) => ("this side's NAT gives", "on this side"),
        (false, true) => ("the other side's NAT gives", "on the other side"),
        (true, true) | (false, false) => ("either NAT gives", "on either side"),
    };
    Cause::new(
        format!(
            "both sides show both ports of the server the same port, so {whose} each address another one, or a firewall {} \
             stops UDP",
            firewall(own)
        ),
        format!("use a TURN relay; roundtable-probe nat SERVER --second HOST {there} tells which"),
    )
}

/// It turns on what was not found out about the NAT of this side.
fn left_open(own: &Behaviour, other: &Verdict, side: Side) -> Cause {
    let (open, open_side, varying) = match side {
        Side::This => (Some(own), "this side", "the other side"),
        Side::Other => (seen(other), "the other side", "this side"),
    };
    let Some(open) = open.filter(|open| open.mapping.is_some()) else {
        return from_own(own, "roundtable-probe nat SERVER there tells more of a server with altport");
    };
    let (perhaps, who_tells) = if open.filtering.is_none() {
        ("lets in only what it can foresee", "of a server with altport and altaddress tells what it lets in")
    } else {
        ("gives each address another one, too", "--second HOST tells whether it does")
    };
    Cause::new(
        format!(
            "{varying}'s NAT gives each destination another port, and {open_side}'s perhaps {perhaps}; or a firewall {} stops \
             UDP",
            firewall(own)
        ),
        format!(
            "use a TURN relay, or another network on {varying}; roundtable-probe nat SERVER {who_tells}, on {open_side}"
        ),
    )
}

/// Says where a firewall may be: only a witness tells that UDP passes to others than the server.
fn firewall(own: &Behaviour) -> &'static str {
    if own.elsewhere == Some(true) { "there" } else { "on either side" }
}

fn seen(verdict: &Verdict) -> Option<&Behaviour> {
    match verdict {
        Verdict::NoUdp => None,
        Verdict::Seen(behaviour) => Some(behaviour),
    }
}

fn is_perhaps_steady(behaviour: &Behaviour) -> bool {
    behaviour.is_translated && behaviour.mapping == Some(Mapping::PortIndependent)
}

/// Nothing is known of either.
fn unknown() -> Cause {
    Cause::new(
        "no probe was answered, and nobody can tell why: the NATs may give each destination another port, or a firewall on \
         either side stop UDP",
        "use a TURN relay; for the cause run it again with --witness HOST (another address of the server, or any STUN \
         server), or have the operator set altport",
    )
}

fn is_shut_here(known: &Known) -> bool {
    known.own.is_some_and(|own| own.elsewhere == Some(false))
}

fn shut_here() -> Cause {
    Cause::new(
        "this side's network lets UDP pass to the server, and to the witness not",
        "let UDP pass here, or use a TURN relay; if the witness is not well, name another one",
    )
}

fn blocked() -> Cause {
    Cause::new(
        "both NATs would allow one, so a firewall on either side stops UDP between the two",
        "let UDP pass at both sides' firewalls, or use a TURN relay; roundtable-probe nat SERVER --second HOST tells on \
         either side whether UDP passes to others than the server",
    )
}

fn same_nat() -> Cause {
    Cause::new(
        "both are behind one NAT, which does not let them meet outside, in networks that do not reach each other",
        "connect both to one local network, switch on hairpinning (NAT loopback) in the router, or use a TURN relay",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Verdict {
        format!("nat1/198.51.100.1/{text}").parse().unwrap()
    }

    fn text(own: &str, other: Option<&str>) -> String {
        judged(own, other).text
    }

    fn judged(own: &str, other: Option<&str>) -> Cause {
        let Verdict::Seen(own) = verdict(own) else { panic!("{own}") };
        let known = Known { peer: None, own: Some(own), other: other.map(|other| other.parse().unwrap()) };
        cause(FailReason::NoPath, &known)
    }

    #[test]
    fn what_this_sides_nat_cannot_be_the_cause_of_is_not_laid_on_it() {
        let open = "yes/endpoint-independent/endpoint-independent/yes/no/unknown";
        assert!(
            text(open, None).starts_with("this side is open to everybody, so a firewall on the other side")
        );
        let elsewhere = "no/endpoint-independent/address-and-port-dependent/yes/unknown/yes";
        assert!(text(elsewhere, None).starts_with("this side has no NAT, so that cannot be all"));
        assert!(text(elsewhere, None).ends_with("or a firewall there stops UDP"));
    }

    #[test]
    fn what_two_ports_of_one_address_leave_open_is_left_open() {
        let perhaps = "yes/port-independent/address-and-port-dependent/yes/no/unknown";
        for other in [None, Some("nat1/203.0.113.1/yes/unknown/unknown/yes/no/unknown")] {
            let text = text(perhaps, other);
            assert!(
                text.contains("gives each destination another port, this one each address, or a firewall"),
                "{text}"
            );
        }
        let symmetric =
            "nat1/203.0.113.1/yes/address-and-port-dependent/address-and-port-dependent/no/no/unknown";
        assert!(text(perhaps, Some(symmetric)).starts_with("the other side's NAT shows each destination"));
        let without_nat = "no/port-independent/address-and-port-dependent/yes/unknown/unknown";
        assert_eq!(
            text(without_nat, None),
            "this side has no NAT, so that cannot be all: the other side's NAT gives each destination another port, or a \
             firewall on either side stops UDP"
        );
    }

    #[test]
    fn verdict_of_the_other_side_that_leaves_something_open_is_not_contradicted_nor_asked_for_again() {
        let perhaps = "yes/port-independent/port-independent/yes/no/unknown";
        let steady = "yes/endpoint-independent/address-and-port-dependent/yes/no/unknown";
        let symmetric = "yes/address-and-port-dependent/address-and-port-dependent/no/no/unknown";
        let filtering_unknown = "yes/endpoint-independent/unknown/yes/no/unknown";
        let same = "both sides show both ports of the server the same port, so";
        let varies = "NAT gives each destination another port, and";
        for (own, other, cause, tells) in [
            (
                perhaps,
                steady,
                format!("{same} this side's NAT gives each address another one, or"),
                "this side",
            ),
            (steady, perhaps, format!("{same} the other side's NAT gives each address"), "the other side"),
            (
                perhaps,
                perhaps,
                format!("{same} either NAT gives each address another one, or"),
                "either side",
            ),
            (
                symmetric,
                perhaps,
                format!(
                    "this side's {varies} the other side's perhaps gives each address another one, too; or"
                ),
                "the other side",
            ),
            (
                perhaps,
                symmetric,
                format!(
                    "the other side's {varies} this side's perhaps gives each address another one, too; or"
                ),
                "this side",
            ),
            (
                symmetric,
                filtering_unknown,
                format!("this side's {varies} the other side's perhaps lets in only what it can foresee; or"),
                "the other side",
            ),
            (
                symmetric,
                "yes/unknown/unknown/yes/no/unknown",
                format!("this side's {varies} the other side"),
                "there",
            ),
        ] {
            let Cause { text, advice } = judged(own, Some(&format!("nat1/203.0.113.1/{other}")));
            assert!(text.starts_with(&cause), "{text}");
            assert!(!advice.contains("--with") && advice.contains(tells), "{advice}");
        }
    }

    #[test]
    fn verdicts_of_both_sides_name_one_cause() {
        let cone = "yes/endpoint-independent/address-and-port-dependent/yes/no/unknown";
        let other = "nat1/203.0.113.1/yes/endpoint-independent/address-dependent/yes/no/unknown";
        assert!(text(cone, Some(other)).starts_with("both NATs would allow one, so a firewall"));
        assert_eq!(text(cone, Some("nat1/no-udp")), "the other side's network lets no UDP pass");
        let neighbour = "nat1/198.51.100.1/yes/endpoint-independent/address-dependent/yes/no/unknown";
        assert!(text(cone, Some(neighbour)).starts_with("both are behind one NAT"));
    }
}
