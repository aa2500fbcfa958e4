//! Rules over a run's history, as data, and the tally they are checked against.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::scenario::Verdict;

/// A rule. Steps are named by their names, facts by labels `step:ending` or `question:choice`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Guard {
    /// The step is intended at most once per subject and epoch, across runs, unless an intent was proven absent.
    Once {
        /// The step.
        step: String,
    },
    /// The step is intended at most this often in a run, whatever came of it.
    AtMost {
        /// The step.
        step: String,
        /// How often.
        count: u32,
    },
    /// The step is intended only if the other one has happened.
    Before {
        /// What must have happened, in any of its endings.
        first: String,
        /// The step.
        then: String,
    },
    /// The step is intended only if one of the facts holds, and was established after every one of `since` last happened.
    OnlyAfter {
        /// The step.
        step: String,
        /// Any one of these labels.
        facts: Vec<String>,
        /// Steps (by intent) or labels that make the fact stale.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        since: Vec<String>,
    },
    /// The step is not intended once the fact is known.
    NeverAfter {
        /// The step.
        step: String,
        /// The label.
        fact: String,
    },
    /// The step is never intended.
    Never {
        /// The step.
        step: String,
    },
    /// Each intent of the step that was not refused is settled by one of these labels before the step is intended again.
    Settled {
        /// The step.
        step: String,
        /// The labels.
        by: Vec<String>,
    },
    /// The run ends with this verdict only if the fact holds, and was established after every one of `since` last happened.
    Verdict {
        /// The verdict.
        verdict: Verdict,
        /// The label.
        fact: String,
        /// Steps or labels that make the fact stale.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        since: Vec<String>,
    },
}

/// A guard said no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guard {guard:?} does not allow {what}")]
pub struct Breach {
    /// The guard.
    pub guard: Guard,
    /// What was about to be written.
    pub what: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Count {
    intents: u32,
    refused: u32,
    happened: u32,
    /// The position of the last intent of a step, or of a fact; 0 is never.
    last: u32,
    /// The position of the last intent that was not refused.
    standing: u32,
}

/// What guards need of a history: counts and last positions by step and by label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tally {
    clock: u32,
    names: BTreeMap<Box<str>, Count>,
}

impl Tally {
    fn count(&self, name: &str) -> Count {
        self.names.get(name).copied().unwrap_or_default()
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Count)) {
        if let Some(count) = self.names.get_mut(name) {
            return change(count);
        }
        let mut count = Count::default();
        change(&mut count);
        self.names.insert(name.into(), count);
    }

    /// How often a step was intended in this run.
    #[must_use]
    pub fn intents(&self, step: &str) -> u32 {
        self.count(step).intents
    }

    /// Whether a label was ever noted.
    #[must_use]
    pub fn knows(&self, label: &str) -> bool {
        self.count(label).last > 0
    }

    /// Notes an intent.
    pub fn intent(&mut self, step: &str) {
        self.clock += 1;
        let clock = self.clock;
        self.change(step, |count| {
            count.intents += 1;
            count.last = clock;
            count.standing = clock;
        });
    }

    /// Notes what came of the step's last intent.
    pub fn outcome(&mut self, step: &str, label: &str, refused: bool) {
        self.change(step, |count| {
            if refused {
                count.refused += 1;
                count.standing = 0;
            } else {
                count.happened += 1;
            }
        });
        self.fact(label);
    }

    /// Notes an answer, an expiry or a cancel.
    pub fn fact(&mut self, label: &str) {
        self.clock += 1;
        let clock = self.clock;
        self.change(label, |count| count.last = clock);
    }

    fn fresh(&self, facts: &[String], since: &[String]) -> bool {
        let stale = since.iter().map(|name| self.count(name).last).max().unwrap_or_default();
        facts.iter().any(|fact| self.count(fact).last > stale)
    }

    fn settled(&self, step: &str, by: &[String]) -> bool {
        let standing = self.count(step).standing;
        standing == 0 || by.iter().any(|label| self.count(label).last > standing)
    }

    /// Whether the step may be intended now.
    ///
    /// # Errors
    /// The first guard that forbids it.
    pub fn allows(&self, guards: &[Guard], step: &str) -> Result<(), Breach> {
        let ok = |guard: &Guard| match guard {
            Guard::Once { step: s } => s != step || self.count(s).intents == self.count(s).refused,
            Guard::AtMost { step: s, count } => s != step || self.count(s).intents < *count,
            Guard::Before { first, then } => then != step || self.count(first).happened > 0,
            Guard::OnlyAfter { step: s, facts, since } => s != step || self.fresh(facts, since),
            Guard::NeverAfter { step: s, fact } => s != step || !self.knows(fact),
            Guard::Never { step: s } => s != step,
            Guard::Settled { step: s, by } => s != step || self.settled(s, by),
            Guard::Verdict { .. } => true,
        };
        match guards.iter().find(|guard| !ok(guard)) {
            Some(guard) => Err(Breach { guard: guard.clone(), what: format!("an intent of {step}") }),
            None => Ok(()),
        }
    }

    /// Whether the run may end so.
    ///
    /// # Errors
    /// The first guard that forbids it.
    pub fn allows_verdict(&self, guards: &[Guard], verdict: Verdict) -> Result<(), Breach> {
        let ok = |guard: &Guard| match guard {
            Guard::Verdict { verdict: v, fact, since } => {
                *v != verdict || self.fresh(std::slice::from_ref(fact), since)
            }
            Guard::Once { .. }
            | Guard::AtMost { .. }
            | Guard::Before { .. }
            | Guard::OnlyAfter { .. }
            | Guard::NeverAfter { .. }
            | Guard::Never { .. }
            | Guard::Settled { .. } => true,
        };
        match guards.iter().find(|guard| !ok(guard)) {
            Some(guard) => Err(Breach { guard: guard.clone(), what: format!("the verdict {}", verdict.as_str()) }),
            None => Ok(()),
        }
    }

    /// All that these guards can tell of this history. Two histories with the same view are treated alike for ever: each
    /// part of it changes only by what comes next.
    #[must_use]
    pub fn view(&self, guards: &[Guard]) -> Vec<u32> {
        guards
            .iter()
            .map(|guard| match guard {
                Guard::Once { step } => self.count(step).intents - self.count(step).refused,
                Guard::AtMost { step, count } => self.count(step).intents.min(*count),
                Guard::Before { first, .. } => self.count(first).happened.min(1),
                Guard::OnlyAfter { facts, since, .. } => u32::from(self.fresh(facts, since)),
                Guard::NeverAfter { fact, .. } => u32::from(self.knows(fact)),
                Guard::Never { .. } => 0,
                Guard::Settled { step, by } => u32::from(self.settled(step, by)),
                Guard::Verdict { fact, since, .. } => u32::from(self.fresh(std::slice::from_ref(fact), since)),
            })
            .collect()
    }
}
