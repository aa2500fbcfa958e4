//! Many appenders, one writer, and readers without the lock, all at once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use recover_engine::{BadEntry, Conflict, Entry, Journal, JournalError, Key, Kind, Latch};
use recover_journal::testing::contract::block_on;
use recover_journal::testing::entries::{Script, closed_run, effect, id, run, subject};
use recover_journal::testing::sim::{Fault, SimStorage};
use recover_journal::{CommitLog, DiskStorage, Options, Reader};

fn on_disk(path: &Path) -> CommitLog {
    CommitLog::open(Arc::new(DiskStorage::open(path).unwrap()), Options { segment_len: 8192 }).unwrap()
}

#[test]
fn readers_see_no_damage_while_segments_are_written_and_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let log = on_disk(dir.path());
    let done = AtomicBool::new(false);
    const RUNS: u64 = 400;
    std::thread::scope(|scope| {
        let verifying = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::Acquire) {
                let report = Reader::open(dir.path()).unwrap().verify().unwrap();
                assert_eq!(report.damage, []);
                let listing = Reader::open(dir.path()).unwrap().runs().unwrap();
                assert_eq!(listing.damage, []);
                for run in listing.runs.iter().rev().take(3) {
                    assert!(Reader::open(dir.path()).unwrap().run(run.run).unwrap().len() >= run.last_seq as usize);
                }
                looks += 1;
            }
            looks
        });
        let following = scope.spawn(|| {
            let mut follower = Reader::open(dir.path()).unwrap().follow(0);
            let (mut next, mut records) = (1, 0);
            while records < RUNS * 3 {
                for frame in follower.poll(u64::MAX).unwrap() {
                    assert_eq!(frame.number, next);
                    next += 1;
                    records += frame.entries.len() as u64;
                }
            }
        });
        let appenders: Vec<_> = (0..4)
            .map(|part| {
                let log = &log;
                scope.spawn(move || {
                    for n in 0..RUNS / 4 {
                        log.append_blocking(closed_run(part * 1000 + n, 3)).unwrap();
                    }
                })
            })
            .collect();
        appenders.into_iter().for_each(|appender| appender.join().unwrap());
        done.store(true, Ordering::Release);
        assert!(verifying.join().unwrap() > 0);
        following.join().unwrap();
    });
    assert!(log.stats().unwrap().segments > 10, "many were sealed meanwhile");
    assert_eq!(log.stats().unwrap().records, RUNS * 3);
}

/// What a batch takes beside its records: the segment's header, the frame's, and the summary of nothing. FORMAT.md.
const FIXED: usize = 128 + 64 + 112;
/// What each record takes in the summary.
const IN_SUMMARY: usize = 144;

/// Records of a run that is begun, which take exactly so much.
fn batch_of(n: u64, size: usize) -> Vec<Entry> {
    const EACH: usize = 512 << 10;
    let mut script = Script::new(id(n));
    let mut left = size;
    let mut batch = Vec::new();
    while left > 0 {
        let this = if left >= 2 * EACH { EACH } else { left };
        let (kind, latch, key) = match batch.is_empty() {
            true => (Kind::Begun, Latch::Claim, subject(n)),
            false => (Kind::Outcome, Latch::None, Key::NONE),
        };
        let bare = script.clone().next(kind, latch, key, "").bytes().len() + IN_SUMMARY;
        batch.push(script.next(kind, latch, key, &"x".repeat(this - bare)));
        left -= this;
    }
    batch
}

#[test]
fn a_batch_that_fits_a_segment_exactly_is_taken_and_one_byte_more_is_refused() {
    const FRAME_MOST: usize = (4 << 20) - 64;
    // Of the longest frame, two are in a segment of twice its length.
    for (segment_len, most, second) in [(8_192, 8_192 - FIXED, 2), (8 << 20, FRAME_MOST, 1)] {
        let dir = tempfile::tempdir().unwrap();
        let open =
            || CommitLog::open(Arc::new(DiskStorage::open(dir.path()).unwrap()), Options { segment_len }).unwrap();
        let log = open();
        let refused = log.append_blocking(batch_of(1, most + 1)).unwrap_err();
        assert!(matches!(refused, JournalError::Entry(BadEntry::Lengths)), "{refused:?}");
        log.append_blocking(batch_of(2, most)).unwrap();
        assert_eq!(log.stats().unwrap().segment, 1, "it is in the first segment");
        log.append_blocking(batch_of(3, most)).unwrap();
        assert_eq!(log.stats().unwrap().segment, second);
        drop(log);
        let log = open();
        let stats = log.stats().unwrap();
        assert_eq!((stats.segment, stats.frames), (second, 2));
        let report = Reader::open(dir.path()).unwrap().verify().unwrap();
        assert_eq!(report.damage, []);
    }
}

#[test]
fn of_a_hundred_claims_of_one_subject_one_is_taken_and_the_others_are_told_by_whom() {
    let log = slow();
    let answers: Vec<_> = std::thread::scope(|scope| {
        busy(scope, &log);
        let claims: Vec<_> = (0..100)
            .map(|n| {
                let log = &log;
                scope.spawn(move || (n, log.append_blocking(vec![Script::new(id(n)).begin(subject(0))])))
            })
            .collect();
        claims.into_iter().map(|claim| claim.join().unwrap()).collect()
    });
    let winners: Vec<u64> = answers.iter().filter(|(_, answer)| answer.is_ok()).map(|(n, _)| *n).collect();
    assert_eq!(winners.len(), 1);
    let held = Err(JournalError::Conflict(Conflict::Held { by: id(winners[0]) }));
    assert!(answers.iter().filter(|(n, _)| *n != winners[0]).all(|(_, answer)| *answer == held));
    assert_eq!(log.reader().verify().unwrap().records, 2);
}

#[test]
fn of_many_intents_of_one_effect_one_is_taken() {
    let storage = SimStorage::new();
    let log = CommitLog::open(Arc::new(storage.clone()), Options { segment_len: 1 << 16 }).unwrap();
    for n in 0..50 {
        log.append_blocking(run(n, 1)).unwrap();
    }
    drop(log);
    let log = CommitLog::open(Arc::new(SlowSync(storage)), Options { segment_len: 1 << 16 }).unwrap();
    let taken = std::thread::scope(|scope| {
        busy(scope, &log);
        let intents: Vec<_> = (0..50)
            .map(|n| {
                let log = &log;
                let intent = Script::after(&run(n, 1)[0]).intend(effect(77, 0));
                scope.spawn(move || block_on(log.append(vec![intent])))
            })
            .collect();
        intents.into_iter().map(|intent| intent.join().unwrap()).filter(Result::is_ok).count()
    });
    assert_eq!(taken, 1);
}

#[test]
fn appends_that_wait_together_share_frames_and_a_refused_one_harms_no_other() {
    let log = slow();
    log.append_blocking(run(0, 1)).unwrap();
    let stranger = Script::after(&run(999, 1)[0]).outcome();
    let (ok, refused) = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..200)
            .map(|n| {
                let log = &log;
                let batch = if n % 10 == 0 { vec![stranger.clone()] } else { run(n, 1) };
                scope.spawn(move || log.append_blocking(batch))
            })
            .collect();
        let answers: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        (answers.iter().filter(|a| a.is_ok()).count(), answers.into_iter().filter_map(Result::err).collect::<Vec<_>>())
    });
    assert_eq!((ok, refused.len()), (180, 19));
    assert!(refused.iter().all(|error| *error == JournalError::Conflict(Conflict::NotOpen)));
    let report = log.reader().verify().unwrap();
    assert_eq!((report.records, report.damage.len()), (181, 0));
    assert!(report.frames < 20, "{} frames", report.frames);
}

#[test]
fn whoever_waits_when_the_disk_fails_is_told_so() {
    let storage = SimStorage::new();
    let log = CommitLog::open(Arc::new(storage.clone()), Options::default()).unwrap();
    log.append_blocking(run(0, 1)).unwrap();
    storage.fail(40, Fault::Errno(5), true);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..60)
            .map(|part: u64| {
                let log = &log;
                scope.spawn(move || {
                    for n in 0..100 {
                        match log.append_blocking(run(part * 1000 + n, 1)) {
                            Ok(_) => {}
                            Err(JournalError::Poisoned(_)) => return true,
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                    false
                })
            })
            .collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()), "everyone is told");
    });
}

#[test]
fn the_ledger_can_be_asked_while_a_sync_takes_its_time() {
    let log = slow();
    log.append_blocking(run(1, 1)).unwrap();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| log.append_blocking(run(2, 1)));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(200) {
            let asked = Instant::now();
            assert_eq!(log.holder(subject(1)), Some(id(1)));
            assert_eq!(log.holder(subject(2)), None, "not before it is durable");
            assert!(asked.elapsed() < Duration::from_millis(150), "asking does not wait for the disk");
            std::thread::sleep(Duration::from_millis(5));
        }
        slow.join().unwrap().unwrap();
    });
    assert_eq!(log.holder(subject(2)), Some(id(2)));
}

/// Keeps the writer at a sync, so that what is appended next waits together.
fn busy<'s>(scope: &'s std::thread::Scope<'s, '_>, log: &'s CommitLog) {
    scope.spawn(|| log.append_blocking(run(9999, 1)).unwrap());
    std::thread::sleep(Duration::from_millis(100));
}

fn slow() -> CommitLog {
    CommitLog::open(Arc::new(SlowSync(SimStorage::new())), Options { segment_len: 1 << 16 }).unwrap()
}

/// A disk on which a sync of the first segment takes its time.
struct SlowSync(SimStorage);

struct SlowFile(Arc<dyn recover_journal::StorageFile>, bool);

impl recover_journal::Storage for SlowSync {
    fn open(
        &self,
        path: &str,
        access: recover_journal::Access,
    ) -> std::io::Result<Arc<dyn recover_journal::StorageFile>> {
        Ok(Arc::new(SlowFile(self.0.open(path, access)?, path.ends_with("1.seg"))))
    }
    fn create_dir(&self, path: &str) -> std::io::Result<()> {
        self.0.create_dir(path)
    }
    fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
        self.0.list(path)
    }
    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &str) -> std::io::Result<()> {
        self.0.remove(path)
    }
    fn sync_dir(&self, path: &str) -> std::io::Result<()> {
        self.0.sync_dir(path)
    }
}

impl recover_journal::StorageFile for SlowFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.0.read_at(into, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<usize> {
        self.0.write_at(bytes, offset)
    }
    fn sync(&self) -> std::io::Result<()> {
        if self.1 {
            std::thread::sleep(Duration::from_millis(300));
        }
        self.0.sync()
    }
    fn size(&self) -> std::io::Result<u64> {
        self.0.size()
    }
    fn set_size(&self, size: u64) -> std::io::Result<()> {
        self.0.set_size(size)
    }
}
