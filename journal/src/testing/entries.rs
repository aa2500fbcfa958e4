//! Records with fixed times, ids and hashes, so that a test is the same every time.

#![expect(clippy::expect_used, reason = "test data that is known to be valid")]

use recover_engine::{Digest, Entry, Header, Key, Kind, Latch, Millis, RunId};

/// Who made every record here.
pub const ACTOR: &str = r#"{"uid":0,"host":"test"}"#;

/// The id of the `n`-th run.
#[must_use]
pub fn id(n: u64) -> RunId {
    let mut entropy = [0; 10];
    entropy[..8].copy_from_slice(&n.to_be_bytes());
    RunId::new(Millis(1_700_000_000_000), entropy)
}

/// The subject of the `n`-th run.
#[must_use]
pub fn subject(n: u64) -> Key {
    Key::subject(&format!("subject {n}"))
}

/// The `i`-th effect of the `n`-th run.
#[must_use]
pub fn effect(n: u64, i: u32) -> Key {
    Key::effect(&format!("subject {n}"), "epoch", "pair", i)
}

/// A run that is written record by record.
#[derive(Clone, Debug)]
pub struct Script {
    run: RunId,
    seq: u32,
    prev: Digest,
}

impl Script {
    /// A run that has no record yet.
    #[must_use]
    pub fn new(run: RunId) -> Self {
        Self { run, seq: 0, prev: Digest::ZERO }
    }

    /// A run that goes on after a record.
    #[must_use]
    pub fn after(entry: &Entry) -> Self {
        Self { run: entry.header().run, seq: entry.header().seq, prev: entry.hash() }
    }

    /// The next record.
    pub fn next(&mut self, kind: Kind, latch: Latch, key: Key, payload: &str) -> Entry {
        self.seq += 1;
        let at = Millis(1_700_000_000_000 + i64::from(self.seq));
        let header = Header { run: self.run, seq: self.seq, kind, latch, key, at, prev: self.prev };
        let entry = Entry::encode(header, ACTOR, payload).expect("short enough");
        self.prev = entry.hash();
        entry
    }

    /// The record that begins the run and claims a subject.
    pub fn begin(&mut self, subject: Key) -> Entry {
        self.next(Kind::Begun, Latch::Claim, subject, r#"{"scenario":"test"}"#)
    }

    /// An intent that consumes an effect.
    pub fn intend(&mut self, effect: Key) -> Entry {
        self.next(Kind::Intent, Latch::Consume, effect, r#"{"step":"pair"}"#)
    }

    /// An outcome that latches nothing.
    pub fn outcome(&mut self) -> Entry {
        self.next(Kind::Outcome, Latch::None, Key::NONE, r#"{"happened":"paired"}"#)
    }

    /// The end of the run.
    pub fn close(&mut self, subject: Key) -> Entry {
        self.next(Kind::Closed, Latch::Release, subject, r#"{"verdict":"recovered"}"#)
    }
}

/// The first `len` records of the `n`-th run: begun, then intents and outcomes in turn. It stays open.
#[must_use]
pub fn run(n: u64, len: u32) -> Vec<Entry> {
    let mut script = Script::new(id(n));
    (0..len)
        .map(|i| match i {
            0 => script.begin(subject(n)),
            i if i % 2 == 1 => script.intend(effect(n, i)),
            _ => script.outcome(),
        })
        .collect()
}

/// The `n`-th run with `len` records, the last of which closes it.
#[must_use]
pub fn closed_run(n: u64, len: u32) -> Vec<Entry> {
    let mut entries = run(n, len.saturating_sub(1).max(1));
    if let Some(last) = entries.last() {
        let close = Script::after(last).close(subject(n));
        entries.push(close);
    }
    entries
}
