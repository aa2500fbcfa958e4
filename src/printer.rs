//! stdout carries data, stderr the talk. A reader that goes away ends the printing, never the work.

use std::io::{IsTerminal as _, Write as _};

use crate::args::Output;
use crate::line;

/// Where words go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    pub(crate) output: Output,
    /// No progress: only data, errors and warnings.
    pub(crate) quiet: bool,
}

impl Printer {
    pub(crate) const fn json(self) -> bool {
        matches!(self.output, Output::Json)
    }

    /// A line of data.
    #[expect(clippy::unused_self, reason = "printing is asked of the printer")]
    pub(crate) fn data(self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A closed pipe is the reader's wish to see no more.
        let _gone = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// A line of talk, where talk is wanted.
    pub(crate) fn talk(self, text: &str) {
        if !self.quiet {
            self.complain(text);
        }
    }

    /// An error or a warning, which nobody asks not to hear.
    #[expect(clippy::unused_self, reason = "printing is asked of the printer")]
    pub(crate) fn complain(self, text: &str) {
        let _gone = writeln!(std::io::stderr().lock(), "{}", line::plain(text));
    }

    /// A value: as JSON, or as the text for people.
    pub(crate) fn show(self, value: &serde_json::Value, text: impl FnOnce() -> String) {
        if self.json() { self.data(&value.to_string()) } else { self.data(&line::plain(&text())) }
    }
}

/// Whether a person can be asked here and now.
pub(crate) fn interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}
