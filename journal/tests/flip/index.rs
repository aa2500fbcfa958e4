//! sled's files: whatever happens to them, the index answers as the log does, or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use recover_journal::testing::entries::{closed_run, run};
use recover_journal::{FileJournal, Host, Options, Query};

use crate::tally::stride;

fn open(path: &Path) -> FileJournal {
    let host = Host { machine: "m".into(), boot: "b".into() };
    FileJournal::open(path, &host, Options { segment_len: 1 << 14 }).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.path().is_dir() { files(&entry.path(), into) } else { into.push(entry.path()) }
    }
}

/// Opens a directory whose index was changed: true if the index answered, and as the log does.
fn same_answers(dir: &Path, case: &str) -> bool {
    let journal = open(dir);
    let log = journal.reader().runs().unwrap().runs;
    let index = journal.index().unwrap();
    if !index.wait(Duration::from_secs(30)) {
        return false;
    }
    let Ok(answered) = index.lookup(Query::All) else { return false };
    let rows = answered.iter().map(|r| (r.run, r.subject, r.open, r.begun_at, r.last_seq, r.last_kind, r.last_frame));
    let truth = log.iter().map(|r| (r.run, r.subject, r.open, r.begun_at, r.last_seq, r.last_kind, r.frames.1));
    assert!(rows.eq(truth), "{case}: the index lies");
    let Ok(open) = index.lookup(Query::Open) else { return false };
    assert_eq!(open.len(), log.iter().filter(|r| r.open).count(), "{case}: the index lies about open runs");
    true
}

#[test]
fn a_flip_or_a_cut_in_sleds_files_changes_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let journal = open(&state);
    for n in 0..12 {
        journal.append_blocking(if n % 3 == 0 { run(n, 3) } else { closed_run(n, 3) }).unwrap();
    }
    assert!(journal.index().unwrap().wait(Duration::from_secs(30)));
    drop(journal);
    let begun = Instant::now();
    let mut all = Vec::new();
    files(&state.join("index"), &mut all);
    assert!(!all.is_empty());
    let (mut tried, mut answered) = (0, 0);
    for path in &all {
        let name = path.strip_prefix(&state).unwrap();
        let bytes = fs::read(path).unwrap();
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        // Each flip opens sled: a spread of them, everywhere where something was written.
        let step = (used / (24 * 8 / stride(8))).max(1);
        let flips = (0..used).step_by(step).map(Ok);
        let cuts = (0..bytes.len()).step_by((bytes.len() / (64 / stride(8))).max(1)).map(Err);
        for change in flips.chain(cuts) {
            if begun.elapsed() > Duration::from_secs(60) {
                break;
            }
            let mut changed = bytes.clone();
            match change {
                Ok(at) => changed[at] ^= 1 << (at % 8),
                Err(len) => changed.truncate(len),
            }
            let there = dir.path().join("changed");
            drop(fs::remove_dir_all(&there));
            copy(&state, &there);
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&there, fs::Permissions::from_mode(0o700)).unwrap();
            fs::write(there.join(name), &changed).unwrap();
            tried += 1;
            answered += usize::from(same_answers(&there, &format!("{} {change:?}", name.display())));
        }
    }
    println!(
        "flip: index: {tried} flips and truncations, {answered} answered as the log does, {} did not answer, 0 lied",
        tried - answered
    );
    assert!(tried > 20 && answered > 0);
}
