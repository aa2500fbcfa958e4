//! A failing list of decisions made short: what is cut off or made calm and still breaks the same invariant stays so.

use crate::broken::Invariant;
use crate::choices::Choices;
use crate::sim::{Setup, play};

/// Simulations that a shrink may take.
const TRIES_MAX: u32 = 6_000;

struct Shrink<'a> {
    setup: &'a Setup,
    invariant: Invariant,
    best: Vec<u32>,
    tries: u32,
}

/// The shortest and calmest decisions found that break this invariant.
pub(crate) fn shrink(setup: &Setup, decisions: Vec<u32>, invariant: Invariant) -> Vec<u32> {
    let mut shrink = Shrink { setup, invariant, best: decisions, tries: 0 };
    loop {
        let before = shrink.best.clone();
        shrink.shorter();
        shrink.each_block(|list, at, end| list[at..end].fill(0));
        shrink.each_block(|list, at, end| drop(list.drain(at..end)));
        if shrink.best == before || shrink.tries >= TRIES_MAX {
            return shrink.best;
        }
    }
}

impl Shrink<'_> {
    /// Takes the list if it breaks the same.
    fn take(&mut self, mut list: Vec<u32>) -> bool {
        // A list that is over goes on calmly, so calm decisions at its end say nothing.
        while list.last() == Some(&0) {
            list.pop();
        }
        if list == self.best || self.tries >= TRIES_MAX {
            return false;
        }
        self.tries += 1;
        let broken = play(self.setup, Choices::of_list(list.clone()), false).broken;
        let same = broken.is_some_and(|broken| broken.invariant == self.invariant);
        if same {
            self.best = list;
        }
        same
    }

    /// The shortest beginning that does, as far as halving finds it.
    fn shorter(&mut self) {
        let mut cut = self.best.len();
        while cut > 0 {
            let len = self.best.len().saturating_sub(cut);
            let list = self.best[..len].to_vec();
            if !self.take(list) {
                cut /= 2;
            }
        }
    }

    /// Every block of every size, from half of the list down to one decision, made less by `change`.
    fn each_block(&mut self, change: impl Fn(&mut Vec<u32>, usize, usize)) {
        let mut size = self.best.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < self.best.len() {
                let mut list = self.best.clone();
                let end = (at + size).min(list.len());
                change(&mut list, at, end);
                let shortened = list.len() < self.best.len();
                if !(self.take(list) && shortened) {
                    at += size;
                }
            }
            size /= 2;
        }
    }
}
