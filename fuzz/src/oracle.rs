//! The rules of `identity-loss` in plain code, written apart from the engine's guards: what they must never have let pass.

use std::collections::HashMap;

use recover_engine::{Record, Verdict};

/// Watches the records of one run.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    clock: u32,
    /// When each label and each intent (by the step's name) was last seen.
    last: HashMap<String, u32>,
    open: Option<String>,
    mints: u32,
    /// Pairings intended and not known to have surely failed.
    pairings: u32,
    /// A minted token that may still work.
    token: bool,
    closed: bool,
}

impl Oracle {
    fn seen(&self, name: &str) -> u32 {
        self.last.get(name).copied().unwrap_or_default()
    }

    fn after(&self, fact: &str, since: &[&str]) -> bool {
        let fact = self.seen(fact);
        fact > 0 && since.iter().all(|name| self.seen(name) < fact)
    }

    fn note(&mut self, name: &str) {
        self.clock += 1;
        self.last.insert(name.to_owned(), self.clock);
    }

    /// Takes an accepted record, and panics if it should not have been.
    pub fn accept(&mut self, record: &Record) {
        assert!(!self.closed, "a record after the end: {record:?}");
        match record {
            Record::Intent(intent) => {
                assert!(self.open.is_none(), "two intents are open");
                self.check_intent(&intent.step);
                self.note(&intent.step);
                self.open = Some(intent.step.clone());
            }
            Record::Outcome(outcome) => self.happened(&outcome.label, outcome.refused.is_some()),
            Record::Resolved(resolved) => self.happened(&resolved.label, resolved.event.is_none()),
            Record::Answered(answered) | Record::Denied(answered) => self.note(&answered.label),
            Record::CancelRequested(_) => assert!(self.open.is_none(), "cancelled in the middle of an effect"),
            Record::Closed(ending) => {
                self.closed = true;
                assert!(!ending.reason.is_empty(), "a silent end");
                if ending.verdict == Verdict::Recovered {
                    assert!(self.after("validate:validated", &["restart", "start", "stop"]), "not validated");
                    assert!(self.seen("restart") > 0, "recovered without a restart");
                }
            }
            Record::Fenced(_) | Record::Attempt(_) => assert!(self.open.is_some(), "nothing is open"),
            Record::Begun(_)
            | Record::Waiting(_)
            | Record::Asked(_)
            | Record::Adopted(_)
            | Record::Salvaged(_)
            | Record::Cleared(_) => {}
        }
    }

    fn check_intent(&mut self, step: &str) {
        let stopped =
            |since: &[&str]| assert!(self.after("prove-stopped:stopped", since), "{step}: not proven stopped");
        match step {
            "pair" => {
                stopped(&["start", "restart", "mint"]);
                assert!(self.after("mint:minted", &["revoke-orphan"]), "no token to pair with");
                self.pairings += 1;
                assert!(self.pairings <= 1, "a second pairing while one may have happened");
            }
            "mint" => {
                stopped(&["start", "restart", "pair", "revoke-stale"]);
                self.mints += 1;
                assert!(self.mints <= 3, "more than three mints");
                assert!(!self.token, "a mint while an earlier token may work");
                assert!(self.seen("observe:usable") == 0, "a mint while the identity is usable");
                assert!(self.seen("observe:never-paired") == 0, "a mint for one that never paired");
                assert!(self.seen("pair:paired") == 0, "a mint after the pairing");
                let gone = self.seen("search-original:gone") + self.seen("original-unrecoverable:approve");
                assert!(gone > 0, "a mint before the original was tried");
                self.token = true;
            }
            "revoke-stale" | "reattach" | "set-aside" => stopped(&["start", "restart", "pair"]),
            "validate" => assert!(self.seen("restart") > 0, "validated without a restart"),
            _ => {}
        }
    }

    fn happened(&mut self, label: &str, refused: bool) {
        if let Some(step) = self.open.take() {
            match (step.as_str(), refused) {
                ("pair", true) => self.pairings -= 1,
                ("mint", true) | ("revoke-orphan", false) => self.token = false,
                _ => {}
            }
        }
        self.note(label);
    }
}
