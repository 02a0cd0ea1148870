//! Hosts, realms and what travels between them, in virtual time. Knows nothing of what datagrams say.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::link::Lane;
use super::nat::{Behaviour, Nat};
use super::queue::Queue;
use super::{Link, Random};
use crate::Instant;

/// Bytes of an IPv4 and a UDP header.
const IPV4_UDP: usize = 28;
/// Bytes of an IPv6 and a UDP header.
const IPV6_UDP: usize = 48;
/// Routers that a packet may pass, so that a loop of NATs ends.
const HOPS_MAX: u8 = 16;

/// An address space: the internet, or the inside of one NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Realm(usize);

/// The realm that needs no NAT.
pub const INTERNET: Realm = Realm(0);

/// A machine with addresses in one realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host(usize);

/// A NAT or a firewall between a realm of its own and an outer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gateway(usize);

/// What a link may join to a realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// A host.
    Host(Host),
    /// The outer side of a NAT.
    Gateway(Gateway),
}

impl From<Host> for Node {
    fn from(host: Host) -> Self {
        Self::Host(host)
    }
}

impl From<Gateway> for Node {
    fn from(gateway: Gateway) -> Self {
        Self::Gateway(gateway)
    }
}

/// Why a datagram did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropCause {
    /// A link lost it.
    Loss,
    /// It was longer than a link's MTU.
    TooLong,
    /// A link was closed.
    Partition,
    /// Nobody has the destination address, or the host has no address of that family.
    NoRoute,
    /// The NAT has no mapping for the destination.
    NoMapping,
    /// The NAT has a mapping, which lets nothing in from that source.
    Filtered,
    /// The NAT does not turn packets back to its inside.
    NoHairpin,
    /// The NAT passes no UDP.
    Blocked,
    /// The NAT has no port left.
    NoPort,
    /// It has passed too many routers.
    TooManyHops,
}

/// A datagram that has reached a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whom it has reached.
    pub host: Host,
    /// Its source, as the host sees it.
    pub from: SocketAddr,
    /// The host's own address and port that it came to.
    pub to: SocketAddr,
    /// It is no datagram, but word that nothing listens at `from`.
    pub is_refusal: bool,
    /// The payload.
    pub contents: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Packet {
    from: SocketAddr,
    to: SocketAddr,
    hops: u8,
    is_refusal: bool,
    contents: Vec<u8>,
}

impl Packet {
    fn size(&self) -> usize {
        self.contents.len() + if self.to.is_ipv4() { IPV4_UDP } else { IPV6_UDP }
    }
}

/// What becomes of a packet at the end of a link.
#[derive(Clone, Copy, Debug)]
enum Hop {
    /// It enters a realm and is routed there.
    Route(Realm),
    /// It reaches a host or the outer side of a NAT.
    Reach(Node),
}

#[derive(Debug)]
struct Port {
    realm: Realm,
    up: Lane,
    down: Lane,
}

impl Port {
    const fn new(realm: Realm, link: Link) -> Self {
        Self { realm, up: Lane::new(link.up), down: Lane::new(link.down) }
    }
}

#[derive(Default)]
struct RealmState {
    gateway: Option<Gateway>,
    routes: BTreeMap<IpAddr, Node>,
}

struct HostState {
    port: Port,
    addresses: Vec<IpAddr>,
}

struct GatewayState {
    port: Port,
    inside: Realm,
    nat: Nat,
}

/// Hosts, NATs and links in virtual time; what is sent comes out of [`Network::poll`] when it is due.
pub struct Network {
    now: Instant,
    random: Random,
    realms: Vec<RealmState>,
    hosts: Vec<HostState>,
    gateways: Vec<GatewayState>,
    queue: Queue<(Hop, Packet)>,
    drops: BTreeMap<DropCause, u64>,
}

impl Network {
    /// Makes an empty internet. All that happens by chance in it follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            now: Instant::ORIGIN,
            random: Random::new(seed),
            realms: vec![RealmState::default()],
            hosts: Vec::new(),
            gateways: Vec::new(),
            queue: Queue::new(),
            drops: BTreeMap::new(),
        }
    }

    /// Adds a host to a realm, with at most one address of each family that counts as its source.
    pub fn add_host(&mut self, realm: Realm, addresses: &[IpAddr], link: Link) -> Host {
        let host = Host(self.hosts.len());
        self.hosts.push(HostState { port: Port::new(realm, link), addresses: addresses.to_vec() });
        self.announce(realm, addresses, host.into());
        host
    }

    /// Adds a NAT with a public address in the realm `outer`. Nest NATs by giving the inside of another one.
    pub fn add_nat(&mut self, outer: Realm, public: IpAddr, behaviour: Behaviour, link: Link) -> Gateway {
        let gateway = self.add_gateway(outer, Nat::new(behaviour, Some(public)), link);
        self.announce(outer, &[public], gateway.into());
        gateway
    }

    /// Adds a stateful firewall: it filters as `behaviour` says and translates nothing. The usual IPv6 home router.
    pub fn add_firewall(&mut self, outer: Realm, behaviour: Behaviour, link: Link) -> Gateway {
        self.add_gateway(outer, Nat::new(behaviour, None), link)
    }

    fn add_gateway(&mut self, outer: Realm, nat: Nat, link: Link) -> Gateway {
        let gateway = Gateway(self.gateways.len());
        let inside = Realm(self.realms.len());
        self.realms.push(RealmState { gateway: Some(gateway), routes: BTreeMap::new() });
        self.gateways.push(GatewayState { port: Port::new(outer, link), inside, nat });
        gateway
    }

    /// Returns the realm behind a NAT.
    #[must_use]
    pub fn inside(&self, gateway: Gateway) -> Realm {
        self.gateways[gateway.0].inside
    }

    /// Moves a host to another realm under other addresses. What was on its way to the old ones is lost.
    pub fn move_host(&mut self, host: Host, realm: Realm, addresses: &[IpAddr]) {
        let old = self.hosts[host.0].port.realm;
        let addresses_before = std::mem::replace(&mut self.hosts[host.0].addresses, addresses.to_vec());
        self.withdraw(old, &addresses_before);
        self.hosts[host.0].port.realm = realm;
        self.announce(realm, addresses, host.into());
    }

    /// Flushes a NAT's mappings, as a reboot does; the ports used before are not used again.
    pub fn rebind(&mut self, gateway: Gateway) {
        let public = self.gateways[gateway.0].nat.public();
        self.gateways[gateway.0].nat.rebind(public);
    }

    /// Flushes a NAT's mappings and gives it another public address, as a new lease does.
    pub fn rebind_to(&mut self, gateway: Gateway, public: IpAddr) {
        let outer = self.gateways[gateway.0].port.realm;
        if let Some(before) = self.gateways[gateway.0].nat.public() {
            self.withdraw(outer, &[before]);
            self.announce(outer, &[public], gateway.into());
        }
        self.gateways[gateway.0].nat.rebind(Some(public));
    }

    /// Returns how a NAT behaves.
    #[must_use]
    pub fn behaviour(&self, gateway: Gateway) -> Behaviour {
        self.gateways[gateway.0].nat.behaviour()
    }

    /// Changes how a NAT behaves from now on.
    pub fn set_behaviour(&mut self, gateway: Gateway, behaviour: Behaviour) {
        *self.gateways[gateway.0].nat.behaviour_mut() = behaviour;
    }

    /// Returns the conditions of the link that joins a node to its realm.
    #[must_use]
    pub fn link(&self, node: impl Into<Node>) -> Link {
        let port = match node.into() {
            Node::Host(host) => &self.hosts[host.0].port,
            Node::Gateway(gateway) => &self.gateways[gateway.0].port,
        };
        Link { up: port.up.conditions, down: port.down.conditions }
    }

    /// Changes the conditions of the link that joins a node to its realm.
    pub fn set_link(&mut self, node: impl Into<Node>, link: Link) {
        let port = self.port_mut(node.into());
        port.up.conditions = link.up;
        port.down.conditions = link.down;
    }

    /// Returns the host's own address for a destination of that family, if it has one.
    #[must_use]
    pub fn address(&self, host: Host, towards: IpAddr) -> Option<IpAddr> {
        self.hosts[host.0].addresses.iter().copied().find(|own| own.is_ipv4() == towards.is_ipv4())
    }

    /// Sends a datagram from a host's port.
    pub fn send(&mut self, host: Host, port: u16, to: SocketAddr, contents: &[u8]) {
        let Some(own) = self.address(host, to.ip()) else {
            return self.drop_for(DropCause::NoRoute);
        };
        let from = SocketAddr::new(own, port);
        let packet = Packet { from, to, hops: 0, is_refusal: false, contents: contents.to_vec() };
        self.send_up(host.into(), packet);
    }

    /// Says to the sender of a datagram, on the way that an answer would take, that nothing listens where it has arrived
    /// (ICMP port unreachable).
    pub fn refuse(&mut self, delivery: &Delivery) {
        let &Delivery { host, from, to, .. } = delivery;
        let packet = Packet { from: to, to: from, hops: 0, is_refusal: true, contents: Vec::new() };
        self.send_up(host.into(), packet);
    }

    /// Sends a datagram into a realm under any source address, as a network without source validation (BCP 38)
    /// allows. It passes no link on its way in.
    pub fn send_spoofed(&mut self, realm: Realm, from: SocketAddr, to: SocketAddr, contents: &[u8]) {
        let packet = Packet { from, to, hops: 0, is_refusal: false, contents: contents.to_vec() };
        self.schedule(self.now, Hop::Route(realm), packet);
    }

    /// Returns the moment up to which the network has run.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Returns when the next packet reaches the end of a link, if one is on its way.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.queue.next_at().map(|at| at.max(self.now))
    }

    /// Runs until a datagram reaches a host, but no further than `until`; then the time is `until`.
    pub fn poll(&mut self, until: Instant) -> Option<Delivery> {
        while let Some((at, (hop, packet))) = self.queue.pop_until(until) {
            self.now = self.now.max(at);
            let outcome = match hop {
                Hop::Route(realm) => self.route(realm, packet),
                Hop::Reach(Node::Gateway(gateway)) => self.come_in(gateway, packet),
                Hop::Reach(Node::Host(host)) => match self.reach(host, packet) {
                    Ok(delivery) => return Some(delivery),
                    Err(cause) => Err(cause),
                },
            };
            if let Err(cause) = outcome {
                self.drop_for(cause);
            }
        }
        self.now = self.now.max(until);
        None
    }

    /// Returns how many datagrams did not arrive, by cause.
    #[must_use]
    pub const fn drops(&self) -> &BTreeMap<DropCause, u64> {
        &self.drops
    }

    fn route(&mut self, realm: Realm, mut packet: Packet) -> Result<(), DropCause> {
        if packet.hops >= HOPS_MAX {
            return Err(DropCause::TooManyHops);
        }
        packet.hops += 1;
        let RealmState { gateway, routes } = &self.realms[realm.0];
        match (routes.get(&packet.to.ip()).copied(), *gateway) {
            (Some(node), _) => self.send_down(node, packet),
            (None, Some(gateway)) => self.go_out(gateway, packet)?,
            (None, None) => return Err(DropCause::NoRoute),
        }
        Ok(())
    }

    fn go_out(&mut self, gateway: Gateway, mut packet: Packet) -> Result<(), DropCause> {
        let GatewayState { inside, nat, .. } = &mut self.gateways[gateway.0];
        let turns_back = nat.public() == Some(packet.to.ip());
        if turns_back && !nat.behaviour().hairpin {
            return Err(DropCause::NoHairpin);
        }
        packet.from = nat.outbound(self.now, packet.from, packet.to, &mut self.random)?;
        if !turns_back {
            self.send_up(gateway.into(), packet);
            return Ok(());
        }
        packet.to = nat.inbound(self.now, packet.from, packet.to)?;
        let inside = *inside;
        self.schedule(self.now, Hop::Route(inside), packet);
        Ok(())
    }

    fn come_in(&mut self, gateway: Gateway, mut packet: Packet) -> Result<(), DropCause> {
        let GatewayState { inside, nat, .. } = &mut self.gateways[gateway.0];
        packet.to = nat.inbound(self.now, packet.from, packet.to)?;
        let inside = *inside;
        self.schedule(self.now, Hop::Route(inside), packet);
        Ok(())
    }

    fn reach(&self, host: Host, packet: Packet) -> Result<Delivery, DropCause> {
        // The host may have moved while the packet was on its link.
        if !self.hosts[host.0].addresses.contains(&packet.to.ip()) {
            return Err(DropCause::NoRoute);
        }
        let Packet { from, to, is_refusal, contents, .. } = packet;
        Ok(Delivery { host, from, to, is_refusal, contents })
    }

    fn send_up(&mut self, node: Node, packet: Packet) {
        let realm = self.port_mut(node).realm;
        self.carry(node, true, Hop::Route(realm), packet);
    }

    fn send_down(&mut self, node: Node, packet: Packet) {
        self.carry(node, false, Hop::Reach(node), packet);
    }

    fn carry(&mut self, node: Node, up: bool, hop: Hop, packet: Packet) {
        let now = self.now;
        let port = match node {
            Node::Host(host) => &mut self.hosts[host.0].port,
            Node::Gateway(gateway) => &mut self.gateways[gateway.0].port,
        };
        let lane = if up { &mut port.up } else { &mut port.down };
        match lane.carry(now, packet.size(), &mut self.random) {
            Err(cause) => self.drop_for(cause),
            Ok((first, second)) => {
                if let Some(second) = second {
                    self.schedule(second, hop, packet.clone());
                }
                self.schedule(first, hop, packet);
            }
        }
    }

    fn schedule(&mut self, at: Instant, hop: Hop, packet: Packet) {
        self.queue.push(at, (hop, packet));
    }

    fn drop_for(&mut self, cause: DropCause) {
        *self.drops.entry(cause).or_default() += 1;
    }

    fn port_mut(&mut self, node: Node) -> &mut Port {
        match node {
            Node::Host(host) => &mut self.hosts[host.0].port,
            Node::Gateway(gateway) => &mut self.gateways[gateway.0].port,
        }
    }

    /// Makes addresses known in a realm and, through firewalls, which translate nothing, further out.
    fn announce(&mut self, realm: Realm, addresses: &[IpAddr], node: Node) {
        self.realms[realm.0].routes.extend(addresses.iter().map(|address| (*address, node)));
        if let Some((gateway, outer)) = self.transparent(realm) {
            self.announce(outer, addresses, gateway.into());
        }
    }

    fn withdraw(&mut self, realm: Realm, addresses: &[IpAddr]) {
        for address in addresses {
            self.realms[realm.0].routes.remove(address);
        }
        if let Some((_, outer)) = self.transparent(realm) {
            self.withdraw(outer, addresses);
        }
    }

    fn transparent(&self, realm: Realm) -> Option<(Gateway, Realm)> {
        let gateway = self.realms[realm.0].gateway?;
        let GatewayState { port, nat, .. } = &self.gateways[gateway.0];
        nat.public().is_none().then_some((gateway, port.realm))
    }
}
