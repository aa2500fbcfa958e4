//! `[serve]`: where the long-lived owner listens, who may ask what, and what alerts lead to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use recover_adapters::{CredentialRef, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::Role;

/// How `recover serve` is reached, and what it does by itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Serve {
    /// Where it listens. Elsewhere than on loopback only with `tls`.
    #[schemars(with = "String")]
    pub(crate) listen: SocketAddr,
    /// Names besides the address by which it may be asked for. A request for another name is refused: a page from elsewhere could
    /// otherwise reach it under a name of its own.
    pub(crate) hosts: Vec<String>,
    /// The certificate and the key that it shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Tls>,
    /// Tokens by what their bearers may do. Besides these there is one that the owner makes in its state directory, for loopback.
    pub(crate) tokens: Tokens,
    /// Whether runs that are open at its start are resumed (`all`) or wait for a person (`held`).
    pub(crate) resume: Resume,
    /// How often every target is rehearsed, for example `24h`. Never by itself if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rehearse_every: Option<Span>,
    /// After how long without a record an open run that is not meant to wait counts as stuck.
    pub(crate) stuck_after: Span,
    /// The label of an alert that names the target.
    pub(crate) target_label: String,
    /// What alerts lead to. One that is not here leads to what the runbooks say, held for a person.
    pub(crate) alert: Vec<AlertRule>,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8087)),
            hosts: Vec::new(),
            tls: None,
            tokens: Tokens::default(),
            resume: Resume::All,
            rehearse_every: None,
            stuck_after: Span::from_ms(15 * 60_000),
            target_label: "target".to_owned(),
            alert: Vec::new(),
        }
    }
}

/// PEM files.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// The certificate, and what leads to its issuer.
    pub(crate) certificate: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
    /// The authority that signs the certificates of those in `clients`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_ca: Option<PathBuf>,
    /// What whoever shows a certificate may do, by the name in it: an alternative name of the subject (URI, DNS, e-mail), or where there
    /// is none its common name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) clients: BTreeMap<String, Role>,
}

/// References to tokens. Whoever may approve may operate, and whoever may operate may view.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tokens {
    /// See runs, records, reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) view: Option<CredentialRef>,
    /// Start, resume and cancel runs; send alerts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operate: Option<CredentialRef>,
    /// Answer questions, resolve doubts, abandon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) approve: Option<CredentialRef>,
}

/// What becomes of runs that are open at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Resume {
    /// They are resumed.
    All,
    /// They wait for a person.
    Held,
}

/// What an alert leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlertRule {
    /// The alert's name.
    pub(crate) name: String,
    /// The procedure.
    pub(crate) scenario: String,
    /// Whether it is begun at once (`now`) or when a person says so (`held`).
    #[serde(default)]
    pub(crate) start: Start,
    /// The target, where no label names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
}

/// When a procedure is begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Start {
    /// When a person says so.
    #[default]
    Held,
    /// At once. Its own questions are still asked.
    Now,
}
