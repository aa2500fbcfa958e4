//! Walks the frames of one segment's bytes, and says what stands where they end. Reads only; repairs nothing.

use recover_engine::{BadEntry, Digest, Entry};

use crate::bytes::is_zero;
use crate::error::What;
use crate::frame::{BadFrame, FrameView, MAGIC};
use crate::segment::SEGMENT_HEADER;
use crate::summary::Summary;

/// A place in a segment's bytes and the frame that is expected there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
    /// The number of the frame expected at `offset`.
    pub(crate) next: u64,
    /// The hash that frame must name, where it is known.
    prev: Option<Digest>,
}

/// What stands where the frames of a segment end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing but zeros.
    Zero,
    /// The segment's summary with this hash, and nothing but zeros after it.
    Summary(Box<Summary>, Digest),
    /// Something else, up to this offset in the file.
    Bad {
        /// What is wrong with it.
        what: What,
        /// Whether it can be one write that was cut short: nothing valid stands after it.
        torn: bool,
        /// The end of the last byte that is not zero.
        until: u64,
    },
}

impl<'a> Cursor<'a> {
    /// At the first frame of a segment.
    pub(crate) fn new(segment: &'a [u8], first: u64, prev: Option<Digest>) -> Self {
        Self { bytes: segment, offset: SEGMENT_HEADER, next: first, prev }
    }

    /// Somewhere in a segment.
    pub(crate) fn at(segment: &'a [u8], offset: u64, next: u64, prev: Option<Digest>) -> Self {
        Self { bytes: segment, offset: usize::try_from(offset).unwrap_or(usize::MAX), next, prev }
    }

    /// The offset in the segment.
    pub(crate) fn offset(&self) -> u64 {
        self.offset as u64
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.offset..).unwrap_or_default()
    }

    /// The next frame and its offset, if the frame expected here stands here; else [`Cursor::tail`] says what does.
    pub(crate) fn step(&mut self) -> Option<(FrameView<'a>, u64)> {
        let view = FrameView::decode(self.rest()).ok()?;
        if view.number != self.next || self.prev.is_some_and(|prev| prev != view.prev) {
            return None;
        }
        let at = self.offset();
        self.offset += view.bytes.len();
        self.next += 1;
        self.prev = None;
        Some((view, at))
    }

    /// Says what the hash of the last frame was, so that the next one is held to it.
    pub(crate) fn follow(&mut self, hash: Digest) {
        self.prev = Some(hash);
    }

    /// What stands here, which is no frame that is expected here.
    pub(crate) fn tail(&self) -> Tail {
        let rest = self.rest();
        if is_zero(rest) {
            return Tail::Zero;
        }
        let last = trimmed(rest).len().saturating_sub(1);
        let bad = |what, torn| Tail::Bad { what, torn, until: self.offset() + last as u64 + 1 };
        if let Some((summary, len, hash)) = Summary::decode(rest, self.offset()) {
            return match rest.get(len..) {
                Some(after) if is_zero(after) => Tail::Summary(Box::new(summary), hash),
                _ => bad(What::Stray, false),
            };
        }
        match FrameView::decode(rest) {
            Ok(_) => bad(What::Chain, false),
            Err(BadFrame::Format(format)) => bad(What::Format(format), false),
            Err(BadFrame::Torn) => bad(What::Frame, !self.something_valid_follows()),
        }
    }

    fn something_valid_follows(&self) -> bool {
        let mut after = Self { offset: self.offset + 1, ..*self };
        if after.seek() {
            return true;
        }
        // A summary is written when every frame before it is durable: it must not stand after a torn one.
        summary_at_end(self.bytes).is_some()
    }

    /// As [`Cursor::seek`], past whatever stands here.
    pub(crate) fn seek_on(&mut self) -> bool {
        self.offset = self.offset.saturating_add(1);
        self.seek()
    }

    /// Moves on to the next valid frame that is not older than the one expected, wherever it stands, and expects that one.
    pub(crate) fn seek(&mut self) -> bool {
        while let Some(found) = self.rest().windows(MAGIC.len()).position(|window| window == MAGIC) {
            self.offset += found;
            match FrameView::decode(self.rest()) {
                Ok(view) if view.number >= self.next => {
                    (self.next, self.prev) = (view.number, None);
                    return true;
                }
                Ok(_) | Err(_) => self.offset += 1,
            }
        }
        false
    }
}

/// The summary that ends a segment, also where the space after it was not given back.
pub(crate) fn summary_at_end(segment: &[u8]) -> Option<Summary> {
    let offset = Summary::offset_in_trailer(trimmed(segment))?;
    let at = usize::try_from(offset).ok()?;
    Summary::decode(segment.get(at..)?, offset).map(|(summary, _, _)| summary)
}

/// Without the zeros at the end; the trailer ends in none.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

/// Decodes and hashes every record of a frame into `entries`, emptied first; gives the frame's hash.
pub(crate) fn entries(view: &FrameView<'_>, entries: &mut Vec<Entry>) -> Result<Digest, BadEntry> {
    entries.clear();
    for record in view.records() {
        entries.push(Entry::decode(record?.bytes)?);
    }
    Ok(view.hash(entries.iter().map(Entry::hash)))
}
