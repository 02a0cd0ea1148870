//! From the process's arguments to a command. Knows nothing of what a command does.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;
use roundtable_proto::peer_address::ServerName;
use roundtable_proto::wire::PeerId;

use super::arguments::{Arguments, Command};
use super::failure::USAGE;
use super::report::complain;
use super::target;
use crate::cli;

/// The arguments once they are checked.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) json: bool,
    pub(super) capture: Option<PathBuf>,
    pub(super) capture_blobs: bool,
    pub(super) command: Command,
}

impl Arguments {
    /// Reads the process's arguments; what is to be printed instead is printed.
    pub(super) fn from_process() -> Result<Checked, ExitCode> {
        let utf8 = |argument: OsString| {
            argument
                .into_string()
                .map_err(|argument| usage(&format!("Argument is not UTF-8: {}", argument.to_string_lossy())))
        };
        let arguments = std::env::args_os().skip(1).map(utf8).collect::<Result<Vec<_>, _>>()?;
        let sorted = general_first(&arguments);
        // argh knows the short form for one command or another, but not for all at once.
        let long = |word| if word == "-h" { "--help" } else { word };
        let words: Vec<&str> = sorted.iter().map(String::as_str).map(long).collect();
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
            Some(command) => Ok(Checked {
                json: read.json,
                capture: read.capture,
                capture_blobs: read.capture_blobs,
                command,
            }),
            None => Err(usage(
                "a command is missing: one of ping, nat, register, listen, call, id, inspect, doctor, diagnose, encode, decode, watch, papers, demo, bench",
            )),
        }
    }
}

fn usage(problem: &str) -> ExitCode {
    complain(&format!("{problem}\nRun roundtable-probe --help for what there is."));
    ExitCode::from(USAGE)
}

/// What holds for every command may stand anywhere; argh wants it before the command.
fn general_first(arguments: &[String]) -> Vec<String> {
    let (mut general, mut rest) = (Vec::new(), Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" | "--capture-blobs" if general.contains(argument) => {}
            "--json" | "--capture-blobs" => general.push(argument.clone()),
            "--capture" => general.extend([argument].into_iter().chain(arguments.next()).cloned()),
            _ => rest.push(argument.clone()),
        }
    }
    general.append(&mut rest);
    general
}

/// A keyed identifier cannot be had without its key.
pub(super) fn plain(text: &str) -> Result<PeerId, String> {
    match text.parse::<PeerId>() {
        Ok(id) if id.is_plain() => Ok(id),
        Ok(_) => Err("this identifier belongs to a key: --id takes a UUID, --key FILE a key".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// `-` stands for standard input elsewhere, and would be a file's name here.
pub(super) fn key_file(text: &str) -> Result<PathBuf, String> {
    if text == "-" { Err("a key is kept in a file".to_owned()) } else { Ok(text.into()) }
}

pub(super) fn server_name(text: &str) -> Result<ServerName, String> {
    target::server_name(text).map_err(|error| error.to_string())
}

fn within(text: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let allowed = || format!("{text} is not allowed, {} to {} is", range.start(), range.end());
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(allowed)
}

pub(super) fn seconds(text: &str) -> Result<u64, String> {
    within(text, 1..=60)
}

pub(super) fn stay(text: &str) -> Result<u64, String> {
    within(text, 0..=3600)
}

pub(super) fn count(text: &str) -> Result<u32, String> {
    // The range ends far below.
    within(text, 1..=1000).map(|number| number as u32)
}

pub(super) fn calls(text: &str) -> Result<u32, String> {
    // The range ends far below.
    within(text, 1..=1_000_000).map(|number| number as u32)
}
