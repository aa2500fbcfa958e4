//! A recovery procedure as a pure machine: what to do next, and what an input means.

use std::borrow::Cow;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::effect::{Outcome, StepSet};
use crate::guard::Guard;

/// A pure, typed state machine. Everything above it is generic or works on [`Machine`](crate::Machine).
pub trait Scenario: Clone + Eq + Debug + Send + Sized + 'static {
    /// The name on the command line, in kebab case.
    const NAME: &'static str;
    /// What the records mean. Raised whenever an open run of the version before could not go on under the new code.
    const VERSION: u16;
    /// One line: what it recovers from.
    const TITLE: &'static str;
    /// What a run is begun with; journaled, so it holds no secret.
    type Params: Serialize + DeserializeOwned + Clone + Send + 'static;
    /// The steps it is made of.
    type Step: StepSet;

    /// The first state.
    fn begin(params: Self::Params) -> Self;

    /// Parameters that, together, let the explorer reach every state.
    fn samples() -> Vec<Self::Params>;

    /// The name of the state, in kebab case.
    fn state(&self) -> &'static str;

    /// What this state asks for. Pure.
    fn next(&self) -> Next<Self::Step>;

    /// The state after an input.
    ///
    /// # Errors
    /// [`Illegal`] if this state does not take this input.
    fn apply(self, input: &Input<<Self::Step as StepSet>::Event>) -> Result<Self, Illegal>;

    /// The rules that hold over its whole history, and across runs.
    fn guards() -> Vec<Guard>;

    /// The loss that this run is about, once an observation has named it.
    fn epoch(&self) -> Option<&str>;

    /// Whether the point of no return lies behind this state.
    fn committed(&self) -> bool;
}

/// What a state asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<S> {
    /// Carry out a step.
    Do(S),
    /// Let time pass.
    Wait(Wait),
    /// Let a person decide.
    Ask(Question),
    /// Nothing: the run is over.
    Done(Ending),
}

/// A wait with an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Its name in the graph.
    pub id: &'static str,
    /// How long, in milliseconds.
    pub for_ms: u64,
    /// What is waited for, for a person.
    pub why: String,
}

/// A decision that a person must make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Its name in the graph.
    pub id: Cow<'static, str>,
    /// What is asked, in full.
    pub text: String,
    /// What can be answered. `deny` is a choice too, always the last.
    pub choices: Vec<Choice>,
    /// The choice that `--yes` stands for. `None` where the question is in doubt: then `--yes` answers nothing.
    pub routine: Option<Cow<'static, str>>,
    /// How long a person has, in milliseconds.
    pub within_ms: u64,
    /// What happens when nobody answers, in a sentence.
    pub otherwise: String,
}

/// One possible answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The word that chooses it.
    pub id: Cow<'static, str>,
    /// What it leads to.
    pub text: Cow<'static, str>,
}

impl Choice {
    /// The answer `deny`, and the word of the command that gives it.
    pub const DENY: &'static str = "deny";
    /// The answer `approve`, and the word of the command that gives it.
    pub const APPROVE: &'static str = "approve";

    /// A choice from its two parts.
    #[must_use]
    pub const fn new(id: &'static str, text: &'static str) -> Self {
        Self { id: Cow::Borrowed(id), text: Cow::Borrowed(text) }
    }
}

/// What a machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<E> {
    /// What came of the step it asked for.
    Outcome(Outcome<E>),
    /// The choice made in the question it asked.
    Answer(String),
    /// The wait is over, or nobody answered in time.
    Expired,
    /// A person wants to stop and go back.
    Cancel,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The workload works again, and that was validated.
    Recovered,
    /// It does not, and what could be undone was undone.
    GivenUp,
    /// A person cancelled.
    Cancelled,
    /// There was nothing to do here, or it is another scenario's case.
    NotApplicable,
    /// A guard stopped it.
    GuardRefused,
    /// A person closed the run as it stood.
    Abandoned,
}

impl Verdict {
    /// The word used in records and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::GivenUp => "given-up",
            Self::Cancelled => "cancelled",
            Self::NotApplicable => "not-applicable",
            Self::GuardRefused => "guard-refused",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Whether the workload ran before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// As it was found: `running` or `stopped`.
    pub found: String,
    /// As it was left: `running`, `stopped` or, where neither is known, `unknown`.
    pub left: String,
}

/// The end of a run. No end is silent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub reason: String,
    /// The scenario whose case this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggested: Option<Cow<'static, str>>,
    /// What was changed and not put back, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub residue: Vec<String>,
    /// The workload before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
}

impl Ending {
    /// An ending with nothing left behind.
    pub fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into(), suggested: None, residue: Vec::new(), workload: None }
    }
}

/// A state was told something that it does not take: a bug, or a history that was not made by this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("state {state} does not take {input}")]
pub struct Illegal {
    /// The state.
    pub state: String,
    /// What it was told.
    pub input: String,
}

impl Illegal {
    /// From a state and what it was told.
    pub fn new(state: impl Into<String>, input: impl Debug) -> Self {
        Self { state: state.into(), input: format!("{input:?}") }
    }
}
