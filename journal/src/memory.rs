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
    poisoned: Option<String>,
    /// How many appends until one fails.
    fuse: Option<u64>,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the append after `appends` more ones fail as a disk would, and the journal take no more.
    pub fn fail_after(&self, appends: u64) {
        self.lock().fuse = Some(appends);
    }

    /// The journal that a restart finds: the same records, not poisoned, no fuse.
    #[must_use]
    pub fn reopened(&self) -> Self {
        let state = self.lock();
        let copy = State {
            ledger: state.ledger.clone(),
            entries: state.entries.clone(),
            frame: state.frame,
            head: state.head,
            ..State::default()
        };
        Self { state: Mutex::new(copy) }
    }

    /// Every record, in the order in which they were written.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
    }

    /// The number and hash of the last frame; frame 0 if there is none.
    #[must_use]
    pub fn head(&self) -> Receipt {
        let state = self.lock();
        Receipt { frame: state.frame, head: state.head }
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
        if let Some(why) = &state.poisoned {
            return Err(JournalError::Poisoned(why.clone()));
        }
        admit(&state.ledger, &batch)?;
        match &mut state.fuse {
            Some(0) => {
                let why = "the append was made to fail".to_owned();
                state.poisoned = Some(why.clone());
                return Err(JournalError::Poisoned(why));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        let State { ledger, entries, frame, head, builder, .. } = &mut *state;
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
