//! Hosts, cables, addresses and routes of a NAT lab. Knows nothing of what is filtered.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::plan::{Access, Hops, Input};
use super::router::{self, INSIDE, OUTSIDE};
use super::{SERVER_V4, SERVER_V6, Site, frame};
use crate::lab;

/// What the server and its neighbours are addressed by.
const SERVER_NETWORK: &str = "192.0.2.0/25";

impl Site {
    pub(crate) const ALL: [Self; 4] = [Self::Alice, Self::Bob, Self::Server, Self::Elsewhere];

    /// Name of its host, and of what stands before it.
    const fn name(self) -> &'static str {
        match self {
            Self::Alice => "alice",
            Self::Bob => "bob",
            Self::Server => "server",
            Self::Elsewhere => "elsewhere",
        }
    }

    /// Its interface in the core.
    pub(crate) const fn interface(self) -> &'static str {
        match self {
            Self::Alice => "to-alice",
            Self::Bob => "to-bob",
            Self::Server => "to-server",
            Self::Elsewhere => "to-elsewhere",
        }
    }

    /// Network, what it starts with, and its first address's last number.
    const fn network(self) -> (&'static str, &'static str, u8) {
        match self {
            Self::Alice => ("198.51.100.0/25", "198.51.100", 1),
            Self::Elsewhere => ("198.51.100.128/25", "198.51.100", 129),
            Self::Bob => ("203.0.113.0/25", "203.0.113", 1),
            Self::Server => (SERVER_NETWORK, "192.0.2", 1),
        }
    }

    /// The public address of its NAT, or of the server.
    pub(crate) fn public(self) -> String {
        let (_, start, first) = self.network();
        format!("{start}.{first}")
    }

    /// The address of its provider, which is the way to all others.
    fn gateway(self) -> String {
        let (_, start, first) = self.network();
        format!("{start}.{}", first + 125)
    }

    fn v6(self) -> &'static str {
        match self {
            Self::Alice => "2001:db8:a",
            Self::Bob => "2001:db8:b",
            Self::Server => "2001:db8:5",
            Self::Elsewhere => "2001:db8:e",
        }
    }
}

/// What `ip` is to do, on each host and before there are any.
#[derive(Default)]
pub(super) struct Wiring {
    cables: String,
    hosts: BTreeMap<String, Host>,
}

#[derive(Default)]
struct Host {
    words: String,
    router: Option<Filter>,
}

struct Filter {
    access: Access,
    hairpin: Option<String>,
}

impl Wiring {
    /// Lays the way from a host to its provider, and from the second host too where `second` says so.
    pub(super) fn access(&mut self, site: Site, access: Access, second: Access) {
        let (host, nat) = (site.name(), format!("{}-nat", site.name()));
        let hairpin = (second == Access::Hairpin).then(|| site.public());
        let own = if access == Access::Carrier { Access::Cone } else { access };
        self.host(&nat).router = Some(Filter { access: own, hairpin });
        if second.is_inside() {
            self.network_of_two(&nat, second != Access::Neighbour);
        } else {
            self.cable((host, "eth0"), (&nat, INSIDE));
        }
        let (start, prefix, first) = if access == Access::Public {
            let (_, start, _) = site.network();
            (start, 29, 9)
        } else {
            ("192.168.1", 24, 1)
        };
        if access.has_v4() {
            self.ip(&nat, &format!("address add {start}.{first}/{prefix} dev {INSIDE}"));
        }
        if access.has_v6() {
            self.ip(&nat, &format!("address add {}:1::1/64 dev {INSIDE} nodad", site.v6()));
        }
        let hosts = [host, "bob"].into_iter().take(if second.is_inside() { 2 } else { 1 });
        for (host, number) in hosts.zip(1..) {
            if access.has_v4() {
                self.ip(host, &format!("address add {start}.{}/{prefix} dev eth0", first + number));
                self.ip(host, &format!("route add default via {start}.{first}"));
            }
            if access.has_v6() {
                self.ip(host, &format!("address add {}:1::{}/64 dev eth0 nodad", site.v6(), number + 1));
                self.ip(host, &format!("route add default via {}:1::1", site.v6()));
            }
        }
        let outermost = if access == Access::Carrier { self.carrier(site, &nat) } else { nat };
        self.provider(site, &outermost, access);
    }

    /// The server, with two addresses of each family.
    pub(super) fn server(&mut self) {
        self.provider(Site::Server, Site::Server.name(), Access::Dual);
        self.ip("server", &format!("address add {}/25 dev {OUTSIDE}", SERVER_V4[1]));
        self.ip("server", &format!("address add {}/64 dev {OUTSIDE} nodad", SERVER_V6[1]));
    }

    /// Another network for alice, who is not there yet.
    pub(super) fn elsewhere(&mut self) {
        let nat = "elsewhere-nat";
        self.host(nat).router = Some(Filter { access: Access::Cone, hairpin: None });
        self.cable(("alice", "eth1"), (nat, INSIDE));
        self.ip("alice", "address add 192.168.2.2/24 dev eth1");
        self.ip("alice", "link set eth1 down");
        self.ip(nat, &format!("address add 192.168.2.1/24 dev {INSIDE}"));
        self.provider(Site::Elsewhere, nat, Access::Cone);
    }

    /// A way into the core that leads nowhere.
    pub(super) fn nobody(&mut self, site: Site) {
        let end = site.interface();
        writeln!(self.cables, "link add name {end} type veth peer name nobody\nlink set {end} up").unwrap();
    }

    /// Does all of it.
    pub(super) fn connect(&self) {
        let hosts: String = self.hosts.keys().map(|host| format!("netns add {host}\n")).collect();
        batch(None, &(hosts + &self.cables));
        for (host, Host { words, .. }) in &self.hosts {
            // Addresses are good at once; all but the hosts are routers.
            let forward = u8::from(!["alice", "bob", "server"].contains(&host.as_str()));
            lab::on(
                host,
                &format!(
                    "cd /proc/sys/net; for one in ipv6/conf/*/accept_dad; do echo 0 > $one; done; echo {forward} > ipv4/ip_forward; \
                     echo {forward} > ipv6/conf/all/forwarding; \
                     for one in bridge/bridge-nf-call-*; do [ ! -e $one ] || echo 0 > $one; done"
                ),
            );
            batch(Some(host), &format!("link set lo up\n{words}"));
        }
    }

    /// Gives routers their rules.
    pub(super) fn filter(&self, input: Input) {
        for (name, host) in &self.hosts {
            let Some(Filter { access, hairpin }) = &host.router else { continue };
            let rules = router::rules(*access, input, hairpin.as_deref(), SERVER_NETWORK);
            lab::on(name, &format!("nft -f - <<'RULES'\n{rules}RULES"));
        }
    }

    /// Lets packets with a low time to live come farther, or less far.
    pub(super) fn shift(&self, hops: Hops) {
        let (routers, rule) = match hops {
            Hops::Usual => return,
            Hops::Near => {
                (&["alice-isp", "bob-isp"][..], "iifname customer ip ttl 2 ip ttl set 3".to_owned())
            }
            Hops::Deep => (&["alice-nat"][..], format!("iifname {INSIDE} ip ttl < 4 drop")),
        };
        for router in routers {
            let rules = format!(
                "table ip distance {{\nchain shift {{\ntype filter hook prerouting priority raw\n{rule}\n}}\n}}\n"
            );
            lab::on(router, &format!("nft -f - <<'RULES'\n{rules}RULES"));
        }
    }

    /// Puts both hosts on one network, where `apart` says whether only the router reaches them.
    fn network_of_two(&mut self, nat: &str, apart: bool) {
        self.ip(nat, &format!("link add name {INSIDE} type bridge"));
        self.ip(nat, &format!("link set {INSIDE} up"));
        for (host, port) in [("alice", "port0"), ("bob", "port1")] {
            self.cable((host, "eth0"), (nat, port));
            self.ip(nat, &format!("link set {port} master {INSIDE}"));
            if apart {
                self.ip(nat, &format!("link set {port} type bridge_slave isolated on"));
            }
        }
    }

    /// Puts the carrier's NAT before the customer's.
    fn carrier(&mut self, site: Site, nat: &str) -> String {
        let carrier = format!("{}-carrier", site.name());
        self.host(&carrier).router = Some(Filter { access: Access::Cone, hairpin: None });
        self.cable((nat, OUTSIDE), (&carrier, INSIDE));
        self.ip(nat, &format!("address add 100.64.0.2/24 dev {OUTSIDE}"));
        self.ip(&carrier, &format!("address add 100.64.0.1/24 dev {INSIDE}"));
        self.ip(nat, "route add default via 100.64.0.1");
        carrier
    }

    /// Joins a site's outermost router, or the server, to the core.
    fn provider(&mut self, site: Site, outermost: &str, access: Access) {
        let provider = format!("{}-isp", site.name());
        let (_, start, _) = site.network();
        let port = site as usize;
        self.cable((outermost, OUTSIDE), (&provider, "customer"));
        writeln!(
            self.cables,
            "link add name core netns {provider} address {} type veth peer name {}\nlink set {} up",
            frame::link_address(port),
            site.interface(),
            site.interface()
        )
        .unwrap();
        self.ip(&provider, "link set core up");
        // Trains leave as single datagrams.
        self.ip(&provider, "link set core gso_max_segs 1");
        self.ip(&provider, &format!("address add {}/25 dev customer", site.gateway()));
        self.ip(&provider, &format!("address add 192.0.2.{}/26 dev core", 130 + port));
        self.ip(&provider, &format!("address add {}::fe/64 dev customer nodad", site.v6()));
        self.ip(&provider, &format!("address add 2001:db8:c::{}/64 dev core nodad", 1 + port));
        self.ip(&provider, &format!("route add {}:1::/64 via {}::1", site.v6(), site.v6()));
        if access == Access::Public {
            self.ip(&provider, &format!("route add {start}.8/29 via {}", site.public()));
        }
        for other in Site::ALL.into_iter().filter(|other| *other != site) {
            let ((network, _, _), at) = (other.network(), other as usize);
            self.ip(&provider, &format!("route add {network} via 192.0.2.{}", 130 + at));
            self.ip(&provider, &format!("route add {}::/48 via 2001:db8:c::{}", other.v6(), 1 + at));
        }
        if access.has_v4() {
            self.ip(outermost, &format!("address add {}/25 dev {OUTSIDE}", site.public()));
            self.ip(outermost, &format!("route add default via {}", site.gateway()));
        }
        if access.has_v6() {
            self.ip(outermost, &format!("address add {}::1/64 dev {OUTSIDE} nodad", site.v6()));
            self.ip(outermost, &format!("route add default via {}::fe", site.v6()));
        }
    }

    fn cable(&mut self, (one, at_one): (&str, &str), (other, at_other): (&str, &str)) {
        writeln!(
            self.cables,
            "link add name {at_one} netns {one} type veth peer name {at_other} netns {other}"
        )
        .unwrap();
        self.ip(one, &format!("link set {at_one} up"));
        self.ip(other, &format!("link set {at_other} up"));
    }

    fn ip(&mut self, host: &str, words: &str) {
        writeln!(self.host(host).words, "{words}").unwrap();
    }

    fn host(&mut self, name: &str) -> &mut Host {
        self.hosts.entry(name.to_owned()).or_default()
    }
}

/// Runs `ip` with each of these lines, on a host or on this one.
fn batch(host: Option<&str>, lines: &str) {
    let on = host.map(|host| format!("-n {host} ")).unwrap_or_default();
    lab::run("sh", &["-c", &format!("ip {on}-batch - <<'LINES'\n{lines}\nLINES")]);
}
