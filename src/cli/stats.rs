//! The statistics of a running server, on a Unix socket: a line of JSON a second to whoever connects, and nothing in the
//! other direction. Only this machine has it, and only the server's own user.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as Asking;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use roundtable_proto::proxy::Refusal;
use roundtable_proto::server::{Counters, DropReason};
use roundtable_proto::wire::{ErrorCode, Kind};
use serde_json::{Map, Value, json};
use tokio::net::{UnixListener, UnixStream};

use crate::server::{Stats, StatsHandle};

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(1);
/// Who may look at one time; further ones are let go at once.
const WATCHERS_MAX: usize = 8;

/// The socket; it goes when this is dropped.
pub(super) struct StatsSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl StatsSocket {
    /// Makes the socket. One that a killed server has left is replaced.
    ///
    /// # Errors
    /// The operating system's; another server may use it.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        let is_left = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
            && Asking::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if is_left {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { path: path.to_owned(), listener })
    }

    /// Serves for ever. Can be cancelled.
    pub(super) async fn serve(&self, stats: StatsHandle, server: String) {
        let started = Instant::now();
        let room = Arc::new(());
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                // Too few descriptors: those of others may be free soon.
                tokio::time::sleep(INTERVAL).await;
                continue;
            };
            if Arc::strong_count(&room) > WATCHERS_MAX {
                continue;
            }
            let (stats, server, place) = (stats.clone(), server.clone(), Arc::clone(&room));
            tokio::spawn(async move {
                tell(&stream, &stats, &server, started).await;
                drop(place);
            });
        }
    }
}

impl Drop for StatsSocket {
    fn drop(&mut self) {
        // It may have been removed.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Tells until nobody listens.
async fn tell(stream: &UnixStream, stats: &StatsHandle, server: &str, started: Instant) {
    loop {
        let mut line = line(&stats.snapshot(), server, started.elapsed()).to_string();
        line.push('\n');
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            if stream.writable().await.is_err() {
                return;
            }
            match stream.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn line(stats: &Stats, server: &str, uptime: Duration) -> Value {
    let Stats { peers, offers, counters, transport } = stats;
    let mut line = json!({
        "server": server, "uptime_s": uptime.as_secs_f64(), "peers": peers, "offers": offers,
        "queue_full": transport.receive_drops, "filtered": transport.receive_shed,
        "send_errors": transport.send_errors, "receive_errors": transport.receive_errors,
        "way_gone": transport.refused_headers.of(Refusal::Gone),
        "received": by(Kind::ALL, |kind| kind.name(), |kind| counters.received(kind)),
        "sent": by(Kind::ALL, |kind| kind.name(), |kind| counters.sent(kind)),
        "refused": by(ErrorCode::ALL, |code| code.name(), |code| counters.refused(code)),
    });
    // What came and did not get past the header of a proxy is dropped, too, by reasons of its own.
    let mut dropped = by(DropReason::ALL, |reason| reason.name(), |reason| counters.dropped(reason));
    let headers = &transport.refused_headers;
    let refused = by(&Refusal::ALL, |reason| reason.name(), |reason| headers.of(reason));
    dropped.extend(refused.into_iter().filter(|(name, _)| name != Refusal::Gone.name()));
    line["dropped"] = dropped.into();
    for (name, count) in totals(counters) {
        line[name] = count.into();
    }
    line
}

const fn totals(counters: &Counters) -> [(&'static str, u64); 15] {
    [
        ("datagrams_in", counters.datagrams_in),
        ("bytes_in", counters.bytes_in),
        ("datagrams_out", counters.datagrams_out),
        ("bytes_out", counters.bytes_out),
        ("answered", counters.answered),
        ("challenged", counters.challenged),
        ("relayed", counters.relayed),
        ("stun", counters.stun),
        ("registrations", counters.registrations),
        ("moves", counters.moves),
        ("forgotten", counters.forgotten),
        ("offers_opened", counters.offers_opened),
        ("offers_answered", counters.offers_answered),
        ("offers_timed_out", counters.offers_timed_out),
        ("offers_closed", counters.offers_closed),
    ]
}

/// Counts under their names, without those that are zero.
fn by<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, count: impl Fn(T) -> u64) -> Map<String, Value> {
    let counted = all.iter().map(|one| (name(*one).to_owned(), count(*one))).filter(|(_, count)| *count > 0);
    counted.map(|(name, count)| (name, count.into())).collect()
}

#[cfg(test)]
mod tests {
    use roundtable_proto::Seed;
    use roundtable_proto::proxy::{Gate, Protocol};
    use roundtable_proto::server::{Path, Transmit, Via};

    use super::*;
    use crate::server::Transport;

    #[test]
    fn what_could_not_go_out_is_not_among_what_was_dropped_of_what_came() {
        let mut gate =
            Gate::new(Protocol::V2, &["192.0.2.1".parse().unwrap()], Via(1), 1, &Seed::from_number(1));
        let remote = "192.0.2.1:5".parse().unwrap();
        gate.admit(roundtable_proto::Instant::from_micros(1), Path { remote, via: Via(0) }, b"RT")
            .unwrap_err();
        gate.push(&Transmit { path: Path { remote, via: Via(1) }, contents: b"answer", segment_size: 6 });
        let transport = Transport { refused_headers: gate.refusals(), ..Transport::default() };
        let line = line(&Stats { transport, ..Stats::default() }, "", Duration::ZERO);
        assert_eq!((&line["dropped"], &line["way_gone"]), (&json!({ "header_missing": 1 }), &json!(1)));
    }
}
