//! The summary that ends a segment: its runs, and what its records did to the ledger, so that nobody need scan history.
//!
//! It is a function of the segment's frames alone, so that it can be made again from them, to the last byte.

use std::collections::HashMap;

use recover_engine::{Digest, Entry, Header, Key, Kind, Latch, Ledger, Millis, RunId};

use crate::bytes::{array, crc_around, u16_at, u32_at, u64_at};
use crate::frame::{FORMAT, NUMBER_END};

const MAGIC: [u8; 8] = *b"rcvsummy";
const TRAILER_MAGIC: [u8; 8] = *b"rcvtrail";
const CRC_AT: usize = 16;
const FIXED: usize = 96;
const RUN: usize = 120;
const LATCH: usize = 24;
/// The length of the trailer that says where the summary begins: the last bytes of a sealed segment's file.
pub(crate) const TRAILER: usize = 16;
/// By how much one record can lengthen its segment's summary.
pub(crate) const PER_RECORD: usize = RUN + LATCH;
/// The length of the summary of no records.
pub(crate) const EMPTY: usize = FIXED + TRAILER;

/// What one segment holds of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunPart {
    pub(crate) run: RunId,
    /// The subject, if the run begins here; else [`Key::NONE`].
    pub(crate) subject: Key,
    /// The hash of its last record here.
    pub(crate) head: Digest,
    pub(crate) first_frame: u64,
    pub(crate) last_frame: u64,
    /// When its first record was made, if the run begins here; else 0.
    pub(crate) begun_at: Millis,
    /// When its last record here was made.
    pub(crate) last_at: Millis,
    pub(crate) first_seq: u32,
    pub(crate) last_seq: u32,
    /// A bit for the number of every kind that occurs.
    pub(crate) kinds: u32,
    /// Where the first and the last of its frames begin in the segment's file.
    pub(crate) first_offset: u32,
    pub(crate) last_offset: u32,
    pub(crate) last_kind: Kind,
    pub(crate) begins: bool,
    pub(crate) closes: bool,
}

/// A summary, built record by record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) segment: u64,
    pub(crate) first_frame: u64,
    /// `first_frame - 1` if the segment has no frame.
    pub(crate) last_frame: u64,
    pub(crate) records: u64,
    /// The hash of the last frame.
    pub(crate) head: Digest,
    pub(crate) runs: Vec<RunPart>,
    /// Every record that latches, in order: the place of its run in `runs`, and what it does.
    pub(crate) latches: Vec<(u32, Latch, Key)>,
}

/// A summary while its segment is written or scanned.
#[derive(Debug, Default)]
pub(crate) struct SummaryBuilder {
    summary: Summary,
    places: HashMap<RunId, u32>,
    /// The run of the record before, which is most often the run of the next.
    last: Option<(RunId, u32)>,
}

impl SummaryBuilder {
    pub(crate) fn new(segment: u64, first_frame: u64, prev_frame: Digest) -> Self {
        let summary = Summary {
            segment,
            first_frame,
            last_frame: first_frame.saturating_sub(1),
            head: prev_frame,
            ..Summary::default()
        };
        Self { summary, places: HashMap::new(), last: None }
    }

    /// Goes on with the summary of a segment that was scanned.
    pub(crate) fn resume(summary: Summary) -> Self {
        let places = summary.runs.iter().zip(0..).map(|(part, place)| (part.run, place)).collect();
        Self { summary, places, last: None }
    }

    /// Takes note of a record in the frame `frame`, which begins at `offset`.
    pub(crate) fn note(&mut self, header: &Header, hash: Digest, frame: u64, offset: u64) {
        let runs = &mut self.summary.runs;
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        let known = self.last.filter(|(run, _)| *run == header.run).map(|(_, place)| place);
        let place = known.unwrap_or_else(|| {
            *self.places.entry(header.run).or_insert_with(|| {
                runs.push(RunPart {
                    run: header.run,
                    subject: Key::NONE,
                    head: hash,
                    first_frame: frame,
                    last_frame: frame,
                    begun_at: Millis(0),
                    last_at: header.at,
                    first_seq: header.seq,
                    last_seq: header.seq,
                    kinds: 0,
                    first_offset: offset,
                    last_offset: offset,
                    last_kind: header.kind,
                    begins: false,
                    closes: false,
                });
                (runs.len() - 1) as u32
            })
        });
        self.last = Some((header.run, place));
        let Some(part) = runs.get_mut(place as usize) else { return };
        part.head = hash;
        (part.last_frame, part.last_offset, part.last_seq) = (frame, offset, header.seq);
        (part.last_at, part.last_kind) = (header.at, header.kind);
        part.kinds |= 1 << header.kind as u32;
        if header.kind == Kind::Begun {
            (part.subject, part.begun_at, part.begins) = (header.key, header.at, true);
        }
        part.closes |= header.kind == Kind::Closed;
        if header.latch != Latch::None {
            self.summary.latches.push((place, header.latch, header.key));
        }
        self.summary.records += 1;
    }

    /// Takes note of the end of a frame.
    pub(crate) fn frame(&mut self, number: u64, hash: Digest) {
        self.summary.last_frame = number;
        self.summary.head = hash;
    }

    /// How long the summary is so far, with its trailer.
    pub(crate) fn encoded_len(&self) -> usize {
        self.summary.encoded_len()
    }

    pub(crate) fn get(&self) -> &Summary {
        &self.summary
    }

    pub(crate) fn into_summary(self) -> Summary {
        self.summary
    }
}

impl Summary {
    pub(crate) fn encoded_len(&self) -> usize {
        EMPTY + self.runs.len() * RUN + self.latches.len() * LATCH
    }

    /// The summary as it stands at `offset` of its segment, trailer included, and its hash.
    pub(crate) fn encode(&self, offset: u64) -> (Vec<u8>, Digest) {
        let len = self.encoded_len();
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&(len as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(self.runs.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.latches.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for number in [self.segment, self.first_frame, self.last_frame, self.records] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.head.0);
        debug_assert_eq!(out.len(), FIXED);
        self.runs.iter().for_each(|part| part.encode(&mut out));
        for (place, latch, key) in &self.latches {
            out.extend_from_slice(&place.to_le_bytes());
            out.extend_from_slice(&[*latch as u8, 0, 0, 0]);
            out.extend_from_slice(&key.0);
        }
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&TRAILER_MAGIC);
        debug_assert_eq!(out.len(), len);
        let crc = crc_around(&out, CRC_AT).unwrap_or_default();
        out[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        let hash = Digest::of(&out);
        (out, hash)
    }

    /// The summary that begins `bytes`, which stand at `offset` of the segment, its length and its hash; none if they are not one of
    /// this format, or one of another place: it could not be found again from the end.
    pub(crate) fn decode(bytes: &[u8], offset: u64) -> Option<(Self, usize, Digest)> {
        if array::<8>(bytes, 0)? != MAGIC {
            return None;
        }
        let len = u32_at(bytes, 12)? as usize;
        let bytes = bytes.get(..len)?;
        if Self::offset_in_trailer(bytes)? != offset {
            return None;
        }
        if u16_at(bytes, 8)? != FORMAT || crc_around(bytes, CRC_AT)? != u32_at(bytes, CRC_AT)? {
            return None;
        }
        let (runs, latches) = (u32_at(bytes, 20)? as usize, u32_at(bytes, 24)? as usize);
        let body = bytes.get(FIXED..len.checked_sub(TRAILER)?)?;
        if body.len() != runs.checked_mul(RUN)?.checked_add(latches.checked_mul(LATCH)?)? {
            return None;
        }
        let (run_bytes, latch_bytes) = body.split_at_checked(runs * RUN)?;
        let summary = Self {
            segment: u64_at(bytes, 32)?,
            first_frame: u64_at(bytes, 40)?,
            last_frame: u64_at(bytes, 48)?,
            records: u64_at(bytes, 56)?,
            head: Digest(array(bytes, 64)?),
            runs: run_bytes.chunks_exact(RUN).map(RunPart::decode).collect::<Option<_>>()?,
            latches: latch_bytes
                .chunks_exact(LATCH)
                .map(|c| Some((u32_at(c, 0)?, Latch::from_number(*c.get(4)?)?, Key(array(c, 8)?))))
                .collect::<Option<_>>()?,
        };
        let places_fit = summary.latches.iter().all(|(place, _, _)| (*place as usize) < runs);
        let frames_fit = (1..NUMBER_END).contains(&summary.first_frame)
            && (summary.first_frame - 1..NUMBER_END).contains(&summary.last_frame);
        (places_fit && frames_fit).then_some((summary, len, Digest::of(bytes)))
    }

    /// Where the summary begins, from the last bytes of a file.
    pub(crate) fn offset_in_trailer(last: &[u8]) -> Option<u64> {
        let trailer = last.get(last.len().checked_sub(TRAILER)?..)?;
        (array::<8>(trailer, 8)? == TRAILER_MAGIC).then(|| u64_at(trailer, 0))?
    }

    /// Does to the ledger what the segment's records did.
    pub(crate) fn fold(&self, ledger: &mut Ledger) {
        let note = |ledger: &mut Ledger, part: &RunPart, kind, latch, key| {
            let (seq, at) = (part.last_seq, part.last_at);
            ledger.note(&Header { run: part.run, seq, kind, latch, key, at, prev: Digest::ZERO }, part.head);
        };
        for part in &self.runs {
            if part.begins {
                note(ledger, part, Kind::Begun, Latch::None, part.subject);
            }
            if part.closes {
                note(ledger, part, Kind::Closed, Latch::None, Key::NONE);
            } else if !part.begins {
                note(ledger, part, part.last_kind, Latch::None, Key::NONE);
            }
        }
        for (place, latch, key) in &self.latches {
            if let Some(part) = self.runs.get(*place as usize) {
                // The kind of no run's end or beginning: only the latch is to act.
                note(ledger, part, Kind::Intent, *latch, *key);
            }
        }
    }
}

impl RunPart {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.run.as_bytes());
        out.extend_from_slice(&self.subject.0);
        out.extend_from_slice(&self.head.0);
        out.extend_from_slice(&self.first_frame.to_le_bytes());
        out.extend_from_slice(&self.last_frame.to_le_bytes());
        out.extend_from_slice(&self.begun_at.0.to_le_bytes());
        out.extend_from_slice(&self.last_at.0.to_le_bytes());
        for number in [self.first_seq, self.last_seq, self.kinds, self.first_offset, self.last_offset] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let flags = u8::from(self.begins) + 2 * u8::from(self.closes);
        out.extend_from_slice(&[self.last_kind as u8, flags, 0, 0]);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let flags = *bytes.get(117)?;
        Some(Self {
            run: RunId::from_bytes(array(bytes, 0)?),
            subject: Key(array(bytes, 16)?),
            head: Digest(array(bytes, 32)?),
            first_frame: u64_at(bytes, 64)?,
            last_frame: u64_at(bytes, 72)?,
            begun_at: Millis(i64::from_le_bytes(array(bytes, 80)?)),
            last_at: Millis(i64::from_le_bytes(array(bytes, 88)?)),
            first_seq: u32_at(bytes, 96)?,
            last_seq: u32_at(bytes, 100)?,
            kinds: u32_at(bytes, 104)?,
            first_offset: u32_at(bytes, 108)?,
            last_offset: u32_at(bytes, 112)?,
            last_kind: Kind::from_number(*bytes.get(116)?)?,
            begins: flags & 1 != 0,
            closes: flags & 2 != 0,
        })
    }
}

/// By how much a batch can lengthen the log: its records and their part of the summary. Bytes.
pub(crate) fn footprint(batch: &[Entry]) -> usize {
    batch.iter().map(|entry| entry.bytes().len() + PER_RECORD).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::entries;

    /// Two runs in two frames: one begins and ends here, the other only begins.
    fn builder() -> SummaryBuilder {
        let mut builder = SummaryBuilder::new(3, 9, Digest::of(b"frame 8"));
        for (frame, offset, records) in [(9, 128, entries::closed_run(1, 3)), (10, 700, entries::run(2, 1))] {
            records.iter().for_each(|entry| builder.note(entry.header(), entry.hash(), frame, offset));
            builder.frame(frame, Digest::of(b"a frame"));
        }
        builder
    }

    /// What is read of a summary that was encoded, its checksum being right.
    fn read(summary: &Summary) -> Option<Summary> {
        Summary::decode(&summary.encode(640).0, 640).map(|(read, ..)| read)
    }

    #[test]
    fn a_summary_is_what_was_encoded_at_its_place_and_at_no_other_and_no_flip_is() {
        let builder = builder();
        let (bytes, hash) = builder.get().encode(640);
        assert_eq!(builder.encoded_len(), bytes.len(), "its length is known before it is made");
        let decoded = Summary::decode(&bytes, 640);
        assert_eq!(decoded, Some((builder.into_summary(), bytes.len(), hash)));
        assert_eq!(Summary::decode(&bytes, 641), None);
        assert_eq!(Summary::decode(&bytes[..bytes.len() - 1], 640), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Summary::decode(&flipped, 640), None, "bit {bit}");
        }
    }

    #[test]
    fn the_summary_of_no_frames_is_one_and_counts_from_the_frame_before() {
        let empty = SummaryBuilder::new(2, 5, Digest::of(b"frame 4")).into_summary();
        assert_eq!((empty.last_frame, empty.encoded_len()), (4, EMPTY));
        assert_eq!(read(&empty), Some(empty));
    }

    /// A checksum can be made right on purpose: what is inside must make sense by itself.
    #[test]
    fn a_summary_that_contradicts_itself_is_none() {
        let whole = builder().into_summary();
        assert_eq!(read(&whole).as_ref(), Some(&whole));
        let last = Summary { first_frame: NUMBER_END - 1, last_frame: NUMBER_END - 1, ..whole.clone() };
        assert_eq!(read(&last).as_ref(), Some(&last), "the highest numbers that there are");
        let latch_of = |place| Summary { latches: vec![(place, Latch::Claim, entries::subject(1))], ..whole.clone() };
        assert!(read(&latch_of(1)).is_some(), "of the second of two runs");
        assert_eq!(read(&latch_of(2)), None, "of a third, which is not there");
        for (first_frame, last_frame) in [(0, 0), (NUMBER_END, NUMBER_END), (9, NUMBER_END), (9, 7)] {
            let odd = Summary { first_frame, last_frame, ..whole.clone() };
            assert_eq!(read(&odd), None, "frames {first_frame} to {last_frame}");
        }
    }
}
