//! One NAT: who inside is which port outside, and what may come in. Knows nothing of links or time's passing.
//!
//! The terms are those of RFC 4787.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{DropCause, Random};
use crate::Instant;

/// Ports that a NAT hands out when it does not keep the inside one.
const PORTS: std::ops::RangeInclusive<u16> = 1024..=u16::MAX;
/// Attempts to find a free port before the NAT gives up.
const PORT_ATTEMPTS: usize = 4096;

/// On what a mapping or a filter depends. RFC 4787 section 4.1 and 5
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependence {
    /// Not on the remote endpoint.
    EndpointIndependent,
    /// On the remote address.
    AddressDependent,
    /// On the remote address and port.
    AddressAndPortDependent,
}

impl Dependence {
    /// Every dependence, from the most to the least permissive.
    pub const ALL: [Self; 3] =
        [Self::EndpointIndependent, Self::AddressDependent, Self::AddressAndPortDependent];
}

/// What a NAT's own router does with a packet to its public address that no mapping lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unasked {
    /// It drops the packet without a trace.
    Drop,
    /// It takes the packet for itself and remembers the flow, as Linux does where its input chain accepts: an inside
    /// host that then sends to the same remote cannot keep its port for it, and every further packet refreshes that.
    Accept,
}

/// How a NAT behaves. The constructors name the usual kinds; every field may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// When an inside address and port get another public port.
    pub mapping: Dependence,
    /// From whom a mapping lets packets in.
    pub filtering: Dependence,
    /// Whether the public port is the inside one where that is free.
    pub port_preservation: bool,
    /// A mapping, and each permission in it, lives so long after the last outbound packet.
    pub lifetime: Duration,
    /// Whether inside hosts reach each other through public addresses.
    pub hairpin: bool,
    /// What happens to packets that are not let in.
    pub unasked: Unasked,
    /// False where UDP is blocked.
    pub udp: bool,
}

impl Behaviour {
    /// A NAT of those dependences that keeps ports, forgets after 30 s and has no hairpin.
    #[must_use]
    pub const fn new(mapping: Dependence, filtering: Dependence) -> Self {
        Self {
            mapping,
            filtering,
            port_preservation: true,
            lifetime: Duration::from_secs(30),
            hairpin: false,
            unasked: Unasked::Drop,
            udp: true,
        }
    }

    /// "Full cone": anybody may send to a mapping.
    #[must_use]
    pub const fn full_cone() -> Self {
        Self::new(Dependence::EndpointIndependent, Dependence::EndpointIndependent)
    }

    /// "Address-restricted cone": any port of an address that was sent to.
    #[must_use]
    pub const fn address_restricted() -> Self {
        Self::new(Dependence::EndpointIndependent, Dependence::AddressDependent)
    }

    /// "Port-restricted cone": only addresses and ports that were sent to. The usual home router.
    #[must_use]
    pub const fn port_restricted() -> Self {
        Self::new(Dependence::EndpointIndependent, Dependence::AddressAndPortDependent)
    }

    /// "Symmetric": another, random port for each remote.
    #[must_use]
    pub const fn symmetric() -> Self {
        let mut behaviour =
            Self::new(Dependence::AddressAndPortDependent, Dependence::AddressAndPortDependent);
        behaviour.port_preservation = false;
        behaviour
    }

    /// A firewall that lets no UDP out.
    #[must_use]
    pub const fn blocked() -> Self {
        let mut behaviour = Self::port_restricted();
        behaviour.udp = false;
        behaviour
    }
}

/// An inside endpoint, and as much of the remote one as the mapping depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    inside: SocketAddr,
    remote: Option<IpAddr>,
    remote_port: Option<u16>,
}

#[derive(Debug)]
struct Mapping {
    public: SocketAddr,
    refreshed: Instant,
    /// To whom it has sent, and when last.
    sent_to: BTreeMap<SocketAddr, Instant>,
}

/// A NAT, or, without a public address, a stateful firewall that translates nothing.
#[derive(Debug)]
pub(super) struct Nat {
    behaviour: Behaviour,
    /// None for a firewall.
    public: Option<IpAddr>,
    mappings: BTreeMap<Flow, Mapping>,
    /// The flow of each public endpoint in use. For a firewall these are the inside endpoints.
    outside: BTreeMap<SocketAddr, Flow>,
    /// Flows that the router took for itself: own endpoint, remote endpoint, last packet.
    taken: BTreeMap<(SocketAddr, SocketAddr), Instant>,
    /// Ports in use when the mappings were flushed last; they are not handed out again.
    flushed: BTreeSet<u16>,
}

impl Nat {
    pub(super) const fn new(behaviour: Behaviour, public: Option<IpAddr>) -> Self {
        Self {
            behaviour,
            public,
            mappings: BTreeMap::new(),
            outside: BTreeMap::new(),
            taken: BTreeMap::new(),
            flushed: BTreeSet::new(),
        }
    }

    pub(super) const fn public(&self) -> Option<IpAddr> {
        self.public
    }

    pub(super) const fn behaviour_mut(&mut self) -> &mut Behaviour {
        &mut self.behaviour
    }

    pub(super) const fn behaviour(&self) -> Behaviour {
        self.behaviour
    }

    /// Forgets every mapping; no public port in use before is used again. The public address may change too.
    pub(super) fn rebind(&mut self, public: Option<IpAddr>) {
        self.flushed = self.outside.keys().map(SocketAddr::port).collect();
        self.mappings.clear();
        self.outside.clear();
        self.taken.clear();
        if self.public.is_some() && public.is_some() {
            self.public = public;
        }
    }

    /// Translates the source of a packet from inside.
    pub(super) fn outbound(
        &mut self,
        now: Instant,
        inside: SocketAddr,
        remote: SocketAddr,
        random: &mut Random,
    ) -> Result<SocketAddr, DropCause> {
        if !self.behaviour.udp {
            return Err(DropCause::Blocked);
        }
        if self.public.is_some_and(|public| public.is_ipv4() != inside.is_ipv4()) {
            return Err(DropCause::NoRoute);
        }
        let mut flow = self.flow(inside, remote);
        if !self.is_live(now, &flow) {
            self.open(now, flow, random)?;
        }
        if self.is_taken(now, &flow, remote) {
            flow = Flow { inside, remote: Some(remote.ip()), remote_port: Some(remote.port()) };
            self.open_elsewhere(now, flow, random)?;
        }
        let lifetime = self.behaviour.lifetime;
        let mapping = self.mappings.get_mut(&flow).ok_or(DropCause::NoMapping)?;
        mapping.refreshed = now;
        mapping.sent_to.retain(|_, sent| now.since(*sent) < lifetime);
        mapping.sent_to.insert(remote, now);
        Ok(mapping.public)
    }

    /// Finds the inside endpoint for a packet from outside.
    pub(super) fn inbound(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        public: SocketAddr,
    ) -> Result<SocketAddr, DropCause> {
        if !self.behaviour.udp {
            return Err(DropCause::Blocked);
        }
        let refused = match self.outside.get(&public).copied() {
            None => DropCause::NoMapping,
            Some(flow) if !self.is_live(now, &flow) => DropCause::NoMapping,
            Some(flow) if !self.lets_in(now, &flow, remote) => DropCause::Filtered,
            Some(flow) => return Ok(flow.inside),
        };
        if self.behaviour.unasked == Unasked::Accept {
            self.taken.insert((public, remote), now);
        }
        Err(refused)
    }

    fn flow(&self, inside: SocketAddr, remote: SocketAddr) -> Flow {
        let (ip, port) = match self.behaviour.mapping {
            _ if self.public.is_none() => (None, None),
            Dependence::EndpointIndependent => (None, None),
            Dependence::AddressDependent => (Some(remote.ip()), None),
            Dependence::AddressAndPortDependent => (Some(remote.ip()), Some(remote.port())),
        };
        Flow { inside, remote: ip, remote_port: port }
    }

    fn is_live(&self, now: Instant, flow: &Flow) -> bool {
        self.mappings.get(flow).is_some_and(|mapping| now.since(mapping.refreshed) < self.behaviour.lifetime)
    }

    fn lets_in(&self, now: Instant, flow: &Flow, remote: SocketAddr) -> bool {
        let Some(mapping) = self.mappings.get(flow) else { return false };
        let mut live = mapping.sent_to.iter().filter(|(_, sent)| now.since(**sent) < self.behaviour.lifetime);
        match self.behaviour.filtering {
            Dependence::EndpointIndependent => true,
            Dependence::AddressDependent => live.any(|(to, _)| to.ip() == remote.ip()),
            Dependence::AddressAndPortDependent => live.any(|(to, _)| *to == remote),
        }
    }

    /// Tells whether the router itself holds the flow between this mapping's public endpoint and the remote, and
    /// keeps it so.
    fn is_taken(&mut self, now: Instant, flow: &Flow, remote: SocketAddr) -> bool {
        let lifetime = self.behaviour.lifetime;
        let Some(mapping) = self.mappings.get(flow) else { return false };
        match self.taken.get_mut(&(mapping.public, remote)) {
            Some(last) if now.since(*last) < lifetime => {
                *last = now;
                true
            }
            Some(_) | None => false,
        }
    }

    fn open(&mut self, now: Instant, flow: Flow, random: &mut Random) -> Result<(), DropCause> {
        self.close(&flow);
        let public = match self.public {
            None => flow.inside,
            Some(ip) => {
                let wanted = SocketAddr::new(ip, flow.inside.port());
                let keep = self.behaviour.port_preservation && self.is_free(now, wanted);
                if keep { wanted } else { self.any_port(now, ip, random)? }
            }
        };
        self.insert(now, flow, public);
        Ok(())
    }

    /// Opens a mapping for one remote alone, on a port of its own.
    fn open_elsewhere(&mut self, now: Instant, flow: Flow, random: &mut Random) -> Result<(), DropCause> {
        let Some(ip) = self.public else { return Err(DropCause::NoMapping) };
        if self.is_live(now, &flow) {
            return Ok(());
        }
        self.close(&flow);
        let public = self.any_port(now, ip, random)?;
        self.insert(now, flow, public);
        Ok(())
    }

    fn insert(&mut self, now: Instant, flow: Flow, public: SocketAddr) {
        if let Some(expired) = self.outside.insert(public, flow) {
            self.mappings.remove(&expired);
        }
        self.mappings.insert(flow, Mapping { public, refreshed: now, sent_to: BTreeMap::new() });
    }

    fn close(&mut self, flow: &Flow) {
        if let Some(mapping) = self.mappings.remove(flow) {
            self.outside.remove(&mapping.public);
        }
    }

    fn any_port(&self, now: Instant, ip: IpAddr, random: &mut Random) -> Result<SocketAddr, DropCause> {
        (0..PORT_ATTEMPTS)
            .map(|_| random.between(u64::from(*PORTS.start()), u64::from(*PORTS.end())))
            .filter_map(|port| u16::try_from(port).ok())
            .map(|port| SocketAddr::new(ip, port))
            .find(|public| self.is_free(now, *public))
            .ok_or(DropCause::NoPort)
    }

    fn is_free(&self, now: Instant, public: SocketAddr) -> bool {
        let in_use = self.outside.get(&public).is_some_and(|flow| self.is_live(now, flow));
        !in_use && !self.flushed.contains(&public.port())
    }
}
