//! The line of text that a user hands out: who he is and at which servers he is to be found. SPEC 14
//!
//! `roundtable:<identifier>@<server>[,<server>...]#<check>`. One value has one text, and only that text is taken, so
//! that two people can compare what they hold; a damaged one is refused by name.
//!
//! ```
//! use roundtable_proto::peer_address::PeerAddress;
//!
//! let text = "roundtable:6ba7b810-9dad-11d1-80b4-00c04fd430c8@signal.example.org,[2001:db8::1]:7000#d96cdb36";
//! let address: PeerAddress = text.parse()?;
//! assert_eq!(address.servers()[0].port(), 1066);
//! assert_eq!(address.to_string(), text);
//! # Ok::<(), roundtable_proto::peer_address::PeerAddressError>(())
//! ```

mod server_name;

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

pub use server_name::{Host, SERVER_PORT, ServerName, ServerNameError};

use crate::wire::{PeerId, PeerIdError};

/// Bytes of a peer address, at most, without white space around it. SPEC 14
pub const PEER_ADDRESS_MAX: usize = 1024;
/// Servers of a peer address, at most. SPEC 14
pub const SERVERS_MAX: usize = 8;

const SCHEME: &str = "roundtable:";
/// Hexadecimal digits of the check: 32 bits, so one damaged text in four billion passes.
const CHECK: usize = 8;

/// A peer and the servers that it registers at, the preferred one first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddress {
    identifier: PeerId,
    servers: Vec<ServerName>,
}

/// Why a text is no peer address, in the order in which they are looked for; or why there can be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAddressError {
    /// It is longer than [`PEER_ADDRESS_MAX`].
    TooLong {
        /// Bytes that it has.
        had: usize,
    },
    /// A character is white space within the text, a control character, or not of ASCII.
    BadCharacter,
    /// It does not begin with `roundtable:`.
    BadScheme,
    /// There is no `#` with the check behind it: the end of the text is missing.
    CheckMissing,
    /// The check is not 8 digits 0-9, a-f.
    BadCheck,
    /// The check does not fit: something was changed or left out.
    CheckMismatch,
    /// There is no `@` after the identifier.
    ServerMissing,
    /// The identifier is none.
    BadIdentifier(PeerIdError),
    /// There are more than [`SERVERS_MAX`] servers.
    TooManyServers,
    /// A server is none.
    BadServer(ServerNameError),
    /// A server is named twice.
    DuplicateServer,
    /// It could be written in another way: capitals, the default port, zeros in front.
    NotCanonical,
}

impl PeerAddressError {
    /// Returns the name that SPEC.md and the vectors use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::BadCharacter => "bad_character",
            Self::BadScheme => "bad_scheme",
            Self::CheckMissing => "check_missing",
            Self::BadCheck => "bad_check",
            Self::CheckMismatch => "check_mismatch",
            Self::ServerMissing => "server_missing",
            Self::BadIdentifier(_) => "bad_identifier",
            Self::TooManyServers => "too_many_servers",
            Self::BadServer(ServerNameError::BadHost) => "bad_host",
            Self::BadServer(ServerNameError::BadPort) => "bad_port",
            Self::DuplicateServer => "duplicate_server",
            Self::NotCanonical => "not_canonical",
        }
    }
}

impl fmt::Display for PeerAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { had } => write!(f, "{had} characters, at most {PEER_ADDRESS_MAX} are allowed"),
            Self::BadCharacter => f.write_str("a space or a strange character stands within the address"),
            Self::BadScheme => write!(f, "a peer address begins with {SCHEME}"),
            Self::CheckMissing => f.write_str("the end of the address is missing: # and 8 digits"),
            Self::BadCheck => f.write_str("an address ends in # and 8 digits 0-9, a-f"),
            Self::CheckMismatch => f.write_str("the address is damaged: a character was changed or left out"),
            Self::ServerMissing => {
                f.write_str("the address names no server: @ and a host after the identifier")
            }
            Self::BadIdentifier(error) => error.fmt(f),
            Self::TooManyServers => write!(f, "more than {SERVERS_MAX} servers"),
            Self::BadServer(error) => error.fmt(f),
            Self::DuplicateServer => f.write_str("a server is named twice"),
            Self::NotCanonical => {
                f.write_str("not in the canonical form: small letters, no default port, no zeros in front")
            }
        }
    }
}

impl std::error::Error for PeerAddressError {}

impl PeerAddress {
    /// Joins a peer and its servers.
    ///
    /// # Errors
    /// [`PeerAddressError`] if there are no servers or too many, one twice, or the text would be too long.
    pub fn new(identifier: PeerId, servers: Vec<ServerName>) -> Result<Self, PeerAddressError> {
        if servers.is_empty() {
            return Err(PeerAddressError::ServerMissing);
        }
        if servers.len() > SERVERS_MAX {
            return Err(PeerAddressError::TooManyServers);
        }
        if servers.iter().enumerate().any(|(at, server)| servers[..at].contains(server)) {
            return Err(PeerAddressError::DuplicateServer);
        }
        let address = Self { identifier, servers };
        let had = address.body().len() + 1 + CHECK;
        if had > PEER_ADDRESS_MAX { Err(PeerAddressError::TooLong { had }) } else { Ok(address) }
    }

    /// Returns who it is.
    #[must_use]
    pub const fn identifier(&self) -> PeerId {
        self.identifier
    }

    /// Returns where to find it: 1 to 8 servers, the preferred one first.
    #[must_use]
    pub fn servers(&self) -> &[ServerName] {
        &self.servers
    }

    /// Returns all that stands before the `#`.
    fn body(&self) -> String {
        let servers: Vec<String> = self.servers.iter().map(ServerName::to_string).collect();
        format!("{SCHEME}{}@{}", self.identifier, servers.join(","))
    }
}

fn check(body: &str) -> String {
    let digest = Sha256::digest(body);
    digest[..CHECK / 2].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body();
        write!(f, "{body}#{}", check(&body))
    }
}

impl FromStr for PeerAddress {
    type Err = PeerAddressError;

    /// Takes the canonical text, with or without spaces, tabs and line ends around it.
    fn from_str(text: &str) -> Result<Self, PeerAddressError> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        let address = parse(text)?;
        if address.to_string() == text { Ok(address) } else { Err(PeerAddressError::NotCanonical) }
    }
}

fn parse(text: &str) -> Result<PeerAddress, PeerAddressError> {
    if text.len() > PEER_ADDRESS_MAX {
        return Err(PeerAddressError::TooLong { had: text.len() });
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(PeerAddressError::BadCharacter);
    }
    let tail = text.strip_prefix(SCHEME).ok_or(PeerAddressError::BadScheme)?;
    let (body, found) = text.split_once('#').ok_or(PeerAddressError::CheckMissing)?;
    if found.len() != CHECK || !found.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(PeerAddressError::BadCheck);
    }
    if check(body) != found {
        return Err(PeerAddressError::CheckMismatch);
    }
    // The check and its # are the last 9 bytes, all of ASCII.
    let contents = &tail[..tail.len() - CHECK - 1];
    let (identifier, servers) = contents.split_once('@').ok_or(PeerAddressError::ServerMissing)?;
    let identifier = identifier.parse().map_err(PeerAddressError::BadIdentifier)?;
    if servers.split(',').count() > SERVERS_MAX {
        return Err(PeerAddressError::TooManyServers);
    }
    let servers: Result<Vec<ServerName>, _> = servers.split(',').map(str::parse).collect();
    PeerAddress::new(identifier, servers.map_err(PeerAddressError::BadServer)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYED: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn sealed(body: &str) -> String {
        format!("{body}#{}", check(body))
    }

    fn example() -> String {
        sealed(&format!("roundtable:{KEYED}@a.example.org,192.0.2.1:7000,[2001:db8::1]"))
    }

    #[test]
    fn canonical_text_is_taken_and_given_back() {
        let address: PeerAddress = example().parse().unwrap();
        assert_eq!(address.identifier().to_string(), KEYED);
        let servers: Vec<_> =
            address.servers().iter().map(|server| (server.host().to_string(), server.port())).collect();
        let expected = [("a.example.org", 1066), ("192.0.2.1", 7000), ("2001:db8::1", 1066)];
        assert_eq!(servers, expected.map(|(host, port)| (host.to_owned(), port)));
        assert_eq!(address.to_string(), example());
        assert_eq!(format!("\r\n \t{}\n", example()).parse(), Ok(address));
    }

    #[test]
    fn every_single_character_change_is_refused() {
        let text = example();
        for at in 0..text.len() {
            for byte in (1..=127).map(char::from) {
                let changed = format!("{}{byte}{}", &text[..at], &text[at + 1..]);
                assert!(changed == text || changed.parse::<PeerAddress>().is_err(), "{changed:?}");
            }
        }
    }

    #[test]
    fn every_deletion_insertion_and_swap_of_neighbours_is_refused() {
        let text = example();
        for at in 0..text.len() {
            let deleted = format!("{}{}", &text[..at], &text[at + 1..]);
            assert!(deleted.parse::<PeerAddress>().is_err(), "{deleted}");
            for byte in (33..=126).map(char::from) {
                let inserted = format!("{}{byte}{}", &text[..at], &text[at..]);
                assert!(inserted.parse::<PeerAddress>().is_err(), "{inserted}");
            }
            let mut swapped = text.clone().into_bytes();
            swapped.swap(at, (at + 1).min(text.len() - 1));
            let swapped = String::from_utf8(swapped).unwrap();
            assert!(swapped == text || swapped.parse::<PeerAddress>().is_err(), "{swapped}");
        }
        for length in 0..text.len() {
            assert!(text[..length].parse::<PeerAddress>().is_err(), "{length} characters");
        }
    }

    #[test]
    fn limits_hold_for_both_ways() {
        let identifier: PeerId = KEYED.parse().unwrap();
        let servers = |count: usize| -> Vec<ServerName> {
            (0..count).map(|at| format!("s{at}.example").parse().unwrap()).collect()
        };
        assert_eq!(PeerAddress::new(identifier, servers(0)), Err(PeerAddressError::ServerMissing));
        assert_eq!(PeerAddress::new(identifier, servers(9)), Err(PeerAddressError::TooManyServers));
        let eight = PeerAddress::new(identifier, servers(8)).unwrap();
        assert_eq!(eight.to_string().parse(), Ok(eight));
        let twice = [servers(2), servers(1)].concat();
        assert_eq!(PeerAddress::new(identifier, twice), Err(PeerAddressError::DuplicateServer));
        let label = "a".repeat(63);
        let long = |at| format!("{label}.{label}.{label}.b{at}").parse().unwrap();
        let error = PeerAddress::new(identifier, (0..5).map(long).collect()).unwrap_err();
        assert_eq!(error, PeerAddressError::TooLong { had: 76 + 5 * 194 + 4 + 9 });
    }

    proptest! {
        #[test]
        fn parsing_is_total(text in "\\PC{0,80}") {
            prop_assert!(text.parse::<PeerAddress>().is_err());
        }

        #[test]
        fn what_parses_is_canonical(servers in "[a-c0-9:.\\-\\[\\],A]{1,24}") {
            let text = sealed(&format!("roundtable:{KEYED}@{servers}"));
            if let Ok(address) = text.parse::<PeerAddress>() {
                prop_assert_eq!(address.to_string(), text);
            }
        }
    }
}
