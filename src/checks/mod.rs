//! What has to be right before a run can begin: checks that `doctor` and `rehearse` share. They change nothing.

mod kms;
mod local;
mod target;

use serde::Serialize;

pub(crate) use kms::observed as layers;
pub(crate) use local::local;
pub(crate) use target::{baseline, look, memory};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Is {
    /// It is right.
    Ok,
    /// Somebody should know.
    Warn,
    /// It may be right, and only acting would prove it.
    Unproven,
    /// A run would fail, or do less than it could.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) check: &'static str,
    pub(crate) target: Option<String>,
    pub(crate) is: Is,
    pub(crate) said: String,
    pub(crate) hint: Option<String>,
}

impl Check {
    pub(crate) fn new(check: &'static str, is: Is, said: impl Into<String>) -> Self {
        Self { check, target: None, is, said: said.into(), hint: None }
    }

    pub(crate) fn ok(check: &'static str, said: impl Into<String>) -> Self {
        Self::new(check, Is::Ok, said)
    }

    pub(crate) fn warn(check: &'static str, said: impl Into<String>) -> Self {
        Self::new(check, Is::Warn, said)
    }

    pub(crate) fn bad(check: &'static str, said: impl Into<String>) -> Self {
        Self::new(check, Is::Bad, said)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn of(mut self, target: &str) -> Self {
        self.target = Some(target.to_owned());
        self
    }

    pub(crate) fn text(&self) -> String {
        let is = match self.is {
            Is::Ok => "ok",
            Is::Warn => "warn",
            Is::Unproven => "?",
            Is::Bad => "bad",
        };
        let target = self.target.as_ref().map(|target| format!("{target}: ")).unwrap_or_default();
        let hint = self.hint.as_ref().map(|hint| format!("\n      {:<14} hint: {hint}", "")).unwrap_or_default();
        format!("{is:<5} {:<14} {target}{}{hint}", self.check, self.said)
    }
}
