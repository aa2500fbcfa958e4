//! A journal in memory: what was appended survives every crash of the process, nothing else does.

use std::sync::{Mutex, PoisonError};

use recover_engine::{Consumed, Entry, Journal, JournalError, Key, Ledger, OpenRun, Receipt, RunId};

#[derive(Clone, Debug, Default)]
struct Log {
    entries: Vec<Entry>,
    ledger: Ledger,
    frames: u64,
}

/// See the file's first line.
#[derive(Debug, Default)]
pub(crate) struct MemoryJournal(Mutex<Log>);

impl Clone for MemoryJournal {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.with(|log| log.clone())))
    }
}

impl MemoryJournal {
    fn with<T>(&self, what: impl FnOnce(&mut Log) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every record, of every run.
    pub(crate) fn all(&self) -> Vec<Entry> {
        self.with(|log| log.entries.clone())
    }

    /// Looks at the last record without copying the log.
    pub(crate) fn last<T>(&self, look: impl FnOnce(&Entry) -> T) -> Option<T> {
        self.with(|log| log.entries.last().map(look))
    }
}

impl Journal for MemoryJournal {
    async fn append(&self, batch: Vec<Entry>) -> Result<Receipt, JournalError> {
        self.with(|log| {
            log.ledger.admit(&batch)?;
            log.frames += 1;
            for entry in batch {
                log.ledger.note(entry.header(), entry.hash());
                log.entries.push(entry);
            }
            let head = log.entries.last().map(Entry::hash).unwrap_or_default();
            Ok(Receipt { frame: log.frames, head })
        })
    }

    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        Ok(self.with(|log| log.entries.iter().filter(|e| e.header().run == run).cloned().collect()))
    }

    fn open_runs(&self) -> Vec<(RunId, OpenRun)> {
        self.with(|log| log.ledger.open().collect())
    }

    fn holder(&self, subject: Key) -> Option<RunId> {
        self.with(|log| log.ledger.holder(subject))
    }

    fn effect(&self, key: Key) -> Option<Consumed> {
        self.with(|log| log.ledger.effect(key))
    }
}
