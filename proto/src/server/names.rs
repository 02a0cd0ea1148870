//! Under which addresses clients call this server. A signed REGISTER names one of them, so that no other server can
//! pass it on. Knows nothing of frames or peers. SPEC 5

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::path::Via;
use crate::wire::Address;

/// The well-known prefix under which NAT64 shows IPv4 hosts (RFC 6052, 2.1): the last 32 bits are the IPv4 address.
/// Nobody else can be reached there.
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

pub(super) struct Names {
    /// What the operator has set.
    public: Vec<SocketAddr>,
    /// The local addresses that the driver has told.
    own: Vec<SocketAddr>,
    /// What each [`Via`] is asked at: a local address, or that of a proxy before it; where the driver has told it.
    asked: Vec<Option<SocketAddr>>,
    /// The lowest number of a way through a proxy.
    proxied: u32,
}

impl Names {
    pub(super) fn new(public: &[SocketAddr]) -> Self {
        Self {
            public: public.iter().copied().map(canonical).collect(),
            own: Vec::new(),
            asked: Vec::new(),
            proxied: u32::MAX,
        }
    }

    /// Takes the local address that a way leads to.
    pub(super) fn learn(&mut self, via: Via, local: SocketAddr) {
        let local = canonical(local);
        if !self.own.contains(&local) {
            self.own.push(local);
        }
        self.set(via, Some(local));
    }

    /// Takes the address at which a proxy is asked on a way through it, in place of any other that the number had; an
    /// unspecified one says nothing.
    pub(super) fn learn_proxy(&mut self, via: Via, asked: SocketAddr) {
        let asked = canonical(asked);
        self.proxied = self.proxied.min(via.0);
        self.set(via, Some(asked).filter(|asked| !asked.ip().is_unspecified()));
    }

    fn set(&mut self, via: Via, asked: Option<SocketAddr>) {
        let place = via.0 as usize;
        if self.asked.len() <= place {
            self.asked.resize(place + 1, None);
        }
        self.asked[place] = asked;
    }

    /// Returns the address that whoever comes this way has asked, if the driver has told it.
    pub(super) fn asked(&self, via: Via) -> Option<SocketAddr> {
        self.asked.get(via.0 as usize).copied().flatten()
    }

    /// Tells whether an address is one of the server's own, or that of the proxy on this way.
    pub(super) fn is_me(&self, via: Via, address: SocketAddr) -> bool {
        let is_own = self.public.contains(&address) || self.own.contains(&address);
        is_own || (via.0 >= self.proxied && self.asked(via) == Some(address))
    }

    /// Tells whether a client that came this way may call the server `claimed`.
    ///
    /// Behind address translation, and where the driver does not know its addresses, a server cannot tell what it is
    /// called: then it takes every name, unless the operator has set one.
    pub(super) fn is_own(&self, via: Via, claimed: &Address) -> bool {
        let Some(claimed) = claimed.socket_addr() else { return false };
        let local = self.asked(via);
        let translated = SocketAddr::new(behind_nat64(claimed.ip()), claimed.port());
        if self.public.iter().chain(&local).any(|own| *own == claimed || *own == translated) {
            return true;
        }
        self.public.is_empty() && local.is_none_or(|local| may_be_translated(local.ip()))
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Tells whether others may know the host of a local address under another one: in private and shared ranges
/// (RFC 1918, 6598, 4193), and link-local ones.
#[must_use]
pub const fn may_be_translated(local: IpAddr) -> bool {
    match local {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_link_local() || (a == 100 && b & 0xC0 == 64)
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Returns the IPv4 address that a NAT64 of the well-known prefix stands for, else the address itself.
fn behind_nat64(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.segments()[..6] == NAT64 => Ipv4Addr::from_bits(low_bits(v6)).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

const fn low_bits(address: Ipv6Addr) -> u32 {
    address.to_bits() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIA: Via = Via(3);

    fn addresses(text: &str) -> Vec<SocketAddr> {
        text.split_whitespace().map(|address| address.parse().unwrap()).collect()
    }

    /// Tells which of the claimed addresses are taken.
    fn taken(public: &str, local: Option<&str>, claimed: &str) -> Vec<bool> {
        let mut names = Names::new(&addresses(public));
        if let Some(local) = local {
            names.learn(VIA, local.parse().unwrap());
        }
        addresses(claimed).into_iter().map(|address| names.is_own(VIA, &Address::from(address))).collect()
    }

    #[test]
    fn server_on_a_public_address_takes_just_that_one() {
        let claimed = "192.0.2.1:1066 192.0.2.1:1067 192.0.2.2:1066 [64:ff9b::c000:201]:1066 \
                       [64:ff9b:0:0:0:1:c000:201]:1066 127.0.0.1:1066";
        let expected = [true, false, false, true, false, false];
        assert_eq!(taken("", Some("192.0.2.1:1066"), claimed), expected);
        assert_eq!(taken("", Some("[::ffff:192.0.2.1]:1066"), claimed), expected);
        let six = "[2001:db8::1]:1066 [2001:db8::2]:1066";
        assert_eq!(taken("", Some("[2001:db8::1]:1066"), six), [true, false]);
        assert_eq!(taken("", Some("127.0.0.1:1066"), claimed), [false, false, false, false, false, true]);
    }

    #[test]
    fn server_on_a_private_address_takes_every_name_until_it_is_told_its_own() {
        let claimed = "203.0.113.5:1066 203.0.113.6:1066 10.0.0.7:1066";
        for local in ["10.0.0.7:1066", "192.168.3.1:1", "100.64.0.1:1", "169.254.0.1:1", "[fd00::1]:1"] {
            assert_eq!(taken("", Some(local), claimed), [true, true, true], "{local}");
        }
        assert_eq!(taken("203.0.113.5:1066", Some("10.0.0.7:1066"), claimed), [true, false, true]);
    }

    #[test]
    fn server_whose_driver_does_not_know_takes_every_name_until_it_is_told_its_own() {
        let claimed = "203.0.113.5:1066 203.0.113.6:1066";
        assert_eq!(taken("", None, claimed), [true, true]);
        assert_eq!(taken("203.0.113.5:1066", None, claimed), [true, false]);
    }

    #[test]
    fn server_behind_a_proxy_is_called_by_the_proxys_address() {
        let mut names = Names::new(&[]);
        let [proxy, other, mapped] = ["203.0.113.9:1066", "203.0.113.10:1066", "[::ffff:203.0.113.9]:1066"]
            .map(|one| one.parse().unwrap());
        let own = |names: &Names, claimed: SocketAddr| names.is_own(VIA, &Address::from(claimed));
        names.learn_proxy(VIA, mapped);
        assert_eq!((own(&names, proxy), own(&names, other)), (true, false));
        assert_eq!((names.is_me(VIA, proxy), names.is_me(Via(4), proxy)), (true, false));
        // The number stands for another way now.
        names.learn_proxy(VIA, other);
        assert_eq!((own(&names, proxy), own(&names, other)), (false, true));
        names.learn_proxy(VIA, "0.0.0.0:0".parse().unwrap());
        assert_eq!((own(&names, proxy), own(&names, other)), (true, true));
    }

    #[test]
    fn no_address_is_nobody() {
        assert!(!Names::new(&[]).is_own(VIA, &Address::NONE));
    }
}
