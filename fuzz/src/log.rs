//! A log and edits of it: bytes become choices of what to flip, cut, move, drop and re-checksum.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use recover_engine::{Entry, RunId};
use recover_journal::testing::sim::SimStorage;
use recover_journal::testing::contract::block_on;
use recover_journal::testing::entries;
use recover_journal::{CommitLog, Options, Reader, StoredEntry};

use crate::Choices;

/// Small, so that the log has several segments.
pub(crate) const SEGMENT: Options = Options { segment_len: 4096 };
const RUNS: u64 = 6;

/// How a frame begins, and where in it its length and its checksum stand. `FORMAT.md` has the layout.
pub(crate) const MAGIC: &[u8; 8] = b"rcvframe";
pub(crate) const LEN_AT: usize = 12;
pub(crate) const CRC_AT: usize = 16;

struct Base {
    files: BTreeMap<String, Vec<u8>>,
    runs: Vec<(RunId, Vec<StoredEntry>)>,
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let storage = SimStorage::new();
        let mut log = CommitLog::open_inline(Arc::new(storage.clone()), SEGMENT).expect("a new log opens");
        for number in 0..RUNS {
            for entry in run(number) {
                log.append_blocking(vec![entry]).expect("it is written");
            }
        }
        log.close();
        let reader = Reader::new(Arc::new(storage.clone()));
        let runs = reader.runs().expect("it is whole").runs;
        let runs = runs.iter().map(|run| (run.run, reader.run(run.run).expect("it is whole"))).collect();
        Base { files: storage.files(), runs }
    })
}

/// Every second run is closed.
fn run(number: u64) -> Vec<Entry> {
    if number.is_multiple_of(2) { entries::closed_run(number, 5) } else { entries::run(number, 5) }
}

/// The next choice below `n`, from two bytes.
fn below(choices: &mut Choices<'_>, n: usize) -> usize {
    let (high, low) = (usize::from(choices.byte()), usize::from(choices.byte()));
    (high * 256 + low) % n.max(1)
}

fn edit(files: &mut BTreeMap<String, Vec<u8>>, choices: &mut Choices<'_>) {
    let names: Vec<String> = files.keys().cloned().collect();
    let name = names[choices.one_of(names.len())].clone();
    let len = files[&name].len();
    let at = below(choices, len);
    let kind = choices.one_of(9);
    let (other, from) = (names[choices.one_of(names.len())].clone(), below(choices, len));
    let source = files[&other].clone();
    let Some(file) = files.get_mut(&name) else { return };
    match kind {
        0 | 1 if len > 0 => file[at] ^= 1 << choices.one_of(8),
        2 if len > 0 => file[at] = choices.byte(),
        3 => file.truncate(at),
        4 => file[at..].fill(0),
        5 => {
            let piece: Vec<u8> = source.iter().skip(from).take(64 + usize::from(choices.byte())).copied().collect();
            let piece = &piece[..piece.len().min(len - at.min(len))];
            file[at.min(len)..][..piece.len()].copy_from_slice(piece);
        }
        6 => *file = source,
        7 => drop(files.remove(&name)),
        _ => seal(file),
    }
}

/// Gives every frame the checksum that its bytes have, as somebody would who edits on purpose.
pub(crate) fn seal(file: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = file.get(at..).and_then(|rest| rest.windows(MAGIC.len()).position(|word| word == MAGIC)) {
        at += found;
        let len = file.get(at + LEN_AT..at + LEN_AT + 4).and_then(|len| len.try_into().ok()).map_or(0, u32::from_le_bytes);
        if let Some(frame) = file.get_mut(at..at + len as usize) {
            seal_part(frame, CRC_AT);
        }
        at += 1;
    }
}

/// Gives a part of a file the checksum that its bytes have.
pub(crate) fn seal_part(part: &mut [u8], crc_at: usize) {
    if part.len() > crc_at + 4 {
        let crc = checksum(part, crc_at);
        part[crc_at..crc_at + 4].copy_from_slice(&crc);
    }
}

/// The checksum of all but the place where it stands itself.
pub(crate) fn checksum(part: &[u8], crc_at: usize) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(&part[..crc_at]), &part[crc_at + 4..]).to_le_bytes()
}

/// Edits a log as the bytes choose, and looks at it in every way.
pub fn edit_a_log(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut files = base().files.clone();
    while !choices.are_over() && !files.is_empty() {
        edit(&mut files, &mut choices);
    }
    let storage = SimStorage::of(files);
    let reader = Reader::new(Arc::new(storage.clone()));
    let report = reader.verify().expect("the storage itself is sound");
    let _ = (reader.runs(), reader.head(), reader.open_runs());
    let clean = report.damage.is_empty() && report.sealed.is_empty();
    for (run, original) in &base().runs {
        let Ok(read) = reader.run(*run) else {
            assert!(!clean, "{run} cannot be read from a log that verifies");
            continue;
        };
        // Nothing names the hash of the last frame, so whoever edits it with its checksum is found by an anchor alone.
        let found = read.iter().zip(original).filter(|(read, _)| clean && read.frame < report.head.frame);
        for (read, original) in found {
            assert_eq!(read.entry, original.entry, "a log that verifies holds another record");
        }
    }
    let Ok(mut log) = CommitLog::open_inline(Arc::new(storage.clone()), SEGMENT) else { return };
    let one_more = entries::run(RUNS + 1, 1);
    let written = block_on(recover_engine::Journal::append(&log, one_more));
    log.close();
    if clean && written.is_ok() {
        let after = reader.verify().expect("the storage itself is sound");
        assert!(after.damage.is_empty(), "writing on a log that verified damaged it: {:?}", after.damage);
    }
}
