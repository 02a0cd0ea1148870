//! The rendezvous server as a program: arguments, configuration, logger, run.

use std::process::ExitCode;

use roundtable_signalling::cli::{self, Arguments, Failure, Invocation};
use roundtable_signalling::config::Config;
use roundtable_signalling::kernel::HugePages;
use roundtable_signalling::logging;

/// The tables of the peers are large, and looked at in random order.
#[global_allocator]
static MEMORY: HugePages = HugePages;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn start() -> Result<(), Failure> {
    let arguments = match Arguments::from_env()? {
        Invocation::Run(arguments) => arguments,
        Invocation::Check(arguments) => {
            let (config, origin) = Config::load_or_default(arguments.config_file())?;
            return cli::check(&config, &origin);
        }
        Invocation::Print(text) => {
            cli::print(&text);
            return Ok(());
        }
    };
    let (config, origin) = Config::load_or_default(arguments.config_file())?;
    logging::start(&config).map_err(|error| Failure::from(error).asked_by(&origin))?;
    cli::run(&config, &origin)
}
