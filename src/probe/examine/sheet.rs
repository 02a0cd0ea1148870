//! The findings of an examination, in order, and the worst of them.

use std::cell::RefCell;
use std::fmt;

use serde_json::{Map, Value};

use crate::probe::failure::{Failure, NOT_ALL_WELL};
use crate::probe::report::Report;

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Ok,
    Warning,
    Failed,
}

impl Verdict {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// Exit code that belongs to what a failed step is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// This machine, or the way it is used.
    Machine = 1,
    /// What was named leads nowhere.
    Name = 2,
    /// There is no answer.
    Silence = 3,
    /// The server refuses.
    Refusal = 4,
    /// The call.
    Call = 5,
    /// The other side said no.
    Declined = 6,
}

/// What one step found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) step: &'static str,
    pub(super) verdict: Verdict,
    pub(super) fault: Option<Fault>,
    /// What was found, and what it means.
    pub(super) text: String,
    /// What to do next.
    pub(super) advice: Option<String>,
    /// Details for scripts: an object.
    pub(super) details: Value,
}

impl Finding {
    pub(super) fn ok(step: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { step, verdict: Verdict::Ok, fault: None, text, advice: None, details: Value::Null }
    }

    pub(super) fn warning(step: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, advice: Some(advice.into()), ..Self::ok(step, text) }
    }

    pub(super) fn failed(
        step: &'static str,
        fault: Fault,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let (fault, advice) = (Some(fault), Some(advice.into()));
        Self { verdict: Verdict::Failed, fault, advice, ..Self::ok(step, text) }
    }

    pub(super) fn with(self, details: Value) -> Self {
        Self { details, ..self }
    }
}

/// As people read it.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:<12} {}", self.verdict.name(), self.step, self.text)?;
        match &self.advice {
            Some(advice) => write!(f, "\n{:<21} -> {advice}", ""),
            None => Ok(()),
        }
    }
}

/// What has been found so far.
pub(super) struct Sheet<'a> {
    report: &'a Report,
    /// The worst finding, the first of them.
    worst: RefCell<Option<Finding>>,
}

impl<'a> Sheet<'a> {
    pub(super) const fn new(report: &'a Report) -> Self {
        Self { report, worst: RefCell::new(None) }
    }

    /// Tells a finding.
    pub(super) fn note(&self, finding: Finding) {
        let Finding { step, verdict, text, advice, details, .. } = &finding;
        let mut fields = Map::new();
        fields.insert("step".to_owned(), (*step).into());
        fields.insert("verdict".to_owned(), verdict.name().into());
        fields.insert("text".to_owned(), text.as_str().into());
        fields.insert("advice".to_owned(), advice.as_deref().into());
        fields.insert("details".to_owned(), details.clone());
        self.report.fact("step", Value::Object(fields), &finding.to_string());
        let mut worst = self.worst.borrow_mut();
        if worst.as_ref().is_none_or(|worst| *verdict > worst.verdict) {
            *worst = Some(finding);
        }
    }

    /// Tells the sum; its exit code is that of the worst step.
    pub(super) fn conclude(&self, well: &str) -> Result<(), Failure> {
        let worst = self.worst.borrow();
        let (verdict, step) = worst.as_ref().map_or((Verdict::Ok, ""), |worst| (worst.verdict, worst.step));
        let text = match (verdict, worst.as_ref()) {
            (Verdict::Ok, _) | (_, None) => well.to_owned(),
            (Verdict::Warning | Verdict::Failed, Some(worst)) => format!("{step}: {}", worst.text),
        };
        // For people it stands above.
        let shown = if verdict == Verdict::Ok { format!(": {text}") } else { format!(" at {step}") };
        let fields = serde_json::json!({ "verdict": verdict.name(), "cause": step, "text": text });
        self.report.fact("verdict", fields, &format!("\n{}{shown}", verdict.name()));
        let code = match worst.as_ref().map(|worst| (worst.verdict, worst.fault)) {
            None | Some((Verdict::Ok, _)) => return Ok(()),
            // Each number is that of its fault.
            Some((Verdict::Failed, Some(fault))) => fault as u8,
            Some((Verdict::Warning | Verdict::Failed, _)) => NOT_ALL_WELL,
        };
        Err(Failure::Examined { code })
    }
}
