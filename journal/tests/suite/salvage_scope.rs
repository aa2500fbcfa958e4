//! What a salvage says of the damage, whom it blocks for it, and what it leaves alone.

use recover_engine::{Latch, RunId};
use recover_journal::testing::entries::subject;
use recover_journal::testing::sim::{Fault, SimStorage};
use recover_journal::{OpenError, Salvage, What};
use serde_json::{Value, json};

use crate::common::forge::{self, Files, found, seal, sealed, seg, set_mark, spoil};
use crate::common::{frames, mend, open, written};

/// A salvage that succeeds: what it did, and what it left.
fn mended(files: Files) -> (Salvage, SimStorage) {
    let storage = SimStorage::of(files);
    let done = mend(&storage).unwrap();
    assert_eq!(found(&storage.files()), []);
    drop(open(&storage).unwrap());
    (done, storage)
}

/// The log of [`written`] with these frames damaged.
fn spoilt(victims: &[usize]) -> Files {
    let all = frames(&written()).0;
    let mut files = written().files();
    victims.iter().for_each(|number| spoil(&mut files, &all[number - 1]));
    files
}

/// What the last salvage said in its records, the blocks left out.
fn said(storage: &SimStorage) -> Vec<Value> {
    // The journal's own run may have lost records of its own.
    let entries = frames(storage).0.into_iter().flat_map(|frame| frame.entries);
    let own = entries.filter(|entry| entry.header().run == RunId::JOURNAL && entry.header().latch == Latch::None);
    own.map(|entry| serde_json::from_str(entry.payload()).unwrap()).collect()
}

#[test]
fn the_record_of_each_segment_says_what_was_wrong_with_it_and_what_is_lost() {
    let (done, storage) = mended(spoilt(&[4, 6, 7]));
    assert_eq!(done.sealed, [3, 4]);
    let wrong = |segment: u64, offset: u64, frame: u64| {
        format!("segment {segment}, offset {offset}, frame {frame}: the frame does not match its checksum")
    };
    let said: Vec<_> = said(&storage).iter().map(|said| said["damage"].clone()).collect();
    assert_eq!(
        said,
        [json!([wrong(3, 128, 4)]), json!([wrong(4, 128, 6)])],
        "nothing that is valid follows in segment 4"
    );
    let (_, storage) = mended(spoilt(&[1, 4]));
    let lost: Vec<_> =
        self::said(&storage).iter().map(|said| (said["segment"].clone(), said["lost_frames"].clone())).collect();
    assert_eq!(lost, [(json!(1), json!([[1, 1]])), (json!(3), json!([[4, 4]]))]);
}

#[test]
fn a_log_that_was_salvaged_can_be_followed_to_its_end() {
    let last = |storage: &SimStorage| match frames(storage) {
        (read, None) => read.last().unwrap().number,
        (read, Some(error)) => panic!("after frame {}: {error:?}", read.len()),
    };
    for victim in 1..=9 {
        let (_, storage) = mended(spoilt(&[victim]));
        assert_eq!(last(&storage), open(&storage).unwrap().head().frame, "frame {victim}");
    }
    for gone in 1..=5 {
        let mut files = written().files();
        files.remove(&seg(gone));
        let (_, storage) = mended(files);
        assert_eq!(last(&storage), open(&storage).unwrap().head().frame, "segment {gone}");
    }
}

#[test]
fn a_lost_mark_is_named_where_no_segment_is_damaged() {
    let mut files = written().files();
    files.remove("log/acked");
    let (done, storage) = mended(files);
    assert_eq!((done.sealed, done.all_blocked), (vec![], true));
    let named = json!(["segment 0, offset 0, frame 0: the acknowledgement mark is not valid"]);
    assert_eq!(said(&storage)[0]["damage"], named);
}

#[test]
fn a_salvage_that_is_interrupted_has_named_the_last_frame_in_the_mark_before_anything_else() {
    let mut files = written().files();
    files.remove("log/acked");
    let storage = SimStorage::of(files);
    // The mark is made, written, synced, renamed, and its name synced.
    storage.fail(5, Fault::Errno(5), true);
    mend(&storage).unwrap_err();
    storage.heal();
    assert_eq!(storage.files()["log/acked"], 9_u64.to_le_bytes());
}

/// The first number that no mark reaches on its own: FORMAT.md.
const MARK_END: u64 = 1 << 47;

#[test]
fn a_last_frame_out_of_a_marks_reach_is_not_written_into_one() {
    let first = &frames(&written()).0[0];
    let mut bytes = written().files()[&seg(1)].clone();
    let place = forge::place(&written().files(), first);
    bytes.truncate(place.end);
    bytes[place.start + 24..place.start + 32].copy_from_slice(&MARK_END.to_le_bytes());
    seal(&mut bytes[place], 16);
    // Nothing vouches for the number: its segment's header is not valid.
    bytes[20] ^= 1;
    let (done, storage) = mended(Files::from([(sealed(1), bytes)]));
    assert!(done.all_blocked, "what was acknowledged is not known");
    assert!(open(&storage).unwrap().head().frame > MARK_END, "its number is not given again");
}

#[test]
fn whatever_has_two_files_is_not_salvaged() {
    let mut files = spoilt(&[4]);
    files.insert(sealed(3), b"another".to_vec());
    let storage = SimStorage::of(files.clone());
    let error = mend(&storage).unwrap_err();
    assert!(matches!(&error, OpenError::Failed(failed) if failed.doing.contains("segment 3")), "{error:?}");
    assert_eq!(storage.files(), files, "nothing was changed");
}

#[test]
fn a_file_that_is_no_segment_keeps_its_name() {
    let mut files = written().files();
    files.remove("log/acked");
    files.insert(seg(0), b"somebody's".to_vec());
    let (_, storage) = mended(files);
    assert_eq!(storage.files()[&seg(0)], b"somebody's");
}

#[test]
fn a_sealed_segment_that_was_altered_is_sealed_as_it_is_now() {
    let (_, storage) = mended(spoilt(&[4]));
    let mut files = storage.files();
    files.get_mut(&sealed(3)).unwrap()[200] ^= 1;
    assert_eq!(found(&files), [(3, 0, 0, What::Altered)]);
    let altered = files[&sealed(3)].clone();
    let (done, storage) = mended(files);
    assert_eq!(done.sealed, [3]);
    assert_eq!(storage.files()[&sealed(3)], altered, "its bytes are kept");
}

#[test]
fn the_last_frame_of_a_segment_is_like_any_other_where_its_summary_knows_of_it() {
    let (done, _) = mended(spoilt(&[7]));
    assert_eq!((done.sealed, done.blocked, done.all_blocked), (vec![4], vec![subject(1)], false));
}

#[test]
fn frames_after_the_last_that_a_summary_knows_of_may_be_anybodys() {
    let mut files = spoilt(&[7]);
    // Nothing is left of what came after segment 4, and the mark says that something did.
    files.retain(|name, _| ![seg(5), seg(6)].contains(name));
    set_mark(&mut files, 9);
    let (done, storage) = mended(files);
    assert!(done.all_blocked);
    assert_eq!(said(&storage)[0]["lost_frames"], json!([[7, 9]]));
}

#[test]
fn the_summary_of_another_segment_says_nothing_of_what_is_lost() {
    let mut files = written().files();
    let other = files[&seg(4)].clone();
    files.insert(seg(3), other);
    let (done, storage) = mended(files);
    assert_eq!(done.sealed[0], 3);
    assert_eq!(said(&storage)[0]["lost_frames"], json!([[4, 5]]));
    assert!(done.all_blocked, "nobody knows who was in them");
}

#[test]
fn a_segment_without_a_header_begins_after_the_last_frame_of_the_one_before_it() {
    for (victims, lost) in [([].as_slice(), json!([])), (&[5], json!([[5, 5]]))] {
        let mut files = spoilt(victims);
        files.get_mut(&seg(3)).unwrap()[20] ^= 1;
        let (done, storage) = mended(files);
        assert_eq!((done.sealed[0], done.all_blocked), (3, false));
        assert_eq!(said(&storage)[0]["lost_frames"], lost);
    }
}
