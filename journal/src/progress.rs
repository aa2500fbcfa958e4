//! How far the log has come, for those who follow it: told after the appenders, so that nobody waits for a follower.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use recover_engine::{Digest, Receipt};

/// The last acknowledged frame.
#[derive(Debug)]
pub(crate) struct Progress {
    state: Mutex<State>,
    moved: Condvar,
    acked: AtomicU64,
}

#[derive(Debug)]
struct State {
    head: Receipt,
    closed: bool,
    /// Somebody sleeps until the log moves. Who sleeps for a time is not woken by every commit.
    awaited: bool,
}

/// Why a follower goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// Perhaps there is something for it.
    On,
    /// The log was closed.
    Closed,
}

impl Default for Progress {
    fn default() -> Self {
        let state = State { head: Receipt { frame: 0, head: Digest::ZERO }, closed: false, awaited: false };
        Self { state: Mutex::new(state), moved: Condvar::new(), acked: AtomicU64::new(0) }
    }
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last acknowledged frame and its hash.
    pub(crate) fn head(&self) -> Receipt {
        self.lock().head
    }

    /// Its number alone, without a lock.
    pub(crate) fn acked(&self) -> u64 {
        self.acked.load(Ordering::Acquire)
    }

    /// A frame is acknowledged.
    pub(crate) fn set(&self, receipt: Receipt) {
        self.lock().head = receipt;
        self.acked.store(receipt.frame, Ordering::Release);
    }

    /// Wakes whoever sleeps until the log moves.
    pub(crate) fn ring(&self) {
        // Under the lock: a follower that has looked and not yet slept must not miss it.
        if std::mem::take(&mut self.lock().awaited) {
            self.moved.notify_all();
        }
    }

    /// Wakes everybody: there is a question.
    pub(crate) fn call(&self) {
        let _state = self.lock();
        self.moved.notify_all();
    }

    /// The log is closed.
    pub(crate) fn end(&self) {
        self.lock().closed = true;
        self.moved.notify_all();
    }

    /// Sleeps until a frame after `seen` is acknowledged, or `asked` says so when rung, or the time is over.
    pub(crate) fn wait(&self, seen: u64, limit: Option<Duration>, asked: impl Fn() -> bool) -> Moved {
        let until = limit.map(|limit| Instant::now() + limit);
        let mut state = self.lock();
        loop {
            if state.closed {
                return Moved::Closed;
            }
            if state.head.frame > seen || asked() {
                return Moved::On;
            }
            state = match until {
                None => {
                    state.awaited = true;
                    self.moved.wait(state).unwrap_or_else(PoisonError::into_inner)
                }
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Moved::On;
                    }
                    self.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// A log that has come to frame 7.
    fn at_seven() -> Progress {
        let progress = Progress::default();
        progress.set(Receipt { frame: 7, head: Digest::ZERO });
        progress
    }

    #[test]
    fn who_follows_a_log_that_was_closed_is_told_so() {
        let progress = at_seven();
        assert_eq!(progress.wait(7, Some(Duration::ZERO), || false), Moved::On, "nothing has come in that time");
        progress.end();
        assert_eq!(progress.wait(7, Some(Duration::ZERO), || false), Moved::Closed);
        assert_eq!(progress.wait(0, None, || true), Moved::Closed, "whatever else there is");
    }

    #[test]
    fn a_question_ends_a_sleep_that_has_a_limit_and_what_was_seen_before_does_not() {
        let progress = at_seven();
        // It sleeps at the first look, and finds its question at the second.
        let looks = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| progress.wait(7, Some(HOUR), || looks.fetch_add(1, Ordering::Relaxed) == 1));
            while !sleeper.is_finished() {
                progress.call();
                std::thread::yield_now();
            }
            assert_eq!(sleeper.join().unwrap(), Moved::On);
        });
        assert_eq!(looks.into_inner(), 2);
    }

    #[test]
    fn who_has_not_seen_the_last_frame_does_not_sleep() {
        assert_eq!(at_seven().wait(6, None, || false), Moved::On);
    }
}
