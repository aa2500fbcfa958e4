//! The way back: undo what was done, in an order that never starts a workload on what it was not found on.

use recover_engine::{Ending, Verdict};
use recover_steps::{Original, Token};

use super::IdentityLoss;
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
        Self { goal: Goal::new(Verdict::Cancelled, CANCELLED), ..self }
    }

    pub(super) const fn maybe_case(&self) -> Option<&Case> {
        Some(&self.case)
    }
}

/// A workload that we started is stopped.
pub type BackStopping = Undoing<Started>;
/// A token that we minted is revoked.
pub type BackRevoking = Undoing<Token>;
/// The original goes back to where it was found.
pub type BackDetaching = Undoing<Original>;
/// The directory that was set aside goes back.
pub type BackRestoring = Undoing<SetAside>;
/// The workload starts as it was found.
pub type BackStarting = Undoing<Found>;

/// We started the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started;
/// We set the target's directory aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetAside;
/// The workload was found running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found;

/// The next thing to undo, or the end.
pub(super) fn back(case: Case, goal: Goal) -> IdentityLoss {
    if let Some(token) = case.token.clone() {
        IdentityLoss::BackRevoking(Undoing { case, goal, what: token })
    } else if case.started {
        IdentityLoss::BackStopping(Undoing { case, goal, what: Started })
    } else if let (true, Some(original)) = (case.reattached, case.original.clone()) {
        IdentityLoss::BackDetaching(Undoing { case, goal, what: original })
    } else if case.aside {
        IdentityLoss::BackRestoring(Undoing { case, goal, what: SetAside })
    } else if case.stopped && case.refuted {
        stay_stopped(case, goal)
    } else if case.stopped && case.found_running() {
        IdentityLoss::BackStarting(Undoing { case, goal, what: Found })
    } else {
        // What was stopped and had run is started again above, or kept stopped: here it is as it was found.
        let left = (!case.may_run).then_some(case.found_running());
        IdentityLoss::Closed(case.ending(goal.verdict, &goal.reason, left))
    }
}

impl Goal {
    fn end(self, case: &Case, left: impl Into<Option<bool>>) -> Ending {
        case.ending(self.verdict, &self.reason, left)
    }
}

impl BackRevoking {
    /// It works no more.
    #[must_use]
    pub fn done(mut self) -> IdentityLoss {
        self.case.token = None;
        back(self.case, self.goal)
    }

    /// It may.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> IdentityLoss {
        let may_work = format!("token {} may work until it expires: {reason}", self.what.accessor);
        self.case.residue(may_work);
        self.done()
    }
}

impl BackStopping {
    /// It stopped.
    #[must_use]
    pub fn done(mut self) -> IdentityLoss {
        self.case.started = false;
        back(self.case, self.goal)
    }

    /// It may run on, so nothing under it may be moved. Where the start before it failed too, it never ran.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> IdentityLoss {
        self.case.residue(format!("the workload could not be stopped again and may run on changed storage: {reason}"));
        let ending = self.goal.end(&self.case, None);
        IdentityLoss::Closed(ending)
    }
}

impl BackDetaching {
    /// Both are where they were found.
    #[must_use]
    pub fn done(mut self) -> IdentityLoss {
        self.case.reattached = false;
        back(self.case, self.goal)
    }

    /// They are not, so the workload stays stopped.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> IdentityLoss {
        self.case.residue(format!("the storages could not be put back where they were found: {reason}"));
        stay_stopped(self.case, self.goal)
    }
}

impl BackRestoring {
    /// It is where it was found.
    #[must_use]
    pub fn done(mut self) -> IdentityLoss {
        self.case.aside = false;
        back(self.case, self.goal)
    }

    /// It is not, so the workload stays stopped.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> IdentityLoss {
        self.case.residue(format!("the directory that was set aside could not be put back: {reason}"));
        stay_stopped(self.case, self.goal)
    }
}

fn stay_stopped(mut case: Case, goal: Goal) -> IdentityLoss {
    if case.found_running() {
        case.residue("the workload was found running and is left stopped");
    }
    let ending = goal.end(&case, false);
    IdentityLoss::Closed(ending)
}

impl BackStarting {
    /// It runs as it was found.
    #[must_use]
    pub fn done(self) -> IdentityLoss {
        let ending = self.goal.end(&self.case, true);
        IdentityLoss::Closed(ending)
    }

    /// It could not be started. It may run all the same: where the stop before it failed too, it was never stopped.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> IdentityLoss {
        self.case.residue(format!("the workload was found running and could not be started again: {reason}"));
        let ending = self.goal.end(&self.case, None);
        IdentityLoss::Closed(ending)
    }
}
