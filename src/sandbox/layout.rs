//! Where everything of a sandbox lies. One directory is one sandbox.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sandbox::error::Error;
use crate::sandbox::{files, tmpfs};

/// The target's name in the configuration, and the agent's id at the control plane.
pub(crate) const AGENT: &str = "edge-1";

/// What makes a directory a sandbox.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    schema: String,
    tmpfs: PathBuf,
}

const MARK_SCHEMA: &str = "recover.sandbox-dir/v1";

/// The paths of one sandbox.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    dir: PathBuf,
}

macro_rules! paths {
    ($($(#[$meta:meta])* $name:ident = $path:literal;)+) => {
        $($(#[$meta])* pub(crate) fn $name(&self) -> PathBuf { self.dir.join($path) })+
    };
}

impl Layout {
    /// The layout of an absolute directory; nothing is looked at.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    paths! {
        /// `recover`'s configuration.
        config = "recover.toml";
        /// `recover`'s state directory.
        state_dir = "state";
        /// The connector's data.
        data = "data";
        /// Where data that was lost is kept aside, each in a folder of its own.
        original = "original";
        /// The administrator's credential.
        credential = "credential";
        /// Pid files and their locks.
        run_dir = "run";
        /// The connector's pid file.
        connector_pidfile = "run/connector.pid";
        /// The control plane's pid file.
        plane_pidfile = "run/control-plane.pid";
        /// The connector's log.
        connector_log = "connector.log";
        /// The connector's own count of its starts.
        starts = "starts.jsonl";
        /// The control plane's log.
        plane_log = "control-plane.log";
        /// The control plane's own files.
        plane_dir = "control-plane";
        /// Its state.
        plane_state = "control-plane/state.json";
        /// Every call it took.
        ledger = "control-plane/ledger.jsonl";
        /// The port it listens on, kept for its next start.
        port = "control-plane/port";
        /// What the credential may do, where that is not everything.
        rights = "control-plane/rights.json";
        /// Faults that wait.
        faults = "control-plane/faults.json";
        /// Their lock.
        faults_lock = "control-plane/faults.lock";
        /// Where ledger and starts stood when the identity was lost.
        loss = "loss.json";
        /// Held by a command that changes the sandbox.
        lock = "sandbox.lock";
        /// What makes the directory a sandbox.
        mark = "sandbox.json";
        /// A mark that was being made.
        unfinished_mark = "sandbox.json.tmp";
    }

    /// The directory itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes the directory a sandbox, or finds that it is one.
    pub(crate) fn create(dir: &Path) -> Result<Self, Error> {
        let named = dir.display();
        files::private_dir(dir).map_err(Error::io(format!("make {named}")))?;
        let dir = fs::canonicalize(dir).map_err(Error::io(format!("find {named}")))?;
        let layout = Self::new(dir);
        let text = files::read_if_there(&layout.mark()).map_err(Error::io(format!("read the mark of {named}")))?;
        if text.is_none() {
            let mut entries = fs::read_dir(&layout.dir).map_err(Error::io(format!("list {named}")))?;
            // What a first `up` left that was killed before it had made its mark is no reason to refuse the second.
            let ours = [layout.lock(), layout.unfinished_mark()];
            let strange = entries.any(|entry| entry.is_ok_and(|entry| !ours.contains(&entry.path())));
            // Whatever else an `up` makes, it makes after the mark: one that runs at the same time may have made both since.
            if strange && !layout.mark().is_file() {
                return Err(Error::NotOurs(layout.dir));
            }
        }
        Ok(layout)
    }

    /// The sandbox in a directory.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let missing = || Error::Missing(dir.to_owned());
        let layout = Self::new(fs::canonicalize(dir).map_err(|_| missing())?);
        if layout.mark().is_file() { Ok(layout) } else { Err(missing()) }
    }

    /// Marks the directory, with the folder on tmpfs that is its own. Its folders exist afterwards.
    pub(crate) fn furnish(&self) -> Result<(), Error> {
        let tmpfs = match self.read_mark()? {
            Some(mark) => tmpfs::again(&mark.tmpfs)?,
            None => tmpfs::choose(&self.dir)?,
        };
        let mark = Mark { schema: MARK_SCHEMA.to_owned(), tmpfs };
        let text = serde_json::to_vec(&mark).map_err(|error| Error::io("encode the mark")(error.into()))?;
        files::replace_durably(&self.mark(), &text).map_err(Error::io("mark the sandbox"))?;
        let secrets = self.secrets()?;
        for dir in [self.run_dir(), self.plane_dir(), self.original(), self.state_dir(), secrets] {
            files::private_dir(&dir).map_err(Error::io(format!("make {}", dir.display())))?;
        }
        Ok(())
    }

    fn read_mark(&self) -> Result<Option<Mark>, Error> {
        let text = files::read_if_there(&self.mark()).map_err(Error::io("read the sandbox's mark"))?;
        let parse = |text: String| serde_json::from_str(&text);
        text.map(parse).transpose().map_err(|error| Error::io("understand the sandbox's mark")(error.into()))
    }

    /// The sandbox's own folder on tmpfs.
    pub(crate) fn tmpfs(&self) -> Result<PathBuf, Error> {
        self.read_mark()?.map(|mark| mark.tmpfs).ok_or_else(|| Error::Missing(self.dir.clone()))
    }

    /// Where the connector looks for a token.
    pub(crate) fn token(&self) -> Result<PathBuf, Error> {
        Ok(self.tmpfs()?.join("token"))
    }

    /// Where `recover` keeps the secrets of its runs.
    pub(crate) fn secrets(&self) -> Result<PathBuf, Error> {
        Ok(self.tmpfs()?.join("secrets"))
    }

    /// The control plane's address, once it has listened.
    pub(crate) fn base(&self) -> Result<Option<String>, Error> {
        let text = files::read_if_there(&self.port()).map_err(Error::io("read the control plane's port"))?;
        Ok(text.and_then(|text| text.trim().parse::<u16>().ok()).map(|port| format!("http://127.0.0.1:{port}")))
    }

    /// Whether the connector has an identity on disk.
    pub(crate) fn has_identity(&self) -> bool {
        self.data().join(super::connector::IDENTITY).is_file()
    }

    /// Whether the connector has presented a token and not yet kept, or never got, an identity.
    pub(crate) fn has_pending_key(&self) -> bool {
        self.data().join(super::connector::PENDING).is_file()
    }
}

/// A path as text: arguments and configuration are text.
pub(crate) fn text(path: &Path) -> Result<String, Error> {
    path.to_str().map(str::to_owned).ok_or_else(|| Error::NotText(path.to_owned()))
}
