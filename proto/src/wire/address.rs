//! An IP address and a port in the fixed form of 19 bytes. SPEC 3

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::field::{Field, Form};

/// An IP address and a port, or none, in the fixed form of 19 bytes. SPEC 3
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    family: u8,
    ip: u128,
    port: u16,
}

/// The text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressError;

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address is IP:PORT, [IP]:PORT or none")
    }
}

impl std::error::Error for AddressError {}

impl Address {
    /// Stands where an address is not known.
    pub const NONE: Self = Self { family: 0, ip: 0, port: 0 };

    /// Returns the socket address, if there is one.
    #[must_use]
    pub fn socket_addr(self) -> Option<SocketAddr> {
        let ip = match self.family {
            4 => IpAddr::V4(Ipv4Addr::from_bits((self.ip >> 96) as u32)),
            6 => IpAddr::V6(Ipv6Addr::from_bits(self.ip)),
            _ => return None,
        };
        Some(SocketAddr::new(ip, self.port))
    }

    /// Returns the 19 bytes that stand on the wire. SPEC 3
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 19] {
        let (mut bytes, ip, port) = ([0; 19], self.ip.to_be_bytes(), self.port.to_be_bytes());
        bytes[0] = self.family;
        let (_, rest) = bytes.split_at_mut(1);
        let (wide, last) = rest.split_at_mut(16);
        wide.copy_from_slice(&ip);
        last.copy_from_slice(&port);
        bytes
    }

    /// Takes the 19 bytes of an address, unless they are none. SPEC 3
    #[must_use]
    pub fn from_bytes(bytes: [u8; 19]) -> Option<Self> {
        let [family, rest @ .., high, low] = bytes;
        let address = Self { family, ip: u128::from_be_bytes(rest), port: u16::from_be_bytes([high, low]) };
        address.is_valid().then_some(address)
    }
}

impl From<SocketAddr> for Address {
    /// An IPv4-mapped IPv6 address becomes IPv4; flow label and scope are left out.
    fn from(address: SocketAddr) -> Self {
        let port = address.port();
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => Self { family: 4, ip: u128::from(ip.to_bits()) << 96, port },
            IpAddr::V6(ip) => Self { family: 6, ip: ip.to_bits(), port },
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text == "none" {
            return Ok(Self::NONE);
        }
        text.parse::<SocketAddr>().map(Self::from).map_err(|_| AddressError)
    }
}

impl Field for Address {
    const SIZE: usize = 19;
    const FORM: Form = Form::Address;

    fn is_valid(&self) -> bool {
        match self.family {
            0 => self.ip == 0 && self.port == 0,
            4 => self.ip.trailing_zeros() >= 96,
            6 => Ipv6Addr::from_bits(self.ip).to_ipv4_mapped().is_none(),
            _ => false,
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.family, self.ip, self.port).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (family, ip, port) = Deserialize::deserialize(deserializer)?;
        Ok(Self { family, ip, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket_addr() {
            Some(address) => address.fmt(f),
            None => f.write_str("none"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}
