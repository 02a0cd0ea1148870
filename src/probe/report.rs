//! What the probe prints: text for people, or one JSON object a line for scripts.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::failure::Failure;

#[derive(Clone, Copy)]
pub(super) struct Report {
    json: bool,
    started: Instant,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self { json, started: Instant::now() }
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
    // Nobody may be reading; the exit code says it too.
    drop(writeln!(std::io::stderr(), "{text}"));
}

fn rounded(millis: f64) -> Value {
    Value::from((millis * 1000.0).round() / 1000.0)
}

fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that has gone is no reason to end.
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}
