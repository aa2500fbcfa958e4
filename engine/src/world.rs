//! The outside as the engine sees it: perform, fence, probe; and the host that tells the time and carries requests.

use std::sync::Arc;

use crate::effect::{Doing, Reason, Told};
use crate::entry::Entry;
use crate::id::{Key, Millis, RunId};
use crate::journal::Receipt;
use crate::record::Evidence;

/// One effect to be applied, fenced or probed. Its intent is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// The run.
    pub run: RunId,
    /// The target's name.
    pub target: Arc<str>,
    /// What the run is about.
    pub subject: Arc<str>,
    /// The loss, once known.
    pub epoch: Option<String>,
    /// The step.
    pub doing: Arc<Doing>,
    /// Which try of this step at this loss it is, from 0.
    pub ordinal: u32,
    /// Which attempt of this intent it is, from 1.
    pub attempt: u32,
    /// The effect's key.
    pub key: Key,
    /// Whether the effect's fence is up.
    pub fenced: bool,
}

/// An event with what was captured on the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The event.
    pub told: Told,
    /// Captured texts, redacted.
    pub evidence: Vec<Evidence>,
}

impl Seen {
    /// An event with no text captured.
    #[must_use]
    pub const fn plain(told: Told) -> Self {
        Self { told, evidence: Vec::new() }
    }
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Performed {
    /// It was applied.
    Happened(Seen),
    /// It was surely not applied, and trying again is pointless.
    Refused(Reason),
    /// It was surely not applied, and may be tried again, not before this many milliseconds if the other side said so.
    Retry {
        /// What went wrong.
        why: String,
        /// The other side's wish.
        after_ms: Option<u64>,
    },
    /// It may or may not have been applied, or may yet be.
    Unknown {
        /// What went wrong.
        why: String,
    },
}

/// What a fence came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FenceRaised {
    /// The effect can no longer arrive. How it was made so.
    Up(String),
    /// It could not be raised now.
    Failed(String),
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// The effect is there.
    Happened(Seen),
    /// It is not there, and, where the act is fenced, can no longer arrive.
    Absent(String),
    /// It cannot be told.
    Unknown(String),
}

/// Carries out effects. Dropping one of its futures is a crash and nothing worse.
pub trait World {
    /// Applies the effect once. It may be called again for the same act where the step's redo policy allows it.
    fn perform(&self, act: &Act) -> impl Future<Output = Performed>;
    /// Makes a late arrival of the effect impossible. Idempotent.
    fn fence(&self, act: &Act) -> impl Future<Output = FenceRaised>;
    /// Looks whether the effect is there. Changes nothing.
    fn probe(&self, act: &Act) -> impl Future<Output = Probed>;
}

/// What a person or a signal wants of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The client's number, for the reply.
    pub id: u64,
    /// Who asks, as the JSON that goes into the record.
    pub actor: Arc<str>,
    /// What.
    pub wish: Wish,
}

/// The content of a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Answer the question with the record number `question`, or the open one.
    Answer {
        /// The question's record number, if it was named.
        question: Option<u32>,
        /// The choice.
        choice: String,
        /// Why.
        reason: String,
    },
    /// Say what came of an open intent that is in doubt.
    Resolve {
        /// The step.
        step: String,
        /// The event's JSON, or `Some(null)` for the step's own default, or `None` if it surely did not happen.
        happened: Option<crate::json::Json>,
        /// Why.
        reason: String,
    },
    /// Stop and go back.
    Cancel {
        /// Why.
        reason: String,
    },
    /// Close the run as it stands.
    Abandon {
        /// Why.
        reason: String,
    },
    /// Stop at the next boundary; the run stays open.
    Interrupt,
}

/// Why a request was not carried out. The run is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwilling {
    /// The question is not, or no longer, the one that was answered.
    #[error("the question has changed: {0}")]
    QuestionChanged(String),
    /// No question is open.
    #[error("no question is open")]
    NoQuestion,
    /// The question has no such choice.
    #[error("the question has no choice {choice}; it has {known}")]
    NoChoice {
        /// What was answered.
        choice: String,
        /// What can be.
        known: String,
    },
    /// No intent of that step is in doubt.
    #[error("no intent of {0} is in doubt")]
    NotInDoubt(String),
    /// The operator's word needs the event's data.
    #[error("{0} cannot be resolved as happened without its data")]
    NeedsData(String),
    /// The state does not take it.
    #[error("{0}")]
    NotNow(String),
}

/// Why [`Host::wait`] returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The time has come.
    Elapsed,
    /// A request came.
    Request(Request),
}

/// Time, requests and an audience.
pub trait Host {
    /// The time now.
    fn now(&self) -> Millis;
    /// Waits until a time, or a request.
    fn wait(&self, until: Millis) -> impl Future<Output = Woken>;
    /// The next request, whenever it comes. Polled while a look is under way, and dropped with nothing lost when the look ends
    /// first. A host that hears none then leaves them for the next boundary.
    fn hear(&self) -> impl Future<Output = Request> {
        std::future::pending()
    }
    /// A request that is already there.
    fn request(&self) -> Option<Request>;
    /// Whether a question may be waited for here; if not, the run stops at it and stays open.
    fn waits_for_people(&self) -> bool;
    /// A request was carried out, durably, or refused.
    fn reply(&self, id: u64, reply: Result<(), Unwilling>);
    /// These records are durable.
    fn recorded(&self, entries: &[Entry], receipt: Receipt);
}
