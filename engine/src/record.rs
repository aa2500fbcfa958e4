//! What is journaled: the payload of each kind of record. Events, never states; a state's name is a check, not a source.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::effect::{Reason, Redo};
use crate::entry::{BadEntry, Entry, Header, Kind};
use crate::id::{Digest, Key, Millis, RunId};
use crate::json::Json;
use crate::scenario::{Ending, Question};

/// One record's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is named after the documented payload it wraps")]
pub enum Record {
    Begun(Box<Begun>),
    Intent(Intent),
    Attempt(Attempt),
    Outcome(Resulted),
    Fenced(Fenced),
    Waiting(Waiting),
    Asked(Asked),
    Answered(Answered),
    Denied(Answered),
    Resolved(Resolved),
    CancelRequested(CancelRequested),
    Adopted(Noted),
    Closed(Ending),
    Salvaged(Noted),
    Cleared(Noted),
    Baselined(Baseline),
    Dismissed(Noted),
}

/// A run begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's version.
    pub version: u16,
    /// The target's name in the configuration.
    pub target: String,
    /// What the run is about: the authority's origin and the agent's id there.
    pub subject: String,
    /// What the scenario was begun with.
    pub params: Json,
    /// The scenario's graph.
    pub graph: Json,
    /// The scenario's guards.
    pub guards: Json,
    /// SHA-256 of scenario name, version, graph and guards.
    pub digest: Digest,
    /// The alert that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// The ticket it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The client's own name for the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Why it was begun although the brake held it, in the words of whoever began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub despite: Option<String>,
    /// Whether what it asks is approved by another person than the one who began it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub second_person: bool,
    /// The digest of the plan that it carries out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Digest>,
    /// What earlier runs consumed of this subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumed: Vec<Spent>,
}

/// An effect on this subject that an earlier run consumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The effect.
    pub key: Key,
    /// The run.
    pub by: RunId,
    /// Whether its absence was proven.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restored: bool,
}

/// An effect is about to be attempted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The state that asks for it.
    pub state: String,
    /// The step.
    pub step: String,
    /// The step's data.
    pub body: Json,
    /// What may be done after a crash.
    pub redo: Redo,
    /// Whether `absent` needs a fence first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fence: bool,
    /// The loss it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// Which try of this step at this loss it is, from 0.
    pub ordinal: u32,
    /// The effect key.
    pub key: Key,
}

/// An open intent is attempted again, or was probed in vain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which attempt this is, from 2.
    pub attempt: u32,
    /// What became of the one before.
    pub why: String,
    /// How many attempts of this intent came back as failed. One that a crash cut off is not among them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u32,
    /// When it may begin.
    pub not_before: Millis,
    /// Nothing is attempted: whether the effect was applied is unknown, and a person must say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubt: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What came of an intent, a wait or an unanswered question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resulted {
    /// The input as it stands in the graph: `step:ending`, `step:refused`, `wait:elapsed`, `question:expired`.
    pub label: String,
    /// The event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Json>,
    /// Why it was surely not applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Reason>,
    /// Whether a probe found it rather than an attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub probed: bool,
    /// The state it leads to.
    pub to: String,
    /// What was captured on the way, redacted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// A captured text: here if it is short, in `evidence/` under its digest if it is long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it is.
    pub name: String,
    /// SHA-256 of the text.
    pub sha256: Digest,
    /// The text, up to 16 KiB; of a longer one its beginning and its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The length of the file in `evidence/` that holds the whole, in bytes, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<u64>,
    /// The length of what was captured, in bytes, where its beginning was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<u64>,
}

/// A late arrival of the open intent's effect is no longer possible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    /// What was done to make it so.
    pub how: String,
}

/// The run waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The state that waits.
    pub state: String,
    /// The wait's name.
    pub id: String,
    /// Until when.
    pub until: Millis,
    /// What for.
    pub why: String,
}

/// A person is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The state that asks.
    pub state: String,
    /// The question.
    pub question: Question,
    /// When it expires.
    pub deadline: Millis,
}

/// A person chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The number of the record that asked.
    pub question: u32,
    /// The input as it stands in the graph: `question:choice`.
    pub label: String,
    /// Why, in the person's words.
    pub reason: String,
    /// The state it leads to.
    pub to: String,
}

/// A person's word on an open intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The step.
    pub step: String,
    /// The input as it stands in the graph.
    pub label: String,
    /// The event, if it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Json>,
    /// Why, in the person's words.
    pub reason: String,
    /// The state it leads to.
    pub to: String,
}

/// A person wants to stop and go back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequested {
    /// Why, in the person's words.
    pub reason: String,
    /// The state it leads to.
    pub to: String,
}

/// Something about the journal itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// What and why.
    #[serde(alias = "why")]
    pub reason: String,
    /// Further facts, for machines.
    #[serde(default)]
    pub data: Json,
}

/// How a target is when it is well: what a person saw, approved and dated. The header has the time, the actor who.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The target's name in the configuration.
    pub target: String,
    /// What runs on it are about, as in [`Begun::subject`].
    pub subject: String,
    /// Why the person holds this for right.
    pub reason: String,
    /// What was seen, by name: `storage.path`, `identity.fingerprint` and so on.
    pub facts: BTreeMap<String, String>,
}

macro_rules! payloads {
    ($($variant:ident),+) => {
        impl Record {
            /// The kind in the header.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind::$variant),+ }
            }
            /// The payload's JSON.
            #[must_use]
            pub fn payload(&self) -> Json {
                match self { $(Self::$variant(body) => Json::of(body)),+ }
            }
            /// The record as it is written.
            ///
            /// # Errors
            /// As [`Entry::encode`].
            pub(crate) fn entry(&self, header: Header, actor: &str, scratch: &mut Vec<u8>) -> Result<Entry, BadEntry> {
                Entry::write(header, actor, scratch, |out| match self { $(Self::$variant(body) => Json::write(body, out)),+ })
            }
            /// A record from its kind and payload.
            ///
            /// # Errors
            /// If the payload has another shape.
            pub fn parse(kind: Kind, payload: &str) -> Result<Self, serde_json::Error> {
                Ok(match kind { $(Kind::$variant => Self::$variant(serde_json::from_str(payload)?)),+ })
            }
        }
    };
}
payloads!(
    Begun,
    Intent,
    Attempt,
    Outcome,
    Fenced,
    Waiting,
    Asked,
    Answered,
    Denied,
    Resolved,
    CancelRequested,
    Adopted,
    Closed,
    Salvaged,
    Cleared,
    Baselined,
    Dismissed
);
