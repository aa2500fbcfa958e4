//! A run beside what the other side wrote down: effects that no record names, and records whose effect is not there.

mod audited;
mod kubernetes;
mod openbao;
mod ours;
mod theirs;

use std::path::PathBuf;

use recover_engine::{Begun, Entry, Millis};
use serde::Serialize;

use crate::clock;
use crate::fault::Fault;
pub(crate) use audited::Meant;
use ours::{Attempt, Came, Ours};
use theirs::{Deed, Effect, Theirs};

/// Two clocks write the times, so a little before and after counts as at the same time. Milliseconds.
const SLACK_MS: i64 = 5_000;

/// What came of the comparison. Each line is a sentence.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Compared {
    /// Effects and records that belong together.
    pub(crate) agreed: usize,
    pub(crate) effects_without_record: Vec<String>,
    pub(crate) records_without_effect: Vec<String>,
    /// Effects of a step whose outcome is not journaled yet.
    pub(crate) unsettled: Vec<String>,
    /// Effects of attempts that the run journals as refused after it made sure that nothing of them is left.
    pub(crate) explained: Vec<String>,
    /// Effects before or after the run, of another agent or of somebody who is not meant, and changes that were refused.
    pub(crate) beside: usize,
}

impl Compared {
    pub(crate) fn holds(&self) -> bool {
        self.effects_without_record.is_empty() && self.records_without_effect.is_empty() && self.unsettled.is_empty()
    }
}

/// Compares a run with the files of the other side.
pub(crate) fn against(begun: &Begun, entries: &[Entry], files: &[PathBuf], meant: &Meant) -> Result<Compared, Fault> {
    let (mut effects, mut changes, mut of_authority) = (Vec::new(), Vec::new(), files.is_empty());
    for file in files {
        match theirs::read(file)? {
            Theirs::Effects(more) => {
                effects.extend(more);
                of_authority = true;
            }
            Theirs::Changes(more) => changes.extend(more),
        }
    }
    let agent = begun.subject.rsplit('/').next().unwrap_or_default();
    let ours = Ours::of(entries);
    // What an authority does not say in a file that nobody brought is not missing.
    let mut out = if of_authority { compared(&ours, agent, &effects) } else { Compared::default() };
    audited::compare(&mut out, &ours, &changes, meant);
    Ok(out)
}

fn compared(ours: &Ours, agent: &str, effects: &[Effect]) -> Compared {
    let mut out = Compared::default();
    let of_agent: Vec<&Effect> = effects.iter().filter(|effect| effect.may_be_of(agent)).collect();
    out.beside = effects.len() - of_agent.len();
    for effect in &of_agent {
        match ours.recorded(effect) {
            Recorded::As => out.agreed += 1,
            // What nothing names is held against the run only if it was done while that went on.
            Recorded::Attempt(_) | Recorded::Nowhere if !(ours.from..=ours.until).contains(&effect.at) => {
                out.beside += 1
            }
            Recorded::Attempt(attempt) => {
                let said = format!("{}: record {} is its intent", told(effect), attempt.seq);
                match attempt.came {
                    Came::Open => out.unsettled.push(format!("{said}, and its outcome is not journaled")),
                    // A pairing that was refused gave no identity.
                    Came::Refused if effect.deed == Deed::Paired => {
                        out.effects_without_record
                            .push(format!("{said}, and its outcome says that it was not applied"));
                    }
                    Came::Refused | Came::Happened => {
                        out.explained.push(format!("{said}, which ended without it"));
                    }
                }
            }
            Recorded::Nowhere => out.effects_without_record.push(told(effect)),
        }
    }
    out.records_without_effect = ours.without(&of_agent);
    out
}

/// Whether a run's records name an effect.
enum Recorded<'a> {
    /// An outcome does.
    As,
    /// Only an intent can have led to it.
    Attempt(&'a Attempt),
    Nowhere,
}

fn near(at: Millis, from: Millis, until: Millis) -> bool {
    (from.0.saturating_sub(SLACK_MS)..=until.0.saturating_add(SLACK_MS)).contains(&at.0)
}

fn told(effect: &Effect) -> String {
    let named = [("token", &effect.accessor), ("label", &effect.label), ("identity", &effect.serial)];
    let named: Vec<String> =
        named.into_iter().filter_map(|(what, name)| name.as_ref().map(|name| format!("{what} {name}"))).collect();
    format!("{} {} at {}", effect.deed.as_str(), named.join(", "), clock::rfc3339(effect.at))
}

#[cfg(test)]
mod tests {
    use recover_engine::{Kind, Record};
    use serde_json::json;

    use super::*;
    use crate::records::Records;

    /// A run of a released build that recovered, with a mint, a pairing and revocations.
    fn frozen() -> Vec<Entry> {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::create_dir(&log).unwrap();
        for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/frozen/v1/state/log")).unwrap() {
            let path = file.unwrap().path();
            std::fs::copy(&path, log.join(path.file_name().unwrap())).unwrap();
        }
        Records::open(dir.path()).unwrap().entries("run_01m828bkm635k1vf6rrfacssk4".parse().unwrap()).unwrap()
    }

    fn compare(entries: &[Entry], theirs: &[serde_json::Value]) -> Compared {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("audit.json");
        std::fs::write(&file, json!({ "events": theirs }).to_string()).unwrap();
        against(&crate::store::begun_of(entries).unwrap(), entries, &[file], &Meant::default()).unwrap()
    }

    /// The number of the records up to the intent of a step.
    fn up_to(entries: &[Entry], step: &str) -> usize {
        let is = |entry: &Entry| match Record::parse(entry.header().kind, entry.payload()) {
            Ok(Record::Intent(intent)) => intent.step == step,
            Ok(_) | Err(_) => false,
        };
        assert!(entries.iter().any(|entry| entry.header().kind == Kind::Closed));
        entries.iter().position(is).unwrap() + 1
    }

    #[test]
    fn an_effect_whose_outcome_is_not_journaled_is_unsettled_and_another_run_s_is_beside() {
        let entries = frozen();
        let minting = &entries[..up_to(&entries, "mint")];
        let at = |entry: Option<&Entry>, later: i64| clock::rfc3339(Millis(entry.unwrap().header().at.0 + later));
        let run = entries[0].header().run;
        let mint =
            |label: &str, at: String| json!({ "at": at, "type": "token.minted", "accessor": "a9", "label": label });
        let own = mint(&format!("recover-{run}-0"), at(minting.last(), 10));
        let compared = compare(minting, &[own, mint("x", at(minting.first(), -1))]);
        assert_eq!((compared.unsettled.len(), compared.beside, compared.holds()), (1, 1, false), "{compared:?}");
        let other = compare(minting, &[mint("somebody-elses", at(minting.last(), 10))]);
        assert_eq!((other.effects_without_record.len(), other.unsettled.len()), (1, 0), "{other:?}");
    }

    #[test]
    fn a_run_whose_effects_are_nowhere_says_which() {
        let compared = compare(&frozen(), &[]);
        let all = compared.records_without_effect.join("\n");
        assert!(all.contains("was minted") && all.contains("was paired") && compared.agreed == 0, "{all}");
    }
}
