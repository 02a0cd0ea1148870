//! What the probe prints: text for people, or one JSON object a line for scripts.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use roundtable_proto::wire::OfferId;
use serde_json::{Map, Value};

use super::failure::Failure;

/// The line on the terminal that is overwritten: one process has one.
static PASSING: Mutex<Passing> = Mutex::new(Passing { is_open: false, under_way: Vec::new() });
/// To the start of the line, and all of it cleared.
const CLEAR: &str = "\r\x1b[K";
/// What is longer than the terminal is wide is cut off, or else wrapped again.
const CUT: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// What passes on a terminal.
struct Passing {
    /// It is what was written last.
    is_open: bool,
    /// What is told of each call, in the order in which that began.
    under_way: Vec<(OfferId, String)>,
}

#[derive(Clone, Copy)]
pub(super) struct Report {
    json: bool,
    started: Instant,
    is_live: bool,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
        let is_live = cfg!(unix) && !json && !is_dumb && std::io::stdout().is_terminal();
        Self { json, started: Instant::now(), is_live }
    }

    /// Tells whether people see it as it is written, on a terminal that can overwrite a line.
    pub(super) const fn is_live(&self) -> bool {
        self.is_live
    }

    /// Tells whether scripts read it.
    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// Tells one step. `fields` is a JSON object.
    pub(super) fn step(&self, event: &str, fields: Value, text: &str) {
        let millis = self.started.elapsed().as_secs_f64() * 1000.0;
        if self.json {
            let mut object = Map::new();
            object.insert("event".to_owned(), event.into());
            object.insert("at_ms".to_owned(), rounded(millis));
            if let Value::Object(fields) = fields {
                object.extend(fields);
            }
            line(&Value::Object(object).to_string());
        } else {
            line(&format!("{millis:9.1} ms  {text}"));
        }
    }

    /// Shows of a call on a terminal what the next output, of whatever kind, takes the place of. Of several calls the one
    /// that began last is shown.
    pub(super) fn passing(&self, offer: OfferId, text: String) {
        if !self.is_live {
            return;
        }
        let millis = self.started.elapsed().as_secs_f64() * 1000.0;
        let mut passing = PASSING.lock();
        passing.is_open = true;
        let line = passing.tell(offer, text);
        write(&format!("{CLEAR}{CUT}{millis:9.1} ms  {line}{WRAP}"));
    }

    /// Takes what passes of a call for over.
    pub(super) fn passed(&self, offer: OfferId) {
        PASSING.lock().under_way.retain(|(other, _)| *other != offer);
    }

    /// Tells what no time belongs to. `fields` is a JSON object.
    pub(super) fn fact(&self, event: &str, fields: Value, text: &str) {
        if self.json {
            self.step(event, fields, "");
        } else if !text.is_empty() {
            line(text);
        }
    }

    /// Prints text for people only.
    pub(super) fn text(&self, text: &str) {
        if !self.json {
            line(text);
        }
    }

    /// Tells why it ends: text on standard error, JSON with the rest. What an examination found has been told.
    pub(super) fn failure(&self, failure: &Failure) {
        if matches!(failure, Failure::Examined { .. }) {
            return;
        }
        if self.json {
            let fields = serde_json::json!({ "kind": failure.name(), "message": failure.to_string() });
            self.step("failed", fields, "");
        } else {
            complain(&failure.to_string());
        }
    }
}

impl Passing {
    /// Takes what is told of a call, and gives what to show.
    fn tell(&mut self, offer: OfferId, text: String) -> String {
        match self.under_way.iter_mut().find(|(other, _)| *other == offer) {
            Some((_, told)) => *told = text,
            None => self.under_way.push((offer, text)),
        }
        let shown = self.under_way.last().map_or("", |(_, told)| told);
        match self.under_way.len() {
            0 | 1 => shown.to_owned(),
            more => format!("{shown} (and {} more)", more - 1),
        }
    }
}

/// Milliseconds to three digits.
pub(super) fn millis(duration: Duration) -> Value {
    rounded(duration.as_secs_f64() * 1000.0)
}

/// Milliseconds for people.
pub(super) fn shown(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// Says on standard error what is wrong.
pub(super) fn complain(text: &str) {
    write(cleared());
    // Nobody may be reading; the exit code says it too.
    drop(writeln!(std::io::stderr(), "{text}"));
}

fn rounded(millis: f64) -> Value {
    Value::from((millis * 1000.0).round() / 1000.0)
}

fn line(text: &str) {
    write(&format!("{}{text}\n", cleared()));
}

/// What clears a line that is to be overwritten, if there is one.
fn cleared() -> &'static str {
    if std::mem::take(&mut PASSING.lock().is_open) { CLEAR } else { "" }
}

fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that has gone is no reason to end.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_that_began_last_is_shown_and_the_others_are_counted() {
        let [first, second] = [1, 2].map(|number| OfferId::from_random([number; 16]));
        let mut passing = Passing { is_open: false, under_way: Vec::new() };
        let mut tell = |offer, text: &str| passing.tell(offer, text.to_owned());
        assert_eq!(tell(first, "one"), "one");
        assert_eq!(tell(second, "two"), "two (and 1 more)");
        assert_eq!(tell(first, "one, later"), "two (and 1 more)");
    }
}
