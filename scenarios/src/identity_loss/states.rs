//! One struct per state, each with private fields: its methods are the only doors to the next.

use recover_engine::Verdict;
use recover_steps::{Evict, Instance, Original, Reparent, Token};

use super::IdentityLoss;
use super::back::{CANCELLED, Goal, back};
use super::case::{Case, Params, Regained};
use crate::validation;

mod after;
mod before;
mod replace;

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
                    back(self.case, Goal::new(Verdict::Cancelled, CANCELLED))
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
    /// A person wants another try: the workload is stopped, so that the next life begins from what it persisted.
    StoppingPaired { serial: String }
    /// Paired, and the workload does not run.
    StartingPaired { serial: String }
    /// Paired: what belonged to the old agent goes to the new one.
    Reparenting { regained: Regained }
    /// Does it come online with the new identity?
    AwaitingPaired { regained: Regained }
}

/// One validation restart.
pub type Restarting = validation::Restarting<Case>;
/// Does it come back without a token?
pub type AwaitingRestart = validation::AwaitingRestart<Case>;
/// Is the same identity on disk, and no token in sight?
pub type Validating = validation::Validating<Case>;
/// The evidence.
pub type Capturing = validation::Capturing<Case>;
/// Validated: the old agent goes. Then the evidence is captured, whose state this holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evicting {
    then: Capturing,
}
/// Past the point of no return something does not come right; a person must look.
pub type AskingStuck = validation::Stuck<Case>;
