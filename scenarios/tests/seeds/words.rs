//! What goes to and fro, in words, for the trace.

use recover_engine::{Entry, Performed, Probed, Record};

/// What a record says, where its kind does not tell.
pub(crate) fn meaning(entry: &Entry) -> Option<String> {
    Some(match Record::parse(entry.header().kind, entry.payload()).ok()? {
        Record::Intent(intent) => format!("{} in {}", intent.step, intent.state),
        Record::Outcome(out) => format!("{} leads to {}", out.label, out.to),
        Record::Resolved(out) => format!("{}, on a person's word, leads to {}", out.label, out.to),
        Record::Answered(out) | Record::Denied(out) => format!("{} leads to {}", out.label, out.to),
        Record::CancelRequested(cancel) => format!("the cancel leads to {}", cancel.to),
        Record::Attempt(attempt) => format!("attempt {}: {}", attempt.attempt, attempt.why),
        Record::Asked(asked) => format!("asks {} in {}", asked.question.id, asked.state),
        Record::Closed(ending) => format!("{}: {}", ending.verdict.as_str(), ending.reason),
        _ => return None,
    })
}

/// A batch, in words.
pub(crate) struct Said<'a>(pub(crate) &'a [Entry]);

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, entry) in self.0.iter().enumerate() {
            let hash = entry.hash().0;
            let comma = if at == 0 { "" } else { ", " };
            let (seq, kind) = (entry.header().seq, entry.header().kind.as_str());
            write!(f, "{comma}record {seq} {kind} ({:02x}{:02x}{:02x}{:02x})", hash[0], hash[1], hash[2], hash[3])?;
        }
        f.write_str(" is durable")
    }
}

/// A reply, in words.
pub(crate) struct Came<'a>(pub(crate) &'a Performed);

impl std::fmt::Display for Came<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Performed::Happened(seen) => f.write_str(&seen.told.ending),
            Performed::Refused(reason) => write!(f, "refused, {}", reason.code),
            Performed::Retry { why, .. } => write!(f, "to be tried again, {why}"),
            Performed::Unknown { why } => write!(f, "unknown, {why}"),
        }
    }
}

/// What a probe said, in words.
pub(crate) struct Told<'a>(pub(crate) &'a Probed);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Probed::Happened(seen) => f.write_str(&seen.told.ending),
            Probed::Absent(why) => write!(f, "absent, {why}"),
            Probed::Unknown(why) => write!(f, "unknown, {why}"),
        }
    }
}
