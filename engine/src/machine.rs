//! A scenario without its type: names and JSON. Erased once, at the registry; everything above works on this.

use crate::effect::{Doing, Outcome, StepSet, Told};
use crate::guard::Guard;
use crate::json::Json;
use crate::scenario::{Illegal, Input, Next, Scenario};

/// A scenario's state without its type.
pub trait Machine: Send {
    /// The scenario's name.
    fn scenario(&self) -> &'static str;
    /// The name of the state.
    fn state(&self) -> &'static str;
    /// What the state asks for.
    fn next(&self) -> Next<Doing>;
    /// Takes an input that came from the step of this name (empty for the others).
    ///
    /// # Errors
    /// [`Illegal`] if the state does not take it, or an event's JSON is not of the step's type; the state is unchanged.
    fn apply(&mut self, step: &str, input: &Input<Told>) -> Result<(), Illegal>;
    /// See [`Scenario::epoch`].
    fn epoch(&self) -> Option<&str>;
    /// See [`Scenario::committed`].
    fn committed(&self) -> bool;
    /// Equal for equal states.
    fn fingerprint(&self) -> String;
    /// A copy.
    fn boxed_clone(&self) -> Box<dyn Machine>;
    /// The endings of the step it asks for, empty if it asks for none.
    fn endings(&self) -> Vec<Outcome<Told>>;
}

struct Erased<S>(S);

impl<S: Scenario> Machine for Erased<S> {
    fn scenario(&self) -> &'static str {
        S::NAME
    }

    fn state(&self) -> &'static str {
        self.0.state()
    }

    fn next(&self) -> Next<Doing> {
        match self.0.next() {
            Next::Do(step) => Next::Do(step.doing()),
            Next::Wait(wait) => Next::Wait(wait),
            Next::Ask(question) => Next::Ask(question),
            Next::Done(ending) => Next::Done(ending),
        }
    }

    fn apply(&mut self, step: &str, input: &Input<Told>) -> Result<(), Illegal> {
        let typed = match input {
            Input::Outcome(Outcome::Happened(told)) => Input::Outcome(Outcome::Happened(
                S::Step::event(step, told).map_err(|why| Illegal::new(self.0.state(), why))?,
            )),
            Input::Outcome(Outcome::Refused(reason)) => Input::Outcome(Outcome::Refused(reason.clone())),
            Input::Answer(choice) => Input::Answer(choice.clone()),
            Input::Expired => Input::Expired,
            Input::Cancel => Input::Cancel,
        };
        self.0 = self.0.clone().apply(&typed)?;
        Ok(())
    }

    fn epoch(&self) -> Option<&str> {
        self.0.epoch()
    }

    fn committed(&self) -> bool {
        self.0.committed()
    }

    fn fingerprint(&self) -> String {
        format!("{:?}", self.0)
    }

    fn boxed_clone(&self) -> Box<dyn Machine> {
        Box::new(Self(self.0.clone()))
    }

    fn endings(&self) -> Vec<Outcome<Told>> {
        match self.0.next() {
            Next::Do(step) => step.endings(),
            Next::Wait(_) | Next::Ask(_) | Next::Done(_) => Vec::new(),
        }
    }
}

/// What the registry holds of one scenario.
#[derive(Clone, Copy)]
pub struct Entry {
    /// [`Scenario::NAME`].
    pub name: &'static str,
    /// [`Scenario::VERSION`].
    pub version: u16,
    /// [`Scenario::TITLE`].
    pub title: &'static str,
    begin: fn(&Json) -> Result<Box<dyn Machine>, serde_json::Error>,
    guards: fn() -> Vec<Guard>,
    samples: fn() -> Vec<Json>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}

impl Entry {
    /// The registry's entry of a scenario.
    #[must_use]
    pub const fn of<S: Scenario>() -> Self {
        Self {
            name: S::NAME,
            version: S::VERSION,
            title: S::TITLE,
            begin: |params| Ok(Box::new(Erased(S::begin(params.to()?)))),
            guards: S::guards,
            samples: || S::samples().iter().map(Json::of).collect(),
        }
    }

    /// The scenario in its first state.
    ///
    /// # Errors
    /// If the parameters are not of the scenario's type.
    pub fn begin(&self, params: &Json) -> Result<Box<dyn Machine>, serde_json::Error> {
        (self.begin)(params)
    }

    /// The scenario's guards.
    #[must_use]
    pub fn guards(&self) -> Vec<Guard> {
        (self.guards)()
    }

    /// See [`Scenario::samples`].
    #[must_use]
    pub fn samples(&self) -> Vec<Json> {
        (self.samples)()
    }
}
