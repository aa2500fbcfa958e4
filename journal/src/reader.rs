//! Reads a log without its lock: while a writer is active, on a read-only copy, on a full disk. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use recover_engine::{Digest, Entry, Key, Kind, Millis, Receipt, RunId};

use crate::error::{Damage, Failed, ReadError, What};
use crate::evidence::Evidence;
use crate::follow::Follower;
use crate::frame::{FRAME_HEADER, FrameView};
use crate::scan::Cursor;
use crate::storage::{DiskStorage, Storage, read_into};
use crate::summary::{RunPart, Summary};
use crate::survey::{Depth, End, Segment, Survey, open, read, rescued};

/// A record and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// The record.
    pub entry: Entry,
    /// The number of its frame.
    pub frame: u64,
    /// The number of the segment.
    pub segment: u64,
    /// Where the frame begins in the segment's file.
    pub offset: u64,
}

/// What is known of a run without reading its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOverview {
    /// The run.
    pub run: RunId,
    /// Whether it has not ended.
    pub open: bool,
    /// What it is about; [`Key::NONE`] if its beginning is lost.
    pub subject: Key,
    /// When its first record was made.
    pub begun_at: Millis,
    /// When its last record was made.
    pub last_at: Millis,
    /// The number of its last record.
    pub last_seq: u32,
    /// What its last record says.
    pub last_kind: Kind,
    /// A bit for the number of every kind that occurs.
    pub kinds: u32,
    /// The first and the last frame with a record of it.
    pub frames: (u64, u64),
}

impl RunOverview {
    /// Whether a record of this kind is among its records.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.kinds & (1 << kind as u32) != 0
    }

    fn new(part: &RunPart) -> Self {
        Self {
            run: part.run,
            open: !part.closes,
            subject: part.subject,
            begun_at: part.begun_at,
            last_at: part.last_at,
            last_seq: part.last_seq,
            last_kind: part.last_kind,
            kinds: part.kinds,
            frames: (part.first_frame, part.last_frame),
        }
    }

    fn add(&mut self, part: &RunPart) {
        self.open &= !part.closes;
        if part.begins {
            (self.subject, self.begun_at) = (part.subject, part.begun_at);
        }
        (self.last_at, self.last_seq, self.last_kind) = (part.last_at, part.last_seq, part.last_kind);
        self.kinds |= part.kinds;
        self.frames.1 = part.last_frame;
    }
}

/// The runs of a log, and what of the log could not be read for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The runs, in the order of their ids: oldest first.
    pub runs: Vec<RunOverview>,
    /// Damaged places. What they held is not in `runs`.
    pub damage: Vec<Damage>,
}

/// The runs that have not ended, and what of the log could not be read.
#[derive(Debug)]
pub struct OpenRuns {
    /// The runs, oldest first, each with its records or why they cannot be read.
    pub runs: Vec<(RunId, Result<Vec<StoredEntry>, ReadError>)>,
    /// Damaged places. A run of which nothing is left but what stood there is not in `runs`.
    pub damage: Vec<Damage>,
}

/// A log that is only read.
#[derive(Clone)]
pub struct Reader {
    pub(crate) storage: Arc<dyn Storage>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// How often a log that is written meanwhile is looked at again before damage is believed.
pub(crate) const LOOKS: usize = 3;

/// Looks again when damage is seen: a writer that seals a segment meanwhile can look like it for an instant.
pub(crate) fn stable<T>(mut look: impl FnMut() -> Result<T, ReadError>) -> Result<T, ReadError> {
    for _ in 1..LOOKS {
        match look() {
            Err(ReadError::Damage(_)) => std::thread::yield_now(),
            other => return other,
        }
    }
    look()
}

impl Reader {
    /// A reader of the state directory at `path`.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let storage = DiskStorage::open(path).map_err(Failed::to(format!("open {}", path.display())))?;
        Ok(Self::new(Arc::new(storage)))
    }

    /// A reader of this storage.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage }
    }

    /// The captured texts beside the log.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        Evidence::new(Arc::clone(&self.storage))
    }

    /// Every run, from the summaries and a scan of the last segment alone.
    ///
    /// # Errors
    /// If the system does not let it read. Damage is in the answer.
    pub fn runs(&self) -> Result<Listing, ReadError> {
        let look = || {
            let (runs, damage) = self.overview()?;
            match damage.first() {
                Some(first) => Err((ReadError::Damage(*first), Listing { runs, damage })),
                None => Ok(Listing { runs, damage }),
            }
        };
        let mut last = None;
        let stable = stable(|| {
            look().map_err(|error: (ReadError, Listing)| {
                last = Some(error.1);
                error.0
            })
        });
        match (stable, last) {
            (Ok(listing), _) | (Err(ReadError::Damage(_)), Some(listing)) => Ok(listing),
            (Err(error), _) => Err(error),
        }
    }

    fn overview(&self) -> Result<(Vec<RunOverview>, Vec<Damage>), (ReadError, Listing)> {
        let failed = |error: ReadError| (error, Listing::default());
        let survey = Survey::of(&*self.storage).map_err(|e| failed(e.into()))?;
        let (summaries, damage) = self.summaries(&survey).map_err(failed)?;
        Ok((overviews(&summaries), damage))
    }

    /// What each segment holds, and what is damaged.
    fn summaries(&self, survey: &Survey) -> Result<(Vec<Summary>, Vec<Damage>), ReadError> {
        let mut damage = survey.damages.clone();
        let mut summaries = Vec::with_capacity(survey.segments.len());
        let mut buffer = Vec::new();
        for place in 0..survey.segments.len() {
            summaries.push(match survey.contents(&*self.storage, place, Depth::Checksums, &mut buffer) {
                Ok(contents) => contents.summary,
                Err(ReadError::Damage(found)) => {
                    damage.push(found);
                    self.left(survey, place)?
                }
                Err(error) => return Err(error),
            });
        }
        Ok((summaries, damage))
    }

    /// Every run that has not ended, with its records or why they cannot be read, in one pass over the log.
    ///
    /// # Errors
    /// If the system does not let it read. Damage is in the answer.
    pub fn open_runs(&self) -> Result<OpenRuns, ReadError> {
        let survey = Survey::of(&*self.storage)?;
        let (summaries, damage) = self.summaries(&survey)?;
        // A closed run has no later part, so what is left is open.
        let mut open = BTreeSet::new();
        for part in summaries.iter().flat_map(|summary| &summary.runs).filter(|part| part.run != RunId::JOURNAL) {
            if part.closes {
                open.remove(&part.run)
            } else {
                open.insert(part.run)
            };
        }
        let sound = damage.is_empty() && survey.segments.iter().all(Segment::is_sound);
        let (mut runs, mut buffer) = (Vec::with_capacity(open.len()), Vec::new());
        for run in open {
            let entries = match sound.then(|| self.pick_up(&survey, &summaries, run, &mut buffer)) {
                Some(Ok(entries)) => Ok(entries),
                // What looks damaged is looked at with all that is known of damage.
                None | Some(Err(ReadError::Damage(_))) => self.run(run),
                Some(Err(error)) => return Err(error),
            };
            runs.push((run, entries));
        }
        Ok(OpenRuns { runs, damage })
    }

    /// The records of a run in a log without damage.
    fn pick_up(
        &self,
        survey: &Survey,
        summaries: &[Summary],
        run: RunId,
        buffer: &mut Vec<u8>,
    ) -> Result<Vec<StoredEntry>, ReadError> {
        let mut found = Vec::new();
        for (segment, summary) in survey.segments.iter().zip(summaries) {
            if let Some(part) = summary.runs.iter().find(|part| part.run == run) {
                self.gather(segment, part, &mut found, buffer)??;
            }
        }
        judge(run, &found, &[], &[])?;
        Ok(found)
    }

    /// What is left of a damaged segment.
    fn left(&self, survey: &Survey, place: usize) -> Result<Summary, ReadError> {
        let Some(segment) = survey.segments.get(place) else { return Ok(Summary::default()) };
        let mut bytes = Vec::new();
        read(&*self.storage, &segment.file, &mut bytes)?;
        Ok(crate::survey::rescue(segment.file.number, segment.header.as_ref(), &bytes))
    }

    /// Every record of a run, in order, its chain checked. Empty if there is none.
    ///
    /// # Errors
    /// Damage, if a damaged place may hold records of this run.
    pub fn run(&self, run: RunId) -> Result<Vec<StoredEntry>, ReadError> {
        stable(|| self.run_once(run))
    }

    fn run_once(&self, run: RunId) -> Result<Vec<StoredEntry>, ReadError> {
        let survey = Survey::of(&*self.storage)?;
        let mut suspects = survey.damages.clone();
        let mut sealed = Vec::new();
        let mut found = Vec::new();
        let mut buffer = Vec::new();
        for (place, segment) in survey.segments.iter().enumerate() {
            let number = segment.file.number;
            let contents = match survey.contents(&*self.storage, place, Depth::Checksums, &mut buffer) {
                Err(ReadError::Damage(damage)) => {
                    suspects.push(damage);
                    self.gather_left(segment, run, &mut found)?;
                    continue;
                }
                contents => contents?,
            };
            let part = contents.summary.runs.iter().find(|part| part.run == run);
            match (contents.end, part) {
                (End::Kept, part) => {
                    let from = part.map_or(0, |part| u64::from(part.first_offset));
                    if part.is_some() || !contents.summary.runs.is_empty() {
                        sealed.push(Damage { segment: number, offset: from, frame: 0, what: What::Frame });
                    }
                    self.gather_left(segment, run, &mut found)?;
                    let last = found.last().map_or(0, |stored| stored.entry.header().seq);
                    if part.is_some_and(|part| part.last_seq > last) {
                        // Its summary says that there was more.
                        return Err(
                            Damage { segment: number, offset: from, frame: 0, what: What::RunChain(run) }.into()
                        );
                    }
                }
                (_, None) => {}
                (_, Some(part)) => {
                    if let Err(damage) = self.gather(segment, part, &mut found, &mut buffer)? {
                        suspects.push(damage);
                        found.retain(|stored: &StoredEntry| stored.segment != number);
                        self.gather_left(segment, run, &mut found)?;
                    }
                }
            }
        }
        judge(run, &found, &suspects, &sealed)?;
        Ok(found)
    }

    /// The records of a run from the frames of a segment, between the first and the last that have any.
    fn gather(
        &self,
        segment: &Segment,
        part: &RunPart,
        found: &mut Vec<StoredEntry>,
        buffer: &mut Vec<u8>,
    ) -> Result<Result<(), Damage>, ReadError> {
        let number = segment.file.number;
        let file = open(&*self.storage, &segment.file)?;
        let failed = || Failed::to(format!("read {}", segment.file.path()));
        let base = u64::from(part.first_offset);
        // The last frame says itself how long it is; one that does not is found to be none below.
        let last = u64::from(part.last_offset);
        read_into(&*file, buffer, last, FRAME_HEADER).map_err(failed())?;
        let end = last + FrameView::len_of(buffer).unwrap_or(FRAME_HEADER) as u64;
        let len = usize::try_from(end.saturating_sub(base)).unwrap_or(0);
        read_into(&*file, buffer, base, len).map_err(failed())?;
        let mut cursor = Cursor::at(buffer, 0, part.first_frame, None);
        while cursor.next <= part.last_frame {
            let offset = base + cursor.offset();
            let frame = cursor.next;
            let Some((view, _)) = cursor.step() else {
                return Ok(Err(Damage { segment: number, offset, frame, what: What::Frame }));
            };
            if let Err(what) = pick(&view, part.run, |entry| {
                found.push(StoredEntry { entry, frame: view.number, segment: number, offset });
            }) {
                return Ok(Err(Damage { segment: number, offset, frame: view.number, what }));
            }
        }
        Ok(Ok(()))
    }

    /// The records of a run from whatever frames are left in a segment.
    fn gather_left(&self, segment: &Segment, run: RunId, found: &mut Vec<StoredEntry>) -> Result<(), ReadError> {
        let mut bytes = Vec::new();
        read(&*self.storage, &segment.file, &mut bytes)?;
        rescued(segment.header.as_ref(), &bytes, |entries, frame, offset, _| {
            let own = entries.iter().filter(|entry| entry.header().run == run);
            found.extend(own.map(|entry| StoredEntry {
                entry: entry.clone(),
                frame,
                segment: segment.file.number,
                offset,
            }));
        });
        Ok(())
    }

    /// The number and hash of the last frame; frame 0 for an empty log.
    ///
    /// # Errors
    /// If the last segment is damaged or cannot be read.
    pub fn head(&self) -> Result<Receipt, ReadError> {
        stable(|| {
            let survey = Survey::of(&*self.storage)?;
            let Some(place) = survey.segments.len().checked_sub(1) else {
                return match survey.damages.first() {
                    Some(damage) => Err((*damage).into()),
                    None => Ok(Receipt { frame: 0, head: Digest::ZERO }),
                };
            };
            let summary = survey.contents(&*self.storage, place, Depth::Hashes, &mut Vec::new())?.summary;
            Ok(Receipt { frame: summary.last_frame, head: summary.head })
        })
    }

    /// Follows the log from the frame after `after`: each poll gives what has come since.
    #[must_use]
    pub fn follow(&self, after: u64) -> Follower {
        Follower::new(Arc::clone(&self.storage), after)
    }
}

fn overviews(summaries: &[Summary]) -> Vec<RunOverview> {
    let mut runs: BTreeMap<RunId, RunOverview> = BTreeMap::new();
    for part in summaries.iter().flat_map(|summary| &summary.runs).filter(|part| part.run != RunId::JOURNAL) {
        runs.entry(part.run).and_modify(|run| run.add(part)).or_insert_with(|| RunOverview::new(part));
    }
    runs.into_values().collect()
}

/// Decodes the records of one run in a frame.
fn pick(view: &FrameView<'_>, run: RunId, mut take: impl FnMut(Entry)) -> Result<(), What> {
    for record in view.records() {
        let record = record.map_err(What::Record)?;
        if record.header.run == run {
            take(Entry::decode(record.bytes).map_err(What::Record)?);
        }
    }
    Ok(())
}

/// Whether what was found of a run is all there is: its chain is whole, and no damaged place after it may hold more.
fn judge(run: RunId, found: &[StoredEntry], suspects: &[Damage], sealed: &[Damage]) -> Result<(), Damage> {
    let mut prev = Digest::ZERO;
    for (expected, stored) in (1..).zip(found) {
        let header = stored.entry.header();
        if header.seq != expected || header.prev != prev {
            let here = Damage {
                segment: stored.segment,
                offset: stored.offset,
                frame: stored.frame,
                what: What::RunChain(run),
            };
            return Err(suspects.iter().chain(sealed).find(|d| d.segment <= stored.segment).copied().unwrap_or(here));
        }
        prev = stored.entry.hash();
    }
    let Some(last) = found.last() else {
        return suspects.first().map_or(Ok(()), |damage| Err(*damage));
    };
    if last.entry.header().kind == Kind::Closed {
        return Ok(());
    }
    let after = |damage: &&Damage| (damage.segment, damage.offset) > (last.segment, last.offset);
    let mark = |damage: &&Damage| damage.what == What::Mark;
    suspects.iter().find(|d| after(d) || mark(d)).or_else(|| sealed.iter().find(after)).map_or(Ok(()), |d| Err(*d))
}

#[cfg(test)]
mod tests;
