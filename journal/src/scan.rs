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
        let until = self.offset() + trimmed(rest).len() as u64;
        let bad = |what, torn| Tail::Bad { what, torn, until };
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

    /// Whether something valid stands behind this place, where nothing valid stands.
    fn something_valid_follows(&self) -> bool {
        let mut after = *self;
        // A summary is written when every frame before it is durable: it must not stand after a torn one.
        after.seek() || summary_at_end(self.bytes).is_some()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameBuilder;
    use crate::summary::SummaryBuilder;
    use crate::testing::entries;

    const HEADER: &[u8] = &[0; SEGMENT_HEADER];

    /// A frame of one record, and its hash.
    fn frame(number: u64, prev: Digest) -> (Vec<u8>, Digest) {
        let mut builder = FrameBuilder::default();
        builder.begin();
        builder.add(&entries::run(number, 1)[0]);
        let (bytes, hash) = builder.finish(number, prev);
        (bytes.to_vec(), hash)
    }

    /// A cursor behind the first frame of a segment that goes on with `rest`, what it sees there, and where that begins.
    fn after_one(rest: &[&[u8]]) -> (Tail, u64) {
        let one = frame(1, Digest::ZERO).0;
        let bytes = [HEADER, one.as_slice(), &rest.concat()].concat();
        let mut cursor = Cursor::new(&bytes, 1, Some(Digest::ZERO));
        assert!(cursor.step().is_some());
        assert!(cursor.step().is_none(), "what stands there is not the next frame");
        (cursor.tail(), cursor.offset())
    }

    #[test]
    fn a_frame_is_taken_where_its_number_and_its_predecessor_are_the_expected_ones() {
        let (one, hash) = frame(1, Digest::ZERO);
        let two = frame(2, hash).0;
        let bytes = [HEADER, one.as_slice(), &two].concat();
        let mut cursor = Cursor::new(&bytes, 1, Some(Digest::ZERO));
        assert_eq!(cursor.step().map(|(view, at)| (view.number, at)), Some((1, 128)));
        cursor.follow(hash);
        assert_eq!(cursor.step().map(|(view, at)| (view.number, at)), Some((2, 128 + one.len() as u64)));
        assert_eq!(cursor.tail(), Tail::Zero);

        assert!(Cursor::new(&bytes, 2, None).step().is_none(), "another number than expected");
        let mut cursor = Cursor::new(&bytes, 1, None);
        assert!(cursor.step().is_some());
        cursor.follow(Digest::of(b"another frame"));
        assert!(cursor.step().is_none(), "another predecessor than expected");
        let until = bytes.len() as u64;
        assert_eq!(cursor.tail(), Tail::Bad { what: What::Chain, torn: false, until });
    }

    #[test]
    fn a_write_that_was_cut_short_is_torn_up_to_its_last_byte_unless_something_valid_follows() {
        let bad = |torn, until| Tail::Bad { what: What::Frame, torn, until };
        let (tail, at) = after_one(&[b"torn", &[0; 90]]);
        assert_eq!(tail, bad(true, at + 4));

        let (later, older) = (frame(3, Digest::ZERO).0, frame(1, Digest::ZERO).0);
        let (tail, at) = after_one(&[b"torn", &[0; 9], &later]);
        assert_eq!(tail, bad(false, at + 13 + later.len() as u64));
        let (tail, at) = after_one(&[b"torn", &[0; 9], &older]);
        assert_eq!(tail, bad(true, at + 13 + older.len() as u64), "a frame from before says nothing");

        let summary = |at| SummaryBuilder::new(1, 1, Digest::ZERO).into_summary().encode(at).0;
        let (written, misplaced) = (summary(at + 4), summary(at + 5));
        let until = at + 4 + written.len() as u64;
        assert_eq!(after_one(&[b"torn", &written]).0, bad(false, until));
        assert_eq!(after_one(&[b"torn", &written, &[0; 90]]).0, bad(false, until));
        assert_eq!(after_one(&[b"torn", &misplaced]).0, bad(true, until), "its trailer leads elsewhere");
    }

    #[test]
    fn a_summary_is_followed_by_nothing_but_zeros() {
        let summary = SummaryBuilder::new(1, 1, Digest::ZERO).into_summary();
        let at = after_one(&[]).1;
        let (written, hash) = summary.encode(at);
        let len = written.len() as u64;
        for zeros in [0, 90] {
            let (tail, _) = after_one(&[&written, &vec![0; zeros]]);
            assert_eq!(tail, Tail::Summary(Box::new(summary.clone()), hash));
        }
        let (tail, _) = after_one(&[&written, &[0; 9], &[1], &[0; 9]]);
        assert_eq!(tail, Tail::Bad { what: What::Stray, torn: false, until: at + len + 10 });
    }

    #[test]
    fn the_summary_is_found_from_the_end_also_before_zeros() {
        let summary = SummaryBuilder::new(1, 1, Digest::ZERO).into_summary();
        let written = summary.encode(128).0;
        for zeros in [0, 1, 90] {
            let bytes = [HEADER, written.as_slice(), &vec![0; zeros]].concat();
            assert_eq!(summary_at_end(&bytes).as_ref(), Some(&summary));
        }
        for none in [vec![], HEADER.to_vec(), [HEADER, frame(1, Digest::ZERO).0.as_slice()].concat()] {
            assert_eq!(summary_at_end(&none), None);
        }
    }

    #[test]
    fn what_is_sought_is_the_next_valid_frame_that_is_not_older() {
        let (one, three, four) = (frame(1, Digest::ZERO).0, frame(3, Digest::ZERO).0, frame(4, Digest::ZERO).0);
        let bytes = [HEADER, three.as_slice(), b"something", &one, &four].concat();
        let mut cursor = Cursor::new(&bytes, 3, Some(Digest::of(b"another frame")));
        assert!(cursor.seek());
        assert_eq!((cursor.offset(), cursor.next), (128, 3), "the one that stands here");
        assert!(cursor.seek_on());
        assert_eq!((cursor.offset(), cursor.next), ((bytes.len() - four.len()) as u64, 4));
        assert!(cursor.step().is_some(), "whatever it names as its predecessor");
        assert!(!cursor.seek_on());
    }
}
