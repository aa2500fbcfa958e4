//! What changed logs were once taken for, each with the case that showed it.

use recover_journal::testing::entries::run;
use recover_journal::testing::sim::SimStorage;
use recover_journal::{OpenError, Salvage, What};

use crate::common::{mend, open, reader};
use crate::directory::{Files, finished};

fn segments(files: &Files) -> Vec<String> {
    files.keys().filter(|name| name.ends_with(".seg")).cloned().collect()
}

/// What verification finds; opening for writing must refuse it and change nothing.
fn refused(files: Files) -> Vec<(u64, What)> {
    let storage = SimStorage::of(files);
    let before = storage.files();
    let found = reader(&storage).verify().unwrap().damage;
    assert!(matches!(open(&storage), Err(OpenError::Damage(_))), "{found:?}");
    assert_eq!(storage.files(), before, "a refused log was changed");
    found.into_iter().map(|damage| (damage.segment, damage.what)).collect()
}

/// Every segment but the prepared one was gone, the mark was cut short, and a bit of the prepared one's header was set. That
/// was taken for the header of a first segment that was cut short: an empty log, which was then begun anew and was damaged
/// from its first frame on.
#[test]
fn only_the_header_of_the_first_segment_can_be_torn_where_none_is_before_it() {
    let mut files = finished();
    let last = segments(&files).pop().unwrap();
    files.retain(|name, _| !name.ends_with(".seg") || *name == last);
    files.get_mut(&last).unwrap()[0] ^= 1;
    for mark in [0, 1, 8] {
        files.insert("log/acked".into(), vec![0; mark]);
        let found = refused(files.clone());
        assert!(found.contains(&(1, What::Missing)), "{found:?}");
    }
}

/// The same without the bit: nothing but the prepared segment was left, and the log was taken for a new one.
#[test]
fn a_prepared_segment_tells_that_the_ones_before_it_were_begun() {
    let whole = finished();
    let names = segments(&whole);
    let (prepared, begun) = names.split_last().unwrap();
    assert!(whole[prepared].iter().all(|byte| *byte == 0) && begun.len() > 1);
    for left in 0..begun.len() {
        let mut files = whole.clone();
        files.retain(|name, _| !name.ends_with(".seg") || begun[..left].contains(name) || name == prepared);
        files.insert("log/acked".into(), vec![0; 8]);
        let found = refused(files);
        let missing = found.iter().filter(|(_, what)| *what == What::Missing).count();
        assert_eq!(missing, begun.len() - left, "{found:?}");
    }
}

/// A segment is only made when the mark is durable.
#[test]
fn a_prepared_segment_without_a_mark_is_no_new_log() {
    let mut files = finished();
    files.retain(|name, _| !name.starts_with("log/"));
    files.insert("log/00000001.seg".into(), vec![0; 1_280]);
    assert_eq!(refused(files), [(0, What::Mark)]);
}

/// A name with a number that no log reaches had every number before it reported as missing, until memory was used up; two
/// names of one number hid each other.
#[test]
fn a_name_that_no_log_has_costs_nothing() {
    let whole = finished();
    for name in ["log/18446744073709551615.seg", "log/00000000.seg", "log/000000001.seg"] {
        let mut files = whole.clone();
        files.insert(name.into(), whole["log/00000001.seg"].clone());
        let storage = SimStorage::of(files);
        assert_eq!(reader(&storage).verify().unwrap().damage, [], "{name} is none of ours");
    }
    let mut files = whole.clone();
    files.insert("log/99999999999.seg".into(), whole["log/00000001.seg"].clone());
    let found = refused(files);
    assert!((1..10_000).contains(&found.len()), "{}", found.len());
}

/// Salvages once. What is left verifies and is written on.
fn mended(files: Files) -> (Salvage, SimStorage) {
    let storage = SimStorage::of(files);
    let done = mend(&storage).unwrap();
    assert_eq!(reader(&storage).verify().unwrap().damage, []);
    let log = open(&storage).unwrap();
    assert_eq!(log.append_blocking(run(70, 1)).is_ok(), !done.all_blocked, "whoever may be blocked is");
    drop(log);
    assert_eq!(reader(&storage).verify().unwrap().damage, [], "writing on damaged it");
    (done, storage)
}

/// A mark with every bit set: the number after it does not exist, and the salvage ended in a panic.
#[test]
fn a_mark_that_no_log_reaches_says_nothing() {
    for mark in [u64::MAX, 1 << 60] {
        let mut files = finished();
        files.insert("log/acked".into(), mark.to_le_bytes().to_vec());
        assert_eq!(refused(files.clone()), [(0, What::Mark)]);
        let (done, _) = mended(files);
        assert!(done.all_blocked, "nobody knows what is missing at the end");
    }
}

/// Bytes in a segment that was only prepared: the salvage removed the file.
#[test]
fn a_salvage_keeps_what_stands_in_a_prepared_segment() {
    let mut files = finished();
    let last = segments(&files).pop().unwrap();
    files.get_mut(&last).unwrap()[700] = 1;
    let stray = files[&last].clone();
    let found = reader(&SimStorage::of(files.clone())).verify().unwrap().damage;
    assert_eq!(found.iter().map(|damage| damage.what).collect::<Vec<_>>(), [What::Stray]);
    let (_, storage) = mended(files);
    assert!(storage.files().values().any(|bytes| *bytes == stray), "its bytes are gone");
}

/// Beside a damaged segment there was a sealed one of the same number, from a copy of another state: sealing the one renamed it
/// over the other.
#[test]
fn a_salvage_takes_no_name_that_something_has() {
    let mut files = finished();
    files.get_mut("log/00000001.seg").unwrap()[300] ^= 1;
    files.insert("log/00000001.damaged".into(), b"another".to_vec());
    let storage = SimStorage::of(files.clone());
    let error = mend(&storage).unwrap_err();
    assert!(matches!(&error, OpenError::Failed(failed) if failed.doing.contains("segment 1")), "{error:?}");
    assert_eq!(storage.files(), files, "and nothing was changed");
}

/// The segment that was written on stood before one that was damaged: with the damage sealed it was found to have no summary,
/// which it never had.
#[test]
fn the_end_of_the_log_before_a_sealed_segment_is_no_damage() {
    let mut files = finished();
    files.insert("log/00000020.seg".into(), files["log/00000001.seg"].clone());
    let (done, _) = mended(files);
    assert!(done.sealed.contains(&20), "{:?}", done.sealed);
}

/// The trailer of a summary was overwritten and its checksum made right: `verify` found it where the frames end, who opened the
/// log looked for it from the end, and the log that verified could not be written on.
#[test]
fn a_summary_that_cannot_be_found_from_the_end_is_damage() {
    let first = "log/00000001.seg";
    for at in 1..=16 {
        let mut files = finished();
        // The next segment names the hash of this summary: the log is to end here.
        files.retain(|name, _| name == first || !name.ends_with(".seg"));
        files.insert("log/acked".into(), vec![0; 8]);
        let file = files.get_mut(first).unwrap();
        let end = file.len();
        let summary = (0..end).rev().find(|at| file[*at..].starts_with(b"rcvsummy")).unwrap();
        file[end - at] ^= 1;
        let part = &mut file[summary..];
        let crc = crc32c::crc32c_append(crc32c::crc32c(&part[..16]), &part[20..]);
        part[16..20].copy_from_slice(&crc.to_le_bytes());
        let found = reader(&SimStorage::of(files.clone())).verify().unwrap().damage;
        assert!(!found.is_empty(), "byte {at} from the end");
        mended(files);
    }
}
