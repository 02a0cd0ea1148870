//! What the kernel knows of a socket's receive queue: how many datagrams found it full, and how many its filter dropped.
//! Linux; elsewhere nothing.

#[cfg(target_os = "linux")]
use std::fs;

use std::net::UdpSocket;

/// The kernel's receive queue of one socket, as it stands in its table of sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue {
    inode: u64,
    is_v6: bool,
    /// Datagrams that had found a queue full when this socket was made, on all sockets of the network namespace.
    full_before: u64,
}

/// Datagrams that the kernel did not queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drops {
    /// There was no room. An upper bound: the kernel counts these for all sockets of the network namespace together.
    pub(crate) full: u64,
    /// All others: the filter dropped them, or their checksum was wrong.
    pub(crate) filtered: u64,
}

impl Drops {
    /// Takes apart what was dropped at some sockets, given what found a queue full at all of the network namespace.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "the kernel tells nothing there"))]
    fn of(dropped: u64, full_anywhere: u64) -> Self {
        let full = dropped.min(full_anywhere);
        Self { full, filtered: dropped - full }
    }

    pub(crate) const fn in_all(self) -> u64 {
        self.full + self.filtered
    }
}

#[cfg(target_os = "linux")]
impl Queue {
    pub(crate) fn of(io: &UdpSocket) -> Option<Self> {
        use std::os::fd::AsRawFd;
        use std::os::unix::fs::MetadataExt;

        let entry = fs::metadata(format!("/proc/self/fd/{}", io.as_raw_fd())).ok()?;
        let full_before = full_anywhere().unwrap_or_default();
        Some(Self { inode: entry.ino(), is_v6: io.local_addr().ok()?.is_ipv6(), full_before })
    }

    /// Tells whether it is the same socket's.
    pub(crate) const fn is(&self, other: &Self) -> bool {
        self.inode == other.inode
    }

    /// Counts the datagrams that the kernel dropped at these together, and `before` at others. Reads whole tables, so this is
    /// nothing for the way of a datagram.
    pub(crate) fn drops(queues: &[Self], before: u64) -> Option<Drops> {
        let mut dropped = before;
        for (is_v6, path) in [(false, "/proc/self/net/udp"), (true, "/proc/self/net/udp6")] {
            let mut of_family = queues.iter().filter(|queue| queue.is_v6 == is_v6).peekable();
            if of_family.peek().is_some() {
                let table = fs::read_to_string(path).ok()?;
                for queue in of_family {
                    dropped += drops_in(&table, queue.inode)?;
                }
            }
        }
        let full_before = queues.iter().map(|queue| queue.full_before).min()?;
        // Where the kernel does not tell them apart, all have found the queue full.
        let full = full_anywhere().map_or(dropped, |full| full.saturating_sub(full_before));
        Some(Drops::of(dropped, full))
    }
}

/// Counts the datagrams that found the queue of a UDP socket full, over IPv4 and IPv6.
#[cfg(target_os = "linux")]
fn full_anywhere() -> Option<u64> {
    let v4 = counter_in(&fs::read_to_string("/proc/self/net/snmp").ok()?, "Udp:", "RcvbufErrors")?;
    // A host without IPv6 has no such file.
    let v6 = fs::read_to_string("/proc/self/net/snmp6").ok();
    let line =
        v6.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("Udp6RcvbufErrors")));
    Some(v4 + line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or_default())
}

/// Finds a counter in a table of two lines with the same first word: names, and numbers.
#[cfg(target_os = "linux")]
fn counter_in(table: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut lines = table.lines().filter(|line| line.starts_with(protocol));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let (_, number) =
        names.split_whitespace().zip(numbers.split_whitespace()).find(|(one, _)| *one == name)?;
    number.parse().ok()
}

#[cfg(not(target_os = "linux"))]
impl Queue {
    pub(crate) const fn of(_: &UdpSocket) -> Option<Self> {
        None
    }

    pub(crate) const fn is(&self, _: &Self) -> bool {
        false
    }

    pub(crate) const fn drops(_: &[Self], _: u64) -> Option<Drops> {
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

    #[test]
    fn counter_is_the_number_below_its_name() {
        let table = "Tcp: InErrs\nTcp: 9\nUdp: InDatagrams RcvbufErrors SndbufErrors\nUdp: 1 22 3\nUdpLite: RcvbufErrors\n";
        assert_eq!(counter_in(table, "Udp:", "RcvbufErrors"), Some(22));
        assert_eq!(counter_in(table, "Udp:", "MemErrors"), None);
        assert!(full_anywhere().is_some());
    }

    #[test]
    fn what_did_not_find_the_queue_full_was_filtered() {
        assert_eq!(Drops::of(10, 3), Drops { full: 3, filtered: 7 });
        assert_eq!(Drops::of(10, 30), Drops { full: 10, filtered: 0 });
    }
}
