//! The index answers like the log, whatever happened to its files; and the log never needs it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use recover_engine::{Digest, Entry, Header, Journal, Kind, Latch, Millis, RunId};
use recover_journal::testing::entries::{ACTOR, Script, closed_run, id, run, subject};
use recover_journal::{FileJournal, Host, NoIndex, Options, Query};

const LIMIT: Duration = Duration::from_secs(30);

fn open(path: &Path) -> FileJournal {
    let host = Host { machine: "m".into(), boot: "b".into() };
    FileJournal::open(path, &host, Options { segment_len: 1 << 16 }).unwrap()
}

/// Every answer of the index must be what the log says.
fn agrees(journal: &FileJournal) {
    let index = journal.index().unwrap();
    assert!(index.wait(LIMIT), "{:?}", index.stats());
    let runs = journal.reader().runs().unwrap().runs;
    let all = index.lookup(Query::All).unwrap();
    let row = |run: &recover_journal::RunOverview| {
        (run.run, run.subject, run.open, run.begun_at, run.last_seq, run.last_kind, run.frames.1)
    };
    let found: Vec<_> =
        all.iter().map(|r| (r.run, r.subject, r.open, r.begun_at, r.last_seq, r.last_kind, r.last_frame)).collect();
    assert_eq!(found, runs.iter().map(row).collect::<Vec<_>>());
    let ids = |query| index.lookup(query).unwrap().iter().map(|r| r.run).collect::<Vec<RunId>>();
    assert_eq!(ids(Query::Open), runs.iter().filter(|r| r.open).map(|r| r.run).collect::<Vec<_>>());
    for subject in runs.iter().map(|r| r.subject).collect::<BTreeSet<_>>() {
        let of: Vec<_> = runs.iter().filter(|r| r.subject == subject).map(|r| r.run).collect();
        assert_eq!(ids(Query::Subject(subject)), of);
    }
    let all_time = Query::Begun(Millis(i64::MIN), Millis(i64::MAX));
    assert_eq!(ids(all_time), runs.iter().map(|r| r.run).collect::<Vec<_>>());
    assert_eq!(ids(Query::Begun(Millis(5), Millis(6))), []);
    let stats = journal.stats().unwrap();
    let index = stats.index.unwrap();
    assert_eq!((index.applied, index.lag, index.usable), (stats.frames, 0, true));
}

/// A journal of a few dozen runs, closed properly.
fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    for n in 0..40 {
        journal.append_blocking(closed_run(n, 4)).unwrap();
    }
    for n in 40..50 {
        journal.append_blocking(run(n, 3)).unwrap();
    }
    // A second run on the same subject.
    journal.append_blocking(vec![Script::new(id(900)).begin(subject(3))]).unwrap();
    agrees(&journal);
    drop(journal);
    dir
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn it_follows_while_the_log_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    for n in 0..30 {
        journal.append_blocking(run(n, 2)).unwrap();
        if n % 7 == 0 {
            agrees(&journal);
        }
    }
    for n in 0..30 {
        let close = Script::after(&run(n, 2)[1]).close(subject(n));
        journal.append_blocking(vec![close]).unwrap();
    }
    agrees(&journal);
    assert!(journal.index().unwrap().lookup(Query::Open).unwrap().is_empty());
}

#[test]
fn a_deleted_or_emptied_index_is_made_again() {
    let dir = filled();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    agrees(&open(dir.path()));
    for entry in fs::read_dir(dir.path().join("index")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::write(&path, "").unwrap();
        } else {
            fs::remove_dir_all(&path).unwrap();
        }
    }
    agrees(&open(dir.path()));
}

#[test]
fn an_older_copy_is_brought_up_to_the_log() {
    let dir = filled();
    let old = tempfile::tempdir().unwrap();
    copy(&dir.path().join("index"), old.path());
    let journal = open(dir.path());
    for n in 100..140 {
        journal.append_blocking(closed_run(n, 3)).unwrap();
    }
    drop(journal);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    copy(old.path(), &dir.path().join("index"));
    let journal = open(dir.path());
    agrees(&journal);
    assert_eq!(journal.stats().unwrap().index.unwrap().rebuilt, 0, "it was only behind");
}

#[test]
fn an_index_ahead_of_the_log_or_of_another_log_is_moved_aside() {
    let dir = filled();
    let other = tempfile::tempdir().unwrap();
    for n in 0..3 {
        open(other.path()).append_blocking(closed_run(n + 500, 2)).unwrap();
    }
    // Ahead: the log has 3 frames, the index 51.
    fs::remove_dir_all(other.path().join("index")).unwrap();
    copy(&dir.path().join("index"), &other.path().join("index"));
    let journal = open(other.path());
    agrees(&journal);
    assert_eq!(journal.stats().unwrap().index.unwrap().rebuilt, 1);
    assert!(other.path().join("index.bad-1").is_dir());
    drop(journal);
    // Of another log: as many frames as it says, and others.
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    copy(&other.path().join("index"), &dir.path().join("index"));
    let journal = open(dir.path());
    agrees(&journal);
    assert_eq!(journal.stats().unwrap().index.unwrap().rebuilt, 1);
}

#[test]
fn an_index_of_another_log_with_as_many_frames_is_moved_aside() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (dir, first) in [(&a, 0), (&b, 100)] {
        let journal = open(dir.path());
        (first..first + 5).for_each(|n| assert!(journal.append_blocking(closed_run(n, 2)).is_ok()));
        agrees(&journal);
    }
    fs::remove_dir_all(b.path().join("index")).unwrap();
    copy(&a.path().join("index"), &b.path().join("index"));
    let journal = open(b.path());
    agrees(&journal);
    assert_eq!(journal.stats().unwrap().index.unwrap().rebuilt, 1);
}

#[test]
fn half_a_snapshot_is_swept_and_garbage_is_moved_aside() {
    let dir = filled();
    fs::write(dir.path().join("index/snap.00000000000FFFFF.generating"), [7; 100]).unwrap();
    let journal = open(dir.path());
    agrees(&journal);
    assert_eq!(journal.stats().unwrap().index.unwrap().rebuilt, 0);
    drop(journal);
    assert!(!dir.path().join("index/snap.00000000000FFFFF.generating").exists());
    fs::write(dir.path().join("index/conf"), [0xff; 64]).unwrap();
    agrees(&open(dir.path()));
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    fs::write(dir.path().join("index"), "a file").unwrap();
    agrees(&open(dir.path()));
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let victim = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(victim.path(), dir.path().join("index")).unwrap();
    agrees(&open(dir.path()));
    assert!(fs::read_dir(victim.path()).unwrap().next().is_none(), "a link is not followed");
}

#[test]
fn a_damaged_database_answers_like_the_log_or_not_at_all() {
    let dir = filled();
    let db = dir.path().join("index/db");
    let bytes = fs::read(&db).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).unwrap();
    for part in 0..12 {
        let mut flipped = bytes.clone();
        flipped[used * part / 12] ^= 1 << (part % 8);
        drop(fs::remove_dir_all(dir.path().join("index.bad-1")));
        fs::write(&db, &flipped).unwrap();
        agrees(&open(dir.path()));
    }
}

#[test]
fn the_log_works_where_there_can_be_no_index() {
    let dir = filled();
    // Neither opened nor moved aside, since a folder and a file do not take each other's place: a mount point would be like that.
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    fs::create_dir_all(dir.path().join("index/db")).unwrap();
    fs::create_dir(dir.path().join("index.bad-2")).unwrap();
    for name in ["index.bad-1", "index.bad-3"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let journal = open(dir.path());
    journal.append_blocking(run(700, 1)).unwrap();
    let index = journal.index().unwrap();
    assert!(!index.wait(LIMIT));
    assert_eq!(index.lookup(Query::All), Err(NoIndex::Unusable));
    assert!(!index.stats().usable);
    assert_eq!(journal.read(id(700)).unwrap(), run(700, 1));
    assert_eq!(journal.reader().runs().unwrap().runs.len(), 52);
}

#[test]
fn the_last_three_that_were_moved_aside_are_kept_the_newest_first() {
    let dir = filled();
    let index = dir.path().join("index");
    for n in 1..=5 {
        drop(fs::remove_dir_all(&index));
        fs::create_dir_all(index.join("db")).unwrap();
        fs::write(index.join("which"), n.to_string()).unwrap();
        agrees(&open(dir.path()));
    }
    let kept = |n: u32| fs::read_to_string(dir.path().join(format!("index.bad-{n}/which"))).ok();
    assert_eq!((1..=4).map(kept).collect::<Vec<_>>(), [Some("5".into()), Some("4".into()), Some("3".into()), None]);
}

#[test]
fn runs_are_found_by_when_they_began_also_before_1970() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    for (n, at) in [(1, i64::MIN), (2, -5), (3, 0), (4, 7)] {
        let (run, key, prev) = (id(n), subject(n), Digest::ZERO);
        let header = Header { run, seq: 1, kind: Kind::Begun, latch: Latch::Claim, key, at: Millis(at), prev };
        journal.append_blocking(vec![Entry::encode(header, ACTOR, "{}").unwrap()]).unwrap();
    }
    let index = journal.index().unwrap();
    assert!(index.wait(LIMIT));
    for (from, to, found) in [
        (i64::MIN, -5, vec![1]),
        (-5, 0, vec![2]),
        (-6, 7, vec![2, 3]),
        (0, 8, vec![3, 4]),
        (8, i64::MAX, vec![]),
        (i64::MIN, i64::MAX, vec![1, 2, 3, 4]),
    ] {
        let runs = index.lookup(Query::Begun(Millis(from), Millis(to))).unwrap();
        assert_eq!(runs.iter().map(|run| run.run).collect::<Vec<_>>(), found.into_iter().map(id).collect::<Vec<_>>());
    }
    let shown = format!("{index:?}");
    assert!(shown.starts_with("Index { stats: IndexStats { applied: 4, lag: 0, usable: true,"), "{shown}");
}
