//! What can go wrong with a sandbox, and the exit code of each.

use std::io;
use std::path::PathBuf;

/// Why a sandbox command did not do what it says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system refused something.
    #[error("cannot {what}")]
    Io {
        /// What was tried, with its path.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// The directory holds something else; nothing in it was touched.
    #[error("{0} is not empty and is not a sandbox")]
    NotOurs(PathBuf),
    /// There is no sandbox in the directory.
    #[error("there is no sandbox in {0}")]
    Missing(PathBuf),
    /// Configuration and arguments are text.
    #[error("the path {0:?} is not valid UTF-8")]
    NotText(PathBuf),
    /// A token must never be on a disk.
    #[error("found no tmpfs to hold tokens: tried {0}")]
    NoTmpfs(String),
    /// The control plane does not run.
    #[error("the control plane of the sandbox is not running")]
    Down,
    /// There is no identity to take away.
    #[error("the connector has no identity to lose")]
    AlreadyLost,
    /// Something did not happen in its time.
    #[error("{what} did not happen within {seconds} s; see {log}")]
    Late {
        /// What was awaited.
        what: &'static str,
        /// For how long.
        seconds: u64,
        /// Where to look.
        log: PathBuf,
    },
    /// The control plane said something unexpected.
    #[error("the control plane answered {status} {code} to {what}")]
    Unexpected {
        /// The request.
        what: &'static str,
        /// Its HTTP status.
        status: u16,
        /// Its error code.
        code: String,
    },
    /// The control plane could not be asked.
    #[error("the control plane could not be asked")]
    Call(#[from] super::http::CallError),
    /// The words of the command do not fit together.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// An `Error::Io` in the making, for `map_err`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// What to do about it, where that is known.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotOurs(_) => Some("name a new directory; the sandbox makes it"),
            Self::Missing(_) | Self::Down => Some("recover sandbox up --dir DIR"),
            Self::NoTmpfs(_) => Some("set XDG_RUNTIME_DIR to a directory on tmpfs"),
            Self::AlreadyLost => Some("recover it first: recover --scenario identity-loss --config DIR/recover.toml"),
            Self::Usage(_) => Some("recover sandbox --help"),
            Self::Io { .. } | Self::NotText(_) | Self::Late { .. } | Self::Unexpected { .. } | Self::Call(_) => None,
        }
    }

    /// 64 for what the caller can put right, 75 for what may pass.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NotOurs(_)
            | Self::Missing(_)
            | Self::NotText(_)
            | Self::NoTmpfs(_)
            | Self::Down
            | Self::AlreadyLost
            | Self::Usage(_) => 64,
            Self::Io { .. } | Self::Late { .. } | Self::Unexpected { .. } | Self::Call(_) => 75,
        }
    }
}

/// An error and its causes in one line: none of them repeats another.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
