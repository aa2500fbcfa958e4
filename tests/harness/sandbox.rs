//! A sandbox of the real binary for tests: started in a temporary directory, ended whatever happens.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

#[path = "warden.rs"]
mod warden;

use warden::Warden;

/// The binary under test.
pub const RECOVER: &str = env!("CARGO_BIN_EXE_recover");

pub struct Sandbox {
    /// Ends it, before the folder is removed.
    _warden: Warden,
    dir: tempfile::TempDir,
}

const NAME: &str = "sandbox";

impl Sandbox {
    pub fn up() -> Self {
        Self::begun(&["up"])
    }

    /// One whose connector never paired.
    #[allow(dead_code, reason = "not every test binary boots one for the first time")]
    pub fn first_boot(failing: &str) -> Self {
        Self::begun(&["first-boot", failing])
    }

    fn begun(words: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Self { _warden: Warden::of(dir.path(), NAME), dir };
        sandbox.command(words);
        sandbox
    }

    pub fn dir(&self) -> PathBuf {
        self.dir.path().join(NAME)
    }

    pub fn config(&self) -> PathBuf {
        self.dir().join("recover.toml")
    }

    #[allow(dead_code, reason = "not every test binary looks at the state")]
    pub fn state(&self) -> PathBuf {
        self.dir().join("state")
    }

    /// `recover sandbox …` on this sandbox; its JSON.
    pub fn command(&self, words: &[&str]) -> Value {
        let (verb, rest) = words.split_first().unwrap();
        let mut command = Command::new(RECOVER);
        command.args(["sandbox", verb, "--dir"]).arg(self.dir()).args(rest);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn lose(&self, keep_original: bool) {
        let words: &[&str] = if keep_original { &["lose-identity", "--keep-original"] } else { &["lose-identity"] };
        self.command(words);
    }

    /// From now on whether an identity is replaced is asked for.
    #[allow(dead_code, reason = "not every test binary has somebody to ask")]
    pub fn asks(&self) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        std::fs::write(self.config(), text.replace("reprovision = \"allow\"", "reprovision = \"ask\"")).unwrap();
    }

    #[allow(dead_code, reason = "not every test binary asks")]
    pub fn has_identity(&self) -> bool {
        self.dir().join("data/identity.json").exists()
    }

    pub fn ledger(&self) -> Value {
        self.command(&["ledger"])
    }

    /// The binary with this sandbox's configuration, to be started.
    #[allow(dead_code, reason = "not every test binary runs the command line")]
    pub fn recovering(&self, words: &[&str]) -> Command {
        let mut command = Command::new(RECOVER);
        command.arg("--config").arg(self.config()).args(words);
        command
    }

    /// The binary with this sandbox's configuration.
    #[allow(dead_code, reason = "not every test binary runs the command line")]
    pub fn recover(&self, words: &[&str]) -> Output {
        self.recovering(words).output().unwrap()
    }
}

#[allow(dead_code, reason = "not every test binary looks at files")]
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
