//! Segments swapped, doubled, gone, from another host, or an older copy of the whole log.

use recover_journal::testing::entries::closed_run;
use recover_journal::testing::sim::SimStorage;

use crate::common::{batches, open, reader};
use crate::directory::{Files, answers, finished, judge};
use crate::tally::{Fate, Tally};

fn segments(files: &Files) -> Vec<String> {
    files.keys().filter(|name| name.ends_with(".seg")).cloned().collect()
}

/// A log of another host, with as many segments.
fn another_host() -> Files {
    let storage = SimStorage::new();
    let log = open(&storage).unwrap();
    for n in 100..112 {
        log.append_blocking(closed_run(n, 2)).unwrap();
    }
    drop(log);
    storage.files()
}

/// The same log, as it was after each of its batches.
fn earlier() -> Vec<Files> {
    let storage = SimStorage::new();
    let log = open(&storage).unwrap();
    let mut copies = Vec::new();
    for batch in batches() {
        log.append_blocking(batch).unwrap();
        log.settled();
        copies.push(storage.files());
    }
    copies.pop();
    copies
}

/// Every way that is tried, judged. What an anchor alone can tell is judged with one.
pub(crate) fn every_rearrangement() -> Tally {
    let files = finished();
    let before = answers(&files);
    let head = reader(&SimStorage::of(files.clone())).head().unwrap();
    let names = segments(&files);
    let (last, _) = names.split_last().unwrap();
    let other = another_host();
    let mut tally = Tally::default();
    let mut add = |changed: Files, case: String| {
        let fate = judge(&changed, &before);
        tally.add(fate, || case.clone());
        assert!(fate == Fate::Found || (fate == Fate::Same && case.contains(last.as_str())), "{case}: {fate:?}");
    };
    for a in &names {
        for b in names.iter().filter(|b| *b != a) {
            let mut swapped = files.clone();
            swapped.insert(a.clone(), files[b].clone());
            swapped.insert(b.clone(), files[a].clone());
            add(swapped, format!("{a} and {b} swapped"));
            let mut doubled = files.clone();
            doubled.insert(a.clone(), files[b].clone());
            add(doubled, format!("{a} is a copy of {b}"));
        }
        let mut gone = files.clone();
        gone.remove(a);
        add(gone, format!("{a} is gone"));
        if let Some(foreign) = other.get(a) {
            let mut changed = files.clone();
            changed.insert(a.clone(), foreign.clone());
            add(changed, format!("{a} is another host's"));
        }
        let mut copy = files.clone();
        copy.insert(format!("log/{:08}.seg", names.len() + 1), files[a].clone());
        add(copy, format!("a copy of {a} behind the last"));
        for older in earlier() {
            let Some(old) = older.get(a).filter(|old| **old != files[a]) else { continue };
            let mut changed = files.clone();
            changed.insert(a.clone(), old.clone());
            add(changed, format!("{a} is an older copy"));
        }
    }
    // A whole older log is valid: only a head that was kept elsewhere tells, as `verify --expect HEAD` does.
    for older in earlier() {
        let storage = SimStorage::of(older);
        let report = reader(&storage).verify().unwrap();
        assert_eq!(report.damage, []);
        let told = !contains(&storage, head);
        tally.add(if told { Fate::Found } else { Fate::Silent }, || "an older log".into());
    }
    tally
}

fn contains(storage: &SimStorage, head: recover_engine::Receipt) -> bool {
    let frames = reader(storage).follow(head.frame - 1).poll(head.frame).unwrap_or_default();
    frames.iter().any(|frame| frame.number == head.frame && frame.hash == head.head)
}
