//! Bytes as the files of somebody's log: read in every way, salvaged, adopted, written on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use recover_engine::{Digest, Entry, Kind, Latch, Millis, RunId};
use recover_journal::testing::entries::{self, Script};
use recover_journal::testing::sim::SimStorage;
use recover_journal::testing::{adopt, bind, salvage};
use recover_journal::{Author, CommitLog, Host, Options, Reader, Storage, StoredEntry};

use crate::log::{CRC_AT, LEN_AT, MAGIC, checksum, seal, seal_part};
use crate::{Choices, Seeds};

const SEGMENT_LEN: usize = 1280;
const OPTIONS: Options = Options { segment_len: SEGMENT_LEN as u64 };
const AUTHOR: Author<'static> = Author { actor: entries::ACTOR, at: Millis(7) };
/// Where the records of a frame begin.
const RECORDS_AT: usize = 64;
const NAMES: [&str; 20] = [
    "log/acked",
    "log/00000001.seg",
    "log/00000002.seg",
    "log/00000003.seg",
    "log/00000004.seg",
    "log/00000005.seg",
    "log/00000006.seg",
    "log/00000007.seg",
    "log/00000008.seg",
    "log/00000001.damaged",
    "log/00000002.damaged",
    "log/00000003.damaged",
    "log/00000001.salvaging",
    "log/00000002.salvaging",
    "log/00000003.salvaging",
    "log/prepare.tmp",
    "log/00000000.seg",
    "log/00000012.seg",
    "log/281474976710656.seg",
    "machine",
];

type Files = BTreeMap<String, Vec<u8>>;
type Runs = BTreeMap<RunId, Vec<StoredEntry>>;

/// The files that the bytes are: for each its name, whether it is filled up with zeros and its checksums are made right, its
/// length, its bytes.
fn decode(bytes: &[u8]) -> Files {
    let (mut choices, mut files) = (Choices::new(bytes), Files::new());
    while !choices.are_over() {
        let name = NAMES[choices.one_of(NAMES.len())];
        let flags = choices.byte();
        let len = usize::from(choices.byte()) << 8 | usize::from(choices.byte());
        let mut file = choices.take(len).to_vec();
        if flags & 1 != 0 && file.len() < SEGMENT_LEN {
            file.resize(SEGMENT_LEN, 0);
        }
        if flags & 2 != 0 {
            seal_all(&mut file);
        }
        files.insert(name.to_owned(), file);
    }
    files
}

fn encode(files: &Files, sealed: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, file) in files {
        let place = NAMES.iter().position(|known| known == name).unwrap_or_else(|| panic!("{name} is no name of a small log"));
        let zeros = file.iter().rev().take_while(|byte| **byte == 0).count();
        let pad = file.len() == SEGMENT_LEN && zeros > 0;
        let kept = if pad { &file[..file.len() - zeros] } else { file };
        bytes.extend([place as u8, u8::from(pad) | u8::from(sealed) << 1, (kept.len() >> 8) as u8, kept.len() as u8]);
        bytes.extend_from_slice(kept);
    }
    // Sealed, what is damaged is whole again.
    assert!(sealed || decode(&bytes) == *files, "it is read back");
    bytes
}

/// Makes the checksums right of the header, the frames and the summary, as somebody would who edits on purpose.
fn seal_all(file: &mut [u8]) {
    seal(file);
    if let Some(header) = file.get_mut(..128).filter(|header| header.starts_with(b"rcvsegmt")) {
        seal_part(header, 12);
    }
    if let Some(from) = file.windows(8).position(|word| word == b"rcvsummy") {
        let len = length(&file[from..]);
        if let Some(summary) = file[from..].get_mut(..len) {
            seal_part(summary, CRC_AT);
        }
    }
}

fn length(part: &[u8]) -> usize {
    part.get(LEN_AT..LEN_AT + 4).and_then(|len| len.try_into().ok()).map_or(0, u32::from_le_bytes) as usize
}

/// The hashes of the records in every frame of a file whose checksum is right, found without the journal's help.
fn records(file: &[u8]) -> BTreeSet<Digest> {
    let mut found = BTreeSet::new();
    for at in (0..file.len()).filter(|at| file[*at..].starts_with(MAGIC)) {
        let Some(frame) = file[at..].get(..length(&file[at..])).filter(|frame| frame.len() >= RECORDS_AT) else { continue };
        if checksum(frame, CRC_AT) != frame[CRC_AT..CRC_AT + 4] {
            continue;
        }
        let mut rest = &frame[RECORDS_AT..];
        while let Ok(entry) = Entry::decode(rest) {
            found.insert(entry.hash());
            rest = &rest[entry.bytes().len()..];
        }
    }
    found
}

fn all_records(files: &Files) -> BTreeSet<Digest> {
    files.values().flat_map(|file| records(file)).collect()
}

fn on(storage: &SimStorage) -> Arc<dyn Storage> {
    Arc::new(storage.clone())
}

/// Everything that can be read. What is read as a run is one, and its records are in the files.
fn look(storage: &SimStorage, there: &BTreeSet<Digest>) -> Runs {
    let reader = Reader::new(on(storage));
    let mut runs = Runs::new();
    for run in reader.runs().expect("the storage itself is sound").runs {
        let Ok(stored) = reader.run(run.run) else { continue };
        let mut prev = Digest::ZERO;
        for (seq, stored) in (1..).zip(&stored) {
            let header = stored.entry.header();
            assert_eq!((header.run, header.seq, header.prev), (run.run, seq, prev), "it is not the run's next record");
            prev = stored.entry.hash();
            assert!(there.contains(&prev), "a record of {} is in no frame", run.run);
        }
        let own: Vec<Entry> = stored.iter().map(|stored| stored.entry.clone()).collect();
        if let Ok(id) = recover::outside::replay(&own) {
            assert_eq!(id, run.run);
        }
        runs.insert(run.run, stored);
    }
    let _ = (reader.head(), reader.open_runs());
    let mut follower = reader.follow(0);
    while let Ok(frames) = follower.poll(u64::MAX) {
        if frames.is_empty() {
            break;
        }
        for entry in frames.iter().flat_map(|frame| &frame.entries) {
            assert!(there.contains(&entry.hash()), "a followed record is in no frame");
        }
    }
    runs
}

/// The records alone: where they stand may change.
fn of(runs: &Runs) -> BTreeMap<RunId, Vec<Digest>> {
    runs.iter().map(|(run, stored)| (*run, stored.iter().map(|stored| stored.entry.hash()).collect())).collect()
}

/// The number of the segment that a file is.
fn number(name: &str) -> Option<u64> {
    name.strip_prefix("log/")?.split_once('.')?.0.parse().ok()
}

/// Reads the files in every way, adopts them, and salvages them.
pub fn import_a_log(bytes: &[u8]) {
    let files = decode(bytes);
    let storage = SimStorage::of(files.clone());
    let there = all_records(&files);
    let before = look(&storage, &there);
    let report = Reader::new(on(&storage)).verify().expect("the storage itself is sound");
    assert!(storage.is_empty(), "reading changed something");
    adopted(&files, &before);
    let mut damaged = BTreeSet::new();
    damaged.extend(report.damage.iter().map(|damage| damage.segment));
    let salvaged = salvage(&on(&storage), OPTIONS, AUTHOR, "it was imported");
    let after = storage.files();
    for (name, file) in &files {
        let Some(number) = number(name).filter(|number| (1..1 << 48).contains(number)) else { continue };
        if damaged.contains(&number) {
            // Whatever else: the bytes are kept, under a name with the same number.
            let kept = after.iter().any(|(after, bytes)| self::number(after) == Some(number) && bytes == file);
            assert!(kept, "{name} is gone: {salvaged:?}, {:?}", report.damage);
        } else if report.torn_tail.is_none_or(|torn| torn.segment != number) {
            let left = after.get(name).map(|bytes| records(bytes)).unwrap_or_default();
            assert!(records(file).is_subset(&left), "{name} lost a record: {salvaged:?}");
        }
    }
    let Ok(salvaged) = salvaged else { return };
    if report.damage.is_empty() {
        assert!(storage.is_empty() && salvaged.sealed.is_empty(), "a salvage of nothing changed something");
        return;
    }
    let known = all_records(&after);
    let own = |digest: &Digest| !there.contains(digest);
    // What is new are the journal's own records, and no run has any of them.
    for stored in look(&storage, &known).values().flatten() {
        assert!(!own(&stored.entry.hash()), "a salvage made up a record of {}", stored.entry.header().run);
    }
    // What was sealed can hold the record of an earlier salvage, and that tell of a segment that was altered since.
    let left = (0..4).find_map(|_| match salvage(&on(&storage), OPTIONS, AUTHOR, "once more") {
        Ok(done) if !done.damage.is_empty() => None,
        other => Some(other),
    });
    assert!(matches!(left, Some(Ok(_))), "damage is left after a salvage: {left:?}, before: {:?}", report.damage);
    let mut log = CommitLog::open_inline(on(&storage), OPTIONS).expect("what was salvaged can be written on");
    let _ = log.append_blocking(entries::run(50, 1));
    log.close();
    look(&storage, &all_records(&storage.files()));
    let again = salvage(&on(&storage), OPTIONS, AUTHOR, "again").expect("nothing is left to do");
    assert!(again.sealed.is_empty() && again.damage.is_empty(), "writing on what was salvaged damaged it: {again:?}");
}

/// Another machine makes the log its own: nothing that could be read changes, and one record is added.
fn adopted(files: &Files, before: &Runs) {
    let storage = SimStorage::of(files.clone());
    let host = Host { machine: "here".into(), boot: "b".into() };
    if adopt(&on(&storage), &host, OPTIONS, AUTHOR, "the other is gone").is_err() {
        return;
    }
    let after = storage.files();
    assert_eq!(String::from_utf8_lossy(&after["machine"]).trim_end(), "here");
    assert_eq!(of(&look(&storage, &all_records(&after))), of(before), "adopting changed what can be read");
}

/// Logs as they really are: new, full, torn, damaged, salvaged in part, of another machine.
pub fn seeds() -> Seeds {
    let mut seeds = Seeds::new();
    let mut add = |name: &str, files: &Files| {
        seeds.push((name.to_owned(), encode(files, false)));
        seeds.push((format!("{name}-sealed"), encode(files, true)));
    };
    add("new", &written(&[]).files());
    let storage = written(&[entries::run(1, 3)]);
    bind(&*on(&storage), "there").expect("it can be bound");
    add("one-run", &storage.files());
    let two: Vec<Vec<Entry>> = entries::closed_run(1, 4).into_iter().chain(entries::run(2, 3)).map(|e| vec![e]).collect();
    let full = written(&two).files();
    add("two-segments", &full);
    let mut own = Script::new(RunId::JOURNAL);
    let block = own.next(Kind::Salvaged, Latch::Block, entries::subject(9), "{}");
    add("a-block", &written(&[vec![block], entries::run(1, 2)]).files());
    let first = "log/00000001.seg";
    let changed = |change: &dyn Fn(&mut Files)| {
        let mut files = full.clone();
        change(&mut files);
        files
    };
    let damaged = changed(&|files| files.get_mut(first).expect("it is there")[300] ^= 1);
    let storage = SimStorage::of(damaged.clone());
    salvage(&on(&storage), OPTIONS, AUTHOR, "r").expect("it can be salvaged");
    add("salvaged", &storage.files());
    add("half-salvaged", &changed(&|files| {
        let file = files.remove(first).expect("it is there");
        files.insert("log/00000001.salvaging".into(), file);
    }));
    add("first-is-gone", &changed(&|files| drop(files.remove(first))));
    add("no-mark", &changed(&|files| drop(files.remove("log/acked"))));
    add("mark-ahead", &changed(&|files| drop(files.insert("log/acked".into(), vec![0xff; 8]))));
    add("far-ahead", &changed(&|files| drop(files.insert("log/00000012.seg".into(), full[first].clone()))));
    seeds.push(("damaged".into(), encode(&damaged, false)));
    let torn = changed(&|files| {
        let last = files.keys().filter(|name| name.ends_with(".seg")).rfind(|name| full[*name].iter().any(|b| *b != 0));
        let file = files.get_mut(&last.expect("one is begun").clone()).expect("it is there");
        let end = file.iter().rposition(|byte| *byte != 0).expect("it is begun");
        file[end - 20..].fill(0);
    });
    seeds.push(("torn".into(), encode(&torn, false)));
    seeds
}

fn written(batches: &[Vec<Entry>]) -> SimStorage {
    let storage = SimStorage::new();
    let mut log = CommitLog::open_inline(on(&storage), OPTIONS).expect("a new log opens");
    for batch in batches {
        log.append_blocking(batch.clone()).expect("it is written");
    }
    log.close();
    SimStorage::of(storage.files())
}
