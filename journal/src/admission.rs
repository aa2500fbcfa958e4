//! Which of the waiting batches go into the next frame: those the ledger admits, and no two that touch the same thing.

use std::collections::HashSet;

use recover_engine::{BadEntry, Conflict, Entry, JournalError, Key, Latch, Ledger, RunId};

/// Whether a batch may be written now, as far as the ledger knows.
///
/// # Errors
/// [`JournalError::Conflict`], or [`JournalError::Entry`] for a batch that is none.
pub(crate) fn admit(ledger: &Ledger, batch: &[Entry]) -> Result<(), JournalError> {
    let Some(first) = batch.first() else { return Err(BadEntry::Short.into()) };
    if batch.iter().any(|entry| entry.header().run != first.header().run) {
        return Err(Conflict::Chain.into());
    }
    ledger.admit(batch)?;
    // The ledger looks at each record by itself: a batch that consumes one effect twice is caught here.
    let mut consumed = batch.iter().map(Entry::header).filter(|header| header.latch == Latch::Consume);
    while let Some(header) = consumed.next() {
        if consumed.clone().any(|later| later.key == header.key) {
            return Err(Conflict::Consumed { by: header.run }.into());
        }
    }
    Ok(())
}

/// What the batches of one frame touch. The ledger learns of them only when they are durable, so a batch that touches the
/// same run or key waits for the next frame, and is judged then.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    runs: HashSet<RunId>,
    keys: HashSet<Key>,
    /// The journal's own records may block every subject: they share a frame with nothing.
    everything: bool,
}

impl Touched {
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.keys.clear();
        self.everything = false;
    }

    /// Whether nothing that the batch touches was touched before. It is touched now, either way.
    pub(crate) fn add(&mut self, batch: &[Entry]) -> bool {
        let Some(first) = batch.first() else { return true };
        let run = first.header().run;
        let own = run == RunId::JOURNAL;
        let latched = || batch.iter().map(Entry::header).filter(|header| header.latch != Latch::None);
        let free = !self.everything
            && !self.runs.contains(&run)
            && (!own || self.runs.is_empty())
            && latched().all(|header| !self.keys.contains(&header.key));
        self.runs.insert(run);
        self.keys.extend(latched().map(|header| header.key));
        self.everything |= own;
        free
    }
}
