//! What became of each change: found, tolerated, without meaning, or silent. And how many of them are tried.

use std::collections::BTreeMap;

/// What became of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// Said to be wrong, and what was read is right as far as it goes.
    Found,
    /// A frame that was never acknowledged was cut short.
    TornTail,
    /// It changed nothing that means anything: every answer is the same.
    Same,
    /// Answers changed, and nothing was said.
    Silent,
}

/// How many of each.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    fates: BTreeMap<Fate, usize>,
    /// The first few that were silent, in words.
    pub(crate) silent: Vec<String>,
    pub(crate) tried: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, fate: Fate, case: impl FnOnce() -> String) {
        self.tried += 1;
        *self.fates.entry(fate).or_default() += 1;
        if fate == Fate::Silent && self.silent.len() < 10 {
            self.silent.push(case());
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.tried += other.tried;
        self.silent.extend(other.silent);
        for (fate, n) in other.fates {
            *self.fates.entry(fate).or_default() += n;
        }
    }

    pub(crate) fn of(&self, fate: Fate) -> usize {
        self.fates.get(&fate).copied().unwrap_or(0)
    }
}

/// Of so many, one is tried; in the lane every one.
pub(crate) fn stride(sample: usize) -> usize {
    match std::env::var("RECOVER_LANE").as_deref() {
        Ok("bounded" | "full") => 1,
        _ => sample,
    }
}
