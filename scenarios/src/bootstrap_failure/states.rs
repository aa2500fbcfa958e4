//! One struct per state, each with private fields: its methods are the only doors to the next.

use recover_engine::{Ending, Verdict};
use recover_steps::{Instance, Token, Unpaired};

use super::BootstrapFailure;
use super::back::{CANCELLED, Goal, back};
use super::case::{Case, Cause, Enroll, MINTS_MAX, Params};
use crate::validation::{self, Regained};

macro_rules! blind {
    ($($(#[$meta:meta])* $name:ident)+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $name { params: Params }
            impl $name {
                pub(super) const fn maybe_case(&self) -> Option<&Case> { None }
                /// The end without a change.
                #[must_use]
                pub fn ends(self, ending: Ending) -> BootstrapFailure { BootstrapFailure::Closed(ending) }
                /// The same, because a person wants it.
                #[must_use]
                pub fn cancelled(self) -> BootstrapFailure { self.ends(Ending::new(Verdict::Cancelled, CANCELLED)) }
            }
        )+
    };
}

macro_rules! known {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),* })+) => {
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
                pub fn give_up(self, reason: impl Into<String>) -> BootstrapFailure {
                    back(self.case, Goal::new(Verdict::GivenUp, reason))
                }
                /// The same, because a person wants it.
                #[must_use]
                pub fn cancelled(self) -> BootstrapFailure { back(self.case, Goal::cancelled()) }
            }
        )+
    };
}

blind! {
    /// Can the control plane be reached? No token is spent before.
    Reaching
    /// Why did it never pair?
    Inspecting
}

known! {
    /// Its token has expired, or it did not trust the control plane; may it get a fresh one?
    AskingFresh {}
    /// Its token was taken back; is it known why, and may it be enrolled?
    AskingRevoked {}
    /// Its request was refused; is the cause mended?
    AskingRefused {}
    /// A token would work; may another be minted in its place?
    AskingOutstanding {}
    /// Is its storage durable?
    Surveying {}
    /// It cannot be told; does a person take the responsibility?
    AskingDurable { on: String }
    /// The workload is being stopped.
    Stopping {}
    /// It said it stopped; did it?
    ProvingStopped {}
    /// The pinned CA bundle goes where the connector looks for it.
    Trusting {}
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
    /// Paired: the point of no return lies behind. The token is taken away.
    Withdrawing { token: Token, serial: String, instance: Option<Instance> }
    /// Paired, and the workload does not run.
    StartingPaired { serial: String }
    /// Does it come online with its identity?
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

impl Reaching {
    /// The first state.
    #[must_use]
    pub const fn new(params: Params) -> Self {
        Self { params }
    }

    /// It can.
    #[must_use]
    pub fn reached(self) -> Inspecting {
        Inspecting { params: self.params }
    }
}

impl Inspecting {
    /// It never paired, for this cause. Whether a person is asked is the policy's matter only where nobody may have meant it.
    #[must_use]
    pub fn unpaired(self, cause: Cause, found: Unpaired) -> BootstrapFailure {
        let case = Case::new(self.params, cause, found);
        match cause {
            Cause::Expired | Cause::Untrusted if case.params.enroll == Enroll::Allow => Surveying { case }.into(),
            Cause::Expired | Cause::Untrusted => AskingFresh { case }.into(),
            Cause::Revoked => AskingRevoked { case }.into(),
            Cause::Denied => AskingRefused { case }.into(),
            Cause::Outstanding => AskingOutstanding { case }.into(),
        }
    }
}

macro_rules! allowed {
    ($($name:ident),+) => {
        $(impl $name {
            /// It may.
            #[must_use]
            pub fn allowed(self) -> Surveying {
                Surveying { case: self.case }
            }
        })+
    };
}
allowed!(AskingFresh, AskingRevoked, AskingRefused, AskingOutstanding);

impl Surveying {
    /// It is.
    #[must_use]
    pub fn durable(self) -> Stopping {
        Stopping { case: self.case }
    }

    /// It cannot be told.
    #[must_use]
    pub fn undecided(self, on: String) -> AskingDurable {
        AskingDurable { case: self.case, on }
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
    pub fn taken(self) -> Stopping {
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
    pub fn failed(mut self, reason: &str) -> BootstrapFailure {
        self.case.stopped = true;
        self.give_up(format!("the workload could not be stopped: {reason}"))
    }
}

impl ProvingStopped {
    /// It did.
    #[must_use]
    pub fn stopped(self) -> BootstrapFailure {
        if self.case.cause == Cause::Untrusted {
            Trusting { case: self.case }.into()
        } else {
            RevokingStale { case: self.case }.into()
        }
    }
}

impl Trusting {
    /// It is there.
    #[must_use]
    pub fn installed(mut self, kept: Option<&str>) -> RevokingStale {
        let before = kept.map(|place| format!("; what was there before is {place}")).unwrap_or_default();
        self.case.residue(format!("the pinned CA bundle was installed for the connector{before}"));
        RevokingStale { case: self.case }
    }
}

macro_rules! unproven {
    ($($name:ident),+) => {
        $(impl $name {
            /// It was not proven stopped: back, and what runs in the end is not ours to say unless we start it.
            #[must_use]
            pub fn unproven(mut self, reason: impl Into<String>) -> BootstrapFailure {
                self.case.may_run = true;
                self.give_up(reason)
            }
        })+
    };
}
unproven!(ProvingStopped, ProvingStillStopped, ProvingBeforePair);

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
    pub fn stopped(self) -> BootstrapFailure {
        if self.case.mints < MINTS_MAX {
            Minting { case: self.case }.into()
        } else {
            self.give_up(format!("{MINTS_MAX} mints left no token to use; a person must find out why"))
        }
    }
}

impl Minting {
    /// One token works.
    #[must_use]
    pub fn minted(mut self, token: Token) -> ProvingBeforePair {
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

    /// It surely did not pair. What kept it from pairing is not mended, and another token would be burnt as this one was.
    #[must_use]
    pub fn refused(mut self, reason: &str) -> BootstrapFailure {
        self.case.started = true;
        self.give_up(format!(
            "the fresh token did not pair: {reason}; a person must find out why before another is minted"
        ))
    }
}

impl Withdrawing {
    /// The token.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// No file holds the secret.
    #[must_use]
    pub fn withdrawn(self) -> BootstrapFailure {
        match self.instance {
            Some(instance) => {
                AwaitingPaired { case: self.case, regained: Regained { serial: self.serial, instance } }.into()
            }
            None => StartingPaired { case: self.case, serial: self.serial }.into(),
        }
    }

    /// The file is still there; the token in it is consumed.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> BootstrapFailure {
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

    /// It does not.
    #[must_use]
    pub fn stuck(self, why: &str) -> BootstrapFailure {
        not_validated(self.case, Verdict::GivenUp, why)
    }
}

impl AwaitingPaired {
    /// The identity that was issued.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.regained.serial
    }

    /// The life that is watched.
    #[must_use]
    pub const fn instance(&self) -> &Instance {
        &self.regained.instance
    }

    /// It is online.
    #[must_use]
    pub fn online(self) -> Restarting {
        Restarting::online(self.case, self.regained)
    }

    /// It is not.
    #[must_use]
    pub fn stuck(self, why: &str) -> BootstrapFailure {
        not_validated(self.case, Verdict::GivenUp, why)
    }
}

/// It paired, so from here on it is a connector with an identity, and there is a procedure for one that does not come online.
pub(super) fn not_validated(mut case: Case, verdict: Verdict, why: &str) -> BootstrapFailure {
    case.residue("the connector was paired and not validated");
    let reason = format!("past the point of no return: {why}");
    let ending = case.ending(verdict, &reason, None);
    BootstrapFailure::Closed(Ending { suggested: Some(crate::names::RECONNECT_FAILURE.into()), ..ending })
}
