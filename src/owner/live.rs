//! What a person sees of a run: on a terminal a list of steps that fills in while it works, in a pipe plain lines.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::clock;
use crate::line;

/// How often the line of a step that works is drawn again.
pub(super) const TICK: Duration = Duration::from_millis(120);
const SPINNER: [char; 8] = ['⠋', '⠙', '⠸', '⠴', '⠦', '⠇', '⠏', '⠉'];
/// Where nobody says how wide it is.
const WIDTH: usize = 80;

/// The list of steps on stderr.
#[derive(Debug)]
pub(crate) struct Live {
    terminal: bool,
    /// The step whose line is not finished.
    open: Option<Open>,
    ticks: usize,
}

/// A step at work.
#[derive(Debug)]
struct Open {
    step: String,
    since: Instant,
    /// Which attempt, and what became of the one before.
    again: Option<(u64, String)>,
}

impl Live {
    pub(crate) fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { terminal: std::io::stderr().is_terminal() && !dumb, open: None, ticks: 0 }
    }

    /// Waits until the line is to be drawn again; for ever where nothing is drawn.
    pub(super) async fn tick(&self) {
        if self.terminal && self.open.is_some() {
            tokio::time::sleep(TICK).await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    /// Draws the line of the step that works: for how long, which attempt, and why again.
    pub(super) fn draw(&mut self) {
        let Some(open) = &self.open else { return };
        let spinner = SPINNER.get(self.ticks % SPINNER.len()).unwrap_or(&'…');
        self.ticks += 1;
        let took = clock::span(i64::try_from(open.since.elapsed().as_millis()).unwrap_or(i64::MAX));
        let again = open.again.as_ref().map(|(attempt, why)| format!(", attempt {attempt}: {why}")).unwrap_or_default();
        let text = line::shown(&format!("  {spinner} {:<18} {took}{again}", open.step));
        put(&format!("\r\x1b[K{}", cut(&text, width())));
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
                self.open = Some(Open { step: word("step").to_owned(), since: Instant::now(), again: None });
                self.draw();
            }
            "attempt" if self.open.is_some() => {
                if let Some(open) = &mut self.open {
                    open.again = Some((event["attempt"].as_u64().unwrap_or_default(), word("why").to_owned()));
                }
                self.draw();
            }
            "outcome" | "resolved" => {
                let Some(Open { step, since, .. }) = self.open.take() else {
                    put(&format!("  \u{2713} {}\n", line::plain(word("label"))));
                    return;
                };
                let (mark, ending) = match event.get("refused") {
                    Some(reason) => ("\u{2717}", format!("refused: {}", reason["text"].as_str().unwrap_or_default())),
                    None => ("\u{2713}", word("label").rsplit(':').next().unwrap_or_default().to_owned()),
                };
                let took = clock::span(i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX));
                let text = line::shown(&format!("  {mark} {step:<18} {ending} ({took})"));
                put(&format!("\r\x1b[K{}\n", folded(&text, width())));
            }
            _ => {
                put(&format!("\r\x1b[K{}\n", folded(&format!("  {}", line::plain(text)), width())));
                self.draw();
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

/// How wide the terminal is now: it may have been resized since.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 20).unwrap_or(WIDTH)
}

/// What fits into one line, so that drawing it again overwrites it whole.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() < width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(2)).chain(['…']).collect()
}

/// Lines no longer than that, broken between words; further lines are indented. A word that is longer stays whole, to be copied.
fn folded(text: &str, width: usize) -> String {
    const INDENT: &str = "      ";
    let mut out = String::new();
    for line in text.split('\n') {
        if !out.is_empty() {
            out.push('\n');
        }
        let start = line.len() - line.trim_start().len();
        out.push_str(line.get(..start).unwrap_or_default());
        let (mut column, mut first) = (start, true);
        for word in line.trim_start().split(' ') {
            let length = word.chars().count();
            if !first && column + 1 + length >= width {
                out.push('\n');
                out.push_str(INDENT);
                column = INDENT.len();
            } else if !first {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += length;
            first = false;
        }
    }
    out
}

fn put(text: &str) {
    let mut err = std::io::stderr().lock();
    // Nobody may be looking any more.
    let _gone = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_words_are_not() {
        assert_eq!(folded("  a bb ccc dddd", 10), "  a bb\n      ccc\n      dddd");
        assert_eq!(folded("short", 80), "short");
        assert_eq!(folded("  one\n  two", 80), "  one\n  two");
        assert_eq!(folded("x run_0123456789", 8), "x\n      run_0123456789", "an id stays whole");
        assert_eq!(folded("", 80), "");
    }

    #[test]
    fn what_is_drawn_again_fits_into_one_line() {
        assert_eq!(cut("äbcdef", 10), "äbcdef");
        assert_eq!(cut("äbcdefghij", 6), "äbcd…");
        assert!(cut(&"x".repeat(200), 80).chars().count() < 80);
    }
}
