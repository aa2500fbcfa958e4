//! What a journal says of itself: how large it is, and what a value shows when something went wrong.

use std::sync::Arc;

use recover_journal::testing::entries::{closed_run, run};
use recover_journal::{CommitLog, DiskStorage, Evidence, FileJournal, Host, Options};

use crate::common::{frames, open, reader, written};

#[test]
fn its_size_is_that_of_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Arc::new(DiskStorage::open(dir.path()).unwrap());
    let log = CommitLog::open_inline(storage, Options { segment_len: 2048 }).unwrap();
    for n in 0..9 {
        log.append_blocking(closed_run(n, 4)).unwrap();
    }
    log.append_blocking(run(9, 1)).unwrap();
    log.settled();
    let files = std::fs::read_dir(dir.path().join("log")).unwrap().map(Result::unwrap);
    let sizes: Vec<u64> = files
        .filter(|file| file.path().extension().is_some_and(|end| end == "seg"))
        .map(|file| file.metadata().unwrap().len())
        .collect();
    let stats = log.stats().unwrap();
    assert!(sizes.len() > 3, "{sizes:?}");
    assert_eq!((stats.segments, stats.log_bytes), (sizes.len() as u64, sizes.iter().sum()));
    assert_eq!((stats.frames, stats.records, stats.index), (10, 9 * 4 + 1, None));
    assert_eq!(stats.segment + 1, stats.segments, "one is prepared ahead");
}

#[test]
fn what_shows_itself_shows_where_it_stands() {
    let storage = written();
    let last = frames(&storage).0.len();
    let log = open(&storage).unwrap();
    let shown = format!("{log:?}");
    assert!(shown.starts_with(&format!("CommitLog {{ head: Receipt {{ frame: {last}, head: ")), "{shown}");
    let reader = reader(&storage);
    assert_eq!(format!("{reader:?}"), "Reader { .. }");
    assert_eq!(format!("{:?}", reader.follow(6)), "Follower { next: 7, .. }");
    assert_eq!(format!("{:?}", Evidence::new(Arc::new(storage))), "Evidence { .. }");
}

#[test]
fn the_anchored_path_leads_to_the_directory_whatever_its_name_is_by_now() {
    let above = tempfile::tempdir().unwrap();
    let (path, moved) = (above.path().join("state"), above.path().join("moved"));
    let host = Host { machine: "m".into(), boot: "b".into() };
    let journal = FileJournal::open(&path, &host, Options::default()).unwrap();
    std::fs::rename(&path, &moved).unwrap();
    std::fs::write(moved.join("mine"), "").unwrap();
    assert!(journal.anchored().join("mine").exists());
}

#[test]
fn what_is_swept_is_told_by_name_and_gone() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host { machine: "m".into(), boot: "b".into() };
    let journal = FileJournal::open(dir.path(), &host, Options::default()).unwrap();
    journal.append_blocking(run(1, 1)).unwrap();
    let nameless = journal.evidence().put(b"captured, and no record says so").unwrap();
    assert_eq!(journal.sweep().unwrap(), [nameless.to_string()]);
    assert_eq!(journal.evidence().list().unwrap(), []);
}
