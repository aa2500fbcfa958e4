//! The rules of `identity-loss` in plain code, written apart from the engine's guards: what they must never have let pass.

use std::collections::HashMap;

use recover_engine::{Record, Verdict};

fn must<S: Into<String>>(holds: bool, otherwise: impl FnOnce() -> S) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

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

    /// Takes an accepted record, or says why it should not have been.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn judge(&mut self, record: &Record) -> Result<(), String> {
        must(!self.closed, || format!("a record after the end: {record:?}"))?;
        match record {
            Record::Intent(intent) => {
                must(self.open.is_none(), || "two intents are open")?;
                self.check_intent(&intent.step)?;
                self.note(&intent.step);
                self.open = Some(intent.step.clone());
            }
            Record::Outcome(outcome) => self.happened(&outcome.label, outcome.refused.is_some()),
            Record::Resolved(resolved) => self.happened(&resolved.label, resolved.event.is_none()),
            Record::Answered(answered) | Record::Denied(answered) => self.note(&answered.label),
            Record::CancelRequested(_) => must(self.open.is_none(), || "cancelled in the middle of an effect")?,
            Record::Closed(ending) => {
                self.closed = true;
                must(!ending.reason.is_empty(), || "a silent end")?;
                if ending.verdict == Verdict::Recovered {
                    must(self.after("validate:validated", &["restart", "start", "stop"]), || "not validated")?;
                    must(self.seen("restart") > 0, || "recovered without a restart")?;
                }
            }
            Record::Fenced(_) | Record::Attempt(_) => must(self.open.is_some(), || "nothing is open")?,
            Record::Begun(_)
            | Record::Waiting(_)
            | Record::Asked(_)
            | Record::Adopted(_)
            | Record::Salvaged(_)
            | Record::Cleared(_)
            | Record::Baselined(_)
            | Record::Dismissed(_) => {}
        }
        Ok(())
    }

    fn check_intent(&mut self, step: &str) -> Result<(), String> {
        match step {
            "pair" => {
                self.stopped(step, &["start", "restart", "mint"])?;
                must(self.after("mint:minted", &["revoke-orphan"]), || "no token to pair with")?;
                self.pairings += 1;
                must(self.pairings <= 1, || "a second pairing while one may have happened")
            }
            "mint" => {
                self.stopped(step, &["start", "restart", "pair", "revoke-stale"])?;
                self.mints += 1;
                must(self.mints <= 3, || "more than three mints")?;
                must(!self.token, || "a mint while an earlier token may work")?;
                must(self.seen("observe:usable") == 0, || "a mint while the identity is usable")?;
                must(self.seen("observe:never-paired") == 0, || "a mint for one that never paired")?;
                must(self.seen("pair:paired") == 0, || "a mint after the pairing")?;
                let gone = self.seen("search-original:gone") + self.seen("original-unrecoverable:approve");
                must(gone > 0, || "a mint before the original was tried")?;
                self.token = true;
                Ok(())
            }
            "revoke-stale" | "reattach" | "set-aside" => self.stopped(step, &["start", "restart", "pair"]),
            "reparent" => must(self.seen("pair:paired") > 0, || "moved to an agent that was not paired"),
            "evict" => {
                let validated = self.after("validate:validated", &["restart", "start", "stop", "pair"]);
                must(validated, || "evicted before the new one was validated")
            }
            "validate" => must(self.seen("restart") > 0, || "validated without a restart"),
            _ => Ok(()),
        }
    }

    fn stopped(&self, step: &str, since: &[&str]) -> Result<(), String> {
        must(self.after("prove-stopped:stopped", since), || format!("{step}: not proven stopped"))
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
