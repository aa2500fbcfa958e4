//! What a look at a log costs, and what it is when the system does not let it be had.

use std::fs;
use std::io;
use std::sync::{Arc, Mutex};

use recover_journal::testing::entries::{id, run};
use recover_journal::testing::sim::{Op, SimStorage};
use recover_journal::{Access, CommitLog, DiskStorage, ReadError, Reader, Storage, StorageFile};

use crate::common::{SMALL, batches, open, written};

/// Tells which files were opened.
struct Watched {
    storage: SimStorage,
    opened: Mutex<Vec<String>>,
}

impl Storage for Watched {
    fn open(&self, path: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        self.opened.lock().unwrap().push(path.to_owned());
        self.storage.open(path, access)
    }
    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.storage.create_dir(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.storage.list(path)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.storage.rename(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.storage.remove(path)
    }
    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.storage.sync_dir(path)
    }
}

#[test]
fn the_runs_that_are_open_are_picked_up_in_one_look_at_the_log() {
    let storage = SimStorage::new();
    let log = open(&storage).unwrap();
    for n in 0..7 {
        log.append_blocking(run(n, 1)).unwrap();
    }
    drop(log);
    let watched = Arc::new(Watched { storage, opened: Mutex::default() });
    let found = Reader::new(Arc::clone(&watched) as Arc<dyn Storage>).open_runs().unwrap();
    assert_eq!(found.runs.len(), 7);
    for (n, (run_id, records)) in (0..).zip(&found.runs) {
        let records: Vec<_> = records.as_ref().unwrap().iter().map(|stored| stored.entry.clone()).collect();
        assert_eq!((*run_id, records), (id(n), run(n, 1)));
    }
    let looks = watched.opened.lock().unwrap().iter().filter(|path| *path == "log/acked").count();
    assert_eq!(looks, 1, "each look begins with the mark");
}

#[test]
fn a_mark_that_cannot_be_read_is_a_failure_and_not_a_missing_mark() {
    let dir = tempfile::tempdir().unwrap();
    let log = CommitLog::open(Arc::new(DiskStorage::open(dir.path()).unwrap()), SMALL).unwrap();
    log.append_blocking(run(1, 1)).unwrap();
    drop(log);
    let mark = dir.path().join("log/acked");
    fs::remove_file(&mark).unwrap();
    std::os::unix::fs::symlink("elsewhere", &mark).unwrap();
    match Reader::open(dir.path()).unwrap().verify() {
        Err(ReadError::Failed(failed)) => assert_eq!(failed.doing, "read the acknowledgement mark"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_segment_is_ever_longer_than_it_was_made() {
    let storage = written();
    let longest = storage.ops().into_iter().filter_map(|op| match op {
        Op::Write { offset, bytes, .. } => Some(offset + bytes.len() as u64),
        Op::MakeDir { .. }
        | Op::Make { .. }
        | Op::Resize { .. }
        | Op::Sync { .. }
        | Op::SyncFailed { .. }
        | Op::Rename { .. }
        | Op::Remove { .. }
        | Op::SyncDir { .. } => None,
    });
    assert!(longest.max().unwrap() <= SMALL.segment_len);
    let segments = storage.files().keys().filter(|name| name.ends_with(".seg")).count();
    assert!((3..batches().len()).contains(&segments), "several frames in each of several segments: {segments}");
}
