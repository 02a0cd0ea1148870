//! What the operator may set, the defaults, and the file that it is read from.
//!
//! Knows nothing of command lines, logging or sockets, so an embedding application can build a [`Config`] by
//! hand or read one from its own YAML.

mod error;
mod file;
mod key;
mod parse;
mod proxy_protocol;
mod public_address;
mod range;
mod visit;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::{ConfigError, Found, Mistake, Mistakes, Problem};
pub use file::{DEFAULT_FILE, FILE_MAX, Origin};
pub use key::{Key, LogLevel};
pub use proxy_protocol::ProxyProtocol;
pub use public_address::PublicAddress;
pub use range::Ranged;
pub use roundtable_proto::proxy::Network;
pub use roundtable_proto::server::Stun;

/// Seconds that an offer waits for its answer.
pub type Timeout = Ranged<1, 3600>;
/// Peers registered at one time.
pub type MaxPeers = Ranged<1, 16_000_000>;
/// Offers open at one time, of all callers together.
pub type MaxOffers = Ranged<1, 4_000_000>;
/// Offers of one caller that may wait for their answer at one time.
pub type MaxPeerOffers = Ranged<1, 1000>;
/// Signatures checked in one second.
pub type SignatureChecks = Ranged<0, 1_000_000>;
/// Answers a second to one source that has proved nothing; 0 is no limit.
pub type StrangerRate = Ranged<0, 100_000>;
/// Registrations a second from one source; 0 is no limit.
pub type RegisterRate = Ranged<0, 100_000>;
/// Registrations a second in all; 0 is no limit.
pub type RegisterTotal = Ranged<0, 1_000_000>;
/// KiB a second that one peer may send; 0 is no limit.
pub type PeerRate = Ranged<0, 16_384>;
/// Offers a second to one peer; 0 is no limit.
pub type OfferRate = Ranged<0, 10_000>;
/// MiB of a capture.
pub type CaptureSize = Ranged<1, 4096>;
/// Bytes of the largest blob that is relayed. Its upper end is `BLOB_MAX` of SPEC 10.
pub type MaxBlob = Ranged<1024, 65_536>;

/// The configuration of one server.
///
/// The fields are named like the keys of the file. Their types hold the limits, so that every value of this
/// type is one that a server can run with.
///
/// ```
/// use roundtable_signalling::config::{Config, MaxPeers};
///
/// let config = Config { localport: 0, maxpeers: MaxPeers::constant::<100>(), ..Config::default() };
/// assert_eq!(config.maxpeers.get(), 100);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How much is logged.
    pub loglevel: LogLevel,
    /// The file that is logged to, as JSON lines; unset logs text to standard output.
    pub logfile: Option<PathBuf>,
    /// UDP port; 0 asks the system for a free one.
    pub localport: u16,
    /// Seconds that an offer waits for its answer before it fails.
    pub timeout: Timeout,
    /// The one address to bind; unset binds every address of the host, IPv4 and IPv6.
    pub localaddress: Option<IpAddr>,
    /// Addresses under which clients call this server, where it is behind address translation. Keyed clients name in
    /// their registration the server that it is for; with none set here, a server on a private address takes every name.
    pub publicaddress: Vec<PublicAddress>,
    /// Whether STUN Binding requests are answered, for the ICE stacks of WebRTC.
    pub stun: Stun,
    /// A second UDP port, by which a client finds out how its NAT behaves; 0 asks the system for a free one.
    pub altport: Option<u16>,
    /// A second address of this host for the same purpose; of no effect without `altport`.
    pub altaddress: Option<IpAddr>,
    /// Which header the proxies before the server speak, if there are any.
    pub proxyprotocol: ProxyProtocol,
    /// The networks of these proxies: from there the header must come, and from nowhere else may it. A file that names a
    /// protocol must name them.
    pub trustedproxies: Vec<Network>,
    /// Peers registered at one time; bounds the server's memory.
    pub maxpeers: MaxPeers,
    /// Offers open at one time, of all callers together; bounds the server's memory.
    pub maxoffers: MaxOffers,
    /// Offers of one caller that may wait for their answer at one time.
    pub maxpeeroffers: MaxPeerOffers,
    /// Bytes of the largest offer or answer that is relayed.
    pub maxblob: MaxBlob,
    /// Whether peers may register plain identifiers, which anybody may take while they are free.
    pub plainids: bool,
    /// Signatures of keyed identifiers checked in one second: what registrations may take from relaying.
    pub signaturechecks: SignatureChecks,
    /// Answers a second to sources of one IPv4 address or IPv6 /64 that have proved nothing.
    pub strangerrate: StrangerRate,
    /// Registrations a second from one IPv4 address or IPv6 /64.
    pub registerrate: RegisterRate,
    /// Registrations a second in all.
    pub registertotal: RegisterTotal,
    /// KiB a second that one peer may send.
    pub peerrate: PeerRate,
    /// Offers a second to one peer, whoever sends them.
    pub offerrate: OfferRate,
    /// Whether the kernel drops, under a flood, what would be served last; Linux.
    pub kernelfilter: bool,
    /// The file that keeps the secret of cookies and tickets over a restart, or for several servers; unset: the secret ends
    /// with the process.
    pub secretfile: Option<PathBuf>,
    /// The file to which every datagram is written, as pcapng; unset: none.
    pub capturefile: Option<PathBuf>,
    /// MiB of that file, at most.
    pub capturesize: CaptureSize,
    /// Whether offers, answers and candidates are written, too; else only their lengths.
    pub captureblobs: bool,
    /// The Unix socket at which the program tells its statistics to this machine; unset: nowhere.
    pub statssocket: Option<PathBuf>,
    /// Whether `roundtable-probe bench` may load this server from another machine.
    pub benchmarks: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            loglevel: LogLevel::Info,
            logfile: None,
            localport: 1066,
            timeout: Timeout::constant::<30>(),
            localaddress: None,
            publicaddress: Vec::new(),
            stun: Stun::On,
            altport: None,
            altaddress: None,
            proxyprotocol: ProxyProtocol::Off,
            trustedproxies: Vec::new(),
            maxpeers: MaxPeers::constant::<1_000_000>(),
            maxoffers: MaxOffers::constant::<200_000>(),
            maxpeeroffers: MaxPeerOffers::constant::<16>(),
            maxblob: MaxBlob::constant::<65_536>(),
            plainids: true,
            signaturechecks: SignatureChecks::constant::<5000>(),
            strangerrate: StrangerRate::constant::<500>(),
            registerrate: RegisterRate::constant::<200>(),
            registertotal: RegisterTotal::constant::<20000>(),
            peerrate: PeerRate::constant::<256>(),
            offerrate: OfferRate::constant::<10>(),
            kernelfilter: true,
            secretfile: None,
            capturefile: None,
            capturesize: CaptureSize::constant::<64>(),
            captureblobs: false,
            statssocket: None,
            benchmarks: false,
        }
    }
}

impl Config {
    /// Reads a configuration from YAML text. Keys that are not there have their defaults.
    ///
    /// `file` is only named in errors.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Content`] names of each mistake the file, the line, the key and what is allowed.
    pub fn from_yaml(text: &str, file: &Path) -> Result<Self, ConfigError> {
        parse::parse(text).map_err(|mistakes| ConfigError::Content { file: file.to_path_buf(), mistakes })
    }

    /// Reads a configuration from a file.
    ///
    /// # Errors
    ///
    /// The file is missing, cannot be read, is larger than [`FILE_MAX`], is not UTF-8, or
    /// [`Config::from_yaml`] refuses it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::from_yaml(&file::read(path)?, path)
    }

    /// Reads the file that the user named, or else [`DEFAULT_FILE`] in the working directory if it is there.
    ///
    /// # Errors
    ///
    /// As [`Config::load`]; only a missing default file is none, and gives the defaults.
    pub fn load_or_default(named: Option<&Path>) -> Result<(Self, Origin), ConfigError> {
        file::load_or_default(named)
    }

    /// How long an offer waits for its answer.
    #[must_use]
    pub fn offer_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../config.yaml");

    /// The comment lines right above `key`, joined.
    fn comment_above(key: Key) -> String {
        let lines: Vec<&str> = SHIPPED.lines().collect();
        let at = lines
            .iter()
            .position(|line| line.split(':').next() == Some(key.name()))
            .unwrap_or_else(|| panic!("config.yaml has no line for {}", key.name()));
        let first = lines[..at].iter().rposition(|line| !line.starts_with('#')).map_or(0, |blank| blank + 1);
        lines[first..at].iter().map(|line| line.trim_start_matches('#').trim()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn shipped_file_is_equal_to_the_defaults() {
        assert_eq!(Config::from_yaml(SHIPPED, Path::new("config.yaml")).unwrap(), Config::default());
    }

    #[test]
    fn shipped_file_has_every_key_under_a_comment_that_says_what_is_allowed() {
        for key in Key::ALL {
            let comment = comment_above(key);
            let allowed = key.allowed().to_string();
            assert!(comment.contains(&allowed), "{}: {comment:?} lacks {allowed:?}", key.name());
        }
    }

    #[test]
    fn every_key_can_be_set() {
        let text = "loglevel: debug\nlogfile: /tmp/log\nlocalport: 0\ntimeout: 3600\nlocaladdress: '::1'\n\
                    publicaddress: 192.0.2.1\nstun: strict\naltport: 0\naltaddress: '::2'\n\
                    proxyprotocol: spp\ntrustedproxies: 192.0.2.0/24\n\
                    maxpeers: 1\nmaxoffers: 2\nmaxpeeroffers: 3\nmaxblob: 1024\nplainids: false\n\
                    signaturechecks: 7\nstrangerrate: 8\nregisterrate: 9\nregistertotal: 10\npeerrate: 11\nofferrate: 12\n\
                    kernelfilter: false\nsecretfile: /tmp/secret\n\
                    capturefile: /tmp/capture\ncapturesize: 5\ncaptureblobs: true\nstatssocket: /tmp/stats\nbenchmarks: true\n";
        let expected = Config {
            loglevel: LogLevel::Debug,
            logfile: Some("/tmp/log".into()),
            localport: 0,
            timeout: Timeout::constant::<3600>(),
            localaddress: Some("::1".parse().unwrap()),
            publicaddress: vec![PublicAddress { ip: "192.0.2.1".parse().unwrap(), port: None }],
            stun: Stun::Strict,
            altport: Some(0),
            altaddress: Some("::2".parse().unwrap()),
            proxyprotocol: ProxyProtocol::Spp,
            trustedproxies: vec!["192.0.2.0/24".parse().unwrap()],
            maxpeers: MaxPeers::constant::<1>(),
            maxoffers: MaxOffers::constant::<2>(),
            maxpeeroffers: MaxPeerOffers::constant::<3>(),
            maxblob: MaxBlob::constant::<1024>(),
            plainids: false,
            signaturechecks: SignatureChecks::constant::<7>(),
            strangerrate: StrangerRate::constant::<8>(),
            registerrate: RegisterRate::constant::<9>(),
            registertotal: RegisterTotal::constant::<10>(),
            peerrate: PeerRate::constant::<11>(),
            offerrate: OfferRate::constant::<12>(),
            kernelfilter: false,
            secretfile: Some("/tmp/secret".into()),
            capturefile: Some("/tmp/capture".into()),
            capturesize: CaptureSize::constant::<5>(),
            captureblobs: true,
            statssocket: Some("/tmp/stats".into()),
            benchmarks: true,
        };
        assert_eq!(Config::from_yaml(text, Path::new("c")).unwrap(), expected);
        assert_eq!(expected.offer_timeout(), Duration::from_secs(3600));
        for key in Key::ALL {
            assert!(text.contains(&format!("{}:", key.name())), "{} is not covered here", key.name());
        }
    }
}
