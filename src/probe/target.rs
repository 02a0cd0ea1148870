//! From what the user typed to a server and to bytes.

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use roundtable_proto::peer_address::{SERVER_PORT, ServerName, ServerNameError};
use roundtable_proto::wire::BLOB_MAX;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::failure::Failure;
use super::line;
use crate::pinger::Pinger;

/// Bytes of an input that are looked at, at most.
const INPUT_MAX: u64 = 1 << 28;
/// Addresses of one name that are asked, at most.
const ADDRESSES_MAX: usize = 8;
/// From one to the next. RFC 8305, 5
const BETWEEN_ADDRESSES: Duration = Duration::from_millis(250);
/// Times that one is asked, since any PING may be lost.
const TRIES: u32 = 3;
/// From one to the next.
const BETWEEN_TRIES: Duration = Duration::from_millis(333);
/// For an answer of one, from its first PING.
const PATIENCE: Duration = Duration::from_secs(1);

/// Finds the server's address.
pub(super) async fn resolve(server: &str) -> Result<SocketAddr, Failure> {
    let found = resolve_all(server).await?;
    found.first().copied().ok_or_else(|| Failure::Resolve { server: server.to_owned(), error: None })
}

/// Finds an address of the server that answers, where it has several. The first, where none answers.
pub(super) async fn answering(server: &str) -> Result<SocketAddr, Failure> {
    let all = resolve_all(server).await?;
    if let [only] = all[..] {
        return Ok(only);
    }
    let answering = first_answering(&all).await.or_else(|| all.first().copied());
    answering.ok_or_else(|| Failure::Resolve { server: server.to_owned(), error: None })
}

/// Asks each a little later than the one before it, and takes the one whose answer comes first. RFC 8305
async fn first_answering(all: &[SocketAddr]) -> Option<SocketAddr> {
    let mut asked = JoinSet::new();
    for (&one, number) in all.iter().take(ADDRESSES_MAX).zip(0..) {
        for again in 0..TRIES {
            // Each from a socket of its own: a late answer to an earlier one counts, too.
            let after = BETWEEN_TRIES * again;
            asked.spawn(async move {
                sleep(BETWEEN_ADDRESSES * number + after).await;
                let mut pinger = Pinger::new(one).await.ok()?.recorded(line::capture());
                pinger.ping(PATIENCE.saturating_sub(after)).await.ok().flatten().map(|_| one)
            });
        }
    }
    while let Some(answered) = asked.join_next().await {
        if let Ok(Some(one)) = answered {
            return Some(one);
        }
    }
    None
}

/// Finds all addresses of the server, in the system's order.
pub(super) async fn resolve_all(server: &str) -> Result<Vec<SocketAddr>, Failure> {
    let bare = server.trim_start_matches('[').trim_end_matches(']');
    let with_port = match bare.parse::<std::net::IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, SERVER_PORT).to_string(),
        Err(_) if server.contains(':') => server.to_owned(),
        Err(_) => format!("{server}:{SERVER_PORT}"),
    };
    let unknown = |error| Failure::Resolve { server: server.to_owned(), error };
    let found: Vec<_> =
        tokio::net::lookup_host(with_port).await.map_err(|error| unknown(Some(error)))?.collect();
    if found.is_empty() { Err(unknown(None)) } else { Ok(found) }
}

/// Reads a server's name as a peer address has it; an IPv6 address may lack its brackets here.
pub(super) fn server_name(text: &str) -> Result<ServerName, ServerNameError> {
    match text.parse::<Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]").parse(),
        Err(_) => text.parse(),
    }
}

/// Reads a description from a file, or from standard input for `-`; no more of it than can be sent.
pub(super) fn blob(path: &Path) -> Result<Bytes, Failure> {
    let (name, read) = if path == Path::new("-") {
        (PathBuf::from("standard input"), bounded(io::stdin()))
    } else {
        (path.to_owned(), File::open(path).and_then(bounded))
    };
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => return Err(Failure::File { path: name, error }),
    };
    if bytes.is_empty() || bytes.len() > BLOB_MAX {
        return Err(Failure::BlobSize { path: name, is_empty: bytes.is_empty() });
    }
    Ok(bytes.into())
}

/// Reads a whole file, or standard input for `-`, up to a bound.
pub(super) fn content(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().take(INPUT_MAX).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(INPUT_MAX).read_to_end(&mut bytes))
    };
    read.map(|_| bytes).map_err(|error| Failure::File { path: path.to_owned(), error })
}

fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(BLOB_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use roundtable_proto::wire::{self, DATAGRAM_MAX, Frame, Pong};
    use tokio::net::UdpSocket;

    use super::*;

    #[tokio::test]
    async fn lost_ping_does_not_make_an_address_a_dead_one() {
        let bound = async || UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (dead, alive) = (bound().await, bound().await);
        let all = [&dead, &alive].map(|socket| socket.local_addr().unwrap());
        let answer = async {
            let mut buffer = [0; DATAGRAM_MAX];
            // The first is lost.
            alive.recv_from(&mut buffer).await.unwrap();
            let (length, from) = alive.recv_from(&mut buffer).await.unwrap();
            let Ok(Frame::Ping(ping)) = wire::decode(&buffer[..length]) else { panic!("no PING") };
            let pong = Frame::Pong(Pong { transaction: ping.transaction, observed: from.into() });
            alive.send_to(&pong.to_vec(), from).await.unwrap();
            std::future::pending::<()>().await;
        };
        let found = tokio::select! {
            found = first_answering(&all) => found,
            () = answer => None,
        };
        assert_eq!(found, Some(all[1]));
    }
}
