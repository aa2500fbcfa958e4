//! Frames one after another, from any point on, also while they are written.

use std::sync::Arc;

use recover_engine::{Digest, Entry};

use crate::error::{Damage, Failed, ReadError, What};
use crate::frame::FrameView;
use crate::reader::stable;
use crate::scan::{self, Cursor, Tail};
use crate::segment::{Condition, SEGMENT_HEADER};
use crate::storage::{Storage, StorageFile, read_into};
use crate::survey::{Segment, Survey, open};

/// One frame: what was made durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: Digest,
    /// The hash of the frame before it, as it says.
    pub prev: Digest,
    /// The number of its segment.
    pub segment: u64,
    /// Where it begins in the segment's file.
    pub offset: u64,
    /// Its records.
    pub entries: Vec<Entry>,
}

/// Reads on from a frame. A damaged place stops it; frames kept in a sealed damaged segment are skipped over where lost.
pub struct Follower {
    storage: Arc<dyn Storage>,
    next: u64,
    at: Option<Place>,
    buffer: Vec<u8>,
}

struct Place {
    segment: Segment,
    file: Arc<dyn StorageFile>,
    offset: u64,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("next", &self.next).finish_non_exhaustive()
    }
}

/// How much is read at once. A longer frame is read whole.
const READ: usize = 256 << 10;

impl Follower {
    pub(crate) fn new(storage: Arc<dyn Storage>, after: u64) -> Self {
        Self { storage, next: after + 1, at: None, buffer: Vec::new() }
    }

    /// The number of the frame that the next poll begins with.
    #[must_use]
    pub fn next_frame(&self) -> u64 {
        self.next
    }

    /// What has come since the last poll, up to some hundred KiB and to no frame after `last`; empty if nothing has.
    ///
    /// # Errors
    /// If the log is damaged there or cannot be read.
    pub fn poll(&mut self, last: u64) -> Result<Vec<Frame>, ReadError> {
        let mut frames = Vec::new();
        let mut looked = false;
        loop {
            if self.at.is_none() {
                self.at = stable(|| self.locate())?;
            }
            let Some(place) = self.at.as_mut() else { return Ok(frames) };
            Self::read(place, &mut self.buffer, &mut self.next, last, &mut frames)?;
            if !frames.is_empty() || self.next > last {
                return Ok(frames);
            }
            // Nothing more here: either nothing has come, or it goes on in the next segment.
            match stable(|| self.after_end()) {
                Ok(Some((place, next))) => (self.at, self.next) = (Some(place), next),
                Ok(None) => return Ok(frames),
                // What is missed may have come after it was looked for, and before the next segment was.
                Err(ReadError::Damage(_)) if !looked => looked = true,
                Err(error) => return Err(error),
            }
        }
    }

    /// The segment that holds the next frame.
    fn locate(&self) -> Result<Option<Place>, ReadError> {
        let survey = Survey::of(&*self.storage)?;
        let first = |segment: &Segment| segment.header.map_or(0, |header| header.first_frame);
        let place = survey.segments.iter().rposition(|segment| first(segment) <= self.next);
        match place.and_then(|place| survey.segments.get(place)) {
            None => Ok(None),
            Some(segment) => Ok(Some(self.enter(segment)?)),
        }
    }

    fn enter(&self, segment: &Segment) -> Result<Place, ReadError> {
        let file = open(&*self.storage, &segment.file)?;
        Ok(Place { segment: *segment, file, offset: SEGMENT_HEADER as u64 })
    }

    /// Reads the frames that stand at the place, skipping those before `next`.
    fn read(
        place: &mut Place,
        buffer: &mut Vec<u8>,
        next: &mut u64,
        last: u64,
        frames: &mut Vec<Frame>,
    ) -> Result<(), ReadError> {
        let number = place.segment.file.number;
        let failed = || Failed::to(format!("read {}", place.segment.file.path()));
        let mut want = READ;
        loop {
            let left = place.file.size().map_err(failed())?.saturating_sub(place.offset);
            let len = usize::try_from(left).map_or(want, |left| left.min(want));
            read_into(&*place.file, buffer, place.offset, len).map_err(failed())?;
            let mut rest = buffer.as_slice();
            let mut any = false;
            while let Ok(view) = FrameView::decode(rest) {
                if view.number > last {
                    return Ok(());
                }
                if view.number >= *next {
                    let mut entries = Vec::new();
                    let bad = |what| Damage { segment: number, offset: place.offset, frame: view.number, what };
                    if view.number > *next && place.segment.file.condition == Condition::Sound {
                        return Err(bad(What::Chain).into());
                    }
                    let hash = scan::entries(&view, &mut entries).map_err(|e| bad(What::Record(e)))?;
                    let prev = view.prev;
                    frames.push(Frame {
                        number: view.number,
                        hash,
                        prev,
                        segment: number,
                        offset: place.offset,
                        entries,
                    });
                    *next = view.number + 1;
                }
                any = true;
                place.offset += view.bytes.len() as u64;
                rest = rest.get(view.bytes.len()..).unwrap_or_default();
            }
            if !frames.is_empty() {
                return Ok(());
            }
            match FrameView::len_of(rest) {
                // A frame longer than what was read.
                Some(len) if !any && len > want => want = len,
                _ if any => want = READ,
                _ => return Ok(()),
            }
        }
    }

    /// Where it goes on after a place that gives no more frames, and with which frame; none if nothing has come yet.
    fn after_end(&self) -> Result<Option<(Place, u64)>, ReadError> {
        let Some(place) = &self.at else { return Ok(None) };
        let survey = Survey::of(&*self.storage)?;
        let number = place.segment.file.number;
        let here = survey.segments.iter().position(|segment| segment.file.number == number);
        let Some(here) = here else { return Ok(None) };
        let mut bytes = Vec::new();
        if place.segment.file.condition != Condition::Sound {
            crate::survey::read(&*self.storage, &place.segment.file, &mut bytes)?;
            let mut cursor = Cursor::at(&bytes, place.offset, self.next, None);
            if cursor.seek() {
                let file = Arc::clone(&place.file);
                return Ok(Some((Place { segment: place.segment, file, offset: cursor.offset() }, self.next)));
            }
        }
        if let Some(following) = survey.segments.get(here + 1) {
            // A sound segment must have given every frame up to the next one.
            let first = following.header.map_or(self.next, |header| header.first_frame);
            if place.segment.file.condition == Condition::Sound && self.next < first {
                let damage = Damage { segment: number, offset: place.offset, frame: self.next, what: What::Frame };
                return Err(damage.into());
            }
            // What a sealed one has lost at its end is skipped over.
            return Ok(Some((self.enter(following)?, self.next.max(first))));
        }
        if self.next <= survey.acked && place.segment.file.condition == Condition::Sound {
            crate::survey::read(&*self.storage, &place.segment.file, &mut bytes)?;
            let mut cursor = Cursor::at(&bytes, place.offset, self.next, None);
            if cursor.step().is_none() {
                let what = match cursor.tail() {
                    Tail::Bad { what, .. } => what,
                    Tail::Zero | Tail::Summary(..) => What::Lost { acked: survey.acked },
                };
                return Err(Damage { segment: number, offset: place.offset, frame: self.next, what }.into());
            }
        }
        Ok(None)
    }
}
