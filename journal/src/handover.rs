//! How appenders hand their batches to the one writer thread, and how each learns what came of it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::pace::Pace;
use crate::sync::{Arc, Condvar, Mutex, lock, wait, wait_for};

/// What waits for the writer. Many push, one takes.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    inbox: Mutex<Inbox<T>>,
    ready: Condvar,
}

#[derive(Debug)]
struct Inbox<T> {
    items: Vec<T>,
    /// How many items ever came.
    come: u64,
    closed: bool,
    asleep: bool,
    /// The writer thread sleeps until so many have come.
    enough: u64,
    /// There is an item that nothing else is waited for.
    due: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        let inbox = Inbox { items: Vec::new(), come: 0, closed: false, asleep: false, enough: 0, due: false };
        Self { inbox: Mutex::new(inbox), ready: Condvar::new() }
    }

    /// Adds an item and wakes the writer thread, whomever it waits for; gives it back if the queue is closed.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        self.add(item, true)?;
        self.nudge();
        Ok(())
    }

    /// Adds an item for whoever writes next, and wakes nobody: the caller then calls [`lead`] or [`Queue::nudge`].
    pub(crate) fn leave(&self, item: T) -> Result<(), T> {
        self.add(item, false)
    }

    fn add(&self, item: T, due: bool) -> Result<(), T> {
        let mut inbox = lock(&self.inbox);
        if inbox.closed {
            return Err(item);
        }
        inbox.items.push(item);
        inbox.come += 1;
        inbox.due |= due;
        Ok(())
    }

    /// Wakes the writer thread if it sleeps, unless it gives others time to come; and whether it did.
    pub(crate) fn nudge(&self) -> bool {
        let mut inbox = lock(&self.inbox);
        let wake = inbox.asleep && (inbox.due || inbox.come >= inbox.enough);
        inbox.asleep &= !wake;
        drop(inbox);
        if wake {
            self.ready.notify_one();
        }
        wake
    }

    /// How many ever came, and how many of them wait.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let inbox = lock(&self.inbox);
        (inbox.come, inbox.items.len() as u64)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        lock(&self.inbox).items.len()
    }

    /// Waits until there is something to take, and for those whom `pace` waits for. False when closed and empty.
    pub(crate) fn wait(&self, pace: &mut Pace) -> bool {
        let mut inbox = lock(&self.inbox);
        loop {
            if inbox.closed {
                return !inbox.items.is_empty();
            }
            let left = pace.left(inbox.come, Instant::now());
            if !inbox.items.is_empty() && (inbox.due || left.is_none()) {
                return true;
            }
            inbox.asleep = true;
            inbox.enough = left.map_or(0, |(enough, _)| enough);
            inbox = match left {
                Some((_, time)) => wait_for(&self.ready, inbox, time),
                None => wait(&self.ready, inbox),
            };
            inbox.asleep = false;
        }
    }

    /// Whether the writer thread sleeps.
    #[cfg(test)]
    #[cfg(not(loom))]
    pub(crate) fn is_slept_on(&self) -> bool {
        lock(&self.inbox).asleep
    }

    /// Moves everything that waits to the end of `into`.
    pub(crate) fn take_now(&self, into: &mut Vec<T>) {
        let mut inbox = lock(&self.inbox);
        into.append(&mut inbox.items);
        inbox.due = false;
    }

    /// Takes no more. What is in it can still be taken.
    pub(crate) fn close(&self) {
        let mut inbox = lock(&self.inbox);
        inbox.closed = true;
        inbox.asleep = false;
        drop(inbox);
        self.ready.notify_one();
    }
}

/// Lets the caller write what waits, unless somebody is at it: who gives the pen back looks again, so nothing that was left
/// before the caller found the pen taken stays behind. `write` empties the queue.
pub(crate) fn lead<T, P>(queue: &Queue<T>, pen: &Mutex<P>, mut write: impl FnMut(&mut P)) {
    while queue.len() > 0 {
        let Ok(mut held) = pen.try_lock() else { return };
        write(&mut held);
    }
}

/// The writer's end of one answer. Dropped unanswered, it tells the other end so.
#[derive(Debug)]
pub(crate) struct Promise<R>(Option<Arc<Slot<R>>>);

/// The appender's end: a future, or something to block on. It may be dropped at any time.
#[derive(Debug)]
pub(crate) struct Ticket<R>(Arc<Slot<R>>);

#[derive(Debug)]
struct Slot<R> {
    state: Mutex<State<R>>,
    done: Condvar,
}

#[derive(Debug)]
enum State<R> {
    /// No answer yet, and nobody to wake.
    Open,
    /// A task waits.
    Polled(Waker),
    /// A thread waits.
    Blocked,
    /// The answer; none if there will be none.
    Done(Option<R>),
}

/// The two ends of one answer.
pub(crate) fn promise<R>() -> (Promise<R>, Ticket<R>) {
    let slot = Arc::new(Slot { state: Mutex::new(State::Open), done: Condvar::new() });
    (Promise(Some(Arc::clone(&slot))), Ticket(slot))
}

impl<R> Slot<R> {
    fn end(&self, answer: Option<R>) {
        let before = std::mem::replace(&mut *lock(&self.state), State::Done(answer));
        match before {
            State::Polled(waker) => waker.wake(),
            State::Blocked => self.done.notify_one(),
            State::Open | State::Done(_) => {}
        }
    }
}

impl<R> Promise<R> {
    /// Gives the answer.
    pub(crate) fn keep(mut self, answer: R) {
        if let Some(slot) = self.0.take() {
            slot.end(Some(answer));
        }
    }
}

impl<R> Drop for Promise<R> {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.end(None);
        }
    }
}

impl<R> Ticket<R> {
    /// Blocks until there is an answer; none if the promise was dropped.
    pub(crate) fn wait(self) -> Option<R> {
        let mut state = lock(&self.0.state);
        loop {
            if let State::Done(answer) = &mut *state {
                return answer.take();
            }
            *state = State::Blocked;
            state = wait(&self.0.done, state);
        }
    }
}

impl<R> Future for Ticket<R> {
    type Output = Option<R>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<R>> {
        let mut state = lock(&self.0.state);
        match &mut *state {
            State::Done(answer) => Poll::Ready(answer.take()),
            State::Polled(waker) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            State::Open | State::Blocked => {
                *state = State::Polled(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests {
    //! Every schedule of the hand-over. Run with `RUSTFLAGS="--cfg loom" cargo test --release --lib loom_`.

    use std::time::Duration;

    use super::*;
    use crate::pace::Crowd;
    use loom::future::block_on;
    use loom::thread;

    /// Every schedule with up to three preemptions: more take too long.
    fn explore(model: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }

    fn writer(queue: &Queue<(u8, Promise<u8>)>) -> Vec<u8> {
        let (mut all, mut seen) = (Vec::new(), Vec::new());
        while queue.wait(&mut Pace::default()) {
            queue.take_now(&mut all);
            for (item, promise) in all.drain(..) {
                seen.push(item);
                promise.keep(item + 100);
            }
        }
        seen
    }

    #[test]
    fn loom_no_wake_up_is_lost_and_nothing_is_taken_twice() {
        explore(|| {
            let queue = Arc::new(Queue::new());
            let appenders: Vec<_> = (0..2)
                .map(|item| {
                    let queue = Arc::clone(&queue);
                    thread::spawn(move || {
                        let (promise, ticket) = promise();
                        assert!(queue.push((item, promise)).is_ok());
                        assert_eq!(ticket.wait(), Some(item + 100));
                    })
                })
                .collect();
            let at_work = Arc::clone(&queue);
            let writer = thread::spawn(move || writer(&at_work));
            for appender in appenders {
                appender.join().unwrap();
            }
            queue.close();
            let mut seen = writer.join().unwrap();
            seen.sort_unstable();
            assert_eq!(seen, [0, 1]);
        });
    }

    #[test]
    fn loom_who_was_answered_is_waited_for_and_the_last_wakes_the_writer() {
        explore(|| {
            let queue = Arc::new(Queue::new());
            let appenders: Vec<_> = (0..2)
                .map(|item| {
                    let queue = Arc::clone(&queue);
                    thread::spawn(move || {
                        let (promise, ticket) = promise();
                        assert!(queue.leave((item, promise)).is_ok());
                        queue.nudge();
                        assert_eq!(ticket.wait(), Some(item + 100));
                    })
                })
                .collect();
            // As after a frame that both were answered in.
            let mut pace = Pace::default();
            pace.answered(Crowd { come: 0, waiting: 0, back: 2 }, Duration::MAX / 2, Instant::now());
            assert!(queue.wait(&mut pace));
            let mut all = Vec::new();
            queue.take_now(&mut all);
            assert_eq!(all.len(), 2, "one frame for both");
            all.into_iter().for_each(|(item, promise)| promise.keep(item + 100));
            for appender in appenders {
                appender.join().unwrap();
            }
        });
    }

    #[test]
    fn loom_a_thread_that_blocks_is_not_made_to_wait_for_others() {
        explore(|| {
            let queue = Arc::new(Queue::new());
            let at_work = Arc::clone(&queue);
            let appender = thread::spawn(move || {
                let (promise, ticket) = promise();
                assert!(at_work.push((1, promise)).is_ok());
                assert_eq!(ticket.wait(), Some(101));
            });
            let mut pace = Pace::default();
            pace.answered(Crowd { come: 0, waiting: 0, back: 2 }, Duration::MAX / 2, Instant::now());
            assert!(queue.wait(&mut pace));
            let mut all = Vec::new();
            queue.take_now(&mut all);
            all.into_iter().for_each(|(item, promise)| promise.keep(item + 100));
            appender.join().unwrap();
        });
    }

    #[test]
    fn loom_what_is_left_while_another_has_the_pen_is_written_by_one_of_them() {
        explore(|| {
            let shared = Arc::new((Queue::new(), Mutex::new(Vec::new())));
            let appenders: Vec<_> = (0..2)
                .map(|item| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        let (queue, pen) = &*shared;
                        let (promise, ticket) = promise();
                        assert!(queue.leave((item, promise)).is_ok());
                        lead(queue, pen, |seen: &mut Vec<u8>| {
                            let mut all = Vec::new();
                            queue.take_now(&mut all);
                            for (item, promise) in all {
                                seen.push(item);
                                promise.keep(item + 100);
                            }
                        });
                        assert_eq!(ticket.wait(), Some(item + 100));
                    })
                })
                .collect();
            for appender in appenders {
                appender.join().unwrap();
            }
            let mut seen = lock(&shared.1).clone();
            seen.sort_unstable();
            assert_eq!(seen, [0, 1]);
        });
    }

    #[test]
    fn loom_a_task_is_woken() {
        explore(|| {
            let queue = Arc::new(Queue::new());
            let at_work = Arc::clone(&queue);
            let writer = thread::spawn(move || writer(&at_work));
            let (promise, ticket) = promise();
            assert!(queue.push((1, promise)).is_ok());
            assert_eq!(block_on(ticket), Some(101));
            queue.close();
            assert_eq!(writer.join().unwrap(), [1]);
        });
    }

    #[test]
    fn loom_close_while_the_writer_waits_ends_it_and_strands_nobody() {
        explore(|| {
            let queue = Arc::new(Queue::new());
            let pushing = Arc::clone(&queue);
            let appender = thread::spawn(move || {
                let (promise, ticket) = promise();
                let pushed = pushing.push((1, promise)).is_ok();
                // Pushed before the close it is answered; after it, its promise is dropped.
                assert_eq!(ticket.wait(), pushed.then_some(101));
            });
            let at_work = Arc::clone(&queue);
            let writer = thread::spawn(move || writer(&at_work));
            queue.close();
            appender.join().unwrap();
            assert!(writer.join().unwrap().len() <= 1);
        });
    }

    #[test]
    fn loom_a_ticket_dropped_before_its_answer_harms_nobody() {
        explore(|| {
            let (first, ticket) = promise::<u8>();
            let writer = thread::spawn(move || first.keep(1));
            drop(ticket);
            writer.join().unwrap();
        });
    }
}
