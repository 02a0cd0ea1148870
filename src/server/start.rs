//! What a server needs before it can serve, and why it cannot have it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use roundtable_proto::Seed;
use roundtable_proto::server::{self as engine, LastingSecret, Limits};

use crate::capture::{Capture, Extent};
use crate::config::{Config, Key};
use crate::memory;
use crate::ports::{BindError, Ports};
use crate::secret_file::{self, SecretFileError};

/// What a server needs besides the tables of peers and offers, rounded up: accounts of sources, receive buffers.
const FIXED_MEMORY: usize = 16 << 20;

/// Why a server cannot start.
#[derive(Debug)]
pub enum StartError {
    /// The address cannot be bound, or the operating system gives no random bytes.
    System(io::Error),
    /// The address of `altport` or `altaddress` cannot be bound.
    Alternate {
        /// Which.
        address: SocketAddr,
        /// The system's reason.
        error: io::Error,
    },
    /// The file of `secretfile` is refused.
    Secret(SecretFileError),
    /// The system does not give the memory that `maxpeers` and `maxoffers` need.
    Memory(MemoryError),
    /// The file of `capturefile` cannot be made.
    Capture(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => error.fmt(f),
            Self::Alternate { address, error } => write!(f, "altport or altaddress, {address}: {error}"),
            Self::Secret(error) => write!(f, "secretfile: {error}"),
            Self::Memory(error) => error.fmt(f),
            Self::Capture(error) => write!(f, "capturefile: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// The memory that the tables reserve at the start is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryError {
    /// How much.
    pub bytes: usize,
    /// The key that asks for most of it.
    pub most: Key,
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "maxpeers and maxoffers reserve {} MiB, which the system does not give: lower them, or raise its limit \
             (ulimit -v)",
            self.bytes.div_ceil(1 << 20)
        )
    }
}

impl std::error::Error for MemoryError {}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<MemoryError> for StartError {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        match error {
            BindError::First(error) => Self::System(error),
            BindError::Further { address, error } => Self::Alternate { address, error },
        }
    }
}

/// Returns the bytes that a server with this configuration reserves.
///
/// # Errors
/// The system would not give as much.
pub(crate) fn memory(config: &Config) -> Result<usize, MemoryError> {
    let tables = |max_peers, max_offers| {
        engine::Config { max_peers, max_offers, ..engine::Config::default() }.reserved()
    };
    let (peers, offers) = (config.maxpeers.get(), config.maxoffers.get());
    let most = if tables(peers, 0) < tables(0, offers) { Key::MaxOffers } else { Key::MaxPeers };
    let bytes = tables(peers, offers).saturating_add(FIXED_MEMORY);
    if is_to_be_had(bytes) { Ok(bytes) } else { Err(MemoryError { bytes, most }) }
}

/// Says what the engine is allowed to do and to hold.
pub(super) fn engine_config(
    config: &Config,
    socket: &Ports,
    port: u16,
) -> Result<engine::Config, StartError> {
    Ok(engine::Config {
        public_addresses: public_addresses(config, socket, port),
        signature_checks: config.signaturechecks.get(),
        limits: limits(config),
        stun: config.stun,
        secret: config.secretfile.as_deref().map(lasting_secret).transpose()?,
        max_peers: config.maxpeers.get(),
        max_offers: config.maxoffers.get(),
        // The key's range ends far below.
        max_peer_offers: u16::try_from(config.maxpeeroffers.get()).unwrap_or(u16::MAX),
        max_blob: config.maxblob.get(),
        plain_ids: config.plainids,
        benchmarks: config.benchmarks,
        offer_timeout: config.offer_timeout(),
        events: log::log_enabled!(log::Level::Debug),
    })
}

/// Asks for memory and gives it back, because a table that does not get it would end the process without a reason.
fn is_to_be_had(bytes: usize) -> bool {
    let mut trial: Vec<u8> = Vec::new();
    trial.try_reserve_exact(bytes).is_ok()
}

/// Says what is wrong with so many bytes on this host, if anything is: the kernel promises more than it has, and ends who comes
/// for it.
pub(crate) fn too_much(bytes: usize) -> Option<String> {
    let bound = memory::bound()?;
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    (bytes as u64 > bound).then(|| {
        format!(
            "maxpeers and maxoffers may come to take {} MiB, of {} MiB that host and control group let the server have: lower \
             them, or a crowd makes the kernel end it",
            mib(bytes as u64),
            mib(bound)
        )
    })
}

/// Gives the rates as the engine calls them.
const fn limits(config: &Config) -> Limits {
    Limits {
        stranger_answers: config.strangerrate.get(),
        registrations: config.registerrate.get(),
        registrations_in_all: config.registertotal.get(),
        peer_kib: config.peerrate.get(),
        offers_to_peer: config.offerrate.get(),
    }
}

/// Opens the file that datagrams are written to.
pub(super) fn capture(path: &Path, config: &Config) -> Result<Capture, StartError> {
    let size = u64::from(config.capturesize.get()) << 20;
    Capture::create(path, Extent { size, blobs: config.captureblobs }).map_err(StartError::Capture)
}

/// Says what clients call this server: each public address at each port, unless it names one.
fn public_addresses(config: &Config, socket: &Ports, port: u16) -> Vec<SocketAddr> {
    let ports = std::iter::once(port).chain(socket.second_addr().map(|second| second.port()));
    ports.flat_map(|port| config.publicaddress.iter().map(move |one| one.or_port(port))).collect()
}

/// Reads the secret of cookies and tickets that outlives the process, and the date with it.
fn lasting_secret(path: &Path) -> Result<LastingSecret, StartError> {
    let key = Seed(secret_file::load_or_create(path).map_err(StartError::Secret)?);
    let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(LastingSecret { key, unix_time })
}
