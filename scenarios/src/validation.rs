//! The runbook's post-recovery validation, shared by the procedures that end with it: online, one more restart, online again
//! without a token, the same identity still on the storage, and the evidence.
//!
//! Each state owns the procedure's case and hands it on, so that no procedure can enter in the middle or leave one out.

use recover_steps::{AwaitOnline, Capture, Instance, Restart, Validate};

/// The identity that the connector has from now on, and the life of the workload that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regained {
    pub(crate) serial: String,
    pub(crate) instance: Instance,
}

/// How long the validation of a case may take.
pub trait Validated {
    /// How long the connector must stay online, in milliseconds.
    fn observe_ms(&self) -> u64;
    /// How long to wait for it, in milliseconds.
    fn online_within_ms(&self) -> u64;
    /// The alert that led to the run.
    fn alert(&self) -> Option<String>;
}

macro_rules! states {
    ($($(#[$meta:meta])* $name:ident)+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $name<C> { case: C, regained: Regained }
            impl<C> $name<C> {
                /// What the run knows and has done.
                #[must_use]
                pub const fn case(&self) -> &C { &self.case }
                pub(crate) const fn maybe_case(&self) -> Option<&C> { Some(&self.case) }
                /// The identity.
                #[must_use]
                pub fn serial(&self) -> &str { &self.regained.serial }
                /// The life of the workload that is to show it.
                #[must_use]
                pub const fn instance(&self) -> &Instance { &self.regained.instance }
                /// It does not come right.
                #[must_use]
                pub fn stuck(self, why: impl Into<String>) -> Stuck<C> {
                    Stuck { case: self.case, serial: self.regained.serial, why: why.into() }
                }
            }
        )+
    };
}

states! {
    /// It is online: one validation restart.
    Restarting
    /// Does it come back without a token?
    AwaitingRestart
    /// Is the same identity on disk, and no token in sight?
    Validating
    /// The evidence.
    Capturing
}

/// Something does not come right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck<C> {
    pub(crate) case: C,
    pub(crate) serial: String,
    pub(crate) why: String,
}

impl<C> Stuck<C> {
    /// What the run knows and has done.
    #[must_use]
    pub const fn case(&self) -> &C {
        &self.case
    }

    pub(crate) const fn maybe_case(&self) -> Option<&C> {
        Some(&self.case)
    }

    /// What does not come right.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// The step that waits for this life to be online.
pub(crate) fn await_online(case: &impl Validated, serial: &str, instance: &Instance) -> AwaitOnline {
    AwaitOnline {
        serial: serial.to_owned(),
        instance: instance.clone(),
        observe_ms: case.observe_ms(),
        within_ms: case.online_within_ms(),
    }
}

impl<C> Restarting<C> {
    /// The only way in: it was seen online.
    pub(crate) const fn online(case: C, regained: Regained) -> Self {
        Self { case, regained }
    }

    pub(crate) fn step(&self) -> Restart {
        Restart { from: self.regained.instance.clone() }
    }

    /// Another life runs.
    #[must_use]
    pub fn restarted(self, instance: Instance) -> AwaitingRestart<C> {
        AwaitingRestart { case: self.case, regained: Regained { instance, ..self.regained } }
    }
}

impl<C: Validated> AwaitingRestart<C> {
    pub(crate) fn step(&self) -> AwaitOnline {
        await_online(&self.case, self.serial(), self.instance())
    }

    /// It is back.
    #[must_use]
    pub fn online(self) -> Validating<C> {
        Validating { case: self.case, regained: self.regained }
    }
}

impl<C> Validating<C> {
    pub(crate) fn step(&self) -> Validate {
        Validate { serial: self.regained.serial.clone(), instance: self.regained.instance.clone() }
    }

    /// All of it holds.
    #[must_use]
    pub fn validated(self) -> Capturing<C> {
        Capturing { case: self.case, regained: self.regained }
    }
}

impl<C: Validated> Capturing<C> {
    pub(crate) fn step(&self) -> Capture {
        Capture { serial: self.regained.serial.clone(), alert: self.case.alert() }
    }

    pub(crate) const fn case_mut(&mut self) -> &mut C {
        &mut self.case
    }

    /// The validation is over.
    pub(crate) fn over(self) -> (C, String) {
        (self.case, self.regained.serial)
    }
}
