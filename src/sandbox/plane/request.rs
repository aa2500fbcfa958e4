//! What the control plane can be asked, and what it answers, without any HTTP.

use recover_engine::Millis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The time of a request and the randomness it may use: inputs, as everywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// When the request is executed.
    pub(crate) at: Millis,
    /// Fresh for every request; accessors, secrets and serials come from it.
    pub(crate) entropy: [u8; 32],
}

/// A request, parsed and, where it needs to be, authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Is it up?
    Health,
    /// One agent's status.
    Status { agent: String },
    /// One page of an agent's tokens.
    Tokens { agent: String, label: Option<String>, accessor: Option<String>, cursor: usize },
    /// A new single-use token.
    Mint { agent: String, label: String, ttl_s: u64 },
    /// End tokens.
    Revoke { agent: String, what: Revoke },
    /// One page of an agent's audit events.
    Audit { agent: String, since: Option<Millis>, cursor: usize },
    /// What the caller may do.
    Rights { agent: String, may: Rights },
    /// A connector presents a token.
    Pair { agent: String, token: String, public_key: String },
    /// What was issued to a key?
    PairResult { public_key: String },
    /// A connector is alive and holds its key.
    Heartbeat { agent: String, serial: String, proof: String },
    /// A connector without identity or token asks to be let in.
    Bootstrap { agent: String },
}

/// What a caller may do besides reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rights {
    /// Make tokens.
    pub(crate) mint: bool,
    /// End tokens.
    pub(crate) revoke: bool,
}

impl Rights {
    pub(crate) const ALL: Self = Self { mint: true, revoke: true };

    /// The contract's words for what is allowed.
    pub(crate) fn words(self) -> Vec<&'static str> {
        [("mint", self.mint), ("revoke", self.revoke)]
            .into_iter()
            .filter_map(|(word, may)| may.then_some(word))
            .collect()
    }
}

/// Which tokens to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Revoke {
    /// The one with this accessor.
    Accessor(String),
    /// All of this label, and the label with them.
    Label(String),
}

/// What a request did, as the ledger says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Effect {
    /// Nothing changed.
    None,
    /// A token was minted.
    Minted,
    /// At least one live token was revoked.
    Revoked,
    /// A label was closed that had no live token.
    LabelClosed,
    /// An identity was issued.
    Paired,
    /// A token was presented and no identity issued.
    PairRefused,
    /// An agent came online.
    Online,
    /// A heartbeat was refused.
    HeartbeatRefused,
    /// A bootstrap call was refused.
    BootstrapRefused,
}

/// What the ledger names of a call: never a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// The token's accessor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) accessor: Option<String>,
    /// The token's label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    /// The identity's serial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) serial: Option<String>,
}

/// An answer and what it stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The JSON body.
    pub(crate) body: Value,
    /// What changed.
    pub(crate) effect: Effect,
    /// What it was about.
    pub(crate) about: About,
}

impl Reply {
    /// An answer that changed nothing.
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, body, effect: Effect::None, about: About::default() }
    }

    /// An error that changed nothing.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = json!({ "error": code, "message": message });
        Self { status, body, effect: Effect::None, about: About::default() }
    }

    /// The same answer, for a request that changed something.
    pub(crate) fn with(self, effect: Effect, about: About) -> Self {
        Self { effect, about, ..self }
    }
}
