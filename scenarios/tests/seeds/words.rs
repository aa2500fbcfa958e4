//! What goes to and fro, in words, for the trace.

use recover_engine::{Entry, Performed, Probed};

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
