//! One frame as bytes: the unit of a durable commit, numbered, checksummed and chained by hash. `FORMAT.md` has the layout.

use recover_engine::{BadEntry, Digest, Entry, Header};
use sha2::{Digest as _, Sha256};

use crate::bytes::{array, crc_around, u16_at, u32_at, u64_at};

/// The number of the format this build writes.
pub(crate) const FORMAT: u16 = 1;
/// How a frame begins.
pub(crate) const MAGIC: [u8; 8] = *b"rcvframe";
/// The length of a frame's header in bytes.
pub(crate) const FRAME_HEADER: usize = 64;
/// A frame longer than this is never written and never believed. Bytes.
pub(crate) const FRAME_LEN_MAX: usize = 4 << 20;
/// No frame has this number or a higher one: a counter does not get there, and sums of what is below it do not overflow.
pub(crate) const NUMBER_END: u64 = 1 << 48;
/// No log that a salvage did not begin anew acknowledges so many.
pub(crate) const MARK_END: u64 = NUMBER_END / 2;
const CRC_AT: usize = 16;

/// Builds frames in a buffer that is used again and again.
#[derive(Debug, Default)]
pub(crate) struct FrameBuilder {
    bytes: Vec<u8>,
    hashes: Vec<Digest>,
}

impl FrameBuilder {
    /// Begins a frame.
    pub(crate) fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.resize(FRAME_HEADER, 0);
        self.hashes.clear();
    }

    /// Adds a record.
    pub(crate) fn add(&mut self, entry: &Entry) {
        self.bytes.extend_from_slice(entry.bytes());
        self.hashes.push(entry.hash());
    }

    /// Writes the header; gives the frame's bytes and its hash.
    pub(crate) fn finish(&mut self, number: u64, prev: Digest) -> (&[u8], Digest) {
        let len = self.bytes.len();
        debug_assert!(len <= FRAME_LEN_MAX, "the writer bounds what it takes");
        let mut header = [0; FRAME_HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        header[12..16].copy_from_slice(&(len as u32).to_le_bytes());
        header[20..24].copy_from_slice(&(self.hashes.len() as u32).to_le_bytes());
        header[24..32].copy_from_slice(&number.to_le_bytes());
        header[32..64].copy_from_slice(&prev.0);
        self.bytes[..FRAME_HEADER].copy_from_slice(&header);
        let crc = crc_around(&self.bytes, CRC_AT).unwrap_or_default();
        self.bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        let hash = hash_of(&self.bytes[..FRAME_HEADER], self.hashes.iter().copied());
        (&self.bytes, hash)
    }
}

/// SHA-256 over a frame's header and the hashes of its records: every byte is hashed once, and every byte counts.
fn hash_of(header: &[u8], records: impl Iterator<Item = Digest>) -> Digest {
    let mut sha = Sha256::new();
    sha.update(header);
    for record in records {
        sha.update(record.0);
    }
    Digest(sha.finalize().into())
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadFrame {
    /// No magic, impossible lengths, cut short, or a wrong checksum: what a torn write leaves.
    Torn,
    /// A good checksum, and a format of another build.
    Format(u16),
}

/// A frame whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameView<'a> {
    /// Header and records.
    pub(crate) bytes: &'a [u8],
    /// Its number, from 1.
    pub(crate) number: u64,
    /// The hash of the frame before it.
    pub(crate) prev: Digest,
    /// How many records it holds.
    pub(crate) count: u32,
}

/// A record in a frame: its header, its bytes, and where they begin in the frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordView<'a> {
    pub(crate) header: Header,
    pub(crate) bytes: &'a [u8],
}

impl<'a> FrameView<'a> {
    /// The frame that begins `bytes`.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, BadFrame> {
        let decoded = || {
            if array::<8>(bytes, 0)? != MAGIC {
                return None;
            }
            let len = u32_at(bytes, 12)? as usize;
            if !(FRAME_HEADER..=FRAME_LEN_MAX).contains(&len) {
                return None;
            }
            let whole = bytes.get(..len)?;
            if crc_around(whole, CRC_AT)? != u32_at(whole, CRC_AT)? {
                return None;
            }
            let view = Self {
                bytes: whole,
                number: u64_at(whole, 24).filter(|number| (1..NUMBER_END).contains(number))?,
                prev: Digest(array(whole, 32)?),
                count: u32_at(whole, 20)?,
            };
            Some((u16_at(whole, 8)?, view))
        };
        match decoded() {
            None => Err(BadFrame::Torn),
            Some((FORMAT, view)) => Ok(view),
            Some((other, _)) => Err(BadFrame::Format(other)),
        }
    }

    /// The length of the frame that begins `bytes`, which need not be all there.
    pub(crate) fn len_of(bytes: &[u8]) -> Option<usize> {
        let len = u32_at(bytes, 12)? as usize;
        (array::<8>(bytes, 0)? == MAGIC && (FRAME_HEADER..=FRAME_LEN_MAX).contains(&len)).then_some(len)
    }

    /// Its records, in order, as many as it says and nothing after them.
    pub(crate) fn records(&self) -> Records<'a> {
        Records { rest: self.bytes.get(FRAME_HEADER..).unwrap_or_default(), left: self.count, failed: false }
    }

    /// The hash of the frame, from the hashes of its records.
    pub(crate) fn hash(&self, records: impl Iterator<Item = Digest>) -> Digest {
        hash_of(self.bytes.get(..FRAME_HEADER).unwrap_or_default(), records)
    }
}

/// The records of a frame. After an error there are no more.
pub(crate) struct Records<'a> {
    rest: &'a [u8],
    left: u32,
    failed: bool,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, BadEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || (self.left == 0 && self.rest.is_empty()) {
            return None;
        }
        let record = if self.left == 0 { Err(BadEntry::Lengths) } else { self.one() };
        self.failed = record.is_err();
        Some(record)
    }
}

impl<'a> Records<'a> {
    fn one(&mut self) -> Result<RecordView<'a>, BadEntry> {
        let len = Header::record_len(self.rest)?;
        let header = Header::decode(self.rest)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(BadEntry::Short)?;
        self.rest = rest;
        self.left -= 1;
        Ok(RecordView { header, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::entries;

    #[test]
    fn a_frame_decodes_to_its_records_and_its_hash() {
        let mut builder = FrameBuilder::default();
        builder.begin();
        let written = entries::run(1, 3);
        written.iter().for_each(|entry| builder.add(entry));
        let (bytes, hash) = builder.finish(7, Digest::of(b"before"));
        let view = FrameView::decode(bytes).unwrap();
        assert_eq!((view.number, view.prev, view.count), (7, Digest::of(b"before"), 3));
        let read: Vec<Entry> = view.records().map(|r| Entry::decode(r.unwrap().bytes).unwrap()).collect();
        assert_eq!(read, written);
        assert_eq!(view.hash(read.iter().map(Entry::hash)), hash);
    }

    #[test]
    fn every_flip_and_every_truncation_of_a_frame_is_refused() {
        let mut builder = FrameBuilder::default();
        builder.begin();
        builder.add(&entries::run(1, 1)[0]);
        let bytes = builder.finish(1, Digest::ZERO).0.to_vec();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(FrameView::decode(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(FrameView::decode(&bytes[..len]).unwrap_err(), BadFrame::Torn, "length {len}");
        }
    }

    #[test]
    fn a_count_that_is_not_the_number_of_records_is_refused() {
        let mut builder = FrameBuilder::default();
        builder.begin();
        entries::run(1, 2).iter().for_each(|entry| builder.add(entry));
        let bytes = builder.finish(1, Digest::ZERO).0.to_vec();
        for count in [1, 3] {
            let view = FrameView { count, ..FrameView::decode(&bytes).unwrap() };
            assert!(view.records().any(|r| r.is_err()), "{count}");
        }
    }

    #[test]
    fn how_long_a_frame_is_can_be_told_from_its_header_alone() {
        let mut builder = FrameBuilder::default();
        builder.begin();
        entries::run(1, 2).iter().for_each(|entry| builder.add(entry));
        let bytes = builder.finish(1, Digest::ZERO).0.to_vec();
        assert_eq!(FrameView::len_of(&bytes[..FRAME_HEADER]), Some(bytes.len()));
        assert_eq!(FrameView::len_of(&bytes[..8]), None, "what is not there says nothing");
        assert_eq!(FrameView::len_of(&[0; FRAME_HEADER]), None);
        let of = |magic: &[u8], len: usize| {
            let mut header = bytes[..FRAME_HEADER].to_vec();
            header[..8].copy_from_slice(magic);
            header[12..16].copy_from_slice(&(len as u32).to_le_bytes());
            FrameView::len_of(&header)
        };
        assert_eq!(of(b"rcvframf", bytes.len()), None, "another beginning, and a length that a frame can have");
        for (len, told) in
            [(FRAME_HEADER - 1, false), (FRAME_HEADER, true), (FRAME_LEN_MAX, true), (FRAME_LEN_MAX + 1, false)]
        {
            assert_eq!(of(&MAGIC, len), told.then_some(len));
        }
    }
}
