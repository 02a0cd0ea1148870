//! From what the user named to one address of each family.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use crate::probe::failure::Failure;
use crate::probe::target;

/// For the name servers.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where a server is, by family.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Addresses {
    pub(super) v4: Option<SocketAddr>,
    pub(super) v6: Option<SocketAddr>,
}

impl Addresses {
    /// Finds the first address of each family.
    pub(super) async fn of(server: &str) -> Result<Self, Failure> {
        let silence =
            || Failure::Resolve { server: server.to_owned(), error: Some(io::ErrorKind::TimedOut.into()) };
        let all = timeout(PATIENCE, target::resolve_all(server)).await.map_err(|_| silence())??;
        let first = |is_v4: bool| all.iter().copied().find(|one| one.is_ipv4() == is_v4);
        Ok(Self { v4: first(true), v6: first(false) })
    }

    /// Gives that of the same family as `other`.
    pub(super) const fn like(self, other: SocketAddr) -> Option<SocketAddr> {
        if other.is_ipv4() { self.v4 } else { self.v6 }
    }

    pub(super) fn each(self) -> impl Iterator<Item = SocketAddr> {
        self.v4.into_iter().chain(self.v6)
    }
}

/// IPv4 or IPv6.
pub(super) const fn family(address: SocketAddr) -> &'static str {
    match address {
        SocketAddr::V4(_) => "IPv4",
        SocketAddr::V6(_) => "IPv6",
    }
}
