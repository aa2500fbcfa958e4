//! Who writes, who is given a turn before that, and what is left of a log that is closed.

use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Wake, Waker};

use super::*;
use crate::testing::contract::block_on;
use crate::testing::entries::{Script, closed_run, run};
use crate::testing::sim::{Fault, SimStorage};

const OPTIONS: Options = Options { segment_len: 1 << 16 };

/// A log in which so many runs are open, whose writer thread has gone to sleep.
fn log_with(open: u64) -> CommitLog {
    let log = CommitLog::open_inline(Arc::new(SimStorage::new()), OPTIONS).unwrap();
    for n in 1..=open {
        log.append_blocking(run(n, 1)).unwrap();
    }
    while !log.shared.queue.is_slept_on() {
        std::thread::yield_now();
    }
    log
}

/// The next record of a run that has begun.
fn next(n: u64) -> Vec<Entry> {
    vec![Script::after(&run(n, 1)[0]).outcome()]
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls a task's append that nobody can write now: true if the task only lets others go first, and is to be polled again.
fn lets_others_go_first(append: std::pin::Pin<&mut impl Future<Output = Result<Receipt, JournalError>>>) -> bool {
    let wakes = Arc::new(Wakes::default());
    let polled = append.poll(&mut Context::from_waker(&Waker::from(Arc::clone(&wakes))));
    assert!(polled.is_pending());
    wakes.0.load(Ordering::Relaxed) == 1
}

#[test]
fn runs_that_begin_together_share_a_frame() {
    let log = log_with(0);
    let pen = log.shared.pen.lock().unwrap();
    let (mut a, mut b) = (pin!(log.append(run(1, 1))), pin!(log.append(run(2, 1))));
    assert!(lets_others_go_first(a.as_mut()));
    assert!(log.shared.queue.is_slept_on(), "nobody is called before they had their turn");
    assert!(!lets_others_go_first(b.as_mut()), "it is known now that there are several");
    assert!(!log.shared.queue.is_slept_on(), "the thread writes for them");
    drop(pen);
    assert_eq!(block_on(a).unwrap().frame, 1);
    assert_eq!(block_on(b).unwrap().frame, 1);
}

#[test]
fn the_only_open_run_writes_by_itself_and_with_another_the_thread_does() {
    let log = log_with(1);
    let pen = log.shared.pen.lock().unwrap();
    let (mut a, mut b) = (pin!(log.append(next(1))), pin!(log.append(run(2, 1))));
    assert!(!lets_others_go_first(a.as_mut()), "it goes on with what it began");
    assert!(log.shared.queue.is_slept_on());
    assert!(!lets_others_go_first(b.as_mut()));
    assert!(!log.shared.queue.is_slept_on(), "there are two by now");
    drop(pen);
    assert_eq!((block_on(a).unwrap().frame, block_on(b).unwrap().frame), (2, 2));
}

#[test]
fn where_several_runs_are_open_the_thread_writes_also_for_one_that_comes_alone() {
    let log = log_with(2);
    let pen = log.shared.pen.lock().unwrap();
    let mut a = pin!(log.append(next(1)));
    assert!(!lets_others_go_first(a.as_mut()));
    assert!(!log.shared.queue.is_slept_on());
    drop(pen);
    assert_eq!(block_on(a).unwrap().frame, 3);
}

#[test]
fn what_a_task_left_that_was_dropped_in_its_turn_is_written_by_the_thread() {
    let log = log_with(0);
    let pen = log.shared.pen.lock().unwrap();
    let mut a = Box::pin(log.append(run(1, 1)));
    assert!(lets_others_go_first(a.as_mut()));
    assert!(log.shared.queue.is_slept_on());
    drop(a);
    assert!(!log.shared.queue.is_slept_on(), "it is called");
    drop(pen);
    let mut log = log;
    log.close();
    assert_eq!(log.head().frame, 1);
}

#[test]
fn a_task_comes_back_unless_it_has_ended_its_run_and_a_thread_that_blocks_never_does() {
    let comes_back = |batch: Vec<Entry>, blocks| Request { batch, promise: promise().0, blocks }.comes_back();
    assert!(comes_back(run(1, 2), false));
    assert!(!comes_back(closed_run(1, 2), false));
    assert!(!comes_back(run(1, 2), true));
    assert!(!comes_back(closed_run(1, 2), true));
}

#[test]
fn a_log_is_not_settled_while_somebody_has_the_pen() {
    let log = log_with(0);
    let pen = log.shared.pen.lock().unwrap();
    let (begins, begun) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            begins.send(()).unwrap();
            log.settled();
        });
        begun.recv().unwrap();
        // Turns enough for one that does not wait to be gone.
        (0..1000).for_each(|_| std::thread::yield_now());
        let still_waits = !waits.is_finished();
        drop(pen);
        waits.join().unwrap();
        assert!(still_waits);
    });
}

#[test]
fn a_log_says_why_it_takes_no_more() {
    let storage = SimStorage::new();
    let log = CommitLog::open_inline(Arc::new(storage.clone()), OPTIONS).unwrap();
    assert_eq!(log.poisoned(), None);
    storage.fail(0, Fault::Errno(5), true);
    let Err(JournalError::Poisoned(why)) = log.append_blocking(run(1, 1)) else { panic!("the disk is gone") };
    assert!(why.contains("os error 5"), "{why}");
    assert_eq!(log.poisoned(), Some(why.as_str()));
}

#[test]
fn a_log_that_was_closed_takes_no_more_and_keeps_no_thread() {
    let storage: Arc<dyn Storage> = Arc::new(SimStorage::new());
    let mut log = CommitLog::open(Arc::clone(&storage), OPTIONS).unwrap();
    log.append_blocking(run(1, 1)).unwrap();
    log.close();
    assert_eq!(log.append_blocking(run(2, 1)), Err(JournalError::Closed));
    assert_eq!(block_on(log.append(run(2, 1))), Err(JournalError::Closed));
    assert_eq!(log.read(run(1, 1)[0].header().run).unwrap(), run(1, 1), "it can still be read");
    drop(log);
    assert_eq!(Arc::strong_count(&storage), 1);
    drop(CommitLog::open(Arc::clone(&storage), OPTIONS).unwrap());
    assert_eq!(Arc::strong_count(&storage), 1, "dropped, it is closed");
}
