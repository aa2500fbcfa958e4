//! Opening a log that was not closed: what it shows is durable when it is open, and nothing else is changed.

use recover_journal::testing::entries::run;
use recover_journal::testing::sim::{Fate, Fault, Op, SimStorage};

use crate::common::forge::{self, found, seg, set_mark, spoil, summary_at};
use crate::common::{batches, entries, frames, open, reader, written};

/// The disk as it is if the power goes now, and nothing is left of what was not synced.
fn after_a_power_cut(storage: &SimStorage) -> SimStorage {
    storage.power_cut(storage.len(), |_, _| Fate::Lost)
}

#[test]
fn the_records_of_every_segment_count() {
    let storage = written();
    let records = batches().iter().map(Vec::len).sum::<usize>() as u64;
    assert_eq!(open(&storage).unwrap().stats().unwrap().records, records);
}

/// Writes until the disk fails, which it does from the operation after `after` others on.
fn interrupted(after: usize) -> SimStorage {
    let storage = SimStorage::of(written().files());
    let log = open(&storage).unwrap();
    storage.fail(after, Fault::Errno(5), true);
    // They fill more than one segment.
    let refused = (10..16).filter(|n| log.append_blocking(run(*n, 1)).is_err()).count();
    assert!(refused > 0, "the disk has not failed");
    drop(log);
    storage.heal();
    storage
}

#[test]
fn what_a_log_shows_is_durable_once_it_is_open_wherever_the_disk_had_failed() {
    for after in 0..25 {
        let storage = interrupted(after);
        let shown = entries(frames(&storage).0);
        let log = open(&storage).unwrap();
        assert_eq!(log.head().frame as usize, shown.len(), "after {after}");
        let cut = after_a_power_cut(&storage);
        let report = reader(&cut).verify().unwrap();
        assert_eq!((report.damage, report.torn_tail), (vec![], None), "after {after}");
        assert_eq!(entries(frames(&cut).0), shown, "after {after}");
        // And it goes on.
        let log = open(&cut).unwrap();
        log.append_blocking(run(20, 1)).unwrap();
        drop(log);
        assert_eq!(reader(&cut).verify().unwrap().damage, [], "after {after}");
        assert_eq!(frames(&cut).0.len(), shown.len() + 1, "after {after}");
    }
}

#[test]
fn a_torn_tail_is_wiped_for_good() {
    let mut files = written().files();
    let torn = frames(&written()).0.pop().unwrap();
    spoil(&mut files, &torn);
    set_mark(&mut files, 8);
    let storage = SimStorage::of(files.clone());
    let log = open(&storage).unwrap();
    assert_eq!(log.head().frame, 8);
    for seen in [&storage, &after_a_power_cut(&storage)] {
        let bytes = &seen.files()[&seg(5)];
        assert_eq!(bytes[..torn.offset as usize], files[&seg(5)][..torn.offset as usize]);
        assert!(bytes[torn.offset as usize..].iter().all(|byte| *byte == 0));
        assert_eq!(found(&seen.files()), []);
    }
}

#[test]
fn the_summary_of_a_segment_that_was_just_ended_is_written_again_and_nothing_besides() {
    let mut files = written().files();
    files.retain(|name, _| [seg(1), seg(2), "log/acked".into()].contains(name));
    let bytes = files.get_mut(&seg(1)).unwrap();
    let (at, end) = (summary_at(bytes), bytes.len());
    // As it is before the space behind the summary is given back, and the next segment begun.
    bytes.resize(1280, 0);
    let summary = bytes[at..end].to_vec();
    files.insert(seg(2), vec![0; 1280]);
    set_mark(&mut files, 2);
    let storage = SimStorage::of(files);
    let log = open(&storage).unwrap();
    assert_eq!((log.head().frame, log.stats().unwrap().segment), (2, 2));
    let mut again = Vec::new();
    for op in storage.ops() {
        if let Op::Write { offset, bytes, .. } = op
            && bytes.starts_with(b"rcvsummy")
        {
            again.push((offset as usize, bytes));
        }
    }
    assert_eq!(again, [(at, summary)]);
    assert_eq!(forge::found(&storage.files()), []);
}
