//! Seals what is damaged, keeps its bytes, and blocks every subject that may have records there, so that writing can go on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use recover_engine::{Digest, Entry, JournalError, Key, Kind, Latch, Ledger, RunId};
use serde_json::{Value, json};

use crate::error::{Damage, Failed, OpenError, ReadError, What};
use crate::frame::MARK_END;
use crate::log::{CommitLog, Options};
use crate::open::Purpose;
use crate::own::{Author, OwnRecords};
use crate::reader::Reader;
use crate::segment::{ACKED, Condition, LOG, SegmentFile};
use crate::state_dir::{Host, StateDir};
use crate::storage::{Access, Storage, replace};
use crate::survey::{Depth, Segment, Survey, open, read_summary, read_whole, rescued};

/// What a salvage did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvage {
    /// The segments that were sealed.
    pub sealed: Vec<u64>,
    /// What was wrong with them.
    pub damage: Vec<Damage>,
    /// The subjects that are blocked until a person answers for them.
    pub blocked: Vec<Key>,
    /// Whether subjects that are not known of are blocked as well: it cannot be told whose records are lost.
    pub all_blocked: bool,
}

/// Salvages the journal in the state directory at `path`. Nothing is done if nothing is damaged.
///
/// If it is interrupted, the journal is not written on until it is called again.
///
/// # Errors
/// As opening the journal does, but for its damage.
pub fn salvage(
    path: &Path,
    host: &Host,
    options: Options,
    author: Author<'_>,
    reason: &str,
) -> Result<Salvage, OpenError> {
    let dir = StateDir::open(path)?;
    let _owned = dir.lock(host)?;
    if let Some(of) = dir.machine()?.filter(|of| *of != host.machine) {
        return Err(OpenError::OtherMachine { of, here: host.machine.clone() });
    }
    salvage_in(&dir.storage(), options, author, reason)
}

pub(crate) fn salvage_in(
    storage: &Arc<dyn Storage>,
    options: Options,
    author: Author<'_>,
    reason: &str,
) -> Result<Salvage, OpenError> {
    let store = &**storage;
    let reader = Reader::new(Arc::clone(storage));
    let report = reader.verify()?;
    if report.damage.is_empty() {
        return Ok(Salvage::default());
    }
    one_file_each(store)?;
    let mark_lost = report.damage.iter().any(|damage| damage.what == What::Mark);
    if mark_lost {
        // A number that somebody made up may be out of a mark's reach: what was acknowledged is then not known at all.
        let mark = if report.head.frame < MARK_END { report.head.frame } else { 0 };
        replace(store, LOG, mark_name(), &mark.to_le_bytes()).map_err(doing("write the mark"))?;
    }
    set_aside(store, &report.damage)?;
    let scope = Scope::of(&reader, mark_lost)?;
    let log = CommitLog::open_for(Arc::clone(storage), options, Purpose::Salvage)?;
    let mut own = OwnRecords::after(log.with_ledger(Ledger::own), author);
    let mut batch = Vec::new();
    for segment in &scope.segments {
        let here = report.damage.iter().filter(|damage| damage.segment == segment.number);
        let payload = segment.payload(here, reason);
        batch.push(own.next(Kind::Salvaged, Latch::None, Key::NONE, &payload).map_err(JournalError::from)?);
    }
    if batch.is_empty() {
        let payload = json!({ "reason": reason, "damage": words(report.damage.iter()) });
        batch.push(own.next(Kind::Salvaged, Latch::None, Key::NONE, &payload).map_err(JournalError::from)?);
    }
    let everyone = scope.all.then_some(Key::NONE);
    for subject in everyone.iter().chain(&scope.subjects) {
        let payload = json!({ "reason": reason });
        batch.push(own.next(Kind::Salvaged, Latch::Block, *subject, &payload).map_err(JournalError::from)?);
    }
    write(&log, &batch)?;
    drop(log);
    seal(store)?;
    Ok(Salvage {
        sealed: scope.segments.iter().map(|segment| segment.number).collect(),
        damage: report.damage,
        blocked: scope.subjects.into_iter().collect(),
        all_blocked: scope.all,
    })
}

/// A segment that is set aside takes the name that its number has then. Whatever has it already was not put there by a
/// salvage, and must not be lost to one.
fn one_file_each(store: &dyn Storage) -> Result<(), Failed> {
    let names = store.list(LOG).map_err(doing("list the log"))?;
    let mut numbers: Vec<u64> =
        names.iter().filter_map(|name| SegmentFile::from_name(name)).map(|file| file.number).collect();
    numbers.sort_unstable();
    let twice = numbers.windows(2).find(|pair| pair[0] == pair[1]);
    match twice.and_then(|pair| pair.first()) {
        Some(number) => Err(Failed::to(format!("set segment {number} aside, of which there are two files in {LOG}/"))(
            std::io::ErrorKind::AlreadyExists.into(),
        )),
        None => Ok(()),
    }
}

fn mark_name() -> &'static str {
    ACKED.rsplit_once('/').map_or(ACKED, |(_, name)| name)
}

fn doing(what: &'static str) -> impl FnOnce(std::io::Error) -> Failed {
    Failed::to(what)
}

/// Writes the records a few at a time: there can be one for every subject.
fn write(log: &CommitLog, batch: &[Entry]) -> Result<(), JournalError> {
    for entries in batch.chunks(64) {
        match log.append_blocking(entries.to_vec()) {
            Err(JournalError::Entry(_)) => {
                for entry in entries {
                    log.append_blocking(vec![entry.clone()])?;
                }
            }
            other => drop(other?),
        }
    }
    Ok(())
}

/// Renames damaged segments, so that nothing takes them for sound; a segment that is missing gets an empty file.
fn set_aside(store: &dyn Storage, damage: &[Damage]) -> Result<(), OpenError> {
    let numbers: BTreeMap<u64, What> = damage.iter().map(|damage| (damage.segment, damage.what)).collect();
    for (number, what) in numbers.into_iter().filter(|(number, _)| *number > 0) {
        let sound = SegmentFile::sound(number).path();
        let aside = SegmentFile { number, condition: Condition::Salvaging }.path();
        match (store.open(&sound, Access::Read), what) {
            (Ok(_), _) => store.rename(&sound, &aside).map_err(doing("set a damaged segment aside"))?,
            (Err(_), What::Missing) => {
                store.open(&aside, Access::Create).map_err(doing("stand in for a missing segment"))?;
            }
            // It was set aside by a salvage that was interrupted, or sealed by an earlier one and altered since.
            (Err(_), _) => reopen(store, number, &aside)?,
        }
    }
    Ok(store.sync_dir(LOG).map_err(doing("sync the log's folder"))?)
}

fn reopen(store: &dyn Storage, number: u64, aside: &str) -> Result<(), OpenError> {
    let sealed = SegmentFile { number, condition: Condition::Sealed }.path();
    if store.open(&sealed, Access::Read).is_ok() {
        store.rename(&sealed, aside).map_err(doing("set a damaged segment aside"))?;
    }
    Ok(())
}

/// The last step: from here on the segments count as sealed.
fn seal(store: &dyn Storage) -> Result<(), OpenError> {
    for name in store.list(LOG).map_err(doing("list the log"))? {
        if let Some(file) = SegmentFile::from_name(&name).filter(|file| file.condition == Condition::Salvaging) {
            let sealed = SegmentFile { condition: Condition::Sealed, ..file };
            store.rename(&file.path(), &sealed.path()).map_err(doing("seal a damaged segment"))?;
        }
    }
    Ok(store.sync_dir(LOG).map_err(doing("sync the log's folder"))?)
}

/// A segment that is being sealed.
struct Sealing {
    number: u64,
    len: u64,
    hash: Digest,
    /// Ranges of frames that are lost, both ends included.
    lost: Vec<(u64, u64)>,
}

impl Sealing {
    fn payload<'a>(&self, damage: impl Iterator<Item = &'a Damage>, reason: &str) -> Value {
        json!({
            "segment": self.number,
            "length": self.len,
            "sha256": self.hash.to_string(),
            "lost_frames": self.lost,
            "damage": words(damage),
            "reason": reason,
        })
    }
}

/// The first of them in words: thousands of places of one kind say no more.
fn words<'a>(damage: impl Iterator<Item = &'a Damage>) -> Vec<String> {
    damage.take(32).map(ToString::to_string).collect()
}

/// The segment and the hash that the record of a salvage names.
pub(crate) fn sealed_in(entry: &Entry) -> Option<(u64, Digest)> {
    let payload: Value = serde_json::from_str(entry.payload()).ok()?;
    Some((payload.get("segment")?.as_u64()?, payload.get("sha256")?.as_str()?.parse().ok()?))
}

/// Whom the damage may be about.
struct Scope {
    segments: Vec<Sealing>,
    subjects: BTreeSet<Key>,
    all: bool,
}

impl Scope {
    fn of(reader: &Reader, mark_lost: bool) -> Result<Self, OpenError> {
        let store = &*reader.storage;
        let known: BTreeMap<RunId, Key> = reader.runs()?.runs.iter().map(|run| (run.run, run.subject)).collect();
        let survey = Survey::of(store)?;
        // Without the mark it cannot be told whether frames are missing at the end.
        let mut scope = Self { segments: Vec::new(), subjects: BTreeSet::new(), all: mark_lost };
        let mut buffer = Vec::new();
        // Where a segment begins whose header does not say it, if the one before it does.
        let mut next_frame = Some(1);
        for (place, segment) in survey.segments.iter().enumerate() {
            if segment.file.condition == Condition::Salvaging {
                let last = match survey.segments.get(place + 1) {
                    None => Some(survey.acked),
                    Some(next) => next.header.map(|header| header.first_frame - 1),
                };
                let first = segment.header.map(|header| header.first_frame).or(next_frame);
                scope.segment(store, segment, first.zip(last), &known)?;
                // Where the one after this has no header either, nothing says where this one ended.
                next_frame = None;
            } else {
                let contents = survey.contents(store, place, Depth::Checksums, &mut buffer);
                next_frame = contents.ok().map(|contents| contents.summary.last_frame + 1);
            }
        }
        if scope.all {
            scope.subjects.extend(known.values().filter(|subject| **subject != Key::NONE));
        }
        Ok(scope)
    }

    fn segment(
        &mut self,
        store: &dyn Storage,
        segment: &Segment,
        frames: Option<(u64, u64)>,
        known: &BTreeMap<RunId, Key>,
    ) -> Result<(), ReadError> {
        let mut bytes = Vec::new();
        read_whole(store, &segment.file, &mut bytes)?;
        let mut left = Vec::new();
        rescued(segment.header.as_ref(), &bytes, |_, number, _, _| left.push(number));
        let lost = frames.map(|(first, last)| lost(first, last, &left));
        let number = segment.file.number;
        let written = read_summary(&*open(store, &segment.file)?, &segment.file)?;
        let hash = Digest::of(&bytes);
        let known_lost = lost.clone().unwrap_or_default();
        self.segments.push(Sealing { number, len: bytes.len() as u64, hash, lost: known_lost });
        match (lost, written) {
            (Some(lost), _) if lost.is_empty() => {}
            (Some(lost), Some((summary, _, _))) if summary.segment == number => {
                let touched = |part: &&crate::summary::RunPart| {
                    lost.iter().any(|(first, last)| part.first_frame <= *last && part.last_frame >= *first)
                };
                // Frames after the last that it knows of stood in a segment that is gone.
                self.all |= lost.iter().any(|(_, last)| *last > summary.last_frame);
                // The journal's own records act by their latches, and those are in the summary.
                for part in summary.runs.iter().filter(touched).filter(|part| part.run != RunId::JOURNAL) {
                    let subject = if part.begins { Some(part.subject) } else { known.get(&part.run).copied() };
                    match subject.filter(|subject| *subject != Key::NONE) {
                        Some(subject) => {
                            self.subjects.insert(subject);
                        }
                        None => self.all = true,
                    }
                }
            }
            (Some(_) | None, _) => self.all = true,
        }
        Ok(())
    }
}

/// The ranges of numbers from `first` to `last` that are not among `left`, which rises.
fn lost(first: u64, last: u64, left: &[u64]) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    let mut next = first;
    for number in left.iter().copied().chain([last.saturating_add(1)]) {
        if number > next {
            ranges.push((next, number - 1));
        }
        next = next.max(number + 1);
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::lost;

    #[test]
    fn the_frames_that_are_lost_are_those_between() {
        assert_eq!(lost(3, 9, &[3, 4, 7]), [(5, 6), (8, 9)]);
        assert_eq!(lost(3, 4, &[3, 4]), []);
        assert_eq!(lost(1, 2, &[]), [(1, 2)]);
        assert_eq!(lost(3, 4, &[3, 4, 5]), [], "one more than was known of");
    }
}
