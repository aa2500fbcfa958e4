//! One struct per state, each with private fields: its methods are the only doors to the next.

use recover_engine::{Ending, Verdict};
use recover_steps::{Instance, Repair};

use super::ReconnectFailure;
use super::case::{Case, Params, Sighting};
use crate::validation::{self, Regained};

/// Why a cancelled run ends.
pub(super) const CANCELLED: &str = "a person cancelled the run";

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
                pub fn ends(self, ending: Ending) -> ReconnectFailure { ReconnectFailure::Closed(ending) }
                /// The same, because a person wants it.
                #[must_use]
                pub fn cancelled(self) -> ReconnectFailure { self.ends(Ending::new(Verdict::Cancelled, CANCELLED)) }
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
                /// The end: what was tried and what is left is in it.
                #[must_use]
                pub fn ends(self, verdict: Verdict, reason: impl Into<String>) -> ReconnectFailure {
                    ReconnectFailure::Closed(self.case.ending(verdict, reason))
                }
                /// The same, because a person wants it.
                #[must_use]
                pub fn cancelled(self) -> ReconnectFailure { self.ends(Verdict::Cancelled, CANCELLED) }
            }
        )+
    };
}

blind! {
    /// Can the control plane be reached? Nothing else can be told before.
    Reaching
    /// What is wrong with the connector?
    Observing
}

known! {
    /// It is degraded: it is watched, and nothing is done to it.
    Watching {}
    /// It had the time to heal; did it?
    LookingWatched {}
    /// It is offline: it gets the time to come back by itself.
    Settling {}
    /// Did it?
    LookingAgain {}
    /// It did not; can the control plane still be reached?
    ReachingAgain {}
    /// One restart, or one start.
    Repairing {}
    /// Does it come back with its own identity?
    Awaiting { instance: Instance }
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
    pub fn reached(self) -> Observing {
        Observing { params: self.params }
    }
}

impl Observing {
    /// It has its identity and is degraded.
    #[must_use]
    pub fn degraded(self, seen: Sighting) -> Watching {
        Watching { case: Case::new(self.params, seen) }
    }

    /// It has its identity and is not online.
    #[must_use]
    pub fn offline(self, seen: Sighting) -> Settling {
        Settling { case: Case::new(self.params, seen) }
    }
}

impl Watching {
    /// The time is over.
    #[must_use]
    pub fn watched(self) -> LookingWatched {
        LookingWatched { case: self.case }
    }
}

impl LookingWatched {
    /// It went offline meanwhile.
    #[must_use]
    pub fn offline(mut self, seen: Sighting) -> Settling {
        self.case.seen = seen;
        Settling { case: self.case }
    }
}

impl Settling {
    /// The time is over.
    #[must_use]
    pub fn settled(self) -> LookingAgain {
        LookingAgain { case: self.case }
    }
}

impl LookingAgain {
    /// It is still offline, with the same identity.
    #[must_use]
    pub fn still_offline(mut self, seen: Sighting) -> ReachingAgain {
        self.case.seen = seen;
        ReachingAgain { case: self.case }
    }
}

impl ReachingAgain {
    /// It can.
    #[must_use]
    pub fn reached(self) -> Repairing {
        Repairing { case: self.case }
    }
}

impl Repairing {
    pub(super) fn step(&self) -> Repair {
        Repair { from: self.case.seen.running.clone() }
    }

    /// Another life runs.
    #[must_use]
    pub fn repaired(mut self, instance: Instance) -> Awaiting {
        self.case.repaired = true;
        Awaiting { case: self.case, instance }
    }

    /// It could not be restarted; it may have been half way.
    #[must_use]
    pub fn failed(mut self, verdict: Verdict, reason: impl Into<String>) -> ReconnectFailure {
        self.case.repaired = true;
        self.ends(verdict, reason)
    }
}

impl Awaiting {
    /// The life that is watched.
    #[must_use]
    pub const fn instance(&self) -> &Instance {
        &self.instance
    }

    /// It is back.
    #[must_use]
    pub fn online(self) -> Restarting {
        let regained = Regained { serial: self.case.seen.serial.clone(), instance: self.instance };
        Restarting::online(self.case, regained)
    }
}
