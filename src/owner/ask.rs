//! What a client asks of the owner, and what it hears back: one JSON object per line on `control.sock`.

use recover_engine::{Baseline, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::actor::Actor;
use crate::fault::{Code, Fault};
use crate::target::Target;

/// The version of this conversation.
pub(crate) const VERSION: u32 = 2;

/// A request with what the owner needs to know of who makes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) v: u32,
    pub(crate) actor: Actor,
    /// Routine questions are answered.
    pub(crate) yes: bool,
    /// Questions are waited at for this long, in milliseconds, instead of stopping the run.
    pub(crate) wait_ms: Option<u64>,
    /// How the target is reached, where the request may lead to effects. It holds references to secrets, never secrets.
    pub(crate) target: Option<Box<Target>>,
    /// Whether it was asked of an owner before that died: what that one did of it is not done again.
    #[serde(default)]
    pub(crate) again: bool,
    pub(crate) ask: Ask,
}

/// The request. Tagged from outside: carried JSON is not understood inside a tagged object.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ask {
    Start(Box<StartAsk>),
    Resume {
        run: String,
    },
    Answer {
        run: String,
        question: Option<u32>,
        choice: Option<String>,
        deny: bool,
        reason: String,
    },
    Cancel {
        run: String,
        reason: String,
    },
    Resolve {
        run: String,
        step: String,
        happened: Option<Json>,
        reason: String,
    },
    Abandon {
        run: String,
        reason: String,
    },
    /// Nothing is begun for this alert. It is about no run.
    Dismiss {
        alert: Json,
        reason: String,
    },
    /// This is how a target is when it is well. It is about no run either.
    Baseline(Box<Baseline>),
}

/// A request to start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StartAsk {
    pub(crate) scenario: String,
    pub(crate) target: String,
    pub(crate) subject: String,
    pub(crate) params: Json,
    pub(crate) alert: Option<String>,
    pub(crate) ticket: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) attach: bool,
    /// What may hold the run back.
    #[serde(default)]
    pub(crate) brake: recover_engine::Brake,
    /// Why nothing is to hold it back.
    #[serde(default)]
    pub(crate) despite: Option<String>,
    /// Whether what it asks is approved by another person than the one who begins it.
    #[serde(default)]
    pub(crate) second_person: bool,
    /// The digest of the plan that it carries out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<recover_engine::Digest>,
}

/// What a client hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "kebab-case")]
pub(crate) enum Tell {
    /// The request was read. Said at once, so that a client can tell an owner that is busy from one that stands still.
    Taken,
    /// A record is durable.
    Event { line: Value, text: String },
    /// The request was carried out, and the run went on or was already executed by the owner.
    Done { text: String },
    /// The run stopped.
    Result { line: Value, exit: u8 },
    /// The request was refused.
    Refused { code: String, message: String, hint: Option<String> },
}

impl Tell {
    pub(crate) fn fault(fault: Fault) -> Self {
        Self::Refused { code: fault.code.as_str().to_owned(), message: fault.message, hint: fault.hint }
    }

    /// Whether nothing comes after it.
    pub(crate) const fn is_last(&self) -> bool {
        !matches!(self, Self::Taken | Self::Event { .. })
    }
}

/// The fault that a refusal stands for.
pub(crate) fn fault_of(code: &str, message: String, hint: Option<String>) -> Fault {
    let code = Code::ALL.iter().copied().find(|known| known.as_str() == code).unwrap_or(Code::Bug);
    Fault { code, message, hint }
}
