//! One struct per state, each with private fields: its methods are the only doors to the next.

use recover_engine::{Ending, Verdict};
use recover_steps::{AwaitOnline, Instance, WatchLoop};

use super::CrashLoop;
use super::case::{Case, Left, Loop, Params};
use crate::validation::{self, Regained};

/// Why a cancelled run ends.
pub(super) const CANCELLED: &str = "a person cancelled the run";

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
                /// The end, as things are.
                #[must_use]
                pub fn ends(self, verdict: Verdict, reason: impl Into<String>) -> CrashLoop {
                    CrashLoop::Closed(self.case.ending(verdict, reason))
                }
                /// The end, and the procedure that goes on from here.
                #[must_use]
                pub fn hands_on(self, reason: impl Into<String>, to: &'static str) -> CrashLoop {
                    let ending = self.case.ending(Verdict::GivenUp, reason);
                    CrashLoop::Closed(Ending { suggested: Some(to.into()), ..ending })
                }
                /// The end, because a person wants it.
                #[must_use]
                pub fn cancelled(self) -> CrashLoop { self.ends(Verdict::Cancelled, CANCELLED) }
            }
        )+
    };
}

/// The log is captured; does the workload end again and again?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    params: Params,
}

known! {
    /// It does. It is being stopped.
    Stopping {}
    /// It said it stopped; did it?
    ProvingStopped {}
    /// Which identity is on its storage?
    Observing {}
    /// The right one. Is the storage mounted, durable and writable?
    Mounting {}
    /// It cannot be told; does a person take the responsibility?
    AskingMount { on: String }
    /// Can the control plane be reached?
    Reaching {}
    /// One start.
    Starting {}
    /// Does this life last, online with its identity?
    Lasting { regained: Regained }
    /// It did not: it is stopped again, before the next turn.
    StoppingAgain { why: String, verdict: Verdict }
}

/// One validation restart.
pub type Restarting = validation::Restarting<Case>;
/// Does it come back without a token?
pub type AwaitingRestart = validation::AwaitingRestart<Case>;
/// Is the same identity on disk, and no token in sight?
pub type Validating = validation::Validating<Case>;
/// The evidence.
pub type Capturing = validation::Capturing<Case>;

impl Watching {
    /// The first state.
    #[must_use]
    pub const fn new(params: Params) -> Self {
        Self { params }
    }

    #[expect(clippy::unused_self, reason = "the same question to every state")]
    pub(super) const fn maybe_case(&self) -> Option<&Case> {
        None
    }

    pub(super) const fn step(&self) -> WatchLoop {
        WatchLoop { within_ms: self.params.observe_ms }
    }

    /// It does.
    #[must_use]
    pub fn looping(self, found: Loop) -> Stopping {
        Stopping { case: Case::new(self.params, found) }
    }

    /// The end without a change.
    #[must_use]
    pub fn ends(self, ending: Ending) -> CrashLoop {
        CrashLoop::Closed(ending)
    }
}

impl Stopping {
    /// It says it stopped.
    #[must_use]
    pub fn stopped(mut self) -> ProvingStopped {
        self.case.left = Left::Stopped;
        ProvingStopped { case: self.case }
    }

    /// It could not be stopped; it may have been half way.
    #[must_use]
    pub fn failed(mut self, verdict: Verdict, reason: impl Into<String>) -> CrashLoop {
        self.case.left = Left::Unknown;
        self.ends(verdict, reason)
    }
}

impl ProvingStopped {
    /// It did.
    #[must_use]
    pub fn stopped(self) -> Observing {
        Observing { case: self.case }
    }

    /// Something starts it again.
    #[must_use]
    pub fn unproven(mut self, verdict: Verdict, reason: impl Into<String>) -> CrashLoop {
        self.case.left = Left::Unknown;
        self.ends(verdict, reason)
    }
}

impl Observing {
    /// The identity that the authority knows.
    #[must_use]
    pub fn usable(mut self, serial: &str) -> Mounting {
        self.case.serial = Some(serial.to_owned());
        Mounting { case: self.case }
    }
}

impl Mounting {
    /// The identity that is on it.
    #[must_use]
    pub fn serial(&self) -> &str {
        self.case.serial.as_deref().unwrap_or_default()
    }

    /// It is.
    #[must_use]
    pub fn mounted(self) -> Reaching {
        Reaching { case: self.case }
    }

    /// It cannot be told.
    #[must_use]
    pub fn undecided(self, on: String) -> AskingMount {
        AskingMount { case: self.case, on }
    }
}

impl AskingMount {
    /// What it is on.
    #[must_use]
    pub fn on(&self) -> &str {
        &self.on
    }

    /// A person takes the responsibility.
    #[must_use]
    pub fn taken(self) -> Reaching {
        Reaching { case: self.case }
    }
}

impl Reaching {
    /// It can.
    #[must_use]
    pub fn reached(self) -> Starting {
        Starting { case: self.case }
    }
}

impl Starting {
    /// It runs.
    #[must_use]
    pub fn started(mut self, instance: Instance) -> Lasting {
        self.case.left = Left::Running;
        let serial = self.case.serial.clone().unwrap_or_default();
        Lasting { case: self.case, regained: Regained { serial, instance } }
    }

    /// It could not be started; it may run all the same.
    #[must_use]
    pub fn failed(mut self, verdict: Verdict, reason: impl Into<String>) -> CrashLoop {
        self.case.left = Left::Unknown;
        self.ends(verdict, reason)
    }
}

impl Lasting {
    pub(super) fn step(&self) -> AwaitOnline {
        AwaitOnline {
            serial: self.regained.serial.clone(),
            instance: self.regained.instance.clone(),
            observe_ms: self.case.params.steady_ms,
            within_ms: self.case.params.online_within_ms,
        }
    }

    /// It does.
    #[must_use]
    pub fn lasted(self) -> Restarting {
        Restarting::online(self.case, self.regained)
    }

    /// It does not.
    #[must_use]
    pub fn over(self, verdict: Verdict, why: impl Into<String>) -> StoppingAgain {
        StoppingAgain { case: self.case, why: why.into(), verdict }
    }
}

impl StoppingAgain {
    /// It is held stopped.
    #[must_use]
    pub fn stopped(mut self) -> CrashLoop {
        self.case.left = Left::Stopped;
        let (verdict, why) = (self.verdict, self.why.clone());
        self.ends(verdict, why)
    }

    /// It could not be stopped.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> CrashLoop {
        self.case.left = Left::Unknown;
        let (verdict, why) = (self.verdict, format!("{}; and it could not be stopped again: {reason}", self.why));
        self.ends(verdict, why)
    }

    /// It goes on being stopped, because a person wants the end.
    #[must_use]
    pub fn for_a_person(self) -> Self {
        Self { verdict: Verdict::Cancelled, why: CANCELLED.to_owned(), ..self }
    }
}
