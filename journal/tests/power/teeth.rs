//! The same judge on storages that break a promise: it must find the loss, or it would find none of ours.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex};

use recover_journal::testing::entries::run;
use recover_journal::testing::sim::{Fate, Fault, SimStorage};
use recover_journal::{Access, CommitLog, Storage, StorageFile};

use crate::common::SMALL;
use crate::judge::{Problem, judge};
use crate::lane::states_of;
use crate::workloads::{self, Promise, Workload};

/// A disk that says "synced" and did nothing, or a journal that does not write its last frame again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lie {
    Sync,
    Rewrite,
}

struct Liar(SimStorage, Lie);

struct LyingFile(Arc<dyn StorageFile>, Lie, Mutex<HashSet<bool>>);

impl Storage for Liar {
    fn open(&self, path: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(LyingFile(self.0.open(path, access)?, self.1, Mutex::default())))
    }
    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.0.create_dir(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.0.list(path)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.0.remove(path)
    }
    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.0.sync_dir(path)
    }
}

impl StorageFile for LyingFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(into, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut there = vec![0; bytes.len()];
        // What is written again changes nothing that can be read: it is left out, and the sync after it.
        if self.1 == Lie::Rewrite && self.0.read_at(&mut there, offset)? == bytes.len() && there == bytes {
            self.2.lock().unwrap().insert(true);
            return Ok(bytes.len());
        }
        self.0.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        if self.1 == Lie::Sync || self.2.lock().unwrap().remove(&true) { Ok(()) } else { self.0.sync() }
    }
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_size(size)
    }
}

#[test]
fn a_disk_that_ignores_sync_is_found_to_lose_records() {
    let tally = states_of(&workloads::one_run(|sim| Arc::new(Liar(sim, Lie::Sync))), 16, 1);
    assert!(tally.lost > 0, "{tally:?}");
}

/// A frame is written and its sync fails; the log is opened again, and what it shows is acted on; then the power goes.
fn seen_after_a_failed_sync(open: impl Fn(&SimStorage) -> Arc<dyn Storage>) -> Result<(), Problem> {
    let storage = SimStorage::new();
    let log = CommitLog::open_inline(Arc::new(storage.clone()), SMALL).unwrap();
    log.append_blocking(run(1, 1)).unwrap();
    log.settled();
    storage.fail(1, Fault::Errno(5), false);
    log.append_blocking(run(2, 1)).unwrap_err();
    drop(log);
    storage.heal();
    let log = CommitLog::open_inline(open(&storage), SMALL).unwrap();
    let seen = log.head().frame;
    assert_eq!(seen, 2, "it is visible");
    drop(log);
    let cut = storage.len();
    let workload = Workload {
        name: "failed sync".into(),
        promises: vec![(cut, Promise::Frames(seen))],
        frames: Some(vec![run(1, 1), run(2, 1)]),
        options: SMALL,
        storage: storage.clone(),
    };
    judge(&workload, cut, &storage.power_cut(cut, |_, _| Fate::Lost))
}

#[test]
fn a_journal_that_does_not_write_its_last_frame_again_is_found_to_lose_it() {
    seen_after_a_failed_sync(|sim| Arc::new(sim.clone())).unwrap();
    let found = seen_after_a_failed_sync(|sim| Arc::new(Liar(sim.clone(), Lie::Rewrite)));
    assert!(matches!(found, Err(Problem::Lost(_))), "{found:?}");
}
