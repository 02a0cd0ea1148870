//! From what the user typed to a server, an identity and bytes.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use roundtable_proto::wire::{BLOB_MAX, OfferId, PeerId};

use super::failure::Failure;

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

fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(BLOB_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
