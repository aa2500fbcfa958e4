//! Whoever follows the log gets each frame once, in order, however long it is and wherever it stands.

use std::sync::Arc;

use recover_engine::{Key, Kind, Latch};
use recover_journal::testing::entries::{Script, id, subject};
use recover_journal::testing::sim::SimStorage;
use recover_journal::{CommitLog, Damage, Frame, Options, ReadError, What};

use crate::common::forge::{self, Files, sealed, seg, set_mark, spoil};
use crate::common::{entries, frames, reader, written};

/// What whoever follows a log gets, by the numbers of the frames, and what stops him.
fn followed(files: Files) -> (Vec<u64>, Option<Damage>) {
    let (read, error) = frames(&SimStorage::of(files));
    let damage = error.map(|error| match error {
        ReadError::Damage(damage) => damage,
        ReadError::Failed(failed) => panic!("{failed:?}"),
    });
    (read.iter().map(|frame| frame.number).collect(), damage)
}

/// A log of records with payloads of these lengths, each in a frame of its own.
fn log_of(lengths: &[usize]) -> SimStorage {
    let storage = SimStorage::new();
    let log = CommitLog::open_inline(Arc::new(storage.clone()), Options { segment_len: 1 << 20 }).unwrap();
    let mut script = Script::new(id(1));
    log.append_blocking(vec![script.begin(subject(1))]).unwrap();
    for len in lengths {
        let entry = script.next(Kind::Outcome, Latch::None, Key::NONE, &"x".repeat(*len));
        log.append_blocking(vec![entry]).unwrap();
    }
    storage
}

#[test]
fn nothing_comes_after_the_last_frame_that_is_asked_for_and_nothing_is_left_out() {
    let storage = written();
    let all = frames(&storage).0;
    for last in 0..=9 {
        let mut follower = reader(&storage).follow(0);
        let mut read = Vec::new();
        while follower.next_frame() <= last {
            let more = follower.poll(last).unwrap();
            assert!(!more.is_empty(), "up to {last} there are more than {}", read.len());
            read.extend(more);
        }
        assert_eq!(read, all[..last as usize]);
        assert_eq!(follower.poll(last).unwrap(), [], "up to {last} it has all");
        assert_eq!(follower.next_frame(), last + 1);
        while follower.next_frame() <= 9 {
            read.extend(follower.poll(u64::MAX).unwrap());
        }
        assert_eq!(read, all);
        assert_eq!(follower.poll(u64::MAX).unwrap(), []);
    }
}

#[test]
fn a_long_segment_is_given_part_by_part_and_the_next_one_after_it() {
    let storage = log_of(&[100 << 10; 14]);
    let mut follower = reader(&storage).follow(0);
    let mut read: Vec<Frame> = Vec::new();
    while read.len() < 15 {
        let more = follower.poll(u64::MAX).unwrap();
        let bytes: usize = more.iter().flat_map(|frame| &frame.entries).map(|entry| entry.bytes().len()).sum();
        assert!((1..400 << 10).contains(&bytes), "{bytes} bytes at once");
        read.extend(more);
    }
    assert_eq!(read.iter().map(|frame| frame.number).collect::<Vec<_>>(), (1..=15).collect::<Vec<_>>());
    assert!(read[14].segment > read[0].segment);
}

#[test]
fn it_can_be_followed_from_any_frame_of_a_long_segment_on() {
    let storage = log_of(&[100 << 10; 14]);
    for after in 0..15 {
        let first = reader(&storage).follow(after).poll(u64::MAX).unwrap().remove(0);
        assert_eq!(first.number, after + 1);
    }
}

#[test]
fn a_frame_that_is_longer_than_what_is_read_at_once_is_given_whole() {
    let storage = log_of(&[10, 700 << 10, 10]);
    let read = entries(frames(&storage).0);
    assert_eq!(read.iter().map(|entries| entries[0].payload().len()).skip(1).collect::<Vec<_>>(), [10, 700 << 10, 10]);
}

#[test]
fn a_frame_that_cannot_be_read_stops_it_if_it_was_acknowledged_and_is_not_yet_there_if_not() {
    for (lengths, victim) in [([10, 10].as_slice(), 2), (&[10, 10], 3), (&[10, 700 << 10, 10], 3), (&[700 << 10], 2)] {
        let storage = log_of(lengths);
        let all = frames(&storage).0;
        let frame = &all[victim as usize - 1];
        let mut files = storage.files();
        spoil(&mut files, frame);
        let before: Vec<u64> = (1..victim).collect();
        let damage = Damage { segment: 1, offset: frame.offset, frame: victim, what: What::Frame };
        assert_eq!(followed(files.clone()), (before.clone(), Some(damage)));
        set_mark(&mut files, victim - 1);
        assert_eq!(followed(files), (before, None));
    }
}

#[test]
fn acknowledged_frames_that_are_gone_stop_it() {
    let mut files = written().files();
    let last = frames(&written()).0.pop().unwrap();
    let place = forge::place(&files, &last);
    files.get_mut(&seg(5)).unwrap()[place].fill(0);
    let damage = Damage { segment: 5, offset: last.offset, frame: 9, what: What::Lost { acked: 9 } };
    assert_eq!(followed(files), ((1..=8).collect(), Some(damage)));
}

#[test]
fn a_frame_that_is_not_the_next_stops_it() {
    let mut files = written().files();
    let all = frames(&written()).0;
    let gone = forge::place(&files, &all[7]);
    let bytes = files.get_mut(&seg(5)).unwrap();
    let len = bytes.len();
    bytes.drain(gone.clone());
    bytes.resize(len, 0);
    let damage = Damage { segment: 5, offset: gone.start as u64, frame: 9, what: What::Chain };
    assert_eq!(followed(files), ((1..=7).collect(), Some(damage)));
}

#[test]
fn of_a_sealed_segment_all_is_given_that_is_left() {
    let all = frames(&written()).0;
    for victim in 1..=7 {
        let frame = &all[victim as usize - 1];
        let mut files = written().files();
        spoil(&mut files, frame);
        let bytes = files.remove(&seg(frame.segment)).unwrap();
        files.insert(sealed(frame.segment), bytes);
        assert_eq!(followed(files), ((1..=9).filter(|number| *number != victim).collect(), None));
    }
}
