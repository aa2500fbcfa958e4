//! One agent as the control plane knows it: its tokens, identities, audit events and whether it is alive.

use std::collections::BTreeSet;

use recover_engine::{Digest, Millis};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::sandbox::clock::rfc3339;

/// An agent is online for this long after a heartbeat. Milliseconds.
pub(crate) const ONLINE_MS: u64 = 500;

/// How a token ended, other than by its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum End {
    /// It was presented, and this came of it.
    Consumed { at: Millis, serial: Option<String> },
    /// It was taken away.
    Revoked,
}

/// A single-use token. Its secret is kept as a digest only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) accessor: String,
    pub(crate) label: String,
    pub(crate) digest: Digest,
    pub(crate) created_at: Millis,
    pub(crate) expires_at: Millis,
    pub(crate) end: Option<End>,
}

impl Token {
    /// Whether presenting it now would work.
    pub(crate) fn is_live(&self, at: Millis) -> bool {
        self.end.is_none() && at < self.expires_at
    }

    /// The token as it is listed: without its secret.
    pub(crate) fn listed(&self, at: Millis) -> Value {
        let (state, consumed_at, serial) = match &self.end {
            Some(End::Consumed { at, serial }) => ("consumed", Some(rfc3339(*at)), serial.as_deref()),
            Some(End::Revoked) => ("revoked", None, None),
            None if self.is_live(at) => ("live", None, None),
            None => ("expired", None, None),
        };
        json!({
            "accessor": self.accessor, "label": self.label, "state": state,
            "created_at": rfc3339(self.created_at), "expires_at": rfc3339(self.expires_at),
            "consumed_at": consumed_at, "paired_serial": serial,
        })
    }
}

/// An identity that was issued.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) serial: String,
    pub(crate) public_key: String,
    pub(crate) fingerprint: String,
    pub(crate) issued_at: Millis,
}

impl Identity {
    /// What the connector receives.
    pub(crate) fn issued(&self, agent: &str) -> Value {
        let certificate =
            format!("sandbox certificate agent={agent} serial={} fingerprint={}", self.serial, self.fingerprint);
        json!({ "serial": self.serial, "certificate": certificate })
    }
}

/// Something that an auditor may ask about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AuditEvent {
    pub(crate) at: Millis,
    pub(crate) kind: String,
    pub(crate) accessor: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) detail: Option<String>,
}

impl AuditEvent {
    /// An event of this type; the rest is filled in where it applies.
    pub(crate) fn new(at: Millis, kind: &str) -> Self {
        Self { at, kind: kind.to_owned(), accessor: None, serial: None, detail: None }
    }

    /// The event as it is listed: fields that do not apply are left out.
    pub(crate) fn listed(&self) -> Value {
        let mut value = json!({ "at": rfc3339(self.at), "type": self.kind });
        for (key, field) in [("accessor", &self.accessor), ("serial", &self.serial), ("detail", &self.detail)] {
            if let Some(text) = field {
                value[key] = json!(text);
            }
        }
        value
    }
}

/// Everything about one agent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Agent {
    pub(crate) tokens: Vec<Token>,
    pub(crate) closed_labels: BTreeSet<String>,
    pub(crate) identities: Vec<Identity>,
    pub(crate) audit: Vec<AuditEvent>,
    pub(crate) last_seen: Option<Millis>,
    pub(crate) online: bool,
    pub(crate) needs_recovery: bool,
}

impl Agent {
    /// The identity that was issued last.
    pub(crate) fn current(&self) -> Option<&Identity> {
        self.identities.last()
    }

    /// Notes that heartbeats stopped coming. Says whether anything changed.
    pub(crate) fn settle(&mut self, at: Millis) -> bool {
        let until = self.last_seen.unwrap_or_default().plus(ONLINE_MS);
        if !self.online || at <= until {
            return false;
        }
        self.online = false;
        let serial = self.current().map(|identity| identity.serial.clone());
        self.audit.push(AuditEvent { serial, ..AuditEvent::new(until, "agent.offline") });
        true
    }

    /// The status as it is told; [`Agent::settle`] was called for this time.
    pub(crate) fn status(&self, agent: &str) -> Value {
        let status = match self.current() {
            None => "never_paired",
            Some(_) if self.needs_recovery => "needs_recovery",
            Some(_) if self.online => "online",
            Some(_) => "offline",
        };
        let identity = self.current().map(|identity| {
            json!({
                "serial": identity.serial, "fingerprint": identity.fingerprint,
                "issued_at": rfc3339(identity.issued_at),
            })
        });
        json!({
            "agent": agent, "status": status, "paired_before": self.current().is_some(), "identity": identity,
            "last_seen": self.last_seen.map(rfc3339),
        })
    }
}
