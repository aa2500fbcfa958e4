//! The doors from the first look to the original storage and back: nothing has been replaced yet.

use recover_engine::Ending;
use recover_steps::{Instance, Loss, Original};

use super::super::IdentityLoss;
use super::super::case::{Case, Params, Regained, Reprovision};
#[allow(clippy::wildcard_imports, reason = "every state of this machine, and nothing else, is in there")]
use super::*;

impl Observing {
    /// The first state.
    #[must_use]
    pub const fn new(params: Params) -> Self {
        Self { params }
    }

    #[expect(clippy::unused_self, reason = "the same question to every state")]
    pub(in super::super) const fn maybe_case(&self) -> Option<&Case> {
        None
    }

    /// It paired before, and its identity is gone.
    #[must_use]
    pub fn lost(self, loss: Loss) -> Searching {
        Searching { case: Case::new(self.params, loss) }
    }

    /// The end without a change.
    #[must_use]
    pub fn nothing_changed(self, ending: Ending) -> IdentityLoss {
        IdentityLoss::Closed(ending)
    }
}

impl Searching {
    /// It is there.
    #[must_use]
    pub fn found(mut self, original: Original) -> Surveying {
        self.case.original = Some(original);
        Surveying { case: self.case }
    }

    /// It is nowhere.
    #[must_use]
    pub fn gone(self) -> Surveying {
        Surveying { case: self.case }
    }

    /// Something is there that does not serve.
    #[must_use]
    pub fn unreadable(self, why: String) -> AskingDead {
        AskingDead { case: self.case, why }
    }
}

impl AskingDead {
    /// What does not serve, and why.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// A person gives it up.
    #[must_use]
    pub fn given_up(mut self) -> Surveying {
        self.case.consented = true;
        Surveying { case: self.case }
    }
}

impl Surveying {
    /// The target will do. What follows depends on whether there is an original.
    #[must_use]
    pub fn will_do(self) -> IdentityLoss {
        match self.case.original.clone() {
            Some(original) => IdentityLoss::SurveyingOriginal(SurveyingOriginal { case: self.case, original }),
            None => consent(self.case),
        }
    }

    /// It cannot be told.
    #[must_use]
    pub fn undecided(self, on: String) -> AskingDurable {
        AskingDurable { case: self.case, on, original: false }
    }

    /// Another identity is on it.
    #[must_use]
    pub fn occupied(self, serial: String) -> IdentityLoss {
        match self.case.original {
            // Reattaching moves it aside anyway.
            Some(_) => self.will_do(),
            None => IdentityLoss::AskingSetAside(AskingSetAside { case: self.case, serial }),
        }
    }
}

/// Reprovisioning needs a word: the policy's, or a person's.
fn consent(case: Case) -> IdentityLoss {
    if case.consented || case.params.reprovision == Reprovision::Allow {
        IdentityLoss::Stopping(Stopping { case })
    } else {
        IdentityLoss::AskingReprovision(AskingReprovision { case })
    }
}

impl SurveyingOriginal {
    /// What was found.
    #[must_use]
    pub const fn original(&self) -> &Original {
        &self.original
    }

    /// It is durable.
    #[must_use]
    pub fn durable(self) -> Stopping {
        Stopping { case: self.case }
    }

    /// It cannot be told.
    #[must_use]
    pub fn undecided(self, on: String) -> AskingDurable {
        AskingDurable { case: self.case, on, original: true }
    }
}

impl AskingDurable {
    /// What it is on.
    #[must_use]
    pub fn on(&self) -> &str {
        &self.on
    }

    /// A person takes the responsibility.
    #[must_use]
    pub fn taken(mut self) -> IdentityLoss {
        self.case.durable_on_word = true;
        if self.original || self.case.stopped { after_word(self.case) } else { Surveying { case: self.case }.will_do() }
    }
}

fn after_word(case: Case) -> IdentityLoss {
    if case.stopped {
        IdentityLoss::RevokingStale(RevokingStale { case })
    } else {
        IdentityLoss::Stopping(Stopping { case })
    }
}

impl AskingSetAside {
    /// The identity that is in the way.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// It may go aside.
    #[must_use]
    pub fn allowed(mut self) -> IdentityLoss {
        self.case.may_set_aside = true;
        if self.case.stopped {
            IdentityLoss::SettingAside(SettingAside { case: self.case })
        } else {
            consent(self.case)
        }
    }
}

impl AskingReprovision {
    /// The identity may be replaced.
    #[must_use]
    pub fn allowed(mut self) -> Stopping {
        self.case.consented = true;
        Stopping { case: self.case }
    }
}

impl Stopping {
    /// It says it stopped.
    #[must_use]
    pub fn stopped(mut self) -> ProvingStopped {
        self.case.stopped = true;
        ProvingStopped { case: self.case }
    }

    /// It could not be stopped; it may have been half way.
    #[must_use]
    pub fn failed(mut self, reason: String) -> IdentityLoss {
        self.case.stopped = true;
        self.give_up(format!("the workload could not be stopped: {reason}"))
    }
}

impl ProvingStopped {
    /// It did.
    #[must_use]
    pub fn stopped(self) -> IdentityLoss {
        match self.case.original.clone() {
            Some(original) => IdentityLoss::Reattaching(Reattaching { case: self.case, original }),
            None if self.case.may_set_aside => IdentityLoss::SettingAside(SettingAside { case: self.case }),
            None => IdentityLoss::ProvingDurable(ProvingDurable { case: self.case }),
        }
    }
}

impl Reattaching {
    /// What goes to the target.
    #[must_use]
    pub const fn original(&self) -> &Original {
        &self.original
    }

    /// It is there.
    #[must_use]
    pub fn reattached(mut self) -> StartingOriginal {
        self.case.reattached = true;
        StartingOriginal { case: self.case }
    }

    /// It could not be brought there; it may have been half way.
    #[must_use]
    pub fn failed(mut self, reason: String) -> IdentityLoss {
        self.case.reattached = true;
        self.give_up(format!("the original storage could not be reattached: {reason}"))
    }
}

impl StartingOriginal {
    /// It runs.
    #[must_use]
    pub fn started(mut self, instance: Instance) -> AwaitingOriginal {
        self.case.started = true;
        AwaitingOriginal { case: self.case, instance }
    }

    /// It could not be started; it may run all the same.
    #[must_use]
    pub fn failed(mut self, reason: String) -> IdentityLoss {
        self.case.started = true;
        self.give_up(format!("the workload could not be started on its original storage: {reason}"))
    }
}

impl AwaitingOriginal {
    /// The life that is watched.
    #[must_use]
    pub const fn instance(&self) -> &Instance {
        &self.instance
    }

    /// It is back.
    #[must_use]
    pub fn online(self) -> Restarting {
        let regained = Regained { serial: self.case.loss.epoch.clone(), instance: self.instance };
        Restarting::online(self.case, regained)
    }

    /// It is not.
    #[must_use]
    pub fn not_online(self, why: String) -> AskingOriginalDead {
        AskingOriginalDead { case: self.case, why }
    }
}

impl AskingOriginalDead {
    /// What is wrong with it.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// A person gives it up.
    #[must_use]
    pub fn given_up(mut self) -> StoppingOriginal {
        self.case.consented = true;
        StoppingOriginal { case: self.case }
    }
}

impl StoppingOriginal {
    /// It stopped.
    #[must_use]
    pub fn stopped(mut self) -> IdentityLoss {
        self.case.started = false;
        match self.case.original.clone() {
            Some(original) => IdentityLoss::DetachingOriginal(DetachingOriginal { case: self.case, original }),
            None => self.give_up("there is no original to put back"),
        }
    }
}

impl DetachingOriginal {
    /// What goes back to where it was found.
    #[must_use]
    pub const fn original(&self) -> &Original {
        &self.original
    }

    /// It is there.
    #[must_use]
    pub fn detached(mut self) -> ProvingStopped {
        self.case.reattached = false;
        self.case.original = None;
        ProvingStopped { case: self.case }
    }
}
