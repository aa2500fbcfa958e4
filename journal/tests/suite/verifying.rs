//! What verification says of a changed log: each place that is wrong, by its own name, and nothing besides.

use recover_journal::testing::sim::SimStorage;
use recover_journal::{Frame, TornTail, What};

use crate::common::forge::{self, Files, found, sealed, seg, set_mark, spoil, summary_at, without_summary};
use crate::common::observed::Observed;
use crate::common::{frames, reader, written};

/// The log of [`written`], and its frames by their numbers: two in each of the segments 1, 3, 4 and 5, one in 2, none in 6.
fn log() -> (Files, impl Fn(u64) -> Frame) {
    let all = frames(&written()).0;
    assert_eq!(all.iter().map(|frame| frame.segment).collect::<Vec<_>>(), [1, 1, 2, 3, 3, 4, 4, 5, 5]);
    (written().files(), move |number| all[number as usize - 1].clone())
}

#[test]
fn a_last_frame_that_was_cut_short_is_a_torn_tail_only_if_it_was_not_acknowledged() {
    let (mut files, frame) = log();
    let torn = frame(9);
    let place = forge::place(&files, &torn);
    files.get_mut(&seg(5)).unwrap()[place.start + 100..].fill(0);
    set_mark(&mut files, 8);
    let report = reader(&SimStorage::of(files.clone())).verify().unwrap();
    let tail = TornTail { segment: 5, offset: torn.offset, frame: 9 };
    assert_eq!((report.damage, report.torn_tail), (vec![], Some(tail)));
    set_mark(&mut files, 9);
    let report = reader(&SimStorage::of(files.clone())).verify().unwrap();
    assert_eq!(report.torn_tail, None);
    assert_eq!(found(&files), [(5, torn.offset, 9, What::Frame)]);
}

#[test]
fn a_frame_that_cannot_be_read_is_one_damage_whatever_stood_in_it() {
    for number in 1..=9 {
        let (mut files, frame) = log();
        let victim = frame(number);
        spoil(&mut files, &victim);
        assert_eq!(found(&files), [(victim.segment, victim.offset, number, What::Frame)]);
    }
}

#[test]
fn a_segment_that_names_another_frame_or_another_summary_before_it_breaks_the_chain() {
    for at in [48, 80] {
        let (mut files, _) = log();
        forge::header(&mut files, 3, |header| header[at] ^= 1);
        let found = found(&files);
        assert!(found.contains(&(3, 0, 4, What::Chain)), "byte {at}: {found:?}");
    }
}

#[test]
fn a_segment_that_begins_with_another_frame_than_comes_next_breaks_the_chain() {
    let (mut files, frame) = log();
    forge::header(&mut files, 3, |header| header[24] = 5);
    assert_eq!(found(&files)[0], (3, 0, 5, What::Chain));
    // Where frames cannot be read some may be missing, but none is there twice.
    let (mut files, _) = log();
    spoil(&mut files, &frame(3));
    forge::header(&mut files, 3, |header| header[24] = 2);
    let found = found(&files);
    assert!(found.contains(&(3, 0, 2, What::Chain)), "{found:?}");
}

/// A sound segment behind one that was gone, or had a bad header, was called damaged too, and a salvage sealed both.
#[test]
fn a_segment_behind_one_that_cannot_be_read_is_not_to_blame() {
    for segment in 1..=4 {
        let (mut files, _) = log();
        files.get_mut(&seg(segment)).unwrap()[20] ^= 1;
        assert_eq!(found(&files), [(segment, 0, 0, What::Header)]);
        let (mut files, _) = log();
        files.remove(&seg(segment)).unwrap();
        assert_eq!(found(&files), [(segment, 0, 0, What::Missing)]);
    }
    // No frame is there twice, whatever is missing between.
    let (mut files, _) = log();
    files.remove(&seg(2)).unwrap();
    forge::header(&mut files, 3, |header| header[24] = 2);
    assert!(found(&files).contains(&(3, 0, 2, What::Chain)));
}

#[test]
fn a_summary_that_is_valid_and_says_something_else_than_its_segment_is_damage() {
    let (mut files, _) = log();
    forge::summary(&mut files, 3, |summary| summary[56] += 1);
    let at = summary_at(&files[&seg(3)]) as u64;
    // The next segment names the summary that was there.
    assert_eq!(found(&files), [(3, at, 6, What::Summary), (4, 0, 6, What::Chain)]);
}

#[test]
fn a_segment_without_its_summary_is_damage_where_another_was_begun_after_it() {
    let (mut files, _) = log();
    let at = summary_at(&files[&seg(3)]) as u64;
    without_summary(&mut files, 3);
    assert_eq!(found(&files), [(3, at, 6, What::Summary)]);
}

/// The log with no summary in segment 3, and segment 4 sealed.
fn end_before_a_sealed_segment() -> (Files, u64) {
    let (mut files, _) = log();
    let at = summary_at(&files[&seg(3)]) as u64;
    without_summary(&mut files, 3);
    let next = files.remove(&seg(4)).unwrap();
    files.insert(sealed(4), next);
    (files, at)
}

#[test]
fn a_segment_has_no_summary_where_it_was_the_end_of_the_log_before_one_that_was_sealed() {
    let (mut files, at) = end_before_a_sealed_segment();
    assert_eq!(found(&files), []);
    // One whose header says nothing can have begun there too.
    files.get_mut(&sealed(4)).unwrap()[20] ^= 1;
    assert_eq!(found(&files), []);
    // The end of a log is as long as it was made.
    files.get_mut(&seg(3)).unwrap().pop();
    assert_eq!(found(&files), [(3, at, 6, What::Short)]);
}

#[test]
fn a_sealed_segment_that_began_with_a_later_frame_says_that_the_one_before_went_on() {
    let (mut files, _) = end_before_a_sealed_segment();
    let last = frames(&written()).0[4].clone();
    let place = forge::place(&files, &last);
    files.get_mut(&seg(3)).unwrap()[place].fill(0);
    assert_eq!(found(&files)[0], (3, last.offset, 5, What::Summary));
}

#[test]
fn of_a_sealed_segment_every_frame_counts_that_is_left_also_where_its_header_says_nothing() {
    for (segment, spoilt, left) in [(4, false, 9), (2, false, 9), (4, true, 8)] {
        let (mut files, frame) = log();
        if spoilt {
            spoil(&mut files, &frame(6));
        }
        let mut bytes = files.remove(&seg(segment)).unwrap();
        bytes[20] ^= 1;
        files.insert(sealed(segment), bytes);
        let report = reader(&SimStorage::of(files)).verify().unwrap();
        assert_eq!((report.damage, report.frames, report.sealed), (vec![], left, vec![segment]));
    }
}

#[test]
fn the_last_segment_is_as_long_as_it_was_made() {
    let (mut files, _) = log();
    let bytes = files.get_mut(&seg(5)).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    bytes.pop();
    assert_eq!(found(&files), [(5, end, 10, What::Short)]);
}

#[test]
fn a_prepared_segment_holds_nothing() {
    let (mut files, _) = log();
    files.get_mut(&seg(6)).unwrap()[700] = 1;
    assert_eq!(found(&files), [(6, 0, 10, What::Stray)]);
}

#[test]
fn damage_is_believed_when_it_is_seen_twice_and_looked_at_again_while_it_changes() {
    let (whole, frame) = log();
    let look = |spoilt: Option<u64>| {
        let mut files = whole.clone();
        spoilt.into_iter().for_each(|number| spoil(&mut files, &frame(number)));
        SimStorage::of(files)
    };
    let verified = |looks: [Option<u64>; 3]| {
        let damage = Observed::looks(looks.map(look)).reader().verify().unwrap().damage;
        damage.into_iter().map(|damage| damage.frame).collect::<Vec<_>>()
    };
    assert_eq!(verified([Some(4), None, Some(4)]), Vec::<u64>::new(), "it is not there any more");
    assert_eq!(verified([Some(4), Some(6), None]), Vec::<u64>::new(), "what changes can be a writer's work");
    assert_eq!(verified([Some(4), Some(4), None]), [4]);
}

#[test]
fn verification_reads_each_segment_once() {
    let files = written().files();
    let observed = Observed::looks([SimStorage::of(files.clone())]);
    assert_eq!(observed.reader().verify().unwrap().damage, []);
    for segment in 1..=6 {
        let (asked, size) = (observed.asked(&seg(segment)), files[&seg(segment)].len() as u64);
        assert!((size..2 * size).contains(&asked), "{asked} bytes of segment {segment} were asked for, of {size}");
    }
}
