//! The states. Each is a struct with private fields: its consuming methods are the only doors to the next.

use std::collections::VecDeque;

use recover_engine::{Ending, Verdict};
use recover_steps::kms::Node;

use super::Event;
use super::case::{Case, Finding};
use super::class::Class;
use super::look::{Layer, Look};
use super::params::Params;
use super::task::{Task, validation};

/// Why a cancelled run ends.
pub(super) const CANCELLED: &str = "a person cancelled the run";

/// Where a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is named after the documented state it wraps")]
pub enum State {
    Looking(Looking),
    Doubting(Doubting),
    Working(Working),
    Returning(Returning),
    Closed(Ending),
}

/// The survey: layer by layer, at every node, until a layer fails. Nothing has been changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looking {
    case: Case,
    look: Look,
    /// The rest of this layer.
    rest: VecDeque<Look>,
    /// The layers after it.
    layers: &'static [Layer],
    /// What is this procedure's case, of this layer.
    found: Option<Finding>,
    /// Where else it is.
    others: Vec<Look>,
    /// What is another's.
    other: Option<Class>,
}

/// What comes after a look of the survey.
pub(super) enum Onward {
    /// The next look.
    Look(Looking),
    /// The layer fails, and this procedure mends it.
    Found(Case, Finding, Vec<Look>),
    /// The layer fails, and it is another's case.
    Other(Case, Class),
    /// Nothing fails.
    Well(Case),
}

impl Looking {
    /// The first look.
    pub(super) fn first(params: Params, layers: &'static [Layer]) -> Onward {
        layer(Case::new(params), layers)
    }

    /// What is looked at.
    #[must_use]
    pub const fn look(&self) -> &Look {
        &self.look
    }

    /// What the run knows.
    #[must_use]
    pub const fn case(&self) -> &Case {
        &self.case
    }

    /// It was seen so.
    pub(super) fn learned(mut self, event: &Event, changes: &[&str]) -> Self {
        self.case.learn(&self.look, event, changes);
        self
    }

    /// It is as it must be.
    pub(super) fn fine(self) -> Onward {
        self.onward()
    }

    /// It is this procedure's case.
    pub(super) fn mine(mut self, finding: Finding, class: Option<Class>) -> Onward {
        if self.found.is_some() {
            self.others.push(finding.look);
        } else {
            self.found = Some(finding);
            self.case.named = class.and_then(|class| class.row);
        }
        self.onward()
    }

    /// It is another's.
    pub(super) fn others(mut self, class: Class) -> Onward {
        self.other.get_or_insert(class);
        self.onward()
    }

    /// Nothing recorded tells whether it is right: a person does.
    pub(super) fn doubts(self) -> Doubting {
        Doubting { looking: self }
    }

    /// The end without a change.
    pub(super) fn ends(self, ending: Ending) -> State {
        State::Closed(ending)
    }

    fn onward(mut self) -> Onward {
        match self.rest.pop_front() {
            Some(look) => Onward::Look(Self { look, ..self }),
            None => match (self.found, self.other) {
                (Some(first), _) => Onward::Found(self.case, first, self.others),
                (None, Some(class)) => Onward::Other(self.case, class),
                (None, None) => layer(self.case, self.layers),
            },
        }
    }
}

fn layer(case: Case, layers: &'static [Layer]) -> Onward {
    let Some((first, layers)) = layers.split_first() else { return Onward::Well(case) };
    let mut rest = VecDeque::from(first.looks(case.nodes()));
    match rest.pop_front() {
        Some(look) => Onward::Look(Looking { case, look, rest, layers, found: None, others: Vec::new(), other: None }),
        None => layer(case, layers),
    }
}

/// Nothing recorded tells whether the key is the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubting {
    looking: Looking,
}

impl Doubting {
    /// What the run knows.
    #[must_use]
    pub const fn case(&self) -> &Case {
        &self.looking.case
    }

    /// A person says that it is: it is read again.
    pub(super) fn vouched(mut self) -> Looking {
        self.looking.case.vouched = true;
        self.looking
    }

    /// The end without a change.
    pub(super) fn ends(self, ending: Ending) -> State {
        State::Closed(ending)
    }
}

/// The failing layer is named, and is mended: one task after another, at one node after another. Then it is validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Working {
    case: Case,
    task: Task,
    rest: VecDeque<Task>,
    validating: bool,
}

impl Working {
    /// The layer is named: the work begins.
    pub(super) fn begin(mut case: Case, tasks: Vec<Task>) -> State {
        case.planned();
        onward(case, tasks.into(), false)
    }

    /// What is done.
    #[must_use]
    pub const fn task(&self) -> &Task {
        &self.task
    }

    /// What the run knows and has done.
    #[must_use]
    pub const fn case(&self) -> &Case {
        &self.case
    }

    pub(super) const fn case_mut(&mut self) -> &mut Case {
        &mut self.case
    }

    /// Whether all is mended, and only looked at any more.
    #[must_use]
    pub const fn validating(&self) -> bool {
        self.validating
    }

    /// It is done.
    pub(super) fn done(self) -> State {
        onward(self.case, self.rest, self.validating)
    }

    /// These come in its place.
    pub(super) fn instead(self, tasks: Vec<Task>) -> State {
        let mut queue = VecDeque::from(tasks);
        queue.extend(self.rest);
        onward(self.case, queue, self.validating)
    }

    /// An end before all is mended. What was stopped for a moment is started again first.
    pub(super) fn ends(self, verdict: Verdict, reason: impl Into<String>, suggested: Option<&'static str>) -> State {
        let reason = reason.into();
        match self.case.to_start().cloned() {
            Some(node) => State::Returning(Returning { case: self.case, node, verdict, reason, suggested }),
            None => State::Closed(ending(&self.case, verdict, reason, suggested)),
        }
    }
}

fn ending(case: &Case, verdict: Verdict, reason: String, suggested: Option<&'static str>) -> Ending {
    Ending { suggested: suggested.map(Into::into), ..case.ending(verdict, reason) }
}

fn onward(case: Case, mut queue: VecDeque<Task>, validating: bool) -> State {
    while let Some(task) = queue.pop_front() {
        if !task.spared(&case) {
            return State::Working(Working { case, task, rest: queue, validating });
        }
    }
    if validating {
        let row = case.named.map_or_else(String::new, |row| format!(" ({row})"));
        let reason = format!(
            "what failed{row} is mended: every provider serves, and old objects were read through the API server"
        );
        return State::Closed(case.ending(Verdict::Recovered, reason));
    }
    let tasks = validation(case.nodes());
    onward(case, tasks.into(), true)
}

/// The run ends, and what it stopped for a moment is started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returning {
    case: Case,
    node: Node,
    verdict: Verdict,
    reason: String,
    suggested: Option<&'static str>,
}

impl Returning {
    /// The node whose provider is started.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// A person wants to stop: the way back is gone to its end.
    pub(super) fn cancelled(self) -> State {
        State::Returning(Self { verdict: Verdict::Cancelled, reason: CANCELLED.into(), suggested: None, ..self })
    }

    /// It was started, or could not be.
    pub(super) fn went(mut self, why_not: Option<&str>) -> State {
        self.case.went_back(&self.node, why_not);
        match self.case.to_start().cloned() {
            Some(node) => State::Returning(Self { node, ..self }),
            None => State::Closed(ending(&self.case, self.verdict, self.reason, self.suggested)),
        }
    }
}
