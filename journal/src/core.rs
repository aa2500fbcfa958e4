//! The end of the log that is written: one frame at a time, synced, with no thread and no clock of its own.

use std::io;
use std::sync::Arc;

use recover_engine::{Digest, Entry, Receipt};

use crate::frame::{FRAME_HEADER, FRAME_LEN_MAX, FrameBuilder};
use crate::segment::{ACKED, SEGMENT_HEADER, SegmentFile, SegmentHeader};
use crate::storage::{Access, Storage, StorageFile, write_all};
use crate::summary::{self, SummaryBuilder};
use crate::supply::Supply;

/// The writing end. After an error it must not be used again: what is on the disk is not known any more.
pub(crate) struct Core {
    storage: Arc<dyn Storage>,
    supply: Box<dyn Supply>,
    mark: Arc<dyn StorageFile>,
    file: Arc<dyn StorageFile>,
    capacity: u64,
    segment: u64,
    offset: u64,
    next: u64,
    head: Digest,
    summary: SummaryBuilder,
    builder: FrameBuilder,
}

/// Where a segment that is written on stands.
pub(crate) struct Position {
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) header: SegmentHeader,
    pub(crate) offset: u64,
    pub(crate) next: u64,
    pub(crate) head: Digest,
    pub(crate) summary: SummaryBuilder,
}

/// How many bytes of records and their summary fit in one frame, for segments of this length.
pub(crate) fn room(segment_len: u64) -> usize {
    let fixed = SEGMENT_HEADER + FRAME_HEADER + summary::EMPTY;
    let segment = usize::try_from(segment_len).unwrap_or(usize::MAX).saturating_sub(fixed);
    segment.min(FRAME_LEN_MAX - FRAME_HEADER)
}

/// Begins a segment whose file is there: writes its header, durably.
pub(crate) fn begin(storage: &dyn Storage, mut header: SegmentHeader) -> io::Result<Position> {
    let file = storage.open(&SegmentFile::sound(header.number).path(), Access::Write)?;
    header.capacity = file.size()?;
    write_all(&*file, &header.encode(), 0)?;
    file.sync()?;
    Ok(Position {
        file,
        header,
        offset: SEGMENT_HEADER as u64,
        next: header.first_frame,
        head: header.prev_frame,
        summary: SummaryBuilder::new(header.number, header.first_frame, header.prev_frame),
    })
}

impl Core {
    pub(crate) fn new(storage: Arc<dyn Storage>, supply: Box<dyn Supply>, position: Position) -> io::Result<Self> {
        let mark = storage.open(ACKED, Access::Write)?;
        let mut core = Self {
            storage,
            supply,
            mark,
            file: position.file,
            capacity: position.header.capacity,
            segment: position.header.number,
            offset: position.offset,
            next: position.next,
            head: position.head,
            summary: position.summary,
            builder: FrameBuilder::default(),
        };
        // What was found is durable by now: the mark says so, as after a commit.
        core.settle()?;
        core.supply.ahead(core.segment + 1);
        Ok(core)
    }

    /// The number and hash of the last frame.
    pub(crate) fn head(&self) -> Receipt {
        Receipt { frame: self.next - 1, head: self.head }
    }

    /// The number of the segment that is written.
    pub(crate) const fn segment(&self) -> u64 {
        self.segment
    }

    /// Writes one frame and syncs it: when this returns, its records survive a power cut.
    ///
    /// # Errors
    /// Whatever the system says. Nothing of the frame may be acknowledged then, now or later.
    pub(crate) fn commit<B: AsRef<[Entry]>>(&mut self, batches: &[B]) -> io::Result<Receipt> {
        let growth: usize = batches.iter().map(|batch| summary::footprint(batch.as_ref())).sum();
        let end = self.offset + (FRAME_HEADER + growth + self.summary.encoded_len()) as u64;
        if end > self.capacity {
            self.roll()?;
        }
        self.builder.begin();
        for entry in batches.iter().flat_map(AsRef::as_ref) {
            self.builder.add(entry);
            // Now, while the entry is in the cache. If the write fails, nothing here is used any more.
            self.summary.note(entry.header(), entry.hash(), self.next, self.offset);
        }
        let (bytes, hash) = self.builder.finish(self.next, self.head);
        write_all(&*self.file, bytes, self.offset)?;
        self.file.sync()?;
        self.summary.frame(self.next, hash);
        self.offset += bytes.len() as u64;
        self.head = hash;
        self.next += 1;
        Ok(self.head())
    }

    /// What is done after the frame is acknowledged: the mark.
    ///
    /// # Errors
    /// If the mark cannot be written.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        write_all(&*self.mark, &self.head().frame.to_le_bytes(), 0)
    }

    /// Ends the segment with its summary and begins the next one.
    fn roll(&mut self) -> io::Result<()> {
        let (bytes, summary) = self.summary.get().encode(self.offset);
        write_all(&*self.file, &bytes, self.offset)?;
        self.file.sync()?;
        self.supply.take(self.segment + 1)?;
        let header = SegmentHeader {
            number: self.segment + 1,
            first_frame: self.next,
            capacity: 0,
            prev_frame: self.head,
            prev_summary: summary,
            after_damage: false,
        };
        let position = begin(&*self.storage, header)?;
        // The space after the summary is given back; if the power goes first, zeros stay there and mean nothing.
        let end = self.offset + bytes.len() as u64;
        let old = std::mem::replace(&mut self.file, position.file);
        drop(old.set_size(end));
        self.capacity = position.header.capacity;
        self.segment = header.number;
        self.offset = position.offset;
        self.summary = position.summary;
        self.supply.ahead(self.segment + 1);
        Ok(())
    }
}
