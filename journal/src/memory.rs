//! The journal in memory: the same rules and frames, no file and no thread. For simulation and for tests.

use std::sync::{Mutex, MutexGuard, PoisonError};

use recover_engine::{Consumed, Digest, Entry, Journal, JournalError, Key, Ledger, OpenRun, Receipt, RunId};

use crate::admission::admit;
use crate::frame::FrameBuilder;

/// A journal that lives as long as its value.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ledger: Ledger,
    entries: Vec<Entry>,
    frame: u64,
    head: Digest,
    builder: FrameBuilder,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Journal::append`].
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn append_blocking(&self, batch: Vec<Entry>) -> Result<Receipt, JournalError> {
        let mut state = self.lock();
        admit(&state.ledger, &batch)?;
        let State { ledger, entries, frame, head, builder } = &mut *state;
        builder.begin();
        for entry in &batch {
            builder.add(entry);
            ledger.note(entry.header(), entry.hash());
        }
        *frame += 1;
        *head = builder.finish(*frame, *head).1;
        entries.extend(batch);
        Ok(Receipt { frame: *frame, head: *head })
    }
}

impl Journal for MemoryJournal {
    async fn append(&self, batch: Vec<Entry>) -> Result<Receipt, JournalError> {
        self.append_blocking(batch)
    }

    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        Ok(self.lock().entries.iter().filter(|entry| entry.header().run == run).cloned().collect())
    }

    fn open_runs(&self) -> Vec<(RunId, OpenRun)> {
        self.lock().ledger.open().collect()
    }

    fn holder(&self, subject: Key) -> Option<RunId> {
        self.lock().ledger.holder(subject)
    }

    fn effect(&self, key: Key) -> Option<Consumed> {
        self.lock().ledger.effect(key)
    }
}
