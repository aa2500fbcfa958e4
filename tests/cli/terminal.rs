//! What a person sees on a terminal: the live list of steps, in a real one of several sizes, kept by tmux.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::sandbox::{RECOVER, Sandbox};

/// A terminal of its own server, so that nobody else's tmux is touched.
struct Terminal {
    socket: tempfile::TempDir,
}

impl Terminal {
    fn open(columns: u16, rows: u16) -> Option<Self> {
        let terminal = Self { socket: tempfile::tempdir().unwrap() };
        let size = [&columns.to_string(), "-y", &rows.to_string()].map(str::to_owned);
        let begun = terminal
            .command(&["-f", "/dev/null", "new-session", "-d", "-x"])
            .args(&size)
            .args(["env", "-i", "TERM=screen-256color", "LANG=C.UTF-8", "PATH=/usr/bin:/bin", "PS1=$ ", "/bin/sh"])
            .status();
        if !begun.is_ok_and(|status| status.success()) {
            println!("a terminal: NOT RUN: tmux is not there");
            return None;
        }
        Some(terminal)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.socket.path().join("socket")).args(words).env("LANG", "C.UTF-8");
        command.stderr(Stdio::null());
        command
    }

    fn tmux(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn kind(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
        self.tmux(&["send-keys", "Enter"]);
    }

    /// What is shown, with the history above it.
    fn shown(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-S", "-"])
    }

    /// The same with its colours.
    fn coloured(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e", "-S", "-"])
    }

    /// Leaves the question open; what is shown at the end.
    fn unanswered(&self) -> String {
        self.until("the question", |shown| shown.contains("your answer ("));
        self.tmux(&["send-keys", "Enter"]);
        self.until("the end", |shown| shown.contains("ended-4"))
    }

    fn until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let shown = self.shown();
            if is(&shown) {
                return shown;
            }
            assert!(Instant::now() < until, "{what}:\n{shown}");
            std::thread::sleep(Duration::from_millis(40));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.command(&["kill-server"]).status());
    }
}

/// A sandbox that has lost its identity and asks before it gets a new one, whose answers are slow enough to be looked at.
fn lost() -> Sandbox {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    sandbox.command(&["fault", "delay=1500", "--on", "status", "--times", "2"]);
    sandbox.asks();
    sandbox
}

fn go(sandbox: &Sandbox, more: &str) -> String {
    let config = sandbox.config();
    format!(
        "clear; {RECOVER} --config {} --scenario identity-loss --target edge-1 {more}; echo ended-$?",
        config.display()
    )
}

const SPINNER: [char; 8] = ['⠋', '⠙', '⠸', '⠴', '⠦', '⠇', '⠏', '⠉'];

#[test]
fn steps_fill_in_while_it_works_and_the_last_line_says_what_to_type() {
    for (columns, rows) in [(80, 24), (200, 50), (40, 24)] {
        let Some(terminal) = Terminal::open(columns, rows) else { return };
        let sandbox = lost();
        terminal.kind(&go(&sandbox, ""));
        let working = terminal.until("a step at work", |shown| shown.contains(SPINNER));
        let line = working.lines().find(|line| line.contains(SPINNER)).unwrap();
        assert!(line.contains("observe") && line.trim_end().ends_with('s'), "its name, and for how long: {line:?}");
        let ended = terminal.unanswered();
        assert!(!ended.contains(SPINNER), "nothing that turned is left:\n{ended}");
        let longest = ended.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
        assert!(longest <= usize::from(columns), "{longest} of {columns}");
        for step in ["observe", "search-original", "prove-durable"] {
            let done = ended.lines().filter(|line| line.contains('✓') && line.contains(step)).count();
            assert!(done >= 1, "{columns}: {step}:\n{ended}");
        }
        let whole: String = ended.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(whole.contains("recover approve run_"), "what to type next, in one piece:\n{ended}");
    }
}

#[test]
fn a_window_that_gets_narrower_meanwhile_breaks_nothing() {
    let Some(terminal) = Terminal::open(120, 30) else { return };
    let sandbox = lost();
    terminal.kind(&go(&sandbox, ""));
    terminal.until("a step at work", |shown| shown.contains(SPINNER));
    terminal.tmux(&["resize-window", "-x", "50", "-y", "20"]);
    let ended = terminal.unanswered();
    // The line that was drawn while the window changed may stand there once more, and none after it.
    let turning = ended.lines().filter(|line| line.contains(SPINNER)).count();
    assert!(turning <= 1, "{ended}");
    assert!(ended.lines().all(|line| line.chars().count() <= 50), "{ended}");
}

#[test]
fn colour_and_words_are_as_they_are_wanted() {
    let Some(terminal) = Terminal::open(100, 40) else { return };
    let sandbox = lost();
    terminal.kind(&format!(
        "clear; {RECOVER} --target nowhere --scenario identity-loss --config {}; echo ended-$?",
        sandbox.config().display()
    ));
    terminal.until("the end", |shown| shown.contains("ended-64"));
    let asked = std::cell::Cell::new(0);
    let plain = |words: &str| {
        // Each has an end of its own, so that what is left of the one before is not taken for it.
        asked.set(asked.get() + 1);
        let end = format!("end-of-{}-", asked.get());
        terminal.kind(&format!("clear; {words}; echo end-of-{}-$?", asked.get()));
        terminal.until("the end", |shown| shown.lines().any(|line| line.starts_with(&end)));
        terminal.coloured()
    };
    // Nothing is coloured where nobody wants it.
    for said in [plain(&format!("NO_COLOR=1 {RECOVER} --help")), plain(&format!("NO_COLOR=1 {RECOVER} --nonsense"))] {
        assert!(!said.contains("\u{1b}[3") && !said.contains("\u{1b}[1;3"), "{said:?}");
    }
    let quiet = plain(&go(&sandbox, "--quiet < /dev/null").replace("; echo ended-$?", ""));
    assert!(!quiet.contains('✓') && !quiet.contains(SPINNER), "--quiet shows no progress:\n{quiet}");
    let verbose = plain(&format!("{RECOVER} --config {} status -vv", sandbox.config().display()));
    assert!(verbose.contains("operator-needed"), "{verbose}");
}
