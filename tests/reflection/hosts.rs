//! The three hosts: the attacker's link to the server, the victim's link to the server, and the networks behind the victim
//! whose addresses are forged.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::lab::{self, End};
use crate::remote::Remote;

const PORT: u16 = 1066;
/// The server's addresses, as the attacker reaches it.
pub(crate) const SERVER: [&str; 2] = ["192.0.2.1", "2001:db8:a::1"];
/// Interface of the victim, and the one on which the server would talk to itself.
const COUNTED: [&str; 2] = ["v0", "lo"];

/// Bytes of a link header.
const ETHERNET: u64 = 14;

/// What can be looked at while the attack goes on.
pub(crate) struct Hosts {
    pub(crate) server: Remote,
    /// A process that waits on the victim's host, so that its counters can be read.
    victim: Child,
}

impl Hosts {
    /// Returns the bytes that wait in the server's receive queue, and the datagrams that found no room there.
    pub(crate) fn queue(&self) -> (u64, u64) {
        let table = std::fs::read_to_string(format!("/proc/{}/net/udp6", self.server.id())).unwrap();
        let fields: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        let (_, waiting) = fields[4].split_once(':').unwrap();
        (u64::from_str_radix(waiting, 16).unwrap(), fields.last().unwrap().parse().unwrap())
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        drop(self.victim.kill());
        drop(self.victim.wait());
    }
}

/// Makes the hosts and starts the server, which is `test` of this program once more.
pub(crate) fn start(test: &str) -> Hosts {
    for host in ["server", "victim"] {
        lab::add_host(host);
    }
    let end = |host, interface, mac, v4, v6| End { host, interface, mac, v4, v6 };
    lab::add_link(
        &end(None, "a0", "02:00:00:00:0a:02", "192.0.2.2/24", "2001:db8:a::2/64"),
        &end(Some("server"), "s0", "02:00:00:00:0a:01", "192.0.2.1/24", "2001:db8:a::1/64"),
    );
    lab::add_link(
        &end(Some("victim"), "v0", "02:00:00:00:0b:02", "198.51.100.2/24", "2001:db8:b::2/64"),
        &end(Some("server"), "s1", "02:00:00:00:0b:01", "198.51.100.1/24", "2001:db8:b::1/64"),
    );
    for (family, pool, victim, server) in [
        ("-4", "203.0.113.0/24", "198.51.100.2", "198.51.100.1"),
        ("-6", "2001:db8:c::/64", "2001:db8:b::2", "2001:db8:b::1"),
    ] {
        lab::ip(&format!("{family} -n server route add {pool} via {victim}"));
        lab::ip(&format!("{family} -n victim route add local {pool} dev lo"));
        lab::ip(&format!("{family} -n victim route add default via {server}"));
    }
    // Datagrams larger than any link's arrive too, and a train is counted by its datagrams.
    lab::ip("link set a0 mtu 65535");
    lab::ip("-n server link set s0 mtu 65535");
    lab::ip("-n server link set s1 gso_max_segs 1");
    // The server's host is as careless as can be: forged sources pass, its own address among them.
    lab::on(
        "server",
        "cd /proc/sys/net/ipv4/conf && for one in all default s0 s1 lo; do echo 0 > $one/rp_filter; \
         echo 1 > $one/accept_local; done",
    );
    let [nsenter, net] = lab::enter("victim");
    let mut victim = Command::new(nsenter)
        .args([&net, "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It is there once it speaks.
    victim.stdin.as_mut().unwrap().write_all(b"?").unwrap();
    victim.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    Hosts { server: Remote::start(&lab::enter("server"), test, PORT), victim }
}

/// Where the server listens for the attacker, by family.
pub(crate) fn server(v6: bool) -> SocketAddr {
    SocketAddr::new(SERVER[usize::from(v6)].parse().unwrap(), PORT)
}

impl Hosts {
    /// Counts the datagrams that have come to the victim, or to the server from itself, and their bytes with all headers.
    pub(crate) fn received(&self) -> (u64, u64) {
        let counted = [self.victim.id(), self.server.id()].into_iter().zip(COUNTED);
        counted.fold((0, 0), |(datagrams, bytes), (process, interface)| {
            let text = std::fs::read_to_string(format!("/proc/{process}/net/dev")).unwrap();
            let start = format!("{interface}:");
            let line = text.lines().find_map(|line| line.trim().strip_prefix(&start)).unwrap();
            let numbers: Vec<u64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
            // The hosts' kernels tell each other of their IPv6 groups.
            let groups =
                std::fs::read_to_string(format!("/proc/{process}/net/dev_snmp6/{interface}")).unwrap();
            let of_groups = |name| {
                let line = groups.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                line.trim().parse::<u64>().unwrap()
            };
            let reports = of_groups("Ip6InMcastPkts");
            let report_bytes = of_groups("Ip6InMcastOctets") + ETHERNET * reports;
            (datagrams + numbers[1] - reports, bytes + numbers[0] - report_bytes)
        })
    }
}
