//! What the outside saw: every act that reached it, judged at the instant at which it did.

use std::cell::RefCell;
use std::collections::BTreeSet;

use recover_engine::{Kind, Performed, Record, RunId};

use crate::checked::{Onlooker, Sight};
use crate::journal::MemoryJournal;
use crate::site::{Dir, Ground, Site};
use crate::world::State;

/// The id of the directory that holds the lost identity, wherever it is moved to.
const ORIGINAL: u32 = 2;

/// What one run did outside, through all its processes.
#[derive(Clone, Debug, Default)]
struct Deeds {
    mints: u32,
    reattached: bool,
    /// The tokens that stood in the control plane's list when everything live was last revoked.
    listed: BTreeSet<String>,
}

/// How much of what must be judged ever came up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) mints: u32,
    /// Those after another one of the same run.
    pub(crate) second_mints: u32,
    pub(crate) starts: u32,
    pub(crate) moves: u32,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.mints += other.mints;
        self.second_mints += other.second_mints;
        self.starts += other.starts;
        self.moves += other.moves;
    }
}

/// See the file's first line.
#[derive(Debug)]
pub(crate) struct Judge {
    deeds: RefCell<Deeds>,
    asks_first: bool,
    /// Pairings for this loss before the run began.
    pairs: u32,
    /// The directory on which the run found the workload running: to start it there again, without a new identity, is to put
    /// it back as it was found.
    ran_on: Option<u32>,
    /// What people were recorded to have answered in this run.
    words: RefCell<BTreeSet<String>>,
    /// Runs of which a person said what came of an effect without having looked, or that a person abandoned: what arrives from
    /// them afterwards is that person's.
    pub(crate) excused: BTreeSet<String>,
    pub(crate) breaches: RefCell<Vec<String>>,
    pub(crate) seen: RefCell<Seen>,
}

impl Judge {
    pub(crate) fn new(asks_first: bool, state: &State) -> Self {
        Self {
            deeds: RefCell::default(),
            asks_first,
            pairs: state.authority.pairs,
            ran_on: ran_on(state),
            words: RefCell::default(),
            excused: BTreeSet::new(),
            breaches: RefCell::default(),
            seen: RefCell::default(),
        }
    }

    /// Another run begins on what the one before left.
    pub(crate) fn another_run(&mut self, state: &State) {
        self.deeds = RefCell::default();
        self.words = RefCell::default();
        self.pairs = state.authority.pairs;
        self.ran_on = ran_on(state);
    }

    /// What people said so far, from the bytes of the records: that they said it, and not whether it was enough.
    fn hear(&self, journal: &MemoryJournal, run: RunId) {
        let answers = journal.all().into_iter().filter(|e| e.header().run == run && e.header().kind == Kind::Answered);
        for entry in answers {
            if let Ok(Record::Answered(answer)) = Record::parse(Kind::Answered, entry.payload()) {
                self.words.borrow_mut().insert(answer.label);
            }
        }
    }

    fn approved(&self, question: &str) -> bool {
        self.words.borrow().contains(&format!("{question}:approve"))
    }

    fn breach(&self, what: impl Into<String>) {
        self.breaches.borrow_mut().push(what.into());
    }

    /// N8, at the instant at which the request to mint leaves.
    fn judge_mint(&self, before: &State, now: i64) {
        let deeds = self.deeds.borrow();
        let site = &before.site;
        let lost = &before.authority.serial;
        let spoilt = site.original_dead && site.target.id == ORIGINAL;
        if site.target.serial.as_ref() == Some(lost) && !spoilt {
            self.breach("N8: minted while the identity is usable");
        }
        if site.target.serial.as_ref() == Some(lost) && !self.approved("original-unrecoverable") {
            self.breach("N8: minted while the identity's own storage is attached, and nobody gave it up");
        }
        if let Some(original) = site.original.as_ref().filter(|dir| dir.serial.as_ref() == Some(lost)) {
            if !self.approved("original-unrecoverable") {
                self.breach(format!("N8: minted while the original is there, unasked: {original:?}"));
            }
            if !site.unreadable && !deeds.reattached {
                self.breach("N8: minted before reattaching the original was tried");
            }
        }
        // Whatever is on its way arrives now: then nothing may work, and nothing may have been paired.
        let mut later = before.clone();
        later.settle(now);
        let own = |accessor: &str| {
            let label = later.authority.token(accessor).map(|token| token.label.clone()).unwrap_or_default();
            deeds.listed.contains(accessor) || !self.excused.iter().any(|run| label.starts_with(run.as_str()))
        };
        if let Some(token) = later.authority.live(now).find(|token| own(&token.accessor)) {
            self.breach(format!("N8: minted while an earlier token may work: {token:?}"));
        }
        if later.authority.pairs > self.pairs && self.excused.is_empty() {
            self.breach("N8: minted while a pairing is in doubt, or done");
        }
        // Whoever gives the original up is told that the identity is replaced then.
        if self.asks_first && !self.approved("reprovision") && !self.approved("original-unrecoverable") {
            self.breach("N8: minted where a person must be asked first, unasked");
        }
        self.judge_ground(site, "minted", false);
        if deeds.mints >= 3 {
            self.breach("N8: a fourth mint in one run");
        }
    }

    /// N9, at the instant at which the workload gets a new life.
    fn judge_ground(&self, site: &Site, what: &str, as_found: bool) {
        // The original stands on a disk of its own, wherever it is mounted.
        if site.target.id == ORIGINAL {
            return;
        }
        match site.ground {
            Ground::Durable => {}
            Ground::Refuted => self.breach(format!("N9: {what} on storage that is refuted")),
            Ground::Undecided if self.approved("storage-durable") || as_found => {}
            Ground::Undecided => {
                self.breach(format!("N9: {what} on storage that cannot be told, and nobody was asked"))
            }
        }
    }

    /// N9: what held an identity is still there, with that identity.
    fn judge_directories(&self, step: &str, before: &Site, after: &Site) {
        let after = directories(after);
        for dir in directories(before) {
            // A connector that kept a key when it presented a token fetches what was issued to it as soon as it starts.
            let fetches = dir.key_for.is_some() && matches!(step, "start" | "restart");
            let kept = after.iter().any(|now| now.id == dir.id && (now.serial == dir.serial || fetches));
            if dir.serial.is_some() && !kept {
                self.breach(format!("N9: {step} lost the directory {dir:?}"));
            }
        }
    }
}

fn ran_on(state: &State) -> Option<u32> {
    state.site.running.map(|_| state.site.target.id)
}

fn directories(site: &Site) -> Vec<&Dir> {
    [Some(&site.target), site.original.as_ref(), site.displaced.as_ref(), site.aside.as_ref()]
        .into_iter()
        .flatten()
        .chain(&site.kept)
        .collect()
}

impl Onlooker for Judge {
    fn saw(&self, sight: &Sight<'_>) {
        let Sight { act, before, after, came, now, journal } = *sight;
        let step = act.doing.step;
        self.hear(journal, act.run);
        // The simulated outside itself starts what was to be proven stopped.
        let by_somebody_else = step == "prove-stopped";
        if after.site.lives > before.site.lives && !by_somebody_else {
            let back = step == "start" && Some(after.site.target.id) == self.ran_on;
            self.judge_ground(&after.site, "started", back);
            self.seen.borrow_mut().starts += 1;
        }
        self.judge_directories(step, &before.site, &after.site);
        match step {
            // What was surely not done minted nothing.
            "mint" if !matches!(came, Performed::Retry { .. } | Performed::Refused(_)) => {
                self.judge_mint(before, now);
                let mut seen = self.seen.borrow_mut();
                seen.mints += 1;
                seen.second_mints += u32::from(self.deeds.borrow().mints > 0);
                self.deeds.borrow_mut().mints += 1;
            }
            "reattach" | "detach" | "set-aside" | "put-back" => {
                self.deeds.borrow_mut().reattached |= step == "reattach";
                self.seen.borrow_mut().moves += 1;
            }
            "revoke-stale" => {
                let listed = before.authority.tokens.iter().map(|token| token.accessor.clone()).collect();
                self.deeds.borrow_mut().listed = listed;
            }
            _ => {}
        }
    }
}
