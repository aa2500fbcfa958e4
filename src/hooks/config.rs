//! `[[hook]]`: who is told, of what, and how.

use std::path::PathBuf;

use recover_adapters::{CredentialRef, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::{Code, Fault};

/// What somebody may be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum On {
    /// A run begins.
    Begun,
    /// A step begins, is attempted again, or ends.
    Step,
    /// A person is asked.
    Asked,
    /// A person has answered, resolved or cancelled.
    Answered,
    /// Whether an effect was applied is unknown.
    Doubt,
    /// Nothing has come of an open run for long; told by `recover serve` alone.
    Stuck,
    /// A run ends.
    Closed,
}

/// One hook.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hook {
    /// Its name: letters, digits, `-` and `_`.
    pub(crate) name: String,
    /// Of what. Questions, doubts, runs that are stuck and ends, if it is not said.
    #[serde(default = "usual")]
    pub(crate) on: Vec<On>,
    /// Where it is posted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// The secret that signs what is posted (HMAC-SHA256).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<CredentialRef>,
    /// The CA bundle that the server's certificate must lead to, in PEM. The system's if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// The program that is run, with its arguments; it hears on its standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<Vec<String>>,
    /// How long one attempt may take.
    #[serde(default = "patience")]
    pub(crate) within: Span,
}

fn usual() -> Vec<On> {
    vec![On::Asked, On::Doubt, On::Stuck, On::Closed]
}

fn patience() -> Span {
    Span::from_ms(10_000)
}

impl Hook {
    pub(crate) fn hears(&self, on: On) -> bool {
        self.on.contains(&on)
    }

    /// What its shape alone does not say.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let bad = |why: &str| Err(Fault::new(Code::BadConfig, format!("hook {}: {why}", self.name)));
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(word) {
            return bad("its name is made of letters, digits, - and _");
        }
        match (&self.url, &self.command) {
            (Some(url), None) => {
                let plain = url.starts_with("http://127.0.0.1")
                    || url.starts_with("http://localhost")
                    || url.starts_with("http://[::1]");
                if !url.starts_with("https://") && !plain {
                    return bad("its url begins with https:// (or is on loopback)");
                }
            }
            (None, Some(command)) => {
                if command.first().is_none_or(|program| !program.starts_with('/')) {
                    return bad("its command begins with the whole path of a program");
                }
                if self.secret.is_some() || self.ca.is_some() {
                    return bad("secret and ca go with a url");
                }
            }
            (Some(_), Some(_)) | (None, None) => return bad("it has either a url or a command"),
        }
        Ok(())
    }
}
