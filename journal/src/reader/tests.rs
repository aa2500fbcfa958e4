//! What was found of a run, and when it is taken for all there is.

use recover_engine::{Entry, RunId};

use super::{StoredEntry, judge};
use crate::error::{Damage, What};
use crate::testing::entries::{Script, closed_run, id, run, subject};

/// Records that stand in one segment after another, from the second on.
fn stored(entries: impl IntoIterator<Item = Entry>) -> Vec<StoredEntry> {
    let places = (2..).zip(entries);
    places.map(|(at, entry)| StoredEntry { entry, frame: at * 10, segment: at, offset: 500 }).collect()
}

fn damaged(segment: u64, offset: u64) -> Damage {
    Damage { segment, offset, frame: 0, what: What::Frame }
}

fn broken(segment: u64, run: RunId) -> Result<(), Damage> {
    Err(Damage { segment, offset: 500, frame: segment * 10, what: What::RunChain(run) })
}

#[test]
fn a_record_that_is_not_the_next_or_does_not_name_the_one_before_breaks_the_chain() {
    let [first, second, third] = run(1, 3).try_into().unwrap();
    let missing = stored([first.clone(), third]);
    assert_eq!(judge(id(1), &missing, &[], &[]), broken(3, id(1)));
    // The second record, as it would be after another first one.
    let other = Script::new(id(1)).begin(subject(7));
    let elsewhere = Script::after(&other).outcome();
    assert_eq!(elsewhere.header().seq, second.header().seq);
    assert_eq!(judge(id(1), &stored([first.clone(), elsewhere]), &[], &[]), broken(3, id(1)));
    assert_eq!(judge(id(1), &stored([first, second]), &[], &[]), Ok(()));
}

#[test]
fn a_broken_chain_is_the_fault_of_damage_before_it_and_of_none_after_it() {
    let [first, _, third] = run(1, 3).try_into().unwrap();
    let found = stored([first, third]);
    for before in [damaged(2, 900), damaged(3, 128)] {
        assert_eq!(judge(id(1), &found, &[damaged(9, 0), before], &[]), Err(before));
        assert_eq!(judge(id(1), &found, &[], &[before]), Err(before), "a sealed one as well");
    }
    assert_eq!(judge(id(1), &found, &[damaged(4, 0)], &[damaged(5, 0)]), broken(3, id(1)));
}

#[test]
fn an_open_run_may_go_on_in_what_is_damaged_after_it_and_in_nothing_before_it() {
    let found = stored(run(1, 2));
    let (before, after) = ([damaged(1, 900), damaged(3, 128)], [damaged(3, 900), damaged(4, 0)]);
    assert_eq!(judge(id(1), &found, &before, &before), Ok(()));
    for place in after {
        assert_eq!(judge(id(1), &found, &[before[0], place], &[]), Err(place));
        assert_eq!(judge(id(1), &found, &[], &[before[1], place]), Err(place));
        assert_eq!(judge(id(1), &stored(closed_run(1, 2)), &[place], &[place]), Ok(()), "it has ended");
    }
}

#[test]
fn without_the_mark_an_open_run_may_have_gone_on_wherever_the_mark_is_named() {
    let lost = Damage { what: What::Mark, ..damaged(0, 0) };
    assert_eq!(judge(id(1), &stored(run(1, 2)), &[damaged(1, 0), lost], &[]), Err(lost));
    assert_eq!(judge(id(1), &stored(closed_run(1, 2)), &[lost], &[]), Ok(()));
}

#[test]
fn a_run_of_which_nothing_is_found_may_stand_in_any_damaged_place_but_in_no_sealed_one() {
    assert_eq!(judge(id(1), &[], &[damaged(2, 7)], &[]), Err(damaged(2, 7)));
    assert_eq!(judge(id(1), &[], &[], &[damaged(2, 7)]), Ok(()));
}
