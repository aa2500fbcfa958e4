//! The journal of a state directory, as its owner has it: the lock, the machine, the log.

use std::path::{Path, PathBuf};

use recover_engine::{
    Baseline, Consumed, Entry, Journal, JournalError, Key, Kind, Latch, Noted, OpenRun, Receipt, RunId,
};
use serde_json::json;

use crate::error::{OpenError, ReadError};
use crate::evidence::Evidence;
use crate::index::Index;
use crate::log::{CommitLog, Options};
use crate::own::{Author, OwnRecords};
use crate::reader::Reader;
use crate::state_dir::{Host, Owned, StateDir};
use crate::stats::Stats;

/// The journal of a state directory, open for writing. One process has it.
#[derive(Debug)]
pub struct FileJournal {
    /// Ends first: it reads the log.
    index: Option<Index>,
    log: CommitLog,
    dir: StateDir,
    /// Given up last: by then nothing of this process writes any more.
    _owned: Owned,
}

impl FileJournal {
    /// Opens the journal in the state directory at `path`, or begins one. Every frame in it is durable when this returns.
    ///
    /// # Errors
    /// A directory that cannot be trusted, another owner, another machine, damage, or whatever the system says.
    pub fn open(path: &Path, host: &Host, options: Options) -> Result<Self, OpenError> {
        let dir = StateDir::open(path)?;
        let owned = dir.lock(host)?;
        match dir.machine()? {
            None => dir.bind(&owned, host)?,
            Some(of) if of == host.machine => {}
            Some(of) => return Err(OpenError::OtherMachine { of, here: host.machine.clone() }),
        }
        Self::start(dir, owned, options)
    }

    /// Opens the journal of another machine and makes it this one's, which is a record. One that is this machine's
    /// already is only opened.
    ///
    /// # Errors
    /// As [`FileJournal::open`].
    pub fn adopt(
        path: &Path,
        host: &Host,
        options: Options,
        author: Author<'_>,
        reason: &str,
    ) -> Result<Self, OpenError> {
        let dir = StateDir::open(path)?;
        let owned = dir.lock(host)?;
        let of = dir.machine()?;
        if of.as_ref() == Some(&host.machine) {
            return Self::start(dir, owned, options);
        }
        let journal = Self::start(dir, owned, options)?;
        adopted(&journal.log, of.as_deref(), host, author, reason)?;
        // After the record: an adoption that was cut short is asked for again.
        journal.dir.bind(&journal._owned, host)?;
        Ok(journal)
    }

    fn start(dir: StateDir, owned: Owned, options: Options) -> Result<Self, OpenError> {
        let log = CommitLog::open(dir.storage(), options)?;
        // Without an index everything works, a little slower.
        let index = Index::start(&dir.anchored(), log.reader(), log.progress()).ok();
        Ok(Self { index, log, dir, _owned: owned })
    }

    /// Says that a person has answered for a subject that a salvage had blocked, or, with [`Key::NONE`], for every one
    /// that it could not name.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn clear(&self, subject: Key, author: Author<'_>, why: &str) -> Result<Receipt, JournalError> {
        let payload = json!({ "subject": subject.to_string(), "why": why });
        write_own(&self.log, author, Kind::Cleared, Latch::Clear, subject, &payload)
    }

    /// Records how a target is when it is well, on a person's word.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn baseline(&self, author: Author<'_>, baseline: &Baseline) -> Result<Receipt, JournalError> {
        let payload = json!(baseline);
        write_own(&self.log, author, Kind::Baselined, Latch::None, Key::NONE, &payload)
    }

    /// Records that a person dismissed an alert, so that it leads to nothing however often it is sent.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn dismiss(&self, author: Author<'_>, dismissed: &Noted) -> Result<Receipt, JournalError> {
        let payload = json!(dismissed);
        write_own(&self.log, author, Kind::Dismissed, Latch::None, Key::NONE, &payload)
    }

    /// See [`StateDir::anchored`].
    #[must_use]
    pub fn anchored(&self) -> PathBuf {
        self.dir.anchored()
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &CommitLog {
        &self.log
    }

    /// The index, if there is one.
    #[must_use]
    pub fn index(&self) -> Option<&Index> {
        self.index.as_ref()
    }

    /// The evidence beside the log.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        Evidence::new(self.dir.storage())
    }

    /// Removes captured texts that no record names, and gives the names of their files: a crash between a text and the commit of
    /// its record leaves one. To be called before a text is kept, since a text is there before its record. Nothing is removed after
    /// a salvage: a record that is lost may have named it.
    ///
    /// # Errors
    /// If the log or the folder cannot be read, or a file not removed.
    pub fn sweep(&self) -> Result<Vec<String>, ReadError> {
        crate::evidence::sweep(&self.dir.storage(), self.log.head())
    }

    /// Sizes and counts.
    ///
    /// # Errors
    /// If the log's folder cannot be read.
    pub fn stats(&self) -> Result<Stats, ReadError> {
        Ok(Stats { index: self.index.as_ref().map(Index::stats), ..self.log.stats()? })
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &StateDir {
        &self.dir
    }

    /// A reader of the same log.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.log.reader()
    }

    /// As [`Journal::append`], for a caller that may block.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn append_blocking(&self, batch: Vec<Entry>) -> Result<Receipt, JournalError> {
        self.log.append_blocking(batch)
    }
}

/// Writes the record of an adoption.
pub(crate) fn adopted(
    log: &CommitLog,
    of: Option<&str>,
    host: &Host,
    author: Author<'_>,
    reason: &str,
) -> Result<Receipt, JournalError> {
    let payload = json!({ "from": of, "to": host.machine, "reason": reason });
    write_own(log, author, Kind::Adopted, Latch::None, Key::NONE, &payload)
}

fn write_own(
    log: &CommitLog,
    author: Author<'_>,
    kind: Kind,
    latch: Latch,
    key: Key,
    payload: &serde_json::Value,
) -> Result<Receipt, JournalError> {
    let own = log.with_ledger(recover_engine::Ledger::own);
    let entry = OwnRecords::after(own, author).next(kind, latch, key, payload)?;
    log.append_blocking(vec![entry])
}

impl Journal for FileJournal {
    async fn append(&self, batch: Vec<Entry>) -> Result<Receipt, JournalError> {
        self.log.append(batch).await
    }

    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        self.log.read(run)
    }

    fn open_runs(&self) -> Vec<(RunId, OpenRun)> {
        self.log.open_runs()
    }

    fn holder(&self, subject: Key) -> Option<RunId> {
        self.log.holder(subject)
    }

    fn effect(&self, key: Key) -> Option<Consumed> {
        self.log.effect(key)
    }
}
