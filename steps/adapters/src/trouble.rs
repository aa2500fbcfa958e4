//! Why a step did not come to its event, in the three words that the engine tells apart.

use recover_engine::{Performed, Reason};

use crate::known::Known;

/// Why something was not done, or not surely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Surely not applied, and repeating it is pointless.
    Refused(Reason),
    /// Surely not applied; it may be tried again.
    Retry {
        /// What went wrong.
        why: String,
        /// The other side's wish.
        after_ms: Option<u64>,
    },
    /// It may have been applied, or may yet be.
    Unknown(String),
}

/// Codes of refusal that the adapters give besides the engine's and [`recover_steps::refusal`]'s. The sentence beside the
/// code says what to do about it.
pub mod code {
    /// The authority refused, or cannot be trusted with the request.
    pub const AUTHORITY: &str = "authority";
    /// The authority's certificate is not trusted: unknown issuer, another name, expired.
    pub const CERTIFICATE: &str = "certificate";
    /// The workload could not be controlled, or is not as the step needs it.
    pub const WORKLOAD: &str = "workload";
    /// The storage is not as the step needs it.
    pub const STORAGE: &str = "storage";
    /// Another state directory, user or bastion acts on the target, or paired for this loss; or that cannot be told.
    pub const MARKED: &str = "marked";
    /// The place for secrets is not memory, or not ours.
    pub const SECRETS: &str = "secrets";
    /// One mint left more than one working token; all of them were revoked.
    pub const DUPLICATED: &str = "duplicated";
    /// The step is not one of this adapter's, or its data has another shape.
    pub const UNKNOWN_STEP: &str = "unknown-step";
}

impl Trouble {
    pub(crate) fn refused(code: &str, text: impl Into<String>) -> Self {
        Self::Refused(Reason::new(code, text))
    }

    pub(crate) fn retry(why: impl Into<String>) -> Self {
        Self::Retry { why: why.into(), after_ms: None }
    }

    /// The sentence.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Refused(reason) => &reason.text,
            Self::Retry { why, .. } | Self::Unknown(why) => why,
        }
    }

    /// Whether it is a refusal of this code.
    pub(crate) fn is(&self, code: &str) -> bool {
        matches!(self, Self::Refused(reason) if reason.code == code)
    }

    /// The same trouble once part of a step has been applied: it is no longer sure that nothing was.
    pub(crate) fn midway(self) -> Self {
        Self::Unknown(self.text().to_owned())
    }

    /// Everything that leaves the adapters as a sentence goes through the redaction, whoever wrote it.
    pub(crate) fn performed(self, known: &Known) -> Performed {
        match self {
            Self::Refused(reason) => Performed::Refused(Reason { code: reason.code, text: known.line(&reason.text) }),
            Self::Retry { why, after_ms } => Performed::Retry { why: known.line(&why), after_ms },
            Self::Unknown(why) => Performed::Unknown { why: known.line(&why) },
        }
    }
}
