//! Proxies before a server, as programs of their own.

use std::net::{Ipv4Addr, SocketAddr};

use roundtable_signalling::StatsHandle;
use roundtable_signalling::config::{Config, ProxyProtocol};

use crate::program::{self, Running};
use crate::rig::serve;

const PROXY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/proxy.py");
/// From where proxies come, and where they are reached.
pub(crate) const END: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
pub(crate) const OTHER_END: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const LISTEN: &str = "127.0.0.4:0";

/// A server on every address of this host, which trusts proxies from [`END`], [`OTHER_END`] and IPv6's loopback.
pub(crate) fn server(proxyprotocol: ProxyProtocol) -> (u16, StatsHandle) {
    let trustedproxies = ["127.0.0.2/31", "::1"].map(|one| one.parse().unwrap()).to_vec();
    let (address, stats) =
        serve(&Config { localport: 0, proxyprotocol, trustedproxies, ..Config::default() });
    (address.port(), stats)
}

/// A proxy before a server.
pub(crate) struct Proxy {
    program: Running,
    /// Where clients reach it.
    pub(crate) address: SocketAddr,
}

/// What a proxy has to say at its end.
#[derive(Debug)]
pub(crate) struct Report(serde_json::Value);

impl Proxy {
    /// Starts one that comes from `end` over IPv4.
    pub(crate) fn start(protocol: ProxyProtocol, server: u16, end: Ipv4Addr, further: &[&str]) -> Self {
        let (server, end) = (format!("127.0.0.1:{server}"), end.to_string());
        Self::start_at(protocol, LISTEN, &server, &[&["--from", &end], further].concat())
    }

    pub(crate) fn start_at(protocol: ProxyProtocol, listen: &str, server: &str, further: &[&str]) -> Self {
        let words = [&[PROXY, protocol.name(), listen, server], further].concat();
        let mut program = program::start("python3", words, b"");
        let line = program.line_with("proxying on ");
        let (_, address) = line.split_once("proxying on ").unwrap();
        Self { program, address: address.parse().unwrap() }
    }

    /// Ends it, and asserts that the server did nothing wrong towards it.
    pub(crate) fn stop(self) -> Report {
        self.program.signal("TERM");
        let ended = self.program.wait();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
        let report = Report(serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap());
        assert_eq!(report.0["wrong"], serde_json::json!([]));
        report
    }
}

impl Report {
    pub(crate) fn of(&self, count: &str) -> u64 {
        self.0[count].as_u64().unwrap()
    }
}
