//! Hands an offer to a program of the user, and takes its answer.

use std::fmt;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};

use bytes::Bytes;
use roundtable_proto::wire::{BLOB_MAX, OfferId, PeerId};

use super::failure::Failure;

/// What the program is told of the offer, in its environment.
pub(super) struct Offered {
    pub(super) offer: OfferId,
    pub(super) from: PeerId,
    pub(super) observed: Option<SocketAddr>,
    pub(super) blob: Bytes,
}

/// What the program says to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Its output.
    Answer(Bytes),
    /// It gives none.
    Decline(Why),
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It did not end well.
    Ended(ExitStatus),
    Silent,
    TooLong,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(status) => write!(f, "the program ended with {status}"),
            Self::Silent => f.write_str("the program wrote nothing"),
            Self::TooLong => write!(f, "the program wrote more than {BLOB_MAX} bytes"),
        }
    }
}

/// Runs the command in a shell, with the offer on its standard input; does not stop others meanwhile.
pub(super) async fn decide(command: String, offered: Offered) -> Result<Decision, Failure> {
    let ran = tokio::task::spawn_blocking(move || run(&command, &offered)).await;
    ran.map_err(|error| Failure::System(error.into()))?.map_err(Failure::System)
}

fn run(command: &str, offered: &Offered) -> std::io::Result<Decision> {
    let observed = offered.observed.map(|address| address.to_string()).unwrap_or_default();
    let mut child = shell(command)
        .env("ROUNDTABLE_OFFER", offered.offer.to_string())
        .env("ROUNDTABLE_FROM", offered.from.to_string())
        .env("ROUNDTABLE_OBSERVED", observed)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let answer = talk(&mut child, &offered.blob)?;
    let status = child.wait()?;
    // What writes on when nobody reads any more does not end well either.
    if answer.len() > BLOB_MAX {
        return Ok(Decision::Decline(Why::TooLong));
    }
    if !status.success() {
        return Ok(Decision::Decline(Why::Ended(status)));
    }
    Ok(if answer.is_empty() { Decision::Decline(Why::Silent) } else { Decision::Answer(answer.into()) })
}

/// Writes the offer while the answer is read: either may be longer than a pipe.
fn talk(child: &mut Child, offer: &[u8]) -> std::io::Result<Vec<u8>> {
    let (mut to, from) = (child.stdin.take(), child.stdout.take());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // It may not want to read.
            drop(to.as_mut().map(|to| to.write_all(offer)));
        });
        let mut answer = Vec::new();
        if let Some(from) = from {
            from.take(BLOB_MAX as u64 + 1).read_to_end(&mut answer)?;
        }
        Ok(answer)
    })
}

#[cfg(not(windows))]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

#[cfg(windows)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd");
    shell.args(["/C", command]);
    shell
}
