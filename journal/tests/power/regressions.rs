//! What was found to go wrong, each with the case that showed it.

use std::sync::Arc;

use recover_journal::CommitLog;
use recover_journal::testing::entries::run;
use recover_journal::testing::sim::{Fate, Fault, Op, SimStorage};

use crate::common::{SMALL, frames, reader};

/// The folder's sync after a segment was renamed into place failed. The segment was then found "ready" and used, and its name
/// was never synced: with no room for a further segment, nothing else synced the folder either, and acknowledged frames went
/// with the name.
#[test]
fn a_segment_whose_name_could_not_be_synced_is_not_written_on_before_it_is() {
    let made = SimStorage::new();
    drop(CommitLog::open_inline(Arc::new(made.clone()), SMALL).unwrap());
    let ops = made.ops();
    let second = ops.iter().position(|op| matches!(op, Op::Rename { to, .. } if to == "log/00000002.seg")).unwrap();
    let sync = second + 1;
    assert!(matches!(&ops[sync], Op::SyncDir { .. }));
    let storage = SimStorage::new();
    storage.fail(sync, Fault::Errno(5), false);
    let log = CommitLog::open_inline(Arc::new(storage.clone()), SMALL).unwrap();
    storage.heal();
    let used: usize = storage.files().values().map(Vec::len).sum();
    storage.limit(used as u64);
    let mut acked = 0;
    while log.append_blocking(run(acked + 1, 1)).is_ok() {
        acked += 1;
        let left = storage.power_cut(storage.len(), |_, _| Fate::Lost);
        assert_eq!(frames(&left).0.len() as u64, acked, "acknowledged");
    }
}

/// A cut came when the first segment had its name and not yet its header. The next owner began the log anew and emptied the mark
/// to write it: a second cut in between left a segment without a mark, which is damage.
#[test]
fn a_log_that_is_begun_again_keeps_its_mark() {
    let made = SimStorage::new();
    drop(CommitLog::open_inline(Arc::new(made.clone()), SMALL).unwrap());
    let ops = made.ops();
    let named = ops.iter().position(|op| matches!(op, Op::Rename { to, .. } if to == "log/00000001.seg")).unwrap();
    let left = made.power_cut(named + 2, |_, _| Fate::Lost);
    drop(CommitLog::open_inline(Arc::new(left.clone()), SMALL).unwrap());
    assert!(!left.is_empty(), "the second owner wrote");
    for cut in 0..=left.len() {
        for kept in 0..=cut {
            let again = left.power_cut(cut, |op, _| if op < kept { Fate::Kept } else { Fate::Lost });
            let damage = reader(&again).verify().unwrap().damage;
            assert_eq!(damage, [], "cut after {cut}, {kept} kept");
        }
    }
}
