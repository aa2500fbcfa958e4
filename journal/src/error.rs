//! What can go wrong when a journal is opened or read: damage, a place that cannot be trusted, the system.

use std::io;
use std::path::PathBuf;

use recover_engine::{BadEntry, JournalError, RunId};

/// What is wrong with a place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// The segment's header is not one, or not the one that belongs here.
    #[error("the segment header is not valid")]
    Header,
    /// The segment is of a format that this build does not know.
    #[error("format {0} is not supported by this build")]
    Format(u16),
    /// A segment between two others, or the first, is not there.
    #[error("the segment is missing")]
    Missing,
    /// The file is shorter than it was made.
    #[error("the segment is cut short")]
    Short,
    /// A frame's bytes do not match its checksum, although it was acknowledged or a later one is there.
    #[error("the frame does not match its checksum")]
    Frame,
    /// A frame or segment does not follow the one before it.
    #[error("the chain of frames is broken")]
    Chain,
    /// A record in a frame with a good checksum is not a record.
    #[error("a record is not valid: {0}")]
    Record(BadEntry),
    /// A record does not follow the record of its run before it.
    #[error("the chain of {0} is broken")]
    RunChain(RunId),
    /// The summary is not there, or contradicts its segment. The records are all there.
    #[error("the summary is not valid")]
    Summary,
    /// Bytes stand where none were ever written.
    #[error("bytes stand where none were written")]
    Stray,
    /// Frames up to the acknowledged one are not in the log.
    #[error("acknowledged frames up to {acked} are missing")]
    Lost {
        /// The frame that was acknowledged.
        acked: u64,
    },
    /// The acknowledgement mark is missing or not eight bytes.
    #[error("the acknowledgement mark is not valid")]
    Mark,
    /// A sealed damaged segment is not what it was when it was sealed.
    #[error("the sealed segment was altered")]
    Altered,
    /// A salvage was begun and not ended.
    #[error("a salvage was not finished")]
    Unfinished,
}

/// A damaged place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("segment {segment}, offset {offset}, frame {frame}: {what}")]
pub struct Damage {
    /// The number of the segment.
    pub segment: u64,
    /// The offset in the segment's file.
    pub offset: u64,
    /// The frame that stands there or was expected there.
    pub frame: u64,
    /// What is wrong.
    pub what: What,
}

/// A failure of the system while it did something for the journal.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub struct Failed {
    /// What was to be done, as a phrase after "cannot".
    pub doing: String,
    /// Why not.
    #[source]
    pub source: io::Error,
}

impl Failed {
    /// For `map_err`: names what was to be done.
    pub(crate) fn to(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { doing: doing.into(), source }
    }
}

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is damaged where it was to be read.
    #[error("the journal is damaged")]
    Damage(#[from] Damage),
    /// The system said no.
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl From<ReadError> for JournalError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damage(damage) => Self::Damaged(damage.to_string()),
            ReadError::Failed(failed) => Self::Unreadable(format!("{failed}: {}", failed.source)),
        }
    }
}

/// Why the journal was not opened for writing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The state directory is a symbolic link.
    #[error("{0} is a symbolic link")]
    Link(PathBuf),
    /// It is a file, a FIFO or a device.
    #[error("{0} is not a directory")]
    NotADirectory(PathBuf),
    /// It belongs to another user.
    #[error("{path} belongs to user {owner}")]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others may write in it.
    #[error("{path} is writable by others (mode {mode:o})")]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another process owns it.
    #[error("the journal is in use by process {}", .pid.map_or("unknown".into(), |pid| pid.to_string()))]
    Locked {
        /// The owner's process id, as it wrote it.
        pid: Option<u32>,
        /// The boot in which it wrote it.
        boot: Option<String>,
    },
    /// It was created on, or adopted by, another machine.
    #[error("the journal belongs to machine {of}, not to this one ({here})")]
    OtherMachine {
        /// The machine it belongs to.
        of: String,
        /// The machine this is.
        here: String,
    },
    /// The log is damaged.
    #[error("the journal is damaged")]
    Damage(#[from] Damage),
    /// The system said no.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// A record of the journal's own could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damage(damage) => Self::Damage(damage),
            ReadError::Failed(failed) => Self::Failed(failed),
        }
    }
}
