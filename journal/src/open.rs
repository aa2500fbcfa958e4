//! Opens a log for writing: finds its end, makes sure of what is there, and folds the ledger.

use std::io;
use std::sync::Arc;

use recover_engine::{Digest, Ledger};

use crate::core::{Core, Position, begin};
use crate::error::{Damage, Failed, OpenError, ReadError, What};
use crate::segment::{ACKED, Condition, LOG, SegmentHeader};
use crate::storage::{Access, Storage, StorageFile, read_into, write_all};
use crate::summary::SummaryBuilder;
use crate::supply::{Supply, prepare};
use crate::survey::{Contents, Depth, End, OpenEnd, Survey, last_left, read_whole};

/// What a log holds beside its frames, when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) ledger: Ledger,
    pub(crate) records: u64,
}

/// Why a log is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To write on. Damage is refused.
    Write,
    /// To end a salvage: segments under salvage are taken as they are.
    Salvage,
}

/// Opens the log, or begins one. When this returns, every frame in it is durable.
pub(crate) fn open(
    storage: &Arc<dyn Storage>,
    segment_len: u64,
    purpose: Purpose,
    supply: impl FnOnce(u64) -> io::Result<Box<dyn Supply>>,
) -> Result<(Core, Found), OpenError> {
    let store = &**storage;
    make_folder(store)?;
    let survey = Survey::of(store)?;
    if let Some(damage) =
        survey.damages.iter().find(|damage| purpose == Purpose::Write || damage.what != What::Unfinished)
    {
        return Err((*damage).into());
    }
    let mut found = Found::default();
    let mut buffer = Vec::new();
    let mut last = None;
    for place in 0..survey.segments.len() {
        let contents = survey.contents(store, place, Depth::Hashes, &mut buffer)?;
        contents.summary.fold(&mut found.ledger);
        found.records += contents.summary.records;
        last = Some((place, contents));
    }
    let position = match last {
        None => first_segment(store, survey.marked, segment_len)?,
        Some((place, contents)) => resume(store, &survey, place, contents, segment_len)?,
    };
    store.sync_dir(LOG).map_err(Failed::to("sync the log's folder"))?;
    let supply = supply(position.header.number).map_err(Failed::to("start the segment helper"))?;
    let core = Core::new(Arc::clone(storage), supply, position).map_err(Failed::to("open the acknowledgement mark"))?;
    Ok((core, found))
}

fn make_folder(store: &dyn Storage) -> Result<(), Failed> {
    let failed = || Failed::to("make the log's folder");
    store.create_dir(LOG).map_err(failed())?;
    store.sync_dir("").map_err(failed())
}

/// The mark comes first, so that a log with a segment has one. One that is there is written over as it stands: emptied, it
/// would be gone if the power went, and the segment that may stand beside it already would be without.
fn first_segment(store: &dyn Storage, marked: bool, segment_len: u64) -> Result<Position, Failed> {
    let failed = || Failed::to("begin the log");
    let access = if marked { Access::Write } else { Access::Create };
    let mark = store.open(ACKED, access).map_err(failed())?;
    write_all(&*mark, &0_u64.to_le_bytes(), 0).map_err(failed())?;
    mark.sync().map_err(failed())?;
    store.sync_dir(LOG).map_err(failed())?;
    let header = SegmentHeader {
        number: 1,
        first_frame: 1,
        capacity: 0,
        prev_frame: Digest::ZERO,
        prev_summary: Digest::ZERO,
        after_damage: false,
    };
    prepare(store, 1, segment_len).map_err(failed())?;
    begin(store, header).map_err(failed())
}

fn resume(
    store: &dyn Storage,
    survey: &Survey,
    place: usize,
    contents: Contents,
    segment_len: u64,
) -> Result<Position, OpenError> {
    let segment = survey.segments.get(place).copied().ok_or_else(nothing)?;
    let number = segment.file.number;
    let failed = || Failed::to(format!("continue the log after segment {number}"));
    let next_header = |first_frame, prev_frame, prev_summary, after_damage| SegmentHeader {
        number: number + 1,
        first_frame,
        capacity: 0,
        prev_frame,
        prev_summary,
        after_damage,
    };
    let summary = contents.summary;
    match (contents.end, segment.header) {
        (End::Open(end), Some(header)) => {
            let file = store.open(&segment.file.path(), Access::Write).map_err(failed())?;
            secure(&*file, &header, &end).map_err(failed())?;
            let (next, head) = (summary.last_frame + 1, summary.head);
            Ok(Position { file, header, offset: end.offset, next, head, summary: SummaryBuilder::resume(summary) })
        }
        (End::Sealed { hash, at }, _) => {
            // The summary may be visible without being durable, as any last write.
            let file = store.open(&segment.file.path(), Access::Write).map_err(failed())?;
            if let Some(at) = at {
                rewrite(&*file, at, at + summary.encoded_len() as u64).map_err(failed())?;
            }
            prepare(store, number + 1, segment_len).map_err(failed())?;
            let header = next_header(summary.last_frame + 1, summary.head, hash, false);
            Ok(begin(store, header).map_err(failed())?)
        }
        (End::Kept | End::Open(_), _) => {
            debug_assert!(segment.file.condition != Condition::Sound, "a sound segment has a header");
            let mut bytes = Vec::new();
            read_whole(store, &segment.file, &mut bytes)?;
            prepare(store, number + 1, segment_len).map_err(failed())?;
            // No number that a frame in it has is given again, whatever its summary says.
            let first = summary.last_frame.max(survey.acked).max(last_left(segment.header.as_ref(), &bytes)) + 1;
            let header = next_header(first, summary.head, Digest::of(&bytes), true);
            Ok(begin(store, header).map_err(failed())?)
        }
    }
}

fn nothing() -> ReadError {
    Damage { segment: 0, offset: 0, frame: 0, what: What::Missing }.into()
}

/// Wipes a torn tail, and then makes the last frame durable: after a kill or a failed sync it may be seen without being so.
fn secure(file: &dyn StorageFile, header: &SegmentHeader, end: &OpenEnd) -> io::Result<()> {
    if let Some(until) = end.torn_until {
        let zeros = vec![0; usize::try_from(until.saturating_sub(end.offset)).unwrap_or(0)];
        write_all(file, &zeros, end.offset)?;
        file.sync()?;
    }
    match end.last {
        Some(at) => rewrite(file, at, end.offset),
        None => {
            write_all(file, &header.encode(), 0)?;
            file.sync()
        }
    }
}

fn rewrite(file: &dyn StorageFile, from: u64, to: u64) -> io::Result<()> {
    let mut bytes = Vec::new();
    read_into(file, &mut bytes, from, usize::try_from(to.saturating_sub(from)).unwrap_or(0))?;
    write_all(file, &bytes, from)?;
    file.sync()
}
