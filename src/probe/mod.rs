//! The program `roundtable-probe`: speaks the protocol from the command line, for people who look for a fault.

mod arguments;
mod bench;
mod call;
mod contacts;
mod datagram;
mod demo;
mod examine;
mod failure;
mod follow;
mod id;
mod identity;
mod line;
mod listen;
mod nat;
mod papers;
mod parsing;
mod ping;
mod program;
mod progress;
mod register;
mod report;
mod session;
mod standing;
mod target;
#[cfg(unix)]
mod watch;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use failure::Failure;
use report::Report;

/// Runs the program with the process's own arguments.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::from_process() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let report = Report::new(arguments.json);
    let begun =
        arguments.capture.as_deref().map_or(Ok(()), |path| line::record(path, arguments.capture_blobs));
    let ran = begun.and_then(|()| run(&report, arguments.command));
    line::finish();
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report.failure(&failure);
            failure.exit_code()
        }
    }
}

fn run(report: &Report, command: Command) -> Result<(), Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::System)?;
    runtime.block_on(async {
        match command {
            Command::Ping(ping) => ping::run(report, ping).await,
            Command::Nat(nat) => nat::run(report, nat).await,
            Command::Register(register) => register::run(report, register).await,
            Command::Listen(listen) => listen::run(report, listen).await,
            Command::Call(call) => call::run(report, call).await,
            Command::Id(id) => id::run(report, id),
            Command::Inspect(inspect) => id::inspect(report, inspect),
            Command::Doctor(doctor) => examine::doctor(report, doctor).await,
            Command::Diagnose(diagnose) => examine::diagnose(report, diagnose).await,
            Command::Encode(encode) => datagram::encode(report, encode),
            Command::Decode(decode) => datagram::decode(report, decode),
            #[cfg(unix)]
            Command::Watch(watch) => watch::run(report, watch).await,
            #[cfg(not(unix))]
            Command::Watch(_) => Err(Failure::System(std::io::ErrorKind::Unsupported.into())),
            Command::Papers(papers) => papers::run(report, papers),
            Command::Demo(demo) => demo::run(report, demo).await,
            Command::Bench(bench) => bench::run(report, bench).await,
        }
    })
}
