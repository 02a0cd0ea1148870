//! What may stand in a NAT lab, by name. Knows nothing of how it is made.

use std::fmt;
use std::str::FromStr;

/// What stands between a host and the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// A NAT that keeps the port and filters by address and port (RFC 4787: endpoint-independent mapping, address and
    /// port-dependent filtering).
    Cone,
    /// A NAT that keeps the port and filters by address.
    Restricted,
    /// A NAT that keeps the port and filters nothing that has a mapping.
    FullCone,
    /// A NAT that gives each destination another port.
    Symmetric,
    /// A cone behind the cone of a carrier.
    Carrier,
    /// A cone that lets UDP pass to and from the server only.
    Blocked,
    /// A cone that lets no UDP pass.
    Silent,
    /// IPv6 only, behind a stateful firewall.
    Ipv6,
    /// A cone for IPv4, a stateful firewall for IPv6.
    Dual,
    /// An IPv4 address of its own, without a NAT or firewall.
    Public,
    /// To the other host's network, too: both reach each other there.
    Neighbour,
    /// To the other host's network, whose NAT lets hosts inside reach each other at their public addresses, and in no other way.
    Hairpin,
    /// To the other host's network, in which hosts cannot reach each other.
    Isolated,
}

/// What a NAT's host does with UDP to its own public address that nobody has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// Nothing.
    Drop,
    /// It says so (ICMP), and forgets it.
    Reject,
    /// It takes it for its own, and remembers whom it came from.
    Accept,
}

/// How far a packet comes with a low time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hops {
    /// With 3 it leaves a carrier's NAT, and dies before the other side's.
    Usual,
    /// With 3 it reaches the other side's NAT: the providers are one.
    Near,
    /// With 3 it does not leave the first host's own network: there are two more routers in it.
    Deep,
}

const ACCESSES: [(Access, &str); 13] = [
    (Access::Cone, "cone"),
    (Access::Restricted, "restricted"),
    (Access::FullCone, "full-cone"),
    (Access::Symmetric, "symmetric"),
    (Access::Carrier, "carrier"),
    (Access::Blocked, "blocked"),
    (Access::Silent, "silent"),
    (Access::Ipv6, "ipv6"),
    (Access::Dual, "dual"),
    (Access::Public, "public"),
    (Access::Neighbour, "neighbour"),
    (Access::Hairpin, "hairpin"),
    (Access::Isolated, "isolated"),
];
const INPUTS: [(Input, &str); 3] =
    [(Input::Drop, "drop"), (Input::Reject, "reject"), (Input::Accept, "accept")];

impl Access {
    /// Tells whether the host is on the first host's network.
    pub(crate) const fn is_inside(self) -> bool {
        matches!(self, Self::Neighbour | Self::Hairpin | Self::Isolated)
    }

    /// Tells whether IPv4 goes this way.
    pub(crate) fn has_v4(self) -> bool {
        self != Self::Ipv6
    }

    /// Tells whether IPv6 goes this way.
    pub(crate) const fn has_v6(self) -> bool {
        matches!(self, Self::Ipv6 | Self::Dual)
    }
}

fn name<T: Copy + PartialEq>(names: &[(T, &'static str)], one: T) -> &'static str {
    names.iter().find(|(other, _)| *other == one).map_or("", |(_, name)| name)
}

fn read<T: Copy>(names: &[(T, &str)], text: &str) -> Result<T, String> {
    let found = names.iter().find(|(_, name)| *name == text).map(|(one, _)| *one);
    found.ok_or_else(|| {
        let names: Vec<_> = names.iter().map(|(_, name)| *name).collect();
        format!("{text:?} is none of {}", names.join(", "))
    })
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(&ACCESSES, *self))
    }
}

impl FromStr for Access {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(&ACCESSES, text)
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(&INPUTS, *self))
    }
}

impl FromStr for Input {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(&INPUTS, text)
    }
}
