//! A server as a user writes it: a host name or an IP address, and a port. SPEC 14

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The port that a server listens on unless told otherwise. SPEC 14
pub const SERVER_PORT: u16 = 1066;

/// Characters of a host name and of one of its labels, at most (RFC 1123, RFC 1035).
const HOST_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Where a server is: by name, or by address.
///
/// Its text has no brackets around an IPv6 address: it goes into a resolver as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A host name in small letters, by the rules of RFC 1123.
    Name(String),
    /// An IP address; never an IPv4-mapped IPv6 one.
    Address(IpAddr),
}

/// A host and a port.
///
/// Its text is `host`, `192.0.2.1` or `[2001:db8::1]`, with `:port` unless that is [`SERVER_PORT`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerName {
    host: Host,
    port: u16,
}

/// The text names no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerNameError {
    /// The host is neither a name by RFC 1123, nor an IPv4 address, nor an IPv6 address in brackets.
    BadHost,
    /// The port is not a number from 1 to 65535.
    BadPort,
}

impl fmt::Display for ServerNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadHost => "a server is a host name, an IPv4 address, or an IPv6 address in brackets",
            Self::BadPort => "a port is a number from 1 to 65535",
        })
    }
}

impl std::error::Error for ServerNameError {}

impl ServerName {
    /// Returns where it is.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Returns its port, not zero.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for ServerName {
    type Err = ServerNameError;

    /// Takes any way to write it, and makes the canonical one of it.
    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        let (host, port) = match text.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((inside, port)) => {
                let ip: Ipv6Addr = inside.parse().map_err(|_| ServerNameError::BadHost)?;
                (Host::Address(ip.to_canonical()), port)
            }
            None => {
                let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                (host.parse()?, port)
            }
        };
        let port = if port.is_empty() { SERVER_PORT } else { parse_port(port)? };
        Ok(Self { host, port })
    }
}

/// Reads a colon and a number.
fn parse_port(text: &str) -> Result<u16, ServerNameError> {
    let digits = text.strip_prefix(':').ok_or(ServerNameError::BadPort)?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(ServerNameError::BadPort);
    }
    match digits.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(ServerNameError::BadPort),
    }
}

impl FromStr for Host {
    type Err = ServerNameError;

    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(IpAddr::V4(ip)));
        }
        // A last label that begins with a digit would be an address to some resolvers: 127.1, 0x7f000001.
        let named =
            text.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_alphabetic()));
        if !named || text.len() > HOST_MAX || !text.split('.').all(is_label) {
            return Err(ServerNameError::BadHost);
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_MAX).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(ip) => ip.fmt(f),
        }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]")?,
            host @ (Host::Name(_) | Host::Address(IpAddr::V4(_))) => host.fmt(f)?,
        }
        if self.port == SERVER_PORT { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_server_gives_the_canonical_one() {
        let label = "a".repeat(63);
        for (text, canonical) in [
            ("localhost", "localhost"),
            ("Signal.Example.ORG:1066", "signal.example.org"),
            ("3com.example", "3com.example"),
            ("xn--bcher-kva.example:7", "xn--bcher-kva.example:7"),
            ("192.0.2.1:65535", "192.0.2.1:65535"),
            ("h:007", "h:7"),
            ("[2001:DB8:0:0:0:0:0:1]", "[2001:db8::1]"),
            ("[::ffff:192.0.2.1]", "192.0.2.1"),
            (&label, &label),
        ] {
            assert_eq!(text.parse::<ServerName>().unwrap().to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn what_names_no_server_is_refused_by_name() {
        let (label, long) = ("a".repeat(64), ["a"; 127].join(".") + ".b");
        for host in [
            "",
            ":1",
            "-a",
            "a-",
            "a..b",
            ".a",
            "a.",
            "a_b",
            "a b",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "01.2.3.4",
            "127.1",
            "0x7f000001",
            "example.1st",
            "::1",
            "[::1",
            "[]",
            "[1.2.3.4]",
            "[fe80::1%eth0]",
            &label,
            &long,
        ] {
            assert_eq!(host.parse::<ServerName>(), Err(ServerNameError::BadHost), "{host}");
        }
        for port in ["a:", "a:0", "a:65536", "a:+7", "a:1:2", "a:x", "[::1]7", "[::1]:", "[::1]x"] {
            assert_eq!(port.parse::<ServerName>(), Err(ServerNameError::BadPort), "{port}");
        }
    }
}
