//! A plan as a file: what it rests on, and why it is refused later.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::Path;

use recover_engine::{Digest, Millis};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock;
use crate::fault::{Code, Fault};
use crate::whole;

/// What was observed, by name: `observe.ending`, `target.storage.path` and so on.
pub(super) type Seen = BTreeMap<String, String>;

pub(super) const SCHEMA: &str = "recover.plan/v1";
/// No plan of ours is longer. Bytes.
const LEN_MAX: u64 = 4 << 20;
/// How far the clock that a plan was made by may be ahead.
const AHEAD_MS: i64 = 60_000;

/// A plan, and what it is pinned to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanFile {
    pub(super) schema: String,
    /// When, for people.
    pub(super) made: String,
    /// When, in milliseconds since 1970.
    pub(super) made_ms: i64,
    /// Who.
    pub(super) by: Value,
    pub(super) scenario: String,
    pub(super) version: u16,
    /// Over the scenario's name, version, graph and guards: what a run's first record carries too.
    pub(super) graph: Digest,
    pub(super) target: String,
    pub(super) subject: String,
    /// Over the target's table in the configuration.
    pub(super) config: Digest,
    pub(super) params: Value,
    pub(super) set: Vec<String>,
    pub(super) alert: Option<String>,
    pub(super) steps: Vec<Value>,
    /// The number of the first step that has the point of no return behind it.
    pub(super) point_of_no_return: Option<u64>,
    /// The steps that need a person.
    pub(super) approvals: Vec<Value>,
    pub(super) guards: Value,
    /// What was observed that the steps follow from.
    pub(super) rests_on: Seen,
    /// Over `rests_on`.
    pub(super) fingerprint: Digest,
    /// Over everything else in the file.
    pub(super) digest: Digest,
}

pub(super) fn fingerprint(seen: &Seen) -> Digest {
    Digest::of(serde_json::to_string(seen).unwrap_or_default().as_bytes())
}

fn unusable(path: &Path, why: &str) -> Fault {
    Fault::new(Code::PlanUnusable, format!("{}: {why}", path.display()))
}

impl PlanFile {
    /// The digest over everything but itself. Names are in the order of the alphabet, so that layout is nothing.
    fn sealed(&self) -> Digest {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value.as_object_mut().and_then(|plan| plan.remove("digest"));
        Digest::of(value.to_string().as_bytes())
    }

    pub(super) fn seal(mut self) -> Self {
        self.digest = self.sealed();
        self
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Fault> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Fault::caused(Code::Bug, "the plan", &e))?;
        whole::write_new(path, |file| writeln!(file, "{text}")).map_err(|e| whole::fault(path, &e))
    }

    /// Reads a plan that is as it was written.
    pub(super) fn read(path: &Path) -> Result<Self, Fault> {
        let failed = |e: std::io::Error| unusable(path, &format!("it cannot be read: {e}"));
        // A FIFO would wait for ever.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(unusable(path, "it is not a regular file"));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path).and_then(|file| file.take(LEN_MAX + 1).read_to_end(&mut bytes)).map_err(failed)?;
        if bytes.len() as u64 > LEN_MAX {
            return Err(unusable(path, "it is too long for a plan"));
        }
        let plan: Self = serde_json::from_slice(&bytes).map_err(|e| unusable(path, &format!("it is no plan: {e}")))?;
        if plan.schema != SCHEMA {
            return Err(unusable(path, &format!("it is a {}, and not a {SCHEMA}", plan.schema)));
        }
        if plan.sealed() != plan.digest || fingerprint(&plan.rests_on) != plan.fingerprint {
            return Err(unusable(path, "it was changed after it was made: its digest is another"));
        }
        Ok(plan)
    }

    /// Refuses a plan that is too old, or that is of a time that has not come.
    pub(super) fn is_of_late(&self, now: Millis, age_ms: u64) -> Result<(), Fault> {
        let age = now.0.saturating_sub(self.made_ms);
        let made = clock::rfc3339(Millis(self.made_ms));
        if age < -AHEAD_MS {
            return Err(Fault::new(Code::PlanOld, format!("the plan was made at {made}, which has not come here"))
                .hint("is the clock right, here and where it was made?"));
        }
        if u64::try_from(age).unwrap_or_default() > age_ms {
            let most = clock::span(i64::try_from(age_ms).unwrap_or(i64::MAX));
            return Err(Fault::new(
                Code::PlanOld,
                format!("the plan was made at {made}, {} ago, and at most {most} are allowed", clock::span(age)),
            )
            .hint("make a new one; or --plan-age, if the target cannot have changed"));
        }
        Ok(())
    }
}

/// What differs between what a plan rests on and what is seen now.
pub(super) fn differences(planned: &Seen, now: &Seen) -> Vec<String> {
    let names: BTreeSet<&String> = planned.keys().chain(now.keys()).collect();
    let word = |seen: &Seen, name: &String| seen.get(name).map_or_else(|| "not there".to_owned(), Clone::clone);
    names
        .into_iter()
        .filter(|name| planned.get(*name) != now.get(*name))
        .map(|name| format!("{name} was {} and is {}", word(planned, name), word(now, name)))
        .collect()
}

/// Puts what a look told into facts. What changes from one moment to the next by itself is not what a plan rests on.
pub(super) fn note(seen: &mut Seen, name: &str, value: &Value) {
    /// Times, counts and the words of errors.
    const PASSING: &[&str] = &["last_seen", "restarts", "says", "why", "off_ms"];
    /// Which life it is does not matter, only whether there is one.
    const LIVES: &[&str] = &["running", "instance"];
    let last = name.rsplit('.').next().unwrap_or_default();
    if PASSING.contains(&last) {
        return;
    }
    match value {
        _ if LIVES.contains(&last) => _ = seen.insert(name.to_owned(), (!value.is_null()).to_string()),
        Value::Object(fields) => fields.iter().for_each(|(field, value)| note(seen, &format!("{name}.{field}"), value)),
        Value::String(text) => _ = seen.insert(name.to_owned(), text.clone()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            _ = seen.insert(name.to_owned(), other.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan() -> PlanFile {
        let zero = Digest::of(b"");
        let rests_on = Seen::from([("observe.ending".to_owned(), "lost".to_owned())]);
        PlanFile {
            schema: SCHEMA.to_owned(),
            made: String::new(),
            made_ms: 1_000_000,
            by: json!({ "uid": 1 }),
            scenario: "identity-loss".to_owned(),
            version: 1,
            graph: zero,
            target: "edge-1".to_owned(),
            subject: "s".to_owned(),
            config: zero,
            params: json!({ "b": 1, "a": 2.5 }),
            set: Vec::new(),
            alert: None,
            steps: vec![json!({ "number": 1 })],
            point_of_no_return: Some(7),
            approvals: Vec::new(),
            guards: json!([]),
            fingerprint: fingerprint(&rests_on),
            rests_on,
            digest: zero,
        }
        .seal()
    }

    #[test]
    fn a_plan_is_read_as_written_and_not_as_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.json");
        plan().write(&path).unwrap();
        assert_eq!(PlanFile::read(&path).unwrap(), plan());
        assert_eq!(plan().write(&path).unwrap_err().code, Code::BundleNotWritten, "nothing is overwritten");
        let text = std::fs::read_to_string(&path).unwrap();
        // Another layout is the same plan; another value is not, nor a value more.
        let value: Value = serde_json::from_str(&text).unwrap();
        std::fs::write(&path, value.to_string()).unwrap();
        assert_eq!(PlanFile::read(&path).unwrap(), plan());
        for (from, to) in
            [("\"edge-1\"", "\"edge-2\""), ("\"lost\"", "\"usable\""), ("\"made_ms\"", "\"x\":1,\"made_ms\"")]
        {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            std::fs::write(&path, changed).unwrap();
            assert_eq!(PlanFile::read(&path).unwrap_err().code, Code::PlanUnusable, "{from}");
        }
    }

    #[test]
    fn a_plan_has_its_time() {
        let at = |ms| plan().is_of_late(Millis(ms), 1_000).map_err(|fault| fault.code);
        assert_eq!(at(1_001_000), Ok(()));
        assert_eq!(at(1_001_001), Err(Code::PlanOld));
        assert_eq!(at(1_000_000 - AHEAD_MS), Ok(()), "clocks differ a little");
        assert_eq!(at(1_000_000 - AHEAD_MS - 1), Err(Code::PlanOld));
    }

    #[test]
    fn what_a_plan_rests_on_does_not_pass_by_itself() {
        let noted = |value: Value| {
            let mut seen = Seen::new();
            note(&mut seen, "observe", &value);
            seen
        };
        let one = noted(json!({ "ending": "usable", "serial": "s1", "last_seen": "1", "running": "pid 1" }));
        let two = noted(json!({ "ending": "usable", "serial": "s1", "last_seen": "2", "running": "pid 2" }));
        assert_eq!(differences(&one, &two), [""; 0]);
        let three = noted(json!({ "ending": "usable", "serial": "s2", "last_seen": "2", "running": null }));
        assert_eq!(
            differences(&one, &three),
            ["observe.running was true and is false", "observe.serial was s1 and is s2"]
        );
    }
}
