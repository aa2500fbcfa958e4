//! Checks everything that a log says against everything else that it says. Reads only.

use std::collections::HashMap;

use recover_engine::{Digest, Entry, Kind, Receipt, RunId};

use crate::bytes::is_zero;
use crate::error::{Damage, Failed, ReadError, What};
use crate::reader::{LOOKS, Reader};
use crate::salvage::sealed_in;
use crate::scan::{self, Cursor, Tail};
use crate::segment::{Condition, HeaderBytes, LOG, SegmentFile, SegmentHeader};
use crate::storage::Storage;
use crate::summary::SummaryBuilder;
use crate::survey::{Segment, Survey, read, read_whole};

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Valid frames.
    pub frames: u64,
    /// Valid records in them.
    pub records: u64,
    /// Runs that have a record.
    pub runs: u64,
    /// The number and hash of the last valid frame; frame 0 if there is none.
    pub head: Receipt,
    /// A frame at the end that was cut short and never acknowledged: not damage.
    pub torn_tail: Option<TornTail>,
    /// What is wrong.
    pub damage: Vec<Damage>,
    /// Segments that were damaged, and sealed by a salvage.
    pub sealed: Vec<u64>,
}

/// Where a torn tail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The number of the segment.
    pub segment: u64,
    /// Where it begins.
    pub offset: u64,
    /// The frame that was being written.
    pub frame: u64,
}

impl Reader {
    /// Checks every checksum, the chain of frames, the hash of every record, the chain of every run, and the summaries.
    ///
    /// # Errors
    /// Only if the system does not let it read. What is wrong with the log is in the report.
    pub fn verify(&self) -> Result<Report, ReadError> {
        let mut report = Verifier::run(&*self.storage)?;
        for _ in 1..LOOKS {
            if report.damage.is_empty() {
                break;
            }
            let again = Verifier::run(&*self.storage)?;
            let same = again.damage == report.damage;
            report = again;
            if same {
                break;
            }
        }
        Ok(report)
    }
}

struct Verifier {
    report: Report,
    runs: HashMap<RunId, (u32, Digest)>,
    /// Where the chain of frames stands; the hash is not known after a gap.
    next: u64,
    head: Option<Digest>,
    /// What the next segment must name as the summary before it, where it is known.
    summary: Option<Digest>,
    /// Whether frames are missing before this point: then a run whose chain is broken is no news.
    gap: bool,
    /// Whether frames of this segment are missing: then its summary says more than they do.
    holes: bool,
    /// The SHA-256 of each sealed segment's file, as it is and as the record of the salvage has it.
    sealed: HashMap<u64, Digest>,
    recorded: HashMap<u64, Digest>,
    entries: Vec<Entry>,
}

impl Verifier {
    fn run(storage: &dyn Storage) -> Result<Report, ReadError> {
        let survey = Survey::of(storage)?;
        let report = Report {
            frames: 0,
            records: 0,
            runs: 0,
            head: Receipt { frame: 0, head: Digest::ZERO },
            torn_tail: None,
            damage: survey.damages.clone(),
            sealed: Vec::new(),
        };
        let mut verifier = Self {
            report,
            runs: HashMap::new(),
            next: 1,
            head: Some(Digest::ZERO),
            summary: Some(Digest::ZERO),
            gap: false,
            holes: false,
            sealed: HashMap::new(),
            recorded: HashMap::new(),
            entries: Vec::new(),
        };
        let mut bytes = Vec::new();
        let mut expected = 1;
        for (place, segment) in survey.segments.iter().enumerate() {
            if segment.file.number != expected {
                verifier.unread();
            }
            expected = segment.file.number + 1;
            match (segment.header, segment.file.condition) {
                (Some(header), Condition::Sound) => {
                    let len = read(storage, &segment.file, &mut bytes)?;
                    verifier.segment(&header, (&bytes, len), survey.segments.get(place + 1), survey.acked);
                }
                _ => {
                    read_whole(storage, &segment.file, &mut bytes)?;
                    verifier.sealed(segment, &bytes);
                }
            }
        }
        verifier.prepared(storage, &survey)?;
        verifier.altered();
        let mut report = verifier.report;
        report.runs = verifier.runs.keys().filter(|run| **run != RunId::JOURNAL).count() as u64;
        Ok(report)
    }

    fn damage(&mut self, segment: u64, offset: u64, frame: u64, what: What) {
        self.report.damage.push(Damage { segment, offset, frame, what });
    }

    /// A segment that is not there, or whose header says nothing, is damage of its own: what follows it is not to blame for it.
    fn unread(&mut self) {
        self.gap = true;
        self.head = None;
        self.summary = None;
    }

    /// A sealed segment is held to what was recorded when it was sealed.
    fn altered(&mut self) {
        let mut altered: Vec<u64> = self
            .sealed
            .iter()
            .filter(|(number, found)| self.recorded.get(number).is_some_and(|recorded| recorded != *found))
            .map(|(number, _)| *number)
            .collect();
        altered.sort_unstable();
        altered.into_iter().for_each(|number| self.damage(number, 0, 0, What::Altered));
    }

    fn segment(&mut self, header: &SegmentHeader, (bytes, len): (&[u8], u64), next: Option<&Segment>, acked: u64) {
        let last = next.is_none();
        let number = header.number;
        let (first, expected) = (header.first_frame, self.next);
        let follows = if self.gap { first >= expected } else { first == expected };
        let chained = self.head.is_none_or(|head| head == header.prev_frame)
            && self.summary.is_none_or(|summary| summary == header.prev_summary);
        if !follows || !chained {
            self.damage(number, 0, header.first_frame, What::Chain);
        }
        self.next = header.first_frame;
        self.head = Some(header.prev_frame);
        self.holes = false;
        let mut cursor = Cursor::new(bytes, header.first_frame, Some(header.prev_frame));
        let mut builder = SummaryBuilder::new(number, header.first_frame, header.prev_frame);
        let tail = loop {
            self.frames(&mut cursor, &mut builder, number);
            match cursor.tail() {
                Tail::Bad { torn: true, .. } if last && cursor.next > acked => {
                    let (offset, frame) = (cursor.offset(), cursor.next);
                    self.report.torn_tail = Some(TornTail { segment: number, offset, frame });
                    return self.length(header, len, cursor.offset());
                }
                Tail::Bad { what, .. } => {
                    self.damage(number, cursor.offset(), cursor.next, what);
                    (self.gap, self.holes) = (true, true);
                    if !cursor.seek_on() {
                        self.head = None;
                        self.summary = None;
                        return;
                    }
                }
                tail @ (Tail::Zero | Tail::Summary(..)) => break tail,
            }
        };
        self.summary = match tail {
            Tail::Summary(written, hash) => {
                if !self.holes && *written != *builder.get() {
                    self.damage(number, cursor.offset(), cursor.next, What::Summary);
                }
                Some(hash)
            }
            Tail::Zero | Tail::Bad { .. } if last => {
                self.length(header, len, cursor.offset());
                None
            }
            // It was the end of the log when what follows it was found damaged: there was no summary yet.
            Tail::Zero if next.is_some_and(|next| is_sealed_after(next, self.next)) => {
                self.length(header, len, cursor.offset());
                None
            }
            Tail::Zero | Tail::Bad { .. } => {
                self.damage(number, cursor.offset(), cursor.next, What::Summary);
                None
            }
        };
        if last && self.next <= acked {
            self.damage(number, cursor.offset(), self.next, What::Lost { acked });
        }
    }

    /// A segment that is written on is as long as it was made.
    fn length(&mut self, header: &SegmentHeader, len: u64, offset: u64) {
        if len < header.capacity {
            self.damage(header.number, offset, self.next, What::Short);
        }
    }

    /// The frames that stand at the cursor.
    fn frames(&mut self, cursor: &mut Cursor<'_>, builder: &mut SummaryBuilder, segment: u64) {
        let mut entries = std::mem::take(&mut self.entries);
        while let Some((view, at)) = cursor.step() {
            match scan::entries(&view, &mut entries) {
                Err(error) => {
                    self.damage(segment, at, view.number, What::Record(error));
                    (self.gap, self.holes, self.head) = (true, true, None);
                }
                Ok(hash) => {
                    cursor.follow(hash);
                    for entry in &entries {
                        self.record(entry, segment, at, view.number);
                        builder.note(entry.header(), entry.hash(), view.number, at);
                    }
                    builder.frame(view.number, hash);
                    self.head = Some(hash);
                    self.report.frames += 1;
                    self.report.head = Receipt { frame: view.number, head: hash };
                }
            }
            self.next = view.number + 1;
        }
        self.entries = entries;
    }

    fn record(&mut self, entry: &Entry, segment: u64, offset: u64, frame: u64) {
        let header = entry.header();
        let (seq, head) = self.runs.get(&header.run).copied().unwrap_or((0, Digest::ZERO));
        if (header.seq != seq.wrapping_add(1) || header.prev != head) && !self.gap {
            self.damage(segment, offset, frame, What::RunChain(header.run));
        }
        if header.kind == Kind::Salvaged
            && let Some((number, hash)) = sealed_in(entry)
        {
            self.recorded.insert(number, hash);
        }
        self.runs.insert(header.run, (header.seq, entry.hash()));
        self.report.records += 1;
    }

    /// What is left of a segment that a salvage sealed. What follows it says what it was when it was sealed.
    fn sealed(&mut self, segment: &Segment, bytes: &[u8]) {
        self.report.sealed.push(segment.file.number);
        self.sealed.insert(segment.file.number, Digest::of(bytes));
        self.unread();
        let first = segment.header.map_or(1, |header| header.first_frame);
        let mut cursor = Cursor::new(bytes, first, None);
        let mut builder = SummaryBuilder::new(segment.file.number, first, Digest::ZERO);
        let (known, next) = (self.report.damage.len(), self.next);
        loop {
            self.frames(&mut cursor, &mut builder, segment.file.number);
            // A frame that stands here and is none that was expected here is left as any other.
            if !cursor.seek() {
                break;
            }
        }
        // What is wrong in it is what it was sealed for.
        self.report.damage.truncate(known);
        self.unread();
        // Without its header they may be another segment's, and it is not to blame either.
        if segment.header.is_none() {
            self.next = next;
        }
    }

    /// Segments that are prepared and not begun hold nothing.
    fn prepared(&mut self, storage: &dyn Storage, survey: &Survey) -> Result<(), ReadError> {
        let begun = survey.segments.last().map_or(0, |segment| segment.file.number);
        let names = storage.list(LOG).map_err(Failed::to("list the log"))?;
        let mut bytes = Vec::new();
        let ahead = |file: &SegmentFile| file.number > begun && file.condition == Condition::Sound;
        for file in names.iter().filter_map(|name| SegmentFile::from_name(name)).filter(ahead) {
            read(storage, &file, &mut bytes)?;
            // A writer may have begun it meanwhile; a header that was cut short is wiped at the next open.
            let begun = matches!(SegmentHeader::decode(&bytes), HeaderBytes::Valid(_) | HeaderBytes::Bad(_));
            if !begun && !is_zero(&bytes) {
                self.damage(file.number, 0, self.next, What::Stray);
            }
        }
        Ok(())
    }
}

/// Whether it is a segment that was sealed, and that can have begun with this frame.
fn is_sealed_after(segment: &Segment, frame: u64) -> bool {
    segment.file.condition != Condition::Sound && segment.header.is_none_or(|header| header.first_frame == frame)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use recover_engine::Header;

    use super::*;
    use crate::open::{Purpose, open};
    use crate::supply::Inline;
    use crate::testing::entries::{ACTOR, Script, id, run, subject};
    use crate::testing::sim::SimStorage;

    /// What is wrong with a log of these records, each in a frame of its own, which no ledger has seen.
    fn verified(entries: &[Entry]) -> Vec<(u64, What)> {
        let storage: Arc<dyn Storage> = Arc::new(SimStorage::new());
        let inline = Inline { storage: Arc::clone(&storage), len: 8192 };
        let (mut core, _) = open(&storage, 8192, Purpose::Write, |_| Ok(Box::new(inline))).unwrap();
        for entry in entries {
            core.commit(&[vec![entry.clone()]]).unwrap();
        }
        let damage = Reader::new(storage).verify().unwrap().damage;
        damage.into_iter().map(|damage| (damage.frame, damage.what)).collect()
    }

    #[test]
    fn a_record_that_is_not_the_next_or_does_not_name_the_one_before_breaks_its_run() {
        let [first, second, third] = run(1, 3).try_into().unwrap();
        assert_eq!(verified(&[first.clone(), second.clone(), third]), []);
        let broken = [(2, What::RunChain(id(1)))];
        // It names the one before, and its number is not the next.
        let skips = Entry::encode(Header { seq: 3, ..*second.header() }, ACTOR, "{}").unwrap();
        assert_eq!(verified(&[first.clone(), skips]), broken);
        // Its number is the next, and it names another.
        let other = Script::new(id(1)).begin(subject(7));
        assert_eq!(verified(&[first, Script::after(&other).outcome()]), broken);
    }
}
