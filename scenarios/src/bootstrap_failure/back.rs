//! The way back: a token that may work is revoked, what was started with it is stopped, what was found running is started.

use recover_engine::Verdict;
use recover_steps::Token;

use super::BootstrapFailure;
use super::case::Case;

/// Why a cancelled run ends.
pub(super) const CANCELLED: &str = "a person cancelled the run";

/// Why the run goes back, and how it will end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Goal {
    verdict: Verdict,
    reason: String,
}

impl Goal {
    pub(super) fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into() }
    }

    pub(super) fn cancelled() -> Self {
        Self::new(Verdict::Cancelled, CANCELLED)
    }
}

/// One thing to undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undoing<T> {
    case: Case,
    goal: Goal,
    what: T,
}

impl<T> Undoing<T> {
    /// What is undone.
    #[must_use]
    pub const fn what(&self) -> &T {
        &self.what
    }

    /// The same way back, because a person wants it.
    pub(super) fn for_a_person(self) -> Self {
        Self { goal: Goal::cancelled(), ..self }
    }

    pub(super) const fn maybe_case(&self) -> Option<&Case> {
        Some(&self.case)
    }
}

/// A token that we minted is revoked.
pub type BackRevoking = Undoing<Token>;
/// A workload that we started is stopped.
pub type BackStopping = Undoing<Started>;
/// The workload starts as it was found.
pub type BackStarting = Undoing<Found>;

/// We started the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started;
/// The workload was found running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found;

/// The next thing to undo, or the end.
pub(super) fn back(case: Case, goal: Goal) -> BootstrapFailure {
    if let Some(token) = case.token.clone() {
        BootstrapFailure::BackRevoking(Undoing { case, goal, what: token })
    } else if case.started {
        BootstrapFailure::BackStopping(Undoing { case, goal, what: Started })
    } else if case.stopped && case.found_running() {
        BootstrapFailure::BackStarting(Undoing { case, goal, what: Found })
    } else {
        let left = (!case.may_run).then_some(case.found_running());
        end(&case, goal, left)
    }
}

fn end(case: &Case, goal: Goal, left: impl Into<Option<bool>>) -> BootstrapFailure {
    BootstrapFailure::Closed(case.ending(goal.verdict, &goal.reason, left))
}

impl BackRevoking {
    /// It works no more.
    #[must_use]
    pub fn done(mut self) -> BootstrapFailure {
        self.case.token = None;
        back(self.case, self.goal)
    }

    /// It may.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> BootstrapFailure {
        let may_work = format!("token {} may work until it expires: {reason}", self.what.accessor);
        self.case.residue(may_work);
        self.done()
    }
}

impl BackStopping {
    /// It stopped.
    #[must_use]
    pub fn done(mut self) -> BootstrapFailure {
        self.case.started = false;
        back(self.case, self.goal)
    }

    /// It may run on.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> BootstrapFailure {
        self.case.residue(format!("the workload could not be stopped again: {reason}"));
        end(&self.case, self.goal, None)
    }
}

impl BackStarting {
    /// It runs as it was found.
    #[must_use]
    pub fn done(self) -> BootstrapFailure {
        end(&self.case, self.goal, true)
    }

    /// It could not be started. It may run all the same: where the stop before it failed too, it was never stopped.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> BootstrapFailure {
        self.case.residue(format!("the workload was found running and could not be started again: {reason}"));
        end(&self.case, self.goal, None)
    }
}
