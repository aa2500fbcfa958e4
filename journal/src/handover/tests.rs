//! The hand-over with no schedule explored: who is counted, who is woken, and who is waited for.

use std::time::Duration;

use super::*;
use crate::pace::Crowd;

/// A queue whose writer thread sleeps until so many have come.
fn slept_on_until(enough: u64) -> Queue<u8> {
    let queue = Queue::new();
    {
        let mut inbox = lock(&queue.inbox);
        inbox.asleep = true;
        inbox.enough = enough;
    }
    queue
}

#[test]
fn who_came_stays_counted_when_nobody_waits_any_more() {
    let queue = Queue::new();
    assert_eq!(queue.counts(), (0, 0));
    assert_eq!((queue.leave(1), queue.leave(2)), (Ok(()), Ok(())));
    assert_eq!(queue.counts(), (2, 2));
    let mut taken = vec![0];
    queue.take_now(&mut taken);
    assert_eq!(taken, [0, 1, 2], "in the order they came, after what was in hand");
    assert_eq!(queue.counts(), (2, 0));
    assert_eq!(queue.push(3), Ok(()));
    assert_eq!(queue.counts(), (3, 1));
}

#[test]
fn the_last_of_those_whom_the_writer_waits_for_wakes_it_and_nobody_else_does() {
    let queue = slept_on_until(2);
    assert_eq!(queue.leave(1), Ok(()));
    assert!(!queue.nudge(), "another is to come");
    assert_eq!(queue.leave(2), Ok(()));
    assert!(queue.nudge());
    assert!(!queue.nudge(), "it is awake");
}

#[test]
fn what_is_due_wakes_the_writer_whomever_it_waits_for() {
    let queue = slept_on_until(10);
    assert_eq!(queue.add(1, true), Ok(()));
    assert_eq!(queue.leave(2), Ok(()), "one that is not due takes nothing from that");
    assert!(queue.nudge());
    queue.take_now(&mut Vec::new());
    lock(&queue.inbox).asleep = true;
    assert_eq!(queue.leave(3), Ok(()));
    assert!(!queue.nudge(), "what was due is taken");
}

/// Lets the writer thread wait, and gives what it finds when it goes on. `bring` is called once it sleeps.
fn woken(pace: &mut Pace, bring: impl FnOnce(&Queue<u8>), before: &[u8]) -> (bool, Vec<u8>) {
    let queue = Queue::new();
    before.iter().for_each(|item| assert_eq!(queue.leave(*item), Ok(())));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let goes_on = queue.wait(pace);
            let mut taken = Vec::new();
            queue.take_now(&mut taken);
            (goes_on, taken)
        });
        while !queue.is_slept_on() && !writer.is_finished() {
            std::thread::yield_now();
        }
        bring(&queue);
        writer.join().unwrap()
    })
}

#[test]
fn the_writer_sleeps_while_there_is_nothing_to_write() {
    let push = |queue: &Queue<u8>| assert_eq!(queue.push(1), Ok(()));
    assert_eq!(woken(&mut Pace::default(), push, &[]), (true, vec![1]));
    assert_eq!(woken(&mut Pace::default(), Queue::close, &[]), (false, vec![]));
}

#[test]
fn the_writer_lets_those_come_back_whom_it_has_answered() {
    // As if they had been answered in an hour: until then there is time.
    let later = Instant::now() + Duration::from_secs(3600);
    let mut pace = Pace::default();
    pace.answered(Crowd { come: 0, waiting: 0, back: 2 }, Duration::from_secs(1), later);
    let leave = |queue: &Queue<u8>| {
        assert_eq!(queue.leave(2), Ok(()));
        assert!(queue.nudge());
    };
    assert_eq!(woken(&mut pace, leave, &[1]), (true, vec![1, 2]));
}

#[test]
fn who_waits_for_an_answer_that_will_not_come_is_told_so() {
    let (promised, mut ticket) = promise::<u8>();
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(Pin::new(&mut ticket).poll(&mut context), Poll::Pending);
    drop(promised);
    assert_eq!(Pin::new(&mut ticket).poll(&mut context), Poll::Ready(None));
}
