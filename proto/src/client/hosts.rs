//! The message that tells the other peer under which addresses this host can be reached directly: a CANDIDATE like the
//! application's, told apart by its first bytes. Knows nothing of calls. SPEC 8

use std::net::{IpAddr, SocketAddr};

use super::constants::HOSTS_MAX;
use super::counters::DropReason;
use crate::wire::Address;

/// What such a message begins with; no message of an application may begin with its first three bytes. SPEC 8
pub const HOSTS_MARK: [u8; 4] = [0x00, b'R', b'T', 0x01];
/// Bytes of an address.
const ADDRESS: usize = 19;

/// What all messages of the library's own begin with. SPEC 8
pub(super) const OWN_MARK: [u8; 3] = [0x00, b'R', b'T'];

/// Tells whether a message is the library's own.
pub(super) fn is_marked(message: &[u8]) -> bool {
    message.starts_with(&OWN_MARK)
}

/// Writes the message; `None` where there is nothing to tell.
pub(super) fn write(hosts: &[SocketAddr]) -> Option<Vec<u8>> {
    if hosts.is_empty() {
        return None;
    }
    let mut message = HOSTS_MARK.to_vec();
    hosts.iter().take(HOSTS_MAX).for_each(|&host| message.extend(Address::from(host).to_bytes()));
    Some(message)
}

/// Reads the message: the addresses among it that may be probed.
pub(super) fn read(message: &[u8]) -> Result<Vec<SocketAddr>, DropReason> {
    let body = message.strip_prefix(&HOSTS_MARK).ok_or(DropReason::Undecodable)?;
    let (addresses, []) = body.as_chunks::<ADDRESS>() else { return Err(DropReason::Undecodable) };
    if addresses.is_empty() || addresses.len() > HOSTS_MAX {
        return Err(DropReason::Undecodable);
    }
    let addresses: Option<Vec<_>> = addresses.iter().map(address).collect();
    let mut addresses = addresses.ok_or(DropReason::Undecodable)?;
    addresses.retain(is_probable);
    Ok(addresses)
}

/// Reads one address in its canonical form.
fn address(bytes: &[u8; ADDRESS]) -> Option<SocketAddr> {
    let [family, ip @ .., high, low] = *bytes;
    let port = u16::from_be_bytes([high, low]);
    let ip = match family {
        4 => IpAddr::from([ip[0], ip[1], ip[2], ip[3]]),
        6 => IpAddr::from(ip),
        _ => return None,
    };
    let address = SocketAddr::new(ip, port);
    (Address::from(address).to_bytes() == *bytes).then_some(address)
}

/// Tells whether an address that the other peer names may be probed: one host, that is not this one.
fn is_probable(address: &SocketAddr) -> bool {
    let ip = address.ip();
    let nowhere = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast();
    let special = match ip {
        IpAddr::V4(ip) => ip.is_broadcast() || ip.is_link_local(),
        // Without its interface, which no other host knows, a link-local address says nothing.
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !nowhere && !special && address.port() != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let hosts = addresses(&["192.168.1.2:4000", "[2001:db8::2]:4000"]);
        let message = write(&hosts).unwrap();
        assert!(is_marked(&message));
        assert_eq!((message.len(), read(&message)), (42, Ok(hosts)));
        assert_eq!(write(&[]), None);
    }

    #[test]
    fn addresses_that_are_no_single_other_host_are_left_out() {
        let hosts = addresses(&[
            "0.0.0.0:1",
            "127.0.0.1:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "169.254.1.1:1",
            "10.0.0.1:0",
            "[fe80::1]:1",
            "10.0.0.1:1",
        ]);
        assert_eq!(read(&write(&hosts).unwrap()), Ok(addresses(&["10.0.0.1:1"])));
    }

    #[test]
    fn message_that_is_too_long_or_cut_or_not_canonical_is_refused() {
        let one = write(&addresses(&["10.0.0.1:1"])).unwrap();
        let mut many = one.clone();
        (0..HOSTS_MAX).for_each(|_| many.extend_from_slice(&one[HOSTS_MARK.len()..]));
        let mut dirty = one.clone();
        dirty[HOSTS_MARK.len() + 10] = 1;
        for message in [&one[..one.len() - 1], &HOSTS_MARK, &many, &dirty, b"candidate:1"] {
            assert_eq!(read(message), Err(DropReason::Undecodable), "{message:?}");
        }
    }
}
