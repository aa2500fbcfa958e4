//! One run's history as it reaches the disk, folded and judged a second time: by `advance` from the records' own bytes, by the
//! typed machine beside it, and by its guards in plain code.

use std::sync::Arc;

use recover_engine::{Charter, Entry, Guard, Kind, Machine, Phase, Position, Record, Verdict, input_of};

use crate::broken::{Broken, Invariant};
use crate::oracle::Oracle;

/// What a guard can read of a history.
#[derive(Clone, Debug)]
enum Fact {
    Intent(String),
    Came { step: String, label: String, refused: bool },
    Word(String),
}

/// A run, as its records tell it.
pub(crate) struct Watch {
    pub(crate) position: Position,
    pub(crate) machine: Box<dyn Machine>,
    facts: Vec<Fact>,
    /// The rules of `identity-loss`, written apart from the guards.
    oracle: Option<Oracle>,
}

impl Watch {
    /// From the first record.
    pub(crate) fn begin(first: &Entry, charter: Arc<Charter>, machine: Box<dyn Machine>) -> Result<Self, Broken> {
        let oracle = (charter.begun.scenario == "identity-loss").then(Oracle::default);
        let position = Position::begin(first.header(), first.hash(), charter)
            .map_err(|e| Broken::new(Invariant::Legal, e.to_string()))?;
        Ok(Self { position, machine, facts: Vec::new(), oracle })
    }

    /// Whether it is closed, and how.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        match &self.position.phase {
            Phase::Closed(ending) => Some(ending.verdict),
            _ => None,
        }
    }

    /// The next record, read from its bytes.
    pub(crate) fn take(&mut self, entry: &Entry) -> Result<Record, Broken> {
        let header = entry.header();
        if self.verdict().is_some() {
            return Err(Broken::new(Invariant::AfterTheEnd, format!("a record of kind {}", header.kind.as_str())));
        }
        let illegal = |e: String| Broken::new(Invariant::Legal, e);
        let record = Record::parse(header.kind, entry.payload()).map_err(|e| illegal(e.to_string()))?;
        self.judge(&record)?;
        let step = match &self.position.phase {
            Phase::Open(open) => open.intent.step.clone(),
            _ => String::new(),
        };
        let input = input_of(&record);
        self.position.advance(header, entry.hash(), record.clone()).map_err(|e| illegal(e.to_string()))?;
        if let Some(input) = input {
            self.machine.apply(&step, &input).map_err(|e| illegal(e.to_string()))?;
        }
        let closed = header.kind == Kind::Closed;
        if !closed && self.machine.state() != self.position.state {
            return Err(illegal(format!("machine in {}, history in {}", self.machine.state(), self.position.state)));
        }
        Ok(record)
    }

    fn judge(&mut self, record: &Record) -> Result<(), Broken> {
        let breach = |what: String| Broken::new(Invariant::Guards, what);
        let guards = Arc::clone(&self.position.charter.guards);
        let open = match &self.position.phase {
            Phase::Open(open) => Some(open.intent.step.clone()),
            _ => None,
        };
        let came = |label: &String, refused| match open {
            Some(step) => Fact::Came { step, label: label.clone(), refused },
            None => Fact::Word(label.clone()),
        };
        let fact = match record {
            Record::Intent(intent) => {
                if let Some(guard) = guards.iter().find(|guard| !self.allows(guard, &intent.step)) {
                    return Err(breach(format!("an intent of {} in spite of {guard:?}", intent.step)));
                }
                Some(Fact::Intent(intent.step.clone()))
            }
            Record::Outcome(outcome) => Some(came(&outcome.label, outcome.refused.is_some())),
            Record::Resolved(resolved) => Some(came(&resolved.label, resolved.event.is_none())),
            Record::Answered(answered) | Record::Denied(answered) => Some(Fact::Word(answered.label.clone())),
            Record::CancelRequested(_) => Some(Fact::Word("cancel".into())),
            Record::Closed(ending) => {
                if let Some(guard) = guards.iter().find(|guard| !self.allows_verdict(guard, ending.verdict)) {
                    return Err(breach(format!("the verdict {} in spite of {guard:?}", ending.verdict.as_str())));
                }
                None
            }
            _ => None,
        };
        self.facts.extend(fact);
        match &mut self.oracle {
            Some(oracle) => oracle.judge(record).map_err(breach),
            None => Ok(()),
        }
    }

    /// Where a step was last intended, or a label last came.
    fn last(&self, name: &str) -> Option<usize> {
        self.facts.iter().rposition(|fact| match fact {
            Fact::Intent(step) => step == name,
            Fact::Came { label, .. } | Fact::Word(label) => label == name,
        })
    }

    fn fresh(&self, facts: &[String], since: &[String]) -> bool {
        facts
            .iter()
            .filter_map(|fact| self.last(fact))
            .any(|at| since.iter().all(|stale| self.last(stale).is_none_or(|then| then < at)))
    }

    /// The intents of a step that were not refused.
    fn standing(&self, wanted: &str) -> Vec<usize> {
        let mut standing = Vec::new();
        for (at, fact) in self.facts.iter().enumerate() {
            match fact {
                Fact::Intent(step) if step == wanted => standing.push(at),
                Fact::Came { step, refused: true, .. } if step == wanted => {
                    standing.pop();
                }
                _ => {}
            }
        }
        standing
    }

    fn allows(&self, guard: &Guard, wanted: &str) -> bool {
        let intents = || self.facts.iter().filter(|fact| matches!(fact, Fact::Intent(step) if step == wanted)).count();
        let happened = |first: &str| {
            self.facts.iter().any(|f| matches!(f, Fact::Came { step, refused: false, .. } if step == first))
        };
        match guard {
            Guard::Once { step } => step != wanted || self.standing(wanted).is_empty(),
            Guard::AtMost { step, count } => step != wanted || intents() < *count as usize,
            Guard::Before { first, then } => then != wanted || happened(first),
            Guard::OnlyAfter { step, facts, since } => step != wanted || self.fresh(facts, since),
            Guard::NeverAfter { step, fact } => step != wanted || self.last(fact).is_none(),
            Guard::Never { step } => step != wanted,
            Guard::Settled { step, by } => {
                let settled = |at: usize| by.iter().any(|label| self.last(label).is_some_and(|then| then > at));
                step != wanted || self.standing(wanted).into_iter().all(settled)
            }
            Guard::Verdict { .. } => true,
        }
    }

    fn allows_verdict(&self, guard: &Guard, wanted: Verdict) -> bool {
        match guard {
            Guard::Verdict { verdict, fact, since } => {
                *verdict != wanted || self.fresh(std::slice::from_ref(fact), since)
            }
            _ => true,
        }
    }
}
