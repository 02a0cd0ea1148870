//! What the kernel knows of a socket's receive queue: how many datagrams found it full. Linux; elsewhere nothing.

#[cfg(target_os = "linux")]
use std::fs;

use tokio::net::UdpSocket;

/// The kernel's receive queue of one socket, as it stands in its table of sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue {
    inode: u64,
    is_v6: bool,
}

#[cfg(target_os = "linux")]
impl Queue {
    pub(crate) fn of(io: &UdpSocket) -> Option<Self> {
        use std::os::fd::AsRawFd;
        use std::os::unix::fs::MetadataExt;

        let entry = fs::metadata(format!("/proc/self/fd/{}", io.as_raw_fd())).ok()?;
        Some(Self { inode: entry.ino(), is_v6: io.local_addr().ok()?.is_ipv6() })
    }

    /// Counts the datagrams that the kernel dropped because the queue was full. Reads the whole table, so this is
    /// nothing for the way of a datagram.
    pub(crate) fn drops(self) -> Option<u64> {
        let table = if self.is_v6 { "/proc/self/net/udp6" } else { "/proc/self/net/udp" };
        drops_in(&fs::read_to_string(table).ok()?, self.inode)
    }
}

#[cfg(not(target_os = "linux"))]
impl Queue {
    pub(crate) const fn of(_: &UdpSocket) -> Option<Self> {
        None
    }

    pub(crate) const fn drops(self) -> Option<u64> {
        None
    }
}

/// Finds the last column, `drops`, in the line of the socket with this inode, the tenth column.
#[cfg(target_os = "linux")]
fn drops_in(table: &str, inode: u64) -> Option<u64> {
    let inode = inode.to_string();
    let line = table.lines().skip(1).find(|line| line.split_whitespace().nth(9) == Some(&inode))?;
    line.split_whitespace().last()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn drops_are_those_of_the_line_with_the_inode() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            \u{20}  7: 0100007F:0BB8 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 123 2 0000000000000000 5\n\
            \u{20} 12: 0100007F:0BB9 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1234 2 0000000000000000 42\n";
        assert_eq!(drops_in(table, 1234), Some(42));
        assert_eq!(drops_in(table, 12), None);
    }
}
