//! What a person sees of a run: on a terminal a list of steps that fills in, in a pipe plain lines.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use serde_json::Value;

use crate::clock;
use crate::line;

/// The list of steps on stderr.
#[derive(Debug)]
pub(crate) struct Live {
    terminal: bool,
    /// The step whose line is not finished, and since when.
    open: Option<(String, Instant)>,
}

impl Live {
    pub(crate) fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { terminal: std::io::stderr().is_terminal() && !dumb, open: None }
    }

    /// One record: `event` for what it is, `text` for a pipe.
    pub(crate) fn show(&mut self, event: &Value, text: &str) {
        if !self.terminal {
            put(&format!("{}\n", line::plain(text)));
            return;
        }
        let word = |key: &str| event[key].as_str().unwrap_or_default();
        match word("kind") {
            "intent" => {
                let step = word("step").to_owned();
                put(&format!("  \u{2026} {}", line::plain(&step)));
                self.open = Some((step, Instant::now()));
            }
            "outcome" | "resolved" => {
                let Some((step, since)) = self.open.take() else {
                    put(&format!("  \u{2713} {}\n", line::plain(word("label"))));
                    return;
                };
                let (mark, ending) = match event.get("refused") {
                    Some(reason) => ("\u{2717}", format!("refused: {}", reason["text"].as_str().unwrap_or_default())),
                    None => ("\u{2713}", word("label").rsplit(':').next().unwrap_or_default().to_owned()),
                };
                let took = clock::span(i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX));
                put(&format!("\r\x1b[K  {mark} {step:<18} {} ({took})\n", line::plain(&ending)));
            }
            _ => {
                let unfinished = self.open.as_ref().map(|(step, _)| format!("  \u{2026} {step}"));
                put(&format!("\r\x1b[K  {}\n{}", line::plain(text), unfinished.unwrap_or_default()));
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.open.is_some() {
            put("\n");
        }
    }
}

fn put(text: &str) {
    let mut err = std::io::stderr().lock();
    // Nobody may be looking any more.
    let _gone = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
