//! Brings up a NAT lab, runs a command in it, and takes it down.
//!
//! Two hosts, alice and bob, each behind its own access network, and a server that runs (1066, 192.0.2.1 and 192.0.2.2). In the
//! lab `on HOST COMMAND...` runs a command on a host: alice, bob, server, alice-nat, bob-nat, alice-carrier, alice-isp, ...

#![expect(clippy::unwrap_used, reason = "it ends where its surroundings are not as they should be")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use argh::FromArgs;

#[path = "../tests/support/lab.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod lab;
#[path = "../tests/support/nat/mod.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod nat;
#[path = "../tests/support/program.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod program;

use nat::plan::{Access, Input};
use nat::{Lab, Plan, Site};

/// Tells this program that it runs in its own namespaces.
const INSIDE: &str = "ROUNDTABLE_NAT_LAB";
/// Runs a command on a host of the lab.
const ON: &str = "#!/bin/sh\nhost=$1; shift; exec nsenter --net=/run/netns/\"$host\" \"$@\"\n";

/// Bring up two hosts, alice and bob, behind NATs, and a server between them; run a command; take all of it down.
///
/// How a host reaches the internet: cone, restricted, full-cone, symmetric, carrier, blocked, silent, ipv6, dual, public;
/// bob's also neighbour, hairpin or isolated, which are places on alice's network.
#[derive(FromArgs)]
struct Arguments {
    /// alice's access
    #[argh(positional)]
    alice: Access,
    /// bob's access
    #[argh(positional)]
    bob: Access,
    /// what NATs do with UDP for themselves: drop, reject, accept (default drop)
    #[argh(option, default = "Input::Drop")]
    input: Input,
    /// milliseconds from any site to any other (default 20)
    #[argh(option, default = "20")]
    delay: u64,
    /// percent of datagrams lost on every way
    #[argh(option, default = "0.0")]
    loss: f64,
    /// percent of datagrams that come twice
    #[argh(option, default = "0.0")]
    duplicate: f64,
    /// percent of datagrams that are overtaken
    #[argh(option, default = "0.0")]
    reorder: f64,
    /// milliseconds by which all that the server sends bob comes later
    #[argh(option, default = "0")]
    late: u64,
    /// of the losses (default 1)
    #[argh(option, default = "1")]
    seed: u64,
    /// a line for the server's configuration; may be given several times
    #[argh(option)]
    config: Vec<String>,
    /// what to run, through sh (default: a shell)
    #[argh(positional, greedy)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    let arguments: Arguments = argh::from_env();
    if std::env::var_os(INSIDE).is_some() {
        return inside(&arguments);
    }
    if let Some(missing) = lab::missing(&nat::PROGRAMS) {
        eprintln!("there can be no lab: {missing}");
        return ExitCode::FAILURE;
    }
    if arguments.alice.is_inside() {
        eprintln!("{}: only bob can be on the other's network", arguments.alice);
        return ExitCode::from(2);
    }
    let status = Command::new("unshare")
        .arg("-rnm")
        .arg(std::env::current_exe().unwrap())
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status();
    code(status.unwrap())
}

fn inside(arguments: &Arguments) -> ExitCode {
    lab::settle();
    let mut plan = Plan::new(arguments.alice, arguments.bob, arguments.input);
    plan.seed = arguments.seed;
    plan.way.delay = Duration::from_millis(arguments.delay);
    plan.way.loss = arguments.loss / 100.0;
    plan.way.duplication = arguments.duplicate / 100.0;
    plan.way.reordering = arguments.reorder / 100.0;
    let lab = Lab::build(plan);
    lab.change(Site::Server, Site::Bob, |way| way.delay += Duration::from_millis(arguments.late));
    let programs = programs();
    let server = programs.join("signallingserver");
    if !server.exists() {
        eprintln!("{} is missing: cargo build --bins", server.display());
        return ExitCode::FAILURE;
    }
    let directory = tempfile::tempdir().unwrap();
    let further: String = arguments.config.iter().map(|line| format!("{line}\n")).collect();
    let _server = lab.serve(&server, directory.path(), &further);
    let on = directory.path().join("on");
    std::fs::write(&on, ON).unwrap();
    std::fs::set_permissions(&on, PermissionsExt::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("sh");
    if !arguments.command.is_empty() {
        shell.args(["-c", &arguments.command.join(" ")]);
    }
    let [alice, bob] = lab.servers();
    shell.env("PATH", format!("{}:{}:{path}", directory.path().display(), programs.display()));
    code(shell.env("ALICE_SERVER", alice).env("BOB_SERVER", bob).status().unwrap())
}

/// Where the built programs are: examples stand in a directory beside them.
fn programs() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).map_or_else(PathBuf::new, Path::to_owned)
}

fn code(status: std::process::ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
