//! A NAT lab: two hosts, each behind its own access network, and a server, with real kernel NATs between them.
//!
//! ```text
//! alice -- alice-nat [-- alice-carrier] -- alice-isp --.
//!                                                      |
//!   bob -- bob-nat   [-- bob-carrier]   -- bob-isp ---- core -- server-isp -- server
//!                                                      |
//! (alice) -- elsewhere-nat -------------- elsewhere-isp'
//! ```
//!
//! Each name but `core` is a network namespace. Every datagram passes the core once, where it is delayed, lost, doubled or overtaken.
//! A packet needs a TTL of 3 to leave a carrier's NAT, and dies before the other side's with 3 or less. Both hosts have the
//! same private address, as in many homes. Knows no protocol but IP.

pub(crate) mod core;
pub(crate) mod frame;
pub(crate) mod plan;
pub(crate) mod router;
mod wiring;

use std::path::Path;
use std::time::Duration;

use crate::lab;
use crate::program::{self, Running};
use core::{Core, Way};
use plan::{Access, Hops, Input};
use wiring::Wiring;

/// The server's port.
pub(crate) const PORT: u16 = 1066;
/// The server's addresses.
pub(crate) const SERVER_V4: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
pub(crate) const SERVER_V6: [&str; 2] = ["2001:db8:5::1", "2001:db8:5::2"];
/// What a NAT lab needs beside namespaces, and words that make it do nothing.
pub(crate) const PROGRAMS: [(&str, &str); 2] = [("nft", "--version"), ("conntrack", "--version")];

/// A way into the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// Of the first host.
    Alice,
    /// Of the second host.
    Bob,
    /// Of the server.
    Server,
    /// Of the network that the first host can move to.
    Elsewhere,
}

/// What to build.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) alice: Access,
    pub(crate) bob: Access,
    pub(crate) input: Input,
    pub(crate) hops: Hops,
    /// What becomes of datagrams in the core.
    pub(crate) way: Way,
    /// Of losses and the like.
    pub(crate) seed: u64,
}

impl Plan {
    /// One way takes 20 ms and loses nothing.
    pub(crate) const fn new(alice: Access, bob: Access, input: Input) -> Self {
        let way = Way { delay: Duration::from_millis(20), loss: 0.0, duplication: 0.0, reordering: 0.0 };
        Self { alice, bob, input, hops: Hops::Usual, way, seed: 1 }
    }
}

/// A lab that stands. It goes with the process that has built it.
pub(crate) struct Lab {
    plan: Plan,
    core: Core,
}

impl Lab {
    /// Builds the lab; in namespaces of its own only.
    ///
    /// # Panics
    /// If the second host's access is to be the first's.
    pub(crate) fn build(plan: Plan) -> Self {
        assert!(!plan.alice.is_inside(), "only the second host can be on the other's network");
        let mut wiring = Wiring::default();
        wiring.access(Site::Alice, plan.alice, plan.bob);
        if plan.bob.is_inside() {
            wiring.nobody(Site::Bob);
        } else {
            wiring.access(Site::Bob, plan.bob, plan.bob);
        }
        wiring.server();
        wiring.elsewhere();
        wiring.connect();
        wiring.filter(plan.input);
        wiring.shift(plan.hops);
        let ports: Vec<_> = Site::ALL.iter().map(|site| site.interface()).collect();
        Self { plan, core: Core::join(&ports, plan.way, plan.seed) }
    }

    /// Starts the server with further lines for its configuration, and waits until it listens.
    pub(crate) fn serve(&self, server: &Path, directory: &Path, further: &str) -> Running {
        let file = directory.join("config.yaml");
        std::fs::write(&file, format!("localport: {PORT}\nloglevel: debug\n{further}")).unwrap();
        let mut running =
            self.start("server", [server.as_os_str(), "--config-file-path".as_ref(), file.as_os_str()]);
        running.line_with("listening on ");
        running
    }

    /// Starts a program on a host.
    pub(crate) fn start<S: AsRef<std::ffi::OsStr>>(
        &self,
        host: &str,
        words: impl IntoIterator<Item = S>,
    ) -> Running {
        let [nsenter, net] = lab::enter(host);
        let words = words.into_iter().map(|word| word.as_ref().to_owned());
        program::start(&nsenter, std::iter::once(net.into()).chain(words), b"v=0 lab")
    }

    /// Returns the server as a host of this access reaches it.
    pub(crate) fn server_for(access: Access) -> String {
        if access.has_v4() {
            format!("{}:{PORT}", SERVER_V4[0])
        } else {
            format!("[{}]:{PORT}", SERVER_V6[0])
        }
    }

    /// Returns the server as alice and as bob reach it.
    pub(crate) fn servers(&self) -> [String; 2] {
        let bob = if self.plan.bob.is_inside() { self.plan.alice } else { self.plan.bob };
        [self.plan.alice, bob].map(Self::server_for)
    }

    /// Returns the server's second address as alice and as bob reach it.
    pub(crate) fn witnesses(&self) -> [String; 2] {
        let bob = if self.plan.bob.is_inside() { self.plan.alice } else { self.plan.bob };
        [self.plan.alice, bob].map(|access| {
            if access.has_v4() {
                format!("{}:{PORT}", SERVER_V4[1])
            } else {
                format!("[{}]:{PORT}", SERVER_V6[1])
            }
        })
    }

    /// Changes what becomes of what one site sends to another.
    pub(crate) fn change(&self, from: Site, to: Site, change: impl FnOnce(&mut Way)) {
        self.core.change(from as usize, to as usize, change);
    }

    /// Changes every way.
    pub(crate) fn change_all(&self, change: impl FnMut(&mut Way)) {
        self.core.change_all(change);
    }

    /// Lets the NATs of a host forget every mapping.
    pub(crate) fn flush(&self, host: &str) {
        for router in self.routers(host) {
            lab::on(
                &router,
                "conntrack -F 2>&1; for map in by_port by_peer; do nft flush map ip translation $map 2>&1; done; true",
            );
        }
    }

    /// Lets the mappings of a host's NATs live this long, one-way or two-way.
    pub(crate) fn shorten(&self, host: &str, seconds: u64) {
        for router in self.routers(host) {
            lab::on(
                &router,
                &format!(
                    "cd /proc/sys/net/netfilter && echo {seconds} > nf_conntrack_udp_timeout && \
                     echo {seconds} > nf_conntrack_udp_timeout_stream"
                ),
            );
        }
    }

    /// Pulls a host's cable.
    pub(crate) fn unplug(&self, host: &str) {
        lab::ip(&format!("-n {host} link set eth0 down"));
    }

    /// Moves alice to the other network: another private address, NAT and public address.
    pub(crate) fn move_alice(&self) {
        self.unplug("alice");
        lab::ip("-n alice link set eth1 up");
        lab::ip("-n alice route replace default via 192.168.2.1");
    }

    fn routers(&self, host: &str) -> Vec<String> {
        let access = if host == "alice" { self.plan.alice } else { self.plan.bob };
        let host = if access.is_inside() { "alice" } else { host };
        let carrier = (access == Access::Carrier).then(|| format!("{host}-carrier"));
        std::iter::once(format!("{host}-nat")).chain(carrier).collect()
    }
}
