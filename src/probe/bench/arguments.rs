//! The command line of `bench`.

use argh::{ArgsInfo, FromArgValue, FromArgs};

/// Peers of one load, at most: as many as a server may be configured for.
pub(super) const PEERS_MAX: u32 = 16_000_000;

/// Load a server and measure what it costs: many peers over few sockets, with an echo beside it as the floor.
///
/// The server is an address of this machine, or one whose configuration says benchmarks: true; no other is loaded.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "bench",
    note = "A round sends --count datagrams. Closed loop (default): --window of them are unanswered at any time. Open loop: --rate \
            a second, and latency counts from the time at which each was to be sent.\n\
            Kinds: register (2 datagrams each way count as one), keepalive, offer (one fragment), train (8 fragments), \
            mixed (an hour of peers in short: keepalives, logins, calls), ping, stun (Binding, 20 bytes), foreign (none of the protocol's), \
            malformed and stale (without a live session; stale is challenged). Of foreign and malformed every 64th is a PING.\n\n\
            With --json:\n\
            registered: peers, lost, seconds, cpu_ns_each, resident_before, resident\n\
            round: number, target, sent, answered, lost, refused, received, seconds, cpu_ns_each, load_ns_each, p50_us, p99_us, p999_us, max_us\n\
            median: target, cpu_ns_each, p50_us, p99_us, p999_us, ratio\n\
            done: resident"
)]
pub(in crate::probe) struct Bench {
    /// the server
    #[argh(positional)]
    pub(super) server: String,
    /// what is sent (default keepalive)
    #[argh(option, default = "Kind::Keepalive")]
    pub(super) kind: Kind,
    /// keyed identifiers instead of plain ones
    #[argh(switch)]
    pub(super) keyed: bool,
    /// the header of the Simple Proxy Protocol before every datagram, for a server that trusts this machine as a proxy
    #[argh(switch)]
    pub(super) proxied: bool,
    /// each offer opens anew, instead of one fragment again and again
    #[argh(switch)]
    pub(super) fresh: bool,
    /// peers, 2 to 16000000, an even number for offers (default 1000); a round of register takes --count new ones
    #[argh(option, default = "1000", from_str_fn(peers))]
    pub(super) peers: u32,
    /// sockets and, on loopback, source addresses, 2 to 10000 (default 16)
    #[argh(option, default = "16", from_str_fn(sockets))]
    pub(super) sockets: usize,
    /// datagrams of a round, 1 to 1000000000 (default 100000)
    #[argh(option, default = "100_000", from_str_fn(count))]
    pub(super) count: u64,
    /// seconds after which a round sends no more, 1 to 3600 (default: only --count ends it)
    #[argh(option, from_str_fn(seconds))]
    pub(super) seconds: Option<u64>,
    /// datagrams without an answer at one time in closed loop, 1 to 1000000 (default 512)
    #[argh(option, default = "512", from_str_fn(window))]
    pub(super) window: u64,
    /// datagrams a second in open loop, 1 to 10000000 (default: closed loop)
    #[argh(option, from_str_fn(rate))]
    pub(super) rate: Option<u64>,
    /// rounds, 1 to 1000 (default 5)
    #[argh(option, default = "5", from_str_fn(rounds))]
    pub(super) rounds: u32,
    /// process of the server, for its CPU time and memory
    #[argh(option)]
    pub(super) server_pid: Option<u32>,
    /// an echo (for stun, any STUN server) on this machine that is measured in turns with the server, as ADDRESS:PORT or
    /// ADDRESS:PORT/PID; may be given several times
    #[argh(option)]
    pub(super) floor: Vec<Floor>,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Register,
    Keepalive,
    Offer,
    Train,
    Mixed,
    Ping,
    Stun,
    Foreign,
    Malformed,
    Stale,
}

impl Kind {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Register, "register"),
        (Self::Keepalive, "keepalive"),
        (Self::Offer, "offer"),
        (Self::Train, "train"),
        (Self::Mixed, "mixed"),
        (Self::Ping, "ping"),
        (Self::Stun, "stun"),
        (Self::Foreign, "foreign"),
        (Self::Malformed, "malformed"),
        (Self::Stale, "stale"),
    ];

    /// Tells whether the peers have to be registered before.
    pub(super) const fn needs_registration(self) -> bool {
        match self {
            Self::Keepalive | Self::Offer | Self::Train | Self::Mixed => true,
            Self::Register | Self::Ping | Self::Stun | Self::Foreign | Self::Malformed | Self::Stale => false,
        }
    }
}

impl FromArgValue for Kind {
    fn from_arg_value(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|(_, name)| *name == text).map(|(kind, _)| kind);
        known.ok_or_else(|| {
            format!("{text} is not allowed, one of {} is", Self::ALL.map(|(_, name)| name).join(", "))
        })
    }
}

/// An echo, and its process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    pub(super) address: std::net::SocketAddr,
    pub(super) pid: Option<u32>,
}

impl FromArgValue for Floor {
    fn from_arg_value(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is not allowed, ADDRESS:PORT or ADDRESS:PORT/PID of this machine is");
        let (address, pid) = match text.split_once('/') {
            Some((address, pid)) => (address, Some(pid.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: std::net::SocketAddr = address.parse().map_err(|_| wrong())?;
        if address.ip().is_loopback() { Ok(Self { address, pid }) } else { Err(wrong()) }
    }
}

fn within(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let allowed = || format!("{text} is not allowed, {least} to {most} is");
    text.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(allowed)
}

fn peers(text: &str) -> Result<u32, String> {
    within(text, 2, PEERS_MAX.into()).map(|number| number as u32)
}

fn sockets(text: &str) -> Result<usize, String> {
    within(text, 2, 10_000).map(|number| number as usize)
}

fn count(text: &str) -> Result<u64, String> {
    within(text, 1, 1_000_000_000)
}

fn seconds(text: &str) -> Result<u64, String> {
    within(text, 1, 3600)
}

fn window(text: &str) -> Result<u64, String> {
    within(text, 1, 1_000_000)
}

fn rate(text: &str) -> Result<u64, String> {
    within(text, 1, 10_000_000)
}

fn rounds(text: &str) -> Result<u32, String> {
    within(text, 1, 1000).map(|number| number as u32)
}
