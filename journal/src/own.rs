//! The records in which the journal speaks of itself, under [`RunId::JOURNAL`].

use recover_engine::{BadEntry, Digest, Entry, Header, Key, Kind, Latch, Millis, RunId};

/// Who does something to the journal itself, and when: for the record of it.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// The actor, as a JSON object.
    pub actor: &'a str,
    /// The time.
    pub at: Millis,
}

/// Writes records of the journal's own, one after another.
pub(crate) struct OwnRecords<'a> {
    author: Author<'a>,
    seq: u32,
    prev: Digest,
}

impl<'a> OwnRecords<'a> {
    /// After the journal's own last record, if it has one.
    pub(crate) fn after(own: Option<(u32, Digest)>, author: Author<'a>) -> Self {
        let (seq, prev) = own.unwrap_or((0, Digest::ZERO));
        Self { author, seq, prev }
    }

    pub(crate) fn next(
        &mut self,
        kind: Kind,
        latch: Latch,
        key: Key,
        payload: &serde_json::Value,
    ) -> Result<Entry, BadEntry> {
        // Somebody else's log may have used the numbers up.
        let seq = self.seq.checked_add(1).ok_or(BadEntry::Lengths)?;
        let header = Header { run: RunId::JOURNAL, seq, kind, latch, key, at: self.author.at, prev: self.prev };
        let entry = Entry::encode(header, self.author.actor, &payload.to_string())?;
        (self.seq, self.prev) = (seq, entry.hash());
        Ok(entry)
    }
}
