//! The journal's disk: whole frames, written or lost. What was acknowledged is remembered apart, to be compared with.

use std::collections::BTreeMap;

use recover_engine::{Conflict, Digest, Entry, Ledger, Receipt, RunId};

/// What survives a process.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) ledger: Ledger,
    runs: BTreeMap<RunId, Vec<Entry>>,
    /// The hashes of the records that a run was told are durable.
    acknowledged: BTreeMap<RunId, Vec<Digest>>,
    frames: u64,
}

impl Disk {
    /// The records of a run, in order.
    pub(crate) fn entries(&self, run: RunId) -> &[Entry] {
        self.runs.get(&run).map_or(&[], Vec::as_slice)
    }

    /// Writes a batch as a part of the frame that is being written.
    pub(crate) fn write(&mut self, batch: &[Entry]) -> Result<(), Conflict> {
        self.ledger.admit(batch)?;
        for entry in batch {
            self.ledger.note(entry.header(), entry.hash());
            self.runs.entry(entry.header().run).or_default().push(entry.clone());
        }
        Ok(())
    }

    /// The frame is durable, and this batch of it is acknowledged.
    pub(crate) fn acknowledge(&mut self, batch: &[Entry]) -> Receipt {
        for entry in batch {
            self.acknowledged.entry(entry.header().run).or_default().push(entry.hash());
        }
        self.frames += 1;
        Receipt { frame: self.frames, head: batch.last().map(Entry::hash).unwrap_or_default() }
    }

    /// Whatever a restart finds is made durable before anything is done.
    pub(crate) fn reopen(&mut self) -> Result<(), String> {
        self.kept()?;
        for (run, entries) in &self.runs {
            self.acknowledged.insert(*run, entries.iter().map(Entry::hash).collect());
        }
        Ok(())
    }

    /// The last record of the first run is gone though it was acknowledged, as on a disk that lied.
    pub(crate) fn forget(&mut self) {
        let Some((run, entries)) = self.runs.iter_mut().next() else { return };
        if self.acknowledged.get(run).is_some_and(|hashes| hashes.len() == entries.len()) {
            entries.pop();
        }
    }

    /// How many records of a run are acknowledged.
    pub(crate) fn acknowledged(&self, run: RunId) -> usize {
        self.acknowledged.get(&run).map_or(0, Vec::len)
    }

    /// Whether every acknowledged record is where it was and what it was.
    pub(crate) fn kept(&self) -> Result<(), String> {
        for (run, hashes) in &self.acknowledged {
            let found = self.entries(*run);
            for (at, hash) in hashes.iter().enumerate() {
                if found.get(at).map(Entry::hash) != Some(*hash) {
                    return Err(format!("record {} of {run} was acknowledged and is gone or another", at + 1));
                }
            }
        }
        Ok(())
    }
}
