//! Records as lines: JSON for machines, a sentence for people.

use recover_engine::{Entry, Record, Resulted};
use serde_json::{Map, Value, json};

use crate::clock;

/// A record as the JSON object that `--output json` prints.
pub(crate) fn event(entry: &Entry) -> Value {
    let header = entry.header();
    let mut line = Map::new();
    let mut put = |key: &str, value: Value| {
        line.insert(key.to_owned(), value);
    };
    put("schema", json!("recover.event/v1"));
    put("run", json!(header.run.to_string()));
    put("seq", json!(header.seq));
    put("at", json!(clock::rfc3339(header.at)));
    put("kind", json!(header.kind.as_str()));
    let payload: Value = serde_json::from_str(entry.payload()).unwrap_or(Value::Null);
    for (from, to) in [
        ("scenario", "scenario"),
        ("target", "target"),
        ("state", "state"),
        ("to", "state"),
        ("step", "step"),
        ("attempt", "attempt"),
        ("label", "label"),
        ("event", "event"),
        ("refused", "refused"),
        ("probed", "probed"),
        ("why", "why"),
        ("how", "how"),
        ("until", "until"),
        ("deadline", "deadline"),
        ("question", "question"),
        ("reason", "reason"),
        ("verdict", "verdict"),
        ("residue", "residue"),
        ("despite", "despite"),
    ] {
        if let Some(value) = payload.get(from) {
            put(to, value.clone());
        }
    }
    if header.kind == recover_engine::Kind::Intent {
        put("attempt", json!(1));
    }
    Value::Object(line)
}

/// A record as one line for a person.
pub(crate) fn sentence(entry: &Entry) -> String {
    let header = entry.header();
    let text = match Record::parse(header.kind, entry.payload()) {
        Ok(record) => said(&record),
        Err(e) => format!("cannot be read: {e}"),
    };
    format!("{}  {:>4}  {text}", clock::rfc3339(header.at), header.seq)
}

fn said(record: &Record) -> String {
    match record {
        Record::Begun(b) => {
            let despite = b.despite.as_ref().map(|why| format!(", although a brake held it: {why}"));
            let despite = despite.unwrap_or_default();
            format!("begun {} v{} on {} ({}){despite}", b.scenario, b.version, b.target, b.subject)
        }
        Record::Intent(i) => format!("{}: {} …", i.state, i.step),
        Record::Attempt(a) if a.doubt => format!("in doubt: {}", a.why),
        Record::Attempt(a) => format!("attempt {} after: {}", a.attempt, a.why),
        Record::Outcome(outcome) => outcome_said(outcome),
        Record::Fenced(f) => format!("fenced: {}", f.how),
        Record::Waiting(w) => format!("{}: waiting until {}: {}", w.state, clock::rfc3339(w.until), w.why),
        Record::Asked(a) => format!("{}: asked: {}", a.state, a.question.text),
        Record::Answered(a) | Record::Denied(a) => format!("answered {}: {}", a.label, a.reason),
        Record::Resolved(r) => format!("resolved {}: {}", r.label, r.reason),
        Record::CancelRequested(c) => format!("cancel requested: {}", c.reason),
        Record::Adopted(n) => format!("adopted by another machine: {}", n.reason),
        Record::Salvaged(n) => format!("salvaged: {}", n.reason),
        Record::Cleared(n) => format!("cleared: {}", n.reason),
        Record::Baselined(b) => format!("baseline of {} ({}): {}", b.target, b.subject, b.reason),
        Record::Dismissed(n) => format!("alert dismissed: {}", n.reason),
        Record::Closed(e) => format!("closed: {}: {}", e.verdict.as_str(), e.reason),
    }
}

fn outcome_said(outcome: &Resulted) -> String {
    let probed = if outcome.probed { " (adopted: a probe found it done)" } else { "" };
    match &outcome.refused {
        Some(reason) => format!("{}: {}{probed}", outcome.label, reason.text),
        None => format!("{}{probed}", outcome.label),
    }
}

/// Text from outside, safe for a terminal: control characters are shown, not obeyed.
pub(crate) fn plain(text: &str) -> String {
    text.split('\n').map(shown).collect::<Vec<_>>().join("\n")
}

/// The same for one word: a line break is shown too.
pub(crate) fn shown(word: &str) -> String {
    let show = |c: char| if c.is_control() { format!("\\u{{{:x}}}", u32::from(c)) } else { c.to_string() };
    word.chars().map(show).collect()
}
