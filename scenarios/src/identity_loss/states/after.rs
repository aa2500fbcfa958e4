//! The doors past the point of no return: forward, or to a person.

use recover_engine::Verdict;
use recover_steps::{Instance, Token};

use super::super::IdentityLoss;
use super::super::case::{Case, Regained};
#[allow(clippy::wildcard_imports, reason = "every state of this machine, and nothing else, is in there")]
use super::*;

impl Withdrawing {
    /// The token.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// It is nowhere any more.
    #[must_use]
    pub fn withdrawn(self) -> IdentityLoss {
        match self.instance {
            Some(instance) => to_watch(self.case, Regained { serial: self.serial, instance }),
            None => IdentityLoss::StartingPaired(StartingPaired { case: self.case, serial: self.serial }),
        }
    }

    /// A file may still hold its secret. It is consumed, so that is untidy and not dangerous; but a restart does not show that
    /// none is needed while one is in sight.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> IdentityLoss {
        self.case.in_sight = Some((self.token.clone(), reason.to_owned()));
        self.withdrawn()
    }
}

/// A life of the paired workload is watched, once it has what the old agent had: without that the authority knows only the old one.
fn to_watch(case: Case, regained: Regained) -> IdentityLoss {
    // Where the original is reattached there is no new agent.
    if case.params.succession && !case.reparented && !case.reattached {
        IdentityLoss::Reparenting(Reparenting { case, regained })
    } else {
        IdentityLoss::AwaitingPaired(AwaitingPaired { case, regained })
    }
}

impl Reparenting {
    pub(in super::super) fn step(&self) -> Reparent {
        Reparent { from: self.case.loss.epoch.clone(), serial: self.regained.serial.clone() }
    }

    /// It has it.
    #[must_use]
    pub fn reparented(mut self) -> AwaitingPaired {
        self.case.reparented = true;
        AwaitingPaired { case: self.case, regained: self.regained }
    }

    /// It has not, or not all of it; a person must look.
    #[must_use]
    pub fn stuck(self, why: String) -> AskingStuck {
        AskingStuck { case: self.case, serial: self.regained.serial, why }
    }
}

impl Evicting {
    /// The only way in: it was validated. Where nothing was paired there is no old agent.
    #[must_use]
    pub fn validated(then: Capturing) -> IdentityLoss {
        if then.case().params.succession && !then.case().reattached {
            IdentityLoss::Evicting(Self { then })
        } else {
            IdentityLoss::Capturing(then)
        }
    }

    pub(in super::super) const fn maybe_case(&self) -> Option<&Case> {
        self.then.maybe_case()
    }

    pub(in super::super) fn step(&self) -> Evict {
        Evict { from: self.then.case().loss.epoch.clone(), serial: self.then.serial().to_owned() }
    }

    /// It is gone.
    #[must_use]
    pub fn evicted(self) -> Capturing {
        self.then
    }

    /// It is recovered, and the old agent may still be listed.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> Capturing {
        self.then.case_mut().residue(format!("the old agent could not be evicted: {reason}"));
        self.then
    }
}

impl StoppingPaired {
    /// Nothing of it runs. A token that is still in its sight is taken away before it is started.
    #[must_use]
    pub fn stopped(mut self) -> IdentityLoss {
        match self.case.in_sight.take() {
            Some((token, _)) => {
                IdentityLoss::Withdrawing(Withdrawing { case: self.case, token, serial: self.serial, instance: None })
            }
            None => IdentityLoss::StartingPaired(StartingPaired { case: self.case, serial: self.serial }),
        }
    }

    /// It runs on; a person must look.
    #[must_use]
    pub fn stuck(self, why: String) -> AskingStuck {
        AskingStuck { case: self.case, serial: self.serial, why }
    }
}

impl StartingPaired {
    /// It runs.
    #[must_use]
    pub fn started(self, instance: Instance) -> IdentityLoss {
        to_watch(self.case, Regained { serial: self.serial, instance })
    }

    /// It does not; a person must look.
    #[must_use]
    pub fn stuck(self, why: String) -> AskingStuck {
        AskingStuck { case: self.case, serial: self.serial, why }
    }
}

impl AwaitingPaired {
    /// The identity.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.regained.serial
    }

    /// The life of the workload that is to show it.
    #[must_use]
    pub const fn instance(&self) -> &Instance {
        &self.regained.instance
    }

    /// It does not come right; a person must look.
    #[must_use]
    pub fn stuck(self, why: impl Into<String>) -> AskingStuck {
        AskingStuck { case: self.case, serial: self.regained.serial, why: why.into() }
    }

    /// It is online.
    #[must_use]
    pub fn online(self) -> Restarting {
        Restarting::online(self.case, self.regained)
    }
}

impl Capturing {
    /// The run is over.
    #[must_use]
    pub fn captured(self) -> IdentityLoss {
        let (case, serial) = self.over();
        let way = if case.reattached {
            "the original storage was reattached and the connector came back with its identity"
        } else {
            "the connector was paired once and reconnects with its new identity"
        };
        let reason = format!("{way} {serial}; a restart without a token was validated");
        IdentityLoss::Closed(case.ending(Verdict::Recovered, &reason, true))
    }

    /// It is recovered, and the evidence could not be captured.
    #[must_use]
    pub fn without_evidence(mut self, reason: &str) -> IdentityLoss {
        self.case_mut().residue(format!("the closing evidence could not be captured: {reason}"));
        self.captured()
    }
}

impl AskingStuck {
    /// Try again with a new life of the workload. The one that was watched may have ended with the host's, or it runs and
    /// stands still: only its next start looks at what was persisted.
    #[must_use]
    pub fn again(self) -> StoppingPaired {
        StoppingPaired { case: self.case, serial: self.serial }
    }

    /// Leave it as it is.
    #[must_use]
    pub fn leave(mut self) -> IdentityLoss {
        let what = if self.case.reattached {
            "the original storage is reattached and not validated"
        } else {
            "the connector was paired and not validated"
        };
        self.case.residue(what);
        let reason = format!("past the point of no return: {}", self.why);
        // What does not come right may be that it does not start.
        IdentityLoss::Closed(self.case.ending(Verdict::GivenUp, &reason, None))
    }
}
