//! The keys of the file: their names, what each allows, and which one a misspelt key may have meant.

use std::fmt;

use super::{
    CaptureSize, MaxBlob, MaxOffers, MaxPeerOffers, MaxPeers, OfferRate, PeerRate, ProxyProtocol,
    RegisterRate, RegisterTotal, SignatureChecks, StrangerRate, Timeout,
};

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing; no log file is opened.
    None,
    /// What keeps the server from its work.
    Error,
    /// What an operator has to act upon.
    Warn,
    /// Start, stop and the address bound.
    Info,
    /// Changes of state, with the addresses of clients.
    Debug,
}

impl LogLevel {
    /// Every level, the quietest first.
    pub const ALL: [Self; 5] = [Self::None, Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// Finds a level by its name, without regard to case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(name))
    }

    /// The name used in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// The same level in terms of the `log` crate.
    #[must_use]
    pub const fn filter(self) -> log::LevelFilter {
        match self {
            Self::None => log::LevelFilter::Off,
            Self::Error => log::LevelFilter::Error,
            Self::Warn => log::LevelFilter::Warn,
            Self::Info => log::LevelFilter::Info,
            Self::Debug => log::LevelFilter::Debug,
        }
    }
}

/// A key of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the fields of Config, which say what they mean")]
pub enum Key {
    LogLevel,
    LogFile,
    LocalPort,
    Timeout,
    LocalAddress,
    PublicAddress,
    Stun,
    AltPort,
    AltAddress,
    ProxyProtocol,
    TrustedProxies,
    MaxPeers,
    MaxOffers,
    MaxPeerOffers,
    MaxBlob,
    PlainIds,
    SignatureChecks,
    StrangerRate,
    RegisterRate,
    RegisterTotal,
    PeerRate,
    OfferRate,
    KernelFilter,
    SecretFile,
    CaptureFile,
    CaptureSize,
    CaptureBlobs,
    StatsSocket,
    Benchmarks,
}

impl Key {
    /// Every key, in the order of the shipped file.
    pub const ALL: [Self; 29] = [
        Self::LogLevel,
        Self::LogFile,
        Self::LocalPort,
        Self::Timeout,
        Self::LocalAddress,
        Self::PublicAddress,
        Self::Stun,
        Self::AltPort,
        Self::AltAddress,
        Self::ProxyProtocol,
        Self::TrustedProxies,
        Self::MaxPeers,
        Self::MaxOffers,
        Self::MaxPeerOffers,
        Self::MaxBlob,
        Self::PlainIds,
        Self::SignatureChecks,
        Self::StrangerRate,
        Self::RegisterRate,
        Self::RegisterTotal,
        Self::PeerRate,
        Self::OfferRate,
        Self::KernelFilter,
        Self::SecretFile,
        Self::CaptureFile,
        Self::CaptureSize,
        Self::CaptureBlobs,
        Self::StatsSocket,
        Self::Benchmarks,
    ];

    /// The name used in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LogLevel => "loglevel",
            Self::LogFile => "logfile",
            Self::LocalPort => "localport",
            Self::Timeout => "timeout",
            Self::LocalAddress => "localaddress",
            Self::PublicAddress => "publicaddress",
            Self::Stun => "stun",
            Self::AltPort => "altport",
            Self::AltAddress => "altaddress",
            Self::ProxyProtocol => "proxyprotocol",
            Self::TrustedProxies => "trustedproxies",
            Self::MaxPeers => "maxpeers",
            Self::MaxOffers => "maxoffers",
            Self::MaxPeerOffers => "maxpeeroffers",
            Self::MaxBlob => "maxblob",
            Self::PlainIds => "plainids",
            Self::SignatureChecks => "signaturechecks",
            Self::StrangerRate => "strangerrate",
            Self::RegisterRate => "registerrate",
            Self::RegisterTotal => "registertotal",
            Self::PeerRate => "peerrate",
            Self::OfferRate => "offerrate",
            Self::KernelFilter => "kernelfilter",
            Self::SecretFile => "secretfile",
            Self::CaptureFile => "capturefile",
            Self::CaptureSize => "capturesize",
            Self::CaptureBlobs => "captureblobs",
            Self::StatsSocket => "statssocket",
            Self::Benchmarks => "benchmarks",
        }
    }

    /// What the key's value may be, in words.
    #[must_use]
    pub const fn allowed(self) -> Allowed {
        match self {
            Self::LogLevel => Allowed::LogLevel,
            Self::LogFile => Allowed::Path { otherwise: "standard output" },
            Self::SecretFile => Allowed::Path { otherwise: "a secret that ends with the process" },
            Self::SignatureChecks => {
                Allowed::Number { min: SignatureChecks::MIN, max: SignatureChecks::MAX, unit: "signatures" }
            }
            Self::LocalPort => Allowed::Number { min: 0, max: u16::MAX as u32, unit: "" },
            Self::Timeout => Allowed::Number { min: Timeout::MIN, max: Timeout::MAX, unit: "seconds" },
            Self::LocalAddress => Allowed::Address { otherwise: "every address of the host" },
            Self::AltAddress => Allowed::Address { otherwise: "none" },
            Self::AltPort => Allowed::Port,
            Self::PublicAddress => Allowed::Addresses,
            Self::Stun => Allowed::Stun,
            Self::ProxyProtocol => Allowed::ProxyProtocol,
            Self::TrustedProxies => Allowed::Networks,
            Self::MaxPeers => Allowed::Number { min: MaxPeers::MIN, max: MaxPeers::MAX, unit: "peers" },
            Self::MaxOffers => Allowed::Number { min: MaxOffers::MIN, max: MaxOffers::MAX, unit: "offers" },
            Self::MaxPeerOffers => {
                Allowed::Number { min: MaxPeerOffers::MIN, max: MaxPeerOffers::MAX, unit: "offers" }
            }
            Self::MaxBlob => Allowed::Number { min: MaxBlob::MIN, max: MaxBlob::MAX, unit: "bytes" },
            Self::StrangerRate => {
                Allowed::Number { min: StrangerRate::MIN, max: StrangerRate::MAX, unit: "answers" }
            }
            Self::RegisterRate => {
                Allowed::Number { min: RegisterRate::MIN, max: RegisterRate::MAX, unit: "registrations" }
            }
            Self::RegisterTotal => {
                Allowed::Number { min: RegisterTotal::MIN, max: RegisterTotal::MAX, unit: "registrations" }
            }
            Self::PeerRate => Allowed::Number { min: PeerRate::MIN, max: PeerRate::MAX, unit: "KiB" },
            Self::OfferRate => Allowed::Number { min: OfferRate::MIN, max: OfferRate::MAX, unit: "offers" },
            Self::CaptureFile | Self::StatsSocket => Allowed::Path { otherwise: "none" },
            Self::CaptureSize => {
                Allowed::Number { min: CaptureSize::MIN, max: CaptureSize::MAX, unit: "MiB" }
            }
            Self::PlainIds | Self::KernelFilter | Self::CaptureBlobs | Self::Benchmarks => Allowed::Boolean,
        }
    }

    /// Finds a key by its name, without regard to case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name().eq_ignore_ascii_case(name))
    }

    /// The key that a misspelt name is close to, if there is one.
    #[must_use]
    pub fn nearest(name: &str) -> Option<Self> {
        // Longer than any key by more than the distance allowed: not worth measuring.
        if name.len() > NAME_MAX {
            return None;
        }
        let name = name.to_ascii_lowercase().replace(['_', '-', ' '], "");
        let distance_to = |key: Self| (edit_distance(&name, key.name()), key);
        let (distance, key) = Self::ALL.into_iter().map(distance_to).min_by_key(|(distance, _)| *distance)?;
        (distance <= DISTANCE_MAX).then_some(key)
    }
}

/// What the value of a key may be; its `Display` says it in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// One of the names of [`LogLevel`].
    LogLevel,
    /// The path of a file, or nothing.
    Path {
        /// What nothing stands for.
        otherwise: &'static str,
    },
    /// The address of an interface, or nothing.
    Address {
        /// What nothing stands for.
        otherwise: &'static str,
    },
    /// A port, or nothing for none.
    Port,
    /// Addresses with or without a port, or nothing.
    Addresses,
    /// A whole number.
    Number {
        /// The smallest.
        min: u32,
        /// The largest.
        max: u32,
        /// What is counted; empty for a plain number.
        unit: &'static str,
    },
    /// `true`, `false` or `strict`.
    Stun,
    /// One of the names of [`ProxyProtocol`].
    ProxyProtocol,
    /// Networks, or nothing.
    Networks,
    /// `true` or `false`.
    Boolean,
}

impl fmt::Display for Allowed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogLevel => out.write_str(&LogLevel::ALL.map(LogLevel::name).join(", ")),
            Self::Path { otherwise } => write!(out, "the path of a file, or nothing for {otherwise}"),
            Self::Address { otherwise } => {
                write!(out, "an IPv4 or IPv6 address in quotes, or nothing for {otherwise}")
            }
            Self::Port => write!(out, "0 to {}, or nothing for none", u16::MAX),
            Self::Addresses => out.write_str(
                "addresses in quotes, with a port where it is another, separated by commas, or nothing",
            ),
            Self::Number { min, max, unit: "" } => write!(out, "{min} to {max}"),
            Self::Number { min, max, unit } => write!(out, "{min} to {max} {unit}"),
            Self::Stun => out.write_str("true, false and strict"),
            Self::ProxyProtocol => out.write_str(&ProxyProtocol::ALL.map(ProxyProtocol::name).join(", ")),
            Self::Networks => out.write_str(
                "networks in quotes, as 192.0.2.0/24 or 2001:db8::/32 but not all addresses, separated by commas, or \
                 nothing where there is no proxyprotocol",
            ),
            Self::Boolean => out.write_str("true and false"),
        }
    }
}

/// Longest name, in bytes, that is compared with the keys.
const NAME_MAX: usize = 32;
/// Edits up to which a name counts as misspelt: two, as in most compilers for names of this length.
const DISTANCE_MAX: usize = 2;

/// Counts the characters to insert, remove or replace on the way from `from` to `to` (Levenshtein).
fn edit_distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (line, left) in from.chars().enumerate() {
        let mut diagonal = line;
        row[0] = line + 1;
        for (column, right) in to.chars().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(Key::named("LocalPort"), Some(Key::LocalPort));
        assert_eq!(LogLevel::named("NONE"), Some(LogLevel::None));
        assert_eq!(Key::named("port"), None);
    }

    #[test]
    fn a_misspelt_name_finds_its_key_and_a_foreign_one_finds_none() {
        assert_eq!(Key::nearest("localprot"), Some(Key::LocalPort));
        assert_eq!(Key::nearest("Log_Level"), Some(Key::LogLevel));
        assert_eq!(Key::nearest("max-blobs"), Some(Key::MaxBlob));
        assert_eq!(Key::nearest("certificate"), None);
        assert_eq!(Key::nearest(&"x".repeat(10_000)), None);
    }

    #[test]
    fn edit_distance_counts_insertions_removals_and_replacements() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", "abc"), 0);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }
}
