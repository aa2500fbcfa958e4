//! The index beside a log: what it says, when it takes from the log, and that the log waits for nothing of it.

use recover_engine::Receipt;

use super::*;
use crate::storage::{Access, Storage as _};
use crate::testing::entries::run;
use crate::testing::sim::{Fault, SimStorage};
use crate::{CommitLog, Options};

#[test]
fn a_frame_that_is_visible_and_not_acknowledged_is_not_in_the_index() {
    let storage = SimStorage::new();
    let log = CommitLog::open_inline(Arc::new(storage.clone()), Options { segment_len: 1 << 16 }).unwrap();
    log.append_blocking(run(1, 1)).unwrap();
    // The mark of the first frame is written after its acknowledgement: it is waited for, so that what fails is the sync.
    log.settled();
    // The frame is written, its sync fails: whoever reads the file sees it.
    storage.fail(1, Fault::Errno(5), true);
    assert!(log.append_blocking(run(2, 1)).is_err());
    assert_eq!(log.reader().runs().unwrap().runs.len(), 2);
    // As the writer's end would end the index too, it follows a progress of its own.
    let progress = Arc::new(Progress::default());
    progress.set(log.head());
    let dir = tempfile::tempdir().unwrap();
    let index = Index::start(dir.path(), log.reader(), Arc::clone(&progress)).unwrap();
    assert!(index.wait(OPEN_LIMIT));
    assert_eq!(index.lookup(Query::All).unwrap().len(), 1);
    assert_eq!(index.stats().applied, 1);
}

/// A log of one frame, an index of it in this directory, and how far the index is told that the log has come.
fn indexed(path: &Path, storage: &SimStorage) -> (Index, Arc<Progress>) {
    let log = CommitLog::open_inline(Arc::new(storage.clone()), Options { segment_len: 1 << 16 }).unwrap();
    log.append_blocking(run(1, 1)).unwrap();
    let progress = Arc::new(Progress::default());
    progress.set(log.head());
    let index = Index::start(path, log.reader(), Arc::clone(&progress)).unwrap();
    assert!(index.wait(OPEN_LIMIT));
    (index, progress)
}

#[test]
fn an_index_that_cannot_come_as_far_as_the_log_says_so_and_answers_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (index, progress) = indexed(dir.path(), &SimStorage::new());
    assert_eq!(index.lookup(Query::All).unwrap().len(), 1);
    // What is said to be acknowledged and cannot be read.
    progress.set(Receipt { frame: 5, head: Digest::ZERO });
    assert_eq!(index.lookup(Query::All), Err(NoIndex::Behind { applied: 1, acked: 5 }));
    assert!(!index.wait(Duration::ZERO));
    assert_eq!((index.stats().lag, index.stats().usable), (4, true));
}

#[test]
fn an_index_is_made_again_if_the_next_frame_does_not_follow_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let storage = SimStorage::new();
    let (index, progress) = indexed(dir.path(), &storage);
    // After the first frame of this log comes the second of one that began otherwise.
    let other = SimStorage::new();
    let log = CommitLog::open_inline(Arc::new(other.clone()), Options { segment_len: 1 << 16 }).unwrap();
    log.append_blocking(run(2, 1)).unwrap();
    log.append_blocking(run(3, 1)).unwrap();
    let second = log.reader().follow(1).poll(2).unwrap().remove(0);
    let segment = crate::segment::SegmentFile::sound(1).path();
    let at = usize::try_from(second.offset).unwrap();
    let file = storage.open(&segment, Access::Write).unwrap();
    file.write_at(&other.files()[&segment][at..], second.offset).unwrap();
    progress.set(log.head());
    progress.ring();
    assert!(index.wait(OPEN_LIMIT));
    assert_eq!((index.stats().applied, index.stats().rebuilt), (2, 1));
}

#[test]
fn an_index_that_was_dropped_has_let_go_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (index, progress) = indexed(dir.path(), &SimStorage::new());
    drop(index);
    assert_eq!(Arc::strong_count(&progress), 1);
}

#[test]
fn a_log_goes_before_its_index_once_that_has_caught_up() {
    let mut patience = Patience { seen: 10, caught_up: false };
    assert_eq!(patience.next(0, 10), Turn::Take, "it was opened behind a log that is quiet");
    assert_eq!(patience.next(5, 12), Turn::Take, "and that is written: until it has caught up");
    assert_eq!(patience.next(12, 12), Turn::Rest(None), "it has");
    assert_eq!(patience.next(12, 13), Turn::Rest(Some(QUIET)), "the log moves");
    assert_eq!(patience.next(12, 14), Turn::Rest(Some(QUIET)), "and moves on");
    assert_eq!(patience.next(12, 14), Turn::Take, "it is quiet");
    assert_eq!(patience.next(14, 14), Turn::Rest(None));
}

#[test]
fn a_keeper_that_rests_takes_no_more_questions_when_the_log_is_closed() {
    let storage = SimStorage::new();
    let progress = Arc::new(Progress::default());
    let status = Arc::new(Status { questions: Mutex::new(Some(Vec::new())), ..Status::default() });
    let reader = Reader::new(Arc::new(storage));
    let (ends, _) = sync_channel(0);
    let (told, asked) = (Arc::clone(&progress), Arc::clone(&status));
    let keeper = Keeper { path: PathBuf::new(), reader, progress: told, status: asked, _ends: ends };
    keeper.rest(0, Some(Duration::ZERO));
    assert!(status.questions().is_some());
    progress.end();
    keeper.rest(0, Some(Duration::ZERO));
    assert!(status.questions().is_none());
}

#[test]
fn the_writer_does_not_wait_for_an_index_that_is_stuck() {
    let dir = tempfile::tempdir().unwrap();
    // Whatever opens this first waits for a writer that never comes.
    std::fs::create_dir(dir.path().join(FOLDER)).unwrap();
    let fifo = dir.path().join(FOLDER).join("conf");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let log = CommitLog::open(Arc::new(SimStorage::new()), Options { segment_len: 1 << 16 }).unwrap();
    let index = Index::start(dir.path(), log.reader(), log.progress()).unwrap();
    for n in 0..100 {
        log.append_blocking(run(n, 1)).unwrap();
    }
    assert!(matches!(index.lookup(Query::All), Err(NoIndex::Behind { .. })));
    // Lets the opener go.
    drop(std::fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap());
}
