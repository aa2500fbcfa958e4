//! The authority's words, as `docs/authority-http.md` has them. What comes in is checked before anything believes it.

use std::fmt;

use recover_engine::Millis;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::time;

/// What the authority says of the connector.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Status {
    pub(crate) status: String,
    pub(crate) paired_before: bool,
    pub(crate) identity: Option<Issued>,
    #[serde(default)]
    pub(crate) last_seen: Option<String>,
}

/// The identity that was issued last.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Issued {
    pub(crate) serial: String,
    #[serde(default)]
    pub(crate) fingerprint: Option<String>,
}

impl Status {
    pub(crate) fn is_online(&self) -> bool {
        self.status == "online"
    }

    pub(crate) fn serial(&self) -> Option<&str> {
        self.identity.as_ref().map(|i| i.serial.as_str())
    }

    pub(super) fn check(&self, agent: &str, named: Option<&str>) -> Result<(), &'static str> {
        let known = ["online", "offline", "degraded", "needs_recovery", "never_paired"];
        if !known.contains(&self.status.as_str()) {
            return Err("it names a status that the contract does not have");
        }
        if named.is_some_and(|named| named != agent) {
            return Err("it speaks of another connector");
        }
        if !self.serial().is_none_or(is_word) { Err("its serial is no printable word") } else { Ok(()) }
    }
}

/// What can be said of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TokenState {
    Live,
    Consumed,
    Revoked,
    Expired,
}

/// A token as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Token {
    pub(crate) accessor: String,
    pub(crate) label: String,
    pub(crate) state: TokenState,
    pub(super) expires_at: String,
    #[serde(default)]
    pub(crate) paired_serial: Option<String>,
}

impl Token {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        // The label of a token that is not ours may be anything; it is compared and goes nowhere.
        if !is_word(&self.accessor) || !self.paired_serial.as_deref().is_none_or(is_word) {
            return Err("an accessor or a serial is no printable word");
        }
        time::parse(&self.expires_at).map(|_| ()).ok_or("a time is not in RFC 3339")
    }

    pub(crate) fn expires_at(&self) -> Option<Millis> {
        time::parse(&self.expires_at)
    }
}

/// A token as it is minted, with its secret.
pub(crate) struct Fresh {
    pub(super) token: Token,
    pub(super) secret: SecretString,
}

/// The secret in the answer to a mint.
#[derive(Deserialize)]
pub(super) struct Secret {
    pub(super) secret: SecretString,
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").field("token", &self.token).finish_non_exhaustive()
    }
}

impl Fresh {
    pub(crate) fn into_parts(self) -> (Token, SecretString) {
        (self.token, self.secret)
    }

    pub(super) fn check(&self, label: &str) -> Result<(), &'static str> {
        self.token.check()?;
        let secret = self.secret.expose_secret();
        if secret.is_empty() || secret.len() > 8_192 || !secret.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("the secret is not one line of printable characters");
        }
        // The accessor is journaled.
        if self.token.accessor.contains(secret) || secret.contains(&self.token.accessor) {
            return Err("the accessor gives the secret away");
        }
        if self.token.label != label || self.token.state != TokenState::Live {
            return Err("the token is not the one that was asked for");
        }
        Ok(())
    }
}

/// One page of tokens.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) tokens: Vec<Token>,
    #[serde(default)]
    pub(super) next: Option<String>,
}

/// One page of audit events.
#[derive(Deserialize)]
pub(super) struct Audit {
    pub(super) events: Vec<AuditEvent>,
    #[serde(default)]
    pub(super) next: Option<String>,
}

/// One audit event: the fields of the contract and no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditEvent {
    at: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accessor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl AuditEvent {
    /// When it happened, if that can be read.
    pub(crate) fn at(&self) -> Option<Millis> {
        time::parse(&self.at)
    }

    /// What happened.
    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// What is said of it.
    pub(crate) fn detail(&self) -> &str {
        self.detail.as_deref().unwrap_or_default()
    }
}

/// The answer to a revocation.
#[derive(Deserialize)]
pub(super) struct Revoked {
    pub(super) revoked: u32,
}

/// An error in the contract's form.
#[derive(Deserialize)]
pub(super) struct Refusal {
    pub(super) error: String,
    #[serde(default)]
    pub(super) message: String,
}

impl Refusal {
    /// The refusal in a body, if it has the contract's form.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let refusal: Self = serde_json::from_slice(body).ok()?;
        let code = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        (!refusal.error.is_empty() && refusal.error.len() <= 64 && refusal.error.bytes().all(code)).then_some(refusal)
    }
}

/// Whether a text can be journaled as a name: short, printable, one word.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 200 && text.bytes().all(|b| b.is_ascii_graphic())
}
