//! The command line of `signallingserver`: arguments, exit codes, and the run from bind to signal.

mod arguments;
mod check;
mod failure;
pub(crate) mod papers;
#[cfg(unix)]
mod stats;

use std::io::{self, Write};
#[cfg(unix)]
use std::path::Path;

use crate::config::{Config, Origin};
use crate::logging;
use crate::server::Server;

pub use arguments::{Arguments, Invocation};
pub use check::check;
pub use failure::Failure;

/// Runs a server until the process is told to end.
///
/// The address bound is printed once on standard output, whatever is logged, since scripts that ask for port 0
/// need it.
///
/// # Errors
///
/// The port cannot be bound, or the loop has ended with an error.
pub fn run(config: &Config, origin: &Origin) -> Result<(), Failure> {
    reserve_descriptors().map_err(Failure::Runtime)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let ended = runtime.block_on(serve(config, origin)).map_err(|failure| failure.asked_by(origin));
    ended.inspect_err(|failure| {
        // Who reads a log file only has to find it there; standard output lies beside standard error.
        if config.logfile.is_some() {
            log::error!("{failure}");
        }
    })
}

/// Descriptors that the runtime and its signal handler open; its handler ends the process where there are too few.
#[cfg(unix)]
const DESCRIPTORS: usize = 8;

/// Finds out whether there are enough descriptors, and gives them back.
///
/// # Errors
/// The system's reason.
#[cfg(unix)]
fn reserve_descriptors() -> io::Result<()> {
    let opened: io::Result<Vec<_>> = (0..DESCRIPTORS).map(|_| std::fs::File::open("/dev/null")).collect();
    opened.map(drop)
}

#[cfg(not(unix))]
fn reserve_descriptors() -> io::Result<()> {
    Ok(())
}

async fn serve(config: &Config, origin: &Origin) -> Result<(), Failure> {
    // Before anything is printed: whoever reads the address may send a signal at once.
    let shutdown = shutdown_signal().map_err(Failure::Runtime)?;
    let hangup = hangup().map_err(Failure::Runtime)?;
    let server = Server::bind(config).map_err(|error| Failure::start(config, error))?;
    // Whoever reads the address may look for the statistics at once.
    let watched = watched(config, &server)?;
    announce(config, &format!("listening on {} (udp)", server.local_addr()));
    if let Some(second) = server.alternate_addr() {
        announce(config, &format!("second port at {second} (udp)"));
    }
    match origin {
        Origin::File { path, .. } => log::info!("configuration read from {}", path.display()),
        Origin::Defaults => log::info!("no configuration file, every key has its default"),
    }
    let ended = async {
        // First: what is not logged is not waited for.
        let signal = tokio::select! {
            signal = shutdown => signal,
            signal = hangup => signal,
        };
        log::info!("ending upon {signal}");
    };
    let serving = server.run(ended);
    tokio::select! {
        ended = serving => ended.map_err(Failure::Loop),
        () = watched => Ok(()),
    }
}

/// Tells the statistics, where the configuration says so; never ends.
#[cfg(unix)]
fn watched(config: &Config, server: &Server) -> Result<impl Future<Output = ()> + use<>, Failure> {
    let bind = |path: &Path| {
        stats::StatsSocket::bind(path).map_err(|source| Failure::Stats { path: path.to_owned(), source })
    };
    let socket = config.statssocket.as_deref().map(bind).transpose()?;
    let (stats, address) = (server.stats(), server.local_addr().to_string());
    Ok(async move {
        match socket {
            Some(socket) => socket.serve(stats, address).await,
            None => std::future::pending().await,
        }
    })
}

/// There are no such sockets here.
#[cfg(not(unix))]
fn watched(config: &Config, _: &Server) -> Result<impl Future<Output = ()> + use<>, Failure> {
    match config.statssocket.clone() {
        Some(path) => Err(Failure::Stats { path, source: io::ErrorKind::Unsupported.into() }),
        None => Ok(std::future::pending()),
    }
}

/// Logs the line, and prints it where the log does not show it.
fn announce(config: &Config, line: &str) {
    log::info!("{line}");
    if !logging::shows_info_on_stdout(config) {
        print(line);
    }
}

/// Prints text that ends a line; a reader that has gone is no reason to end.
pub fn print(line: &str) {
    let mut out = io::stdout().lock();
    drop(writeln!(out, "{}", line.trim_end()).and_then(|()| out.flush()));
}

/// Takes over the signals that ask the process to end, and gives the name of the first that comes.
#[cfg(unix)]
pub(crate) fn shutdown_signal() -> io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}

/// Takes over the signal of a terminal that has gone, and gives its name where the process was started at one. Elsewhere it
/// comes from scripts that mean other daemons: to end upon it would end the server for good, since supervisors take that
/// for an end that was asked for. Where it is to be ignored it stays so.
#[cfg(unix)]
fn hangup() -> io::Result<impl Future<Output = &'static str>> {
    use std::io::IsTerminal;
    use tokio::signal::unix::{SignalKind, signal};

    let mut hangup =
        if is_ignored(SignalKind::hangup()) { None } else { Some(signal(SignalKind::hangup())?) };
    let is_at_terminal = io::stdin().is_terminal();
    Ok(async move {
        let Some(hangup) = &mut hangup else { return std::future::pending().await };
        let mut level = log::Level::Warn;
        while hangup.recv().await.is_some() && !is_at_terminal {
            log::log!(
                level,
                "SIGHUP changes nothing: the log file is opened anew by itself when it was moved, and the configuration is read at \
                 the start only"
            );
            // Some scripts send it every night.
            level = log::Level::Debug;
        }
        "SIGHUP"
    })
}

/// Tells whether whoever started this process has had it ignore a signal (`nohup`, `trap '' HUP`); no where the system does
/// not say. A signal that is taken over is ignored no longer.
#[cfg(unix)]
fn is_ignored(signal: tokio::signal::unix::SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal.as_raw_value() - 1) & 1 == 1
}

/// There is no such signal here.
#[cfg(not(unix))]
fn hangup() -> io::Result<impl Future<Output = &'static str>> {
    Ok(std::future::pending())
}

/// Takes over the signal that asks the process to end, and gives its name when it comes.
#[cfg(windows)]
pub(crate) fn shutdown_signal() -> io::Result<impl Future<Output = &'static str>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
        "Ctrl-C"
    })
}
