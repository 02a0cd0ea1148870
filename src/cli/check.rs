//! `signallingserver --check`: whether a server would start with this configuration, and with what. Binds, makes and empties
//! nothing, so that it can be asked while a server runs.

use std::fmt::Write;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use super::{Failure, print};
use crate::config::{Config, Key, LogLevel, Origin, Stun};
use crate::logging::LoggingError;
use crate::secret_file::{self, SecretFileError};
use crate::server;

/// Prints what would be in use, as YAML that is the same configuration.
///
/// Whether the addresses are there and free, and whose a live statistics socket or another user's capture is, only a start can
/// tell.
///
/// # Errors
///
/// Everything that is wrong, each with the line that asks for it.
pub fn check(config: &Config, origin: &Origin) -> Result<(), Failure> {
    let bytes = match failures(config) {
        Ok(bytes) => bytes,
        Err(failures) => {
            return Err(Failure::Several(failures.into_iter().map(|one| one.asked_by(origin)).collect()));
        }
    };
    let mut text = match origin {
        Origin::File { path, .. } => format!("# {}: no mistakes. Would be in use:\n", path.display()),
        Origin::Defaults => "# no configuration file. Would be in use:\n".to_owned(),
    };
    for key in Key::ALL {
        let value = value(config, key);
        let space = if value.is_empty() { "" } else { " " };
        let place = origin.line_of(key).map_or("default".to_owned(), |(_, line)| format!("line {line}"));
        let _ = writeln!(text, "{}:{space}{value}  # {place}", key.name());
    }
    let _ = writeln!(text, "# maxpeers and maxoffers reserve {} MiB", bytes.div_ceil(1 << 20));
    if let Some(warning) = server::too_much(bytes) {
        let _ = writeln!(text, "# warning: {warning}");
    }
    print(&text);
    Ok(())
}

/// Tries what a start would need. Returns the bytes of memory.
fn failures(config: &Config) -> Result<usize, Vec<Failure>> {
    let mut failures = Vec::new();
    if let Some(path) = config.logfile.as_deref().filter(|_| config.loglevel != LogLevel::None)
        && let Err(source) = writable(path)
    {
        failures.push(LoggingError::Unopenable { path: path.to_owned(), source }.into());
    }
    if let Some(path) = &config.secretfile {
        failures.extend(secret(path).err().map(Failure::Secret));
    }
    if let Some(path) = &config.capturefile
        && let Err(source) = writable(path)
    {
        failures.push(Failure::Capture { path: path.clone(), source });
    }
    if let Some(path) = &config.statssocket
        && let Err(source) = socket(path)
    {
        failures.push(Failure::Stats { path: path.clone(), source });
    }
    match server::memory(config) {
        Ok(bytes) if failures.is_empty() => Ok(bytes),
        Ok(_) => Err(failures),
        Err(error) => {
            failures.push(Failure::Memory(error));
            Err(failures)
        }
    }
}

/// Tells whether a file can be written, or made.
fn writable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        // To open a pipe may wait for its other end.
        Ok(found) if found.is_file() || found.is_dir() => {
            OpenOptions::new().append(true).open(path).map(drop)
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
            // It leads nowhere yet, and what it names would be made. Links in a circle are another error.
            Ok(target) => writable(&path.parent().unwrap_or(Path::new("")).join(target)),
            Err(_) => makeable(path),
        },
        Err(error) => Err(error),
    }
}

/// Tells whether there is a secret, or can be one.
fn secret(path: &Path) -> Result<(), SecretFileError> {
    match secret_file::load(path)? {
        Some(_) => Ok(()),
        None => new(path).map_err(|error| SecretFileError::Io { path: path.to_owned(), error }),
    }
}

/// Tells whether a file can be made where there must be none, not even a link that leads nowhere.
fn new(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => makeable(path),
    }
}

/// Tells whether a socket can be made. One that is there is a running server's, or is replaced.
fn socket(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        if let Ok(found) = fs::symlink_metadata(path)
            && !std::os::unix::fs::FileTypeExt::is_socket(&found.file_type())
        {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // The path of a socket is shorter than others.
        std::os::unix::net::SocketAddr::from_pathname(path)?;
    }
    makeable(path)
}

/// Tells whether something can be made in the directory of this path.
fn makeable(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        Some(_) | None => Path::new("."),
    };
    if !fs::metadata(directory)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    #[cfg(unix)]
    nix::unistd::access(directory, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK)?;
    Ok(())
}

/// The value of a key, as it would stand in the file.
fn value(config: &Config, key: Key) -> String {
    match key {
        Key::LogLevel => config.loglevel.name().to_owned(),
        Key::LogFile => path(config.logfile.as_deref()),
        Key::LocalPort => config.localport.to_string(),
        Key::Timeout => config.timeout.get().to_string(),
        Key::LocalAddress => quoted(config.localaddress.iter()),
        Key::PublicAddress => quoted(config.publicaddress.iter()),
        Key::Stun => match config.stun {
            Stun::On => "true",
            Stun::Off => "false",
            Stun::Strict => "strict",
        }
        .to_owned(),
        Key::AltPort => config.altport.map(|port| port.to_string()).unwrap_or_default(),
        Key::AltAddress => quoted(config.altaddress.iter()),
        Key::ProxyProtocol => config.proxyprotocol.name().to_owned(),
        Key::TrustedProxies => quoted(config.trustedproxies.iter()),
        Key::MaxPeers => config.maxpeers.get().to_string(),
        Key::MaxOffers => config.maxoffers.get().to_string(),
        Key::MaxPeerOffers => config.maxpeeroffers.get().to_string(),
        Key::MaxBlob => config.maxblob.get().to_string(),
        Key::PlainIds => config.plainids.to_string(),
        Key::SignatureChecks => config.signaturechecks.get().to_string(),
        Key::StrangerRate => config.strangerrate.get().to_string(),
        Key::RegisterRate => config.registerrate.get().to_string(),
        Key::RegisterTotal => config.registertotal.get().to_string(),
        Key::PeerRate => config.peerrate.get().to_string(),
        Key::OfferRate => config.offerrate.get().to_string(),
        Key::KernelFilter => config.kernelfilter.to_string(),
        Key::SecretFile => path(config.secretfile.as_deref()),
        Key::CaptureFile => path(config.capturefile.as_deref()),
        Key::CaptureSize => config.capturesize.get().to_string(),
        Key::CaptureBlobs => config.captureblobs.to_string(),
        Key::StatsSocket => path(config.statssocket.as_deref()),
        Key::Benchmarks => config.benchmarks.to_string(),
    }
}

/// A string of JSON, which YAML takes too.
fn path(path: Option<&Path>) -> String {
    path.map(|path| serde_json::Value::from(path.display().to_string()).to_string()).unwrap_or_default()
}

/// A list in quotes, or nothing.
fn quoted<T: ToString>(list: impl Iterator<Item = T>) -> String {
    let list: Vec<String> = list.map(|one| one.to_string()).collect();
    if list.is_empty() { String::new() } else { format!("'{}'", list.join(", ")) }
}
