//! What files a log has, in order, and what each segment holds: the one way in for writers and readers.

use std::io;

use recover_engine::Digest;

use crate::error::{Damage, Failed, ReadError, What};
use crate::frame::{MARK_END, NUMBER_END};
use crate::scan::{self, Cursor, Tail};
use crate::segment::{ACKED, Condition, HeaderBytes, LOG, SEGMENT_HEADER, SegmentFile, SegmentHeader};
use crate::storage::{Access, Storage, StorageFile, read_but_zeros, read_file, read_into};
use crate::summary::{Summary, SummaryBuilder, TRAILER};

/// Of one gap in the numbers of the segments, no more than these are named.
const MISSING_MOST: usize = 4_096;

/// A segment that was begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) file: SegmentFile,
    /// None only where the segment is not sound.
    pub(crate) header: Option<SegmentHeader>,
}

impl Segment {
    /// Whether it is as it was written, as far as its name says. It has its header then: a survey holds no sound one without.
    pub(crate) const fn is_sound(&self) -> bool {
        matches!(self.file.condition, Condition::Sound)
    }
}

/// The files of a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    /// The number in the acknowledgement mark. Read first, so that what it names must be in the files.
    pub(crate) acked: u64,
    /// Whether there is a mark.
    pub(crate) marked: bool,
    /// The segments that were begun, in order.
    pub(crate) segments: Vec<Segment>,
    /// What is wrong with the files as such.
    pub(crate) damages: Vec<Damage>,
}

/// What a segment holds.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) summary: Summary,
    pub(crate) end: End,
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With its summary.
    Sealed {
        /// The summary's hash.
        hash: Digest,
        /// Where it begins; none where it had to be made again from the frames.
        at: Option<u64>,
    },
    /// It can be written on.
    Open(OpenEnd),
    /// It is kept as it was found damaged.
    Kept,
}

/// The end of a segment that can be written on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenEnd {
    /// Where the next frame goes.
    pub(crate) offset: u64,
    /// Where the last frame begins, if there is one.
    pub(crate) last: Option<u64>,
    /// Where a torn tail ends, if there is one.
    pub(crate) torn_until: Option<u64>,
}

/// How thoroughly frames are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Checksums and numbers.
    Checksums,
    /// Also every hash and the chain of frames.
    Hashes,
}

impl Survey {
    /// Looks at the files. Damage of the files as such is in `damages`; nothing is read but headers.
    pub(crate) fn of(storage: &dyn Storage) -> Result<Self, Failed> {
        let raw = read_mark(storage)?;
        let names = storage.list(LOG).map_err(Failed::to("list the log"))?;
        let mut files: Vec<SegmentFile> = names.iter().filter_map(|name| SegmentFile::from_name(name)).collect();
        files.sort_unstable_by_key(|file| (file.number, file.condition != Condition::Sound));
        files.dedup_by_key(|file| file.number);
        let mut heads = Vec::with_capacity(files.len());
        for file in &files {
            heads.push(read_header(storage, file)?);
        }
        let mark = raw.filter(|mark| is_within_reach(*mark, &heads));
        let mut survey = Self { acked: mark.unwrap_or(0), marked: mark.is_some(), ..Self::default() };
        // Prepared segments come last; a header that was cut short while it was written looks like one.
        let begun = |file: &SegmentFile, head: &HeaderBytes| {
            // One that a salvage set aside held something, whatever its header.
            *head != HeaderBytes::Zero || file.condition != Condition::Sound
        };
        let mut begun = files.iter().zip(&heads).rposition(|(file, head)| begun(file, head)).map_or(0, |last| last + 1);
        if heads.get(begun.wrapping_sub(1)) == Some(&HeaderBytes::Bad(What::Header))
            && survey.header_may_be_torn(storage, files.get(..begun).unwrap_or_default())?
        {
            begun -= 1;
        }
        let mut expected = 1;
        for (file, head) in files.iter().zip(&heads).take(begun) {
            survey.missing(expected, file.number);
            expected = file.number + 1;
            let header = survey.judge(file, head);
            if header.is_some() || file.condition != Condition::Sound {
                survey.segments.push(Segment { file: *file, header });
            }
        }
        // The next segment is prepared when the one before it was begun: what stands further ahead followed one that is gone.
        if let Some(ahead) = files.get(begun).filter(|ahead| ahead.number > expected) {
            survey.missing(expected, ahead.number);
        } else if begun == 0 && survey.acked > 0 {
            survey.damages.push(Damage { segment: 1, offset: 0, frame: 1, what: What::Missing });
        }
        // It comes before the first segment.
        if mark.is_none() && !files.is_empty() {
            survey.damages.push(Damage { segment: 0, offset: 0, frame: 0, what: What::Mark });
        }
        Ok(survey)
    }

    /// Notes the segments from `first` on that are not there before `until`, or the first of them where a name leaves out
    /// more than any disk holds.
    fn missing(&mut self, first: u64, until: u64) {
        let numbers = (first..until).take(MISSING_MOST);
        self.damages.extend(numbers.map(|segment| Damage { segment, offset: 0, frame: 0, what: What::Missing }));
    }

    /// The header, if it is one; else notes the damage.
    fn judge(&mut self, file: &SegmentFile, head: &HeaderBytes) -> Option<SegmentHeader> {
        let what = match (head, file.condition) {
            (HeaderBytes::Valid(header), _) if header.number == file.number => {
                if file.condition == Condition::Salvaging {
                    self.damages.push(Damage {
                        segment: file.number,
                        offset: 0,
                        frame: header.first_frame,
                        what: What::Unfinished,
                    });
                }
                return Some(*header);
            }
            (_, Condition::Sealed) => return None,
            (_, Condition::Salvaging) => What::Unfinished,
            (HeaderBytes::Bad(what), Condition::Sound) => *what,
            (HeaderBytes::Valid(_) | HeaderBytes::Zero, Condition::Sound) => What::Header,
        };
        self.damages.push(Damage { segment: file.number, offset: 0, frame: 0, what });
        None
    }

    /// Whether the last file's header can be a write that was cut short: the segment before is sealed, or it is the first
    /// and nothing was acknowledged; and nothing stands after the header.
    fn header_may_be_torn(&self, storage: &dyn Storage, files: &[SegmentFile]) -> Result<bool, Failed> {
        let Some((last, before)) = files.split_last() else { return Ok(false) };
        if last.condition != Condition::Sound {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        read(storage, last, &mut bytes)?;
        if !crate::bytes::is_zero(bytes.get(SEGMENT_HEADER..).unwrap_or_default()) {
            return Ok(false);
        }
        match before.last() {
            None => Ok(last.number == 1 && self.acked == 0),
            Some(before) if before.number + 1 != last.number => Ok(false),
            Some(before) => {
                read(storage, before, &mut bytes)?;
                Ok(match scan::summary_at_end(&bytes) {
                    Some(summary) => summary.last_frame >= self.acked,
                    None => before.condition != Condition::Sound,
                })
            }
        }
    }

    /// What the segment at `place` in `segments` holds. `buffer` is used for its bytes.
    pub(crate) fn contents(
        &self,
        storage: &dyn Storage,
        place: usize,
        depth: Depth,
        buffer: &mut Vec<u8>,
    ) -> Result<Contents, ReadError> {
        let Some(segment) = self.segments.get(place) else {
            return Err(Damage { segment: 0, offset: 0, frame: 0, what: What::Missing }.into());
        };
        let next = self.segments.get(place + 1).filter(|next| next.file.number == segment.file.number + 1);
        let next = next.and_then(|next| next.header);
        let file = open(storage, &segment.file)?;
        let written = read_summary(&*file, &segment.file)?;
        match (segment.header, segment.file.condition) {
            (Some(header), Condition::Sound) => {
                if let Some((summary, hash, at)) = written
                    && follows(&header, &summary, hash, next.as_ref())
                {
                    self.reaches_mark(place, &summary, summary.last_frame + 1, at)?;
                    return Ok(Contents { summary, end: End::Sealed { hash, at: Some(at) } });
                }
                let len = read(storage, &segment.file, buffer)?;
                self.scanned(place, &header, next.as_ref(), depth, (buffer, len))
            }
            // A damaged segment's summary is believed if its checksum is right: it says more than the frames that are left.
            (header, _) => {
                let summary = match written {
                    Some((summary, _, _)) => summary,
                    None => {
                        read(storage, &segment.file, buffer)?;
                        rescue(segment.file.number, header.as_ref(), buffer)
                    }
                };
                Ok(Contents { summary, end: End::Kept })
            }
        }
    }

    /// Builds the summary from the frames, and judges the end.
    fn scanned(
        &self,
        place: usize,
        header: &SegmentHeader,
        next: Option<&SegmentHeader>,
        depth: Depth,
        (bytes, len): (&[u8], u64),
    ) -> Result<Contents, ReadError> {
        let damage = |offset, frame, what| Damage { segment: header.number, offset, frame, what };
        let prev = (depth == Depth::Hashes).then_some(header.prev_frame);
        let mut cursor = Cursor::new(bytes, header.first_frame, prev);
        let mut builder = SummaryBuilder::new(header.number, header.first_frame, header.prev_frame);
        let mut entries = Vec::new();
        let mut last = None;
        while let Some((view, at)) = cursor.step() {
            let bad = |what| damage(at, view.number, what);
            match depth {
                Depth::Hashes => {
                    let hash = scan::entries(&view, &mut entries).map_err(|e| bad(What::Record(e)))?;
                    entries.iter().for_each(|e| builder.note(e.header(), e.hash(), view.number, at));
                    builder.frame(view.number, hash);
                    cursor.follow(hash);
                }
                Depth::Checksums => {
                    for record in view.records() {
                        let record = record.map_err(|e| bad(What::Record(e)))?;
                        builder.note(&record.header, Digest::ZERO, view.number, at);
                    }
                    builder.frame(view.number, Digest::ZERO);
                }
            }
            last = Some(at);
        }
        let summary = builder.into_summary();
        let short = len < header.capacity;
        let tail = cursor.tail();
        if let Some(next) = next {
            // Not the last segment: its summary was missing or bad. If every frame is there, so is everything.
            let hash = summary.encode(cursor.offset()).1;
            if depth == Depth::Hashes && !next.after_damage && follows(header, &summary, hash, Some(next)) {
                return Ok(Contents { summary, end: End::Sealed { hash, at: None } });
            }
            if depth == Depth::Checksums && summary.last_frame + 1 == next.first_frame {
                return Ok(Contents { summary, end: End::Sealed { hash: next.prev_summary, at: None } });
            }
            let what = match tail {
                Tail::Bad { what, .. } => what,
                // Behind a summary the space was given back.
                Tail::Zero if short => What::Short,
                Tail::Zero | Tail::Summary(..) => What::Chain,
            };
            return Err(damage(cursor.offset(), cursor.next, what).into());
        }
        let torn_until = match tail {
            Tail::Summary(written, hash) => {
                // Sealed, and the space after it not yet given back.
                if depth == Depth::Hashes && *written != summary {
                    return Err(damage(cursor.offset(), cursor.next, What::Summary).into());
                }
                self.reaches_mark(place, &written, cursor.next, cursor.offset())?;
                return Ok(Contents { summary: *written, end: End::Sealed { hash, at: Some(cursor.offset()) } });
            }
            _ if short => return Err(damage(len, cursor.next, What::Short).into()),
            Tail::Zero => None,
            Tail::Bad { torn: true, until, .. } if cursor.next > self.acked => Some(until),
            Tail::Bad { what, .. } => return Err(damage(cursor.offset(), cursor.next, what).into()),
        };
        self.reaches_mark(place, &summary, cursor.next, cursor.offset())?;
        Ok(Contents { summary, end: End::Open(OpenEnd { offset: cursor.offset(), last, torn_until }) })
    }

    fn reaches_mark(&self, place: usize, summary: &Summary, next: u64, offset: u64) -> Result<(), Damage> {
        if place + 1 == self.segments.len() && next <= self.acked {
            let what = What::Lost { acked: self.acked };
            return Err(Damage { segment: summary.segment, offset, frame: next, what });
        }
        Ok(())
    }
}

/// Whether a summary belongs between its segment's header and the next one's.
fn follows(header: &SegmentHeader, summary: &Summary, hash: Digest, next: Option<&SegmentHeader>) -> bool {
    let own = summary.segment == header.number && summary.first_frame == header.first_frame;
    own && next.is_none_or(|next| {
        summary.last_frame + 1 == next.first_frame && summary.head == next.prev_frame && hash == next.prev_summary
    })
}

/// The summary of whatever frames are left in a damaged segment.
pub(crate) fn rescue(number: u64, header: Option<&SegmentHeader>, bytes: &[u8]) -> Summary {
    let first = header.map_or(1, |header| header.first_frame);
    let mut builder = SummaryBuilder::new(number, first, header.map_or(Digest::ZERO, |header| header.prev_frame));
    rescued(header, bytes, |entries, frame, at, hash| {
        entries.iter().for_each(|e| builder.note(e.header(), e.hash(), frame, at));
        builder.frame(frame, hash);
    });
    builder.into_summary()
}

/// Visits every frame that is left in a damaged segment: its entries, number, offset and hash.
pub(crate) fn rescued(
    header: Option<&SegmentHeader>,
    bytes: &[u8],
    mut visit: impl FnMut(&[recover_engine::Entry], u64, u64, Digest),
) {
    let mut cursor = Cursor::new(bytes, header.map_or(1, |header| header.first_frame), None);
    let mut entries = Vec::new();
    loop {
        while let Some((view, at)) = cursor.step() {
            if let Ok(hash) = scan::entries(&view, &mut entries) {
                visit(&entries, view.number, at, hash);
            }
        }
        if !cursor.seek() {
            return;
        }
    }
}

/// The number of the last frame that is left in a damaged segment, whether its records can be read or not; 0 if none is.
pub(crate) fn last_left(header: Option<&SegmentHeader>, bytes: &[u8]) -> u64 {
    let mut cursor = Cursor::new(bytes, header.map_or(1, |header| header.first_frame), None);
    let mut last = 0;
    loop {
        while let Some((view, _)) = cursor.step() {
            last = view.number;
        }
        if !cursor.seek() {
            return last;
        }
    }
}

fn read_mark(storage: &dyn Storage) -> Result<Option<u64>, Failed> {
    let mut bytes = Vec::new();
    match read_file(storage, ACKED, &mut bytes) {
        Ok(()) => Ok(<[u8; 8]>::try_from(bytes.as_slice()).ok().map(u64::from_le_bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failed::to("read the acknowledgement mark")(error)),
    }
}

/// Whether a log that began its segments so can have acknowledged so many frames. One that no log reaches says nothing: what a
/// salvage begins after it must leave numbers to go on with.
fn is_within_reach(mark: u64, heads: &[HeaderBytes]) -> bool {
    let begun = heads.iter().filter_map(|head| match head {
        HeaderBytes::Valid(header) => Some(header.first_frame),
        HeaderBytes::Zero | HeaderBytes::Bad(_) => None,
    });
    mark < NUMBER_END.min(MARK_END + begun.max().unwrap_or(0))
}

/// Opens a segment to read it.
pub(crate) fn open(storage: &dyn Storage, file: &SegmentFile) -> Result<std::sync::Arc<dyn StorageFile>, Failed> {
    storage.open(&file.path(), Access::Read).map_err(Failed::to(format!("open {}", file.path())))
}

/// Reads a segment but for the zeros at its end, and gives its length: no header, frame or summary ends in a block of them.
pub(crate) fn read(storage: &dyn Storage, file: &SegmentFile, into: &mut Vec<u8>) -> Result<u64, Failed> {
    read_but_zeros(storage, &file.path(), into).map_err(Failed::to(format!("read {}", file.path())))
}

/// Reads every byte of a segment, for its hash.
pub(crate) fn read_whole(storage: &dyn Storage, file: &SegmentFile, into: &mut Vec<u8>) -> Result<(), Failed> {
    read_file(storage, &file.path(), into).map_err(Failed::to(format!("read {}", file.path())))
}

fn read_header(storage: &dyn Storage, file: &SegmentFile) -> Result<HeaderBytes, Failed> {
    let mut bytes = Vec::new();
    let open = open(storage, file)?;
    read_into(&*open, &mut bytes, 0, SEGMENT_HEADER).map_err(Failed::to(format!("read {}", file.path())))?;
    Ok(SegmentHeader::decode(&bytes))
}

/// The summary that a segment's trailer leads to, its hash, and where it begins; none if there is none or it is not valid.
pub(crate) fn read_summary(
    open: &dyn StorageFile,
    file: &SegmentFile,
) -> Result<Option<(Summary, Digest, u64)>, Failed> {
    let failed = || Failed::to(format!("read {}", file.path()));
    let size = open.size().map_err(failed())?;
    let mut bytes = Vec::new();
    let trailer = size.saturating_sub(TRAILER as u64);
    read_into(open, &mut bytes, trailer, TRAILER).map_err(failed())?;
    let Some(offset) = Summary::offset_in_trailer(&bytes) else { return Ok(None) };
    let Some(len) = size.checked_sub(offset).and_then(|len| usize::try_from(len).ok()) else { return Ok(None) };
    read_into(open, &mut bytes, offset, len).map_err(failed())?;
    Ok(Summary::decode(&bytes, offset)
        .filter(|(_, used, _)| *used == bytes.len())
        .map(|(summary, _, hash)| (summary, hash, offset)))
}

#[cfg(test)]
mod tests;
