//! The power goes at every operation, and what was not synced is kept, lost or torn: nothing acknowledged is lost.

use crate::common::{batches, entries, frames, open, reader};
use recover_engine::{Entry, Journal, JournalError};
use recover_journal::testing::entries as made;
use recover_journal::testing::sim::{Fate, Fault, Op, SimStorage};

/// A small generator of its own, so that a failure is the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }
}

/// Appends the batches; gives, for each, how many operations had succeeded when it was acknowledged.
fn write(storage: &SimStorage) -> Vec<usize> {
    let log = open(storage).unwrap();
    batches()
        .into_iter()
        .map(|batch| {
            log.append_blocking(batch).unwrap();
            storage.len()
        })
        .collect()
}

/// What is left must be a prefix of what was written, with every acknowledged batch, and can be written on.
fn check(after: &SimStorage, acked: usize, all: &[Vec<Entry>], case: &str) {
    let before = after.files();
    let report = reader(after).verify().unwrap();
    assert_eq!(report.damage, [], "{case}");
    let (read, error) = frames(after);
    assert!(error.is_none(), "{case}: {error:?}");
    let read = entries(read);
    assert_eq!(after.files(), before, "reading repairs nothing: {case}");
    let log = open(after).unwrap_or_else(|error| panic!("{case}: {error:?}"));
    assert!(read.len() >= acked, "{case}: {} of {acked} acknowledged batches", read.len());
    assert_eq!(read, all[..read.len()], "{case}");
    assert_eq!(log.head().frame, read.len() as u64, "{case}");
    if let Some(next) = all.get(read.len()) {
        log.append_blocking(next.clone()).unwrap_or_else(|error| panic!("{case}: {error:?}"));
    } else {
        log.append_blocking(made::run(50, 1)).unwrap();
    }
    drop(log);
    assert_eq!(reader(after).verify().unwrap().damage, [], "written on: {case}");
}

#[test]
fn whatever_the_power_cut_leaves_holds_every_acknowledged_batch() {
    let storage = SimStorage::new();
    let acked_at = write(&storage);
    let all = batches();
    let ops = storage.ops();
    let mut random = Random(0x5eed);
    let mut states = 0;
    for cut in 0..=ops.len() {
        let acked = acked_at.iter().filter(|at| **at <= cut).count();
        let mut try_with = |name: &str, fate: &mut dyn FnMut(usize, &Op) -> Fate| {
            let after = storage.power_cut(cut, fate);
            check(&after, acked, &all, &format!("cut after {cut} operations, {name}"));
            states += 1;
        };
        try_with("all lost", &mut |_, _| Fate::Lost);
        try_with("all kept", &mut |_, _| Fate::Kept);
        let len = match cut.checked_sub(1).and_then(|last| ops.get(last)) {
            Some(Op::Write { bytes, .. }) => bytes.len(),
            _ => 0,
        };
        let mut torn: Vec<usize> = vec![1, len / 2, len.saturating_sub(1), len / 512 * 512];
        torn.extend((0..len).step_by(7));
        torn.retain(|n| *n > 0 && *n < len);
        torn.sort_unstable();
        torn.dedup();
        for n in torn {
            let mut last = |op: usize, _: &Op| if op + 1 == cut { Fate::Torn(n) } else { Fate::Kept };
            try_with(&format!("last write torn at {n}"), &mut last);
        }
        for _ in 0..6 {
            let seed = random.next(usize::MAX);
            let mut some = Random(seed as u64 | 1);
            let mut fate = |_: usize, op: &Op| match (some.next(3), op) {
                (0, _) => Fate::Kept,
                (1, _) => Fate::Lost,
                (_, Op::Write { bytes, .. }) => Fate::Torn(some.next(bytes.len() + 1)),
                _ => Fate::Lost,
            };
            try_with(&format!("subset {seed}"), &mut fate);
        }
    }
    assert!(states > 1000, "{states}");
}

#[test]
fn a_second_power_cut_while_opening_loses_nothing_either() {
    let storage = SimStorage::new();
    let acked_at = write(&storage);
    let all = batches();
    for cut in (0..=storage.len()).step_by(3) {
        let acked = acked_at.iter().filter(|at| **at <= cut).count();
        let half = |op: usize, what: &Op| {
            if let Op::Write { bytes, .. } = what
                && op + 1 == cut
            {
                return Fate::Torn(bytes.len() / 2);
            }
            Fate::Kept
        };
        let first = storage.power_cut(cut, half);
        let opened = open(&first).unwrap();
        // What the first owner saw, it may have acted on.
        let seen = usize::try_from(opened.head().frame).unwrap().max(acked);
        let after_open = first.len();
        drop(opened);
        for second_cut in 0..=after_open {
            let seen = if second_cut == after_open { seen } else { acked };
            let second = first.power_cut(second_cut, |_, _| Fate::Lost);
            check(&second, seen, &all, &format!("cut after {cut}, then after {second_cut} of the opening"));
        }
    }
}

#[test]
fn what_an_open_log_shows_is_durable_even_if_the_sync_before_the_kill_failed() {
    let all = batches();
    let storage = SimStorage::new();
    let log = open(&storage).unwrap();
    log.append_blocking(all[0].clone()).unwrap();
    log.settled();
    // The write of the second frame succeeds, its sync fails; the process dies, and the frame is visible.
    storage.fail(1, Fault::Errno(5), false);
    assert!(matches!(log.append_blocking(all[1].clone()), Err(JournalError::Poisoned(_))));
    drop(log);
    storage.heal();
    let log = open(&storage).unwrap();
    assert_eq!(log.head().frame, 2, "it is visible, and so it counts");
    drop(log);
    let after = storage.power_cut(storage.len(), |_, _| Fate::Lost);
    check(&after, 2, &all, "power cut after opening");
}

#[test]
fn a_torn_tail_is_wiped_before_anything_else_is_written() {
    let storage = SimStorage::new();
    let log = open(&storage).unwrap();
    log.append_blocking(made::run(1, 1)).unwrap();
    log.append_blocking(made::run(2, 1)).unwrap();
    drop(log);
    let ops = storage.ops();
    let last = ops.iter().rposition(|op| matches!(op, Op::Write { bytes, .. } if bytes.len() > 64)).unwrap();
    let after = storage.power_cut(last + 1, |op, _| if op == last { Fate::Torn(100) } else { Fate::Kept });
    assert_eq!(reader(&after).verify().unwrap().torn_tail.unwrap().frame, 2);
    drop(open(&after).unwrap());
    let contents: Vec<_> = after.ops().into_iter().filter(|op| !matches!(op, Op::SyncDir { .. })).collect();
    assert!(matches!(&contents[0], Op::Write { bytes, .. } if bytes.iter().all(|b| *b == 0)), "{contents:?}");
    assert!(matches!(&contents[1], Op::Sync { .. }));
    assert!(matches!(&contents[2], Op::Write { bytes, .. } if bytes.starts_with(b"rcvframe")), "the frame before it");
    assert!(matches!(&contents[3], Op::Sync { .. }));
    assert_eq!(reader(&after).verify().unwrap().torn_tail, None);
}

#[test]
fn a_steady_commit_is_one_write_and_one_sync_and_then_the_mark() {
    let storage = SimStorage::new();
    let log = open(&storage).unwrap();
    log.append_blocking(made::run(1, 1)).unwrap();
    log.append_blocking(made::run(2, 1)).unwrap();
    let before = storage.len();
    log.append_blocking(made::run(3, 1)).unwrap();
    drop(log);
    let ops = storage.ops().split_off(before);
    // The mark of the frame before may be written between the acknowledgement and the next frame.
    let ops: Vec<_> = ops.into_iter().filter(|op| !matches!(op, Op::Write { bytes, .. } if bytes.len() == 8)).collect();
    assert!(matches!(&ops[..], [Op::Write { .. }, Op::Sync { .. }]), "{ops:?}");
}

#[test]
fn a_failed_sync_is_never_tried_again() {
    let storage = SimStorage::new();
    let log = open(&storage).unwrap();
    log.append_blocking(made::run(1, 1)).unwrap();
    log.append_blocking(made::run(2, 1)).unwrap();
    log.settled();
    let before = storage.len();
    storage.fail(1, Fault::Errno(5), false);
    let refused = log.append_blocking(made::run(3, 1));
    assert!(matches!(refused, Err(JournalError::Poisoned(_))), "{refused:?}");
    assert!(log.poisoned().is_some());
    assert!(matches!(log.append_blocking(made::run(4, 1)), Err(JournalError::Poisoned(_))));
    assert_eq!(log.holder(made::subject(3)), None, "the ledger does not know of it");
    assert_eq!(log.read(made::id(3)).unwrap(), [], "nor is it shown");
    drop(log);
    let after = storage.ops().split_off(before);
    assert!(!after.iter().any(|op| matches!(op, Op::Sync { .. })), "{after:?}");
}

#[test]
fn no_room_for_the_next_segment_is_no_harm_until_it_is_needed() {
    let storage = SimStorage::new();
    let log = open(&storage).unwrap();
    log.append_blocking(made::run(1, 1)).unwrap();
    let used: usize = storage.files().values().map(Vec::len).sum();
    storage.limit(used as u64);
    let mut n = 1;
    let refused = loop {
        n += 1;
        if let Err(error) = log.append_blocking(made::run(n, 1)) {
            break error;
        }
    };
    assert!(n > 4, "this segment and the one made ahead were filled: {n}");
    assert!(matches!(refused, JournalError::Poisoned(_)), "{refused:?}");
    drop(log);
    assert_eq!(reader(&storage).runs().unwrap().runs.len() as u64, n - 1, "readable on a full disk");
    storage.heal();
    let log = open(&storage).unwrap();
    log.append_blocking(made::run(n, 1)).unwrap();
    assert_eq!(log.reader().verify().unwrap().records, n);
}
