//! The profiles that the lanes are built in.

use std::path::PathBuf;

use crate::exec;

/// A profile of cargo's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Built quickly: for what is changed and run again.
    Dev,
    /// For what computes much.
    Release,
    /// Of continuous integration: all its lanes share what is built once.
    Ci,
}

impl Profile {
    /// As cargo takes it.
    pub(crate) const fn args(self) -> [&'static str; 2] {
        let name = match self {
            Self::Dev => "dev",
            Self::Release => "release",
            Self::Ci => "ci",
        };
        ["--profile", name]
    }

    /// Where cargo puts what it builds; for `dev` it has an older name.
    pub(crate) fn folder(self) -> PathBuf {
        let name = match self {
            Self::Dev => "debug",
            Self::Release => "release",
            Self::Ci => "ci",
        };
        exec::root().join("target").join(name)
    }
}
