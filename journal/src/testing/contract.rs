//! What every journal must do, whatever it is made of.

#![expect(clippy::expect_used, clippy::panic, reason = "a test suite that other crates run")]

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use recover_engine::{BadEntry, Conflict, Entry, Journal, JournalError, Key, Kind, Latch, Receipt, RunId};

use super::entries::{Script, effect, id, run, subject};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn append<J: Journal>(journal: &J, batch: Vec<Entry>) -> Result<Receipt, JournalError> {
    block_on(journal.append(batch))
}

fn refused<J: Journal>(journal: &J, batch: Vec<Entry>) -> Conflict {
    match append(journal, batch) {
        Err(JournalError::Conflict(conflict)) => conflict,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

/// Runs the whole suite; `fresh` makes an empty journal each time.
///
/// # Panics
/// If the journal breaks the contract.
pub fn run_all<J: Journal>(mut fresh: impl FnMut() -> J) {
    what_is_appended_is_read(&fresh());
    frames_are_numbered_and_chained(&fresh());
    one_open_run_per_subject(&fresh());
    an_effect_is_consumed_once(&fresh());
    a_record_must_follow_its_run(&fresh());
    a_closed_run_is_closed(&fresh());
    a_refused_batch_leaves_nothing(&fresh());
    what_is_no_batch_is_refused(&fresh());
    a_blocked_subject_waits_for_a_person(&fresh());
    a_dropped_append_harms_nobody(&fresh());
}

fn what_is_appended_is_read<J: Journal>(journal: &J) {
    let entries = run(1, 4);
    append(journal, entries[..1].to_vec()).expect("appends");
    append(journal, run(2, 2)).expect("appends");
    append(journal, entries[1..].to_vec()).expect("appends");
    assert_eq!(journal.read(id(1)).expect("reads"), entries);
    assert_eq!(journal.read(id(2)).expect("reads"), run(2, 2));
    assert_eq!(journal.read(id(3)).expect("reads"), []);
    let open = journal.open_runs();
    assert_eq!(open.iter().map(|(id, run)| (*id, run.seq)).collect::<Vec<_>>(), [(id(1), 4), (id(2), 2)]);
    assert_eq!(open[0].1.head, entries[3].hash());
}

fn frames_are_numbered_and_chained<J: Journal>(journal: &J) {
    let first = append(journal, run(1, 1)).expect("appends");
    let second = append(journal, run(2, 1)).expect("appends");
    assert_eq!((first.frame, second.frame), (1, 2));
    assert_ne!(first.head, second.head);
}

fn one_open_run_per_subject<J: Journal>(journal: &J) {
    append(journal, run(1, 1)).expect("appends");
    assert_eq!(journal.holder(subject(1)), Some(id(1)));
    let second = Script::new(id(2)).begin(subject(1));
    assert_eq!(refused(journal, vec![second.clone()]), Conflict::Held { by: id(1) });
    let close = Script::after(&run(1, 1)[0]).close(subject(1));
    append(journal, vec![close]).expect("appends");
    assert_eq!(journal.holder(subject(1)), None);
    append(journal, vec![second]).expect("the subject is free again");
    assert_eq!(journal.holder(subject(1)), Some(id(2)));
}

fn an_effect_is_consumed_once<J: Journal>(journal: &J) {
    append(journal, run(1, 2)).expect("appends");
    let consumed = journal.effect(effect(1, 1)).expect("is known");
    assert_eq!((consumed.by, consumed.restored), (id(1), false));
    let mut other = Script::new(id(2));
    append(journal, vec![other.begin(subject(2))]).expect("appends");
    assert_eq!(refused(journal, vec![other.clone().intend(effect(1, 1))]), Conflict::Consumed { by: id(1) });
    let restore = Script::after(&run(1, 2)[1]).next(Kind::Outcome, Latch::Restore, effect(1, 1), "{}");
    append(journal, vec![restore]).expect("appends");
    assert!(journal.effect(effect(1, 1)).expect("is known").restored);
    let twice = vec![other.intend(effect(2, 0)), other.intend(effect(2, 0))];
    assert_eq!(refused(journal, twice), Conflict::Consumed { by: id(2) });
}

fn a_record_must_follow_its_run<J: Journal>(journal: &J) {
    let entries = run(1, 3);
    append(journal, entries[..1].to_vec()).expect("appends");
    assert_eq!(refused(journal, entries[2..].to_vec()), Conflict::Order { last: 1, got: 3 });
    assert_eq!(refused(journal, entries[..1].to_vec()), Conflict::Order { last: 1, got: 1 });
    let other = Script::after(&run(2, 1)[0]).outcome();
    assert_eq!(refused(journal, vec![other]), Conflict::NotOpen);
}

fn a_closed_run_is_closed<J: Journal>(journal: &J) {
    let mut script = Script::new(id(1));
    let entries = vec![script.begin(subject(1)), script.close(subject(1))];
    append(journal, entries).expect("appends");
    assert_eq!(journal.open_runs(), []);
    assert_eq!(refused(journal, vec![script.outcome()]), Conflict::NotOpen);
}

fn a_refused_batch_leaves_nothing<J: Journal>(journal: &J) {
    append(journal, run(1, 2)).expect("appends");
    let mut script = Script::new(id(2));
    let batch = vec![script.begin(subject(2)), script.intend(effect(1, 1))];
    assert_eq!(refused(journal, batch), Conflict::Consumed { by: id(1) });
    assert_eq!(journal.read(id(2)).expect("reads"), []);
    assert_eq!(journal.holder(subject(2)), None);
    assert_eq!(append(journal, run(3, 1)).expect("goes on").frame, 2);
}

fn what_is_no_batch_is_refused<J: Journal>(journal: &J) {
    assert_eq!(append(journal, Vec::new()), Err(JournalError::Entry(BadEntry::Short)));
    let mixed = vec![run(1, 1).remove(0), run(2, 1).remove(0)];
    assert_eq!(append(journal, mixed), Err(JournalError::Conflict(Conflict::Chain)));
}

fn a_blocked_subject_waits_for_a_person<J: Journal>(journal: &J) {
    let mut own = Script::new(RunId::JOURNAL);
    append(journal, vec![own.next(Kind::Salvaged, Latch::Block, subject(1), "{}")]).expect("appends");
    assert_eq!(refused(journal, run(1, 1)), Conflict::Blocked);
    append(journal, run(2, 1)).expect("another subject is free");
    append(journal, vec![own.next(Kind::Cleared, Latch::Clear, subject(1), "{}")]).expect("appends");
    append(journal, run(1, 1)).expect("the subject is free");
    append(journal, vec![own.next(Kind::Salvaged, Latch::Block, Key::NONE, "{}")]).expect("appends");
    assert_eq!(refused(journal, run(3, 1)), Conflict::Blocked);
    let intent = Script::after(&run(2, 1)[0]).intend(effect(2, 1));
    assert_eq!(refused(journal, vec![intent.clone()]), Conflict::Blocked);
    append(journal, vec![own.next(Kind::Cleared, Latch::Clear, subject(2), "{}")]).expect("appends");
    append(journal, vec![intent]).expect("a person answered for this one");
    assert_eq!(refused(journal, run(3, 1)), Conflict::Blocked);
    append(journal, vec![own.next(Kind::Cleared, Latch::Clear, Key::NONE, "{}")]).expect("appends");
    append(journal, run(3, 1)).expect("every subject is free");
}

fn a_dropped_append_harms_nobody<J: Journal>(journal: &J) {
    {
        let mut future = pin!(journal.append(run(1, 1)));
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(!matches!(polled, Poll::Ready(Err(_))), "{polled:?}");
    }
    append(journal, run(2, 1)).expect("goes on");
    // It was handed over before the second, so it is written before or with it.
    assert_eq!(journal.read(id(1)).expect("reads"), run(1, 1));
}
