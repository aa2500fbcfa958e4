//! A whole state directory on a simulated disk: segments, mark, machine, lock, texts. Every bit, every length.

use std::collections::BTreeMap;
use std::sync::Arc;

use recover_engine::{Digest, Entry, Journal, Receipt, RunId};
use recover_journal::testing::bind;
use recover_journal::testing::entries::id;
use recover_journal::testing::sim::SimStorage;
use recover_journal::{Evidence, Storage};

use crate::common::{batches, entries, frames, open, reader, written};
use crate::tally::{Fate, Tally, stride};

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Everything that can be asked of a state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    frames: Vec<Vec<Entry>>,
    head: Receipt,
    runs: Vec<Vec<Entry>>,
    texts: Vec<Vec<u8>>,
    machine: Vec<u8>,
}

/// A log, two texts, a machine and a lock.
pub(crate) fn finished() -> Files {
    let storage = written();
    let evidence = Evidence::new(Arc::new(storage.clone()));
    evidence.put(b"the first text").unwrap();
    evidence.put(&[b'x'; 300]).unwrap();
    bind(&storage, "0123456789abcdef").unwrap();
    let mut files = storage.files();
    files.insert("lock".into(), b"4242 boot\n".to_vec());
    files
}

fn texts() -> [Digest; 2] {
    [Digest::of(b"the first text"), Digest::of(&[b'x'; 300])]
}

fn runs() -> [RunId; 3] {
    [id(1), id(2), RunId::JOURNAL]
}

pub(crate) fn answers(files: &Files) -> Answers {
    let storage = SimStorage::of(files.clone());
    let (all, error) = frames(&storage);
    assert!(error.is_none());
    let evidence = Evidence::new(Arc::new(storage.clone()));
    Answers {
        frames: entries(all),
        head: reader(&storage).head().unwrap(),
        runs: runs()
            .map(|run| reader(&storage).run(run).unwrap().into_iter().map(|stored| stored.entry).collect())
            .to_vec(),
        texts: texts().map(|digest| evidence.get(digest).unwrap()).to_vec(),
        machine: files["machine"].clone(),
    }
}

/// Asks again after a change. What is answered must be as before; what is not answered must be an error.
pub(crate) fn judge(changed: &Files, before: &Answers) -> Fate {
    let storage = SimStorage::of(changed.clone());
    let report = reader(&storage).verify().unwrap();
    let mut told = !report.damage.is_empty();
    let (read, error) = frames(&storage);
    let read = entries(read);
    // A follower gives what it meets before a broken place: foreign frames too, but then the log as a whole is told.
    let mut wrong = !before.frames.starts_with(&read) && !told;
    if read.len() < before.frames.len() && error.is_none() && report.damage.is_empty() {
        // Only a torn tail may be gone, and that is one frame.
        wrong |= report.torn_tail.is_none() || read.len() + 1 < before.frames.len();
    }
    for (run, written) in runs().iter().zip(&before.runs) {
        match reader(&storage).run(*run) {
            Ok(found) => {
                let found: Vec<Entry> = found.into_iter().map(|stored| stored.entry).collect();
                wrong |= !written.starts_with(&found) || (found.len() < written.len() && report.torn_tail.is_none());
            }
            Err(_) => told = true,
        }
    }
    // Who writes on must not write on something wrong.
    match open(&storage) {
        Ok(log) => {
            let head = log.head();
            wrong |= head != before.head && report.torn_tail.is_none();
            wrong |= head.frame as usize != read.len() && error.is_none();
            wrong |= log.read(id(1)).is_ok_and(|run| !before.runs[0].starts_with(&run));
        }
        Err(_) => told = true,
    }
    let evidence = Evidence::new(Arc::new(storage) as Arc<dyn Storage>);
    for (digest, text) in texts().iter().zip(&before.texts) {
        match evidence.get(*digest) {
            Ok(found) => wrong |= found != *text,
            Err(_) => told = true,
        }
    }
    // Another machine's directory is not acted on.
    told |= changed.get("machine") != Some(&before.machine);
    match (wrong, told, report.torn_tail) {
        (true, ..) => Fate::Silent,
        (false, true, _) => Fate::Found,
        (false, false, Some(_)) => Fate::TornTail,
        (false, false, None) => Fate::Same,
    }
}

/// What a change that is not noticed may have touched: nothing that is read for an answer.
fn means_nothing(name: &str, at: usize, changed: &Files) -> bool {
    match name {
        // Who holds the lock is the kernel's to say; the text is for people.
        "lock" => true,
        // A mark that is behind is a mark; one that is ahead is told.
        "log/acked" => true,
        // A prepared segment that is not all zero in its header is told; behind it, it is overwritten.
        _ => name == changed.keys().rfind(|name| name.ends_with(".seg")).unwrap() && at >= 128,
    }
}

/// The flips and truncations of every second byte, from the first or the second on.
fn changed_everywhere(files: &Files, before: &Answers, first: usize) -> (Tally, Tally) {
    let (mut flips, mut cuts) = (Tally::default(), Tally::default());
    let mut turn = 0;
    for (name, bytes) in files {
        for at in (first..bytes.len()).step_by(2) {
            for bit in 0..8 {
                turn += 1;
                if turn % stride(61) != 0 {
                    continue;
                }
                let mut changed = files.clone();
                changed.get_mut(name).unwrap()[at] ^= 1 << bit;
                let case = || format!("{name}, byte {at}, bit {bit}");
                let fate = judge(&changed, before);
                assert!(fate != Fate::Same || means_nothing(name, at, files), "{}: not noticed", case());
                flips.add(fate, case);
            }
        }
        for len in (first..bytes.len()).step_by(2).filter(|len| len / 2 % stride(7) == 0) {
            let mut changed = files.clone();
            changed.get_mut(name).unwrap().truncate(len);
            let case = || format!("{name} cut to {len}");
            let fate = judge(&changed, before);
            assert!(fate != Fate::Same || means_nothing(name, len, files), "{}: not noticed", case());
            cuts.add(fate, case);
        }
    }
    (flips, cuts)
}

#[test]
fn every_bit_and_every_length_is_told_or_changes_no_answer() {
    let files = finished();
    let before = answers(&files);
    assert_eq!(judge(&files, &before), Fate::Same);
    let (flips, cuts) = std::thread::scope(|scope| {
        let other = scope.spawn(|| changed_everywhere(&files, &before, 1));
        let (mut flips, mut cuts) = changed_everywhere(&files, &before, 0);
        let (more_flips, more_cuts) = other.join().unwrap();
        flips.merge(more_flips);
        cuts.merge(more_cuts);
        (flips, cuts)
    });
    let moved = crate::moved::every_rearrangement();
    let all = |fate| flips.of(fate) + cuts.of(fate) + moved.of(fate);
    println!(
        "flip: {} flips, {} truncations, {} rearrangements: {} found, {} tolerated as torn tail, {} without meaning, {} silent",
        flips.tried,
        cuts.tried,
        moved.tried,
        all(Fate::Found),
        all(Fate::TornTail),
        all(Fate::Same),
        all(Fate::Silent)
    );
    assert_eq!(all(Fate::Silent), 0, "{:#?} {:#?} {:#?}", flips.silent, cuts.silent, moved.silent);
    assert!(flips.of(Fate::Found) > flips.tried / 2 && cuts.of(Fate::Found) > cuts.tried / 2);
}

/// The judge sees what is silent: an answer that is not the one before.
#[test]
fn a_log_with_another_record_in_it_is_called_silent() {
    let before = answers(&finished());
    let mut other = finished();
    let storage = SimStorage::new();
    let log = open(&storage).unwrap();
    for batch in &batches()[..2] {
        log.append_blocking(batch.clone()).unwrap();
    }
    drop(log);
    other.retain(|name, _| !name.starts_with("log/"));
    other.extend(storage.files());
    assert_eq!(judge(&other, &before), Fate::Silent, "an older, valid log without an anchor");
}
