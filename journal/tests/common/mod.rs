//! What the tests of this crate share: a small log on a simulated disk, and all that can be read of one.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

pub mod forge;
pub mod observed;

use std::sync::Arc;

use recover_engine::{Entry, Key, Kind, Latch, Millis, RunId};
use recover_journal::testing::entries::{ACTOR, Script, effect, id, subject};
use recover_journal::testing::salvage;
use recover_journal::testing::sim::SimStorage;
use recover_journal::{Author, CommitLog, Frame, OpenError, Options, ReadError, Reader, Salvage, Storage};

/// Short segments, so that a few records fill several.
pub const SMALL: Options = Options { segment_len: 1280 };

pub fn open(storage: &SimStorage) -> Result<CommitLog, OpenError> {
    CommitLog::open_inline(Arc::new(storage.clone()), SMALL)
}

pub fn reader(storage: &SimStorage) -> Reader {
    Reader::new(Arc::new(storage.clone()))
}

/// Salvages what is damaged.
pub fn mend(storage: &SimStorage) -> Result<Salvage, OpenError> {
    let on: Arc<dyn Storage> = Arc::new(storage.clone());
    salvage(&on, SMALL, Author { actor: ACTOR, at: Millis(7) }, "it was found so")
}

/// Batches of two runs that take turns, with every latch: enough for several segments.
pub fn batches() -> Vec<Vec<Entry>> {
    let (mut a, mut b) = (Script::new(id(1)), Script::new(id(2)));
    let mut own = Script::new(RunId::JOURNAL);
    vec![
        vec![a.begin(subject(1))],
        vec![a.intend(effect(1, 0))],
        vec![b.begin(subject(2)), b.intend(effect(2, 0))],
        vec![a.next(Kind::Outcome, Latch::Restore, effect(1, 0), "{}"), a.intend(effect(1, 1))],
        vec![own.next(Kind::Salvaged, Latch::Block, subject(9), "{}")],
        vec![b.outcome()],
        vec![a.outcome(), a.close(subject(1))],
        vec![own.next(Kind::Cleared, Latch::Clear, subject(9), "{}")],
        vec![b.next(Kind::Asked, Latch::None, Key::NONE, r#"{"question":"?"}"#)],
    ]
}

/// The log that holds [`batches`].
pub fn written() -> SimStorage {
    let storage = SimStorage::new();
    let log = open(&storage).unwrap();
    for batch in batches() {
        log.append_blocking(batch).unwrap();
    }
    drop(log);
    storage
}

/// Every frame, until the end or until damage stops it.
pub fn frames(storage: &SimStorage) -> (Vec<Frame>, Option<ReadError>) {
    let mut follower = reader(storage).follow(0);
    let mut all = Vec::new();
    loop {
        match follower.poll(u64::MAX) {
            Ok(frames) if frames.is_empty() => return (all, None),
            Ok(frames) => all.extend(frames),
            Err(error) => return (all, Some(error)),
        }
    }
}

/// The records of frames, batch by batch.
pub fn entries(frames: Vec<Frame>) -> Vec<Vec<Entry>> {
    frames.into_iter().map(|frame| frame.entries).collect()
}
