//! Which state directory is meant.

use std::path::PathBuf;

use crate::args::Global;
use crate::config::{self, Loaded};
use crate::fault::{Code, Fault};

/// Configuration and state directory of a command.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) loaded: Loaded,
    pub(crate) state: PathBuf,
    /// Whether somebody named the state directory, rather than it being the default.
    pub(crate) named: bool,
}

/// The built-in target that needs no configuration.
pub(crate) const SANDBOX: &str = "sandbox";

impl Place {
    pub(crate) fn of(global: &Global) -> Result<Self, Fault> {
        let loaded = config::load(global.config.as_deref())?;
        let named = global
            .state_dir
            .clone()
            .or_else(|| std::env::var_os("RECOVER_STATE_DIR").filter(|v| !v.is_empty()).map(PathBuf::from))
            .or_else(|| loaded.config.state_dir.clone());
        let (state, named) = match named {
            Some(path) => (path, true),
            None => (default_state()?, false),
        };
        let state = std::path::absolute(&state)
            .map_err(|e| Fault::caused(Code::Unreadable, "the state directory's path", &e))?;
        Ok(Self { loaded, state, named })
    }

    /// Where the built-in sandbox lives.
    pub(crate) fn sandbox_dir(&self) -> PathBuf {
        self.state.join(SANDBOX)
    }
}

pub(crate) fn default_state() -> Result<PathBuf, Fault> {
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/recover".into());
    }
    std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")))
        .map(|base| base.join("recover"))
        .ok_or_else(|| {
            Fault::new(Code::StateDirUnnamed, "there is neither HOME nor XDG_STATE_HOME")
                .hint("name a state directory with --state-dir")
        })
}
