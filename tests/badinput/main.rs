//! Bad input: a table of named cases, each with the error code and exit code that design and common sense demand.
//!
//! Nothing may panic, die of a signal, hang, echo a secret or send control characters to a terminal. `BADINPUT=word` runs
//! only the cases whose name contains it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    reason = "a program for developers: what does not hold ends it, and nobody links against it"
)]

mod arguments;
mod configuration;
mod environment;
mod files;
mod replies;
#[path = "../harness/sandbox.rs"]
mod sandbox;

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sandbox::{RECOVER, Sandbox};

/// What is never to be seen in any output.
pub const CANARY: &str = "s3cr3t-canary-41d7";
/// Most cases wait for a retry rather than for a processor.
const THREADS: usize = 24;

type Prepare = Arc<dyn Fn(&Path) + Send + Sync>;

/// One bad input and what is to come of it. `@` in a word, a value or the configuration stands for the case's own folder.
pub struct Case {
    pub name: String,
    pub words: Vec<OsString>,
    /// Written to `@/recover.toml` and named by `--config`.
    pub config: Option<Vec<u8>>,
    pub env: Vec<(&'static str, Option<OsString>)>,
    pub prepare: Option<Prepare>,
    /// A shell's words before the program: limits, closed descriptors.
    pub shell: Option<&'static str>,
    pub error: Option<&'static str>,
    pub exit: i32,
    /// What the output must say.
    pub says: Vec<String>,
}

/// A case that ends with this error.
pub fn refused(name: impl Into<String>, words: &[&str], error: &'static str, exit: i32) -> Case {
    Case {
        name: name.into(),
        words: words.iter().map(OsString::from).collect(),
        config: None,
        env: Vec::new(),
        prepare: None,
        shell: None,
        error: Some(error),
        exit,
        says: Vec::new(),
    }
}

/// A case that is no error of the command: odd, and handled.
pub fn handled(name: impl Into<String>, words: &[&str], exit: i32) -> Case {
    Case { error: None, ..refused(name, words, "", exit) }
}

impl Case {
    pub fn config(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.config = Some(text.into());
        self
    }
    pub fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name, Some(value.as_ref().to_owned())));
        self
    }
    pub fn without(mut self, name: &'static str) -> Self {
        self.env.push((name, None));
        self
    }
    pub fn prepare(mut self, prepare: impl Fn(&Path) + Send + Sync + 'static) -> Self {
        self.prepare = Some(Arc::new(prepare));
        self
    }
    pub fn shell(mut self, script: &'static str) -> Self {
        self.shell = Some(script);
        self
    }
    pub fn says(mut self, text: impl Into<String>) -> Self {
        self.says.push(text.into());
        self
    }
    pub fn word(mut self, word: &[u8]) -> Self {
        self.words.push(OsString::from_vec(word.to_owned()));
        self
    }
}

/// What the cases share, and must not change: a sandbox whose connector lost its identity, and a journal with one run.
pub struct World {
    pub sandbox: Sandbox,
    /// A state directory with one closed run.
    pub state: PathBuf,
    pub run: String,
    /// A configuration that works; its state directory is `@/state`.
    pub config: String,
}

impl World {
    fn make() -> Self {
        let sandbox = Sandbox::up();
        sandbox.lose(false);
        let words = ["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"];
        let text = std::fs::read_to_string(sandbox.config()).unwrap().replace("\"allow\"", "\"ask\"");
        std::fs::write(sandbox.config(), &text).unwrap();
        let asked = sandbox.recover(&words);
        let line: serde_json::Value =
            serde_json::from_slice(asked.stdout.split(|b| *b == b'\n').rfind(|l| !l.is_empty()).unwrap()).unwrap();
        let run = line["run"].as_str().unwrap().to_owned();
        let denied = sandbox.recover(&["deny", &run, "--reason", "only to have a run"]);
        assert_eq!(denied.status.code(), Some(2), "{}", String::from_utf8_lossy(&denied.stderr));
        let lines = text.lines().map(|line| match line.starts_with("state_dir") {
            true => "state_dir = \"@/state\"\n".to_owned(),
            false => format!("{line}\n"),
        });
        Self { state: sandbox.state(), run, config: lines.collect(), sandbox }
    }

    /// The configuration with one text replaced, which must be in it.
    pub fn with(&self, from: &str, to: &str) -> String {
        assert!(self.config.contains(from), "{from}");
        self.config.replacen(from, to, 1)
    }
}

fn placed(text: &[u8], dir: &Path) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        if *byte == b'@' { out.extend_from_slice(dir.as_os_str().as_bytes()) } else { out.push(*byte) }
    }
    out
}

fn run(case: &Case, dir: &Path) -> Output {
    std::fs::create_dir(dir).unwrap();
    let mut words: Vec<OsString> = Vec::new();
    if let Some(text) = &case.config {
        let path = dir.join("recover.toml");
        std::fs::write(&path, placed(text, dir)).unwrap();
        words.extend(["--config".into(), path.into()]);
    }
    if let Some(prepare) = &case.prepare {
        prepare(dir);
    }
    words.extend(case.words.iter().map(|word| OsString::from_vec(placed(word.as_bytes(), dir))));
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "60"]);
    match case.shell {
        Some(script) => command.args(["/bin/sh", "-c", script, RECOVER]).args(&words),
        None => command.arg(RECOVER).args(&words),
    };
    command.env_clear().env("HOME", dir).env("PATH", "/usr/bin:/bin").env("XDG_STATE_HOME", dir.join("xdg-state"));
    for (name, value) in &case.env {
        match value {
            Some(value) => command.env(name, OsString::from_vec(placed(value.as_bytes(), dir))),
            None => command.env_remove(name),
        };
    }
    command.current_dir(dir).stdin(Stdio::null()).output().unwrap()
}

/// What is not as it is to be; empty if all is.
fn judge(case: &Case, output: &Output) -> String {
    let both = [&output.stdout[..], b"\n", &output.stderr].concat();
    let (text, err) = (String::from_utf8_lossy(&both), String::from_utf8_lossy(&output.stderr));
    let mut wrong = String::new();
    if output.status.code() != Some(case.exit) {
        write!(wrong, " exit {:?}, wanted {};", output.status.code(), case.exit).unwrap();
    }
    match case.error {
        Some(code) if !err.contains(&format!("error[{code}]")) => write!(wrong, " no error[{code}];").unwrap(),
        None if err.contains("error[") => write!(wrong, " an error that is not one;").unwrap(),
        Some(_) | None => {}
    }
    for said in case.says.iter().filter(|said| !text.contains(said.as_str())) {
        write!(wrong, " does not say {said:?};").unwrap();
    }
    if err.contains("panicked") {
        wrong.push_str(" PANIC;");
    }
    if text.contains(CANARY) {
        wrong.push_str(" A SECRET IS ECHOED;");
    }
    if both.contains(&0x1b) {
        wrong.push_str(" an escape character reaches the terminal;");
    }
    if both.len() > 64 << 10 {
        write!(wrong, " {} bytes of output;", both.len()).unwrap();
    }
    if !wrong.is_empty() {
        let shown: String = err.chars().take(400).collect();
        write!(wrong, "\n      stderr: {}", shown.replace('\n', "\n              ")).unwrap();
    }
    wrong
}

#[test]
fn every_bad_input_ends_as_it_should() {
    let world = World::make();
    let before = world.sandbox.ledger();
    let mut cases: Vec<Case> = Vec::new();
    cases.extend(replies::cases(&world));
    cases.extend(environment::cases(&world));
    cases.extend(files::cases(&world));
    cases.extend(arguments::cases(&world));
    cases.extend(configuration::cases(&world));
    let total = cases.len();
    let names: std::collections::BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), total, "a name stands for one case");
    let only = std::env::var("BADINPUT").ok();
    let chosen: Vec<&Case> =
        cases.iter().filter(|case| only.as_ref().is_none_or(|word| case.name.contains(word))).collect();

    let home = tempfile::tempdir().unwrap();
    let next = AtomicUsize::new(0);
    let wrong: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let panics = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some(case) = chosen.get(number) else { break };
                    let output = run(case, &home.path().join(format!("{number}")));
                    let said = judge(case, &output);
                    if said.contains(" PANIC;") {
                        panics.fetch_add(1, Ordering::SeqCst);
                    }
                    if !said.is_empty() {
                        wrong.lock().unwrap().push(format!("{}:{said}", case.name));
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    let (ran, panics) = (chosen.len(), panics.into_inner());
    // Past the test harness, which keeps what a test that passes prints.
    writeln!(std::io::stdout(), "badinput: {ran} cases, {} as expected, {panics} panics", ran - wrong.len()).unwrap();
    assert!(wrong.is_empty(), "{} cases:\n  {}", wrong.len(), wrong.join("\n  "));
    let after = world.sandbox.ledger();
    for effect in ["mints", "pair_attempts", "pairs", "revokes", "starts"] {
        assert_eq!(before[effect], after[effect], "bad input changed something at the target");
    }
    assert!(only.is_some() || total >= 300, "{total} cases");
}
