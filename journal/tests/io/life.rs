//! Lives of a log: opened, written on over several segments, closed and opened again, until something fails.

use recover_engine::{Digest, Entry, JournalError};
use recover_journal::testing::bind;
use recover_journal::testing::entries::{closed_run, run};
use recover_journal::testing::sim::{Fate, Op, SimStorage};
use recover_journal::{CommitLog, Evidence, Options};

use crate::common::{SMALL, batches, entries, frames};
use crate::faulty::Faulty;

/// The machine that the directory is bound to.
pub(crate) const MACHINE: &str = "first";

/// A way to use a log.
pub(crate) struct Life {
    pub name: &'static str,
    pub options: Options,
    /// What is on the disk before.
    before: fn() -> SimStorage,
    /// What is appended, for each time that it is opened.
    openings: Vec<Vec<Vec<Entry>>>,
}

/// What was promised before it ended.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Every frame up to this one was acknowledged, or shown by a log that was open.
    pub acked: u64,
    pub evidence: Vec<Digest>,
    pub bound: bool,
}

pub(crate) fn all() -> Vec<Life> {
    let later = vec![run(50, 2), closed_run(51, 3), run(52, 1)];
    vec![
        Life { name: "from the first", options: SMALL, before: SimStorage::new, openings: vec![batches(), later] },
        Life {
            name: "after a long torn tail",
            options: TORN,
            before: torn,
            openings: vec![vec![run(60, 1), run(61, 1)], vec![run(62, 2)]],
        },
        Life {
            name: "a segment that ended as the power went",
            options: SMALL,
            before: ended,
            openings: vec![vec![run(60, 2)], vec![run(61, 2), run(62, 2)]],
        },
    ]
}

const TORN: Options = Options { segment_len: 8 << 10 };

/// Of a frame much longer than the next ones, all but a few bytes at its beginning and end is on the disk.
fn torn() -> SimStorage {
    let storage = SimStorage::new();
    let log = CommitLog::open_inline(std::sync::Arc::new(storage.clone()), TORN).unwrap();
    log.append_blocking(run(1, 2)).unwrap();
    log.settled();
    let before = storage.len();
    log.append_blocking(run(2, 9)).unwrap();
    drop(log);
    storage.power_cut(before + 1, |op, _| if op == before { Fate::Front(512) } else { Fate::Kept })
}

/// The summary is written, and the next segment not begun.
fn ended() -> SimStorage {
    let storage = crate::common::written();
    let ops = storage.ops();
    let begins = |op: &Op| matches!(op, Op::Write { bytes, .. } if bytes.starts_with(b"rcvsegmt"));
    let second = ops.iter().enumerate().filter(|(_, op)| begins(op)).nth(1).unwrap().0;
    storage.power_cut(second, |_, _| Fate::Kept)
}

impl Life {
    pub(crate) fn before(&self) -> SimStorage {
        (self.before)()
    }

    /// Every frame that is ever written, in order, if nothing fails.
    pub(crate) fn written(&self) -> Vec<Vec<Entry>> {
        let (there, error) = frames(&self.before());
        assert!(error.is_none(), "{error:?}");
        entries(there).into_iter().chain(self.openings.iter().flatten().cloned()).collect()
    }

    /// Lives it until it is over or something fails, as the process that it is: after a failure nothing more is asked for.
    pub(crate) fn live(&self, storage: &Faulty, case: &str) -> Told {
        let bound = bind(&*storage.storage(), MACHINE).is_ok();
        let mut told = Told { bound, ..Told::default() };
        if !told.bound {
            return told;
        }
        for batches in &self.openings {
            if !self.open_once(storage, batches, &mut told, case) {
                break;
            }
        }
        told
    }

    fn open_once(&self, storage: &Faulty, batches: &[Vec<Entry>], told: &mut Told, case: &str) -> bool {
        let opening = storage.count();
        let Ok(log) = CommitLog::open_inline(storage.storage(), self.options) else { return false };
        told.acked = told.acked.max(log.head().frame);
        let evidence = Evidence::new(storage.storage());
        for (nth, batch) in batches.iter().enumerate() {
            let from = storage.count();
            match log.append_blocking(batch.clone()) {
                Ok(receipt) => told.acked = receipt.frame,
                Err(error) => {
                    refuses_from_now_on(&log, &error, case);
                    no_sync_again(storage, opening, case);
                    return false;
                }
            }
            log.settled();
            let failed = storage.calls()[from..].iter().any(|call| call.failed && call.syncs_segment());
            assert!(!failed, "{case}: acknowledged in spite of a failed sync");
            // A text that cannot be kept ends no run: the record says so.
            if nth == 2
                && let Ok(digest) = evidence.put(&[7; 300])
            {
                told.evidence.push(digest);
            }
        }
        true
    }
}

fn refuses_from_now_on(log: &CommitLog, error: &JournalError, case: &str) {
    let JournalError::Poisoned(why) = error else { panic!("{case}: {error:?}") };
    assert!(!why.contains("panicked"), "{case}: {why}");
    assert_eq!(log.poisoned(), Some(why.as_str()), "{case}");
    let again = log.append_blocking(run(90, 1));
    assert!(matches!(again, Err(JournalError::Poisoned(_))), "{case}: {again:?}");
}

/// Of the syncs of a segment since it was opened, one that failed is the last. And something did fail.
fn no_sync_again(storage: &Faulty, from: usize, case: &str) {
    let calls = storage.calls();
    let syncs: Vec<bool> = calls[from..].iter().filter(|call| call.syncs_segment()).map(|call| call.failed).collect();
    let again = syncs.iter().position(|failed| *failed).is_some_and(|first| first + 1 < syncs.len());
    assert!(!again, "{case}: synced again after a sync had failed");
    assert!(calls.iter().any(|call| call.failed), "{case}: it was poisoned by nothing");
}
