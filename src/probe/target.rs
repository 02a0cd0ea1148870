//! From what the user typed to a server, an identity and bytes.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use roundtable_proto::wire::{BLOB_MAX, OfferId, PeerId};

use super::failure::Failure;
use crate::client::{Client, Incoming, Options};

/// The port of a server that is named without one.
const DEFAULT_PORT: u16 = 1066;

/// Finds the server's address.
pub(super) async fn resolve(server: &str) -> Result<SocketAddr, Failure> {
    let bare = server.trim_start_matches('[').trim_end_matches(']');
    let with_port = match bare.parse::<std::net::IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, DEFAULT_PORT).to_string(),
        Err(_) if server.contains(':') => server.to_owned(),
        Err(_) => format!("{server}:{DEFAULT_PORT}"),
    };
    let unknown = |error| Failure::Resolve { server: server.to_owned(), error };
    let mut found = tokio::net::lookup_host(with_port).await.map_err(|error| unknown(Some(error)))?;
    found.next().ok_or_else(|| unknown(None))
}

/// Takes the identifier that was given, or a random one.
pub(super) fn identity(given: Option<PeerId>) -> Result<PeerId, Failure> {
    if let Some(given) = given {
        return Ok(given);
    }
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::System(error.into()))?;
    let uuid = OfferId::from_random(bytes);
    PeerId::plain(*uuid.as_bytes()).ok_or_else(|| Failure::System(io::ErrorKind::InvalidData.into()))
}

/// Starts a client and waits until it is registered.
pub(super) async fn registered(
    server: SocketAddr,
    identifier: PeerId,
    wait: Duration,
) -> Result<(Client, Incoming, SocketAddr), Failure> {
    let (client, incoming) =
        Client::start(Options::new(server, identifier)).await.map_err(Failure::System)?;
    match tokio::time::timeout(wait, client.registered()).await {
        Ok(Ok(observed)) => Ok((client, incoming, observed)),
        Ok(Err(_)) | Err(_) => Err(Failure::not_registered(server, wait, client.registration())),
    }
}

/// Reads a description from a file, or from standard input for `-`.
pub(super) fn blob(path: &Path) -> Result<Bytes, Failure> {
    let read = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().take(BLOB_MAX as u64 + 1).read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = read.map_err(|error| Failure::File { path: path.to_owned(), error })?;
    if bytes.is_empty() || bytes.len() > BLOB_MAX {
        return Err(Failure::BlobSize { path: path.to_owned(), had: bytes.len() });
    }
    Ok(bytes.into())
}
