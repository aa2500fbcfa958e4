//! What a log's files are taken for, file by file and byte by byte: a real log, in which one thing is changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use recover_engine::Digest;

use super::*;
use crate::frame::MAGIC;
use crate::testing::entries::run;
use crate::testing::sim::SimStorage;
use crate::{CommitLog, Options};

type Files = BTreeMap<String, Vec<u8>>;

/// The length of a segment's file: three frames of one record fit.
const LEN: usize = 1_280;
const BOTH: [Depth; 2] = [Depth::Checksums, Depth::Hashes];

fn name(segment: u64) -> String {
    SegmentFile::sound(segment).path()
}

fn kept(segment: u64, condition: Condition) -> String {
    SegmentFile { number: segment, condition }.path()
}

/// A log of so many frames, each with one record of a run of its own, from run `first` on.
fn log_of(first: u64, frames: u64) -> Files {
    let storage = SimStorage::new();
    let log = CommitLog::open_inline(Arc::new(storage.clone()), Options { segment_len: LEN as u64 }).unwrap();
    for n in first..first + frames {
        log.append_blocking(run(n, 1)).unwrap();
    }
    drop(log);
    storage.files()
}

/// Frames 1 to 3 and 4 to 6 with their summaries, 7 and 8 in a segment that is open, and one that is prepared.
fn healthy() -> Files {
    log_of(0, 8)
}

fn marked(mut files: Files, mark: u64) -> Files {
    files.insert(ACKED.into(), mark.to_le_bytes().to_vec());
    files
}

fn bytes(files: &mut Files, segment: u64) -> &mut Vec<u8> {
    files.get_mut(&name(segment)).unwrap()
}

/// Leaves these segments.
fn only(mut files: Files, segments: &[u64]) -> Files {
    let names: Vec<String> = segments.iter().map(|segment| name(*segment)).collect();
    files.retain(|name, _| !name.ends_with(".seg") || names.contains(name));
    files
}

/// Where something begins for the n-th time.
fn place_of(what: &[u8], n: usize, bytes: &[u8]) -> usize {
    let mut places = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(what));
    places.nth(n).unwrap()
}

/// The segment as it is when the power went while its header was written: nothing stands after it.
fn cut_header(files: &mut Files, segment: u64) {
    let bytes = bytes(files, segment);
    bytes[20..].fill(0);
    assert!(matches!(SegmentHeader::decode(bytes), HeaderBytes::Bad(What::Header)));
}

fn survey(files: &Files) -> Survey {
    Survey::of(&SimStorage::of(files.clone())).unwrap()
}

fn begun(files: &Files) -> Vec<u64> {
    survey(files).segments.iter().map(|segment| segment.file.number).collect()
}

fn damages(files: &Files) -> Vec<(u64, What)> {
    survey(files).damages.iter().map(|damage| (damage.segment, damage.what)).collect()
}

fn contents(files: &Files, place: usize, depth: Depth) -> Result<Contents, What> {
    let storage = SimStorage::of(files.clone());
    let found = Survey::of(&storage).unwrap().contents(&storage, place, depth, &mut Vec::new());
    found.map_err(|error| match error {
        ReadError::Damage(damage) => damage.what,
        ReadError::Failed(failed) => panic!("{failed}"),
    })
}

fn end(files: &Files, place: usize, depth: Depth) -> Result<End, What> {
    contents(files, place, depth).map(|contents| contents.end)
}

/// What the header of a segment says of the summary before it.
fn named_by(files: &Files, segment: u64) -> Digest {
    let HeaderBytes::Valid(header) = SegmentHeader::decode(&files[&name(segment)]) else { panic!("it is whole") };
    header.prev_summary
}

#[test]
fn the_segments_are_those_that_were_begun_also_where_the_last_holds_nothing_yet() {
    let mut files = healthy();
    assert!(files.contains_key(&name(4)), "one is prepared");
    let found = survey(&files);
    assert_eq!((found.acked, found.marked, found.damages.len()), (8, true, 0));
    assert_eq!(begun(&files), [1, 2, 3]);
    bytes(&mut files, 3)[SEGMENT_HEADER..].fill(0);
    let files = marked(files, 6);
    assert_eq!((begun(&files), damages(&files)), (vec![1, 2, 3], vec![]));
    let files = log_of(0, 0);
    assert_eq!((begun(&files), damages(&files)), (vec![1], vec![]));
}

#[test]
fn of_two_files_with_one_number_the_sound_one_counts() {
    for other in [Condition::Salvaging, Condition::Sealed] {
        let mut files = healthy();
        files.insert(kept(2, other), b"another".to_vec());
        assert_eq!((begun(&files), damages(&files)), (vec![1, 2, 3], vec![]));
        assert!(survey(&files).segments.iter().all(Segment::is_sound));
    }
}

#[test]
fn a_header_that_may_have_been_cut_short_is_not_begun() {
    let mut first = log_of(0, 0);
    cut_header(&mut first, 1);
    assert_eq!((begun(&first), damages(&first)), (vec![], vec![]), "the first");

    let mut sealed_before = marked(healthy(), 6);
    cut_header(&mut sealed_before, 3);
    assert_eq!((begun(&sealed_before), damages(&sealed_before)), (vec![1, 2], vec![]));
    bytes(&mut sealed_before, 2).resize(LEN, 0);
    assert_eq!((begun(&sealed_before), damages(&sealed_before)), (vec![1, 2], vec![]), "its space not given back");

    let mut kept_before = sealed_before;
    let mut damaged = kept_before.remove(&name(2)).unwrap();
    damaged.truncate(400);
    kept_before.insert(kept(2, Condition::Sealed), damaged);
    assert_eq!((begun(&kept_before), damages(&kept_before)), (vec![1, 2], vec![]), "what is kept needs no summary");
}

#[test]
fn a_header_that_cannot_have_been_cut_short_is_damage() {
    let cut = |mut files: Files, segment| {
        cut_header(&mut files, segment);
        damages(&files)
    };
    let empty = || log_of(0, 0);
    assert_eq!(cut(marked(empty(), 1), 1), [(1, What::Header)], "frames were acknowledged");
    let alone = only(marked(healthy(), 0), &[3]);
    assert_eq!(cut(alone, 3), [(1, What::Missing), (2, What::Missing), (3, What::Header)]);
    assert_eq!(cut(marked(healthy(), 7), 3), [(3, What::Header)], "a frame in it was acknowledged");
    let behind_a_gap = only(marked(healthy(), 3), &[1, 3, 4]);
    assert_eq!(cut(behind_a_gap, 3), [(2, What::Missing), (3, What::Header)]);

    let mut before_has_no_summary = marked(healthy(), 6);
    let bytes_of_2 = bytes(&mut before_has_no_summary, 2);
    let summary = place_of(b"rcvsummy", 0, bytes_of_2);
    bytes_of_2[summary..].fill(0);
    assert_eq!(cut(before_has_no_summary, 3), [(3, What::Header)]);

    let mut something_after_it = marked(healthy(), 6);
    bytes(&mut something_after_it, 3)[20] ^= 1;
    assert_eq!(damages(&something_after_it), [(3, What::Header)]);

    let mut set_aside = marked(healthy(), 6);
    cut_header(&mut set_aside, 3);
    let aside = set_aside.remove(&name(3)).unwrap();
    set_aside.insert(kept(3, Condition::Salvaging), aside);
    assert_eq!((begun(&set_aside), damages(&set_aside)), (vec![1, 2, 3], vec![(3, What::Unfinished)]));
}

#[test]
fn what_is_prepared_tells_what_is_missing_before_it() {
    let prepared = |segments: &[u64], mark| {
        let files = segments.iter().map(|segment| (name(*segment), vec![0; LEN])).collect();
        damages(&marked(files, mark))
    };
    assert_eq!(prepared(&[1], 0), []);
    assert_eq!(prepared(&[1], 5), [(1, What::Missing)], "frames were acknowledged");
    assert_eq!(prepared(&[3], 0), [(1, What::Missing), (2, What::Missing)]);
    assert_eq!(damages(&only(healthy(), &[1, 2, 4])), [(3, What::Missing)]);
}

#[test]
fn a_segment_under_another_number_is_damage() {
    let mut files = log_of(0, 2);
    files.insert(name(2), files[&name(1)].clone());
    assert_eq!(damages(&files), [(2, What::Header)]);
}

#[test]
fn a_mark_that_no_log_reaches_says_nothing() {
    let looked_at = |files: &Files, mark| {
        let files = marked(files.clone(), mark);
        let found = survey(&files);
        assert_eq!(found.marked, !damages(&files).contains(&(0, What::Mark)));
        found.marked.then_some(found.acked)
    };
    // The last segment that was begun has frame 7 as its first.
    let files = healthy();
    assert_eq!(looked_at(&files, MARK_END + 6), Some(MARK_END + 6));
    assert_eq!(looked_at(&files, MARK_END + 7), None);

    let header = SegmentHeader {
        number: 1,
        first_frame: NUMBER_END - 1,
        capacity: LEN as u64,
        prev_frame: Digest::ZERO,
        prev_summary: Digest::ZERO,
        after_damage: true,
    };
    let files = Files::from([(name(1), header.encode().to_vec())]);
    assert_eq!(looked_at(&files, NUMBER_END - 1), Some(NUMBER_END - 1));
    assert_eq!(looked_at(&files, NUMBER_END), None, "no frame has this number");
}

#[test]
fn each_segment_ends_as_it_was_left() {
    let files = healthy();
    for depth in BOTH {
        for (place, segment) in [(0, 1), (1, 2)] {
            let at = Some(place_of(b"rcvsummy", 0, &files[&name(segment)]) as u64);
            let hash = named_by(&files, segment + 1);
            assert_eq!(end(&files, place, depth), Ok(End::Sealed { hash, at }));
        }
        let last = &files[&name(3)];
        let at = place_of(&MAGIC, 1, last);
        let len = at - place_of(&MAGIC, 0, last);
        let open = OpenEnd { offset: (at + len) as u64, last: Some(at as u64), torn_until: None };
        assert_eq!(end(&files, 2, depth), Ok(End::Open(open)));
    }
}

#[test]
fn a_segment_of_another_log_does_not_belong_before_the_next() {
    let mut files = healthy();
    files.insert(name(1), log_of(100, 8)[&name(1)].clone());
    assert_eq!(end(&files, 0, Depth::Hashes), Err(What::Chain));
    // Where the next one is not there, there is nothing that it could contradict.
    let files = only(files, &[1, 3]);
    assert!(matches!(end(&files, 0, Depth::Hashes), Ok(End::Sealed { at: Some(_), .. })));
}

#[test]
fn a_summary_that_is_lost_is_made_again_where_every_frame_is_there() {
    let whole = contents(&healthy(), 0, Depth::Hashes).unwrap().summary;
    let mut files = healthy();
    let summary = place_of(b"rcvsummy", 0, &files[&name(1)]);
    bytes(&mut files, 1)[summary + 50] ^= 1;
    let hash = named_by(&files, 2);
    for depth in BOTH {
        assert_eq!(end(&files, 0, depth), Ok(End::Sealed { hash, at: None }));
    }
    assert_eq!(contents(&files, 0, Depth::Hashes).unwrap().summary, whole);
    // The last frame is not there: what is left does not reach the next segment.
    let frame = place_of(&MAGIC, 2, &files[&name(1)]);
    bytes(&mut files, 1)[frame + 70] ^= 1;
    for depth in BOTH {
        assert_eq!(end(&files, 0, depth), Err(What::Frame));
    }
}

#[test]
fn frames_that_are_missing_before_the_next_segment_were_cut_off_or_wiped() {
    let files = healthy();
    let frame = place_of(&MAGIC, 2, &files[&name(1)]);
    for depth in BOTH {
        let mut cut = files.clone();
        bytes(&mut cut, 1).truncate(frame);
        assert_eq!(end(&cut, 0, depth), Err(What::Short));
        let mut wiped = files.clone();
        bytes(&mut wiped, 1)[frame..].fill(0);
        bytes(&mut wiped, 1).resize(LEN, 0);
        assert_eq!(end(&wiped, 0, depth), Err(What::Chain));
    }
}

#[test]
fn a_log_that_ends_with_a_summary_is_sealed_also_before_its_space_was_given_back() {
    let files = only(healthy(), &[1]);
    let at = Some(place_of(b"rcvsummy", 0, &files[&name(1)]) as u64);
    let hash = named_by(&healthy(), 2);
    for space in [false, true] {
        for depth in BOTH {
            let mut files = marked(files.clone(), 3);
            if space {
                bytes(&mut files, 1).resize(LEN, 0);
            }
            assert_eq!(end(&files, 0, depth), Ok(End::Sealed { hash, at }));
            assert_eq!(end(&marked(files, 4), 0, depth), Err(What::Lost { acked: 4 }));
        }
    }
}

#[test]
fn a_last_summary_that_contradicts_the_frames_is_found_where_hashes_are_looked_at() {
    let mut files = only(marked(healthy(), 3), &[1]);
    let file = bytes(&mut files, 1);
    let at = place_of(b"rcvsummy", 0, file);
    let mut summary = Summary::decode(&file[at..], at as u64).unwrap().0;
    summary.records += 1;
    let (written, hash) = summary.encode(at as u64);
    file[at..].copy_from_slice(&written);
    file.resize(LEN, 0);
    assert_eq!(end(&files, 0, Depth::Hashes), Err(What::Summary));
    assert_eq!(end(&files, 0, Depth::Checksums), Ok(End::Sealed { hash, at: Some(at as u64) }));
}

#[test]
fn a_tail_is_torn_beyond_the_mark_and_damage_before_it() {
    let mut files = healthy();
    let Ok(End::Open(whole)) = end(&files, 2, Depth::Hashes) else { panic!("it is open") };
    let at = whole.offset as usize;
    bytes(&mut files, 3)[at..at + 4].copy_from_slice(b"torn");
    let torn = End::Open(OpenEnd { torn_until: Some(whole.offset + 4), ..whole });
    for depth in BOTH {
        for mark in [7, 8] {
            assert_eq!(end(&marked(files.clone(), mark), 2, depth), Ok(torn), "frame 9 was not acknowledged");
        }
        assert_eq!(end(&marked(files.clone(), 9), 2, depth), Err(What::Frame));
    }
}

#[test]
fn the_last_segment_reaches_the_mark_and_is_as_long_as_it_was_made() {
    for depth in BOTH {
        assert_eq!(end(&marked(healthy(), 9), 2, depth), Err(What::Lost { acked: 9 }));
        let mut files = healthy();
        bytes(&mut files, 3).truncate(LEN - 1);
        assert_eq!(end(&files, 2, depth), Err(What::Short));
    }
}

#[test]
fn a_first_frame_after_another_than_the_header_names_is_found_where_hashes_are_looked_at() {
    let mut files = healthy();
    let file = bytes(&mut files, 3);
    let HeaderBytes::Valid(header) = SegmentHeader::decode(file) else { panic!("it is whole") };
    let other = SegmentHeader { prev_frame: Digest::of(b"another"), ..header };
    file[..SEGMENT_HEADER].copy_from_slice(&other.encode());
    assert_eq!(end(&files, 2, Depth::Hashes), Err(What::Chain));
    assert!(matches!(end(&files, 2, Depth::Checksums), Ok(End::Open(_))));
}

#[test]
fn a_summary_belongs_to_its_own_header_and_before_the_next() {
    let hash = Digest::of(b"the summary");
    let head = Digest::of(b"the last frame");
    let header = SegmentHeader {
        number: 2,
        first_frame: 4,
        capacity: LEN as u64,
        prev_frame: Digest::ZERO,
        prev_summary: Digest::ZERO,
        after_damage: false,
    };
    let next = SegmentHeader { number: 3, first_frame: 7, prev_frame: head, prev_summary: hash, ..header };
    let summary = Summary { segment: 2, first_frame: 4, last_frame: 6, head, ..Summary::default() };
    assert!(follows(&header, &summary, hash, Some(&next)) && follows(&header, &summary, hash, None));
    for of_another_segment in [Summary { segment: 3, ..summary.clone() }, Summary { first_frame: 3, ..summary.clone() }]
    {
        assert!(!follows(&header, &of_another_segment, hash, Some(&next)));
        assert!(!follows(&header, &of_another_segment, hash, None));
    }
    for other in [
        SegmentHeader { first_frame: 8, ..next },
        SegmentHeader { prev_frame: Digest::ZERO, ..next },
        SegmentHeader { prev_summary: Digest::ZERO, ..next },
    ] {
        assert!(!follows(&header, &summary, hash, Some(&other)), "{other:?}");
    }
}
