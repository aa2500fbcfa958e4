//! The ledger over many runs: who holds what, what is consumed, what may be written next.

use recover_engine::{Conflict, Consumed, Digest, Entry, Header, Key, Kind, Latch, Ledger, Millis, OpenRun, RunId};

fn run(n: u8) -> RunId {
    RunId::new(Millis(i64::from(n)), [n; 10])
}

/// A record of a run after `prev`, the entry before it in that run.
fn entry(run: RunId, prev: Option<&Entry>, kind: Kind, latch: Latch, key: Key) -> Entry {
    let (seq, prev) = prev.map_or((1, Digest::ZERO), |p| (p.header().seq + 1, p.hash()));
    Entry::encode(Header { run, seq, kind, latch, key, at: Millis(0), prev }, "{}", "{}").unwrap()
}

fn write(ledger: &mut Ledger, batch: &[Entry]) -> Result<(), Conflict> {
    ledger.admit(batch)?;
    for entry in batch {
        ledger.note(entry.header(), entry.hash());
    }
    Ok(())
}

const SUBJECT: Key = Key([1; 16]);
const EFFECT: Key = Key([2; 16]);

fn begun(id: RunId, subject: Key) -> Entry {
    entry(id, None, Kind::Begun, Latch::Claim, subject)
}

#[test]
fn a_subject_has_one_open_run_until_it_is_given_back() {
    let mut ledger = Ledger::default();
    assert_eq!((ledger.open_count(), ledger.open().count()), (0, 0));
    let first = begun(run(1), SUBJECT);
    assert_eq!(write(&mut ledger, std::slice::from_ref(&first)), Ok(()));
    assert_eq!((ledger.holder(SUBJECT), ledger.open().count()), (Some(run(1)), 1));
    assert_eq!(write(&mut ledger, &[begun(run(2), SUBJECT)]), Err(Conflict::Held { by: run(1) }));
    assert_eq!(ledger.run(run(2)), None, "a refused batch left something behind");
    assert_eq!(write(&mut ledger, &[begun(run(3), Key([9; 16]))]), Ok(()), "another subject");
    let closed = entry(run(1), Some(&first), Kind::Closed, Latch::Release, SUBJECT);
    assert_eq!(write(&mut ledger, &[closed]), Ok(()));
    assert_eq!((ledger.holder(SUBJECT), ledger.run(run(1)), ledger.open_count()), (None, None, 1));
    assert_eq!(write(&mut ledger, &[begun(run(2), SUBJECT)]), Ok(()));
    assert_eq!(ledger.holder(SUBJECT), Some(run(2)));
}

#[test]
fn a_run_that_ended_never_begins_again() {
    let mut ledger = Ledger::default();
    let first = begun(run(1), SUBJECT);
    write(&mut ledger, std::slice::from_ref(&first)).unwrap();
    write(&mut ledger, &[entry(run(1), Some(&first), Kind::Closed, Latch::Release, SUBJECT)]).unwrap();
    assert_eq!(write(&mut ledger, &[begun(run(1), SUBJECT)]), Err(Conflict::NotOpen));
    assert_eq!(write(&mut ledger, &[begun(run(1), Key([9; 16]))]), Err(Conflict::NotOpen), "nor about something else");
    assert_eq!((ledger.holder(SUBJECT), ledger.open().count()), (None, 0));
}

#[test]
fn giving_back_what_another_run_holds_takes_nothing_from_it() {
    let mut ledger = Ledger::default();
    write(&mut ledger, &[begun(run(1), SUBJECT)]).unwrap();
    let other = begun(run(2), Key([9; 16]));
    write(&mut ledger, std::slice::from_ref(&other)).unwrap();
    write(&mut ledger, &[entry(run(2), Some(&other), Kind::Closed, Latch::Release, SUBJECT)]).unwrap();
    assert_eq!(ledger.holder(SUBJECT), Some(run(1)));
}

#[test]
fn an_effect_is_consumed_once_for_every_run_and_even_after_its_absence_was_proven() {
    let mut ledger = Ledger::default();
    let (a, b) = (begun(run(1), SUBJECT), begun(run(2), Key([9; 16])));
    write(&mut ledger, std::slice::from_ref(&a)).unwrap();
    write(&mut ledger, std::slice::from_ref(&b)).unwrap();
    let intent = entry(run(1), Some(&a), Kind::Intent, Latch::Consume, EFFECT);
    write(&mut ledger, std::slice::from_ref(&intent)).unwrap();
    assert_eq!(ledger.effect(EFFECT), Some(Consumed { by: run(1), restored: false }));
    let again = entry(run(2), Some(&b), Kind::Intent, Latch::Consume, EFFECT);
    assert_eq!(write(&mut ledger, std::slice::from_ref(&again)), Err(Conflict::Consumed { by: run(1) }));
    let absent = entry(run(1), Some(&intent), Kind::Outcome, Latch::Restore, EFFECT);
    let same = entry(run(1), Some(&absent), Kind::Intent, Latch::Consume, EFFECT);
    write(&mut ledger, &[absent]).unwrap();
    assert_eq!(ledger.effect(EFFECT), Some(Consumed { by: run(1), restored: true }));
    // The ordinal rises with proven absence, and with it the key: this one stays used up.
    assert_eq!(write(&mut ledger, &[same]), Err(Conflict::Consumed { by: run(1) }));
    assert_eq!(write(&mut ledger, &[again]), Err(Conflict::Consumed { by: run(1) }));
    assert_eq!(ledger.effects().collect::<Vec<_>>(), [(EFFECT, Consumed { by: run(1), restored: true })]);
}

#[test]
fn restoring_what_was_never_consumed_consumes_nothing() {
    let mut ledger = Ledger::default();
    let a = begun(run(1), SUBJECT);
    write(&mut ledger, &[entry(run(1), Some(&a), Kind::Outcome, Latch::Restore, EFFECT)]).unwrap_err();
    write(&mut ledger, std::slice::from_ref(&a)).unwrap();
    write(&mut ledger, &[entry(run(1), Some(&a), Kind::Outcome, Latch::Restore, EFFECT)]).unwrap();
    assert_eq!(ledger.effect(EFFECT), None);
}

#[test]
fn records_follow_each_other_by_number_and_by_hash() {
    let mut ledger = Ledger::default();
    let a = begun(run(1), SUBJECT);
    let b = entry(run(1), Some(&a), Kind::Intent, Latch::None, Key::NONE);
    let c = entry(run(1), Some(&b), Kind::Outcome, Latch::None, Key::NONE);
    assert_eq!(ledger.admit(std::slice::from_ref(&b)), Err(Conflict::NotOpen), "before the run began");
    write(&mut ledger, std::slice::from_ref(&a)).unwrap();
    assert_eq!(ledger.admit(std::slice::from_ref(&a)), Err(Conflict::Order { last: 1, got: 1 }), "twice");
    assert_eq!(ledger.admit(std::slice::from_ref(&c)), Err(Conflict::Order { last: 1, got: 3 }), "a gap");
    assert_eq!(ledger.admit(&[c.clone(), b.clone()]), Err(Conflict::Order { last: 1, got: 3 }), "exchanged");
    let stranger = entry(run(1), Some(&begun(run(1), EFFECT)), Kind::Intent, Latch::None, Key::NONE);
    assert_eq!(ledger.admit(&[stranger]), Err(Conflict::Chain), "after another record 1");
    assert_eq!(ledger.admit(&[b.clone(), c.clone()]), Ok(()), "a batch in order");
    assert_eq!(ledger.run(run(1)).map(|r| r.seq), Some(1), "asking changes nothing");
    write(&mut ledger, &[b, c.clone()]).unwrap();
    assert_eq!(ledger.run(run(1)), Some(OpenRun { subject: SUBJECT, seq: 3, head: c.hash() }));
}

#[test]
fn nothing_follows_the_end_of_a_run_not_even_in_its_own_batch() {
    let mut ledger = Ledger::default();
    let a = begun(run(1), SUBJECT);
    let closed = entry(run(1), Some(&a), Kind::Closed, Latch::Release, SUBJECT);
    let after = entry(run(1), Some(&closed), Kind::Intent, Latch::None, Key::NONE);
    write(&mut ledger, std::slice::from_ref(&a)).unwrap();
    assert_eq!(ledger.admit(&[closed.clone(), after.clone()]), Err(Conflict::NotOpen));
    write(&mut ledger, &[closed]).unwrap();
    assert_eq!(ledger.admit(&[after]), Err(Conflict::NotOpen));
}

#[test]
fn a_blocked_subject_is_claimed_by_nobody_until_a_person_answered_for_it() {
    let mut ledger = Ledger::default();
    let block = entry(RunId::JOURNAL, None, Kind::Salvaged, Latch::Block, SUBJECT);
    write(&mut ledger, std::slice::from_ref(&block)).unwrap();
    assert_eq!(ledger.own(), Some((1, block.hash())));
    assert_eq!(ledger.blocked().collect::<Vec<_>>(), [SUBJECT]);
    assert_eq!(ledger.admit(&[begun(run(1), SUBJECT)]), Err(Conflict::Blocked));
    let clear = entry(RunId::JOURNAL, Some(&block), Kind::Cleared, Latch::Clear, SUBJECT);
    write(&mut ledger, &[clear]).unwrap();
    assert_eq!(ledger.admit(&[begun(run(1), SUBJECT)]), Ok(()));
}

#[test]
fn a_run_whose_subject_is_blocked_consumes_nothing() {
    let mut ledger = Ledger::default();
    let a = begun(run(1), SUBJECT);
    let intent = entry(run(1), Some(&a), Kind::Intent, Latch::Consume, EFFECT);
    write(&mut ledger, std::slice::from_ref(&a)).unwrap();
    assert_eq!(ledger.admit(std::slice::from_ref(&intent)), Ok(()));
    write(&mut ledger, &[entry(RunId::JOURNAL, None, Kind::Salvaged, Latch::Block, SUBJECT)]).unwrap();
    assert_eq!(ledger.admit(&[intent]), Err(Conflict::Blocked));
}

#[test]
fn a_block_of_everything_is_answered_for_subject_by_subject_or_as_a_whole() {
    let other = Key([9; 16]);
    let mut ledger = Ledger::default();
    let blocked = |ledger: &Ledger| [SUBJECT, other].map(|subject| ledger.is_blocked(subject));
    let mut last = None;
    let mut own = |ledger: &mut Ledger, kind, latch, key| {
        let next = entry(RunId::JOURNAL, last.as_ref(), kind, latch, key);
        write(ledger, std::slice::from_ref(&next)).unwrap();
        last = Some(next);
    };
    assert_eq!((ledger.all_blocked(), blocked(&ledger)), (false, [false, false]));
    own(&mut ledger, Kind::Salvaged, Latch::Block, Key::NONE);
    assert_eq!((ledger.all_blocked(), blocked(&ledger)), (true, [true, true]));
    own(&mut ledger, Kind::Cleared, Latch::Clear, SUBJECT);
    assert_eq!((ledger.all_blocked(), blocked(&ledger)), (true, [false, true]));
    own(&mut ledger, Kind::Salvaged, Latch::Block, Key::NONE);
    assert_eq!(blocked(&ledger), [true, true], "what was answered before is asked again");
    own(&mut ledger, Kind::Cleared, Latch::Clear, Key::NONE);
    assert_eq!((ledger.all_blocked(), blocked(&ledger)), (false, [false, false]));
}

#[test]
fn what_a_summary_restores_is_what_a_fold_of_the_records_gives() {
    let mut folded = Ledger::default();
    let a = begun(run(1), SUBJECT);
    let b = entry(run(1), Some(&a), Kind::Intent, Latch::Consume, EFFECT);
    let own = entry(RunId::JOURNAL, None, Kind::Salvaged, Latch::Block, Key([7; 16]));
    write(&mut folded, &[a, b]).unwrap();
    write(&mut folded, &[own]).unwrap();
    let mut restored = Ledger::default();
    folded.open().for_each(|(id, open)| restored.restore_open(id, open));
    folded.effects().for_each(|(key, consumed)| restored.restore_effect(key, consumed));
    folded.blocked().for_each(|key| restored.restore_blocked(key));
    let (seq, head) = folded.own().unwrap();
    restored.restore_own(seq, head);
    assert_eq!(format!("{folded:?}"), format!("{restored:?}"));
}
