//! Where log lines go and what they look like: text on standard output, or JSON lines in a file.
//!
//! Logging never ends the program and never panics. `fern` writes a line that it cannot log to standard error
//! and panics if that fails too; so the sinks here take every line and drop what cannot be written.

mod file;
mod sink;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fern::FormatCallback;
use jiff::fmt::temporal::DateTimePrinter;
use log::Record;

use crate::config::{Config, Key, LogLevel};
use file::LogFile;
use sink::Sink;

/// Installs the logger of this process as the configuration asks.
///
/// With [`LogLevel::None`] nothing is logged and no file is opened.
///
/// # Errors
///
/// The log file cannot be opened, or the process has a logger already.
pub fn start(config: &Config) -> Result<(), LoggingError> {
    if config.loglevel == LogLevel::None {
        return Ok(());
    }
    let dispatch = fern::Dispatch::new().level(config.loglevel.filter());
    let dispatch = match &config.logfile {
        Some(path) => dispatch.format(json_line).chain(sink(open(path)?)),
        None => dispatch.format(text_line).chain(sink(io::stdout())),
    };
    dispatch.apply().map_err(|_| LoggingError::AlreadyStarted)
}

/// Whether a line logged at info is seen on standard output.
#[must_use]
pub fn shows_info_on_stdout(config: &Config) -> bool {
    config.logfile.is_none() && config.loglevel.filter() >= log::LevelFilter::Info
}

/// Why logging cannot start.
#[derive(Debug)]
pub enum LoggingError {
    /// The log file cannot be opened.
    Unopenable {
        /// The log file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The process has a logger already.
    AlreadyStarted,
}

impl fmt::Display for LoggingError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unopenable { path, source } => {
                write!(out, "{}: cannot open {} for writing: {source}", Key::LogFile.name(), path.display())
            }
            Self::AlreadyStarted => out.write_str("the process has a logger already"),
        }
    }
}

impl std::error::Error for LoggingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unopenable { source, .. } => Some(source),
            Self::AlreadyStarted => None,
        }
    }
}

fn open(path: &Path) -> Result<LogFile, LoggingError> {
    LogFile::open(path).map_err(|source| LoggingError::Unopenable { path: path.to_path_buf(), source })
}

fn sink(inner: impl Write + Send + 'static) -> Box<dyn Write + Send> {
    Box::new(Sink::new(inner, io::stderr()))
}

/// Milliseconds: enough to put the lines of two hosts in order.
const TIME: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

fn now() -> String {
    TIME.timestamp_to_string(&jiff::Timestamp::now())
}

fn text_line(out: FormatCallback<'_>, message: &fmt::Arguments<'_>, record: &Record<'_>) {
    out.finish(format_args!("{} {:5} {}: {message}", now(), record.level(), record.target()));
}

fn json_line(out: FormatCallback<'_>, message: &fmt::Arguments<'_>, record: &Record<'_>) {
    let level = record.level().as_str().to_ascii_lowercase();
    out.finish(format_args!("{}", json(&now(), &level, record.target(), &message.to_string())));
}

/// One JSON object; the fields stand in this order.
fn json(time: &str, level: &str, target: &str, message: &str) -> String {
    let text = |value: &str| serde_json::Value::from(value).to_string();
    format!(
        r#"{{"time":{},"level":{},"target":{},"message":{}}}"#,
        text(time),
        text(level),
        text(target),
        text(message)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_line_escapes_what_json_forbids() {
        assert_eq!(
            json("t", "info", "a::b", "say \"hi\"\n\\\u{1}\u{7f}é"),
            "{\"time\":\"t\",\"level\":\"info\",\"target\":\"a::b\",\
             \"message\":\"say \\\"hi\\\"\\n\\\\\\u0001\u{7f}é\"}"
        );
    }

    #[test]
    fn time_is_rfc_3339_in_utc_with_three_digits_of_a_second() {
        let time = jiff::Timestamp::from_millisecond(1_700_000_000_040).unwrap();
        assert_eq!(TIME.timestamp_to_string(&time), "2023-11-14T22:13:20.040Z");
    }

    #[test]
    fn file_that_cannot_be_opened_is_an_error_that_names_key_and_path() {
        let error = open(Path::new("/nowhere/at/all.log")).unwrap_err();
        assert!(error.to_string().starts_with("logfile: cannot open /nowhere/at/all.log for writing: "));
    }
}
