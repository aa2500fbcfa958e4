//! The journal as the engine sees it: append durably, and know what is claimed and consumed.

use crate::entry::{BadEntry, Entry};
use crate::id::{Digest, Key, RunId};
use crate::ledger::{Conflict, Consumed, OpenRun};

/// Where an acknowledged batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The number of the frame, from 1.
    pub frame: u64,
    /// The hash of the frame: the head of the log when it was written.
    pub head: Digest,
}

/// Why the journal did not take or give records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The records contradict what is in the log; nothing was written.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// A write or sync failed, now or before. Nothing is acknowledged any more; the process must end.
    #[error("the journal cannot be written: {0}")]
    Poisoned(String),
    /// The log is damaged where it was to be read.
    #[error("the journal is damaged: {0}")]
    Damaged(String),
    /// A record is not one.
    #[error(transparent)]
    Entry(#[from] BadEntry),
    /// The log could not be read, for a reason of the system's.
    #[error("the journal cannot be read: {0}")]
    Unreadable(String),
    /// The writer was closed while the batch waited; it was not written.
    #[error("the journal was closed")]
    Closed,
}

/// An append-only, durable sequence of records with a ledger over it. One contract suite runs on each implementation.
pub trait Journal {
    /// Makes the records of one run durable, together or not at all, and says where.
    ///
    /// When this returns `Ok`, they survive a power cut. When it returns [`JournalError::Conflict`] nothing was written.
    /// After [`JournalError::Poisoned`] the records may or may not be found by the next owner, and this journal takes no more.
    /// Dropping the future neither undoes nor hurries the write.
    fn append(&self, batch: Vec<Entry>) -> impl Future<Output = Result<Receipt, JournalError>> + Send;

    /// Every record of a run, in order.
    ///
    /// # Errors
    /// If the log is damaged or cannot be read there.
    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError>;

    /// The runs that began and did not close, oldest first.
    fn open_runs(&self) -> Vec<(RunId, OpenRun)>;

    /// The open run that holds a subject.
    fn holder(&self, subject: Key) -> Option<RunId>;

    /// What is known of an effect, whatever run it belongs to.
    fn effect(&self, key: Key) -> Option<Consumed>;
}
