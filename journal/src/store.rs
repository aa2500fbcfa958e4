//! What the index keeps in sled, and how: one value per frame, and a handful of keys per run.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use recover_engine::{Digest, Entry, Key, Kind, Latch, Millis, RunId};

use crate::bytes::{array, u32_at, u64_at};
use crate::follow::Frame;
use crate::index::{IndexedRun, Query};

/// A longer value would go to a file of its own, which sled does not look after well. Bytes.
const CHUNK: usize = 8 << 10;
/// How much sled may keep in memory. Bytes.
const CACHE: u64 = 2 << 20;
/// After how much sled is made to write out what it has, which it otherwise keeps in memory. Bytes.
const WRITE_OUT: usize = 4 << 20;
/// What a record's keys count for in that. Bytes.
const KEY_COST: usize = 512;
/// The unit of its file. Bytes.
const SEGMENT: usize = 128 << 10;
/// How many runs are remembered between two frames.
const REMEMBERED: usize = 4096;

const META: &[u8] = b"meta";
const FRAME: u8 = b'f';
const RUN: u8 = b'r';
const OPEN: u8 = b'o';
const SUBJECT: u8 = b's';
const TIME: u8 = b't';
const CLAIM: u8 = b'c';
const EFFECT: u8 = b'e';

/// The database failed, or holds what it never was given.
#[derive(Debug)]
pub(crate) struct Broken;

impl From<sled::Error> for Broken {
    fn from(_: sled::Error) -> Self {
        Self
    }
}

/// The open database.
pub(crate) struct Store {
    db: sled::Db,
    meta: Meta,
    rows: HashMap<RunId, IndexedRun>,
    /// How much was put in since it was last made to write.
    unwritten: usize,
}

/// What the database says of itself. Written with every change, so that a part of it is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Meta {
    frame: u64,
    hash: Digest,
    runs: u64,
    open: u64,
}

impl Meta {
    fn encode(&self) -> Vec<u8> {
        let numbers = [self.frame, self.runs, self.open];
        numbers.iter().flat_map(|n| n.to_le_bytes()).chain(self.hash.0).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            frame: u64_at(bytes, 0)?,
            runs: u64_at(bytes, 8)?,
            open: u64_at(bytes, 16)?,
            hash: Digest(array(bytes, 24)?),
        })
    }
}

fn key(prefix: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![prefix];
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// Times in the order of their numbers, also before 1970.
fn ordered(at: Millis) -> [u8; 8] {
    ((at.0 as u64) ^ (1 << 63)).to_be_bytes()
}

fn encode(row: &IndexedRun) -> Vec<u8> {
    let mut out = row.subject.0.to_vec();
    out.extend_from_slice(&row.begun_at.0.to_le_bytes());
    out.extend_from_slice(&row.last_frame.to_le_bytes());
    out.extend_from_slice(&row.last_seq.to_le_bytes());
    out.extend_from_slice(&[row.last_kind as u8, u8::from(row.open)]);
    out
}

fn decode(run: RunId, bytes: &[u8]) -> Option<IndexedRun> {
    Some(IndexedRun {
        run,
        subject: Key(array(bytes, 0)?),
        begun_at: Millis(i64::from_le_bytes(array(bytes, 16)?)),
        last_frame: u64_at(bytes, 24)?,
        last_seq: u32_at(bytes, 32)?,
        last_kind: Kind::from_number(*bytes.get(36)?)?,
        open: *bytes.get(37)? == 1,
    })
}

impl Store {
    /// Opens the database, or makes one. sled may panic or hang in here.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.is_dir() => return Err(io::Error::other("not a directory")),
            Ok(_) => sweep(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let config = sled::Config::new()
            .path(path)
            .flush_every_ms(None)
            .cache_capacity(CACHE)
            .use_compression(false)
            .segment_size(SEGMENT);
        let db = config.open().map_err(io::Error::other)?;
        let meta = match db.get(META).map_err(io::Error::other)? {
            None => Meta::default(),
            Some(bytes) => Meta::decode(&bytes).ok_or_else(|| io::Error::other("no valid meta entry"))?,
        };
        Ok(Self { db, meta, rows: HashMap::new(), unwritten: 0 })
    }

    /// The last frame it holds, and its hash; frame 0 if there is none.
    pub(crate) fn applied(&self) -> Result<(u64, Digest), Broken> {
        Ok((self.meta.frame, self.meta.hash))
    }

    /// Whether it holds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.db.is_empty()
    }

    /// Whether as many keys are there as were put in.
    pub(crate) fn is_whole(&self) -> bool {
        let count = |prefix: u8| self.db.scan_prefix([prefix]).try_fold(0, |n, item| item.map(|_| n + 1));
        let last = self.db.contains_key(key(FRAME, &[&self.meta.frame.to_be_bytes(), &[0, 0]]));
        matches!(last, Ok(true))
            && [RUN, SUBJECT, TIME].iter().all(|prefix| count(*prefix) == Ok(self.meta.runs))
            && count(OPEN) == Ok(self.meta.open)
    }

    /// Takes in frames, all or none.
    pub(crate) fn apply(&mut self, frames: &[Frame]) -> Result<(), Broken> {
        let mut batch = sled::Batch::default();
        let mut meta = self.meta;
        let mut touched: HashMap<RunId, IndexedRun> = HashMap::new();
        for frame in frames {
            let records: Vec<u8> = frame.entries.iter().flat_map(|entry| entry.bytes()).copied().collect();
            for (chunk, number) in records.chunks(CHUNK).zip(0_u16..) {
                batch.insert(key(FRAME, &[&frame.number.to_be_bytes(), &number.to_be_bytes()]), chunk);
            }
            // A key costs sled much more than its bytes.
            self.unwritten += records.len() + frame.entries.len() * KEY_COST;
            for entry in &frame.entries {
                self.note(entry, frame.number, &mut touched, &mut meta, &mut batch)?;
            }
            (meta.frame, meta.hash) = (frame.number, frame.hash);
        }
        for (run, row) in &touched {
            batch.insert(key(RUN, &[run.as_bytes()]), encode(row));
        }
        batch.insert(META, meta.encode());
        self.db.apply_batch(batch)?;
        if self.unwritten > WRITE_OUT {
            // For the sake of memory alone: nobody counts on what sled calls durable.
            self.db.flush()?;
            self.unwritten = 0;
        }
        self.meta = meta;
        if self.rows.len() > REMEMBERED {
            self.rows.clear();
        }
        for (run, row) in touched {
            if row.open {
                self.rows.insert(run, row);
            } else {
                self.rows.remove(&run);
            }
        }
        Ok(())
    }

    fn note(
        &self,
        entry: &Entry,
        frame: u64,
        touched: &mut HashMap<RunId, IndexedRun>,
        meta: &mut Meta,
        batch: &mut sled::Batch,
    ) -> Result<(), Broken> {
        let header = entry.header();
        match header.latch {
            Latch::Claim => batch.insert(key(CLAIM, &[&header.key.0]), header.run.as_bytes()),
            Latch::Release => batch.remove(key(CLAIM, &[&header.key.0])),
            Latch::Consume | Latch::Restore => {
                let mut value = header.run.as_bytes().to_vec();
                value.push(u8::from(header.latch == Latch::Restore));
                batch.insert(key(EFFECT, &[&header.key.0]), value);
            }
            Latch::None | Latch::Block | Latch::Clear => {}
        }
        if header.run == RunId::JOURNAL {
            return Ok(());
        }
        let known = match touched.get(&header.run) {
            Some(row) => Some(*row),
            None => self.row(header.run)?,
        };
        let begins = header.kind == Kind::Begun;
        let mut row = known.unwrap_or(IndexedRun {
            run: header.run,
            subject: if begins { header.key } else { Key::NONE },
            open: true,
            begun_at: header.at,
            last_seq: 0,
            last_kind: header.kind,
            last_frame: frame,
        });
        if known.is_none() {
            (meta.runs, meta.open) = (meta.runs + 1, meta.open + 1);
            batch.insert(key(SUBJECT, &[&row.subject.0, header.run.as_bytes()]), &[]);
            batch.insert(key(TIME, &[&ordered(row.begun_at), header.run.as_bytes()]), &[]);
            batch.insert(key(OPEN, &[header.run.as_bytes()]), &[]);
        }
        (row.last_seq, row.last_kind, row.last_frame) = (header.seq, header.kind, frame);
        if header.kind == Kind::Closed && row.open {
            row.open = false;
            meta.open = meta.open.saturating_sub(1);
            batch.remove(key(OPEN, &[header.run.as_bytes()]));
        }
        touched.insert(header.run, row);
        Ok(())
    }

    fn row(&self, run: RunId) -> Result<Option<IndexedRun>, Broken> {
        if let Some(row) = self.rows.get(&run) {
            return Ok(Some(*row));
        }
        match self.db.get(key(RUN, &[run.as_bytes()]))? {
            None => Ok(None),
            Some(bytes) => decode(run, &bytes).ok_or(Broken).map(Some),
        }
    }

    /// The runs that match, oldest first.
    pub(crate) fn find(&self, query: Query) -> Result<Vec<IndexedRun>, Broken> {
        let keys: Box<dyn Iterator<Item = sled::Result<sled::IVec>>> = match query {
            Query::All => Box::new(self.db.scan_prefix([RUN]).keys()),
            Query::Open => Box::new(self.db.scan_prefix([OPEN]).keys()),
            Query::Subject(subject) => Box::new(self.db.scan_prefix(key(SUBJECT, &[&subject.0])).keys()),
            Query::Begun(from, to) => {
                Box::new(self.db.range(key(TIME, &[&ordered(from)])..key(TIME, &[&ordered(to)])).keys())
            }
        };
        let mut runs = Vec::new();
        for found in keys {
            let found = found?;
            let id = found.len().checked_sub(16).and_then(|at| array(&found, at)).ok_or(Broken)?;
            // A key that leads to no run is a lie, and a lie is worse than no index.
            runs.push(self.row(RunId::from_bytes(id))?.ok_or(Broken)?);
        }
        runs.sort_unstable_by_key(|row| row.run);
        Ok(runs)
    }
}

/// Removes half-written snapshots, which sled might take for whole ones.
fn sweep(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::entries::{Script, closed_run, effect, id, run, subject};

    fn frame(number: u64, entries: Vec<Entry>) -> Frame {
        let (hash, prev) = (Digest::of(&number.to_le_bytes()), Digest::ZERO);
        Frame { number, hash, prev, segment: 1, offset: 128, entries }
    }

    fn new() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("index")).unwrap();
        (dir, store)
    }

    #[test]
    fn it_is_whole_until_a_key_of_any_sort_is_gone() {
        let (_dir, mut store) = new();
        store.apply(&[frame(1, closed_run(1, 3)), frame(2, run(2, 2)), frame(3, run(3, 1))]).unwrap();
        assert!(store.is_whole());
        for sort in [FRAME, RUN, OPEN, SUBJECT, TIME] {
            let last = store.db.scan_prefix([sort]).keys().last().unwrap().unwrap();
            let value = store.db.remove(&last).unwrap().unwrap();
            assert!(!store.is_whole(), "{}", char::from(sort));
            store.db.insert(last, value).unwrap();
            assert!(store.is_whole());
        }
    }

    #[test]
    fn it_is_empty_until_it_is_given_something_whatever_it_says_of_itself() {
        let (_dir, mut store) = new();
        assert!(store.is_empty());
        store.apply(&[frame(1, run(1, 1))]).unwrap();
        store.db.remove(META).unwrap();
        assert!(!store.is_empty());
    }

    #[test]
    fn an_effect_that_was_consumed_is_told_from_one_that_was_given_back() {
        let (_dir, mut store) = new();
        let mut script = Script::new(id(1));
        let mut entries = vec![script.begin(subject(1))];
        entries.extend([effect(1, 0), effect(1, 1)].map(|effect| script.intend(effect)));
        entries.push(script.next(Kind::Outcome, Latch::Restore, effect(1, 1), "{}"));
        store.apply(&[frame(1, entries)]).unwrap();
        let said = |effect: Key| store.db.get(key(EFFECT, &[&effect.0])).unwrap().unwrap().last().copied();
        assert_eq!((said(effect(1, 0)), said(effect(1, 1))), (Some(0), Some(1)));
    }

    /// The frame of a run whose only record says this.
    fn saying(n: u64, text: &str) -> Frame {
        frame(n, vec![Script::new(id(n)).next(Kind::Begun, Latch::Claim, subject(n), text)])
    }

    #[test]
    fn sled_is_made_to_write_after_many_records_or_long_ones_and_not_after_a_few() {
        let (dir, mut store) = new();
        for n in 1..=100 {
            store.apply(&[saying(n, "{}")]).unwrap();
            assert_ne!(store.unwritten, 0, "a write would disturb the log's own");
        }
        // Their bytes are far fewer than may be kept in memory; their keys are not.
        let many = run(101, 9000);
        assert!(many.iter().map(|entry| entry.bytes().len()).sum::<usize>() < WRITE_OUT / 2);
        store.apply(&[frame(101, many)]).unwrap();
        assert_eq!(store.unwritten, 0);
        for n in 102..=105 {
            store.apply(&[saying(n, &"x".repeat(900 << 10))]).unwrap();
            assert_ne!(store.unwritten, 0);
        }
        store.apply(&[saying(106, &format!("the last of them{}", "x".repeat(900 << 10)))]).unwrap();
        assert_eq!(store.unwritten, 0);
        let db = std::fs::read(dir.path().join("index/db")).unwrap();
        assert!(String::from_utf8_lossy(&db).contains("the last of them"), "it is in the file");
    }

    #[test]
    fn no_more_than_some_thousand_open_runs_are_remembered() {
        let (_dir, mut store) = new();
        for n in 1..=2 {
            store.apply(&[frame(n, run(n, 1))]).unwrap();
        }
        assert_eq!(store.rows.len(), 2, "those that go on soon");
        let many = (10..REMEMBERED as u64 + 10).map(|n| run(n, 1)).collect::<Vec<_>>().concat();
        store.apply(&[frame(3, many)]).unwrap();
        store.apply(&[frame(4, run(3, 1))]).unwrap();
        assert_eq!(store.rows.len(), 1);
        // Those that are forgotten are known all the same.
        store.apply(&[frame(5, vec![Script::after(&run(1, 1)[0]).close(subject(1))])]).unwrap();
        assert!(store.is_whole());
        assert_eq!(store.find(Query::Open).unwrap().len(), REMEMBERED + 2);
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let error = Store::open(&dir.path().join("file/index")).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn half_a_snapshot_is_swept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["db", "other.generating", "snap.00000000000000A1", "snap.00000000000000B2.generating"];
        names.iter().for_each(|name| std::fs::write(dir.path().join(name), "x").unwrap());
        sweep(dir.path()).unwrap();
        let left = names.iter().filter(|name| dir.path().join(name).exists()).copied().collect::<Vec<_>>();
        assert_eq!(left, names[..3]);
    }
}
