//! A file of one's own datagrams, for Wireshark, tcpdump and `roundtable-probe decode`: pcapng, written without privilege by
//! the server or client itself. Bounded in size; blobs are cut to their length unless they are asked for.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use roundtable_proto::wire::{Kind, MAGIC, VERSION};

/// pcapng: a section, in this machine's byte order.
const SECTION: u32 = 0x0A0D_0D0A;
/// pcapng: what tells the byte order.
const BYTE_ORDER: u32 = 0x1A2B_3C4D;
/// pcapng: an interface.
const INTERFACE: u32 = 1;
/// pcapng: a packet with its time and way.
const PACKET: u32 = 6;
/// Link type RAW: IPv4 or IPv6, told apart by its version.
const RAW: u16 = 101;
/// Bytes that are kept of a datagram that is no frame.
const FOREIGN_KEPT: usize = 64;
/// IP: what follows is UDP.
const UDP: u8 = 17;

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of the file, at most.
    pub size: u64,
    /// Whether blobs are kept, too.
    pub blobs: bool,
}

/// A capture that is being written. Cheap to clone; the file is complete when the last one is gone.
#[derive(Clone)]
pub struct Capture(Arc<Mutex<Writer>>);

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It was received.
    In,
    /// It was sent.
    Out,
}

struct Writer {
    /// None once the file is full, or cannot be written.
    file: Option<BufWriter<File>>,
    room: u64,
    blobs: bool,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").finish_non_exhaustive()
    }
}

impl Capture {
    /// Makes the file, or empties it; only its owner may read it, since sessions stand in it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn create(path: &Path, extent: Extent) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        // One that was there already; a pipe or a device is nobody's to change.
        #[cfg(unix)]
        if file.metadata()?.is_file() {
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        }
        let file = Some(BufWriter::new(file));
        let mut writer = Writer { file, room: extent.size, blobs: extent.blobs };
        writer.begin();
        writer.flush()?;
        Ok(Self(Arc::new(Mutex::new(writer))))
    }

    /// Adds a datagram. Where there is no more room, or the file cannot be written, that is logged once, and it ends.
    pub fn note(&self, way: Way, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        self.0.lock().note(way, from, to, datagram);
    }

    /// Hands what was added to the operating system.
    pub fn flush(&self) {
        // An error is told when more is written.
        drop(self.0.lock().flush());
    }
}

impl Writer {
    fn begin(&mut self) {
        let unknown_length = u64::MAX.to_ne_bytes();
        let version = [1u16.to_ne_bytes(), 0u16.to_ne_bytes()].concat();
        self.block(SECTION, &[&BYTE_ORDER.to_ne_bytes()[..], &version, &unknown_length].concat());
        let nanoseconds = option(9, &[9]);
        let link = [RAW.to_ne_bytes(), 0u16.to_ne_bytes()].concat();
        let end = option(0, &[]);
        self.block(INTERFACE, &[&link[..], &0u32.to_ne_bytes(), &nanoseconds, &end].concat());
    }

    fn note(&mut self, way: Way, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        if self.file.is_none() {
            return;
        }
        let (from, to) = same_family(from, to);
        let headers = headers(from, to, datagram);
        let kept = if self.blobs { datagram.len() } else { kept(datagram) };
        let lengths = [headers.len() + kept, headers.len() + datagram.len()];
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        // Nanoseconds fit until the year 2554.
        let time = [(since >> 32) as u32, since as u32];
        let mut body = 0u32.to_ne_bytes().to_vec();
        // At most 64 KiB.
        let words = time.into_iter().chain(lengths.map(|length| length as u32));
        body.extend(words.flat_map(u32::to_ne_bytes));
        body.extend(headers);
        body.extend(&datagram[..kept]);
        body.resize(body.len().next_multiple_of(4), 0);
        let direction: u32 = match way {
            Way::In => 1,
            Way::Out => 2,
        };
        body.extend(option(2, &direction.to_ne_bytes()));
        body.extend(option(0, &[]));
        self.block(PACKET, &body);
    }

    /// Writes a block, if it still fits.
    fn block(&mut self, kind: u32, body: &[u8]) {
        let Some(file) = &mut self.file else { return };
        // Far below 4 GiB.
        let length = (body.len() + 12) as u32;
        let Some(room) = self.room.checked_sub(length.into()) else {
            log::info!("the capture is full, and ends here");
            self.file = None;
            return;
        };
        self.room = room;
        let (kind, length) = (kind.to_ne_bytes(), length.to_ne_bytes());
        let written =
            [&kind[..], &length, body, &length].into_iter().try_for_each(|part| file.write_all(part));
        if let Err(error) = written {
            log::warn!("the capture cannot be written, and ends here: {error}");
            self.file = None;
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// An option of a block.
fn option(code: u16, value: &[u8]) -> Vec<u8> {
    // A few bytes.
    let mut option = [code.to_ne_bytes(), (value.len() as u16).to_ne_bytes()].concat();
    option.extend(value);
    option.resize(option.len().next_multiple_of(4), 0);
    option
}

/// Shows where a socket that is bound to all addresses sends from, when it sends to `remote`: as far as routing tells.
pub(crate) fn shown(local: SocketAddr, remote: SocketAddr) -> SocketAddr {
    if !local.ip().is_unspecified() {
        return local;
    }
    let any = crate::client::any_address(remote);
    let route =
        UdpSocket::bind(any).and_then(|socket| socket.connect(remote).and_then(|()| socket.local_addr()));
    route.map_or(local, |route| SocketAddr::new(route.ip(), local.port()))
}

/// Bytes of a datagram that are kept where blobs are not.
fn kept(datagram: &[u8]) -> usize {
    let kind = match datagram {
        [a, b, VERSION, kind, ..] if [*a, *b] == MAGIC => Kind::from_number(*kind),
        _ => None,
    };
    let longest =
        kind.map_or(FOREIGN_KEPT, |kind| if kind.has_blob() { kind.size() } else { datagram.len() });
    datagram.len().min(longest)
}

/// Shows both addresses in one family: a dual-stack socket that is bound to all of them has none.
fn same_family(from: SocketAddr, to: SocketAddr) -> (SocketAddr, SocketAddr) {
    let (from, to) = (canonical(from), canonical(to));
    (beside(from, to), beside(to, from))
}

fn beside(one: SocketAddr, other: SocketAddr) -> SocketAddr {
    if one.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && other.is_ipv4() {
        return SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), one.port());
    }
    one
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The headers of IP and UDP, as they were, or could have been, on the way.
fn headers(from: SocketAddr, to: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    // Of a datagram that was received or sent.
    let length = (datagram.len() + 8) as u16;
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    let udp = [&ports[..], &length.to_be_bytes(), &[0, 0]].concat();
    let (mut ip, addresses) = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let addresses = [from.octets(), to.octets()].concat();
            (v4(length, &addresses), addresses)
        }
        (from, to) => {
            let addresses = [v6_octets(from), v6_octets(to)].concat();
            (v6(length, &addresses), addresses)
        }
    };
    let pseudo = [&addresses[..], &[0, UDP], &length.to_be_bytes()].concat();
    let checksum = match checksum(&[&pseudo, &udp, datagram]) {
        // Zero says that there is none.
        0 => 0xFFFF,
        sum => sum,
    };
    ip.extend(&udp[..6]);
    ip.extend(checksum.to_be_bytes());
    ip
}

fn v6_octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => Ipv6Addr::octets(&ip),
    }
}

fn v4(length: u16, addresses: &[u8]) -> Vec<u8> {
    let mut header = [&[0x45, 0][..], &(length + 20).to_be_bytes(), &[0, 0, 0x40, 0, 64, UDP, 0, 0]].concat();
    header.extend(addresses);
    let sum = checksum(&[&header]).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    header
}

fn v6(length: u16, addresses: &[u8]) -> Vec<u8> {
    let mut header = [&[0x60, 0, 0, 0][..], &length.to_be_bytes(), &[UDP, 64]].concat();
    header.extend(addresses);
    header
}

/// The checksum of the internet protocols (RFC 1071). Each part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
    let mut sum: u64 = words.map(|pair| u64::from(word(pair))).sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    // Folded to 16 bits.
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// RFC 1071, 3.
    #[test]
    fn checksum_is_that_of_the_rfc() {
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        assert_eq!(checksum(&[&[0x00, 0x01], &[0xf2]]), !0xf201);
    }

    /// What is summed up with its own checksum is all ones.
    #[test]
    fn headers_carry_their_checksums() {
        for (from, to) in
            [("192.0.2.1:1066", "198.51.100.7:40000"), ("[2001:db8::1]:1066", "[2001:db8::2]:7")]
        {
            let datagram = b"RT\x01 an odd number of bytes";
            let headers = headers(address(from), address(to), datagram);
            let (ip, udp) = headers.split_at(headers.len() - 8);
            if address(from).is_ipv4() {
                assert_eq!(checksum(&[ip]), 0);
            }
            let addresses = &ip[if ip.len() == 20 { 12 } else { 8 }..];
            let pseudo = [addresses, &[0, UDP], &udp[4..6]].concat();
            assert_eq!(checksum(&[&pseudo, udp, datagram]), 0, "{from}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn file_that_was_there_is_its_owners_alone_too() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("capture");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        Capture::create(&path, Extent { size: 1000, blobs: false }).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn file_ends_before_its_bound_and_blobs_are_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("capture");
        let offer = [b"RT\x01\x06".as_slice(), &[1; 1100]].concat();
        let (client, server) = (address("[::ffff:192.0.2.7]:4000"), address("[::]:1066"));
        let mut sizes = Vec::new();
        for (size, blobs) in [(600, false), (1000, false), (5000, true)] {
            let capture = Capture::create(&path, Extent { size, blobs }).unwrap();
            for _ in 0..10 {
                capture.note(Way::In, client, server, &offer);
            }
            drop(capture);
            let written = std::fs::metadata(&path).unwrap().len();
            assert!(written <= size, "{written}");
            sizes.push(written);
        }
        // 60 bytes in front; 28 of headers, 128 of the frame and 44 of the block for each; with the blob 1104 for 128.
        assert_eq!(sizes, [60 + 2 * 200, 60 + 4 * 200, 60 + 4 * 1176]);
    }
}
