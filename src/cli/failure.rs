//! Why the program ends before its time, the exit code for that, and what the operator can do.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{Config, ConfigError, Key, Origin};
use crate::logging::LoggingError;
use crate::secret_file::SecretFileError;
use crate::server::{MemoryError, StartError};

/// Exit code for what fails while the server starts or runs.
const EX_FAILURE: u8 = 1;
/// Exit code for a bad command line, as shells use it.
const EX_USAGE: u8 = 2;
/// Exit code for a bad configuration: `EX_CONFIG` of sysexits.h.
const EX_CONFIG: u8 = 78;

/// Why the program ends before its time.
#[derive(Debug)]
pub enum Failure {
    /// The command line is not understood.
    Usage(String),
    /// There is no usable configuration.
    Config(ConfigError),
    /// Logging cannot start.
    Logging(LoggingError),
    /// The secret file is refused.
    Secret(SecretFileError),
    /// The system does not give the memory that the limits need.
    Memory(MemoryError),
    /// The capture file cannot be made.
    Capture {
        /// Where it was to be.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The socket for the statistics cannot be made.
    Stats {
        /// Where it was to be.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The system gives no event loop or signal handler.
    Runtime(io::Error),
    /// The address cannot be bound.
    Bind {
        /// The address asked for; unspecified where the configuration names none.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The second port or address cannot be bound.
    Alternate {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The server's loop has ended with an error.
    Loop(io::Error),
    /// What a line of the configuration asks for has failed.
    Asked {
        /// The configuration file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What has failed.
        failure: Box<Self>,
    },
    /// A check has found several of them.
    Several(Vec<Self>),
}

impl Failure {
    pub(super) fn start(config: &Config, error: StartError) -> Self {
        let source = match error {
            StartError::System(source) => source,
            StartError::Secret(error) => return Self::Secret(error),
            StartError::Memory(error) => return Self::Memory(error),
            StartError::Capture(source) => {
                return Self::Capture { path: config.capturefile.clone().unwrap_or_default(), source };
            }
            StartError::Alternate { address, error } => return Self::Alternate { address, source: error },
        };
        let address = config.localaddress.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        Self::Bind { address: SocketAddr::new(address, config.localport), source }
    }

    /// Adds the line of the configuration that asks for what has failed, if there is one.
    #[must_use]
    pub fn asked_by(self, origin: &Origin) -> Self {
        match self.key().and_then(|key| origin.line_of(key)) {
            Some((file, line)) => Self::Asked { file: file.to_owned(), line, failure: Box::new(self) },
            None => self,
        }
    }

    /// The key to look at.
    fn key(&self) -> Option<Key> {
        let by_kind = |source: &io::Error, address, port| {
            if source.kind() == io::ErrorKind::AddrNotAvailable { address } else { port }
        };
        match self {
            Self::Logging(LoggingError::Unopenable { .. }) => Some(Key::LogFile),
            Self::Secret(_) => Some(Key::SecretFile),
            Self::Memory(error) => Some(error.most),
            Self::Capture { .. } => Some(Key::CaptureFile),
            Self::Stats { .. } => Some(Key::StatsSocket),
            Self::Bind { source, .. } => Some(by_kind(source, Key::LocalAddress, Key::LocalPort)),
            Self::Alternate { source, .. } => Some(by_kind(source, Key::AltAddress, Key::AltPort)),
            Self::Usage(_)
            | Self::Config(_)
            | Self::Logging(LoggingError::AlreadyStarted)
            | Self::Runtime(_)
            | Self::Loop(_)
            | Self::Asked { .. }
            | Self::Several(_) => None,
        }
    }

    /// Says on standard error what has failed, and gives the exit code for it.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        use std::io::Write;
        // Nobody may be reading; the exit code says it too.
        drop(writeln!(io::stderr(), "{self}"));
        ExitCode::from(self.exit_code())
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Asked { failure, .. } => failure.exit_code(),
            Self::Several(failures) => failures.first().map_or(EX_FAILURE, Self::exit_code),
            Self::Usage(_) => EX_USAGE,
            Self::Config(_)
            | Self::Logging(_)
            | Self::Secret(_)
            | Self::Memory(_)
            | Self::Capture { .. }
            | Self::Stats { .. } => EX_CONFIG,
            Self::Runtime(_) | Self::Bind { .. } | Self::Alternate { .. } | Self::Loop(_) => EX_FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => write!(out, "{message}\nRun signallingserver --help for the options."),
            Self::Config(error) => error.fmt(out),
            Self::Logging(error) => {
                error.fmt(out)?;
                match error {
                    LoggingError::Unopenable { source, .. } => hint(source.kind(), out),
                    LoggingError::AlreadyStarted => Ok(()),
                }
            }
            Self::Secret(error) => {
                write!(out, "secretfile: {error}")?;
                match error {
                    SecretFileError::Io { error, .. } => hint(error.kind(), out),
                    SecretFileError::Exposed { .. } | SecretFileError::Form { .. } => Ok(()),
                }
            }
            Self::Memory(error) => error.fmt(out),
            Self::Capture { path, source } => {
                write!(out, "capturefile: {}: {source}", path.display())?;
                hint(source.kind(), out)
            }
            Self::Stats { path, source } => {
                write!(out, "statssocket: {}: {source}", path.display())?;
                hint(source.kind(), out)
            }
            Self::Runtime(source) => write!(out, "cannot start: {source}"),
            Self::Bind { address, source } => {
                write!(out, "cannot listen on {address} (udp): {source}")?;
                match remedy(source.kind(), address.port()) {
                    Some(remedy) => write!(out, ". {remedy}"),
                    None => Ok(()),
                }
            }
            Self::Alternate { address, source } => {
                write!(out, "cannot listen on {address} (udp), as altport or altaddress says: {source}")
            }
            Self::Loop(source) => write!(out, "the server has failed: {source}"),
            Self::Asked { file, line, failure } => write!(out, "{}:{line}: {failure}", file.display()),
            Self::Several(failures) => {
                let lines: Vec<String> = failures.iter().map(Self::to_string).collect();
                out.write_str(&lines.join("\n"))
            }
        }
    }
}

/// Says what the operator can do about a file that cannot be opened or made.
fn hint(kind: io::ErrorKind, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    // As below.
    if kind == io::ErrorKind::NotFound {
        out.write_str(". Make its directory, or name another.")
    } else if kind == io::ErrorKind::PermissionDenied {
        out.write_str(". Name a directory that the program's user may write to.")
    } else {
        Ok(())
    }
}

/// What the operator can do about an address that cannot be bound.
fn remedy(kind: io::ErrorKind, port: u16) -> Option<String> {
    // The kinds are the standard library's and more are added: only these have a known remedy.
    if kind == io::ErrorKind::AddrInUse {
        Some(format!(
            "Another program has the port: end it (ss -lunp 'sport = :{port}' shows it), or set localport in the \
             configuration to another port, or to 0 for any free one."
        ))
    } else if kind == io::ErrorKind::PermissionDenied {
        Some(
            "Ports below 1024 need a privilege: set localport in the configuration to 1024 or more, or give the \
             program CAP_NET_BIND_SERVICE."
                .to_owned(),
        )
    } else if kind == io::ErrorKind::AddrNotAvailable {
        Some(
            "No interface of this host has that address: set localaddress in the configuration to one that `ip \
             address` shows, or leave it empty for all of them."
                .to_owned(),
        )
    } else {
        None
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Usage(_) | Self::Several(_) => None,
            Self::Asked { failure, .. } => Some(failure),
            Self::Config(error) => Some(error),
            Self::Secret(error) => Some(error),
            Self::Memory(error) => Some(error),
            Self::Logging(error) => Some(error),
            Self::Runtime(source)
            | Self::Capture { source, .. }
            | Self::Stats { source, .. }
            | Self::Bind { source, .. }
            | Self::Alternate { source, .. }
            | Self::Loop(source) => Some(source),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<LoggingError> for Failure {
    fn from(error: LoggingError) -> Self {
        Self::Logging(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_without_permission_says_what_to_do() {
        let config = Config { localport: 53, ..Config::default() };
        let failure = Failure::start(&config, StartError::System(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(
            failure.to_string(),
            "cannot listen on [::]:53 (udp): permission denied. \
             Ports below 1024 need a privilege: set localport in the configuration to 1024 or more, or give the \
             program CAP_NET_BIND_SERVICE."
        );
    }
}
