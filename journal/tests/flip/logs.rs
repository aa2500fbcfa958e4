//! Every bit of a finished journal flipped, every file cut short or gone: told, or harmless, but never a silent change.
use std::collections::BTreeMap;

use crate::common::{batches, entries, frames, open, reader, written};
use recover_engine::{Entry, Journal, RunId};
use recover_journal::testing::entries::{id, run};
use recover_journal::testing::sim::SimStorage;
use recover_journal::{OpenError, What};

type Files = BTreeMap<String, Vec<u8>>;

/// What was read of a log that may be damaged.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// All of it, and nothing is wrong with what was read.
    Whole,
    /// The last frame was cut short before it was acknowledged.
    Torn,
    /// Something is said to be wrong.
    Damaged,
}

fn judge(files: Files, all: &[Vec<Entry>], case: &str) -> Seen {
    let storage = SimStorage::of(files);
    let report = reader(&storage).verify().unwrap();
    let (read, error) = frames(&storage);
    let read = entries(read);
    let runs: Vec<Vec<Entry>> = [id(1), id(2), RunId::JOURNAL]
        .into_iter()
        .filter_map(|run| reader(&storage).run(run).ok())
        .map(|run| run.into_iter().map(|stored| stored.entry).collect())
        .collect();
    let whole: Vec<Entry> = all.iter().flatten().cloned().collect();
    for run in &runs {
        let of = run.first().map(|entry| entry.header().run);
        let written: Vec<Entry> = whole.iter().filter(|entry| Some(entry.header().run) == of).cloned().collect();
        assert!(written.starts_with(run), "{case}: a run's records were changed");
        assert!(run.len() == written.len() || report.torn_tail.is_some(), "{case}: a run is cut short in silence");
    }
    assert!(all.starts_with(&read), "{case}: frames were changed");
    if !report.damage.is_empty() {
        return Seen::Damaged;
    }
    assert!(error.is_none(), "{case}: {error:?}");
    let opened = open(&storage).unwrap_or_else(|error| panic!("{case}: verified, but {error:?}"));
    assert_eq!(opened.head().frame as usize, read.len(), "{case}");
    if report.torn_tail.is_some() {
        assert!(read.len() + 1 >= all.len(), "{case}: more than the torn frame is gone");
        return Seen::Torn;
    }
    assert_eq!(read, all, "{case}: records are gone in silence");
    Seen::Whole
}

fn set_mark(files: &mut Files, frame: u64) {
    files.insert("log/acked".into(), frame.to_le_bytes().to_vec());
}

/// Whether only one bit of the byte is tried.
fn bits_alone(at: usize, used: usize) -> bool {
    at >= used
}

#[test]
fn every_bit_that_flips_is_told_or_harms_nothing() {
    let files = written().files();
    let all = batches();
    assert_eq!(judge(files.clone(), &all, "untouched"), Seen::Whole);
    let segments = files.keys().filter(|name| name.ends_with(".seg")).count();
    assert!(segments >= 3, "{:?}", files.keys());
    for (name, bytes) in &files {
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        for at in 0..bytes.len() {
            // Where nothing was written, one bit of each byte says as much as eight.
            let bits = if at < used { 0..8 } else { 0..1 };
            for bit in bits {
                let case = format!("{name}, byte {at} of {}, bit {bit}", bytes.len());
                let mut flipped = files.clone();
                flipped.get_mut(name).unwrap()[at] ^= 1 << bit;
                // One bit of each byte is looked at from every side, the others by the verification alone.
                if bit == at as u32 % 8 || bits_alone(at, used) {
                    let seen = judge(flipped, &all, &case);
                    assert!(seen != Seen::Whole || !name.ends_with(".seg"), "{case}: not noticed");
                } else if name.ends_with(".seg") {
                    let report = reader(&SimStorage::of(flipped)).verify().unwrap();
                    assert!(!report.damage.is_empty() || report.torn_tail.is_some(), "{case}: not noticed");
                }
            }
        }
    }
}

#[test]
fn every_truncation_is_told() {
    let files = written().files();
    let all = batches();
    let prepared = files.keys().rfind(|name| name.ends_with(".seg")).unwrap();
    for (name, bytes) in &files {
        for len in 0..bytes.len() {
            let mut cut = files.clone();
            cut.get_mut(name).unwrap().truncate(len);
            let case = format!("{name} cut to {len} of {}", bytes.len());
            // The last segment is prepared and holds nothing: one that is too short is made again.
            let expected = if name == prepared && len >= 128 { Seen::Whole } else { Seen::Damaged };
            assert_eq!(judge(cut, &all, &case), expected, "{case}");
        }
    }
}

#[test]
fn a_file_that_is_gone_is_told() {
    let files = written().files();
    let all = batches();
    let last = files.keys().rfind(|name| name.ends_with(".seg")).unwrap();
    for name in files.keys() {
        let mut without = files.clone();
        without.remove(name);
        let seen = judge(without, &all, name);
        // The last segment is prepared and holds nothing.
        assert_eq!(seen, if name == last { Seen::Whole } else { Seen::Damaged }, "{name}");
    }
    let mut without = files.clone();
    without.retain(|name, _| !name.ends_with(".seg"));
    assert_eq!(judge(without, &all, "no segment at all"), Seen::Damaged);
}

#[test]
fn an_unacknowledged_last_frame_may_be_torn_at_every_byte_and_an_acknowledged_one_may_not() {
    let all = batches();
    let mut files = written().files();
    let count = all.len() as u64;
    let place = frames(&written()).0.pop().unwrap();
    let name = format!("log/{:08}.seg", place.segment);
    let (start, end) = {
        let bytes = &files[&name];
        (place.offset as usize, bytes.iter().rposition(|b| *b != 0).unwrap() + 1)
    };
    for cut in start..end {
        for (acked, expected) in [(count, Seen::Damaged), (count - 1, Seen::Torn)] {
            set_mark(&mut files, acked);
            let mut torn = files.clone();
            torn.get_mut(&name).unwrap()[cut..].fill(0);
            let expected = if cut == start && expected == Seen::Torn { None } else { Some(expected) };
            let case = format!("cut at {cut}, acknowledged {acked}");
            match expected {
                Some(expected) => assert_eq!(judge(torn, &all, &case), expected, "{case}"),
                // Nothing of the frame is there: there is nothing to see.
                None => assert_eq!(judge(torn, &all[..all.len() - 1], &case), Seen::Whole, "{case}"),
            }
        }
    }
}

#[test]
fn damage_is_refused_for_writing_and_names_its_place() {
    let mut files = written().files();
    let frame = frames(&written()).0.pop().unwrap();
    let name = format!("log/{:08}.seg", frame.segment);
    files.get_mut(&name).unwrap()[frame.offset as usize + 100] ^= 1;
    match open(&SimStorage::of(files)) {
        Err(OpenError::Damage(damage)) => {
            assert_eq!((damage.segment, damage.offset, damage.frame), (frame.segment, frame.offset, frame.number));
            assert_eq!(damage.what, What::Frame);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_later_format_is_told_from_damage() {
    let storage = written();
    let mut files = storage.files();
    let frame = frames(&storage).0.pop().unwrap();
    let bytes = files.get_mut(&format!("log/{:08}.seg", frame.segment)).unwrap();
    let frame_bytes = &mut bytes[frame.offset as usize..];
    let len = u32::from_le_bytes(frame_bytes[12..16].try_into().unwrap()) as usize;
    frame_bytes[8] = 2;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&frame_bytes[..16]), &frame_bytes[20..len]);
    frame_bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    let storage = SimStorage::of(files);
    assert!(matches!(open(&storage), Err(OpenError::Damage(damage)) if damage.what == What::Format(2)));
    assert_eq!(reader(&storage).verify().unwrap().damage[0].what, What::Format(2));
}

#[test]
fn a_bad_summary_is_told_and_made_again_from_the_frames() {
    let mut files = written().files();
    let bytes = files.get_mut("log/00000001.seg").unwrap();
    let at = bytes.windows(8).position(|window| window == b"rcvsummy").unwrap();
    bytes[at + 40] ^= 1;
    let storage = SimStorage::of(files);
    assert_eq!(reader(&storage).verify().unwrap().damage[0].segment, 1);
    let log = open(&storage).unwrap();
    let sound = open(&written()).unwrap();
    assert_eq!(log.open_runs(), sound.open_runs());
    assert_eq!(log.read(id(1)).unwrap(), sound.read(id(1)).unwrap());
}

#[test]
fn runs_elsewhere_stay_readable_and_the_damaged_one_is_refused() {
    let storage = SimStorage::new();
    let log = open(&storage).unwrap();
    for n in 0..12 {
        log.append_blocking(recover_journal::testing::entries::closed_run(n, 2)).unwrap();
    }
    drop(log);
    let (all, _) = frames(&storage);
    let mut files = storage.files();
    let victim = &all[5];
    files.get_mut(&format!("log/{:08}.seg", victim.segment)).unwrap()[victim.offset as usize + 80] ^= 1;
    let storage = SimStorage::of(files);
    for n in 0..12 {
        let read = reader(&storage).run(id(n));
        if n == 5 {
            assert!(read.is_err(), "its records may be in the damaged range");
        } else {
            assert_eq!(read.unwrap().len(), 2, "{n}");
        }
    }
    let listing = reader(&storage).runs().unwrap();
    assert!(listing.runs.len() >= 11);
    let report = reader(&storage).verify().unwrap();
    assert_eq!((report.frames, report.records), (11, 22));
    assert_eq!((report.damage[0].frame, report.damage[0].offset), (victim.number, victim.offset));
}

#[test]
fn an_edited_record_with_right_checksums_breaks_the_chain() {
    let storage = SimStorage::new();
    let log = open(&storage).unwrap();
    let entries = run(1, 3);
    for entry in entries.clone() {
        log.append_blocking(vec![entry]).unwrap();
    }
    drop(log);
    let second = &frames(&storage).0[1];
    let mut files = storage.files();
    let bytes = files.get_mut(&format!("log/{:08}.seg", second.segment)).unwrap();
    let frame = &mut bytes[second.offset as usize..];
    let len = u32::from_le_bytes(frame[12..16].try_into().unwrap()) as usize;
    let at = frame[..len].windows(4).rposition(|window| window == b"pair").unwrap();
    frame[at] = b'P';
    let crc = crc32c::crc32c_append(crc32c::crc32c(&frame[..16]), &frame[20..len]);
    frame[16..20].copy_from_slice(&crc.to_le_bytes());
    let storage = SimStorage::of(files);
    let report = reader(&storage).verify().unwrap();
    assert!(report.damage.iter().any(|damage| damage.what == What::Chain), "{:?}", report.damage);
    assert!(reader(&storage).run(id(1)).is_err());
}
