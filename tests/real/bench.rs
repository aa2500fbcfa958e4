//! The two sides of a lane: the sandbox's control plane, and its connector handed over to another system.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::sandbox::{RECOVER, Sandbox};

pub struct Bench {
    sandbox: Sandbox,
    config: PathBuf,
    surroundings: Vec<(&'static str, String)>,
    /// The command that runs another one where the workload is, if that is not here.
    inside: Vec<String>,
}

impl Bench {
    /// A sandbox whose configuration gets this workload. It is seen with these variables.
    pub fn new(sandbox: Sandbox, workload: &str, surroundings: Vec<(&'static str, String)>) -> Self {
        let config = sandbox.dir().join("real.toml");
        std::fs::copy(sandbox.config(), &config).unwrap();
        let bench = Self { sandbox, config, surroundings, inside: Vec::new() };
        bench.configure(workload);
        bench
    }

    /// Runs `recover` through this command.
    pub fn inside(self, inside: Vec<String>) -> Self {
        Self { inside, ..self }
    }

    /// Puts another line into the configuration, in the place of the one with its key.
    pub fn configure(&self, line: &str) {
        let key = line.split('=').next().unwrap();
        let text = std::fs::read_to_string(&self.config).unwrap();
        let line = |old: &str| if old.starts_with(&format!("{key}=")) { line.to_owned() } else { old.to_owned() };
        let text: String = text.lines().map(|old| line(old) + "\n").collect();
        std::fs::write(&self.config, text).unwrap();
    }

    /// The line with the storage.
    pub fn storage(&self) -> String {
        let text = std::fs::read_to_string(&self.config).unwrap();
        text.lines().find(|line| line.starts_with("storage = ")).unwrap().to_owned()
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub fn recovering(&self, words: &[&str]) -> Command {
        let mut command = self.binary(&self.config);
        command.args(words);
        command
    }

    fn binary(&self, config: &Path) -> Command {
        let mut words = self.inside.iter().map(String::as_str).chain([RECOVER]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg("--config").arg(config).envs(self.surroundings.iter().cloned());
        command
    }

    /// The command with another word for the workload in its configuration, and perhaps another variable.
    pub fn with_workload(&self, word: &str, other: &str, variable: Option<(&str, String)>) -> Command {
        let text = std::fs::read_to_string(&self.config).unwrap().replace(word, other);
        let config = self.sandbox.dir().join(format!("{other}.{}.toml", variable.is_some()));
        std::fs::write(&config, text).unwrap();
        let mut command = self.binary(&config);
        command.envs(variable);
        command
    }

    /// Kills `recover` itself, also where another program runs it.
    pub fn kill(&self, child: &mut Child) {
        if self.inside.is_empty() {
            return child.kill().unwrap();
        }
        let parent = format!("\nPPid:\t{}\n", child.id());
        let is_its =
            |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|text| text.contains(&parent));
        // It may not have been made yet.
        while child.try_wait().unwrap().is_none() {
            let pids = std::fs::read_dir("/proc").unwrap();
            let pids = pids.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).filter(is_its);
            let kill = |pid| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            if pids.map(kill).filter(Result::is_ok).count() > 0 {
                return;
            }
        }
    }

    pub fn recover(&self, words: &[&str]) -> Output {
        self.recovering(words).output().unwrap()
    }

    pub fn ledger(&self) -> Value {
        self.sandbox.ledger()
    }

    pub fn identity(&self) -> Vec<u8> {
        std::fs::read(self.sandbox.dir().join("data/identity.json")).unwrap_or_default()
    }

    /// The identity that was put aside last.
    pub fn original(&self) -> Vec<u8> {
        let mut kept: Vec<_> = std::fs::read_dir(self.sandbox.dir().join("original"))
            .unwrap()
            .map(|entry| entry.unwrap().path().join("identity.json"))
            .filter(|path| path.exists())
            .collect();
        kept.sort();
        std::fs::read(kept.pop().unwrap()).unwrap()
    }

    /// How long a recovery watches the connector because the runbook says so: once after it is online, once after the restart.
    pub fn watched(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// Ends the connector that the sandbox started for itself.
    pub fn end_the_sandboxs_own(&self) {
        let pidfile = self.sandbox.dir().join("run/connector.pid");
        let life: Value = serde_json::from_slice(&std::fs::read(&pidfile).unwrap()).unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(life["pid"].as_i64().unwrap()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        while nix::sys::signal::kill(pid, None).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::fs::remove_file(&pidfile).unwrap();
    }
}
