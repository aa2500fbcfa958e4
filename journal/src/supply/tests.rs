//! Segments are made once, whole and in time; and what cannot be made is told to whoever waits for it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use super::*;
use crate::storage::{DiskStorage, StorageFile};
use crate::testing::sim::{Op, SimStorage};

const LEN: u64 = 4096;
/// No test lasts so long: nothing is tried again unless somebody waits for it.
const NEVER: Duration = Duration::from_secs(24 * 3600);
/// A failure of the test.
const LIMIT: Duration = Duration::from_secs(60);

fn path(number: u64) -> String {
    SegmentFile::sound(number).path()
}

/// A storage with the log's folder.
fn storage() -> SimStorage {
    let storage = SimStorage::new();
    storage.create_dir(LOG).unwrap();
    storage
}

fn helper(storage: &SimStorage, retry: Duration) -> Helper {
    Helper::start(Arc::new(storage.clone()), LEN, 0, retry).unwrap()
}

fn until(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < LIMIT, "it never came");
        std::thread::yield_now();
    }
}

/// Has a segment asked for on a full disk, and waits until that has failed.
fn fail_ahead(storage: &SimStorage, helper: &mut Helper) {
    storage.limit(0);
    helper.ahead(1);
    until(|| helper.desk.lock().failed.is_some());
}

#[test]
fn a_segment_that_was_made_is_found_and_its_name_made_durable_again() {
    let storage = storage();
    prepare(&storage, 1, LEN).unwrap();
    assert_eq!(storage.files()[&path(1)], vec![0; 4096]);
    let before = storage.len();
    prepare(&storage, 1, LEN).unwrap();
    assert_eq!(storage.ops()[before..], [Op::SyncDir { path: LOG.into() }]);
}

#[test]
fn what_is_too_short_or_too_long_or_was_begun_is_made_anew() {
    let begun = [vec![1], vec![0; 4095]].concat();
    for there in [vec![0; 2048], vec![0; 8192], begun] {
        let storage = SimStorage::of([(path(1), there)]);
        prepare(&storage, 1, LEN).unwrap();
        assert_eq!(storage.files()[&path(1)], vec![0; 4096]);
    }
}

#[test]
fn a_segment_that_is_longer_than_one_write_has_its_length_exactly() {
    let storage = storage();
    prepare(&storage, 1, (1 << 20) + LEN).unwrap();
    assert_eq!(storage.files()[&path(1)].len(), (1 << 20) + 4096);
}

#[test]
fn what_cannot_be_looked_at_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let storage = DiskStorage::open(dir.path()).unwrap();
    storage.create_dir(LOG).unwrap();
    let link = dir.path().join(path(1));
    std::os::unix::fs::symlink("elsewhere", &link).unwrap();
    assert!(prepare(&storage, 1, LEN).is_err());
    assert!(link.is_symlink());
}

#[test]
fn what_could_not_be_made_ahead_is_made_when_it_is_taken_or_refused_then() {
    let storage = storage();
    storage.limit(0);
    let mut inline = Inline { storage: Arc::new(storage.clone()), len: LEN };
    inline.ahead(1);
    assert_eq!(inline.take(1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert!(storage.files().is_empty(), "what was taken of a full disk is given back");
    storage.heal();
    inline.take(1).unwrap();
    assert!(storage.files().contains_key(&path(1)));
}

#[test]
fn a_segment_that_will_be_needed_is_made_while_nobody_waits() {
    let storage = storage();
    let mut helper = helper(&storage, NEVER);
    helper.ahead(2);
    until(|| helper.desk.lock().ready == 2);
    assert_eq!(storage.files().into_keys().collect::<Vec<_>>(), [path(1), path(2)]);
}

#[test]
fn who_waits_is_told_that_the_disk_is_full_and_gets_the_segment_once_it_is_not() {
    let storage = storage();
    let mut helper = helper(&storage, NEVER);
    storage.limit(0);
    for _ in 0..2 {
        assert_eq!(helper.take(1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
    storage.heal();
    helper.take(1).unwrap();
    assert!(storage.files().contains_key(&path(1)));
}

#[test]
fn what_failed_before_somebody_waited_does_not_decide() {
    let storage = storage();
    let mut helper = helper(&storage, NEVER);
    fail_ahead(&storage, &mut helper);
    storage.heal();
    helper.take(1).unwrap();
}

#[test]
fn a_full_disk_is_not_tried_again_and_again_while_nobody_waits() {
    let storage = storage();
    let mut helper = helper(&storage, NEVER);
    fail_ahead(&storage, &mut helper);
    drop(helper);
    let attempts = storage.ops().iter().filter(|op| matches!(op, Op::Make { .. })).count();
    assert_eq!(attempts, 1);
}

#[test]
fn after_a_pause_it_is_tried_again_although_nobody_waits() {
    let storage = storage();
    let mut helper = helper(&storage, Duration::from_millis(1));
    fail_ahead(&storage, &mut helper);
    storage.heal();
    until(|| helper.desk.lock().ready == 1);
}

#[test]
fn the_thread_is_gone_with_its_helper() {
    let storage: Arc<dyn Storage> = Arc::new(storage());
    drop(Helper::start(Arc::clone(&storage), LEN, 0, NEVER).unwrap());
    assert_eq!(Arc::strong_count(&storage), 1);
}

/// A disk that is full at the first attempt, which lasts until it is let go.
struct FullAtFirst {
    disk: SimStorage,
    first: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl Storage for FullAtFirst {
    fn open(&self, path: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        if path == PREPARING
            && let Some((begun, let_go)) = self.first.lock().unwrap().take()
        {
            begun.send(()).unwrap();
            let_go.recv().unwrap();
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.disk.open(path, access)
    }
    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
}

#[test]
fn an_attempt_that_was_under_way_when_somebody_began_to_wait_does_not_decide() {
    let (begun, has_begun) = channel();
    let (let_go, goes) = channel();
    let disk = FullAtFirst { disk: storage(), first: Mutex::new(Some((begun, goes))) };
    let mut helper = Helper::start(Arc::new(disk), LEN, 0, NEVER).unwrap();
    helper.ahead(1);
    has_begun.recv_timeout(LIMIT).unwrap();
    let desk = Arc::clone(&helper.desk);
    std::thread::scope(|scope| {
        // It fails when somebody waits already.
        scope.spawn(|| {
            until(|| desk.lock().urgent);
            let_go.send(()).unwrap();
        });
        helper.take(1).unwrap();
    });
}
