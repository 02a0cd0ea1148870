//! The probe's command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;
use roundtable_proto::wire::PeerId;

use super::bench::Bench;
use super::failure::USAGE;
use super::report::complain;
use crate::cli;

/// Speak the Roundtable signalling protocol: find out whether a server answers, who is registered, and why a call
/// does not come about.
///
/// SERVER is a name or an address, with a port unless it is 1066: rendezvous.example, 198.51.100.7:4000, [2001:db8::1]:1066.
/// Exit codes: 0 done, 1 failed on this machine, 2 wrong usage, 3 no answer, 4 refused by the server, 5 the call
/// failed, 6 declined.
#[derive(FromArgs, Debug)]
#[argh(
    note = "With --json every line is an object with event, at_ms (since the start), and what the help of the \
               command lists.\nWhat ends a command with an exit code from 1 on is then the last line: failed: kind, message"
)]
pub(super) struct Arguments {
    /// print one JSON object a line instead of text
    #[argh(switch)]
    pub(super) json: bool,
    /// print the version and end
    #[argh(switch)]
    version: bool,
    #[argh(subcommand)]
    command: Option<Command>,
}

/// The arguments once they are checked.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) json: bool,
    pub(super) command: Command,
}

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub(super) enum Command {
    Ping(Ping),
    Register(Register),
    Listen(Listen),
    Call(Call),
    Demo(Demo),
    Bench(Bench),
}

/// Send PINGs: round trip, loss and the address under which the server sees this host.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "ping",
    note = "With --json:\n\
            pong: number, server, round_trip_ms, observed\n\
            lost: number\n\
            done: sent, answered, least_ms, most_ms"
)]
pub(super) struct Ping {
    /// the server
    #[argh(positional)]
    pub(super) server: String,
    /// how many PINGs, 1 to 1000 (default 4)
    #[argh(option, default = "4", from_str_fn(count))]
    pub(super) count: u32,
    /// seconds to wait for each answer, 1 to 60 (default 5)
    #[argh(option, default = "5", from_str_fn(seconds))]
    pub(super) timeout: u64,
}

/// Register an identifier and show what the server says; end the registration again.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "register",
    note = "With --json:\n\
            registered: server, id, observed, timeout_s, maxblob\n\
            changed: state\n\
            unregistered: -"
)]
pub(super) struct Register {
    /// the server
    #[argh(positional)]
    pub(super) server: String,
    /// identifier: a UUID or 64 hexadecimal digits (default: a random UUID)
    #[argh(option)]
    pub(super) id: Option<PeerId>,
    /// seconds to stay registered, 0 to 3600 (default 0)
    #[argh(option, default = "0", from_str_fn(stay))]
    pub(super) stay: u64,
    /// seconds to wait for the server, 1 to 60 (default 5)
    #[argh(option, default = "5", from_str_fn(seconds))]
    pub(super) timeout: u64,
}

/// Wait for offers and answer them: with a file, with what was offered, or by declining.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "listen",
    note = "With --json:\n\
            listening: id, observed\n\
            offered: offer, from, observed, bytes\n\
            answered: offer, bytes, took_ms\n\
            declined: offer, took_ms\n\
            answer_failed: offer, reason\n\
            candidate: offer, number, message\n\
            path: offer, peer, round_trip_ms\n\
            punch_failed: offer, reason\n\
            unregistered: -"
)]
pub(super) struct Listen {
    /// the server
    #[argh(positional)]
    pub(super) server: String,
    /// identifier: a UUID or 64 hexadecimal digits (default: a random UUID)
    #[argh(option)]
    pub(super) id: Option<PeerId>,
    /// answer with this file's content; - reads standard input (default: answer with the offer itself)
    #[argh(option)]
    pub(super) answer: Option<PathBuf>,
    /// decline instead of answering
    #[argh(switch)]
    pub(super) decline: bool,
    /// end after so many calls, 1 to 1000000 (default: go on until interrupted)
    #[argh(option, from_str_fn(calls))]
    pub(super) count: Option<u32>,
    /// write each offer to a file named after its offer id in this directory, which is made if it is missing
    #[argh(option)]
    pub(super) save: Option<PathBuf>,
    /// seconds to go on showing what comes in an answered call, 0 to 3600 (default 6)
    #[argh(option, default = "6", from_str_fn(stay))]
    pub(super) follow: u64,
    /// seconds to wait for the server, 1 to 60 (default 5)
    #[argh(option, default = "5", from_str_fn(seconds))]
    pub(super) timeout: u64,
}

/// Offer a file to a peer and show its answer, with the time of each step.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "call",
    note = "With --json:\n\
            registered: id, observed\n\
            offering: offer, to, bytes\n\
            delivered: offer, took_ms\n\
            answered: offer, bytes, observed, took_ms, and without --save answer\n\
            path: offer, peer, round_trip_ms\n\
            punch_failed: offer, reason\n\
            candidate: offer, number, message\n\
            candidates_failed: offer, reason"
)]
pub(super) struct Call {
    /// the server
    #[argh(positional)]
    pub(super) server: String,
    /// whom to call: the identifier that the other side's `listen` shows
    #[argh(positional)]
    pub(super) peer: PeerId,
    /// own identifier: a UUID or 64 hexadecimal digits (default: a random UUID)
    #[argh(option)]
    pub(super) id: Option<PeerId>,
    /// offer this file's content; - reads standard input (default: -)
    #[argh(option, default = "PathBuf::from(\"-\")")]
    pub(super) offer: PathBuf,
    /// write the answer to this file instead of printing it
    #[argh(option)]
    pub(super) save: Option<PathBuf>,
    /// after the answer, punch a direct path and show it
    #[argh(switch)]
    pub(super) punch: bool,
    /// send each of these as a candidate after the answer; may be given several times
    #[argh(option)]
    pub(super) candidate: Vec<String>,
    /// seconds to go on showing what comes after the answer, 0 to 3600 (default 1)
    #[argh(option, default = "1", from_str_fn(stay))]
    pub(super) follow: u64,
    /// seconds to wait for the server, 1 to 60 (default 5)
    #[argh(option, default = "5", from_str_fn(seconds))]
    pub(super) timeout: u64,
}

/// Start a server and two peers in this process and let them exchange real session descriptions over loopback.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "demo",
    note = "With --json:\n\
            listening: server\n\
            registered: peer, id, observed\n\
            offering: bytes, fragments\n\
            offered: bytes, took_ms\n\
            answered: bytes, took_ms\n\
            path: caller_to, callee_to, round_trip_ms\n\
            cost: datagrams_in, datagrams_out, bytes_in, bytes_out, ratio\n\
            outcome: outcome, bytes_in, bytes_out, ratio"
)]
pub(super) struct Demo {}

impl Arguments {
    /// Reads the process's arguments; what is to be printed instead is printed.
    pub(super) fn from_process() -> Result<Checked, ExitCode> {
        let utf8 = |argument: OsString| {
            argument
                .into_string()
                .map_err(|argument| usage(&format!("Argument is not UTF-8: {}", argument.to_string_lossy())))
        };
        let arguments = std::env::args_os().skip(1).map(utf8).collect::<Result<Vec<_>, _>>()?;
        let sorted = json_first(&arguments);
        let words: Vec<&str> = sorted.iter().map(String::as_str).collect();
        let read = Self::from_args(&["roundtable-probe"], &words).map_err(|early| match early.status {
            Ok(()) => {
                cli::print(&early.output);
                ExitCode::SUCCESS
            }
            Err(()) => usage(early.output.trim_end()),
        })?;
        if read.version {
            cli::print(concat!("roundtable-probe ", env!("CARGO_PKG_VERSION")));
            return Err(ExitCode::SUCCESS);
        }
        match read.command {
            Some(command) => Ok(Checked { json: read.json, command }),
            None => Err(usage("a command is missing: one of ping, register, listen, call, demo, bench")),
        }
    }
}

fn usage(problem: &str) -> ExitCode {
    complain(&format!("{problem}\nRun roundtable-probe --help for what there is."));
    ExitCode::from(USAGE)
}

/// `--json` may stand anywhere; argh wants it before the command.
fn json_first(arguments: &[String]) -> Vec<String> {
    let (json, rest): (Vec<_>, Vec<_>) = arguments.iter().cloned().partition(|argument| argument == "--json");
    json.into_iter().take(1).chain(rest).collect()
}

fn within(text: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let allowed = || format!("{text} is not allowed, {} to {} is", range.start(), range.end());
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(allowed)
}

fn seconds(text: &str) -> Result<u64, String> {
    within(text, 1..=60)
}

fn stay(text: &str) -> Result<u64, String> {
    within(text, 0..=3600)
}

fn count(text: &str) -> Result<u32, String> {
    // The range ends far below.
    within(text, 1..=1000).map(|number| number as u32)
}

fn calls(text: &str) -> Result<u32, String> {
    // The range ends far below.
    within(text, 1..=1_000_000).map(|number| number as u32)
}
