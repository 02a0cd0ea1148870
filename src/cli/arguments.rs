//! What stands on the command line. The older spellings of an option are brought into the one that argh knows.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use argh::{ArgsInfo, FromArgs};

use super::Failure;

/// UDP rendezvous server for peer-to-peer voice: who is where, offer, answer, hole punching.
#[derive(Debug, PartialEq, Eq, FromArgs, ArgsInfo)]
#[argh(
    help_triggers("--help", "-h"),
    note = "Also -configFilePath and --configFilePath, each with a space or = before FILE.\n\
            The keys of the file and what they allow stand in the config.yaml that comes with the program.\n\
            On start the address bound is printed as: listening on ADDRESS:PORT (udp)",
    error_code(1, "the port cannot be bound, or the server has failed"),
    error_code(2, "bad command line"),
    error_code(78, "bad configuration: its file, a key in it, or the log file")
)]
pub struct Arguments {
    /// YAML file to read; default config.yaml in the working directory, and if that is missing the built-in defaults
    #[argh(option, arg_name = "FILE")]
    config_file_path: Option<PathBuf>,
    /// read the file, try what it names, print what would be in use and exit; binds and changes nothing, so whether addresses and
    /// ports are to be had only a start can tell
    #[argh(switch)]
    check: bool,
    /// print the version and exit
    #[argh(switch)]
    version: bool,
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Run a server.
    Run(Arguments),
    /// Look only whether a server would run.
    Check(Arguments),
    /// Print this text and end: help or version.
    Print(String),
}

impl Arguments {
    /// Reads the arguments of this process.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] says what is wrong with them.
    pub fn from_env() -> Result<Invocation, Failure> {
        Self::parse(std::env::args_os().skip(1))
    }

    /// The configuration file that was named.
    #[must_use]
    pub fn config_file(&self) -> Option<&Path> {
        self.config_file_path.as_deref()
    }

    fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Invocation, Failure> {
        let arguments = normalised(arguments)?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let parsed = match Self::from_args(&["signallingserver"], &arguments) {
            Ok(parsed) => parsed,
            Err(exit) if exit.status.is_ok() => return Ok(Invocation::Print(exit.output)),
            Err(exit) => return Err(Failure::Usage(exit.output.trim_end().to_owned())),
        };
        if parsed.version {
            return Ok(Invocation::Print(concat!("signallingserver ", env!("CARGO_PKG_VERSION")).to_owned()));
        }
        if parsed.config_file() == Some(Path::new("")) {
            return Err(Failure::Usage(format!("No value provided for option '{OPTION}'.")));
        }
        Ok(if parsed.check { Invocation::Check(parsed) } else { Invocation::Run(parsed) })
    }
}

/// The spelling that argh derives from the field's name.
const OPTION: &str = "--config-file-path";
/// The spellings that are taken, each with the value behind a space or `=`.
const SPELLINGS: [&str; 3] = [OPTION, "--configFilePath", "-configFilePath"];

fn normalised(arguments: impl Iterator<Item = OsString>) -> Result<Vec<String>, Failure> {
    let mut normal = Vec::new();
    let mut value_follows = false;
    for argument in arguments {
        let argument = argument.into_string().map_err(|argument| {
            Failure::Usage(format!("Argument is not UTF-8: {}", argument.to_string_lossy()))
        })?;
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument.as_str(), None),
        };
        if value_follows || !SPELLINGS.contains(&name) {
            normal.push(argument);
            value_follows = false;
            continue;
        }
        normal.push(OPTION.to_owned());
        normal.extend(value.map(str::to_owned));
        value_follows = value.is_none();
    }
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Invocation, String> {
        Arguments::parse(arguments.iter().map(OsString::from)).map_err(|failure| failure.to_string())
    }

    fn runs_with(file: Option<&str>) -> Result<Invocation, String> {
        Ok(Invocation::Run(Arguments {
            config_file_path: file.map(PathBuf::from),
            check: false,
            version: false,
        }))
    }

    #[test]
    fn every_spelling_names_the_same_file() {
        for spelling in SPELLINGS {
            assert_eq!(parse(&[spelling, "a=b.yaml"]), runs_with(Some("a=b.yaml")));
            assert_eq!(parse(&[&format!("{spelling}=a=b.yaml")]), runs_with(Some("a=b.yaml")));
        }
        assert_eq!(parse(&[]), runs_with(None));
    }

    #[test]
    fn a_file_named_like_an_option_is_still_a_file() {
        assert_eq!(parse(&["-configFilePath", "-configFilePath=x"]), runs_with(Some("-configFilePath=x")));
        assert_eq!(parse(&["--configFilePath", "--help"]), runs_with(Some("--help")));
    }

    #[test]
    fn bad_lines_say_what_is_wrong() {
        let no_value = "No value provided for option '--config-file-path'.";
        for (arguments, message) in [
            (&["--port", "5"][..], "Unrecognized argument: --port"),
            (&["--check=config.yaml"], "Unrecognized argument: --check=config.yaml"),
            (&["config.yaml"], "Unrecognized argument: config.yaml"),
            (&["--CONFIGFILEPATH=x"], "Unrecognized argument: --CONFIGFILEPATH=x"),
            (&["-configFilePath"], no_value),
            (&["--configFilePath="], no_value),
            (&["--configFilePath", ""], no_value),
            (&["--configFilePath=a", "-configFilePath=b"], "duplicate values provided"),
        ] {
            let refused = parse(arguments).unwrap_err();
            assert!(refused.contains(message), "{arguments:?}: {refused}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn an_argument_that_is_not_utf8_is_refused() {
        use std::os::unix::ffi::OsStringExt;

        let refused = Arguments::parse([OsString::from_vec(vec![b'a', 0xff])].into_iter()).unwrap_err();
        assert!(refused.to_string().starts_with("Argument is not UTF-8: a\u{fffd}"), "{refused}");
    }
}
