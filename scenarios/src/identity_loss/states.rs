//! One struct per state, each with private fields: its methods are the only doors to the next.

use recover_engine::{Ending, Verdict};
use recover_steps::{Instance, Loss, Original, Token};

use super::IdentityLoss;
use super::back::{Goal, back};
use super::case::{Case, MINTS_MAX, Params, Regained, Reprovision};

macro_rules! states {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? })+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $name { case: Case, $($field: $type),* }
            impl $name {
                /// What the run knows and has done.
                #[must_use]
                pub const fn case(&self) -> &Case { &self.case }
                pub(super) const fn maybe_case(&self) -> Option<&Case> { Some(&self.case) }
                /// Back to how it was found, as far as that goes.
                #[must_use]
                pub fn give_up(self, reason: impl Into<String>) -> IdentityLoss {
                    back(self.case, Goal::new(Verdict::GivenUp, reason))
                }
                /// The same, because a person wants it.
                #[must_use]
                pub fn cancelled(self) -> IdentityLoss {
                    back(self.case, Goal::new(Verdict::Cancelled, "a person cancelled the run"))
                }
            }
        )+
    };
}

/// Nothing is known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observing {
    params: Params,
}

states! {
    /// The loss is known; where is the original storage?
    Searching {}
    /// An original was found that is dead or unreadable; is it given up?
    AskingDead { why: String }
    /// Is the target's storage durable?
    Surveying {}
    /// Is the original's storage durable?
    SurveyingOriginal { original: Original }
    /// It cannot be told; does a person take the responsibility?
    AskingDurable { on: String, original: bool }
    /// An identity that the authority does not know is on the target; may it be set aside?
    AskingSetAside { serial: String }
    /// The original is gone; may the identity be replaced?
    AskingReprovision {}
    /// The workload is being stopped.
    Stopping {}
    /// It said it stopped; did it?
    ProvingStopped {}
    /// The original goes to the target.
    Reattaching { original: Original }
    /// The workload starts on the original.
    StartingOriginal {}
    /// Does it come back with its old identity?
    AwaitingOriginal { instance: Instance }
    /// It did not; is the original given up?
    AskingOriginalDead { why: String }
    /// The workload is stopped again, off the dead original.
    StoppingOriginal {}
    /// The dead original goes back to where it was found.
    DetachingOriginal { original: Original }
    /// The unusable identity's directory goes aside.
    SettingAside {}
    /// Is the target durable, writable and free?
    ProvingDurable {}
    /// Whatever token still works is revoked.
    RevokingStale {}
    /// Is the workload still stopped? Then a token may be minted.
    ProvingStillStopped {}
    /// One token.
    Minting {}
    /// Is the workload still stopped? Then the token may be handed over.
    ProvingBeforePair { token: Token }
    /// Once.
    Pairing { token: Token }
    /// The token did not pair and must not work any more.
    RevokingOrphan { token: Token, why: String }
    /// Whatever the failed pairing started is stopped.
    StoppingAgain { why: String }
    /// Paired: the point of no return lies behind. The token is taken away.
    Withdrawing { token: Token, serial: String, instance: Option<Instance> }
    /// Paired, and the workload does not run.
    StartingPaired { serial: String }
    /// Does it come online with the new identity?
    AwaitingPaired { regained: Regained }
    /// One validation restart.
    Restarting { regained: Regained }
    /// Does it come back without a token?
    AwaitingRestart { regained: Regained }
    /// Is the same identity on disk, and no token in sight?
    Validating { regained: Regained }
    /// The evidence.
    Capturing { regained: Regained }
    /// Past the point of no return something does not come right; a person must look.
    AskingStuck { serial: String, why: String }
}

impl Observing {
    /// The first state.
    #[must_use]
    pub const fn new(params: Params) -> Self {
        Self { params }
    }

    #[expect(clippy::unused_self, reason = "the same question to every state")]
    pub(super) const fn maybe_case(&self) -> Option<&Case> {
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
        Restarting { case: self.case, regained }
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

impl SettingAside {
    /// It is aside.
    #[must_use]
    pub fn done(mut self) -> ProvingDurable {
        self.case.aside = true;
        ProvingDurable { case: self.case }
    }

    /// It could not be moved; it may have been half way.
    #[must_use]
    pub fn failed(mut self, reason: String) -> IdentityLoss {
        self.case.aside = true;
        self.give_up(format!("the unusable identity could not be set aside: {reason}"))
    }
}

impl ProvingDurable {
    /// It is durable, writable and free.
    #[must_use]
    pub fn durable(self) -> RevokingStale {
        RevokingStale { case: self.case }
    }

    /// It is not durable: nothing is minted for it, and nothing is started on it.
    #[must_use]
    pub fn refuted(mut self, on: &str) -> IdentityLoss {
        self.case.refuted = true;
        self.give_up(format!("the storage would not survive a restart: {on}"))
    }

    /// It cannot be told.
    #[must_use]
    pub fn undecided(self, on: String) -> IdentityLoss {
        if self.case.durable_on_word {
            IdentityLoss::RevokingStale(RevokingStale { case: self.case })
        } else {
            IdentityLoss::AskingDurable(AskingDurable { case: self.case, on, original: false })
        }
    }

    /// Another identity is on it.
    #[must_use]
    pub fn occupied(self, serial: String) -> IdentityLoss {
        if self.case.aside {
            self.give_up(format!("identity {serial} appeared on the storage while it was being prepared"))
        } else {
            IdentityLoss::AskingSetAside(AskingSetAside { case: self.case, serial })
        }
    }
}

impl RevokingStale {
    /// No token works.
    #[must_use]
    pub fn revoked(self) -> ProvingStillStopped {
        ProvingStillStopped { case: self.case }
    }
}

impl ProvingStillStopped {
    /// Still.
    #[must_use]
    pub fn stopped(self) -> IdentityLoss {
        if self.case.mints < MINTS_MAX {
            IdentityLoss::Minting(Minting { case: self.case })
        } else {
            self.give_up(format!("{MINTS_MAX} tokens were minted and none paired; a person must find out why"))
        }
    }
}

impl Minting {
    /// One token works.
    #[must_use]
    pub fn minted(mut self, token: Token) -> ProvingBeforePair {
        self.case.mints += 1;
        self.case.token = Some(token.clone());
        ProvingBeforePair { case: self.case, token }
    }

    /// None does, provably; another may be minted.
    #[must_use]
    pub fn absent(mut self) -> ProvingStillStopped {
        self.case.mints += 1;
        ProvingStillStopped { case: self.case }
    }
}

impl ProvingBeforePair {
    /// Still.
    #[must_use]
    pub fn stopped(self) -> Pairing {
        Pairing { case: self.case, token: self.token }
    }
}

impl Pairing {
    /// The token to be handed over.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// The authority issued an identity for it.
    #[must_use]
    pub fn paired(mut self, serial: String, instance: Option<Instance>) -> Withdrawing {
        self.case.token = None;
        Withdrawing { case: self.case, token: self.token, serial, instance }
    }

    /// It surely did not pair.
    #[must_use]
    pub fn refused(mut self, why: String) -> RevokingOrphan {
        self.case.started = true;
        RevokingOrphan { case: self.case, token: self.token, why }
    }
}

impl RevokingOrphan {
    /// The token.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// It works no more.
    #[must_use]
    pub fn revoked(mut self) -> StoppingAgain {
        self.case.token = None;
        StoppingAgain { case: self.case, why: self.why }
    }

    /// It may still work.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> IdentityLoss {
        self.case.token = None;
        let may_work = format!("token {} may work until it expires: {reason}", self.token.accessor);
        self.case.residue(may_work);
        self.give_up("a token that did not pair could not be revoked")
    }
}

impl StoppingAgain {
    /// It stopped.
    #[must_use]
    pub fn stopped(mut self) -> ProvingStillStopped {
        self.case.started = false;
        ProvingStillStopped { case: self.case }
    }

    /// It could not be stopped.
    #[must_use]
    pub fn failed(self, reason: &str) -> IdentityLoss {
        let why = self.why.clone();
        self.give_up(format!("{why}; and the workload could not be stopped again: {reason}"))
    }
}

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
            Some(instance) => IdentityLoss::AwaitingPaired(AwaitingPaired {
                case: self.case,
                regained: Regained { serial: self.serial, instance },
            }),
            None => IdentityLoss::StartingPaired(StartingPaired { case: self.case, serial: self.serial }),
        }
    }

    /// A file may still hold its secret. It is consumed, so that is untidy and not dangerous.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> IdentityLoss {
        self.case.residue(format!("the consumed token's file could not be removed: {reason}"));
        self.withdrawn()
    }
}

impl StartingPaired {
    /// It runs.
    #[must_use]
    pub fn started(self, instance: Instance) -> AwaitingPaired {
        AwaitingPaired { case: self.case, regained: Regained { serial: self.serial, instance } }
    }

    /// It does not; a person must look.
    #[must_use]
    pub fn stuck(self, why: String) -> AskingStuck {
        AskingStuck { case: self.case, serial: self.serial, why }
    }
}

macro_rules! regained {
    ($($name:ident),+) => {
        $(impl $name {
            /// The identity.
            #[must_use]
            pub fn serial(&self) -> &str { &self.regained.serial }
            /// The life of the workload that is to show it.
            #[must_use]
            pub const fn instance(&self) -> &Instance { &self.regained.instance }
            /// It does not come right; a person must look.
            #[must_use]
            pub fn stuck(self, why: impl Into<String>) -> AskingStuck {
                AskingStuck { case: self.case, serial: self.regained.serial, why: why.into() }
            }
        })+
    };
}
regained!(AwaitingPaired, Restarting, AwaitingRestart, Validating, Capturing);

impl AwaitingPaired {
    /// It is online.
    #[must_use]
    pub fn online(self) -> Restarting {
        Restarting { case: self.case, regained: self.regained }
    }
}

impl Restarting {
    /// Another life runs.
    #[must_use]
    pub fn restarted(self, instance: Instance) -> AwaitingRestart {
        AwaitingRestart { case: self.case, regained: Regained { instance, ..self.regained } }
    }
}

impl AwaitingRestart {
    /// It is back.
    #[must_use]
    pub fn online(self) -> Validating {
        Validating { case: self.case, regained: self.regained }
    }
}

impl Validating {
    /// All of it holds.
    #[must_use]
    pub fn validated(self) -> Capturing {
        Capturing { case: self.case, regained: self.regained }
    }
}

impl Capturing {
    /// The run is over.
    #[must_use]
    pub fn captured(self) -> IdentityLoss {
        let way = if self.case.reattached {
            "the original storage was reattached and the connector came back with its identity"
        } else {
            "the connector was paired once and reconnects with its new identity"
        };
        let reason = format!("{way} {}; a restart without a token was validated", self.regained.serial);
        IdentityLoss::Closed(self.case.ending(Verdict::Recovered, &reason, true))
    }

    /// It is recovered, and the evidence could not be captured.
    #[must_use]
    pub fn without_evidence(mut self, reason: &str) -> IdentityLoss {
        self.case.residue(format!("the closing evidence could not be captured: {reason}"));
        self.captured()
    }
}

impl AskingStuck {
    /// What does not come right.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Try again, from a workload that runs: the life that was watched may have ended with the host's.
    #[must_use]
    pub fn again(self) -> StartingPaired {
        StartingPaired { case: self.case, serial: self.serial }
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
        IdentityLoss::Closed(self.case.ending(Verdict::GivenUp, &reason, true))
    }
}
