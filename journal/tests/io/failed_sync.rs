//! The case that all of this is about, told once in full: a sync fails, the process is killed, and then the power goes.

use recover_engine::{Journal as _, JournalError};
use recover_journal::CommitLog;
use recover_journal::testing::entries::{closed_run, id, run};
use recover_journal::testing::sim::SimStorage;

use crate::common::{SMALL, entries, frames};
use crate::faulty::{Fault, Faulty, Kind, Wrong};
use crate::judge::Left;

const EIO: Wrong = Wrong::Error("EIO", 5);

/// The system has forgotten that the frame was ever to be written: only writing it again makes it durable.
#[test]
fn a_kill_after_a_failed_sync_and_then_a_power_cut_lose_nothing_that_anybody_acted_on() {
    let storage = Faulty::on(SimStorage::new());
    let log = CommitLog::open_inline(storage.storage(), SMALL).unwrap();
    log.append_blocking(run(1, 1)).unwrap();
    log.settled();
    let before = storage.count();
    drop(log);

    // The same again, and the sync of the second frame fails.
    let sim = SimStorage::new();
    let storage = Faulty::with(sim.clone(), Fault { at: before + 1, wrong: EIO, for_ever: false });
    let log = CommitLog::open_inline(storage.storage(), SMALL).unwrap();
    log.append_blocking(run(1, 1)).unwrap();
    log.settled();
    let refused = log.append_blocking(closed_run(2, 2));
    assert!(matches!(refused, Err(JournalError::Poisoned(_))), "{refused:?}");
    let failed = storage.calls().pop().unwrap();
    assert_eq!((failed.kind, failed.failed), (Kind::Sync, true), "it was the last call: the sync is not tried again");
    drop(log);

    // It is in sight, and a power cut now takes it: nobody has acted on it.
    assert_eq!(frames(&sim).0.len(), 2);
    assert_eq!(frames(&Left::Synced.of(&sim)).0.len(), 1);

    // The next owner sees it, and whoever asks that one acts on it: so it is durable before.
    let next = Faulty::on(sim.clone());
    let log = CommitLog::open_inline(next.storage(), SMALL).unwrap();
    assert_eq!(log.head().frame, 2);
    assert!(next.calls().iter().any(|call| call.syncs_segment() && !call.failed));
    assert_eq!(log.read(id(2)).unwrap(), closed_run(2, 2));
    let after = Left::Synced.of(&sim);
    assert_eq!(entries(frames(&after).0), [run(1, 1), closed_run(2, 2)]);
}
