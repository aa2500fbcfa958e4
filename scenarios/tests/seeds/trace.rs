//! What happened, in words, one line an event: kept where somebody reads it, and always digested.

use std::fmt::{Arguments, Write as _};

/// The lines of one simulation.
#[derive(Debug)]
pub(crate) struct Trace {
    digest: u64,
    line: String,
    lines: Option<Vec<String>>,
    events: u64,
}

impl Trace {
    pub(crate) fn new(keep: bool) -> Self {
        // FNV-1a: a difference is to be seen, not withstood.
        Self { digest: 0xcbf2_9ce4_8422_2325, line: String::with_capacity(256), lines: keep.then(Vec::new), events: 0 }
    }

    /// One event, at this time of the world.
    pub(crate) fn note(&mut self, at: i64, what: Arguments<'_>) {
        self.events += 1;
        self.line.clear();
        // Writing to a string does not fail.
        let _ok = write!(self.line, "{:>5} {:>9} ms  {what}", self.events, at);
        for byte in self.line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(self.line.clone());
        }
    }

    /// What the line before means, where somebody reads it: it follows from what was digested.
    pub(crate) fn explain(&mut self, what: impl FnOnce() -> Option<String>) {
        if let Some(lines) = &mut self.lines
            && let Some(what) = what()
        {
            lines.push(format!("{:21}{what}", ""));
        }
    }

    pub(crate) const fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) const fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
