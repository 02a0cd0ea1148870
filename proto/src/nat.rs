//! How a host's way to the internet treats UDP, in the terms of RFC 4787, and what that means for a direct path between two.
//!
//! Judges what others have found out (RFC 5780); asks nobody, and knows nothing of sockets.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// By what the public port of one local port changes. RFC 4787, 4.1
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mapping {
    /// By nothing: it is the same towards everybody.
    EndpointIndependent,
    /// Not by the other side's port. By its address or not at all: only ports of one address were asked.
    PortIndependent,
    /// By the other side's address.
    AddressDependent,
    /// By the other side's address, and by its port or not: no two ports of one address were asked.
    Dependent,
    /// By the other side's address and port.
    AddressAndPortDependent,
}

/// Whom a mapping lets in. RFC 4787, 5
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filtering {
    /// Everybody.
    EndpointIndependent,
    /// Every port of an address that was sent to. Everybody or not: only one address was there to try it.
    PortIndependent,
    /// Every port of an address that was sent to.
    AddressDependent,
    /// Only an address and port that was sent to.
    AddressAndPortDependent,
}

/// What was found out about one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing comes back from the server: UDP does not pass.
    NoUdp,
    /// UDP passes.
    Seen(Behaviour),
}

/// How UDP passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// The address under which others see the host.
    pub public: IpAddr,
    /// Whether that is not its own: there is a NAT.
    pub is_translated: bool,
    /// None where the server could not be asked at a second place.
    pub mapping: Option<Mapping>,
    /// None where the server does not answer from a second place.
    pub filtering: Option<Filtering>,
    /// Whether the public port is the local one.
    pub keeps_port: bool,
    /// Whether hosts behind this NAT reach each other at their public addresses; none without a NAT.
    pub hairpin: Option<bool>,
    /// Whether another server than that of the signalling answers; none where none was asked.
    pub elsewhere: Option<bool>,
}

/// One of two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Whose verdict was asked for the forecast.
    This,
    /// The other.
    Other,
}

/// What will become of a direct path between two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forecast {
    /// It comes about.
    Direct,
    /// It comes about, unless one of the NATs maps by address: only ports of one address were asked.
    DirectUnlessMappedByAddress,
    /// It comes about if this side's first datagram leaves no later than the other's: the server's PUNCH sees to it.
    DirectIfStarts(Side),
    /// Both are behind one NAT that does not let them meet outside: it comes about if they are on one local network.
    OnLocalNetwork,
    /// It cannot be said, since it turns on what was not found out about this side's NAT.
    Unknown(Side),
    /// It does not come about.
    RelayNeeded(Why),
}

/// Why a relay (TURN) is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// This side's network lets no UDP pass.
    NoUdp(Side),
    /// This side's network lets UDP pass to the server, and to nobody else.
    UdpToServerOnly(Side),
    /// One has IPv4, the other IPv6.
    NoCommonFamily,
    /// This side's NAT shows each destination another port, and the other's lets only known ports in.
    PortUnknown(Side),
    /// Both NATs show each destination another port.
    BothPortsUnknown,
}

impl Verdict {
    /// Says what will become of a direct path to the host that `other` was found out about.
    #[must_use]
    pub fn forecast(&self, other: &Self) -> Forecast {
        let (this, other) = match (self, other) {
            (Self::NoUdp, _) => return Forecast::RelayNeeded(Why::NoUdp(Side::This)),
            (Self::Seen(_), Self::NoUdp) => return Forecast::RelayNeeded(Why::NoUdp(Side::Other)),
            (Self::Seen(this), Self::Seen(other)) => (this, other),
        };
        for (one, side) in [(this, Side::This), (other, Side::Other)] {
            if one.elsewhere == Some(false) {
                return Forecast::RelayNeeded(Why::UdpToServerOnly(side));
            }
        }
        if this.public.is_ipv4() != other.public.is_ipv4() {
            return Forecast::RelayNeeded(Why::NoCommonFamily);
        }
        if this.is_translated && this.public == other.public {
            return match (this.hairpin, this.port()) {
                (Some(true), Some(Port::Steady)) => Forecast::Direct,
                (Some(true), Some(Port::PerhapsSteady)) => Forecast::DirectUnlessMappedByAddress,
                (Some(true), Some(Port::Varies) | None) | (Some(false) | None, _) => Forecast::OnLocalNetwork,
            };
        }
        let (Some(of_this), Some(of_other)) = (this.port(), other.port()) else {
            let side = if this.mapping.is_none() { Side::This } else { Side::Other };
            return Forecast::Unknown(side);
        };
        match (of_this, of_other) {
            (Port::Steady, Port::Steady) => Forecast::Direct,
            (Port::Steady | Port::PerhapsSteady, Port::Steady | Port::PerhapsSteady) => {
                Forecast::DirectUnlessMappedByAddress
            }
            (Port::Varies, Port::Varies) => Forecast::RelayNeeded(Why::BothPortsUnknown),
            (Port::Steady | Port::PerhapsSteady, Port::Varies) => {
                this.meets_unknown_port(of_this, Side::This, Side::Other)
            }
            (Port::Varies, Port::Steady | Port::PerhapsSteady) => {
                other.meets_unknown_port(of_other, Side::Other, Side::This)
            }
        }
    }
}

impl Behaviour {
    /// Tells whether the port that the server sees is the one that others see.
    fn port(&self) -> Option<Port> {
        self.mapping.map(|mapping| match mapping {
            Mapping::EndpointIndependent => Port::Steady,
            // Without a NAT nothing is mapped by address.
            Mapping::PortIndependent if !self.is_translated => Port::Steady,
            Mapping::PortIndependent => Port::PerhapsSteady,
            Mapping::AddressDependent | Mapping::Dependent | Mapping::AddressAndPortDependent => Port::Varies,
        })
    }

    /// Forecasts for this host, which is on side `own` and not known to vary, and another whose port nobody knows beforehand.
    const fn meets_unknown_port(&self, port: Port, own: Side, other: Side) -> Forecast {
        match (self.filtering, port) {
            (Some(Filtering::AddressAndPortDependent), _) => Forecast::RelayNeeded(Why::PortUnknown(other)),
            (None, _) | (Some(_), Port::PerhapsSteady | Port::Varies) => Forecast::Unknown(own),
            (Some(Filtering::EndpointIndependent), Port::Steady) => Forecast::Direct,
            (Some(Filtering::PortIndependent | Filtering::AddressDependent), Port::Steady) => {
                Forecast::DirectIfStarts(own)
            }
        }
    }
}

/// Whether the public port that the server sees is the one that others see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Steady,
    /// Unless the NAT maps by address.
    PerhapsSteady,
    Varies,
}

/// Where a host was seen from one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// By whom.
    pub server: SocketAddr,
    /// Where.
    pub mapped: SocketAddr,
}

/// Judges the mapping by what several places have seen of one socket, and says no more than they can tell; none for a single
/// place. RFC 5780, 4.3
#[must_use]
pub fn mapping(seen: &[Sighting]) -> Option<Mapping> {
    let pairs =
        || seen.iter().enumerate().flat_map(|(at, one)| seen[at + 1..].iter().map(move |other| (one, other)));
    let differ = |by_port: bool| {
        pairs()
            .filter(|(one, other)| one.server != other.server)
            .filter(|(one, other)| (one.server.ip() == other.server.ip()) == by_port)
            .map(|(one, other)| one.mapped != other.mapped)
            .reduce(|any, one| any || one)
    };
    match (differ(true), differ(false)) {
        (None, None) => None,
        (Some(true), _) => Some(Mapping::AddressAndPortDependent),
        (Some(false), None) => Some(Mapping::PortIndependent),
        (Some(false), Some(true)) => Some(Mapping::AddressDependent),
        (None, Some(true)) => Some(Mapping::Dependent),
        (None | Some(false), Some(false)) => Some(Mapping::EndpointIndependent),
    }
}

const MAPPINGS: [(Mapping, &str); 5] = [
    (Mapping::EndpointIndependent, "endpoint-independent"),
    (Mapping::PortIndependent, "port-independent"),
    (Mapping::AddressDependent, "address-dependent"),
    (Mapping::Dependent, "dependent"),
    (Mapping::AddressAndPortDependent, "address-and-port-dependent"),
];
const FILTERINGS: [(Filtering, &str); 4] = [
    (Filtering::EndpointIndependent, "endpoint-independent"),
    (Filtering::PortIndependent, "port-independent"),
    (Filtering::AddressDependent, "address-dependent"),
    (Filtering::AddressAndPortDependent, "address-and-port-dependent"),
];

impl fmt::Display for Mapping {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(name(&MAPPINGS, *self))
    }
}

impl fmt::Display for Filtering {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(name(&FILTERINGS, *self))
    }
}

fn name<T: Copy + PartialEq>(names: &[(T, &'static str)], one: T) -> &'static str {
    names.iter().find(|(other, _)| *other == one).map_or("", |(_, name)| name)
}

fn named<T: Copy>(names: &[(T, &str)], text: &str) -> Option<T> {
    names.iter().find(|(_, name)| *name == text).map(|(one, _)| *one)
}

/// Begins the text of a verdict.
const TEXT: &str = "nat1";
/// Stands for what is not known.
const UNKNOWN: &str = "unknown";

/// One word, to be handed to the other side. The next version begins otherwise.
impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Seen(behaviour) = self else { return write!(out, "{TEXT}/no-udp") };
        let Behaviour { public, is_translated, mapping, filtering, keeps_port, hairpin, elsewhere } =
            behaviour;
        let maybe = |yes: Option<bool>| yes.map_or(UNKNOWN, |yes| if yes { "yes" } else { "no" });
        write!(
            out,
            "{TEXT}/{public}/{}/{}/{}/{}/{}/{}",
            maybe(Some(*is_translated)),
            mapping.map_or(UNKNOWN, |one| name(&MAPPINGS, one)),
            filtering.map_or(UNKNOWN, |one| name(&FILTERINGS, one)),
            maybe(Some(*keeps_port)),
            maybe(*hairpin),
            maybe(*elsewhere)
        )
    }
}

/// The text is no verdict of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoVerdict;

impl fmt::Display for NoVerdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "no verdict: it begins with {TEXT}/ and is what the other side was shown")
    }
}

impl std::error::Error for NoVerdict {}

impl FromStr for Verdict {
    type Err = NoVerdict;

    fn from_str(text: &str) -> Result<Self, NoVerdict> {
        let words: Vec<_> = text.split('/').collect();
        let [TEXT, public, rest @ ..] = &words[..] else { return Err(NoVerdict) };
        if (*public, rest) == ("no-udp", &[]) {
            return Ok(Self::NoUdp);
        }
        let [is_translated, mapping, filtering, keeps_port, hairpin, elsewhere] = rest else {
            return Err(NoVerdict);
        };
        let maybe = |word: &str| {
            named(&[(Some(true), "yes"), (Some(false), "no"), (None, UNKNOWN)], word).ok_or(NoVerdict)
        };
        let surely = |word: &str| maybe(word)?.ok_or(NoVerdict);
        let known =
            |word: &str, is_known: bool| if word == UNKNOWN || is_known { Ok(()) } else { Err(NoVerdict) };
        let (maps, filters) = (named(&MAPPINGS, mapping), named(&FILTERINGS, filtering));
        known(mapping, maps.is_some())?;
        known(filtering, filters.is_some())?;
        Ok(Self::Seen(Behaviour {
            public: public.parse().map_err(|_| NoVerdict)?,
            is_translated: surely(is_translated)?,
            mapping: maps,
            filtering: filters,
            keeps_port: surely(keeps_port)?,
            hairpin: maybe(hairpin)?,
            elsewhere: maybe(elsewhere)?,
        }))
    }
}

#[cfg(test)]
#[path = "nat/tests.rs"]
mod tests;
