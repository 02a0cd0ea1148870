//! Whether PINGs come back, and if not, what stops them. The socket is connected: so ICMP errors are heard.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::wire::VERSION;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::addresses::family;
use super::asking::ask;
use super::hops::{self, Hops};
use super::pings::{Heard, PINGS, Pings};
use super::sheet::{Fault, Finding};
use crate::probe::line::Line;
use crate::probe::report::{millis, shown};

/// For the host to answer by TCP.
const TCP_PATIENCE: Duration = Duration::from_millis(800);
/// What to do where versions differ.
pub(super) const SAME_VERSION: &str = "bring server and clients to the same version";

/// What is known of the way to an address of the server.
#[derive(Debug)]
pub(super) struct Reach {
    pub(super) server: SocketAddr,
    pub(super) local: Option<SocketAddr>,
    pub(super) heard: Heard,
    /// Where there is silence: what else is known of the way.
    pub(super) silence: Option<Silence>,
}

#[derive(Debug)]
pub(super) struct Silence {
    /// The host answers TCP on that port, be it with a refusal.
    pub(super) has_tcp: bool,
    pub(super) hops: Option<Hops>,
}

impl Reach {
    pub(super) fn answered(&self) -> bool {
        !self.heard.round_trips.is_empty()
    }

    /// The share of PINGs that came back.
    pub(super) fn share(&self) -> f64 {
        self.heard.round_trips.len() as f64 / f64::from(PINGS)
    }

    /// Tells whether this machine has no way to that family at all.
    pub(super) fn has_no_route(&self) -> bool {
        self.heard.error.as_ref().is_some_and(|error| {
            [io::ErrorKind::NetworkUnreachable, io::ErrorKind::AddrNotAvailable].contains(&error.kind())
                || error.raw_os_error() == Some(EAFNOSUPPORT)
        })
    }
}

/// Linux: the address family is not supported.
const EAFNOSUPPORT: i32 = 97;

/// Sends the PINGs and waits for what comes.
pub(super) async fn reach(server: SocketAddr) -> Reach {
    let (local, heard) = match Line::to(server).await {
        Ok(line) => {
            let mut pings = Pings::new();
            ask(&line, &line, &mut pings).await;
            (Some(line.local()), pings.heard)
        }
        Err(error) => (None, Heard { error: Some(error), ..Heard::default() }),
    };
    let mut silence = None;
    if heard.is_nothing() {
        let (has_tcp, hops) = tokio::join!(has_tcp(server), hops::count(server));
        silence = Some(Silence { has_tcp, hops });
    }
    Reach { server, local, heard, silence }
}

async fn has_tcp(server: SocketAddr) -> bool {
    match timeout_at(Instant::now() + TCP_PATIENCE, TcpStream::connect(server)).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
        Err(_) => false,
    }
}

/// Says what that means.
pub(super) fn judge(reach: &Reach) -> Finding {
    let Reach { server, heard, .. } = reach;
    let server = *server;
    let details = json!({
        "server": server.to_string(), "sent": PINGS, "answered": heard.round_trips.len(),
        "median_ms": median(&heard.round_trips).map(millis),
    });
    let finding = if let Some(version) = heard.version {
        Finding::failed(
            "version",
            Fault::Refusal,
            format!("{server} speaks version {version} of the protocol, this probe {VERSION}"),
            SAME_VERSION,
        )
    } else if let (Some(median), Some(most)) = (median(&heard.round_trips), heard.round_trips.iter().max()) {
        judge_loss(reach, median, *most)
    } else if let Some(start) = &heard.foreign {
        Finding::failed(
            "udp",
            Fault::Silence,
            format!(
                "{server} answers, but not in this protocol: it begins with \"{}\"",
                start.escape_ascii()
            ),
            "another program has that port: name the port of the server, as HOST:PORT",
        )
    } else if let Some(error) = &heard.error {
        judge_error(server, error)
    } else {
        judge_silence(server, reach.silence.as_ref())
    };
    finding.with(details)
}

fn judge_loss(reach: &Reach, median: Duration, most: Duration) -> Finding {
    let (server, answered) = (reach.server, reach.heard.round_trips.len());
    let lost = PINGS as usize - answered;
    let times = format!("round trip {}, at most {}", shown(median), shown(most));
    let text = format!("{server} answers {answered} of {PINGS} PINGs; {times}");
    match lost {
        0 => Finding::ok("udp", text),
        // One datagram lost on the air is nothing; calls repeat what is lost.
        1 => Finding::ok("udp", format!("{text}; one lost is no cause for concern")),
        2..=6 => Finding::warning(
            "udp",
            format!("{text}: {} % are lost, calls come about but slowly", lost * 5),
            "look for a weak radio link or a full line, on this side first: ping the own router",
        ),
        _ => Finding::failed(
            "udp",
            Fault::Silence,
            format!("{text}: {} % are lost, calls take long or fail", lost * 5),
            "the line loses too much: try a cable instead of radio, or another network; if others have it too, look at the \
             server's load and its receive buffer",
        ),
    }
}

fn judge_error(server: SocketAddr, error: &io::Error) -> Finding {
    let port = server.port();
    // The kinds are the standard library's and more are added: only these have a known cause.
    if error.kind() == io::ErrorKind::ConnectionRefused {
        Finding::failed(
            "udp",
            Fault::Silence,
            format!(
                "nothing listens on UDP {port} of {}, or a firewall rejects it (ICMP port unreachable)",
                server.ip()
            ),
            format!(
                "start the server there, or name its port (ss -lun shows it there); if it listens on {port}, let firewalls pass \
                 UDP {port}, and a router before it forward it"
            ),
        )
    } else if error.kind() == io::ErrorKind::NetworkUnreachable
        || error.kind() == io::ErrorKind::AddrNotAvailable
    {
        Finding::failed(
            "udp",
            Fault::Machine,
            format!("this machine has no route to {}: {}", server.ip(), error.kind()),
            format!("connect it to a network that has {} (ip route get {})", family(server), server.ip()),
        )
    } else if error.kind() == io::ErrorKind::HostUnreachable {
        Finding::failed(
            "udp",
            Fault::Silence,
            format!("a router says that {} cannot be reached", server.ip()),
            "the server is off or its address has changed: ask its operator",
        )
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        Finding::failed(
            "udp",
            Fault::Machine,
            format!("this machine's own firewall forbids UDP to {server}"),
            format!("allow UDP {port} outwards here (nft list ruleset)"),
        )
    } else {
        Finding::failed(
            "udp",
            Fault::Machine,
            format!("this machine cannot send to {server}: {error}"),
            "see the reason",
        )
    }
}

fn judge_silence(server: SocketAddr, silence: Option<&Silence>) -> Finding {
    let (ip, port) = (server.ip(), server.port());
    let text = format!("no answer from {server} to {PINGS} PINGs");
    let Some(silence) = silence else {
        return Finding::failed("udp", Fault::Silence, text, "try again");
    };
    let open = format!(
        "open UDP {port} in both directions, at this network's firewall and at the server's, where a router before it has to \
         forward it"
    );
    match (&silence.hops, silence.has_tcp) {
        (Some(Hops { udp: 0, all: Some(all) }), _) => Finding::failed(
            "udp",
            Fault::Silence,
            format!(
                "{text}: UDP is blocked on the way out. PINGs come to none of the {all} steps to {ip}, while TCP goes all the \
                 way"
            ),
            format!("a firewall on this machine or at the first step drops UDP: {open}"),
        ),
        (Some(Hops { udp, all: Some(all) }), _) if udp + 1 < *all => Finding::failed(
            "udp",
            Fault::Silence,
            format!(
                "{text}: UDP is blocked on the way out. Of the {all} steps to {ip} PINGs come to the {}, while TCP goes all \
                 the way",
                ordinal(*udp)
            ),
            format!("a firewall at that step or behind it drops UDP: {open}"),
        ),
        (Some(Hops { udp, all: Some(all) }), _) => Finding::failed(
            "udp",
            Fault::Silence,
            format!(
                "{text}: PINGs come as far as the last router before {ip} ({udp} of {all} steps), but no answer comes \
                 back: UDP is blocked at the server itself or on the way back, or nothing listens there"
            ),
            format!(
                "{open}; on the server, ss -lun tells whether it listens, and tcpdump 'udp port {port}' whether the PINGs \
                 arrive"
            ),
        ),
        (_, true) => Finding::failed(
            "udp",
            Fault::Silence,
            format!(
                "{text}, while the host itself answers TCP: UDP is blocked in one direction or both, or nothing listens there"
            ),
            format!("{open}; on the server, ss -lun tells whether it listens"),
        ),
        (_, false) => Finding::failed(
            "udp",
            Fault::Silence,
            format!(
                "{text}, and nothing else of that host answers: it is off, has another address, or drops everything"
            ),
            format!("check the address with the operator; else {open}"),
        ),
    }
}

fn ordinal(number: u8) -> String {
    match number {
        1 => "1st".to_owned(),
        2 => "2nd".to_owned(),
        3 => "3rd".to_owned(),
        _ => format!("{number}th"),
    }
}

fn median(times: &[Duration]) -> Option<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}
