//! From what the user typed to a server and to bytes.

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use roundtable_proto::peer_address::{SERVER_PORT, ServerName, ServerNameError};
use roundtable_proto::wire::BLOB_MAX;

use super::failure::Failure;

/// Finds the server's address.
pub(super) async fn resolve(server: &str) -> Result<SocketAddr, Failure> {
    let bare = server.trim_start_matches('[').trim_end_matches(']');
    let with_port = match bare.parse::<std::net::IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, SERVER_PORT).to_string(),
        Err(_) if server.contains(':') => server.to_owned(),
        Err(_) => format!("{server}:{SERVER_PORT}"),
    };
    let unknown = |error| Failure::Resolve { server: server.to_owned(), error };
    let mut found = tokio::net::lookup_host(with_port).await.map_err(|error| unknown(Some(error)))?;
    found.next().ok_or_else(|| unknown(None))
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

fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(BLOB_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
